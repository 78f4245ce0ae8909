"""Whether a lesion's change is real, and how fast it grew: one answer from one noise model, asked of both ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.growth.curves import FLOOR_MM3
from core.growth.rates import READER_LOG_SD, Z95
from core.remembered.untyped import JsonDict
from core.twin.installation_noise import NoiseEstimate
from core.twin.measured_end import MeasuredEnd as MeasuredEnd  # the ends of every change are named here too
from core.twin.noise import Repeatability, Widening, repeatability, widenings
from core.types import Verdict


@dataclass(frozen=True)
class Change:
    """What happened to one lesion, or to one set of lesions, between two masks.

    `log_sd` alone makes the interval, the verdict, the rate's interval and the doubling time: "real" is exactly an
    interval without 0, "within noise" exactly one with it, and only a real change has a doubling time. An "unknown" one
    may have an interval by an assumed noise, which is no verdict.

    Args:
        percent: (after - before) / before in percent; None where there was nothing before.
        verdict: "real", "within noise" or "unknown".
        rule: the rule's name with what it rests on, "assumed" included where it is; or why there is none.
        log_sd: SD of ln(after / before), of both volumes together; None where nothing is known of it.
        volume_log_sds: SD of ln(volume) at each end; `log_sd` is their root sum of squares.
        widened_by: what widened it beyond the rule's, in words.
        why: a sentence for people.
        smallest_real_percent: the smallest real change in this direction, percent, > 0; None without a verdict.
        log_change, log_low95, log_high95: ln(after / before) and its interval.
        growth_percent_per_day, growth_low95, growth_high95: the specific growth rate; None where there is no change to
            speak of (a new lesion, two modalities, not known to be one lesion) or no later day.
        doubling_days, doubling_low_days, doubling_high_days: ln 2 / rate, ascending limits; negative for halving.
        is_bound: the lesion is gone, counted as 5 mm across: it shrank at least so much.
        mask_ids: of the two masks, the earlier first.
    """

    percent: float | None
    verdict: Verdict
    rule: str
    log_sd: float | None = None
    volume_log_sds: tuple[float, float] | None = None
    widened_by: tuple[str, ...] = ()
    why: str = ""
    smallest_real_percent: float | None = None
    log_change: float | None = None
    log_low95: float | None = None
    log_high95: float | None = None
    growth_percent_per_day: float | None = None
    growth_low95: float | None = None
    growth_high95: float | None = None
    doubling_days: float | None = None
    doubling_low_days: float | None = None
    doubling_high_days: float | None = None
    is_bound: bool = False
    mask_ids: tuple[str, str] = ("", "")

    @property
    def growth_text(self) -> str:
        """The rate for people: with its doubling time, or why it has none."""
        if self.growth_percent_per_day is None or self.verdict == "unknown":
            return f"unknown: {self.rule}"
        if self.doubling_days is None or self.growth_low95 is None or self.growth_high95 is None:
            return "not distinguishable from no growth"
        kind = "doubling" if self.doubling_days > 0 else "halving"
        near, far = sorted(abs(end or math.nan) for end in (self.doubling_low_days, self.doubling_high_days))
        rate = f"{self.growth_percent_per_day:+.2f} % per day ({self.growth_low95:+.2f} to {self.growth_high95:+.2f})"
        return f"{rate}, {kind} in {abs(self.doubling_days):.0f} days ({near:.0f}–{far:.0f})"

    def to_json(self) -> JsonDict:
        """The keys of one of `changes` of a timeline that come from here."""
        return {
            "percent": self.percent,
            "verdict": self.verdict,
            "rule": self.rule,
            "log_sd": self.log_sd,
            "widened_by": list(self.widened_by),
            "growth_percent_per_day": self.growth_percent_per_day,
            "growth_interval95_percent_per_day": None
            if self.growth_low95 is None
            else [self.growth_low95, self.growth_high95],
            "doubling_days": self.doubling_days,
            "mask_ids": list(self.mask_ids),
            "why": self.why,
        }


def unknown_change(before: MeasuredEnd, after: MeasuredEnd, rule: str, why: str) -> Change:
    """A change that has no verdict, interval or rate, because the two are not known to be the same thing."""
    percent = None if before.volume_mm3 == 0 else 100.0 * (after.volume_mm3 - before.volume_mm3) / before.volume_mm3
    return Change(percent, "unknown", rule, why=f"{why}.", mask_ids=(before.mask_id, after.mask_id))


def _not_one_lesion(before: MeasuredEnd, after: MeasuredEnd) -> tuple[str, str] | None:
    """The rule's name and why, where the registration does not say that both ends are one lesion.

    A doubtful registration is unknown and not widened: it may compare two lesions, and no SD covers that. A person who
    accepts it, or the link, makes it "accepted".
    """
    states = (before.registration_state, after.registration_state)
    for state in ("failed", "doubtful"):
        if state in states:
            return f"no rule: registration {state}", f"The registration is {state}: this may not be one lesion"
    return None


def change_between(
    before: MeasuredEnd, after: MeasuredEnd, installation: Sequence[NoiseEstimate] | None = None
) -> Change:
    """Is the change more than measuring the same lesion twice would give, and how fast is it?

    Volumes are log-normal. Each end has a variance of ln(volume): that of the rule for both ends
    (`core.twin.noise.repeatability`) and what widens it (`widenings`). Their sum is the variance of ln(after/before);
    1.96 of its roots each way is the interval.

    Args:
        before, after: the ends; swapped, the log change is negated and the verdict is the same.
        installation: this installation's own noise, where it was measured.

    Returns:
        "real" where the interval leaves out 0, "within noise" where it holds 0, "unknown" without a rule. A lesion that
        is gone changes by -100 % and is counted as 5 mm across for the interval; one that is new has no verdict here:
        it is the response rule's to judge. Absent at both ends: within noise.

    Source: SGR: Mehrara 2007, 10.1158/0008-5472.CAN-06-3822. Rules: see `core.twin.noise`.
    """
    own = installation or ()
    if before.volume_mm3 == 0 and after.volume_mm3 == 0:
        return _absent_twice(before, after)
    if before.volume_mm3 == 0:
        return unknown_change(before, after, "no rule for a new lesion", "A new lesion has no volume to compare with")
    apart = _not_one_lesion(before, after)
    if apart is not None:
        return unknown_change(before, after, *apart)
    known = repeatability(before, after, own)
    if known.log_sd is None:
        return unknown_change(before, after, known.rule, f"No verdict: {known.why_no_verdict}")
    found, remarks = widenings(before, after, own)
    return _judged(before, after, known, known.log_sd, found, remarks)


def _absent_twice(before: MeasuredEnd, after: MeasuredEnd) -> Change:
    """Nothing twice: no change, whatever measured it; the interval has the noise between readers (assumed)."""
    sds = (READER_LOG_SD, READER_LOG_SD)
    change = Change(
        None,
        "within noise",
        "absent at both timepoints",
        math.hypot(*sds),
        sds,
        why="No volume at either timepoint.",
        mask_ids=(before.mask_id, after.mask_id),
    )
    return _with_interval(change, 0.0, after.day - before.day)


def _judged(
    before: MeasuredEnd,
    after: MeasuredEnd,
    known: Repeatability,
    base: float,
    found: Sequence[Widening],
    remarks: Sequence[str],
) -> Change:
    sds = (
        math.sqrt(base**2 + sum(reason.before_variance for reason in found)),
        math.sqrt(base**2 + sum(reason.after_variance for reason in found)),
    )
    log_sd, gone = math.hypot(*sds), after.volume_mm3 == 0
    log_change = math.log(FLOOR_MM3 if gone else after.volume_mm3) - math.log(before.volume_mm3)
    if gone:
        log_change = min(log_change, 0.0)  # what was below 5 mm has not grown by going
    verdict = _verdict(known, log_change, log_sd)
    percent = 100.0 * (after.volume_mm3 - before.volume_mm3) / before.volume_mm3
    limit = None if verdict == "unknown" else 100.0 * abs(math.expm1(math.copysign(Z95 * log_sd, log_change)))
    words = tuple(dict.fromkeys(reason.words for reason in found))
    told = f"At least {100.0 * math.expm1(log_change):.1f} % (gone, counted as 5 mm)" if gone else f"{percent:+.1f} %"
    change = Change(
        percent,
        verdict,
        known.rule + (_widened_for(found) if verdict != "unknown" else ""),
        log_sd,
        sds,
        words,
        _why(told, verdict, limit, known, words, remarks),
        limit,
        is_bound=gone,
        mask_ids=(before.mask_id, after.mask_id),
    )
    return _with_interval(change, log_change, after.day - before.day)


def _verdict(known: Repeatability, log_change: float, log_sd: float) -> Verdict:
    if known.why_no_verdict:
        return "unknown"
    half = Z95 * log_sd
    return "real" if log_change - half > 0 or log_change + half < 0 else "within noise"


def _widened_for(found: Sequence[Widening]) -> str:
    if not any(reason.before_variance + reason.after_variance > 0 for reason in found):
        return ""
    segmenters = any(reason.words.startswith("different segmenters") for reason in found)
    return ", widened for different segmenters (assumed)" if segmenters else ", widened (assumed)"


def _with_interval(change: Change, log_change: float, days: float) -> Change:
    """With the log change's interval, the rate's where there are days between, and a real rate's doubling time."""
    half = Z95 * (change.log_sd or 0.0)
    low, high = log_change - half, log_change + half
    change = replace(change, log_change=log_change, log_low95=low, log_high95=high)
    if days <= 0:
        return change
    change = replace(
        change,
        growth_percent_per_day=100.0 * log_change / days,
        growth_low95=100.0 * low / days,
        growth_high95=100.0 * high / days,
    )
    if change.verdict != "real":
        return change
    near, far = sorted(math.log(2.0) * days / end for end in (low, high))
    doubling = math.log(2.0) * days / log_change
    return replace(change, doubling_days=doubling, doubling_low_days=near, doubling_high_days=far)


def _why(
    told: str,
    verdict: Verdict,
    limit: float | None,
    known: Repeatability,
    words: Sequence[str],
    remarks: Sequence[str],
) -> str:
    if limit is None:
        said = f"No verdict: {known.why_no_verdict}"
    else:
        more = "more than" if verdict == "real" else "not more than"
        said = f"{told} is {more} the {limit:.1f} % that measuring twice may give"
    parts = [said, *([f"widened by {', '.join(words)}"] if words else []), *remarks]
    return "; ".join(parts) + "."
