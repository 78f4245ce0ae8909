"""Where training looks: which scan, which part of it, how turned, and how much of its field of view is cut away.

Positions are voxels of a case, the middle of the first voxel at 0. A patch's voxel u comes from
`matrix @ (u - middle) + centre`; what lies outside `box` is not there, as if the scan had ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from weights.recipes.sts_wide_view.cases import Case

PATCH = 64
#: Shares of what is looked at. "beside" is a part of a real scan that ends before its tumour begins.
KINDS = {"real": 0.46, "small": 0.15, "free": 0.27, "beside": 0.12}
#: A phantom is less likely than a patient: it is easy, and all are alike.
PHANTOM_LIKELY = 0.3
#: Shares of where a patch lies: with a voxel of the tumour anywhere in it, anywhere in the scan, or about its middle.
PLACES = {"tumour": 0.45, "anywhere": 0.3, "whole": 0.25}
#: How often the field of view is cut, how often on each of the six sides then, and by at most which share.
CUT, CUT_SIDE, CUT_SHARE = 0.55, 0.3, 0.5
#: No scan is cut to fewer voxels than this.
LEAST = 12
TURNED, ANGLE_DEG, SCALED = 0.45, 30.0, 0.45


@dataclass(frozen=True, eq=False)
class Place:
    """What is known of a case when a patch is drawn.

    Args:
        size: (3,) voxels.
        tumour: (n, 3) some of the tumour's voxels; n is 0 if there is none.
        first, last: (3,) the tumour's bounding box, last included; meaningless without a tumour.
    """

    size: NDArray[np.int64]
    tumour: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Crop:
    """One patch to be taken.

    Args:
        case: index of the case.
        matrix, centre: (3, 3) and (3,), see above.
        box: (2, 3) first and last voxel that is there.
    """

    case: int
    matrix: NDArray[np.float64]
    centre: NDArray[np.float64]
    box: NDArray[np.int64]


def place_of(case: Case, most: int = 2000) -> Place:
    """`Place` of a case, with at most so many of its tumour's voxels."""
    voxels = np.argwhere(case.tumour)
    size = np.array(case.tumour.shape)
    if len(voxels) == 0:
        return Place(size, voxels, np.zeros(3, np.int64), np.zeros(3, np.int64))
    return Place(size, voxels[:: max(len(voxels) // most, 1)], voxels.min(0), voxels.max(0))


class Drawer:
    """Draws crops. The same seed draws the same.

    Args:
        cases: to draw from; at least one real one.
        seed: of everything random.
        patch: voxels along each side of what is cut.
    """

    def __init__(self, cases: Sequence[Case], seed: int, patch: int = PATCH) -> None:
        self.patch = patch
        self.places = [place_of(case) for case in cases]
        self.rng = np.random.default_rng([seed, 42])
        self._of: dict[str, dict[str, list[int]]] = {}
        for n, case in enumerate(cases):
            self._of.setdefault(case.kind, {}).setdefault(case.patient, []).append(n)

    def draw(self) -> Crop:
        """One crop by the shares above; the patients of a kind are equally likely, whatever cases they have."""
        rng = self.rng
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        patients = self._of.get("real" if kind == "beside" else kind) or self._of["real"]
        likely = np.array([PHANTOM_LIKELY if name.startswith("phantom") else 1.0 for name in patients])
        variants = patients[str(rng.choice(list(patients), p=likely / likely.sum()))]
        number = variants[rng.integers(len(variants))]
        place = self.places[number]
        box = beside(place, rng) if kind == "beside" else None
        if box is None:
            box = cut(place.size, rng) if rng.random() < CUT else whole(place.size)
        matrix, exact = orientation(rng)
        return Crop(number, matrix, centre(place, box, matrix, exact, rng, self.patch), box)


def whole(size: NDArray[np.int64]) -> NDArray[np.int64]:
    """The box that cuts nothing."""
    return np.stack([np.zeros(3, np.int64), size - 1])


def cut(size: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A smaller field of view; the tumour may be cut, too."""
    box = whole(size)
    for axis in range(3):
        for side in (0, 1):
            if rng.random() < CUT_SIDE:
                away = int(rng.uniform(0, CUT_SHARE) * size[axis])
                away = min(away, int(box[1, axis] - box[0, axis]) + 1 - LEAST)
                box[side, axis] += max(away, 0) * (1 - 2 * side)
    return box


def beside(place: Place, rng: np.random.Generator) -> NDArray[np.int64] | None:
    """A field of view that ends before the tumour begins; None where no side has `LEAST` voxels left."""
    sides = []
    for axis in range(3):
        for side in (0, 1):
            box = whole(place.size)
            # One voxel of distance: the contour's own edge is no example of healthy tissue.
            box[1 - side, axis] = place.first[axis] - 2 if side == 0 else place.last[axis] + 2
            if box[1, axis] - box[0, axis] + 1 >= LEAST:
                sides.append(box)
    return sides[rng.integers(len(sides))] if sides else None


def orientation(rng: np.random.Generator) -> tuple[NDArray[np.float64], bool]:
    """A matrix that mirrors and perhaps turns and scales; and whether it leaves voxels on voxels."""
    matrix = np.diag(rng.choice([-1.0, 1.0], 3))
    exact = True
    if rng.random() < TURNED:
        matrix = Rotation.from_euler("xyz", rng.uniform(-ANGLE_DEG, ANGLE_DEG, 3), degrees=True).as_matrix() @ matrix
        exact = False
    if rng.random() < SCALED:
        matrix = matrix @ np.diag(np.exp(rng.uniform(-0.28, 0.28) + rng.uniform(-0.1, 0.1, 3)))
        exact = False
    return matrix, exact


def centre(
    place: Place,
    box: NDArray[np.int64],
    matrix: NDArray[np.float64],
    exact: bool,
    rng: np.random.Generator,
    patch: int = PATCH,
) -> NDArray[np.float64]:
    """Where the patch's middle lies: `PLACES`. With `exact` between voxels, so that voxels fall on voxels."""
    where = str(rng.choice(list(PLACES), p=list(PLACES.values())))
    seen = place.tumour[((place.tumour >= box[0]) & (place.tumour <= box[1])).all(1)] if len(place.tumour) else []
    if where == "tumour" and len(seen):
        voxel = seen[rng.integers(len(seen))]
        at = rng.uniform(3, patch - 4, 3)
        out = voxel - matrix @ (at - (patch - 1) / 2)
    elif where == "whole":
        out = box.mean(0)
    else:
        out = rng.uniform(box[0], box[1])
    return np.floor(out) + 0.5 if exact else out
