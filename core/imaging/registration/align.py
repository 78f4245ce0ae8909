"""The rigid registration: from several starts, at last without what changed, and judged by what it did not optimise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from core.errors import GeometryError
from core.imaging.registration import figures
from core.imaging.registration.judging import judge, named_figures
from core.imaging.registration.parameters import (
    COARSER,
    ENOUGH,
    FAR_BEHIND,
    HOPELESS_AT_HOME,
    HOPELESS_EDGES,
    ONE_OPTIMUM_MM,
    ONE_START_MM,
    OVERLAP_POWER,
    PARAMETERS,
    PARAMETERS_HASH,
    SEARCHED,
)
from core.imaging.registration.prepared import FEWEST_VOXELS, Prepared, prepare
from core.imaging.registration.refine import COARSE, FINE, Refined, information_at, refine
from core.imaging.registration.robust import settle
from core.imaging.registration.search import LEAST_OVERLAP, Start, mean_distance_mm, points_of, search, usual_starts
from core.imaging.registration.transform import RigidTransform, inverse, mapped
from core.types import LabelMap, Volume

Matrix = NDArray[np.float64]


#: Grids that differ by less are one field of view.
ONE_FIELD_MM = 1.0
#: Correlation of grey values from which scans of one field are taken to lie alike.
ALIKE = 0.8


@dataclass(frozen=True, eq=False)
class Found:
    """The best place, and what the other starts say of it.

    Args:
        matrix: where it is, 4x4, fixed RAS mm -> moving RAS mm.
        information: mutual information there, nats.
        stopped_early: whether it was still moving when its steps were used up.
        agreement: share of the starts that came there, 0..1.
        rival: how well the next best other place fits, as a share of how well this one does; 0 where all came here.
        usual: whether one of the usual starts came there that began near it: then a rival counts less.
        hopeless: whether nothing speaks for any place: the last step was left out.
    """

    matrix: Matrix
    information: float
    stopped_early: bool
    agreement: float
    rival: float
    usual: bool
    hopeless: bool = False


@dataclass(frozen=True, eq=False)
class End:
    """Where a last step came to rest; `fit` is information, less where little of the fields is in common."""

    matrix: Matrix
    information: float
    stopped_early: bool
    fit: float


def rigid(
    fixed: Volume, moving: Volume, fixed_lesions: LabelMap | None = None, moving_lesions: LabelMap | None = None
) -> RigidTransform:
    """Align two scans by rotation and translation, and say how far to trust it.

    Starts from the scanner's coordinates, from aligned middles, and from the best of an exhaustive coarse search over
    shifts and turns (to about 60 mm and 30°). The same pair gives the same answer on every run.

    Args:
        fixed: the scan whose points are to be mapped, e.g. the current timepoint.
        moving: the scan that they are mapped to, e.g. the timepoint before. CT or MR; a PET goes with its CT.
        fixed_lesions, moving_lesions: what is known of tumours in either, on any grid over the scan's mm. They have no
            say in the judgement, with 10 mm around them, as they may have changed; the alignment itself is the same.

    Returns:
        A `RigidTransform` whose `state` is good, doubtful or failed, with the reasons; nothing is raised for that. Even
        "good" does not prove that both show one patient. Where a body looks the same all along, as a cylinder does, no
        picture tells one place from the next, and the scanner's coordinates and the fields' middles decide.

    Raises:
        GeometryError: if a scan has fewer than 4 voxels along an axis.
    """
    began = time.perf_counter()
    for volume in (fixed, moving):
        if min(volume.grid.shape) < FEWEST_VOXELS:
            raise GeometryError(
                f"Expected at least {FEWEST_VOXELS} voxels along each axis to align scans, got {volume.grid.shape}."
            )
    if "PET" in (fixed.modality, moving.modality):
        return failure("A PET is not aligned by itself, it has too little to align by. Use the CT it came with.", began)
    one, other = prepare(fixed), prepare(moving)
    found = best_of(one, other)
    if found is None and alike_as_they_lie(fixed, moving):
        return as_the_scanners_say(began)
    if found is None:
        return failure(
            "The scans could not be aligned: they do not overlap or show nothing. Check that they are of one region.",
            began,
        )
    inverse_mm = None if found.hopeless else there_and_back_mm(one, other, found.matrix)
    pair = figures.aligned(one, other, found.matrix, fixed_lesions, moving_lesions)
    quality = named_figures(one, other, pair, found.information, inverse_mm, found.agreement, found.rival)
    state, message = judge(quality, found.stopped_early, found.usual)
    return RigidTransform(
        found.matrix,
        found.information,
        state,
        time.perf_counter() - began,
        message,
        quality["overlap"].value or 0.0,
        quality,
        PARAMETERS,
        PARAMETERS_HASH,
    )


def failure(message: str, began: float) -> RigidTransform:
    """Nothing was computed: both scans stay where they are."""
    seconds = time.perf_counter() - began
    return RigidTransform(
        np.eye(4), 0.0, "failed", seconds, message, parameters=PARAMETERS, parameters_hash=PARAMETERS_HASH
    )


def alike_as_they_lie(fixed: Volume, moving: Volume) -> bool:
    """Whether two scans cover one field and show about the same there, where the scanners' coordinates put them."""
    if not fixed.grid.matches(moving.grid, ONE_FIELD_MM):
        return False
    one, other = (volume.array.ravel()[::7].astype(np.float64) for volume in (fixed, moving))
    if one.std() == 0 or other.std() == 0:
        return False
    return float(np.corrcoef(one, other)[0, 1]) >= ALIKE


