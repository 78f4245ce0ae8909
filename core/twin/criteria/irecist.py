"""iRECIST: progression under immunotherapy is unconfirmed (iUPD) until the next scan confirms it (iCPD).

Each visit is first judged as in RECIST 1.1. Then:

| before | this visit | call |
|---|---|---|
| no open iUPD | RECIST PD | iUPD |
| open iUPD | sum of targets, or of new lesions, 5 mm or more above that at the iUPD | iCPD |
| open iUPD | another new lesion; any growth of non-targets after their iUPD; PD in another kind of disease | iCPD |
| open iUPD | any of these, but less than four weeks after it | iUPD |
| open iUPD | whether what made it is still there is not known | NE |
| open iUPD | what made it is gone, or the targets are in a better category than at it | reset: iSD, iPR, iCR |
| open iUPD | else | iUPD |

After a reset, progression must come again (against the nadir) and be confirmed again; new lesions from before count
anew where their sum rises by 20 % and 5 mm. Complete response needs them gone. Two increases after one iUPD add up.
Before four weeks only another new lesion in a patient who is clinically worse confirms. Later than eight weeks it is
confirmed too, and told. Confirmed progression dates from the iUPD.

Source: Seymour 2017, 10.1016/S1470-2045(17)30074-8; tables 2 and 3 were read in PMC5648544; EORTC's answers on early
scans, new lesions and non-target disease were read at recist.eortc.org/irecist/ (four weeks with a margin of two days).
Assumed: which improvement resets while a new lesion stays (a better category of the targets).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.twin.criteria.course import (
    Found,
    Judged,
    Past,
    after,
    baseline_call,
    call_from,
    find,
    flips,
    overall,
    start,
    with_nadir,
)
from core.twin.criteria.limits import told_by_sum
from core.twin.criteria.other_disease import NewLesions
from core.twin.criteria.recist import RECIST
from core.twin.criteria.values import Call, Protocol, Visit, call_before_baseline, visits_from_baseline

LIMITS = replace(
    RECIST,
    criterion="irecist",
    title="iRECIST",
    source="iRECIST, 10.1016/S1470-2045(17)30074-8",
    assumed="which improvement resets while a new lesion stays",
)
FURTHER_MM = 5.0
EARLIEST_DAYS, LATEST_DAYS = 28 - 2, 56
_RANK = {"CR": 3, "PR": 2, "SD": 1}


@dataclass(frozen=True)
class Open:
    """An iUPD that is neither confirmed nor reset: what was found at it, and which kinds of disease made it."""

    found: Found
    by_measure: str
    kinds: frozenset[str]


@dataclass(frozen=True)
class State:
    """What iRECIST remembers besides RECIST's past.

    Args:
        known: new lesions seen before, that count. least_new_mm: the least sum of all new lesions since a reset.
    """

    opened: Open | None = None
    known: frozenset[str] = frozenset()
    least_new_mm: float | None = None
    confirmed_on: str | None = None


def irecist(visits: Sequence[Visit], protocol: Protocol) -> tuple[Call, ...]:
    """One call a visit; () for none. Raises InputError as `course`."""
    if not visits:
        return ()
    before, rest = visits_from_baseline(visits, protocol)
    calls = [call_before_baseline(visit, protocol) for visit in before]
    past, state = start(rest[0], protocol, LIMITS), State()
    calls.append(baseline_call(past, protocol, LIMITS))
    for visit in rest[1:]:
        found = find(visit, past, protocol, LIMITS)
        judged, later = step(found, past, state)

        def call_of(other: Found, before: Past = past, then: State = state) -> str:
            return step(other, before, then)[0].call

        doubt = flips(found, judged, past, protocol, call_of)
        plain = replace(judged, call=judged.call.removeprefix("i"))
        # RECIST's own memory (nadir, response, first seen) goes on through an iUPD, and stops at iCPD.
        past = after(found, replace(plain, call="PD" if plain.call == "CPD" else plain.call), past, protocol, LIMITS)
        if judged.call == "iCPD" and state.opened is not None:
            past = replace(past, progressed_on=state.opened.found.visit.timepoint)
        calls.append(call_from(found, judged, past, protocol, LIMITS, doubt))
        past, state = with_nadir(found, past), later
    return tuple(calls)


def step(found: Found, past: Past, state: State) -> tuple[Judged, State]:
    """One visit's call, and what is remembered after it."""
    by_measure, words = told_by_sum(found.sums, past.standing, LIMITS)
    if past.nontarget_was_gone and found.nontarget == "non-CR/non-PD":
        found = replace(found, nontarget="PD")  # back after a complete response
    found = replace(found, new=_still_new(found, state.known))
    known = state.known | set(found.new.counted_ids)
    if state.confirmed_on is not None:
        why = f"progression was confirmed on {state.confirmed_on}"
        return Judged("iCPD", by_measure, f"{why}; {words}" if words else why), state
    if state.opened is None:
        return _without_open(found, past, state, by_measure, words, known)
    visit, opened = found.visit, state.opened
    days = visit.days - opened.found.visit.days
    why = further(found, opened, state.known, by_measure)
    if why and (days >= EARLIEST_DAYS or _early_is_enough(found, state.known)):
        late = f", {days:.0f} days after it, later than eight weeks" if days > LATEST_DAYS else ""
        told = f"{why} since the unconfirmed progression of {opened.found.visit.timepoint}{late}"
        return Judged("iCPD", by_measure, told), State(known=known, confirmed_on=visit.timepoint)
    if why:
        told = f"{why}, but {days:.0f} days after {opened.found.visit.timepoint}: four weeks are asked for"
        return Judged("iUPD", by_measure, told), state  # an early scan is disregarded
    unknown = _not_known(found, opened) or (words if by_measure == "NE" else "")
    if unknown:
        told = f"{unknown}; the progression of {opened.found.visit.timepoint} stays unconfirmed"
        return Judged("NE", by_measure, told), state
    if stands(found, opened, by_measure):
        told = f"no further growth since {opened.found.visit.timepoint}, and no reset{'; ' if words else ''}{words}"
        return Judged("iUPD", by_measure, told), replace(state, known=known)
    judged = _response(found, past, by_measure, words)
    told = f"{judged.why}; the progression of {opened.found.visit.timepoint} was not confirmed"
    return replace(judged, why=told), State(None, known, _new_sum_mm(found))


