"""What a simulation paints into a scan: a lesion where there was none, and healthy tissue where one was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.errors import InputError
from core.simulation.phantom import PET_FWHM_MM, Array, ct_noise, scan_pet
from core.types import Grid, LabelMap, Volume

Mask = NDArray[np.bool_]
#: Resolution of what is painted into a CT or MR, mm; a PET has its own.
_FWHM_MM = 2.0
#: So far around a lesion its signal is painted over: a PET's blur carries the uptake farther.
_PET_MARGIN_MM, _LEAST_MARGIN_MM = 12.0, 3.0
#: Tissue is looked at so far beyond that margin, mm.
_RING_MM = (1.0, 13.0)
#: HU of soft tissue: what a lesion may lie in, and, narrower, what is taken for healthy tissue around one.
_SOFT_HU, _MUSCLE_HU = (-150.0, 250.0), (0.0, 110.0)
#: From so many voxels on a level is taken from them.
_ENOUGH = 20


def outside_mm(where: Mask, grid: Grid) -> Array:
    """Distance to a region (I, J, K), mm, 0 within; very far everywhere where the region is empty."""
    if not where.any():
        return np.full(grid.shape, 1e6, dtype=np.float32)
    return np.asarray(ndimage.distance_transform_edt(~where, grid.spacing_mm), dtype=np.float32)


def painted(
    volume: Volume, where: Mask, grid: Grid, level: float, deviation: float, rng: np.random.Generator
) -> Volume:
    """The scan with a region of another tissue, its border as blurred as the scanner's.

    Args:
        volume: any scan, on a grid of its own.
        where, grid: the region (I, J, K), on another scan's grid perhaps.
        level, deviation: mean and standard deviation of the tissue, in the scan's unit.
        rng: draws the noise.
    """
    fwhm_mm = PET_FWHM_MM if volume.modality == "PET" else _FWHM_MM
    cover = np.clip(scan_pet(where.astype(np.float32), grid, volume.grid, fwhm_mm), 0, 1)
    tissue = level + (ct_noise(volume.grid.shape, deviation, rng) if deviation > 0 else 0.0)
    return Volume(
        (volume.array * (1 - cover) + tissue * cover).astype(np.float32), volume.grid, volume.modality, volume.sequence
    )


def lesion_level(volume: Volume, where: Mask, grid: Grid) -> tuple[float, float]:
    """Mean and standard deviation of a lesion in a scan, in its unit. Raises InputError where the scan lacks it."""
    share = scan_pet(where.astype(np.float32), grid, volume.grid, _FWHM_MM)
    inside = volume.array[share > min(0.9, 0.9 * float(share.max()))]
    if share.max() <= 0 or inside.size == 0:
        raise InputError(f"The {volume.channel} scan does not reach the lesion. Simulate without it.")
    return float(np.median(inside)), float(inside.std())


def healthy_level(volume: Volume, where: Mask, grid: Grid) -> tuple[float, float]:
    """Mean and standard deviation of the tissue around a lesion, in the scan's unit; of muscle on CT, where there is.

    Where nothing lies around it: the least value and 0.
    """
    margin = margin_mm(volume)
    away = _on_grid(outside_mm(where, grid), grid, volume.grid)
    ring = volume.array[(away > margin + _RING_MM[0]) & (away < margin + _RING_MM[1])]
    if volume.modality == "CT":
        muscle = ring[(ring > _MUSCLE_HU[0]) & (ring < _MUSCLE_HU[1])]
        ring = muscle if muscle.size >= _ENOUGH else ring
    if ring.size == 0:
        return float(volume.array.min()), 0.0
    return float(np.median(ring)), float(ring.std())


def margin_mm(volume: Volume) -> float:
    """How far around a lesion its signal reaches: a PET's blur, else a voxel and a little."""
    if volume.modality == "PET":
        return _PET_MARGIN_MM
    return max(_LEAST_MARGIN_MM, 1.2 * max(volume.grid.spacing_mm))


def without(volume: Volume, where: Mask, grid: Grid, rng: np.random.Generator) -> Volume:
    """The scan with a region, and the margin that its signal reaches, painted over with the tissue around."""
    if not where.any():
        return volume
    level, deviation = healthy_level(volume, where, grid)
    return painted(volume, outside_mm(where, grid) < margin_mm(volume), grid, level, deviation, rng)


