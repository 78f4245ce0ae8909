"""Stored rows of a patient set by hand: accepted masks, their links, scans that lie somewhere, transforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from core.errors import StoreError
from core.remembered.hand_measurements import HandMeasurement
from core.remembered.links import LesionLink, StoredTransform
from core.remembered.rows import MaskVerdict, ScanVerdict
from core.twin.timeline import PatientTimeline, patient_timeline
from core.types import Decision, Grid

DAYS = ("2025-01-01", "2025-03-01", "2025-05-01", "2025-07-01")  # 0, 59, 120, 181
#: 200 mm each way, from the frame's origin on.
FIELD = Grid((100, 100, 100), np.diag([2.0, 2.0, 2.0, 1.0]))


def ball_mm3(diameter_mm: float) -> float:
    return float(np.pi / 6 * diameter_mm**3)


def lesion(name: str, diameter_mm: float, label: int | None = None, **more: Any) -> dict[str, Any]:
    """A ball in the middle of the field, as a mask's record lists it."""
    volume = ball_mm3(diameter_mm)
    return {
        "label": label or int(name.strip("unliked-L")),
        "lesion_id": name,
        "volume_mm3": volume,
        "voxels": round(volume / 8),
        "longest_diameter_mm": diameter_mm,
        "centroid_mm": (100.0, 100.0, 100.0),
        **more,
    }


def mask(day: str, *lesions: Mapping[str, Any], **more: Any) -> SimpleNamespace:
    """The accepted version of a timepoint, drawn by hand unless it is another."""
    values = {
        "patient_id": "P1", "mask_id": f"m-{day}", "mask_sha256": f"f-{day}", "timepoint": day,
        "version": 1, "parent_version": None, "status": "accepted",
        "method": "manual", "author": "ann", "checkpoint_sha256": None, "voxels_added": 0, "voxels_removed": 0,
        "scan_sha256": f"s-{day}", "volume_mm3": sum(one["volume_mm3"] for one in lesions), "lesions": lesions,
    }  # fmt: skip
    return SimpleNamespace(**{**values, **more})


def link(day: str, label: int | None, name: str | None, relation: Any, **more: Any) -> LesionLink:
    return LesionLink(label, name, relation, mask_id=f"m-{day}", timepoint=day, version=1, **more)


def transform(first: str, second: str, state: Any = "good", shift_mm: Sequence[float] = (0, 0, 0), **more: Any) -> Any:
    matrix = np.eye(4)
    matrix[:3, 3] = shift_mm
    rows = tuple(tuple(row) for row in matrix.tolist())
    return StoredTransform(first, second, f"s-{first}", f"s-{second}", rows, state, **more)


def by_hand(day: str, name: str, mm: float, person: str = "eva", **more: Any) -> HandMeasurement:
    """A diameter that a person set, the longest unless it is another."""
    values = {
        "measurement_id": f"{name}-{day}-{person}", "patient_id": "P1", "timepoint": day, "scan_id": "CT",
        "of_patient": "P1", "scan_sha256": f"s-{day}", "kind": "length", "plane": "axial",
        "points_mm": ((0.0, 0.0, 0.0), (mm, 0.0, 0.0)), "value": mm, "unit": "mm", "statistics": None,
        "lesion_id": name, "sets": "longest diameter", "person": person, "created_at": day,
    }  # fmt: skip
    return HandMeasurement(**{**values, **more})


def rows(
    *masks: Any,
    links: Sequence[LesionLink] = (),
    transforms: Sequence[StoredTransform] = (),
    fields: Mapping[str, Grid | None] | None = None,
    modality: Mapping[str, str] | None = None,
    thickness_mm: float = 1.0,
    problems: Mapping[str, str] | None = None,
    days: Sequence[str] = DAYS,
    scan_verdicts: Sequence[ScanVerdict] | None = None,
    mask_verdicts: Sequence[MaskVerdict] | None = None,
    by_hand: Sequence[HandMeasurement] = (),
) -> Any:
    """A store of one patient; `fields`: where scans lie that lie elsewhere than in `FIELD` (None: cannot be read).

    Scans are in distribution and masks usual, unless other verdicts are given.
    """
    usual = {"verdict": "usual", "p_value": 0.5, "flagged": False}
    of_masks = [MaskVerdict(m.mask_id, m.mask_id, "P1", m.timepoint, 1, usual, "demo", "") for m in masks]
    of_scans = [
        ScanVerdict(day, "P1", day, {"state": "in distribution", "seen": [f"s-{day}"]}, "demo", "") for day in days
    ]
    of_masks = of_masks if mask_verdicts is None else list(mask_verdicts)
    of_scans = of_scans if scan_verdicts is None else list(scan_verdicts)
    facts = {"sequence": "", "spacing_mm": (1.0, 1.0, 1.0), "metadata": {"slice_thickness_mm": thickness_mm}}
    scans = [
        SimpleNamespace(timepoint=day, sha256=f"s-{day}", modality=(modality or {}).get(day, "CT"), **facts)
        for day in days
    ]
    decided = [Decision(m.mask_id, m.mask_id, "accept", "bob", "agrees", "", m.timepoint) for m in masks]

    def grid_at(patient_id: str, day: str) -> Grid:
        grid = (fields or {}).get(day, FIELD)
        if grid is None:
            raise StoreError("The file is missing.")
        return grid

    return SimpleNamespace(
        patients=SimpleNamespace(timepoints=lambda patient: list(days)),
        masks=SimpleNamespace(of=lambda patient: list(masks), problems=lambda patient: dict(problems or {})),
        scans=SimpleNamespace(
            of=lambda patient: scans,
            reference=lambda patient, day: scans[days.index(day)],
            reference_grid=grid_at,
        ),
        decisions=SimpleNamespace(of=lambda patient: decided, to_affirm=dict),
        verdicts=SimpleNamespace(of_masks=lambda p: of_masks, of_scans=lambda p: of_scans),
        links=SimpleNamespace(of=lambda patient: list(links)),
        transforms=SimpleNamespace(of=lambda patient: list(transforms)),
        reference_sets=SimpleNamespace(all=lambda kind: []),
        readings=SimpleNamespace(is_blind=lambda patient, day: False),
        measurements=SimpleNamespace(of=lambda patient: list(by_hand)),
    )


def timeline(*masks: Any, **more: Any) -> PatientTimeline:
    return patient_timeline(rows(*masks, **more), "P1")


def states(found: PatientTimeline, name: str) -> list[str]:
    """Of the visits, in a word each."""
    return [cell.state for cell in found.row(name) if cell.timepoint in found.visits]
