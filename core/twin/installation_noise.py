"""This installation's own noise, from measuring again what cannot have changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.stats import chi2
from scipy.stats import t as student_t

from core.errors import InputError
from core.growth.rates import Z95

NoiseKind = Literal["rescan", "readers"]
#: From so many pairs on the estimate is used: its 95 % interval then reaches from 0.70 to 1.75 times itself.
ENOUGH_PAIRS = 10


@dataclass(frozen=True)
class RepeatedMeasurement:
    """One lesion measured twice with nothing in between.

    Args:
        first_mm3, second_mm3: > 0. longest_diameter_mm: > 0, the smaller of the two.
        modality, sequence: of both measurements.
    """

    first_mm3: float
    second_mm3: float
    longest_diameter_mm: float
    modality: str
    sequence: str = ""


@dataclass(frozen=True)
class NoiseEstimate:
    """Log-SD of one volume as this installation measures.

    Args:
        kind: "rescan": two scans of one day; "readers": two readers of one scan.
        log_sd, low95, high95: the estimate and its interval.
        pairs: how many it rests on.
        smallest_diameter_mm, largest_diameter_mm: of the lesions it rests on; it is used for no others.
    """

    kind: NoiseKind
    modality: str
    sequence: str
    log_sd: float
    low95: float
    high95: float
    pairs: int
    smallest_diameter_mm: float
    largest_diameter_mm: float

    @property
    def is_enough(self) -> bool:
        """At least `ENOUGH_PAIRS`, and not all alike: masks that never differ are copies, not measurements."""
        return self.pairs >= ENOUGH_PAIRS and self.log_sd > 0

    @property
    def used_log_sd(self) -> float:
        """The estimate times t/1.96, Student's quantile of as many degrees of freedom as pairs: few pairs widen."""
        return self.log_sd * float(student_t.ppf(0.975, self.pairs)) / Z95

    @property
    def rule(self) -> str:
        """The name of the rule that it makes."""
        what = "repeated scans" if self.kind == "rescan" else "readings by two readers"
        sizes = f"{self.smallest_diameter_mm:.0f}–{self.largest_diameter_mm:.0f} mm"
        channel = f"{self.modality} {self.sequence}".strip()
        return f"own repeatability, {channel}, {sizes}, {self.pairs} {what}"


def estimate_noise(pairs: Sequence[RepeatedMeasurement], kind: NoiseKind = "rescan") -> NoiseEstimate:
    """Log-SD of one volume from pairs that measure the same thing twice.

    Args:
        pairs: of one modality and sequence, each of another lesion (two pairs of one lesion are not independent).
        kind: what was repeated.

    Returns:
        log_sd = √(Σ ln(v2/v1)² / 2n) with n degrees of freedom (no mean is taken off: the true change is 0), and the
        interval √(n·s²/χ²). From below `ENOUGH_PAIRS` pairs too; `is_enough` says whether it may be used.

    Raises:
        InputError: no pair, several modalities or sequences, or a volume or diameter that is not above 0.

    Source: Bland & Altman 1996, 10.1136/bmj.312.7047.1654 (within-subject SD from pairs; assumed, on logs).
    """
    if not pairs:
        raise InputError("Expected at least one pair of repeated measurements, got none. Read or scan some twice.")
    channels = sorted({(pair.modality, pair.sequence) for pair in pairs})
    if len(channels) > 1:
        told = ", ".join(" ".join(channel).strip() for channel in channels)
        raise InputError(
            f"Expected repeated measurements of one modality and sequence, got {told}. Estimate each alone."
        )
    for pair in pairs:
        figures = (pair.first_mm3, pair.second_mm3, pair.longest_diameter_mm)
        if not all(math.isfinite(figure) and figure > 0 for figure in figures):
            raise InputError(f"Expected two volumes and a diameter above 0, got {figures}. Leave such a pair out.")
    n = len(pairs)
    log_sd = math.sqrt(sum(math.log(pair.second_mm3 / pair.first_mm3) ** 2 for pair in pairs) / (2 * n))
    low, high = (log_sd * math.sqrt(n / float(chi2.ppf(q, n))) for q in (0.975, 0.025))
    diameters = [pair.longest_diameter_mm for pair in pairs]
    return NoiseEstimate(kind, *channels[0], log_sd, low, high, n, min(diameters), max(diameters))
