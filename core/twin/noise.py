"""How far two measurements of one unchanged lesion differ: one log-normal standard deviation a volume.

`core.twin.change` asks here and nowhere else. Rules marked "assumed" were not re-read in their source for this
software; the rule's name says so wherever it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.growth.rates import READER_LOG_SD, Z95
from core.twin.installation_noise import NoiseEstimate
from core.twin.measured_end import MeasuredEnd


class QibaBand(NamedTuple):
    """One range of longest diameters, from low_mm to below high_mm, of QIBA's claim for CT tumour volume (assumed).

    The last one holds 100 mm too.

    Args:
        smallest_real_percent: the smallest growth that is real with 95 % confidence.
    """

    low_mm: float
    high_mm: float
    smallest_real_percent: float

    @property
    def log_sd(self) -> float:
        """Log-SD of one volume by which exactly the published growth is the smallest real one.

        The difference of two logs has √2 times the SD of one, so growth is real from exp(1.96·√2·s) on:
        s = ln(1 + limit/100)/(1.96·√2) = 0.1188 / 0.0919 / 0.0776 for 39 / 29 / 24 %. The profile's limits are
        2.77·wCV (of 0.141 / 0.103 / 0.085) in percent of the earlier volume, which is the log's first term:
        2.77·0.141 = 0.391, ln 1.39 = 0.329.
        One SD cannot hold both +39 % and −39 %: a change told backwards must have the same verdict, and +39 %
        backwards is −28 %. So the smallest real shrinkage is −28.1 / −22.5 / −19.4 %, less than the profile's figure
        read as a loss. With wCV itself as log-SD the limits were +47.8 / +33.0 / +26.6 % and −32.4 / −24.8 / −21.0 %.
        """
        return math.log1p(self.smallest_real_percent / 100.0) / (Z95 * math.sqrt(2.0))


QIBA_BANDS = (
    QibaBand(10.0, 35.0, 39.0),
    QibaBand(35.0, 50.0, 29.0),
    QibaBand(50.0, 100.0, 24.0),
)
#: QIBA's claim, and RECIST's measurability, hold for slices up to so thick.
THIN_SLICE_MM = 5.0
#: Slices that differ by this factor are another protocol.
ANOTHER_PROTOCOL_RATIO = 2.0


@dataclass(frozen=True)
class Repeatability:
    """What is known of measuring one lesion twice in the same way.

    Args:
        rule: its name, with what it rests on.
        log_sd: of one volume; None where nothing can be said.
        why_no_verdict: "" where the rule holds; else why it gives no verdict, and then `log_sd` is an assumption.
    """

    rule: str
    log_sd: float | None
    why_no_verdict: str = ""


def _range_mm(before: MeasuredEnd, after: MeasuredEnd) -> tuple[float, float]:
    """The smallest and the largest diameter of the ends that hold a lesion; (0, 0) where neither does."""
    measured = [end.longest_diameter_mm for end in (before, after) if end.volume_mm3 > 0]
    return min(measured, default=0.0), max(measured, default=0.0)


def _covering(
    estimates: Sequence[NoiseEstimate], kind: str, before: MeasuredEnd, after: MeasuredEnd
) -> NoiseEstimate | None:
    """The installation's own estimate of that kind that both ends lie in; the one of most pairs."""
    smallest, largest = _range_mm(before, after)
    fitting = [
        found
        for found in estimates
        if found.kind == kind
        and found.is_enough
        and before.modality == after.modality == found.modality
        and before.sequence == after.sequence == found.sequence
        and found.smallest_diameter_mm <= smallest
        and largest <= found.largest_diameter_mm
    ]
    return max(fitting, key=lambda found: found.pairs, default=None)