def _on_grid(values: Array, grid: Grid, target: Grid) -> Array:
    """Linear, without blur; beyond the grid its edge goes on."""
    if grid.matches(target):
        return values
    index = np.linalg.inv(grid.affine) @ target.affine
    out = ndimage.affine_transform(values, index[:3, :3], index[:3, 3], target.shape, order=1, mode="nearest")
    return np.asarray(out, dtype=np.float32)


def ball(grid: Grid, centre_mm: Sequence[float], radius_mm: float) -> Mask:
    """(I, J, K): voxels whose centres lie within a radius of a point, RAS+ mm."""
    index = grid.to_index(np.array([centre_mm]))[0]
    reach = radius_mm / np.array(grid.spacing_mm) + 1
    low = np.clip(np.floor(index - reach).astype(int), 0, grid.shape)
    high = np.clip(np.ceil(index + reach).astype(int) + 1, low, grid.shape)
    out = np.zeros(grid.shape, dtype=bool)
    box = tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    axes = [(np.arange(a, b) - c) * mm for a, b, c, mm in zip(low, high, index, grid.spacing_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    out[box] = x**2 + y**2 + z**2 <= radius_mm**2
    return out


def body(volume: Volume) -> Mask:
    """(I, J, K): everything but air; on CT by HU, else whatever is brighter than a tenth of the bright."""
    smooth = ndimage.gaussian_filter(volume.array, [1.5 / mm for mm in volume.grid.spacing_mm])
    least = -300.0 if volume.modality == "CT" else 0.1 * float(np.quantile(smooth, 0.98))
    return np.asarray(smooth > least)


def soft_tissue(volume: Volume) -> Mask:
    """(I, J, K): where a lesion may lie; on CT by HU, else whatever is brighter than a fifth of the bright."""
    smooth = ndimage.gaussian_filter(volume.array, [1.5 / mm for mm in volume.grid.spacing_mm])
    if volume.modality == "CT":
        return np.asarray((smooth > _SOFT_HU[0]) & (smooth < _SOFT_HU[1]))
    return np.asarray(smooth > 0.2 * np.quantile(smooth, 0.98))


def room_for(
    volume: Volume, truth: LabelMap, radius_mm: float, gap_mm: float, *, beyond: bool = False, border_mm: float = 6.0
) -> tuple[float, float, float]:
    """A place for another lesion: in soft tissue, the gap from the lesions there are, and inside the scan.

    Args:
        volume, truth: the scan and its lesions, on one grid.
        radius_mm: of the new one. gap_mm: from its surface to the nearest lesion's, which it keeps within 6 mm.
        beyond: in slices (along k) that hold none of the lesions, as near as that allows.
        border_mm: from its surface to the scan's border.

    Returns:
        RAS+ mm; of all such places the one that lies deepest in soft tissue.

    Raises:
        InputError: there is none.
    """
    grid = truth.grid
    away = outside_mm(truth.array > 0, grid)
    inner = np.ones(grid.shape, dtype=bool)
    for axis, (n, mm) in enumerate(zip(grid.shape, grid.spacing_mm, strict=True)):
        at = np.arange(n)
        near = np.minimum(at + 0.5, n - at - 0.5) * mm < radius_mm + border_mm
        inner[tuple(near if a == axis else slice(None) for a in range(3))] = False
    if beyond:
        held = np.flatnonzero((truth.array > 0).any(axis=(0, 1)))
        at = np.arange(grid.shape[2])
        apart = np.maximum(held[0] - at, at - held[-1]) * grid.spacing_mm[2]
        inner &= (apart > radius_mm + gap_mm)[None, None, :]
    else:
        inner &= away < radius_mm + gap_mm + 6.0
    depth = ndimage.distance_transform_edt(soft_tissue(volume), grid.spacing_mm)
    score = np.where(inner & (away >= radius_mm + gap_mm), depth, 0.0)
    best = np.unravel_index(int(score.argmax()), grid.shape)
    if score[best] < 0.5 * radius_mm:
        raise InputError(
            f"There is no room in soft tissue for a lesion of {radius_mm:g} mm radius {gap_mm:g} mm from the others. "
            "Ask for a smaller one, or for another gap."
        )
    x, y, z = grid.to_mm(np.array([best]))[0].tolist()
    return x, y, z
