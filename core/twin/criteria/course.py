"""A patient's course under a criterion that judges a sum: one call a visit, each against what came before it.

The nadir is the least complete sum from baseline on, baseline included, and stops at progression: RECIST 1.1 takes "the
smallest sum on study" (4.3.1) and reports response "until disease progression" (4.4.3; both not re-read). What comes
after progression is PD until a person sets another baseline.

Overall call from targets, non-targets and new lesions: RECIST 1.1, 10.1016/j.ejca.2008.10.026, tables 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.growth.rates import Z95
from core.twin.criteria.limits import Limits, Standing, amount_words, told_by_sum
from core.twin.criteria.measures import TargetSum, absent_at_baseline, target_sum
from core.twin.criteria.other_disease import NewLesions, new_lesions, nontarget_notes, nontarget_status
from core.twin.criteria.targets import target_notes, thickness_notes
from core.twin.criteria.values import (
    BASELINE,
    Call,
    NontargetStatus,
    Protocol,
    Visit,
    call_before_baseline,
    visits_from_baseline,
)


@dataclass(frozen=True)
class Judged:
    """A visit's call, what the sum alone says, and why, in words."""

    call: str
    by_measure: str
    why: str


@dataclass(frozen=True)
class Found:
    """What is found at a visit, before it is judged."""

    visit: Visit
    sums: TargetSum
    nontarget: NontargetStatus | None
    new: NewLesions


#: What a criterion asks besides the sum: the visit and the baseline visit, and the call so far.
Conditions = Callable[[Judged, Visit, Visit], Judged]


@dataclass(frozen=True)
class Past:
    """What came before a visit.

    Args:
        nontarget_was_gone: the non-target lesions were called gone at a visit with CR.
        first_days: call -> days of the first of an unbroken row of responses of at least that.
        in_doubt: new lesion that did not count yet -> where it was first seen.
    """

    baseline: Visit
    standing: Standing
    not_targets: frozenset[str]
    nontarget_was_gone: bool = False
    first_days: Mapping[str, float] = field(default_factory=dict)
    in_doubt: Mapping[str, str] = field(default_factory=dict)
    progressed_on: str | None = None


def course(
    visits: Sequence[Visit], protocol: Protocol, limits: Limits, conditions: Conditions | None = None
) -> tuple[Call, ...]:
    """One call a visit, in their order; () for no visits.

    Raises:
        InputError: the baseline is no visit, or visits are not in order of time.
    """
    if not visits:
        return ()
    before, rest = visits_from_baseline(visits, protocol)
    calls = [call_before_baseline(visit, protocol) for visit in before]
    past = start(rest[0], protocol, limits)
    calls.append(baseline_call(past, protocol, limits))
    for visit in rest[1:]:
        found = find(visit, past, protocol, limits)
        judged = judge(found, past, protocol, conditions, limits)
        now = after(found, judged, past, protocol, limits)

        def call_of(other: Found, before: Past = past) -> str:
            return judge(other, before, protocol, conditions, limits).call

        calls.append(call_from(found, judged, now, protocol, limits, flips(found, judged, past, protocol, call_of)))
        past = with_nadir(found, now)
    return tuple(calls)


def start(baseline: Visit, protocol: Protocol, limits: Limits) -> Past:
    """What is known after the baseline visit."""
    not_targets = absent_at_baseline(baseline, protocol)
    sums = target_sum(baseline, protocol, limits.measure, not_targets)
    return Past(baseline, Standing(sums, None if sums.missing else sums), not_targets)


def find(visit: Visit, past: Past, protocol: Protocol, limits: Limits) -> Found:
    """What is found at a visit."""
    return Found(
        visit,
        target_sum(visit, protocol, limits.measure, past.not_targets),
        nontarget_status(visit, protocol),
        new_lesions(visit, protocol, past.not_targets),
    )


