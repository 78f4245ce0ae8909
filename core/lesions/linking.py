"""Which lesion of the patient each label of a mask is: proposed from all known masks together, with its evidence.

A person confirms or changes what is proposed here (`core.remembered.links`); no voxel is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.errors import InputError
from core.lesions.linking_assignment import MOST, assign
from core.lesions.linking_checks import (
    NEAR_GONE_MM,
    LinkCase,
    doubts_of_gone,
    doubts_of_link,
    doubts_of_new,
    doubts_of_view,
)
from core.lesions.linking_evidence import KnownLesions, Look, clouds, look, surface_mm
from core.lesions.linking_history import LastWord, in_order, last_word, look_at, weight
from core.remembered.links import LabelRelation, LinkProposal, MissingRelation, lesion_number, lesion_order
from core.remembered.untyped import JsonDict
from core.types import LabelMap, parse_date

__all__ = ["KnownLesions", "propose_links"]

#: The best confidence of a link that distance alone speaks for.
_DISTANCE_CONFIDENCE = 0.3


def propose_links(
    current: LabelMap, known: Sequence[KnownLesions], timepoint: str, next_number: int
) -> tuple[LinkProposal, ...]:
    """Say for every label of a mask which lesion it is, and for every known lesion without one where it is.

    All known masks are asked together: what best speaks for a label being a lesion, in whichever of them, is what the
    pair scores (overlap, and by far less the distance of surfaces; the nearest visit counts most, a doubtful
    registration less), and the sum over all pairs is made largest. Relations:

    - "stable": the lesion was there when last looked at; "reappeared": it was there earlier, and gone or absent since.
    - "new": no earlier visit has it. It is numbered from `next_number`, largest first, unless another version of this
      visit already names it.
    - "split": one of several labels of one lesion. "merged": it holds several lesions, and is the one of which it holds
      most; each other one is "merged into" it, without a label.
    - without a label: "gone": there when last looked at, and not here, though at least half of its place is in view.
      "not in view": less is. "not assessed": no registration tells its place. What was gone before has no proposal.
    - "unlinked": there are known lesions, and no registration tells the place of any: no label is told.

    `confidence`, a figure from 0 to 1 to sort by and no probability: of a link, the share of the smaller that overlaps,
    times 1 - second best score / best; by distance alone at most 0.3; of "new", 1 - the largest share of it that lies
    in any lesion's place; of "gone", the share of its place in view, less what lies in other labels; of "merged into"
    and "not in view", the share of it that does. Halved where the registration is doubtful, or all lesions lie to one
    side. None for the first mask, "unlinked" and "not assessed": nothing was measured.

    Args:
        current: the mask to be linked.
        known: linked masks of the patient that may be told of; unreviewed ones are left out by the caller.
        timepoint: of the mask, YYYY-MM-DD.
        next_number: the first number that the patient has never used, from 1.

    Returns:
        One proposal a label, ascending, then one a lesion without a label; () for an empty mask and nothing known.

    Raises:
        GeometryError: if a transform is not a finite 4x4 that can be turned back.
        InputError: if a timepoint is no date, or `next_number` is in use.

    Source: the assignment is solved as in Crouse 2016, 10.1109/TAES.2016.140952.
    """
    parse_date(timepoint)
    names = {name for one in known for name in one.present | one.gone}
    _check_number(next_number, names)
    looks, here = [], clouds(current)
    for rank, one in in_order(known, timepoint):
        if one.tells:
            looks.append(look(current, here, one, rank, weight(rank, one)))
    if names and not looks:
        return _untold(current, known, names)
    words = {name: last_word(name, known, looks, timepoint) for name in names}
    found = assign(here, looks, frozenset(name for name in names if words[name] in ("present", "this visit")))
    left = names - set(found.lesion_of.values()) - set(found.swallowed)
    sought = {name: look_at(name, looks) for name in left if words[name] != "later"}
    lost = {name: seen.lesions[name] for name, seen in sought.items() if seen and seen.in_view[name] >= MOST}
    fresh = [label for label in here if label not in found.lesion_of]
    fresh.sort(key=lambda label: -here[label].volume_mm3)
    numbers = {label: f"L{next_number + place}" for place, label in enumerate(fresh)}
    case = LinkCase(here, known, looks, timepoint, found, numbers, lost)
    labelled = [
        _new(case, label, numbers[label]) if label in numbers else _linked(case, label) for label in current.labels
    ]
    without = left | set(found.swallowed)
    missing = [_missing(case, name, words[name]) for name in sorted(without, key=lesion_order)]
    return (*labelled, *(one for one in missing if one is not None))


def _check_number(next_number: int, names: Iterable[str]) -> None:
    used = [lesion_number(name) for name in names]
    if next_number < 1 or next_number <= max(used, default=0):
        raise InputError(
            f"Expected the next lesion number to be above {max(used, default=0)}, which the patient has used; got "
            f"{next_number}. Count the patient's lesions over all timepoints."
        )


def _untold(current: LabelMap, known: Sequence[KnownLesions], names: Iterable[str]) -> tuple[LinkProposal, ...]:
    """Nothing can be told by place: not which lesion a label is, nor whether a lesion is gone."""
    why = {one.timepoint: one.registration_state or "none" for one in known}
    days = ", ".join(f"{day}: {why[day]}" for day in sorted(why))
    doubt = f"No registration with another scan can be relied on ({days}): by its place nobody can tell "
    evidence = {"doubts": [doubt + "which lesion it is."]}
    labels = [LinkProposal(label, None, "unlinked", evidence=evidence) for label in current.labels]
    there = {name for one in known for name in one.present} & set(names)
    return (*labels, *(_not_assessed(name, doubt + "whether it is there.") for name in sorted(there, key=lesion_order)))


def _not_assessed(lesion: str, doubt: str) -> LinkProposal:
    return LinkProposal(None, lesion, "not assessed", evidence={"doubts": [doubt]})


def _linked(case: LinkCase, label: int) -> LinkProposal:
    lesion = case.found.lesion_of[label]
    edge = case.found.edges[label, lesion]
    merged, one, overlap = case.found.came_together(label), edge.look, edge.overlap
    apart = surface_mm(case.here[label], one.lesions[lesion])
    margin = max(0.0, 1 - case.found.rival(label)[0] / edge.score)
    share = overlap.of_smaller if overlap else _DISTANCE_CONFIDENCE * max(0.0, 1 - apart / NEAR_GONE_MM)
    relation = _relation(case, label, bool(merged))
    doubts = doubts_of_link(case, label, relation, apart)
    return LinkProposal(
        label,
        lesion,
        relation,
        _rounded(case, share * margin, one),
        tuple(sorted([lesion, *merged], key=lesion_order)) if merged else (),
        _evidence(case, one, overlap.of_smaller if overlap else 0.0, apart, doubts),
    )


def _relation(case: LinkCase, label: int, merged: bool) -> LabelRelation:
    lesion = case.found.lesion_of[label]
    if merged:
        return "merged"
    if len(case.found.labels_of(lesion)) > 1:
        return "split"
    word = case.word(lesion)
    return "reappeared" if word == "absent" else "new" if word == "this visit" else "stable"


def _new(case: LinkCase, label: int, lesion: str) -> LinkProposal:
    """A label that is no known lesion; the evidence is of the nearest look."""
    doubts, largest, beside = doubts_of_new(case, label)
    if not case.looks:
        return LinkProposal(label, lesion, "new", evidence={"doubts": doubts} if doubts else {})
    confidence = (1 - min(1.0, largest)) * (0.5 if beside else 1.0)
    evidence = _evidence(case, case.looks[0], largest, None, doubts)
    return LinkProposal(label, lesion, "new", _rounded(case, confidence, case.looks[0]), evidence=evidence)


def _missing(case: LinkCase, lesion: str, word: LastWord) -> LinkProposal | None:
    """What is said of a lesion that no label is; None for one in view that was gone before, or came later."""
    one = look_at(lesion, case.looks)
    if one is None:
        if word in ("absent", "never"):
            return None
        return _not_assessed(lesion, "No registration that can be relied on tells where it would lie in this scan.")
    in_view = one.in_view[lesion]
    if lesion in case.found.swallowed:
        label = case.found.swallowed[lesion]
        into = case.found.lesion_of[label]
        overlap = one.overlaps[label, lesion].of_lesion
        doubts = [f"It may be gone, and its place overgrown by {into}."]
        return _without(case, lesion, "merged into", one, overlap, overlap, doubts, (into,))
    if in_view < MOST:
        return _without(case, lesion, "not in view", one, 1 - in_view, None, doubts_of_view(case, one, lesion))
    if word not in ("present", "this visit"):
        return None
    doubts, held = doubts_of_gone(case, one, lesion)
    return _without(case, lesion, "gone", one, max(0.0, in_view - held), held, doubts)


def _without(
    case: LinkCase,
    lesion: str,
    relation: MissingRelation,
    one: Look,
    confidence: float,
    overlap: float | None,
    doubts: Sequence[str],
    into: tuple[str, ...] = (),
) -> LinkProposal:
    evidence = _evidence(case, one, overlap, None, doubts)
    return LinkProposal(None, lesion, relation, _rounded(case, confidence, one), into, evidence)


def _rounded(case: LinkCase, confidence: float, one: Look) -> float:
    doubtful = one.known.registration_state == "doubtful" or one.known.mask_id in case.drifts
    halved = 0.5 if doubtful else 1.0
    return round(min(1.0, confidence) * halved, 3)


def _evidence(
    case: LinkCase, one: Look, overlap: float | None, apart_mm: float | None, doubts: Sequence[str]
) -> JsonDict:
    """Plain JSON, with the doubts that the look itself brings; what was not measured is left out."""
    known, all_doubts = one.known, list(doubts)
    if known.registration_state == "doubtful":
        all_doubts.append(f"The registration with the scan of {known.timepoint} is doubtful.")
    if known.mask_id in case.drifts:
        all_doubts.append(
            f"All lesions lie some {case.drifts[known.mask_id]:.0f} mm to one side of where they were on "
            f"{known.timepoint}: the scans may not be aligned well."
        )
    if not known.accepted:
        all_doubts.append(f"The mask of {known.timepoint} that it was told by is not accepted.")
    evidence = {
        "from_timepoint": known.timepoint,
        "from_mask_id": known.mask_id,
        "overlap": None if overlap is None else round(min(1.0, overlap), 3),
        "surface_mm": None if apart_mm is None else round(apart_mm, 1),
        "transform_id": known.transform_id,
        "registration_state": known.registration_state,
        "doubts": all_doubts or None,
    }
    return {key: value for key, value in evidence.items() if value is not None}
