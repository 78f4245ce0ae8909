"""Which lesion of the patient each label of a mask is, proposed from the accepted masks of the other timepoints.

Nothing is told by a mask that nobody has accepted, and nothing by a registration that failed or was refused. What is
computed of where two scans lie is stored once a pair; a worker computes, the process that owns the store prepares and
records.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.imaging.volumes import read_label_map
from core.jobs.stages.common import StageStore, describe, read_scan
from core.lesions.blobs import separate_blobs
from core.lesions.linking import KnownLesions, propose_links
from core.remembered.links import (
    LesionLink,
    LinkProposal,
    Matrix,
    NewTransform,
    StoredTransform,
    by_mask,
    lesion_number,
)
from core.remembered.untyped import JsonDict, JsonObject
from core.review.identity import next_lesion_number
from core.review.readers import readable
from core.types import LabelMap, MaskRecord, Progress, Volume, no_progress, parse_date

Described = Mapping[str, str]
#: So many registrations are put together at most: their errors add up.
MOST_STEPS = 3


@dataclass(frozen=True)
class Proposed:
    """What matching says of a mask.

    Args:
        links: one a label, and one a known lesion that it has not.
        transforms: those that were computed for it, to be stored first: links name them.
    """

    links: tuple[LinkProposal, ...]
    transforms: tuple[NewTransform, ...] = ()

    def to_json(self) -> JsonDict:
        """Plain JSON values."""
        return {"links": [asdict(link) for link in self.links], "transforms": [asdict(one) for one in self.transforms]}

    @classmethod
    def from_json(cls, values: JsonObject) -> Proposed:
        """Inverse of `to_json`."""
        links = tuple(LinkProposal(**{**link, "into": tuple(link["into"])}) for link in values["links"])
        transforms = tuple(NewTransform(**{**one, "matrix": _rows(one["matrix"])}) for one in values["transforms"])
        return cls(links, transforms)

    def lesion_of(self) -> dict[int, str | None]:
        """Label -> lesion id; None for one that is linked to none."""
        return {link.label: link.lesion_id for link in self.links if link.label is not None}


def prepare_links(
    store: StageStore, patient_id: str, timepoint: str, visible: Mapping[str, Sequence[MaskRecord]]
) -> JsonDict:
    """What `propose` needs to know of a patient, as plain values for a worker.

    Args:
        timepoint: of the mask that is to be linked; it need not be there yet.
        visible: the versions that may be made use of, by timepoint.
    """
    links = by_mask(store.links.of(patient_id))
    known = [known for day in sorted(visible) if (known := _known(store, patient_id, day, timepoint, visible, links))]
    if any(one["accepted"] for one in known):
        known = [one for one in known if one["accepted"]]
    lesions = [str(lesion["lesion_id"]) for records in visible.values() for r in records for lesion in r.lesions]
    known.sort(key=lambda one: abs((parse_date(one["timepoint"]) - parse_date(timepoint)).days))
    pairs = {frozenset((one.from_timepoint, one.to_timepoint)) for one in store.transforms.of(patient_id)}
    counting = [store.transforms.between(patient_id, *sorted(pair)) for pair in pairs if len(pair) == 2]
    among = [asdict(one) for one in counting if one is not None]  # not what a person corrected since, or refused
    return {"timepoint": timepoint, "known": known, "among": among, "next_number": next_lesion_number(lesions)}


def _known(
    store: StageStore,
    patient_id: str,
    day: str,
    timepoint: str,
    visible: Mapping[str, Sequence[MaskRecord]],
    links: Mapping[str, Sequence[LesionLink]],
) -> JsonDict | None:
    """The accepted mask of a timepoint; of the one that is linked also its newest other version, where none is."""
    records = readable(store, patient_id, [r for r in visible[day] if r.status != "rejected"])
    record = next((r for r in records if r.status == "accepted"), None)
    if record is None and day == timepoint and records:
        record = records[-1]
    if record is None:
        return None
    transform = None if day == timepoint else store.transforms.between(patient_id, timepoint, day)
    gone = [str(link.lesion_id) for link in links.get(record.mask_id, ()) if link.relation == "gone"]
    return {
        "timepoint": day,
        "mask_id": record.mask_id,
        "mask": str(store.masks.path(record)),
        "lesion_of": {
            str(lesion["label"]): str(lesion["lesion_id"])
            for lesion in record.lesions
            if lesion_number(str(lesion["lesion_id"])) and not lesion.get("rejected")
        },
        "accepted": record.status == "accepted",
        "gone": gone,
        "scans": [{**describe(store, scan)} for scan in store.scans.of(patient_id, day)],
        "transform": None if transform is None else asdict(transform),
    }


@dataclass(frozen=True, eq=False)
class KnownHere:
    """The lesions that are known of a patient, with where they lie in the scan that is looked at.

    Args:
        lesions: of each mask that tells of them.
        transforms: those that were computed for it.
        timepoint: of the scan. next_number: the first that the patient has never used.
    """

    lesions: tuple[KnownLesions, ...]
    transforms: tuple[NewTransform, ...]
    timepoint: str
    next_number: int

    def links(self, labels: LabelMap) -> tuple[LinkProposal, ...]:
        """What the labels of a mask of that timepoint are, and where the lesions are that it has not."""
        links = propose_links(labels, self.lesions, self.timepoint, self.next_number)
        return tuple(_without_specks(labels, _as_labelled(links, self.next_number)))


def known_here(here: Sequence[tuple[Volume, str]], params: JsonObject, progress: Progress = no_progress) -> KnownHere:
    """Reads the known masks, and registers scans that never were.

    Args:
        here: the scans of the timepoint, each with the SHA-256 of its file ("" where it is not stored yet).
        params: of `prepare_links`.
        progress: told which scan is registered.
    """
    known, transforms = [], []
    asked: list[JsonObject] = list(params["known"])
    among: list[NewTransform] = [StoredTransform(**one) for one in params["among"]]
    for number, one in enumerate(asked):
        progress(number / len(asked), f"finding the lesions of {one['timepoint']} in this scan")
        matrix, state, transform_id, computed = _place(here, one, str(params["timepoint"]), among)
        transforms += computed
        among += computed
        known.append(
            KnownLesions(
                timepoint=one["timepoint"],
                mask_id=one["mask_id"],
                labels=read_label_map(Path(one["mask"])),
                lesion_of={int(label): str(lesion) for label, lesion in one["lesion_of"].items()},
                accepted=bool(one["accepted"]),
                to_here=matrix,
                registration_state=state,
                transform_id=transform_id,
                gone=frozenset(one["gone"]),
            )
        )
    progress(1.0, "")
    return KnownHere(tuple(known), tuple(transforms), str(params["timepoint"]), int(params["next_number"]))


def propose(
    labels: LabelMap, here: Sequence[tuple[Volume, str]], params: JsonObject, progress: Progress = no_progress
) -> Proposed:
    """Links of a mask's labels, and the transforms that had to be computed for them; arguments as `known_here`."""
    known = known_here(here, params, progress)
    return Proposed(known.links(labels), known.transforms)