def judge(found: Found, past: Past, protocol: Protocol, conditions: Conditions | None, limits: Limits) -> Judged:
    """A visit's call; what comes after progression is PD."""
    by_measure, words = told_by_sum(found.sums, past.standing, limits)
    judged = overall(by_measure, words, found, past)
    if conditions is not None:
        judged = conditions(judged, found.visit, past.baseline)
    if past.progressed_on is not None:
        why = f"progression was on {past.progressed_on}; by itself this visit would be {judged.call}: {judged.why}"
        return Judged("PD", by_measure, why)
    return judged


def overall(by_measure: str, words: str, found: Found, past: Past) -> Judged:
    """Targets, non-targets and new lesions together (RECIST 1.1, table 1; without targets, table 2)."""
    why = progression_beside_targets(found, past)
    if why:
        return Judged("PD", by_measure, f"{why}{'; ' if words else ''}{words}")
    if by_measure == "":
        return _without_targets(found)
    if by_measure != "CR":
        return Judged(by_measure, by_measure, words)
    if found.new.doubtful:
        return Judged("PR", by_measure, f"{words}, but no complete response while a new lesion is in doubt")
    if found.nontarget not in ("CR", None):
        rest = "are not all evaluated" if found.nontarget == "NE" else "are still there"
        return Judged("PR", by_measure, f"{words}, but the non-target lesions {rest}")
    return Judged("CR", by_measure, words)


def progression_beside_targets(found: Found, past: Past) -> str:
    """Why it is progression whatever the targets do; "" where it is not."""
    if found.new.counted:
        return f"new lesion {found.new.counted_words}"
    if found.nontarget == "PD":
        return "unequivocal progression of non-target lesions, by a person's word"
    if past.nontarget_was_gone and found.nontarget == "non-CR/non-PD":
        return "non-target disease is back after a complete response"
    return ""


def _without_targets(found: Found) -> Judged:
    if found.nontarget is None:
        return Judged("NE", "", "there was no disease at baseline, and none is there")
    if found.nontarget == "CR" and found.new.doubtful:
        return Judged("non-CR/non-PD", "", "the non-target lesions are gone, but a new lesion is in doubt")
    return Judged(found.nontarget, "", "there are no targets; the non-target lesions decide")


def after(found: Found, judged: Judged, past: Past, protocol: Protocol, limits: Limits) -> Past:
    """What is known after a visit; its own sum is not yet in the nadir."""
    if past.progressed_on is not None:
        return past
    first = dict(past.first_days) if judged.call in ("CR", "PR", "NE") else {}
    if judged.call == "PR":
        first.pop("CR", None)
    if judged.call in ("CR", "PR"):
        first.setdefault("PR", found.visit.days)
    if judged.call == "CR":
        first.setdefault("CR", found.visit.days)
    doubt = dict(past.in_doubt)
    for lesion in found.new.doubtful:
        doubt.setdefault(lesion.lesion_id, found.visit.timepoint)
    since = [doubt[lesion] for lesion in found.new.counted_ids if lesion in doubt]
    complete = judged.call == "CR"
    past = replace(
        past,
        nontarget_was_gone=past.nontarget_was_gone or (complete and found.nontarget == "CR"),
        first_days=first,
        in_doubt=doubt,
        progressed_on=min([found.visit.timepoint, *since]) if judged.call == "PD" else None,
    )
    responded = judged.call in ("CR", "PR") and confirmed(found.visit, judged.call, past, protocol, limits) is not False
    standing = past.standing
    return replace(
        past,
        standing=replace(
            standing,
            responded=standing.responded or responded,
            was_complete=standing.was_complete or complete,
        ),
    )


def with_nadir(found: Found, past: Past) -> Past:
    """The nadir with a visit's sum, if that is complete and no progression came."""
    standing, sums = past.standing, found.sums
    if past.progressed_on is not None or sums.missing or standing.nadir is None:
        return past
    return replace(past, standing=replace(standing, nadir=min(standing.nadir, sums, key=lambda s: s.known)))


def confirmed(visit: Visit, call: str, past: Past, protocol: Protocol, limits: Limits) -> bool | None:
    """Whether a response has been there for as long as is asked for; None where nothing is."""
    days = limits.confirmation_days if protocol.confirmation_days is None else protocol.confirmation_days
    if days is None or call not in past.first_days or call not in ("CR", "PR"):
        return None
    return visit.days - past.first_days[call] >= days