def repeatability(before: MeasuredEnd, after: MeasuredEnd, installation: Sequence[NoiseEstimate] = ()) -> Repeatability:
    """The rule that holds for both ends, by the smaller of their diameters.

    Own repeated scans come first where there are enough (`NoiseEstimate.is_enough`), of both ends' modality and
    sequence and of their sizes. Then QIBA's CT rule, CT to CT. Where none holds there is no verdict: two modalities or
    two sequences; MR or PET (QIBA excludes the brain; no citable repeatability of small brain metastases); below 10 or
    above 100 mm at either end; a lesion of less than two slices of above 5 mm. One modality then still has a log-SD for
    the rate's interval, that between readers (assumed).

    Source: QIBA CT Tumor Volume Change profile (assumed, not re-read); two slices: RECIST 1.1 (assumed).
    """
    if before.modality != after.modality:
        why = f"measured on {before.modality} and on {after.modality}; every rule is of one modality"
        return Repeatability("no rule for two modalities", None, why)
    if before.sequence != after.sequence:
        why = f"measured on {before.sequence or 'no named'} and on {after.sequence or 'no named'} sequence"
        return Repeatability("no rule for two sequences", None, why)
    own = _covering(installation, "rescan", before, after)
    if own is not None:
        return Repeatability(own.rule, own.used_log_sd)
    if before.modality != "CT":
        why = f"no citable repeatability of tumour volume on {before.modality}"
        return Repeatability(f"no rule for {before.modality}", READER_LOG_SD, why)
    smallest, largest = _range_mm(before, after)
    if smallest < QIBA_BANDS[0].low_mm or largest > QIBA_BANDS[-1].high_mm:
        side = "below 10 mm" if smallest < QIBA_BANDS[0].low_mm else "above 100 mm"
        why = f"QIBA claims nothing for a longest diameter {side} (here {smallest:.1f} to {largest:.1f} mm)"
        return Repeatability(f"no QIBA verdict {side}", READER_LOG_SD, why)
    thickest = max(before.slice_mm or 0.0, after.slice_mm or 0.0)
    if thickest > THIN_SLICE_MM and smallest < 2 * thickest:
        why = f"{smallest:.1f} mm across, less than two slices of {thickest:g} mm"
        return Repeatability("no QIBA verdict below two slices", READER_LOG_SD, why)
    band = max(band for band in QIBA_BANDS if band.low_mm <= smallest)
    return Repeatability(f"QIBA CT tumour volume, {band.low_mm:.0f}–{band.high_mm:.0f} mm (assumed)", band.log_sd)


@dataclass(frozen=True)
class Widening:
    """A reason for more noise: in words, and the variance of ln(volume) that it adds to each end."""

    words: str
    before_variance: float
    after_variance: float


def widenings(
    before: MeasuredEnd, after: MeasuredEnd, installation: Sequence[NoiseEstimate] = ()
) -> tuple[list[Widening], list[str]]:
    """What widens the noise of the two volumes beyond the rule's, and remarks on what widens nothing but is to be said.

    Each adds a variance (assumed independent), so that more reasons never narrow. The unit is the log-SD between
    readers, 0.18 (assumed) or this installation's own.

    - Another segmenter (method or checkpoint), or a person's hand in the contour: see `_contour`.
    - Slices above 5 mm: see `_thick_slices`. Neither thickness nor spacing known: as another reader.
    - Slices that differ by a factor of 2 or more: as another reader, at both ends.
    - A standing doubt of a gate at an end: as another reader, there.
    """
    own = _covering(installation, "readers", before, after)
    unit = READER_LOG_SD if own is None else own.used_log_sd
    found, remarks = _contour(before, after, unit)
    smallest, _ = _range_mm(before, after)
    found += [Widening(f"{words} (before)", variance, 0.0) for words, variance in _of_one_end(before, smallest, unit)]
    found += [Widening(f"{words} (after)", 0.0, variance) for words, variance in _of_one_end(after, smallest, unit)]
    if before.slice_mm is not None and after.slice_mm is not None:
        thin, thick = sorted((before.slice_mm, after.slice_mm))
        if thick >= ANOTHER_PROTOCOL_RATIO * thin:
            words = f"slice thickness {before.slice_mm:g} mm → {after.slice_mm:g} mm"
            found.append(Widening(words, unit**2, unit**2))
    taken = {
        where: f"{end.slice_mm:g} mm"
        for where, end in (("before", before), ("after", after))
        if end.slice_thickness_mm is None and end.slice_mm is not None
    }
    if taken:
        remarks.append(
            f"slice thickness not known ({', '.join(taken)}), the voxels' {' and '.join(taken.values())} taken for it"
        )
    if own is not None:
        remarks.append(f"between readers: {own.rule}")
    return found, remarks


def _of_one_end(end: MeasuredEnd, diameter_mm: float, unit: float) -> list[tuple[str, float]]:
    """Words and variance of what widens one end by itself; several doubts count once, and each is named."""
    doubts = [(f"doubt: {doubt}", 0.0 if n else unit**2) for n, doubt in enumerate(end.doubts)]
    return [*_thick_slices(end, diameter_mm, unit), *doubts]


