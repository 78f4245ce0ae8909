"""A lesion against its own past: where it lay, and how large it was, in the last accepted mask.

Of the mask before, a lesion's volume is enough for "history"; "position" also asks for its voxels and for where the two
scans lie in each other. What is not known is left out, and the verdict says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtri

from core.growth.population import default_population, locf_quantiles
from core.growth.rates import READER_LOG_SD
from core.growth.series import LOG_FLOOR, LesionHistories
from core.types import LabelMap

Floats = NDArray[np.float64]
#: A jump of 1 is the limit of so many of the changes of treated lesions (`limits`).
LEVEL = 0.99
#: Voxels of a lesion that are looked at.
_MOST_POINTS, _GAP_POINTS = 20_000, 2_000


@dataclass(frozen=True, eq=False)
class PastLesion:
    """A lesion as the last accepted mask before has it.

    Args:
        timepoint: of that mask. days: since then, > 0. volume_mm3: of the lesion there.
        labels: that mask, and which of its labels the lesion has; None where it was not read.
        to_past: 4x4 from this scan's millimetres to that one's; None where nothing says how they lie.
    """

    timepoint: str
    days: float
    volume_mm3: float
    labels: LabelMap | None = None
    numbers: tuple[int, ...] = ()
    to_past: Floats | None = None


def history_of(volume_mm3: float, past: PastLesion) -> dict[str, float]:
    """ "jump": ln(volume now / volume then) as a share of what growth or treatment explains in that time, ± 1 being the
    99 % limits either way; {} where either is below what the population was measured at."""
    if volume_mm3 <= 0 or past.volume_mm3 <= 0 or math.log(min(volume_mm3, past.volume_mm3)) <= LOG_FLOOR:
        return {}
    change = math.log(volume_mm3 / past.volume_mm3)
    low, high = limits(float(past.days), math.log(past.volume_mm3))
    return {"jump": change / high if change > 0 else change / low}


@lru_cache(maxsize=4096)
def limits(days: float, last_log: float) -> tuple[float, float]:
    """What ln(later / last) of a treated lesion is within at `LEVEL`: below 0, above 0.

    The population's 95 % limits of the last value carried forward, stretched to 99 % as if they were normal, and never
    less than two drawings of one lesion differ by.

    Source: Laleh 2022, 10.1371/journal.pcbi.1009822, as `core.growth.population` learned it.
    """
    past = LesionHistories(
        np.zeros((1, 1)), np.full((1, 1), last_log), np.ones((1, 1), dtype=bool), np.ones(1, dtype=np.int64)
    )
    found = locf_quantiles(default_population().everyone, past, np.array([[max(days, 0.0)]]))[0, 0]
    wide = float(ndtri(0.5 + LEVEL / 2) / ndtri(0.975))
    noise = float(ndtri(0.5 + LEVEL / 2)) * math.sqrt(2) * READER_LOG_SD
    return min(float(found[0]) * wide, -noise), max(float(found[-1]) * wide, noise)


def position_of(labels: LabelMap, number: int, past: PastLesion) -> dict[str, float]:
    """Where a lesion lies against its last place; {} where that is not known.

    gap: distance between the two in mm, / 10; 0 where they meet. moved: between their middles, in radii of the larger.
    apart: share of the smaller that lies outside the larger. unlike: 1 - Dice of the two laid over each other by their
    middles and brought to one volume, which growth that is even leaves at 0.
    """
    if past.labels is None or past.to_past is None or not past.numbers:
        return {}
    before = np.isin(past.labels.array, past.numbers)
    now = labels.array == number
    if not before.any() or not now.any():
        return {}
    there = past.labels.grid.to_mm(_points(before))
    here = labels.grid.to_mm(_points(now)) @ past.to_past[:3, :3].T + past.to_past[:3, 3]
    volume_then = np.count_nonzero(before) * past.labels.grid.voxel_volume_mm3
    volume_now = np.count_nonzero(now) * labels.grid.voxel_volume_mm3
    middle_then, middle_now = there.mean(axis=0), here.mean(axis=0)
    radius = float(np.cbrt(3 * max(volume_then, volume_now) / (4 * np.pi)))
    smaller_is_now = volume_now <= volume_then
    to_here = np.linalg.inv(past.to_past)
    if smaller_is_now:
        within = _inside(before, past.labels, here)
    else:
        within = _inside(now, labels, there @ to_here[:3, :3].T + to_here[:3, 3])
    scale = np.cbrt(volume_then / volume_now)
    laid = _inside(before, past.labels, (here - middle_now) * scale + middle_then)
    back = ((there - middle_then) / scale + middle_now) @ to_here[:3, :3].T + to_here[:3, 3]
    unlike = 1 - (laid.mean() + _inside(now, labels, back).mean()) / 2
    return {
        "gap": 0.0 if within.any() else _gap_mm(there, here) / 10,
        "moved": float(np.linalg.norm(middle_now - middle_then)) / max(radius, 1.0),
        "apart": float(1 - within.mean()),
        "unlike": float(unlike),
    }


def _points(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    at = np.argwhere(mask).astype(np.float64)
    return at if len(at) <= _MOST_POINTS else at[:: math.ceil(len(at) / _MOST_POINTS)]


def _inside(mask: NDArray[np.bool_], labels: LabelMap, points_mm: Floats) -> NDArray[np.bool_]:
    at = np.round(labels.grid.to_index(points_mm)).astype(int)
    within = ((at >= 0) & (at < mask.shape)).all(axis=1)
    found = np.zeros(len(at), dtype=bool)
    found[within] = mask[tuple(at[within].T)]
    return found


def _gap_mm(first_mm: Floats, second_mm: Floats) -> float:
    """The least distance between some hundreds of points of either."""
    some = [one[:: max(1, len(one) // _GAP_POINTS)] for one in (first_mm, second_mm)]
    return float(cKDTree(some[0]).query(some[1])[0].min())