def as_the_scanners_say(began: float) -> RigidTransform:
    """For scans of one field that are too small to align: where the scanners' coordinates put them, in doubt."""
    return RigidTransform(
        np.eye(4),
        0.0,
        "doubtful",
        time.perf_counter() - began,
        "The scans are too small to be aligned. They cover one field and look alike there, and are taken to lie as the "
        "scanners' coordinates say. Compare them by eye, correct it, or refuse it.",
        1.0,
        parameters=PARAMETERS,
        parameters_hash=PARAMETERS_HASH,
    )


def best_of(fixed: Prepared, moving: Prepared) -> Found | None:
    """Follows the starts on coarse images, and the best, with its rival, on fine ones."""
    places = points_of(fixed)

    def apart_mm(one: Matrix, other: Matrix) -> float:
        return mean_distance_mm(places, one, other)

    def weighed(information: float, matrix: Matrix) -> float:
        return max(0.0, information) * field_overlap(fixed, moving, matrix) ** OVERLAP_POWER

    usual = list(usual_starts(fixed, moving))
    coarse = followed(fixed, moving, apart_starts(fixed, moving, usual, apart_mm), apart_mm)
    reached = [one for one in coarse if field_overlap(fixed, moving, one.matrix) >= LEAST_OVERLAP] or coarse
    reached.sort(key=lambda one: weighed(one.information, one.matrix), reverse=True)
    if not reached:
        return None
    first = reached[0]
    others = [one for one in reached if apart_mm(one.matrix, first.matrix) > ONE_OPTIMUM_MM][:1]
    hopeless = all(nothing_speaks_for(fixed, moving, one.matrix) for one in (first, *others))
    coarse_fits = [weighed(one.information, one.matrix) for one in (first, *others)]
    near_rival = bool(others) and coarse_fits[1] > FAR_BEHIND * coarse_fits[0]
    followed_on = [] if hopeless else [first, *others] if near_rival else [first]
    ends = [end for one in followed_on if (end := last_step(fixed, moving, one.matrix, weighed))]
    if not hopeless and not ends:
        return None
    ends.sort(key=lambda end: end.fit, reverse=True)
    best = ends[0] if ends else End(first.matrix, coarse_information(fixed, moving, first), False, coarse_fits[0])
    rivals = [end.fit for end in ends[1:] if apart_mm(end.matrix, best.matrix) > ONE_OPTIMUM_MM]
    if hopeless or (others and not near_rival):
        rivals = [best.fit * fit / coarse_fits[0] for fit in coarse_fits[1:] if coarse_fits[0] > 0]
    return Found(
        best.matrix,
        best.information,
        best.stopped_early,
        float(np.mean([apart_mm(one.matrix, best.matrix) <= ONE_OPTIMUM_MM for one in coarse])),
        rivals[0] / best.fit if rivals and best.fit else 0.0,
        any(apart_mm(start.matrix, best.matrix) <= ONE_OPTIMUM_MM for start in usual),
        hopeless,
    )


def apart_starts(
    fixed: Prepared, moving: Prepared, usual: Sequence[Start], apart_mm: Callable[[Matrix, Matrix], float]
) -> list[Matrix]:
    """The usual starts and the search's, those that are not one."""
    starts: list[Matrix] = []
    for start in in_turn(usual, search(fixed, moving, SEARCHED)):
        if all(apart_mm(start.matrix, other) > ONE_START_MM for other in starts):
            starts.append(start.matrix)
    return starts