def _thick_slices(end: MeasuredEnd, diameter_mm: float, unit: float) -> list[tuple[str, float]]:
    """What slices above 5 mm add to the variance of one log volume, with words; [] for thin ones.

    A lesion's two ends lie anywhere within a slice of t: its extent has the SD √2·t/√12 = t/√6, its log volume at most
    t/(√6·D) (a cylinder; a ball's ends are smaller). What 5 mm give already is in QIBA's figure, so
    (t² − 25)/(6·D²) is added, which is 0 at 5 mm: no cliff. Source: geometry (assumed).
    """
    if end.slice_mm is None:
        return [("slice thickness not known", unit**2)]
    if end.slice_mm <= THIN_SLICE_MM:
        return []
    extra = (end.slice_mm**2 - THIN_SLICE_MM**2) / (6.0 * diameter_mm**2) if diameter_mm > 0 else unit**2
    return [(f"slices of {end.slice_mm:g} mm", extra)]


def hand_log_sd(edited_share: float, unit: float = READER_LOG_SD) -> float:
    """What a person's changes may move the log volume by: the share, at most `unit`.

    Changing a share p of a lesion's voxels moves its volume by a factor of at most 1 ± p, so a log-SD of p covers it
    with room, and from p = `unit` (0.18: 18 % of the voxels) on the contour counts as another segmenter's. There is no
    cliff: one voxel of n moves it by 1/n.
    """
    return min(edited_share, unit)


def _contour(before: MeasuredEnd, after: MeasuredEnd, unit: float) -> tuple[list[Widening], list[str]]:
    """Widening by who or what drew the contours: the largest of its reasons, since each is "another contour".

    One person's hand at both ends counts by the difference of their shares, two persons' by the larger one.
    """
    reasons: list[tuple[str, float]] = []
    remarks = []
    if before.method != after.method:
        reasons.append((f"different segmenters ({before.method or '?'} → {after.method or '?'})", unit))
    elif before.checkpoint_sha256 != after.checkpoint_sha256:
        names = [(end.checkpoint_sha256 or "not recorded")[:12] for end in (before, after)]
        reasons.append((f"different segmenters ({before.method}, checkpoint {names[0]} → {names[1]})", unit))
    elif before.checkpoint_sha256 is None and before.method == "nnunet":
        reasons.append(("segmenters whose checkpoints were not recorded", unit))
    shares = (before.edited_share, after.edited_share)
    if shares[0] is None or shares[1] is None:
        where = [name for name, share in zip(("before", "after"), shares, strict=True) if share is None]
        reasons.append((f"a person's changes, not known how many ({', '.join(where)})", unit))
    elif shares[0] > 0 or shares[1] > 0:
        hands = (hand_log_sd(shares[0], unit), hand_log_sd(shares[1], unit))
        changed = f"{_percent(shares[0])} and {_percent(shares[1])} of the voxels"
        if before.reader is None or before.reader != after.reader:
            reasons.append((f"different readers ({_readers(before, after)}), whose hand changed {changed}", max(hands)))
        elif hands[0] != hands[1]:
            reasons.append((f"a person's changes of {changed}", abs(hands[0] - hands[1])))
    elif before.reader != after.reader:
        remarks.append(f"different readers ({_readers(before, after)}), of whom neither changed a voxel")
    reasons.sort(key=lambda reason: -reason[1])
    variances = [sd**2 if n == 0 else 0.0 for n, (_, sd) in enumerate(reasons)]
    return [Widening(words, more, more) for (words, _), more in zip(reasons, variances, strict=True)], remarks


def _readers(before: MeasuredEnd, after: MeasuredEnd) -> str:
    return f"{before.reader or 'not known'} → {after.reader or 'not known'}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def volume_log_sd(end: MeasuredEnd, installation: Sequence[NoiseEstimate] = ()) -> float:
    """Log-SD of one volume by itself, for an error bar or a forecast: the same rule and widening, asked of this end.

    What only a pair has (another segmenter, another reader) is not in it; a lesion below 10 mm, and MR or PET, have
    that between readers (assumed).
    """
    base = repeatability(end, end, installation).log_sd or READER_LOG_SD
    own = _covering(installation, "readers", end, end)
    unit = READER_LOG_SD if own is None else own.used_log_sd
    more = _of_one_end(end, end.longest_diameter_mm, unit)
    return math.sqrt(base**2 + sum(variance for _, variance in more))