def _place(
    here: Sequence[tuple[Volume, str]], one: JsonObject, timepoint: str, among: Sequence[NewTransform]
) -> tuple[Any, Any, str | None, list[NewTransform]]:
    """4x4 from this timepoint's mm to the known one's, its state and id, and the transform that was computed for it.

    A visit that good registrations lead to by way of nearer ones is not registered with this one as well: each takes
    seconds, and the visits of years would be as many.
    """
    if one["timepoint"] == timepoint:
        return np.eye(4), None, None, []
    if one["transform"] is not None:
        stored = StoredTransform(**one["transform"])
        return np.asarray(stored.matrix), stored.registration_state, stored.transform_id, []
    path = good_path(among, timepoint, one["timepoint"])
    if path is not None:
        return path[0], "good", path[1][0], []
    new = register(here, one["scans"], timepoint, one["timepoint"])
    return np.asarray(new.matrix), new.state, new.transform_id, [new]


def good_path(
    among: Sequence[NewTransform], start: str, goal: str
) -> tuple[NDArray[np.float64], tuple[str, ...]] | None:
    """4x4 from the mm of one timepoint to those of another by way of as few good or accepted transforms as lead there,
    and their ids; None where none do, or more than `MOST_STEPS` would have to."""
    steps: dict[str, list[tuple[str, NDArray[np.float64], str]]] = {}
    for one in among:
        state = one.registration_state if isinstance(one, StoredTransform) else one.state
        if state in ("good", "accepted"):
            matrix = np.asarray(one.matrix, dtype=np.float64)
            steps.setdefault(one.from_timepoint, []).append((one.to_timepoint, matrix, one.transform_id))
            back = np.linalg.inv(matrix).astype(np.float64)
            steps.setdefault(one.to_timepoint, []).append((one.from_timepoint, back, one.transform_id))
    reached: dict[str, tuple[NDArray[np.float64], tuple[str, ...]]] = {start: (np.eye(4), ())}
    for _ in range(MOST_STEPS):
        for day, (so_far, ids) in list(reached.items()):
            for to, matrix, transform_id in steps.get(day, ()):
                reached.setdefault(to, (matrix @ so_far, (*ids, transform_id)))
    return reached.get(goal) if goal != start else None


def register(
    here: Sequence[tuple[Volume, str]], there: Sequence[Described], timepoint: str, other: str
) -> NewTransform:
    """Where the scans of one timepoint lie in those of another: of one modality and sequence where there are such.

    Args:
        here: volumes with the SHA-256 of their files, the reference first. there: as `describe` gives them.
    """
    from core.imaging.registration import rigid
    from core.imaging.registration.to_remember import found_transform

    kinds = [(one["modality"], one["sequence"]) for one in there]
    chosen, other_chosen = pair_to_register([(volume.modality, volume.sequence) for volume, _ in here], kinds)
    (volume, sha256), described = here[chosen], there[other_chosen]
    found = rigid(volume, read_scan(described))
    new = found_transform(found, _Registered(timepoint, sha256), _Registered(other, described["sha256"]))
    return replace(new, transform_id=str(uuid.uuid4()))


