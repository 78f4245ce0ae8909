"""How fast a lesion grows, and whether a change is real.

Every verdict names its rule. Rules marked "assumed" are common knowledge of the field that has not been checked against
the source for this software: the interface says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from core.errors import InputError
from core.growth.curves import FLOOR_MM3
from core.types import MODALITIES, Verdict


class QibaBand(NamedTuple):
    """One range of longest diameters, [low, high) mm, of the QIBA CT tumour volume claim (assumed).

    Args:
        coefficient_of_variation: within-lesion, of one volume measurement.
        threshold_percent: the smallest change, in either direction, that is real with 95 % confidence.
    """

    low_mm: float
    high_mm: float
    coefficient_of_variation: float
    threshold_percent: float


QIBA_BANDS = (
    QibaBand(10.0, 35.0, 0.141, 39.0),
    QibaBand(35.0, 50.0, 0.103, 29.0),
    QibaBand(50.0, 100.0, 0.085, 24.0),
)
#: Log-SD between readers of one lesion's volume: 8 readers, 14 brain metastases, median max/min ratio 1.68 (derived).
READER_LOG_SD = 0.18
Z95 = 1.959964


@dataclass(frozen=True)
class Rate:
    """A specific growth rate.

    Args:
        sgr_percent_per_day, low95, high95: the rate and its interval from measurement noise, % per day.
        doubling_days: ln 2 / SGR; negative for a halving time; None when the interval spans 0.
        doubling_low_days, doubling_high_days: its interval, ascending; None likewise.
        text: for people; "not distinguishable from no growth" when the interval spans 0.
        floored: True when a volume was below 5 mm diameter and counted as that: the rate is then a bound, not an
            estimate.
    """

    sgr_percent_per_day: float
    low95: float
    high95: float
    doubling_days: float | None
    doubling_low_days: float | None
    doubling_high_days: float | None
    text: str
    floored: bool


@dataclass(frozen=True)
class ChangeVerdict:
    """Whether a change is real.

    Args:
        verdict: "real", "within noise" or "unknown".
        rule: the rule's name, "assumed" included where it is.
        percent_change: (v2 - v1) / v1 in percent; None when v1 is 0.
        threshold_percent: the smallest real change in this direction, percent (positive); None when there is no rule.
        note: warnings for people, or "".
    """

    verdict: Verdict
    rule: str
    percent_change: float | None
    threshold_percent: float | None
    note: str


def qiba_band(longest_diameter_mm: float) -> QibaBand | None:
    """QIBA's band for a longest diameter, mm; the last one includes 100 mm; None outside 10 to 100 mm."""
    if longest_diameter_mm == QIBA_BANDS[-1].high_mm:
        return QIBA_BANDS[-1]
    return next((band for band in QIBA_BANDS if band.low_mm <= longest_diameter_mm < band.high_mm), None)


def noise_log_sd(longest_diameter_mm: float, modality: str) -> tuple[float, str]:
    """Log-SD of one volume measurement, and what it rests on.

    CT from 10 to 100 mm: QIBA's coefficients of variation (assumed). Anything else: 0.18, the spread between readers of
    brain metastases (derived from 8 readers, 14 lesions), labelled assumed: no citable repeatability is known.
    """
    band = qiba_band(longest_diameter_mm) if modality == "CT" else None
    if band is not None:
        return band.coefficient_of_variation, "QIBA CT tumour volume (assumed)"
    return READER_LOG_SD, "between readers, brain metastases (assumed)"


def specific_growth_rate(
    v1_mm3: float, v2_mm3: float, days: float, log_sd1: float = READER_LOG_SD, log_sd2: float = READER_LOG_SD
) -> Rate:
    """SGR = ln(V2/V1)/Δt with a 95 % interval from the noise of both measurements; doubling time is derived.

    Args:
        v1_mm3, v2_mm3: volumes, mm3, >= 0; below 5 mm diameter they count as that, and `floored` says so.
        days: from the first to the second, > 0.
        log_sd1, log_sd2: log-SD of each measurement, > 0 (see `noise_log_sd`).

    Returns:
        The rate; interval SGR ± 1.96·√(s1² + s2²)/Δt. Two floored volumes: rate 0, not distinguishable from no growth.

    Raises:
        InputError: a volume is negative or not finite, `days` or a log-SD is not above 0.

    Source: Mehrara 2007, 10.1158/0008-5472.CAN-06-3822 (SGR rather than doubling time, which is undefined at no
    change).
    """
    _check_volumes(v1_mm3, v2_mm3)
    if not (math.isfinite(days) and days > 0):
        raise InputError(f"A growth rate needs a later second timepoint; got {days} days between them.")
    if not (log_sd1 > 0 and log_sd2 > 0):
        raise InputError("A growth rate's interval needs a measurement noise above 0.")
    rate = 100.0 * math.log(max(v2_mm3, FLOOR_MM3) / max(v1_mm3, FLOOR_MM3)) / days
    half = 100.0 * Z95 * math.hypot(log_sd1, log_sd2) / days
    low, high = rate - half, rate + half
    floored = min(v1_mm3, v2_mm3) < FLOOR_MM3
    if low <= 0.0 <= high:
        return Rate(rate, low, high, None, None, None, "not distinguishable from no growth", floored)
    doubling, ends = 100 * math.log(2) / rate, sorted(100 * math.log(2) / end for end in (low, high))
    kind = "doubling" if rate > 0 else "halving"
    near, far = sorted(abs(end) for end in ends)
    text = (
        f"{rate:+.2f} % per day ({low:+.2f} to {high:+.2f}), {kind} in {abs(doubling):.0f} days ({near:.0f}–{far:.0f})"
    )
    return Rate(rate, low, high, doubling, ends[0], ends[1], text, floored)


