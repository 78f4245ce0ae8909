"""Which lesions of the patient the segments of an imported mask are: told by their place, never by their label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.imaging.volumes import read_label_map
from core.jobs.stages.common import StageStore
from core.jobs.stages.segment import MAX_MATCH_MM, lesion_priors, motion_to, only_lesions
from core.lesions.matching import MAX_LESIONS, match_lesions
from core.remembered.untyped import JsonObject
from core.review.readers import next_visible_label, visible_masks
from core.types import LabelMap, Volume

#: Other timepoints that are aligned with this one, at most: each takes seconds, and a person waits for it.
MOST_ALIGNED = 2
#: A first mask keeps its file's numbers up to here: beyond, too few are left for lesions that come later.
MOST_FIRST = 200


@dataclass(frozen=True)
class Numbering:
    """Lesion numbers for the segments of a mask.

    Args:
        numbers: label in the mask -> lesion number of the patient; no two labels have one number.
        warnings, doubts: what a person should know of how they were found.
    """

    numbers: Mapping[int, int]
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    def applied(self, labels: LabelMap) -> LabelMap:
        """The mask with the patient's numbers."""
        lookup = np.zeros(256, np.uint8)
        for label, lesion in self.numbers.items():
            lookup[label] = lesion
        return LabelMap(lookup[labels.array], labels.grid)


def number_by_place(
    store: StageStore,
    labels: LabelMap,
    patient_id: str,
    timepoint: str,
    author: str,
    reference: Volume | None = None,
) -> Numbering:
    """The lesion that lies where a segment lies has its number; what lies elsewhere is new.

    Asked are the masks that `author` may see: of this timepoint, then of the nearest others, aligned first. Of several
    segments on one lesion, the one that overlaps it most is it. Where a timepoint cannot be aligned, its numbers say
    nothing; if none can, the file's numbers stay, with a doubt.

    Args:
        reference: the scan that the mask lies on, where it is not stored yet.
    """
    days = {*store.patients.timepoints(patient_id), timepoint}
    visible = {t: visible_masks(store, patient_id, t, author) for t in days}
    priors = lesion_priors(store, patient_id, timepoint, visible)
    if not priors:
        return _first(labels)
    free = next_visible_label(store, patient_id, author)
    numbers, asked, failed = _matched(store, labels, priors, (patient_id, timepoint), free, reference)
    loose = [label for label in labels.labels if label not in numbers]
    if loose and not asked:
        kept = {label: label for label in labels.labels}
        doubt = (
            f"The scan could not be aligned with that of {', '.join(failed)}, so lesions could not be told by their "
            "place: the file's numbers were kept, and need not be the patient's. Compare the timepoints by eye."
        )
        return Numbering(kept, (), (doubt,))
    doubts = [f"The scan could not be aligned with that of {t}: its lesions were not looked for." for t in failed]
    left = len(priors) - len(asked) - len(failed)
    if loose and left > 0:
        doubts.append(f"{left} farther timepoints were not looked at: a lesion called new may be one of theirs.")
    for label in loose:
        numbers[label] = free
        free += 1
    if max(numbers.values(), default=0) > MAX_LESIONS:
        raise InputError(
            f"Expected lesion numbers up to {MAX_LESIONS}, but this patient would need {max(numbers.values())}. Choose "
            "the segments that are lesions."
        )
    return Numbering(numbers, _words(numbers, loose, asked), tuple(doubts))


def _first(labels: LabelMap) -> Numbering:
    """The file's numbers, or 1, 2, 3 … in their order where they are large."""
    there = labels.labels
    if max(there, default=0) <= MOST_FIRST:
        return Numbering({label: label for label in there})
    numbers = {label: place for place, label in enumerate(there, start=1)}
    return Numbering(numbers, (f"The file's numbers run to {there[-1]}: its lesions were numbered from 1.",))


def _matched(
    store: StageStore,
    labels: LabelMap,
    priors: Sequence[JsonObject],
    where: tuple[str, str],
    free: int,
    reference: Volume | None,
) -> tuple[dict[int, int], list[str], list[str]]:
    """Numbers of the segments that are known lesions; the timepoints that were asked; those that cannot be aligned."""
    numbers: dict[int, int] = {}
    asked: list[str] = []
    failed: list[str] = []
    for prior in priors:
        loose = [label for label in labels.labels if label not in numbers]
        elsewhere = prior["timepoint"] != where[1]
        if not loose or (elsewhere and len([t for t in (*asked, *failed) if t != where[1]]) >= MOST_ALIGNED):
            break
        if elsewhere and reference is None:
            reference = store.scans.load(store.scans.reference(*where))
        motion, state = (
            (np.eye(4), None) if reference is None or not elsewhere else motion_to(reference, prior, where[1])
        )
        if state not in (None, "good"):
            failed.append(prior["timepoint"])
            continue
        asked.append(prior["timepoint"])
        known = only_lesions(read_label_map(Path(prior["mask"])), prior["lesions"])
        segments = only_lesions(labels, loose)
        found = match_lesions(known, segments.array, labels.grid, motion, MAX_MATCH_MM, free)
        mine = {label: lesion for label, lesion in found.numbers.items() if lesion not in found.new}
        for label in sorted(mine, key=lambda n: (-found.overlap_mm3.get((n, mine[n]), 0.0), n)):
            if mine[label] not in numbers.values():
                numbers[label] = mine[label]
    return numbers, asked, failed


def _words(numbers: Mapping[int, int], loose: Sequence[int], asked: Sequence[str]) -> tuple[str, ...]:
    moved = [(label, lesion) for label, lesion in sorted(numbers.items()) if label != lesion]
    if not moved:
        return ()
    each = ", ".join(f"{label} is L{lesion}{' (new)' if label in loose else ''}" for label, lesion in moved)
    return (f"Lesions were told by their place, as on {', '.join(asked)}, and not by the file's numbers: {each}.",)