class _Registered(NamedTuple):
    timepoint: str
    sha256: str


def pair_to_register(here: Sequence[tuple[str, str]], there: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """Which scan of one timepoint is registered with which of another: the first two of one modality and sequence, else
    of one modality, else the reference scans; a PET shows too little to align it by.

    Args:
        here, there: modality and sequence of each scan, the reference scan first.
    """
    for same_sequence in (True, False):
        for i, (modality, sequence) in enumerate(here):
            for j, (other, other_sequence) in enumerate(there):
                alike = modality == other and modality != "PET"
                if alike and (not same_sequence or sequence == other_sequence):
                    return i, j
    return 0, 0


def _as_labelled(links: Sequence[LinkProposal], first: int) -> list[LinkProposal]:
    """Links in which a new lesion has the number of its label, where the patient has used none from there on."""
    new = [link for link in links if link.relation == "new" and lesion_number(link.lesion_id or "") >= first]
    taken = {link.label for link in new if (link.label or 0) >= first}
    free = (number for number in count(first) if number not in taken)
    names = {link.label: f"L{link.label if link.label in taken else next(free)}" for link in new}
    return [replace(link, lesion_id=names[link.label]) if link in new else link for link in links]


def _without_specks(labels: LabelMap, links: Sequence[LinkProposal]) -> list[LinkProposal]:
    """A label that would be a new lesion and is no more than a stray mark is linked to none: a person is asked."""
    alone = {speck.label: speck for speck in separate_blobs(labels).specks if speck.alone}
    out = []
    for link in links:
        speck = alone.get(link.label or 0)
        if speck is None or link.relation != "new":
            out.append(link)
            continue
        doubts = [*link.doubts, speck.words]
        out.append(LinkProposal(link.label, None, "unlinked", evidence={**link.evidence, "doubts": doubts}))
    return out


def store_transforms(store: StageStore, patient_id: str, proposed: Proposed, person: str) -> tuple[LinkProposal, ...]:
    """Remember the transforms, and give the links with the ids under which they are remembered."""
    ids = {}
    for transform in proposed.transforms:
        ids[transform.transform_id] = store.transforms.add(patient_id, transform, person).transform_id
    return tuple(_renamed(link, ids) for link in proposed.links)


def _renamed(link: LinkProposal, ids: Mapping[str, str]) -> LinkProposal:
    name = str(link.evidence.get("transform_id") or "")
    return replace(link, evidence={**link.evidence, "transform_id": ids[name]}) if name in ids else link


def link_summary(link: LinkProposal) -> JsonDict:
    """A link in few words, for the command line and a job's row."""
    return {
        "label": link.label,
        "lesion_id": link.lesion_id,
        "relation": link.relation,
        "confidence": link.confidence,
        "into": list(link.into),
        "from_timepoint": link.evidence.get("from_timepoint"),
        "doubts": list(link.doubts),
    }


def scans_here(store: StageStore, patient_id: str, timepoint: str) -> list[tuple[Volume, str]]:
    """The stored scans of a timepoint with their hashes, the reference first."""
    reference = store.scans.reference(patient_id, timepoint)
    scans = [reference, *(s for s in store.scans.of(patient_id, timepoint) if s.scan_id != reference.scan_id)]
    return [(store.scans.load(scan), scan.sha256) for scan in scans]


def propose_for(
    store: StageStore,
    labels: LabelMap,
    patient_id: str,
    timepoint: str,
    visible: Mapping[str, Sequence[MaskRecord]],
    person: str,
    progress: Progress = no_progress,
) -> tuple[LinkProposal, ...]:
    """`prepare_links`, `propose` and `store_transforms` for scans that are stored; scans are read only if needed."""
    params = prepare_links(store, patient_id, timepoint, visible)
    elsewhere = [one for one in params["known"] if one["timepoint"] != timepoint and one["transform"] is None]
    here = scans_here(store, patient_id, timepoint) if elsewhere else []
    return store_transforms(store, patient_id, propose(labels, here, params, progress), person)


def kept_numbers(links: Sequence[LinkProposal], before: Sequence[LinkProposal]) -> list[LinkProposal]:
    """Links anew, in which what was new before and is new still keeps its number."""
    was = {link.label: link.lesion_id for link in before if link.relation == "new"}
    named = {link.lesion_id for link in links if link.relation != "new"}
    keep = partial(_kept, was=was, named=named)
    return [keep(link) for link in links]


def _kept(link: LinkProposal, was: Mapping[int | None, str | None], named: set[str | None]) -> LinkProposal:
    old = was.get(link.label)
    return replace(link, lesion_id=old) if link.relation == "new" and old is not None and old not in named else link


def _rows(matrix: Sequence[Sequence[float]]) -> Matrix:
    return tuple(tuple(float(x) for x in row) for row in matrix)
