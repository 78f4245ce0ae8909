"""What is doubted of a visit's volumes, in sentences: the mark that curves, figures and exports carry."""

from __future__ import annotations

from core.twin.timeline import PatientTimeline
from core.types import TOTAL_LESION_ID


def doubts_at(timeline: PatientTimeline, timepoint: str, lesion_id: str = TOTAL_LESION_ID) -> tuple[str, ...]:
    """The doubts on a lesion there, or on any lesion for "total", each once; () where there is none.

    A doubt on all lesions of the total is told once; one on some of them names these: "L1, L3: …".
    """
    cells = [
        cell
        for cell in timeline.column(timepoint)
        if cell.mask_id and (lesion_id == TOTAL_LESION_ID or cell.lesion_id == lesion_id)
    ]
    lesions: dict[str, list[str]] = {}
    for cell in cells:
        for doubt in cell.doubts:
            lesions.setdefault(doubt, []).append(cell.lesion_id)
    if lesion_id != TOTAL_LESION_ID:
        return tuple(lesions)
    return tuple(
        doubt if len(names) == len(cells) and len(names) > 1 else f"{', '.join(names)}: {doubt}"
        for doubt, names in lesions.items()
    )
