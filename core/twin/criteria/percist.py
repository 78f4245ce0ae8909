"""PERCIST 1.0: SULpeak of the hottest lesion of each scan, not necessarily the same one, against baseline.

CMR: every lesion below the liver's mean and, by a person's word, like its surroundings. PMR: at least 30 % and 0.8 SUL
lower. PMD: more than 30 % and at least 0.8 SUL higher, TLG more than 75 % higher, or a new lesion. Else SMD. The
baseline lesion must be hot enough: 1.5 times the liver's mean + 2 SD. The two livers must differ by no more than 20 %
and 0.3 SUL; else, or where a liver is not known, NE, unless a new lesion is there. What comes after progression is PMD
until a person sets another baseline, as under RECIST (assumed).

Source: Wahl 2009, 10.2967/jnumed.108.057307, not re-read; its table was read in PMC2938069, table 3, 1.5 x mean + 2 SD
in PMC6047783, table 12, and the livers' 20 % and 0.3 SUL in PMC4377159, table 2. Assumed: baseline (not nadir) as what
PMD is told against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.growth.rates import Z95
from core.twin.criteria.course import carried
from core.twin.criteria.other_disease import new_lesions
from core.twin.criteria.values import (
    BASELINE,
    Call,
    Protocol,
    Visit,
    call_before_baseline,
    percent,
    visits_from_baseline,
)

CRITERION = "percist"
TITLE = "PERCIST 1.0"
SOURCE = "PERCIST, 10.2967/jnumed.108.057307"
ASSUMED = "that progression stays, how hot the baseline must be, how alike the livers, baseline as the reference of PMD"
CHANGE_PERCENT, LEAST_CHANGE_SUL, TLG_PERCENT = 30.0, 0.8, 75.0
LIVER_FACTOR, LIVER_SDS, LIVER_PERCENT, LIVER_SUL = 1.5, 2.0, 20.0, 0.3


def percist(visits: Sequence[Visit], protocol: Protocol) -> tuple[Call, ...]:
    """One call a visit; () for none. Raises InputError as `visits_from_baseline`."""
    if not visits:
        return ()
    before, rest = visits_from_baseline(visits, protocol)
    calls = [call_before_baseline(visit, protocol) for visit in before]
    baseline = rest[0]
    hottest, missing = hottest_sul(baseline)
    words = f"Baseline: no SULpeak{_why_no_sul(baseline)}." if hottest is None else f"Baseline: SULpeak {hottest:.3g}."
    notes = tuple(filter(None, [_not_hot_enough(baseline, hottest)]))
    calls.append(
        Call(
            baseline.timepoint,
            baseline.days,
            protocol.criterion,
            BASELINE,
            words,
            unit="SUL",
            value=hottest,
            baseline=hottest,
            missing=missing,
            notes=notes,
        )
    )
    return carried((*calls, *(_call(visit, baseline, protocol) for visit in rest[1:])), "PMD")


def hottest_sul(visit: Visit) -> tuple[float | None, tuple[str, ...]]:
    """The highest SULpeak of a visit, 0 where all are absent, None where one is missing; and lesions without one."""
    missing = tuple(
        sorted(
            m.lesion_id
            for m in visit.measurements
            if m.sul_peak is None and m.state not in ("absent", "merged into", "split into")
        )
    )
    found = [m.sul_peak or 0.0 for m in visit.measurements]
    return (max(found) if found and not missing else None), missing


def _call(visit: Visit, baseline: Visit, protocol: Protocol) -> Call:
    new = new_lesions(visit, protocol, frozenset())
    now, missing = hottest_sul(visit)
    start, _ = hottest_sul(baseline)
    by_measure, why = told_by_uptake(visit, baseline, now)
    if now is None and missing:  # what is known may be enough: the hottest can only be hotter
        known = max((m.sul_peak for m in visit.measurements if m.sul_peak is not None), default=None)
        part = told_by_uptake(visit, baseline, known)
        if part[0] == "PMD":
            by_measure, why = "PMD", f"{part[1]}, in the measured lesions alone"
    call = by_measure
    if new.counted:
        call, why = "PMD", f"new lesion {new.counted_words}; {why}"
    elif call == "CMR" and new.doubtful:
        call, why = "PMR", f"{why}, but no complete response while a new lesion is in doubt"
    return Call(
        visit.timepoint,
        visit.days,
        protocol.criterion,
        call,
        f"{call}: {why}.",
        by_measure,
        "SUL",
        now,
        start,
        None,
        missing,
        new.counted_ids,
        _flips(visit, baseline, None if new.counted else now, by_measure, protocol.log_sd),
        notes=new.notes,
    )


def told_by_uptake(visit: Visit, baseline: Visit, now: float | None) -> tuple[str, str]:
    """The call by SULpeak and TLG, and why.

    Args:
        now: the visit's highest SULpeak; None: not known.
    """
    start, _ = hottest_sul(baseline)
    if now is None or start is None:
        at, where = (visit, "at this visit") if now is None else (baseline, "at baseline")
        return "NE", f"no SULpeak of every lesion {where}{_why_no_sul(at)}"
    why_not = _not_hot_enough(baseline, start) or _livers_differ(visit, baseline)
    if why_not:
        return "NE", why_not.rstrip(".")
    change = percent(now, start) or 0.0
    told = f"SULpeak {now:.3g} is {change:+.1f} % ({now - start:+.2g} SUL) from baseline {start:.3g}"
    tlg = percent(visit.tlg_ml, baseline.tlg_ml)
    if tlg is not None and tlg > TLG_PERCENT:
        return "PMD", f"TLG is {tlg:+.1f} % from baseline; {told}"
    if change > CHANGE_PERCENT + 1e-9 and now - start >= LEAST_CHANGE_SUL - 1e-9:
        return "PMD", told
    if visit.liver_sul_mean is not None and now < visit.liver_sul_mean:
        if visit.uptake_like_background:
            return "CMR", f"{told}, below the liver ({visit.liver_sul_mean:.3g}) and like the surroundings"
        told += ", below the liver; nobody said that it is like the surroundings, so not complete"
    if change <= -CHANGE_PERCENT + 1e-9 and start - now >= LEAST_CHANGE_SUL - 1e-9:
        return "PMR", told
    return "SMD", told


def _why_no_sul(visit: Visit) -> str:
    """Which lesions lack it and why, as the end of a sentence; "" where nothing is said of it."""
    of: dict[str, list[str]] = {}
    for one in visit.measurements:
        if one.sul_peak is None and one.no_sul:
            of.setdefault(one.no_sul.rstrip("."), []).append(one.lesion_id)
    return "".join(f"; {', '.join(lesions)}: {why}" for why, lesions in of.items())


def _not_hot_enough(baseline: Visit, hottest: float | None) -> str:
    if hottest is None:
        return "No SULpeak at baseline."
    if baseline.liver_sul_mean is None or baseline.liver_sul_sd is None:
        return "The liver at baseline is not known: whether the lesion is hot enough cannot be told."
    least = LIVER_FACTOR * baseline.liver_sul_mean + LIVER_SDS * baseline.liver_sul_sd
    return "" if hottest >= least else f"SULpeak {hottest:.3g} at baseline is below {least:.3g}: not measurable."


def _livers_differ(visit: Visit, baseline: Visit) -> str:
    now, start = visit.liver_sul_mean, baseline.liver_sul_mean
    if now is None or start is None:
        return "the liver at this visit is not known: the scans cannot be compared"
    if abs(now - start) > LIVER_SUL + 1e-9 or abs(percent(now, start) or 0.0) > LIVER_PERCENT + 1e-9:
        return f"the liver went from {start:.3g} to {now:.3g} SUL: the scans cannot be compared"
    return ""


def _flips(visit: Visit, baseline: Visit, now: float | None, call: str, log_sd: float | None) -> bool | None:
    if log_sd is None:
        return None
    if not now:
        return False
    band = math.exp(Z95 * math.sqrt(2.0) * log_sd)
    return any(told_by_uptake(visit, baseline, end)[0] != call for end in (now / band, now * band))
