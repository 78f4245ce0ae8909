"""The lesions of a version told anew when more is known, and those of a draft that a person drew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from core.errors import InputError, StoreError
from core.jobs.stages.common import ScanStore, StageStore, timepoint_scans
from core.jobs.stages.linking import (
    kept_numbers,
    pair_to_register,
    prepare_links,
    propose,
    propose_for,
    store_transforms,
)
from core.remembered.flips import Flip
from core.remembered.links import (
    LesionLink,
    LinkChange,
    LinkProposal,
    NewTransform,
    StoredTransform,
    unlinked_id,
)
from core.review.decisions import counted_lesions, rejected_lesion_ids
from core.review.drawable import drawable_of
from core.review.identity import standing_links
from core.review.readers import AUTOMATIC_METHODS, masks_for_all_to_see, visible_masks
from core.twin.laid_store import labels_left_out
from core.types import Decision, LabelMap, MaskRecord, Progress, Scan, no_progress

if TYPE_CHECKING:
    from core.imaging.registration.transform import RigidTransform

Align = Callable[[Scan, Scan], "RigidTransform"]
#: In a link's evidence: a person chose the lesion when drawing it; timepoints that it was not looked for on yet.
CHOSEN, PENDING = "chosen", "pending"


def relink(store: StageStore, record: MaskRecord, person: str, progress: Progress = no_progress) -> list[LesionLink]:
    """Tell the lesions of a version by the masks that are accepted now; what a person said of them stays.

    Scans that were never registered with its own are, which takes seconds each; `progress` is told.
    """
    visible = _others(store, record.patient_id, person, record)
    labels = store.masks.load(record)
    links = propose_for(store, labels, record.patient_id, record.timepoint, visible, person, progress)
    before = store.links.of_mask(record.mask_id)
    # said again, since what was said before others were accepted counts as outdated
    chosen = {link.label: _as_proposed(link) for link in before if link.label is not None and link.evidence.get(CHOSEN)}
    told = [chosen.get(link.label, link) if link.label is not None else link for link in kept_numbers(links, before)]
    there = {link.lesion_id for link in told if link.label is not None}
    fresh = [link for link in told if link.label is not None or link.lesion_id not in there]
    return store.links.propose(record.mask_id, fresh, person)


def _as_proposed(link: LesionLink) -> LinkProposal:
    return LinkProposal(link.label, link.lesion_id, link.relation, link.confidence, link.into, link.evidence)


def relink_if_outdated(
    store: StageStore, record: MaskRecord, person: str, progress: Progress = no_progress
) -> MaskRecord:
    """The version with its lesions as they are told by all that is accepted now: `relink`, where that is needed."""
    if not store.links.why_outdated(record.mask_id):
        return record
    relink(store, record, person, progress)
    return store.masks.version(record.patient_id, record.timepoint, record.version)


def accept(
    store: StageStore,
    patient_id: str,
    timepoint: str,
    version: int,
    reviewer: str,
    reason: str,
    comment: str = "",
    links: Sequence[LinkChange] = (),
    progress: Progress = no_progress,
    not_lesions: Collection[int] = (),
    flips: Sequence[Flip] = (),
    flips_told: str = "",
) -> Decision:
    """Accept a version with its lesions as they stand, or as the reviewer changes them; they are told anew before,
    where they were told before others were accepted. Pages and the command line do it by `core.jobs.stages.deciding`,
    which finds the flips.

    Args:
        links: what the reviewer changes. not_lesions: labels that are none: their lesions are rejected first, so that
            they are in no curve for a moment. Another label of the same lesion stays.
        flips, flips_told: as `store.decisions.decide` takes them.

    Raises:
        InputError, StoreError: as `store.decisions.decide`, before anything is rejected.
    """
    record = relink_if_outdated(store, store.masks.version(patient_id, timepoint, version), reviewer, progress)
    if not_lesions:
        _reject_labels(store, record, (reviewer, reason, comment), links, not_lesions)
        links = [change for change in links if change.label not in not_lesions]
    said = (reviewer, reason, comment)
    place = (patient_id, timepoint, version)
    return store.decisions.decide(*place, "accept", *said, links=links, flips=flips, flips_told=flips_told)


def _reject_labels(
    store: StageStore,
    record: MaskRecord,
    said: tuple[str, str, str],
    changes: Sequence[LinkChange],
    not_lesions: Collection[int],
) -> None:
    """Reject the lesions of some labels of a version that is accepted next, by whom, with which reason and comment."""
    reviewer, reason, comment = said
    if why := store.decisions.why_not_accept(record, reviewer, comment, reason=reason):
        raise StoreError(why)
    ids = {int(lesion["label"]): str(lesion["lesion_id"]) for lesion in counted_lesions(record)}
    left_out = labels_left_out(record, changes, not_lesions)
    if left_out.keys() >= ids.keys():
        raise InputError("Expected a label that is a lesion, got none. Reject the version instead. Nothing was done.")
    for label, is_a_part in left_out.items():
        name = ids[label]
        if is_a_part:
            store.links.change(record.mask_id, [LinkChange(label, None)], reviewer, "not a lesion")
            name = unlinked_id(label)
        if name in rejected_lesion_ids(store.masks.version(record.patient_id, record.timepoint, record.version)):
            continue  # two of these labels were one lesion
        place = (record.patient_id, record.timepoint, record.version)
        store.decisions.decide(*place, "reject", reviewer, "not-a-lesion", comment, lesion_id=name)


def registered(
    store: StageStore,
    patient_id: str,
    first: str,
    second: str,
    person: str,
    *,
    again: bool = False,
    align: Align | None = None,
) -> StoredTransform:
    """Where the scans of one timepoint lie in those of another: as it is stored, else computed (seconds) and stored.

    Args:
        again: compute it also where it is stored.
        align: as `computed` takes it.

    Raises:
        InputError: for one timepoint twice. StoreError: if one has no scan, or its file is not as it was stored.
    """
    if first == second:
        raise InputError(f"Expected two timepoints to register, got {first} twice. Nothing was done.")
    stored = None if again else store.transforms.between(patient_id, first, second)
    if stored is not None:
        return stored
    new = computed(store, patient_id, first, second, align)
    with _STORING:  # two who waited for one answer store it once
        known = None if again else store.transforms.between(patient_id, first, second)
        if known is not None:
            return known
        added = store.transforms.add(patient_id, new, person)
        return store.transforms.between(patient_id, first, second) or added


_STORING = threading.Lock()


def computed(store: ScanStore, patient_id: str, first: str, second: str, align: Align | None = None) -> NewTransform:
    """Where the scans of one timepoint lie in those of another, of the scans that `pair_to_register` chooses.

    Args:
        align: computes it of two scans; None: they are read, and `core.imaging.registration.rigid` does.
    """
    from core.imaging.registration.to_remember import found_transform

    here, there = timepoint_scans(store, patient_id, first), timepoint_scans(store, patient_id, second)
    i, j = pair_to_register([(x.modality, x.sequence) for x in here], [(x.modality, x.sequence) for x in there])
    return found_transform((align or partial(_align, store))(here[i], there[j]), here[i], there[j])


def _align(store: ScanStore, first: Scan, second: Scan) -> RigidTransform:
    from core.imaging.registration import rigid

    return rigid(store.scans.load(first), store.scans.load(second))


def draft_links(
    store: StageStore,
    labels: LabelMap,
    parent: MaskRecord | None,
    patient_id: str,
    timepoint: str,
    person: str,
    drawn: Mapping[int, str | None] | None = None,
) -> tuple[LinkProposal, ...]:
    """The lesions of a draft: those of the version that it was drawn on, those that its person chose to draw, and by
    their place what was drawn as new. Scans that were never registered are not now: saving does not wait for it.

    Args:
        drawn: label -> the lesion that the person saw it under when drawing, None: a new one. It stands before what
            would be offered under that label now, when others may have found more.
    """
    visible = _others(store, patient_id, person, None)
    inherited = [] if parent is None else _inherited(store, parent, labels)
    known = {link.label for link in inherited}
    offered = drawable_of(parent, [record for records in visible.values() for record in records], drawn or {}).offered
    chosen = [
        LinkProposal(label, offered[label], "stable", evidence={CHOSEN: True})
        for label in labels.labels
        if label not in known and label in offered
    ]
    known |= {link.label for link in chosen}
    fresh = [label for label in labels.labels if label not in known]
    named = {link.lesion_id for link in (*inherited, *chosen)}
    placed = _placed(store, labels, fresh, patient_id, timepoint, visible, person)
    links = (
        *inherited,
        *chosen,
        *(x for x in placed if x.label is not None or (parent is None and x.lesion_id not in named)),
    )
    there = {link.lesion_id for link in links if link.label is not None}
    return tuple(link for link in links if link.label is not None or link.lesion_id not in there)


def _others(store: StageStore, patient_id: str, person: str, record: MaskRecord | None) -> dict[str, list[MaskRecord]]:
    """The versions that a person may see, by timepoint, without this one; of what everybody sees (an automatic version)
    those that everybody may hear of, since its links name them."""
    if record is not None and record.method in AUTOMATIC_METHODS:
        seen = masks_for_all_to_see(store, patient_id, record.timepoint, person)
    else:
        seen = {day: visible_masks(store, patient_id, day, person) for day in store.patients.timepoints(patient_id)}
    own = record.mask_id if record is not None else ""
    return {day: [r for r in records if r.mask_id != own] for day, records in seen.items()}


def _inherited(store: StageStore, parent: MaskRecord, labels: LabelMap) -> list[LinkProposal]:
    """What was said of the parent; a lesion whose voxels were all taken away is gone, unless its reviewer says else."""
    there, evidence = set(labels.labels), {"as_in_version": parent.version}
    links = standing_links(parent, store.links.of_mask(parent.mask_id), ())
    kept = [x for x in links if x.label in there]
    named = {x.lesion_id for x in kept}
    taken = [x for x in links if x.label is not None and x.label not in there and x.lesion_id not in named]
    erased = [LinkProposal(None, x.lesion_id, "gone", evidence=evidence) for x in taken if x.lesion_id is not None]
    missing = [x for x in links if x.label is None and x.lesion_id not in named]
    return [_from_parent(x, parent.version) for x in (*kept, *missing)] + _once(erased, missing)


def _once(erased: Sequence[LinkProposal], missing: Sequence[LinkProposal]) -> list[LinkProposal]:
    said = {link.lesion_id for link in missing}
    return list({link.lesion_id: link for link in erased if link.lesion_id not in said}.values())


def _from_parent(link: LinkProposal, version: int) -> LinkProposal:
    evidence = {**link.evidence, "as_in_version": version}
    return LinkProposal(link.label, link.lesion_id, link.relation, link.confidence, link.into, evidence)


def _placed(
    store: StageStore,
    labels: LabelMap,
    fresh: Sequence[int],
    patient_id: str,
    timepoint: str,
    visible: Mapping[str, Sequence[MaskRecord]],
    person: str,
) -> tuple[LinkProposal, ...]:
    """Links of some labels by the registrations that there are; what was not looked at is named in the evidence."""
    if not fresh:
        return ()
    params = prepare_links(store, patient_id, timepoint, visible)
    told = [one for one in params["known"] if one["timepoint"] == timepoint or one["transform"] is not None]
    pending = [one["timepoint"] for one in params["known"] if one not in told]
    part = LabelMap(np.where(np.isin(labels.array, list(fresh)), labels.array, 0).astype(np.uint8), labels.grid)
    links = store_transforms(store, patient_id, propose(part, [], {**params, "known": told}), person)
    if not pending:
        return links
    return tuple(
        LinkProposal(x.label, x.lesion_id, x.relation, x.confidence, x.into, {**x.evidence, PENDING: pending})
        for x in links
    )