def coarse_information(fixed: Prepared, moving: Prepared, found: Refined) -> float:
    """Information at a coarse place on fine images, nats, as it is told of all others; what was found if they part."""
    information = information_at(fixed.image, moving.image, found.matrix, FINE)
    return found.information if information is None else information


def nothing_speaks_for(fixed: Prepared, moving: Prepared, matrix: Matrix) -> bool:
    """Whether edges and pieces of the body both say that a place is wrong by far: a last step would not help it."""
    pair = figures.aligned(fixed, moving, matrix)
    edges = figures.edges(pair)
    if edges is None or edges >= HOPELESS_EDGES:
        return False
    at_home = figures.blocks(pair).at_home
    return at_home is None or at_home < HOPELESS_AT_HOME


def in_turn(usual: Sequence[Start], searched: Sequence[Start]) -> list[Start]:
    """The best of the search, a usual start, the next best of the search, and so on."""
    pairs = zip_longest(searched, usual)
    return [start for pair in pairs for start in pair if start is not None]


def followed(
    fixed: Prepared, moving: Prepared, starts: Sequence[Matrix], apart_mm: Callable[[Matrix, Matrix], float]
) -> list[Refined]:
    """Where the starts lead on coarse images; no further ones once `ENOUGH` led to one place and none elsewhere."""
    found: list[Refined] = []
    for start in starts:
        if len(found) >= ENOUGH and all(apart_mm(one.matrix, found[0].matrix) <= ONE_OPTIMUM_MM for one in found):
            break
        end = refine(fixed.image, moving.image, start, COARSE)
        if end is not None:
            found.append(end)
    return found


def field_overlap(fixed: Prepared, moving: Prepared, matrix: Matrix) -> float:
    """The larger of the shares of either field that lie in the other, on a lattice of 12 points an axis, 0..1."""
    shares = []
    for one, other, there in ((fixed, moving, matrix), (moving, fixed, inverse(matrix))):
        axes = [np.linspace(0, n - 1, 12) for n in one.grid.shape]
        lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        index = other.grid.to_index(mapped(there, one.grid.to_mm(lattice)))
        shares.append(float(((index >= -0.5) & (index <= np.array(other.grid.shape) - 0.5)).all(axis=1).mean()))
    return max(shares)


def last_step(
    fixed: Prepared, moving: Prepared, start: Matrix, weighed: Callable[[float, Matrix], float]
) -> End | None:
    """From a coarse place to the best near it: by grey values where both are of one kind, else by information."""
    if fixed.modality == moving.modality:
        settled = settle(fixed, moving, start)
        if settled is None:
            return None
        information = information_at(fixed.image, moving.image, settled.matrix, FINE)
        if information is None:
            return None
        fit = weighed(information, settled.matrix)
        return End(settled.matrix, information, settled.stopped_early, fit)
    found = fine(fixed, moving, start)
    if found is None:
        return None
    return End(found.matrix, found.information, found.stopped_early, weighed(found.information, found.matrix))


def fine(fixed: Prepared, moving: Prepared, start: Matrix) -> Refined | None:
    """By information, with the coarser of the two as the one whose voxels are looked up in the other.

    Between thick slices a scan is made up by interpolation, which draws the answer towards whole slices: on simulated
    second scans of 7 mm slices the other way round came 2 to 3.5 mm off and this one 0.1 to 0.6.
    """
    if moving.grid.voxel_volume_mm3 <= COARSER * fixed.grid.voxel_volume_mm3:
        return refine(fixed.image, moving.image, start, FINE)
    back = refine(moving.image, fixed.image, inverse(start), FINE)
    return None if back is None else Refined(inverse(back.matrix), back.information, back.stopped_early)


def there_and_back_mm(fixed: Prepared, moving: Prepared, matrix: Matrix) -> float | None:
    """How far apart the alignment and the one with the scans in exchange put the body, mean mm, or None."""
    places = points_of(fixed)
    if fixed.modality == moving.modality:
        settled = settle(moving, fixed, inverse(matrix))
        return None if settled is None else mean_distance_mm(places, settled.matrix @ matrix, np.eye(4))
    if moving.grid.voxel_volume_mm3 <= COARSER * fixed.grid.voxel_volume_mm3:
        back = refine(moving.image, fixed.image, inverse(matrix), FINE)
        return None if back is None else mean_distance_mm(places, back.matrix @ matrix, np.eye(4))
    forth = refine(fixed.image, moving.image, matrix, FINE)
    return None if forth is None else mean_distance_mm(places, inverse(matrix) @ forth.matrix, np.eye(4))
