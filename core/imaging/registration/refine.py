"""From a start to the nearest best place: Mattes mutual information over turn and shift, by ITK.

Source: Mattes 2003, 10.1109/TMI.2003.809072. One thread and regular samples, so that a pair gives the same matrix on
every run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

BINS = 32
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Level:
    """How one level is refined.

    Args:
        shrink: whole number by which the images of about 3 mm are averaged down.
        sigma_mm: of smoothing.
        share: of the fixed voxels that are looked at, if they are `least_places` or more.
        least_places: so many are looked at where there are so many.
        step_mm, least_mm: the first and the last step.
        iterations: the most.
    """

    shrink: int
    sigma_mm: float
    share: float
    least_places: int
    step_mm: float
    least_mm: float
    iterations: int


COARSE = Level(shrink=2, sigma_mm=3.0, share=0.5, least_places=10_000, step_mm=4.0, least_mm=0.15, iterations=50)
FINE = Level(shrink=1, sigma_mm=1.5, share=0.5, least_places=30_000, step_mm=1.0, least_mm=0.01, iterations=150)


@dataclass(frozen=True, eq=False)
class Refined:
    """Where refining came to rest: 4x4 fixed RAS mm -> moving RAS mm, nats, and whether it was still moving."""

    matrix: NDArray[np.float64]
    information: float
    stopped_early: bool


def refine(fixed: sitk.Image, moving: sitk.Image, start: NDArray[np.float64], level: Level) -> Refined | None:
    """The best place near `start`; None where ITK cannot: the images do not meet, or show nothing to align by."""
    method = method_of(level, fixed.GetNumberOfPixels())
    transform = to_itk(start, fixed)
    try:
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(fixed, moving)
    except RuntimeError:  # samples outside the other image, or no variation to align by
        return None
    matrix = to_matrix(transform)
    information = -float(method.GetMetricValue())
    if not np.isfinite(information) or not np.isfinite(matrix).all():
        return None
    return Refined(matrix, information, method.GetOptimizerIteration() >= level.iterations)


def information_at(fixed: sitk.Image, moving: sitk.Image, matrix: NDArray[np.float64], level: Level) -> float | None:
    """Mutual information there, nats, of the images as they are (not smoothed); None where they do not meet."""
    method = method_of(level, fixed.GetNumberOfPixels())
    method.SetInitialTransform(to_itk(matrix, fixed))
    try:
        information = -float(method.MetricEvaluate(fixed, moving))
    except RuntimeError:  # samples outside the other image
        return None
    return information if np.isfinite(information) else None


def method_of(level: Level, voxels: int) -> sitk.ImageRegistrationMethod:
    """ITK's method for one level of an image of so many voxels (before it is shrunk)."""
    places = voxels / level.shrink**3
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(min(1.0, max(level.share, level.least_places / places)), seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=level.step_mm,
        minStep=level.least_mm,
        numberOfIterations=level.iterations,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-5,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([level.shrink])
    method.SetSmoothingSigmasPerLevel([level.sigma_mm])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def to_itk(matrix: NDArray[np.float64], fixed: sitk.Image) -> sitk.Euler3DTransform:
    """A 4x4 matrix over RAS mm -> ITK's LPS rotation about the fixed image's middle."""
    lps = _FLIP @ matrix @ _FLIP
    centre = np.array(fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()]))
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(lps[:3, :3].ravel().tolist(), 1e-5)
    transform.SetTranslation((lps[:3, 3] - centre + lps[:3, :3] @ centre).tolist())
    return transform


def to_matrix(transform: sitk.Euler3DTransform) -> NDArray[np.float64]:
    """ITK's LPS rotation about a centre -> a 4x4 matrix over RAS mm."""
    rotation = np.reshape(transform.GetMatrix(), (3, 3))
    centre = np.array(transform.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = np.array(transform.GetTranslation()) + centre - rotation @ centre
    return _FLIP @ matrix @ _FLIP