def flips(found: Found, judged: Judged, past: Past, protocol: Protocol, call_of: Callable[[Found], str]) -> bool | None:
    """Whether the call differs at either end of the 95 % band of the change.

    The change's log-SD is that of two sums of independent measurements: this one and the one that it is judged by, the
    nadir where it is above that, else the baseline.
    """
    reference = past.standing.nadir
    if protocol.log_sd is None or reference is None or not found.sums.known:
        return None if protocol.log_sd is None else False
    if judged.by_measure in ("PR", "CR"):
        reference = past.standing.baseline
    sd = math.hypot(found.sums.relative_sd(protocol.log_sd), reference.relative_sd(protocol.log_sd))
    ends = (math.exp(-Z95 * sd), math.exp(Z95 * sd))
    return any(call_of(replace(found, sums=found.sums.scaled(end))) != judged.call for end in ends)


def carried(calls: Sequence[Call], progression: str) -> tuple[Call, ...]:
    """The calls with every one after the first progression as that, until a person sets another baseline: as of a sum.

    Args:
        progression: the criterion's word for it.
    """
    first = next((n for n, call in enumerate(calls) if call.call == progression), None)
    if first is None:
        return tuple(calls)
    day = calls[first].timepoint
    later = [
        replace(
            call,
            call=progression,
            sentence=f"{progression}: progression was on {day}; by itself this visit would be {call.sentence}",
            flips_within_noise=None if call.flips_within_noise is None else False,
            progressed_on=day,
            notes=(*call.notes, f"Progression dates from {day}."),
        )
        for call in calls[first + 1 :]
    ]
    return (*calls[:first], replace(calls[first], progressed_on=day), *later)


def call_from(
    found: Found, judged: Judged, past: Past, protocol: Protocol, limits: Limits, flips_within_noise: bool | None
) -> Call:
    """The call of a visit. Args: past: with what the visit's own call made of it, but not yet its sum."""
    visit, standing = found.visit, past.standing
    known = confirmed(visit, judged.call, past, protocol, limits)
    notes = [*found.sums.notes, *found.new.notes, *nontarget_notes(visit, past.baseline, protocol)]
    if known is False:
        days = limits.confirmation_days if protocol.confirmation_days is None else protocol.confirmation_days
        notes.append(f"{judged.call} is not confirmed: it must be seen again after {days} days.")
    if past.progressed_on is not None and past.progressed_on < visit.timepoint:
        notes.append(f"Progression dates from {past.progressed_on}.")
    return Call(
        visit.timepoint,
        visit.days,
        protocol.criterion,
        judged.call,
        f"{judged.call}: {judged.why}.",
        judged.by_measure,
        limits.unit,
        found.sums.total if found.sums.amounts else None,
        standing.baseline.total if standing.baseline.amounts else None,
        standing.nadir.total if standing.nadir and standing.nadir.amounts else None,
        tuple(sorted(found.sums.missing)),
        found.new.counted_ids,
        flips_within_noise,
        known,
        past.progressed_on,
        tuple(notes),
    )


def baseline_call(past: Past, protocol: Protocol, limits: Limits) -> Call:
    """The call of the baseline visit."""
    sums = past.standing.baseline
    notes = list(sums.notes)
    if past.not_targets:
        notes.append(f"Absent at baseline and so no target: {', '.join(sorted(past.not_targets))}.")
    notes += [*target_notes(protocol, sums), *thickness_notes(past.baseline, protocol, limits)]
    is_whole = sums.amounts and not sums.missing
    words = f"sum {amount_words(sums.known, limits)}" if is_whole else "no complete sum of targets"
    if sums.missing:
        notes.append(f"Not known at baseline: {', '.join(sums.missing.values())}.")
    return Call(
        past.baseline.timepoint,
        past.baseline.days,
        protocol.criterion,
        BASELINE,
        f"Baseline: {words}.",
        unit=limits.unit,
        value=sums.total if sums.amounts else None,
        baseline=sums.total if sums.amounts else None,
        missing=tuple(sorted(sums.missing)),
        notes=tuple(notes),
    )
