"""What an image shows inside a lesion: PET uptake (SUVmax, SUVmean, SUVpeak, MTV, TLG); CT and MR statistics.

The image must lie on the mask's own grid; resample the mask first where it does not (a PET beside a CT's mask).
Voxels that are not finite have no value: they are left out of every statistic, and counted.

Source: IBSI-1, 10.1148/radiol.2020191145 (arXiv 1612.07003, sections 3.2 and 3.3); Wahl 2009,
10.2967/jnumed.108.057307 (PERCIST: SUVpeak in a sphere of 1 mL, TLG).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from core.errors import GeometryError, InputError
from core.lesions.metrics import bounding_box, checked_spacing
from core.types import MM3_PER_ML, LabelMap, Modality, Volume

#: The sphere of SUVpeak: 1 mL, 12.4 mm across.
PEAK_SPHERE_MM3 = 1000.0
#: Edges of histogram bins lie at multiples of this, in the image's unit (HU, SUV); MR has no unit to choose one in.
BIN_WIDTHS: Mapping[Modality, float | None] = {"CT": 25.0, "PET": 0.25, "MR": None}
#: Equal bins from the least to the greatest value, where there is no width.
MR_BINS = 32
#: More bins than these tell nobody anything: the width is doubled until there are no more.
MOST_BINS = 256
#: A voxel is cut into parts no longer than this to tell which share of it lies in the sphere.
_PART_MM = 0.1


@dataclass(frozen=True)
class Histogram:
    """How many values lie in each bin. A bin holds its lower edge; the last one its upper edge as well.

    Args:
        edges: (n + 1) ascending, in the image's unit. counts: (n), of voxels.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class IntensityMeasure:
    """Statistics of the finite voxels of one lesion, in the image's unit (HU, SUV, arbitrary for MR).

    Args:
        voxels: with a value. voxels_without_value: of the lesion, not finite; in no statistic.
        mean, median, least, greatest, p5, p25, p75, p95: None where no voxel has a value. Percentiles are interpolated
            linearly between the two nearest values.
        sd: population standard deviation (divided by n, as IBSI and pyradiomics; SimpleITK divides by n - 1); None for
            fewer than two voxels.
        histogram: None where no voxel has a value.
    """

    voxels: int
    voxels_without_value: int
    mean: float | None = None
    sd: float | None = None
    median: float | None = None
    least: float | None = None
    greatest: float | None = None
    p5: float | None = None
    p25: float | None = None
    p75: float | None = None
    p95: float | None = None
    histogram: Histogram | None = None


@dataclass(frozen=True)
class UptakeMeasure:
    """PET uptake of one lesion as its mask has it; no threshold is applied.

    Args:
        suv_max, suv_mean: over the finite voxels of the mask; None where there is none.
        suv_peak: see `suv_peak`; None where there is none.
        peak_share: 0..1, how much of the peak's sphere lies in the image and has values; below 1 the lesion is cut off,
            and its true peak may be another.
        mtv_ml: volume of the mask, mL; 0 for an empty mask, which nobody has to guess.
        tlg_g: SUVmean x MTV, g where SUV is by body weight (g/mL); None for an empty mask, and where any voxel has no
            value: a sum of which a part is unknown is unknown.
        voxels, voxels_without_value: as `IntensityMeasure`.
    """

    suv_max: float | None
    suv_mean: float | None
    suv_peak: float | None
    peak_share: float | None
    mtv_ml: float
    tlg_g: float | None
    voxels: int
    voxels_without_value: int


def intensity(volume: Volume, labels: LabelMap, label: int) -> IntensityMeasure:
    """Statistics and histogram of one label; with 0 voxels and None for everything else where it is not there.

    Args:
        volume: CT, MR or PET on the mask's grid; the modality chooses the bins (`BIN_WIDTHS`).
        label: 1..255.

    Raises:
        GeometryError: if image and mask lie on different grids.
    """
    _check_grids(volume, labels)
    values = volume.array[labels.array == label].astype(np.float64)
    return statistics(values, BIN_WIDTHS[volume.modality])


def uptake(volume: Volume, labels: LabelMap, label: int) -> UptakeMeasure:
    """PET uptake of one label; an MTV of 0 and None for everything else where it is not there.

    Args:
        volume: PET in SUV on the mask's grid.
        label: 1..255.

    Raises:
        GeometryError: if image and mask lie on different grids.
        InputError: if the image is no PET.
    """
    if volume.modality != "PET":
        raise InputError(f"Expected a PET in SUV, got {volume.channel}. Uptake is measured on PET alone.")
    _check_grids(volume, labels)
    mask = labels.array == label
    values = volume.array[mask].astype(np.float64)
    finite = values[np.isfinite(values)]
    mean = float(finite.mean()) if finite.size else None
    mtv_ml = values.size * volume.grid.voxel_volume_mm3 / MM3_PER_ML
    peak = suv_peak(volume.array, mask, volume.grid.spacing_mm)
    return UptakeMeasure(
        suv_max=float(finite.max()) if finite.size else None,
        suv_mean=mean,
        suv_peak=None if peak is None else peak[0],
        peak_share=None if peak is None else peak[1],
        mtv_ml=mtv_ml,
        tlg_g=mean * mtv_ml if mean is not None and finite.size == values.size else None,
        voxels=int(finite.size),
        voxels_without_value=int(values.size - finite.size),
    )


