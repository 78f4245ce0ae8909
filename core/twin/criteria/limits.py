"""A criterion's limits on a sum of the targets, and what the sum alone says under them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from core.twin.criteria.measures import Measure, TargetSum
from core.twin.criteria.values import NORMAL_NODE_MM, Unit, percent

#: A share of the reference, so that -30 % exactly is -30 % in floating point too.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Limits:
    """One row of the table of criteria that judge a sum.

    Args:
        criterion: as in the protocol; title: for people. measure: what is summed.
        pr_percent: change from baseline at or below which it is PR; pd_percent: from nadir at or above which it is PD.
        least_rise_mm: PD needs this besides, in mm of diameter; 0: nothing.
        least_rise_of: of the sum; of one lesion; or of the sum of the diameters of spheres of the same volumes.
        keeps_pr: PR stays until PD once it was called.
        confirmation_days: a response must be seen again after so many days; None: it need not.
        least_slices, least_perpendicular_mm: what a target must have at baseline to be measurable; 0: not asked for.
        source: with DOI. assumed: what was not read again in the source; "" where all was.
    """

    criterion: str
    title: str
    measure: Measure
    pr_percent: float
    pd_percent: float
    least_rise_mm: float
    least_rise_of: Literal["sum", "one lesion", "spheres"]
    keeps_pr: bool
    confirmation_days: int | None
    source: str
    assumed: str = ""
    least_slices: int = 0
    least_perpendicular_mm: float = 0.0

    @property
    def unit(self) -> Unit:
        """Of the sum."""
        return "mm" if self.measure == "diameter" else "mm3"


@dataclass(frozen=True)
class Standing:
    """What a visit's sum is compared with.

    Args:
        baseline, nadir: sums; the nadir is the least complete one from baseline on. None: not known.
        responded: PR counts as called. was_complete: CR was called at a visit before.
    """

    baseline: TargetSum
    nadir: TargetSum | None
    responded: bool = False
    was_complete: bool = False


def told_by_sum(now: TargetSum, standing: Standing, limits: Limits) -> tuple[str, str]:
    """What the targets alone say, and the numbers it rests on.

    Returns:
        CR, PD, NE, PR or SD, asked in that order, and words; ("", "") without targets. All targets gone is CR even
        where nodes that are all of normal size have grown. PD needs no complete sum where the known part is enough.
    """
    if not standing.baseline.amounts and not standing.baseline.missing:
        return "", ""
    if standing.nadir is None or not standing.baseline.total:
        return "NE", f"the baseline sum is not known: {_whys(standing.baseline) or 'it is 0'}"
    if now.is_gone:
        nodes = ", nodes below 10 mm" if now.nodes and limits.measure == "diameter" else ""
        return "CR", f"all targets are gone{nodes} ({_sum(now.known, limits)})"
    if standing.was_complete and _is_back(now):
        return "PD", f"disease is back after a complete response ({_sum(now.known, limits)})"
    nadir = standing.nadir
    if rises(now, nadir, limits):
        part = f", in the measured targets alone ({_whys(now)})" if now.missing else ""
        from_nadir = _against(now.known, nadir.known, "nadir", limits)
        return "PD", f"{_sum(now.known, limits)}, {from_nadir}{part} (limit {pd_limit_words(limits)})"
    if now.missing:
        return "NE", f"{_whys(now)}, and the rest ({_sum(now.known, limits)}) is no progression by itself"
    return _response(now, standing.baseline, nadir, standing.responded, limits)


def _response(
    now: TargetSum, baseline: TargetSum, nadir: TargetSum, responded: bool, limits: Limits
) -> tuple[str, str]:
    from_baseline = f"{_sum(now.known, limits)}, {_against(now.known, baseline.known, 'baseline', limits)}"
    if now.known <= baseline.known * (1 + limits.pr_percent / 100) * (1 + _ROUNDING):
        return "PR", f"{from_baseline} (limit {limits.pr_percent:+g} %)"
    if nadir.known < baseline.known:
        words = f"{from_baseline} and {_against(now.known, nadir.known, 'nadir', limits)}"
    else:
        words = f"{from_baseline}, which is the nadir"
    words += f" (limits {limits.pr_percent:+g} %; {pd_limit_words(limits)})"
    if limits.keeps_pr and responded:
        return "PR", f"{words}; kept from before, as there is no progression"
    return "SD", words


def rises(now: TargetSum, nadir: TargetSum, limits: Limits) -> bool:
    """Whether the known part of a sum is above a complete one by the criterion's share and its least rise."""
    if now.known <= nadir.known or now.known < nadir.known * (1 + limits.pd_percent / 100) * (1 - _ROUNDING):
        return False
    least = limits.least_rise_mm - 1e-9
    if limits.least_rise_of == "one lesion":
        return any(amount - nadir.amounts.get(lesion, 0.0) >= least for lesion, amount in now.amounts.items())
    if limits.least_rise_of == "spheres":
        # Lesions that merged are one sphere now: the sum of their diameters falls though nothing shrank.
        pooled = [name for name, x in now.amounts.items() if x] != [name for name, x in nadir.amounts.items() if x]
        return _spheres_mm(now, pooled) - _spheres_mm(nadir, pooled) >= least
    return now.known - nadir.known >= least


def _spheres_mm(volumes: TargetSum, pooled: bool) -> float:
    if pooled:
        return math.cbrt(6.0 * volumes.known / math.pi)
    return math.fsum((6.0 * volume / math.pi) ** (1 / 3) for volume in volumes.amounts.values())


def _is_back(now: TargetSum) -> bool:
    limit = NORMAL_NODE_MM if now.measure == "diameter" else 0.0
    return any(
        amount >= limit if limit and lesion in now.nodes else amount > 0 for lesion, amount in now.amounts.items()
    )


def _whys(sums: TargetSum) -> str:
    return ", ".join(sums.missing.values())


def _sum(value: float, limits: Limits) -> str:
    return f"sum {amount_words(value, limits)}"


def amount_words(value: float, limits: Limits) -> str:
    """A sum for people: "37 mm", "1.2 mL"."""
    return f"{value:.4g} mm" if limits.measure == "diameter" else f"{value / 1000:.3g} mL"


def _against(value: float, reference: float, name: str, limits: Limits) -> str:
    change = percent(value, reference)
    share = [] if change is None else [f"{change:+.1f} %"]
    rise = [f"{value - reference:+.3g} mm"] if limits.measure == "diameter" else []
    return f"{' and '.join(share + rise) or 'regrown'} from the {name} of {amount_words(reference, limits)}"


def pd_limit_words(limits: Limits) -> str:
    """What a rise from nadir must reach: "+20 % and 5 mm"."""
    rest = {
        "sum": f" and {limits.least_rise_mm:g} mm",
        "one lesion": f" and {limits.least_rise_mm:g} mm in one lesion",
        "spheres": f" and {limits.least_rise_mm:g} mm of sphere diameters",
    }[limits.least_rise_of]
    return f"{limits.pd_percent:+g} %{rest if limits.least_rise_mm else ''}"
