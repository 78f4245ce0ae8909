"""Response at every timepoint, against baseline and nadir, with the rule in force always named.

Criteria are never pooled: each result carries its rule, `response_by_rule` shows where rules disagree. Progression is
tested before response, a new lesion is progression, the nadir includes the baseline, and what cannot be measured is NE.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.errors import InputError
from core.growth.response_thresholds import RECIST_SPHERE_PD_PERCENT, RECIST_SPHERE_PR_PERCENT
from core.types import TOTAL_LESION_ID, VolumePoint

Category = Literal["baseline", "CR", "PR", "SD", "PD", "NE"]
CATEGORIES: tuple[Category, ...] = ("baseline", "CR", "PR", "SD", "PD", "NE")


@dataclass(frozen=True)
class ResponseRule:
    """Thresholds on the summed volume of the lesions.

    Args:
        name: key in `RULES`; label: for people.
        pr_percent: change from baseline at or below which it is PR (negative).
        pd_percent: change from nadir at or above which it is PD.
        source: where the numbers come from.
        assumed: True when the numbers were not re-read in the source; the interface says "assumed".
    """

    name: str
    label: str
    pr_percent: float
    pd_percent: float
    source: str
    assumed: bool

    @property
    def title(self) -> str:
        """The label, with "(assumed)" where it is."""
        return f"{self.label} (assumed)" if self.assumed else self.label


_RULES = (
    ResponseRule(
        "recist_sphere",
        "RECIST 1.1 as sphere volumes",
        RECIST_SPHERE_PR_PERCENT,
        RECIST_SPHERE_PD_PERCENT,
        "RECIST 1.1, PMC2755245",
        False,
    ),
    # The equivalents of the product of two diameters: -50 % (0.5^1.5 - 1 = -65 %) and +25 % (1.25^1.5 - 1 = +40 %).
    ResponseRule("macdonald_sphere", "Macdonald as sphere volumes", -65.0, 40.0, "10.1200/JCO.1990.8.7.1277", False),
    ResponseRule("beaumont", "Noise band, lung CT (Beaumont 2015)", -35.0, 55.0, "10.1186/s40644-015-0052-2", False),
    ResponseRule("rano2_volumetric", "RANO 2.0 volumetric", -65.0, 40.0, "RANO 2.0 (Wen 2023), not re-read", True),
)
RULES: Mapping[str, ResponseRule] = {rule.name: rule for rule in _RULES}
DEFAULT_RULE = "recist_sphere"


@dataclass(frozen=True, slots=True)
class Response:
    """One timepoint's answer under one rule.

    Args:
        timepoint, days: when.
        category: "baseline" at the first timepoint, else CR, PR, SD, PD or NE.
        volume_mm3: of the lesions that were there at baseline; NaN when one is missing.
        new_volume_mm3: of lesions that were not.
        baseline_mm3, nadir_mm3: the references; the nadir is the least volume before this timepoint, baseline included.
        change_from_baseline_percent, change_from_nadir_percent: None where the reference is 0 or a lesion is missing.
        new_lesions: lesion ids present now and absent at baseline.
        rule: key in `RULES`.
        note: for people, or "".
    """

    timepoint: str
    days: float
    category: Category
    volume_mm3: float
    new_volume_mm3: float
    baseline_mm3: float
    nadir_mm3: float
    change_from_baseline_percent: float | None
    change_from_nadir_percent: float | None
    new_lesions: tuple[str, ...]
    rule: str
    note: str


def _percent(value: float, reference: float) -> float | None:
    return 100.0 * (value - reference) / reference if reference > 0 and math.isfinite(value) else None


def classify_volume(
    baseline_mm3: float, nadir_mm3: float, volume_mm3: float | None, rule: str = DEFAULT_RULE, new_lesion: bool = False
) -> Category:
    """One timepoint by one rule: PD, then NE, CR, PR, SD.

    Args:
        baseline_mm3: summed volume at baseline, > 0.
        nadir_mm3: least summed volume before this timepoint; the smaller of it and baseline counts.
        volume_mm3: now; None or NaN when a lesion could not be measured.
        rule: key in `RULES`.
        new_lesion: an unequivocal new lesion: PD, whatever the volume.

    Returns:
        PD at a new lesion, at a rise from the nadir by the rule's share, or at any volume after a nadir of 0; NE when
        the volume is missing or there was none at baseline; CR at 0; PR at the rule's fall from baseline; else SD.

    Raises:
        InputError: unknown rule, or a negative volume.
    """
    limits = RULES.get(rule)
    if limits is None:
        raise InputError(f"Unknown response rule {rule!r}. Known: {', '.join(RULES)}.")
    known = [x for x in (baseline_mm3, nadir_mm3, volume_mm3) if x is not None and not math.isnan(x)]
    if min(known, default=0.0) < 0:
        raise InputError("Expected volumes of at least 0 mm3.")
    if new_lesion:
        return "PD"
    if volume_mm3 is None or math.isnan(volume_mm3) or not baseline_mm3 > 0:
        return "NE"
    nadir = baseline_mm3 if math.isnan(nadir_mm3) else min(baseline_mm3, nadir_mm3)
    # Multiplied out, with room for rounding: +72.8 % exactly is PD, and so is any regrowth after a nadir of 0.
    if volume_mm3 > nadir and volume_mm3 >= nadir * (1 + limits.pd_percent / 100) * (1 - 1e-12):
        return "PD"
    if volume_mm3 == 0:
        return "CR"
    if volume_mm3 <= baseline_mm3 * (1 + limits.pr_percent / 100) * (1 + 1e-12):
        return "PR"
    return "SD"


def volumetric_response(points: Sequence[VolumePoint], rule: str = DEFAULT_RULE) -> list[Response]:
    """Response of one patient at every timepoint.

    Args:
        points: one patient's accepted volumes, one per lesion and timepoint, an absent lesion as 0 mm3; lesion "total"
            is ignored and summed anew. A lesion without a point at a timepoint, or with NaN, counts as not measured.
        rule: key in `RULES`.

    Returns:
        One `Response` a timepoint in order of time; the first is the baseline; [] for no points. The sum is of the
        lesions present at baseline; a lesion first present later is new: PD then and for as long as it is there.

    Raises:
        InputError: unknown rule, or a negative volume.

    Source: RECIST 1.1 (PMC2755245): PD against nadir before PR against baseline, new lesion = PD; that the nadir
    includes the baseline is assumed. RECIST's absolute 5 mm has no counterpart on summed volumes and is not applied.
    Thresholds: `RULES`.
    """
    visits: dict[tuple[float, str], None] = {}
    by_days: dict[float, dict[str, float]] = {}
    for p in points:
        if p.lesion_id != TOTAL_LESION_ID:
            visits[p.days, p.timepoint] = None
            by_days.setdefault(p.days, {})[p.lesion_id] = float(p.volume_mm3)
    times = sorted(visits)
    if not times:
        return []
    lesions = sorted(set().union(*by_days.values()))
    first = times[0][0]
    # What was not measured at baseline cannot be called new later.
    old = [x for x in lesions if by_days[first].get(x, math.nan) != 0]
    later = [x for x in lesions if x not in old]
    unmeasured = [x for x in old if math.isnan(by_days[first].get(x, math.nan))]
    baseline = sum([by_days[first].get(x, math.nan) for x in old])
    answers: list[Response] = []
    nadir = baseline
    for days, timepoint in times:
        volumes = by_days[days]
        volume = sum([volumes.get(x, math.nan) for x in old])
        new = tuple([x for x in later if volumes.get(x, 0.0) > 0])
        missing = [x for x in old if math.isnan(volumes.get(x, math.nan))] if math.isnan(volume) else []
        category: Category = "baseline"
        if days > first:
            category = classify_volume(baseline, nadir, volume, rule, bool(new))
            part = sum([volumes[x] for x in old if x not in missing])
            if missing and classify_volume(baseline, nadir, part, rule) == "PD":
                category = "PD"  # what was measured is enough for it; the rest can only add
        note = _note(new, missing, unmeasured, nadir, volume)
        answers.append(
            Response(
                timepoint,
                days,
                category,
                volume,
                sum([volumes[x] for x in new]),
                baseline,
                nadir,
                _percent(volume, baseline),
                _percent(volume, nadir),
                new,
                rule,
                note,
            )
        )
        if not math.isnan(volume):
            nadir = volume if math.isnan(nadir) else min(nadir, volume)
    return answers


def _note(new: tuple[str, ...], missing: Sequence[str], unmeasured: Sequence[str], nadir: float, volume: float) -> str:
    parts = []
    if new:
        parts.append(f"New lesion {', '.join(new)}; a fragment of a split lesion is not new.")
    if missing:
        parts.append(f"Not measured: {', '.join(missing)}.")
    elif unmeasured:
        parts.append(f"Not measured at baseline: {', '.join(unmeasured)}.")
    if nadir == 0 and volume > 0:
        parts.append("Back after complete response.")
    return " ".join(parts)


def response_by_rule(points: Sequence[VolumePoint]) -> dict[str, list[Response]]:
    """`volumetric_response` under every rule of `RULES`, to show where they disagree."""
    return {name: volumetric_response(points, name) for name in RULES}


def classify_recist(
    baseline_sum_mm: float,
    nadir_sum_mm: float,
    sum_mm: float | None,
    *,
    non_nodal_sum_mm: float | None = None,
    node_short_axes_mm: Sequence[float] = (),
    new_lesion: bool = False,
    nontarget_progression: bool = False,
    nontarget_complete: bool = True,
) -> Category:
    """RECIST 1.1 at one timepoint, from sums of diameters (SoD: longest diameters, short axis for nodes).

    Args:
        baseline_sum_mm: SoD at baseline, > 0 (0: no measurable disease, NE).
        nadir_sum_mm: least SoD so far; the smaller of it and baseline counts (nadir includes baseline: assumed).
        sum_mm: SoD now; None when a target could not be measured.
        non_nodal_sum_mm: the part of `sum_mm` that is not of nodes; None: all that is left after the nodes.
        node_short_axes_mm: short axes of the target nodes now; part of `sum_mm`.
        new_lesion, nontarget_progression: unequivocal: PD whatever the sums.
        nontarget_complete: every non-target lesion gone and every non-target node < 10 mm.

    Returns:
        PD: new lesion, non-target progression, or SoD >= 20 % and >= 5 mm above nadir. NE: SoD missing. CR: non-nodal
        targets gone, every target node < 10 mm short axis, non-targets complete (targets alone complete: PR). PR: SoD
        >= 30 % below baseline. Else SD.

    Raises:
        InputError: a negative length.

    Source: Eisenhauer 2009, RECIST 1.1 (PMC2755245, PMC2872013).
    """
    lengths = [baseline_sum_mm, nadir_sum_mm, *node_short_axes_mm]
    if min(lengths + [x for x in (sum_mm, non_nodal_sum_mm) if x is not None]) < 0:
        raise InputError("Expected diameters of at least 0 mm.")
    if new_lesion or nontarget_progression:
        return "PD"
    if sum_mm is None or baseline_sum_mm == 0:
        return "NE"
    nadir = min(baseline_sum_mm, nadir_sum_mm)
    rise = sum_mm - nadir
    if rise >= 0.2 * nadir - 1e-9 and rise >= 5.0 - 1e-9:
        return "PD"
    non_nodal = sum_mm - sum(node_short_axes_mm) if non_nodal_sum_mm is None else non_nodal_sum_mm
    if non_nodal <= 1e-9 and max(node_short_axes_mm, default=0.0) < 10.0:
        return "CR" if nontarget_complete else "PR"
    return "PR" if sum_mm <= 0.7 * baseline_sum_mm + 1e-9 else "SD"
