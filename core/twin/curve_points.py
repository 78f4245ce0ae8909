"""The points of growth curves: volumes of accepted masks alone."""

from __future__ import annotations

from core.twin.timeline import patient_timeline
from core.twin.timeline_store import TimelineStore
from core.types import VolumePoint


def volume_points(store: TimelineStore, patient_id: str) -> list[VolumePoint]:
    """The volumes that may enter a curve: the number cells of `patient_timeline`, lesion "total" last.

    Days count from the patient's first timepoint. A lesion that is absent (an accepted mask has it not, and its place
    is in view) counts 0 mm3. One that is rejected, not in view, merged, split, too small to measure or not assessed has
    no point there; its volume is not known, which is not 0. A total has a point where all its lesions do. A mask whose
    file is lost, altered or missing has no point at all (`masks.problems`). [] when nothing was accepted.
    """
    return patient_timeline(store, patient_id).points
