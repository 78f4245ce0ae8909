"""Which lesion each label of a mask is: links laid over what was measured, and what a person may say of them.

What is stored of a mask names each label's lesion "L<label>", as it was numbered in the file. The links say which
lesion of the patient that is (docs/adr/0030). Pure values: the store applies them to every record that it gives out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from core.errors import InputError
from core.lesions.matching import MAX_LESIONS
from core.remembered.links import LesionLink, LinkChange, LinkProposal, is_unlinked, lesion_number, unlinked_id
from core.remembered.untyped import JsonDict, JsonObject
from core.types import MaskRecord

#: Lesion ids of the labels of one mask that are not "L<label>".
ChangedIds = Mapping[int, str]


def numbered_id(label: int) -> str:
    """The lesion that a label is where nobody has linked it."""
    return f"L{label}"


def changed_id(label: int, lesion_id: str | None) -> str:
    """What a label is linked to, as records name it: a lesion, or `unlinked_id`."""
    return unlinked_id(label) if lesion_id is None else lesion_id


def with_lesion_ids(lesions: Sequence[JsonObject], ids: ChangedIds) -> tuple[JsonObject, ...]:
    """Measured lesions under the ids that their labels are linked to; label and figures stay."""
    if not ids:
        return tuple(lesions)
    return tuple({**lesion, "lesion_id": ids.get(int(lesion["label"]), lesion["lesion_id"])} for lesion in lesions)


def linked_record(record: MaskRecord, ids: ChangedIds) -> MaskRecord:
    """A mask's record under the ids that its labels are linked to."""
    return replace(record, lesions=with_lesion_ids(record.lesions, ids)) if ids else record


def next_lesion_number(lesion_ids: Collection[str]) -> int:
    """The first number above all that these lesions have; 1 for none."""
    return max((lesion_number(name) for name in lesion_ids), default=0) + 1


def implied_links(record: MaskRecord, known_elsewhere: Collection[str]) -> list[LinkProposal]:
    """What the labels of a version are of which nothing was said: the lesion that they are numbered as.

    Args:
        record: as linked. known_elsewhere: lesions of the patient's other timepoints.
    """
    found = []
    for lesion in record.lesions:
        name = str(lesion["lesion_id"])
        if is_unlinked(name):
            found.append(LinkProposal(int(lesion["label"]), None, "unlinked"))
        else:
            found.append(LinkProposal(int(lesion["label"]), name, "stable" if name in known_elsewhere else "new"))
    return found


def links_after(
    standing: Sequence[LinkProposal], changes: Sequence[LinkChange], known_elsewhere: Collection[str]
) -> list[LinkProposal]:
    """The links of a version once a person has changed some of them; the others stay as they are.

    A lesion that gets a label here is not gone any more, and one of other timepoints that loses its last one is "not
    assessed" until somebody says what became of it: that it was taken for another is no look at it. What a label was
    called before by itself ("merged" and so on) does not stay with another lesion.

    Raises:
        InputError: for a label that the version has not.
    """
    of_labels = {link.label: link for link in standing if link.label is not None}
    missing = {str(link.lesion_id): link for link in standing if link.label is None}
    for change in changes:
        if change.label is None:
            missing[str(change.lesion_id)] = LinkProposal(
                None,
                change.lesion_id,
                change.relation,  # type: ignore[arg-type]  # the store refuses what is none
                into=change.into,
            )
            continue
        if change.label not in of_labels:
            known = ", ".join(str(label) for label in sorted(of_labels)) or "none"
            raise InputError(f"Expected one of this version's labels ({known}), got {change.label}. Nothing was done.")
        of_labels[change.label] = _changed(of_labels[change.label], change, known_elsewhere)
    there = {link.lesion_id for link in of_labels.values()}
    had = {link.lesion_id for link in standing if link.label is not None and link.lesion_id is not None}
    for name in sorted((had - there) & set(known_elsewhere)):
        why = {"doubts": ["The label that it had here was said to be another lesion; nobody said what became of it."]}
        missing.setdefault(name, LinkProposal(None, name, "not assessed", evidence=why))
    found = [LinkProposal(None, name, "not said") if name in there else link for name, link in missing.items()]
    return [*of_labels.values(), *found]


def said_by(
    before: Sequence[LinkProposal], after: Sequence[LinkProposal], changes: Sequence[LinkChange]
) -> list[LinkProposal]:
    """Of the links of `links_after` those that the changes are about, and those that became others by them."""
    labels = {change.label for change in changes} - {None}
    missing = {change.lesion_id for change in changes if change.label is None}
    asked = [x for x in after if (x.label in labels if x.label is not None else x.lesion_id in missing)]
    return [*asked, *(x for x in after if x not in before and x not in asked)]


def lesions_elsewhere(records: Iterable[MaskRecord], timepoint: str) -> frozenset[str]:
    """Lesions in a patient's masks (as linked) of other timepoints that were not rejected."""
    others = [record for record in records if record.timepoint != timepoint and record.status != "rejected"]
    names = {str(lesion["lesion_id"]) for record in others for lesion in record.lesions}
    return frozenset(name for name in names if lesion_number(name))


def _changed(link: LinkProposal, change: LinkChange, known_elsewhere: Collection[str]) -> LinkProposal:
    if change.lesion_id == link.lesion_id and change.lesion_id is not None:
        return link
    if change.lesion_id is None:
        return LinkProposal(link.label, None, "unlinked", evidence={"was": link.lesion_id or ""})
    relation = "stable" if change.lesion_id in known_elsewhere else "new"
    evidence: JsonDict = {"was": link.lesion_id or "", **({"proposed": dict(link.evidence)} if link.evidence else {})}
    return LinkProposal(link.label, change.lesion_id, relation, None, (), evidence)  # type: ignore[arg-type]


def standing_links(
    record: MaskRecord, links: Sequence[LesionLink], known_elsewhere: Collection[str]
) -> list[LinkProposal]:
    """What is said of every label of a version, and of lesions that it has not: stored links, else as numbered."""
    said: dict[int | None, LinkProposal] = {link.label: link for link in links if link.label is not None}
    implied = implied_links(record, known_elsewhere)
    return [*(said.get(link.label, link) for link in implied), *(link for link in links if link.label is None)]


def offered_labels(
    record: MaskRecord | None, lesion_ids: Collection[str], reserved: Collection[int] = ()
) -> dict[int, str]:
    """Labels under which a brush offers lesions of the patient that a version has not: label -> lesion.

    The lesion's own number where no other label of the version has it, else the highest that is free; the same lesions
    give the same labels, so that what a browser sends can be understood again.

    Args:
        record: as linked; None for an empty mask. lesion_ids: lesions of the patient. reserved: labels that
            are something else already.
    """
    mine = () if record is None else record.lesions
    used = {int(lesion["label"]) for lesion in mine} | set(reserved)
    there = {str(lesion["lesion_id"]) for lesion in mine}
    wanted = sorted((lesion_number(name), name) for name in set(lesion_ids) - there if lesion_number(name))
    own = {number: name for number, name in wanted if number <= MAX_LESIONS and number not in used}
    free = [label for label in range(MAX_LESIONS, 0, -1) if label not in used and label not in own]
    left = [name for number, name in wanted if own.get(number) != name]
    return {**own, **dict(zip(free, left, strict=False))}
