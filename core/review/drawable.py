"""Which lesions a person may draw on a version, and under which label each of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from core.lesions.matching import MAX_LESIONS
from core.remembered.links import lesion_number
from core.review.identity import next_lesion_number, offered_labels
from core.review.readers import ReadingStore, visible_masks
from core.types import MaskRecord


@dataclass(frozen=True)
class DrawableLesions:
    """The labels that somebody may draw under on one version.

    Args:
        offered: label -> lesion of the patient that the version has not, by lesion number.
        last_seen: each of these lesions -> the last timepoint whose masks have it, YYYY-MM-DD.
        new_label: for a lesion that the patient has not had: a label that the version has not and that is not offered.
            None where all 255 are in use.
    """

    offered: Mapping[int, str]
    last_seen: Mapping[str, str]
    new_label: int | None


def drawable_lesions(store: ReadingStore, patient_id: str, person: str, record: MaskRecord | None) -> DrawableLesions:
    """What a person may draw on a version, of the masks that they may see; pass None for an empty mask.

    Of hidden versions nothing is counted, for a lesion offered or a number passed over would tell what others have
    found. So two blind readers may give one number to two lesions; the adjudicator sees both.
    """
    days = store.patients.timepoints(patient_id)
    seen = [mask for day in days for mask in visible_masks(store, patient_id, day, person)]
    return drawable_of(record, seen)


def drawable_of(
    record: MaskRecord | None, seen: Sequence[MaskRecord], drawn: Mapping[int, str | None] = MappingProxyType({})
) -> DrawableLesions:
    """The same of masks that are at hand. What was rejected is not offered, but its number is not given again.

    Args:
        drawn: label -> the lesion that it was drawn as already, None: a new one; that stays. What no mask that may be
            seen has, and what the version has itself, is not believed.
    """
    last_seen: dict[str, str] = {}
    for mask in seen:
        if mask.status == "rejected":
            continue
        for lesion in mask.lesions:
            name = str(lesion["lesion_id"])
            if lesion_number(name) and not lesion.get("rejected"):
                last_seen[name] = max(mask.timepoint, last_seen.get(name, ""))
    days = {str(lesion["lesion_id"]): mask.timepoint for mask in seen for lesion in mask.lesions}
    mine = {} if record is None else {int(one["label"]): str(one["lesion_id"]) for one in record.lesions}
    fixed = {
        label: name for label, name in drawn.items() if name in days and name not in mine.values() and label not in mine
    }
    offered = {**offered_labels(record, set(last_seen) - set(fixed.values()), drawn), **fixed}
    ordered = dict(sorted(offered.items(), key=lambda item: lesion_number(item[1])))
    new = free_label({*mine, *offered, *drawn}, next_lesion_number(days))
    return DrawableLesions(ordered, {name: last_seen.get(name, days[name]) for name in ordered.values()}, new)


def free_label(used: Collection[int], first: int) -> int | None:
    """The first label from `first` on that is not used, else the lowest of all; None where all 255 are.

    A new lesion is drawn under the number that it will probably get, so that it keeps its colour when it is saved.
    """
    order = [*range(max(first, 1), MAX_LESIONS + 1), *range(1, min(first, MAX_LESIONS + 1))]
    return next((label for label in order if label not in used), None)
