"""Dice, diff and Hausdorff distance against SimpleITK's own filters: same pair, same run, one thread each, CPU time.

Run: python -m tests.bench.bench_metrics
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from core.imaging.volumes import read_label_map, to_sitk
from core.lesions.masks import mask_diff
from core.lesions.metrics import dice, surface_distances
from core.types import Grid, LabelMap

_ROOT = Path(__file__).resolve().parents[2]
_SHARED = Path(os.environ.get("TWIN_SHARED", _ROOT.parent / "shared" / "data"))


def _ball(grid: Grid, centre: tuple[int, int, int], radius_mm: float) -> NDArray[np.uint8]:
    i, j, k = np.ogrid[tuple(slice(0, n) for n in grid.shape)]
    x, y, z = ((axis - c) * mm for axis, c, mm in zip((i, j, k), centre, grid.spacing_mm, strict=True))
    return (x**2 + y**2 + z**2 <= radius_mm**2).astype(np.uint8)


def pairs() -> dict[str, tuple[LabelMap, LabelMap]]:
    """A phantom pair of 512 x 512 x 300 voxels and, where the real data is, a tumour contour and its shifted copy."""
    grid = Grid((512, 512, 300), np.diag([0.8, 0.8, 1.25, 1.0]))
    found = {
        "phantom 512x512x300": (
            LabelMap(_ball(grid, (200, 220, 150), 50), grid),
            LabelMap(_ball(grid, (205, 222, 148), 48), grid),
        )
    }
    path = _SHARED / "sts" / "STS_036" / "CT_mask.nii.gz"
    if path.exists():
        labels = read_label_map(path)
        shifted = LabelMap(np.roll(labels.array, (3, -2, 1), axis=(0, 1, 2)), labels.grid)
        found["STS_036 CT " + "x".join(map(str, labels.grid.shape))] = (labels, shifted)
    return found


def _best(work: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """The answer and the least CPU time of `repeats`, seconds: a busy machine hardly skews it."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        answer = work()
        times.append(time.process_time() - began)
    return answer, min(times)


def _itk_overlap(a: sitk.Image, b: sitk.Image) -> float:
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(a, b)
    return float(overlap.GetDiceCoefficient())


def _itk_hausdorff(a: sitk.Image, b: sitk.Image) -> float:
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(a, b)
    return float(hausdorff.GetHausdorffDistance())


def run(repeats: int = 3) -> list[dict[str, Any]]:
    """One row a pair and measure: ours and SimpleITK's value and CPU seconds, their ratio and difference.

    SimpleITK runs on one thread, as ours does, and its images are made beforehand: only the filters are timed.
    """
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    rows = []
    try:
        for name, (before, after) in pairs().items():
            images = [to_sitk(labels.array, labels.grid) for labels in (before, after)]
            rows += [
                _row(name, measure, ours, theirs, images, repeats)
                for measure, ours, theirs in (
                    ("dice", lambda b=before, a=after: dice(b.array, a.array), _itk_overlap),
                    ("diff", lambda b=before, a=after: mask_diff(b, a).dice, _itk_overlap),
                    (
                        "hausdorff_mm",
                        lambda b=before, a=after: surface_distances(b.array, a.array, b.grid.spacing_mm).hausdorff_mm,
                        _itk_hausdorff,
                    ),
                )
            ]
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    return rows


def _row(
    pair: str,
    measure: str,
    ours: Callable[[], Any],
    theirs: Callable[..., float],
    images: list[sitk.Image],
    repeats: int,
) -> dict[str, Any]:
    value, seconds = _best(ours, repeats)
    # The filter is slow on the phantom: once is enough for a ratio of tens.
    itk_value, itk_seconds = _best(lambda: theirs(*images), 1 if measure == "hausdorff_mm" else repeats)
    return {
        "pair": pair,
        "measure": measure,
        "ours": float(value),
        "simpleitk": itk_value,
        "difference": abs(float(value) - itk_value),
        "ours_seconds": seconds,
        "simpleitk_seconds": itk_seconds,
        "times_faster": itk_seconds / seconds,
    }


def main() -> None:
    """Print the rows as a table."""
    print(f"{'pair':<28}{'measure':<14}{'ours':>12}{'SimpleITK':>12}{'diff':>10}{'ours s':>9}{'ITK s':>9}{'ratio':>8}")
    for row in run():
        print(
            f"{row['pair']:<28}{row['measure']:<14}{row['ours']:>12.6f}{row['simpleitk']:>12.6f}"
            f"{row['difference']:>10.1e}{row['ours_seconds']:>9.3f}{row['simpleitk_seconds']:>9.3f}"
            f"{row['times_faster']:>7.1f}x"
        )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