def statistics(values: NDArray[Any], bin_width: float | None = None) -> IntensityMeasure:
    """`IntensityMeasure` of any values; not finite ones are left out and counted.

    Args:
        values: of any shape, in the image's unit.
        bin_width: > 0 in that unit; None: `MR_BINS` equal bins from the least to the greatest.

    Raises:
        InputError: for a bin width that is not positive and finite.
    """
    if bin_width is not None and not (bin_width > 0 and math.isfinite(bin_width)):
        raise InputError(f"Expected a bin width above 0, got {bin_width}.")
    numbers = np.asarray(values, dtype=np.float64).ravel()
    finite = numbers[np.isfinite(numbers)]
    unknown = int(numbers.size - finite.size)
    if not finite.size:
        return IntensityMeasure(0, unknown)
    p5, p25, median, p75, p95 = np.percentile(finite, [5, 25, 50, 75, 95]).tolist()
    return IntensityMeasure(
        voxels=int(finite.size),
        voxels_without_value=unknown,
        mean=float(finite.mean()),
        sd=float(finite.std()) if finite.size > 1 else None,
        median=median,
        least=float(finite.min()),
        greatest=float(finite.max()),
        p5=p5,
        p25=p25,
        p75=p75,
        p95=p95,
        histogram=_histogram(finite, bin_width),
    )


def suv_peak(
    image: NDArray[Any], mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], whole_voxels: bool = False
) -> tuple[float, float] | None:
    """The highest mean of a 1 mL sphere centred on any voxel of the lesion, and the sphere's share that has values.

    The sphere reaches beyond the lesion. A voxel that it cuts counts by the share of it inside (told in parts of at
    most 0.1 mm). Where the sphere leaves the image or meets voxels without value, the mean is of the rest, and the
    share says so. A lesion voxel without value is no centre.

    Args:
        image: (I, J, K) in SUV; mask: (I, J, K) bool; spacing_mm: voxel size along (i, j, k).
        whole_voxels: IBSI's rule instead: a voxel counts wholly where its centre is inside, else not at all. On three
            real tumours its peak was up to 6 % higher (`python -m tests.bench measures`).

    Returns:
        SUVpeak and its share, 0..1; None where the lesion has no voxel with a value.

    Raises:
        GeometryError: if image and mask differ in shape.

    Source: Wahl 2009, 10.2967/jnumed.108.057307; IBSI-1 global intensity peak, 10.1148/radiol.2020191145.
    """
    if image.shape != mask.shape:
        raise GeometryError(f"Expected an image of {mask.shape} voxels like the mask, got {image.shape}.")
    box = bounding_box(mask)
    if box is None:
        return None
    weights = _sphere(spacing_mm, whole_voxels)
    reach = [(n - 1) // 2 for n in weights.shape]
    around = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(box, reach, strict=True))
    values, centres = image[around].astype(np.float64), mask[around]
    known = np.isfinite(values)
    centres = centres & known
    if not centres.any():
        return None
    # A sphere is its own mirror image, so that convolution is correlation. Beyond the crop is 0 in both: no value.
    share = fftconvolve(known.astype(np.float64), weights, mode="same")[centres]
    sums = fftconvolve(np.where(known, values, 0.0), weights, mode="same")[centres]
    means = sums / share
    at = int(means.argmax())
    return float(means[at]), float(min(1.0, share[at]))


def _sphere(spacing_mm: tuple[float, float, float], whole_voxels: bool) -> NDArray[np.float64]:
    """Weights (odd, odd, odd) that add up to 1: each voxel's share of the sphere around the middle one."""
    spacing = checked_spacing(spacing_mm)
    radius = (3 * PEAK_SPHERE_MM3 / (4 * math.pi)) ** (1 / 3)
    axes = []
    for size in spacing.tolist():
        reach = math.ceil(radius / size + 0.5)
        parts = 1 if whole_voxels else math.ceil(size / _PART_MM)
        voxels = np.arange(-reach, reach + 1)[:, None] + (np.arange(parts) + 0.5)[None] / parts - 0.5
        axes.append((voxels * size) ** 2)
    x, y, z = (axis.ravel() for axis in axes)
    inside = x[:, None, None] + y[None, :, None] + z[None, None] <= radius**2
    shares = inside.reshape(*(n for axis in axes for n in axis.shape)).mean(axis=(1, 3, 5))
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _histogram(finite: NDArray[np.float64], width: float | None) -> Histogram:
    low, high = float(finite.min()), float(finite.max())
    if width is None:
        edges = np.linspace(low, high, MR_BINS + 1) if high > low else np.array([low, high])
    else:
        while math.floor(high / width) - math.floor(low / width) + 1 > MOST_BINS:
            width *= 2
        first = math.floor(low / width)
        edges = np.arange(first, max(math.floor(high / width), first) + 2) * width
    counts, _ = np.histogram(finite, edges)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))


def _check_grids(volume: Volume, labels: LabelMap) -> None:
    if not volume.grid.matches(labels.grid):
        raise GeometryError(
            f"Expected image and mask on one grid, got {volume.grid.shape} and {labels.grid.shape} voxels or different "
            "positions in space. Resample the mask to the image first."
        )