def _still_new(found: Found, known: frozenset[str]) -> NewLesions:
    """New lesions that counted before count while they are there, however small they have become."""
    back = tuple(n for n in found.new.doubtful if n.lesion_id in known)
    rest = tuple(n for n in found.new.doubtful if n.lesion_id not in known)
    return NewLesions((*found.new.counted, *back), rest)


def _without_open(
    found: Found, past: Past, state: State, by_measure: str, words: str, known: frozenset[str]
) -> tuple[Judged, State]:
    kinds = kinds_of_progression(found, by_measure, state.known)
    new_mm, least = _new_sum_mm(found), state.least_new_mm
    if least is not None and new_mm is not None:
        if new_mm >= least * (1 + LIMITS.pd_percent / 100) - 1e-9 and new_mm - least >= FURTHER_MM - 1e-9:
            kinds |= {"new lesions"}
        least = min(least, new_mm)
    if kinds:
        told = f"progression of {', '.join(sorted(kinds))}, to be confirmed after 4 to 8 weeks"
        if found.new.counted:
            told += f"; new lesion {found.new.counted_words}"
        return Judged("iUPD", by_measure, f"{told}; {words}" if words else told), State(
            Open(found, by_measure, kinds), known
        )
    return _response(found, past, by_measure, words), replace(state, known=known, least_new_mm=least)


