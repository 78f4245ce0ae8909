"""The value of the human correction: nnU-Net, MedSAM-refined and final (accepted) mask against one another.

For a timepoint with an accepted mask: the newest version of each method that is not newer than the accepted one. How
far they lie from the accepted mask is what the person's work changed; it is no accuracy, for nobody knows the truth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from core.errors import InputError
from core.lesions.metrics import confusion, surface_distances
from core.remembered.sources import HasMasks, HasPatients
from core.remembered.untyped import JsonDict, JsonObject
from core.remembered.vocabulary import MaskMethod
from core.types import MM3_PER_ML, LabelMap, MaskRecord

#: What is compared: a name and the methods of the two sides; None is the accepted version.
COMPARISONS: Mapping[str, tuple[str, str | None]] = {
    "nnU-Net against final": ("nnunet", None),
    "MedSAM-refined against final": ("medsam", None),
    "nnU-Net against MedSAM-refined": ("nnunet", "medsam"),
}
MEASURES = ("dice", "hd95_mm", "volume_difference_ml")
_NAMES = {"nnunet": "nnU-Net", "medsam": "MedSAM"}
#: Method of a version -> the side that it is on; refined with MedSAM and by hand counts as MedSAM's.
_ENGINES: Mapping[str, str] = {
    method: "nnunet" if method.is_automatic else "medsam"
    for method in MaskMethod
    if method.is_automatic or method.used_medsam
}


class CorrectionStore(HasPatients, HasMasks, Protocol):
    """Store parts that are read here."""


def mask_agreement(first: LabelMap, second: LabelMap) -> dict[str, float | None]:
    """All lesions of two masks on one grid against each other.

    Returns:
        dice 0..1 (1 where both are empty); hd95_mm (None where exactly one is empty); volume_difference_ml, second
        minus first.
    """
    added, removed, both = confusion(first.array, second.array)
    total = added + removed + 2 * both
    hd95_mm = surface_distances(first.array, second.array, first.grid.spacing_mm).hausdorff95_mm
    return {
        "dice": 1.0 if total == 0 else 2.0 * both / total,
        "hd95_mm": hd95_mm if np.isfinite(hd95_mm) else None,
        "volume_difference_ml": (added - removed) * first.grid.voxel_volume_mm3 / MM3_PER_ML,
    }


def versions_to_compare(records: Iterable[MaskRecord]) -> dict[str | None, MaskRecord]:
    """A timepoint's accepted version (key None) and the newest of each method up to it; {} without an accepted one."""
    records = list(records)
    final = next((r for r in records if r.status == "accepted"), None)
    if final is None:
        return {}
    out: dict[str | None, MaskRecord] = {None: final}
    for record in sorted(records, key=lambda r: r.version):
        engine = _ENGINES.get(record.method)
        if record.version <= final.version and engine is not None:
            out[engine] = record
    return out


def timepoint_rows(
    store: CorrectionStore, patient_id: str, timepoint: str, records: Iterable[MaskRecord] | None = None
) -> list[JsonDict]:
    """One row for each comparison: its name, the two versions, the measures, and `missing`: why there are none.

    Args:
        records: the timepoint's versions that are looked at; None: all.
    """
    problems = store.masks.problems(patient_id)
    records = store.masks.of(patient_id, timepoint) if records is None else list(records)
    chosen = versions_to_compare(record for record in records if record.mask_id not in problems)
    unreadable = [problems[r.mask_id] for r in records if r.status == "accepted" and r.mask_id in problems]
    rows = []
    for name, (left, right) in COMPARISONS.items():
        row: JsonDict = {"patient_id": patient_id, "timepoint": timepoint, "comparison": name}
        first, second = chosen.get(left), chosen.get(right)
        if first is None or second is None:
            absent = [_NAMES[side] for side in (left, right) if side is not None and side not in chosen]
            why = f"no {' and no '.join(absent)} version" if chosen else "no accepted version"
            why = f"{unreadable[0]}: the accepted version cannot be read" if unreadable else why
            row |= {"first_version": None, "second_version": None, **dict.fromkeys(MEASURES), "missing": why}
        else:
            measured = mask_agreement(store.masks.load(first), store.masks.load(second))
            row |= {"first_version": first.version, "second_version": second.version, **measured, "missing": None}
        rows.append(row)
    return rows


def summarise(rows: Sequence[JsonObject]) -> list[JsonDict]:
    """Mean, median and number of each comparison's measures; None, and n = 0, where no timepoint has both sides."""
    out = []
    for name in COMPARISONS:
        measured = [row for row in rows if row["comparison"] == name and row["missing"] is None]
        summary: JsonDict = {
            "comparison": name,
            "n": len(measured),
            "patients": len({r["patient_id"] for r in measured}),
        }
        for measure in MEASURES:
            values = [float(row[measure]) for row in measured if row[measure] is not None]
            summary[f"{measure}_mean"] = float(np.mean(values)) if values else None
            summary[f"{measure}_median"] = float(np.median(values)) if values else None
            summary[f"{measure}_n"] = len(values)
        out.append(summary)
    return out


def correction(store: CorrectionStore, patient_id: str | None = None, seen: Collection[str] | None = None) -> JsonDict:
    """One patient, or the whole cohort: rows by timepoint, their summary, and by patient.

    Args:
        seen: ids of the masks that whoever asks may see (`core.review.blind_reading`); the others are as if they were
            not there.
            None: all.

    Returns:
        {"patient_id": None for the cohort, "timepoints": rows, "patients": {id: summary}, "summary": summary}.

    Raises:
        InputError: if nobody has a mask yet (that may be seen), or the store knows no such patient.
    """
    if patient_id is not None:
        store.patients.require(patient_id)
    names = [patient_id] if patient_id is not None else [str(p.patient_id) for p in store.patients.all()]
    rows: list[JsonDict] = []
    for name in names:
        records = [record for record in store.masks.of(name) if seen is None or record.mask_id in seen]
        for timepoint in sorted({record.timepoint for record in records}):
            rows += timepoint_rows(store, name, timepoint, [r for r in records if r.timepoint == timepoint])
    if not rows:
        whose = f"Patient {patient_id!r} has" if patient_id is not None else "The cohort has"
        raise InputError(f"{whose} no mask yet. Segment a scan first.")
    by_patient = {name: [row for row in rows if row["patient_id"] == name] for name in names}
    return {
        "patient_id": patient_id,
        "timepoints": rows,
        "patients": {name: summarise(patient_rows) for name, patient_rows in by_patient.items() if patient_rows},
        "summary": summarise(rows),
    }
