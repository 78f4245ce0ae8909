"""Rigid registration of two scans of one patient, so that a lesion can be found again where it was.

Mattes mutual information over rotation and translation, on copies of about 4 and then 3 mm: enough for matching
lesions within a few millimetres, in seconds on one core. Masks are never resampled by this; only points are mapped.

What it does not find: a patient moved by 50 mm or turned by 20 degrees; and a shift of 42 mm passed for found 72 mm
off. `core.imaging.registration.align` finds those, and is a candidate: it doubts follow-ups in which the tumour grew.
"""

from __future__ import annotations

import time

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from core.errors import GeometryError
from core.imaging.registration.refine import to_matrix
from core.imaging.registration.transform import RigidTransform, State
from core.imaging.volumes import to_sitk
from core.types import Volume

_TARGET_MM = 3.0
_BINS = 32
_ITERATIONS = 120
#: Fewer voxels along an axis than this and there is nothing to align.
_FEWEST_VOXELS = 4
#: Nats. Noise against a scan gives 0.00, another body region 0.10, CT against PET or MR of one patient 0.4 to 0.9,
#: a repeated scan above 1.
_LEAST_INFORMATION = 0.15
_LEAST_OVERLAP = 0.25


def rigid(fixed: Volume, moving: Volume) -> RigidTransform:
    """Align two scans by rotation and translation.

    Starts from the scanner's coordinates and from aligned centres, and follows the better one.

    Args:
        fixed: the scan whose points are to be mapped, e.g. the current timepoint.
        moving: the scan that they are mapped to, e.g. the timepoint before. Any modality.

    Returns:
        A `RigidTransform`. `converged` is False, with the reason, when the images share too little information or
        space, or ITK gave up; nothing is raised for that. It does not prove that both show one patient: two patients'
        thighs align too.

    Raises:
        GeometryError: if a scan has fewer than 4 voxels along an axis.

    Source: Mattes 2003, 10.1109/TMI.2003.809072.
    """
    began = time.perf_counter()
    for volume in (fixed, moving):
        if min(volume.grid.shape) < _FEWEST_VOXELS:
            raise GeometryError(
                f"Expected at least {_FEWEST_VOXELS} voxels along each axis to align scans, got {volume.grid.shape}."
            )
    fixed_image, moving_image = _coarse(fixed), _coarse(moving)
    method = _method()
    try:
        start = _best_start(method, fixed_image, moving_image)
        method.SetInitialTransform(start, inPlace=True)
        method.Execute(fixed_image, moving_image)
        metric = -float(method.GetMetricValue())
        stopped_early = method.GetOptimizerIteration() >= _ITERATIONS
    except RuntimeError:  # ITK: samples outside the other image, or no variation to align by
        return RigidTransform(
            np.eye(4),
            0.0,
            "failed",
            time.perf_counter() - began,
            "The scans could not be aligned: they do not overlap or show nothing. Check that they are of one region.",
        )
    matrix = to_matrix(start)
    overlap = max(_overlap(fixed, moving, matrix), _overlap(moving, fixed, np.linalg.inv(matrix).astype(np.float64)))
    message = _doubt(metric, overlap, stopped_early)
    state: State = "good" if message is None else "failed"
    return RigidTransform(matrix, metric, state, time.perf_counter() - began, message or "converged", overlap)


def _doubt(metric: float, overlap: float, stopped_early: bool) -> str | None:
    if metric < _LEAST_INFORMATION:
        return (
            f"The aligned scans share little information ({metric:.2f} nats, expected {_LEAST_INFORMATION}). "
            "Check that they show the same region of the same patient."
        )
    if overlap < _LEAST_OVERLAP:
        return f"Only {overlap:.0%} of either scan lies inside the other once aligned. Check that they show one region."
    if stopped_early:
        return f"The alignment was still moving after {_ITERATIONS} steps. Compare the scans by eye."
    return None


def _coarse(volume: Volume) -> sitk.Image:
    """The scan averaged down by whole numbers to about 3 mm, robustly clipped; float32."""
    low, high = np.percentile(volume.array[::2, ::2, ::2], [0.5, 99.5])
    image = to_sitk(np.clip(volume.array, low, high), volume.grid)
    factors = [max(1, round(_TARGET_MM / mm)) for mm in volume.grid.spacing_mm]
    factors = [min(factor, size // _FEWEST_VOXELS) for factor, size in zip(factors, volume.grid.shape, strict=True)]
    return sitk.BinShrink(image, factors)


def _method() -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=_BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentagePerLevel([0.4, 0.15], seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0,
        minStep=0.005,
        numberOfIterations=_ITERATIONS,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-5,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([3.0, 0.0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def _best_start(method: sitk.ImageRegistrationMethod, fixed: sitk.Image, moving: sitk.Image) -> sitk.Euler3DTransform:
    """The scanner's own coordinates or aligned centres, whichever shares more information to begin with."""
    centre = fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()])
    identity = sitk.Euler3DTransform()
    identity.SetCenter(centre)
    best, best_value = None, np.inf
    for start in (identity, _centred(fixed, moving, "GEOMETRY"), _centred(fixed, moving, "MOMENTS")):
        try:
            method.SetInitialTransform(start, inPlace=True)
            value = method.MetricEvaluate(fixed, moving)
        except RuntimeError:
            continue
        if value < best_value:
            best, best_value = start, value
    if best is None:
        raise RuntimeError("no start at which the images overlap")
    return best


def _centred(fixed: sitk.Image, moving: sitk.Image, mode: str) -> sitk.Euler3DTransform:
    how = getattr(sitk.CenteredTransformInitializerFilter, mode)
    return sitk.Euler3DTransform(sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), how))


def _overlap(fixed: Volume, moving: Volume, matrix: NDArray[np.float64]) -> float:
    """The share of the fixed grid that lies inside the moving one, on a lattice of 20 points an axis."""
    axes = [np.linspace(0, n - 1, 20) for n in fixed.grid.shape]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    mapped = moving.grid.to_index(fixed.grid.to_mm(lattice) @ matrix[:3, :3].T + matrix[:3, 3])
    return float(((mapped >= -0.5) & (mapped <= np.array(moving.grid.shape) - 0.5)).all(axis=1).mean())