def kinds_of_progression(found: Found, by_measure: str, known: frozenset[str]) -> frozenset[str]:
    """Which kinds of disease have RECIST's PD at a visit; new lesions that were seen before do not count anew."""
    kinds = {
        "targets": by_measure == "PD",
        "non-target lesions": found.nontarget == "PD",
        "new lesions": bool(set(found.new.counted_ids) - known),
    }
    return frozenset(kind for kind, is_so in kinds.items() if is_so)


def further(found: Found, opened: Open, known: frozenset[str], by_measure: str) -> str:
    """What confirms an open iUPD; "" where nothing does."""
    more = found.sums.known - opened.found.sums.known
    if "targets" in opened.kinds and not opened.found.sums.missing and more >= FURTHER_MM - 1e-9:
        return f"the sum of targets rose by {more:.3g} mm"
    another = sorted(set(found.new.counted_ids) - known)
    if another:
        return f"another new lesion {', '.join(another)}"
    growth = _growth_of_new_mm(found, opened)
    if growth is not None and growth >= FURTHER_MM - 1e-9:
        return f"the new lesions grew by {growth:.3g} mm"
    if any(n.grew for n in found.new.counted):
        return "a new lesion grew, by a person's word"
    if "non-target lesions" in opened.kinds and found.visit.nontarget_grew:
        return "the non-target lesions grew further"
    fresh = kinds_of_progression(found, by_measure, known) - opened.kinds
    return f"progression of {', '.join(sorted(fresh))} too" if fresh else ""


def _new_sum_mm(found: Found) -> float | None:
    """The sum of the new lesions that count; None without one, or where a size is not known."""
    sizes = [n.size_mm for n in found.new.counted]
    return sum(size or 0.0 for size in sizes) if sizes and None not in sizes else None


def _growth_of_new_mm(found: Found, opened: Open) -> float | None:
    before = {n.lesion_id: n.size_mm for n in opened.found.new.counted}
    now = {n.lesion_id: n.size_mm for n in found.new.counted if n.lesion_id in before}
    pairs = [(before[lesion], size) for lesion, size in now.items()]
    if not pairs or any(a is None or b is None for a, b in pairs):
        return None
    return sum((b or 0.0) - (a or 0.0) for a, b in pairs)


def _early_is_enough(found: Found, known: frozenset[str]) -> bool:
    return found.visit.clinical == "worse" and bool(set(found.new.counted_ids) - known)


def stands(found: Found, opened: Open, by_measure: str) -> bool:
    """Whether what made an open iUPD is still so, and the targets are in no better category than at it."""
    if by_measure == "PD" or found.nontarget == "PD":
        return True
    if not ("new lesions" in opened.kinds and found.new.counted):
        return False
    return _RANK.get(by_measure, 0) <= _RANK.get(opened.by_measure, 0)


def _not_known(found: Found, opened: Open) -> str:
    """Whether it is not known if what made an open iUPD is still there, in words; "" where it is known."""
    if "non-target lesions" in opened.kinds and found.nontarget in (None, "NE"):
        return "the non-target lesions are not evaluated"
    unseen = ("not in view", "rejected", "not assessed")
    listed = {n.lesion_id for n in (*found.new.counted, *found.new.doubtful)}
    states = {m.lesion_id: m.state for m in found.visit.measurements}
    lost = [n for n in opened.found.new.counted_ids if n not in listed and states.get(n) in unseen]
    return ", ".join(f"new lesion {n} is {states[n]}" for n in lost)


def _response(found: Found, past: Past, by_measure: str, words: str) -> Judged:
    """RECIST's answer with an i; new lesions that stand, and count no more, let no response be complete."""
    if found.new.counted:
        doubtful = replace(found.new, counted=(), doubtful=(*found.new.counted, *found.new.doubtful))
        found = replace(found, new=doubtful)
    judged = overall(by_measure, words, found, replace(past, nontarget_was_gone=False))
    call = judged.call if judged.call in ("NE", "non-CR/non-PD") else f"i{judged.call}"
    return replace(judged, call=call)
