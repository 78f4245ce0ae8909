"""What a mask is looked at with: the scans of its timepoint, and its patient's last accepted mask that may be seen.

Blind reading: of other timepoints only accepted masks are asked, and only those that the mask's maker may see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from core.errors import TwinReviewError
from core.gates.mask.looking import Surroundings
from core.gates.mask.past import PastLesion
from core.remembered.links import HasLinks, HasTransforms, unlinked_id
from core.remembered.sources import HasMasks, HasPatients, HasReadings, HasScans
from core.review.decisions import REJECTED
from core.review.readers import readable, visible_masks
from core.review.scan_measures import LookedAt
from core.types import LabelMap, MaskRecord, parse_date


class LookStore(HasMasks, HasScans, HasPatients, HasReadings, HasLinks, HasTransforms, Protocol):
    """Store parts that tell what lies around a mask, in space and in time."""


class Link(Protocol):
    """What is used of a link, proposed or stored."""

    @property
    def label(self) -> int | None: ...
    @property
    def lesion_id(self) -> str | None: ...
    @property
    def relation(self) -> str: ...


def last_accepted(store: LookStore, patient_id: str, timepoint: str, person: str) -> MaskRecord | None:
    """The accepted mask of the last timepoint before that has one which this person may see and that can be read."""
    for day in sorted((day for day in store.patients.timepoints(patient_id) if day < timepoint), reverse=True):
        seen = [one for one in visible_masks(store, patient_id, day, person) if one.status == "accepted"]
        for record in readable(store, patient_id, seen):
            return record
    return None


def surroundings(
    store: LookStore, patient_id: str, timepoint: str, person: str, links: Iterable[Link], scans: Iterable[LookedAt]
) -> Surroundings:
    """What a mask of a timepoint is looked at with; what cannot be read is said.

    Args:
        person: who made the mask. links: which lesion each of its labels is. scans: of its timepoint.
    """
    seen = list(scans)
    problems = [f"{one.scan.channel} could not be read: {one.problem}" for one in seen if one.volume is None]
    read = [one for one in seen if one.volume is not None]
    before = last_accepted(store, patient_id, timepoint, person)
    past = {} if before is None else _past(store, before, timepoint, problems)
    return Surroundings(
        scans=tuple(one.volume for one in read if one.volume is not None),
        hashes=tuple(one.scan.sha256 for one in read),
        past=past,
        lesion_of={one.label: one.lesion_id or unlinked_id(one.label) for one in links if one.label is not None},
        problems=tuple(problems),
        timepoint_before="" if before is None else before.timepoint,
    )


def lost_lesions(links: Sequence[Link], record: MaskRecord | None, lesion_ids: Iterable[str]) -> list[tuple[str, str]]:
    """(lesion, date) of lesions that the last accepted mask has and this one has not, unless a person has said that
    they are gone, or they are merged or out of view.

    Args:
        links: of the mask; none where nothing was matched. lesion_ids: that it has.
    """
    if record is None:
        return []
    there = {str(one["lesion_id"]) for one in record.lesions if not one.get(REJECTED)}
    have = set(lesion_ids)
    said = {one.lesion_id: one for one in links if one.label is None}
    missing = [name for name in sorted(there - have) if name not in said or _is_open(said[name])]
    return [(name, record.timepoint) for name in missing]


def _is_open(link: Link) -> bool:
    return link.relation == "gone" and getattr(link, "confirmed_by", None) is None


def _past(store: LookStore, before: MaskRecord, timepoint: str, problems: list[str]) -> dict[str, PastLesion]:
    days = (parse_date(timepoint) - parse_date(before.timepoint)).days
    volumes: dict[str, float] = {}
    numbers: dict[str, list[int]] = {}
    for lesion in before.lesions:
        if not lesion.get(REJECTED):
            name = str(lesion["lesion_id"])
            volumes[name] = volumes.get(name, 0.0) + float(lesion["volume_mm3"])
            numbers.setdefault(name, []).append(int(lesion["label"]))
    transform = store.transforms.between(before.patient_id, timepoint, before.timepoint)
    labels: LabelMap | None = None
    matrix = None
    if transform is None or transform.registration_state not in ("good", "accepted"):
        problems.append(f"Where these scans lie in those of {before.timepoint} is not known.")
    else:
        try:
            labels, matrix = store.masks.load(before), np.asarray(transform.matrix, dtype=np.float64)
        except TwinReviewError as error:
            problems.append(f"The mask of {before.timepoint} could not be read: {error}")
    return {
        name: PastLesion(before.timepoint, days, volume, labels, tuple(numbers[name]), matrix)
        for name, volume in volumes.items()
    }
