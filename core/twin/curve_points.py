"""The points of growth curves: volumes of accepted masks alone."""

from __future__ import annotations

from typing import Protocol

from core.remembered.sources import MeasuredMaskSource, TimepointSource
from core.review import decisions
from core.types import TOTAL_LESION_ID, VolumePoint, parse_date


class CurvePointStore(Protocol):
    """The parts of a store that the points of a curve come from."""

    @property
    def patients(self) -> TimepointSource: ...
    @property
    def masks(self) -> MeasuredMaskSource: ...


def volume_points(store: CurvePointStore, patient_id: str) -> list[VolumePoint]:
    """The volumes that may enter a curve: of accepted masks alone, by lesion and timepoint, lesion "total" last.

    Days count from the patient's first timepoint. A lesion that another accepted mask of the patient has, and this
    one has not, counts 0 mm3 here. A lesion that was rejected in an accepted mask has no point there (its volume is
    not known, which is not 0) and is not in that total. A mask whose file is lost, altered or missing has no point
    at all (`masks.problems`). [] when nothing was accepted.
    """
    unreadable = store.masks.problems(patient_id)
    accepted = [r for r in store.masks.of(patient_id) if r.status == "accepted" and r.mask_id not in unreadable]
    if not accepted:
        return []
    start = parse_date(store.patients.timepoints(patient_id)[0])
    known: dict[str, int] = {}
    visits = []
    for record in accepted:
        known |= {lesion["lesion_id"]: int(lesion["label"]) for lesion in decisions.counted_lesions(record)}
        volumes = {lesion["lesion_id"]: float(lesion["volume_mm3"]) for lesion in record.lesions}
        volumes[TOTAL_LESION_ID] = decisions.counted_volume_mm3(record)
        days = float((parse_date(record.timepoint) - start).days)
        visits.append((record, days, volumes, decisions.rejected_lesion_ids(record)))
    return [
        VolumePoint(record.timepoint, days, volumes.get(lesion_id, 0.0), lesion_id, record.mask_id, record.version)
        for lesion_id in [*sorted(known, key=lambda name: known[name]), TOTAL_LESION_ID]
        for record, days, volumes, rejected in visits
        if lesion_id not in rejected
    ]