def _check_volumes(*volumes: float) -> None:
    if not all(math.isfinite(v) and v >= 0 for v in volumes):
        raise InputError(f"Expected volumes of at least 0 mm3, got {', '.join(map(str, volumes))}.")


def change_verdict(
    v1_mm3: float, v2_mm3: float, longest_diameter_mm: float, same_method: bool, modality: str
) -> ChangeVerdict:
    """Is the change from v1 to v2 more than measuring the same lesion twice would give?

    Args:
        v1_mm3, v2_mm3: earlier and later volume, mm3, >= 0.
        longest_diameter_mm: at the earlier timepoint (at the later one when the lesion is new).
        same_method: both masks came from the same segmenter.
        modality: CT, PET or MR, of the images that were measured.

    Returns:
        CT, 10-100 mm: "real" when the change exceeds QIBA's band, 39 / 29 / 24 % for 10-<35 / 35-<50 / 50-100 mm, else
        "within noise". With different segmenters the band is exp(1.96·√2·√(wCV² + 0.18²)), 0.18 the log-SD between
        readers: +88 / +78 / +74 % up, -47 / -44 / -42 % down, and the note warns. A lesion that vanishes (v2 = 0)
        changes by -100 %. "unknown" for MR and PET (no citable repeatability; QIBA excludes the brain), below 10 mm,
        above 100 mm, and for a lesion that is new (v1 = 0): that is the response rule's to judge. Both 0: within noise.

    Raises:
        InputError: a volume is negative or not finite, or the modality is not one of the three.

    Source: QIBA CT Tumor Volume Change profile (assumed, not re-read); reader spread: see `READER_LOG_SD`. For scale:
    repeat CT after 15 minutes moved diameters by up to 10 %, about 33 % of volume (Oxnard 2011, PMC3157977).
    """
    _check_volumes(v1_mm3, v2_mm3)
    if modality not in MODALITIES:
        raise InputError(f"Expected modality CT, PET or MR, got {modality!r}.")
    warning = "" if same_method else "The two masks come from different segmenters: part of the change may be theirs."
    if v1_mm3 == 0 and v2_mm3 == 0:
        return ChangeVerdict("within noise", "absent at both timepoints", None, None, warning)
    if v1_mm3 == 0:
        note = f"A new lesion has no volume to compare with. {warning}".strip()
        return ChangeVerdict("unknown", "no rule for a new lesion", None, None, note)
    percent = 100.0 * (v2_mm3 - v1_mm3) / v1_mm3
    if modality != "CT":
        note = f"No citable repeatability of tumour volume on {modality}. {warning}".strip()
        return ChangeVerdict("unknown", f"no rule for {modality}", percent, None, note)
    band = qiba_band(longest_diameter_mm)
    if band is None:
        side = "below 10 mm" if longest_diameter_mm < 10 else "above 100 mm"
        note = f"QIBA claims nothing for a longest diameter {side}. {warning}".strip()
        return ChangeVerdict("unknown", f"no rule {side}", percent, None, note)
    threshold = band.threshold_percent
    rule = f"QIBA CT tumour volume, {band.low_mm:.0f}–{band.high_mm:.0f} mm (assumed)"
    if not same_method:
        width = Z95 * math.sqrt(2.0) * math.hypot(band.coefficient_of_variation, READER_LOG_SD)
        threshold = 100.0 * (math.expm1(width) if percent >= 0 else -math.expm1(-width))
        rule += ", widened for different segmenters (assumed)"
    verdict: Verdict = "real" if abs(percent) > threshold else "within noise"
    return ChangeVerdict(verdict, rule, percent, threshold, warning)
