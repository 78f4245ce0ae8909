"""Lesions as connected pieces of a mask, and their identity from one timepoint to the next."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, generate_binary_structure, label

from core.errors import GeometryError, InputError
from core.lesions.metrics import bounding_box
from core.types import Grid, LabelMap

MAX_LESIONS = 255
#: An overlap below this share of both the piece and the lesion is a touch (misregistration), not a link.
_MIN_OVERLAP = 0.1


def components(binary: NDArray[Any], grid: Grid, min_volume_mm3: float = 30.0) -> NDArray[np.uint8]:
    """Number the connected pieces of a mask, largest first.

    Voxels that share a face, edge or corner are connected (26 neighbours). Pieces of one size are numbered by the place
    of their first voxel. The default leaves out pieces smaller than a ball of 3.9 mm diameter (assumed noise).

    Args:
        binary: (I, J, K) mask; non-zero is foreground.
        grid: where it lies.
        min_volume_mm3: smaller pieces are left out; 0 keeps all.

    Returns:
        (I, J, K) uint8, 0 = background, 1 = the largest piece; all 0 for an empty mask.

    Raises:
        GeometryError: if the mask does not fit the grid.
        InputError: if more than 255 pieces remain: the message names the `min_volume_mm3` that would leave 255.
    """
    if binary.shape != grid.shape:
        raise GeometryError(f"Expected a mask of {grid.shape} voxels, got {binary.shape}.")
    numbered = np.zeros(binary.shape, dtype=np.uint8)
    box = bounding_box(binary)
    if box is None:
        return numbered
    pieces, count = label(binary[box] != 0, structure=generate_binary_structure(3, 3))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    large_enough = order[sizes[order] * grid.voxel_volume_mm3 >= min_volume_mm3]
    if len(large_enough) > MAX_LESIONS:
        enough = float(sizes[large_enough[MAX_LESIONS]] + 1) * grid.voxel_volume_mm3
        raise InputError(
            f"Expected at most {MAX_LESIONS} separate lesions, got {len(large_enough)} of at least "
            f"{min_volume_mm3:g} mm3. Raise the smallest volume to {enough:g} mm3, or check that this is a tumour mask."
        )
    lookup = np.zeros(count + 1, dtype=np.uint8)
    lookup[large_enough + 1] = np.arange(1, len(large_enough) + 1)
    numbered[box] = lookup[pieces]
    return numbered


@dataclass(frozen=True)
class Matching:
    """Which lesion each piece of a new mask is.

    Args:
        numbers: component number -> lesion number, for every component.
        new: lesion numbers given for the first time.
        merges: lesion number -> the previous lesions (itself first) that became this one piece.
        splits: lesion number -> its components, where there are several.
        lost: previous lesions that no component continues (merged ones are not among them).
        overlap_mm3: (component, previous lesion) -> shared volume, the evidence.
        next_label: the first number that the patient has never used.
    """

    numbers: Mapping[int, int]
    new: tuple[int, ...]
    merges: Mapping[int, tuple[int, ...]]
    splits: Mapping[int, tuple[int, ...]]
    lost: tuple[int, ...]
    overlap_mm3: Mapping[tuple[int, int], float]
    next_label: int

    def relabel(self, current_components: NDArray[np.uint8], grid: Grid) -> LabelMap:
        """The components as a label map of lesion numbers."""
        lookup = np.zeros(256, dtype=np.uint8)
        for component, lesion in self.numbers.items():
            lookup[component] = lesion
        return LabelMap(lookup[current_components], grid)


def match_lesions(
    previous: LabelMap,
    current_components: NDArray[np.uint8],
    current_grid: Grid,
    transform: NDArray[np.float64],
    max_distance_mm: float = 10.0,
    next_label: int | None = None,
) -> Matching:
    """Give every component of a new mask its lesion number.

    A component takes the number of the previous lesion that it overlaps most (at least a tenth of the smaller of the
    two). Several components on one lesion: a split, all keep its number. One component on several lesions: a merge; it
    keeps the number of the largest overlap and lists the others, unless another component continues them. What
    overlaps nothing may continue a lesion that nothing overlaps, nearest first and one to one, with centres within
    `max_distance_mm`. The rest is new, numbered from `next_label` in order of component.

    Args:
        previous: the earlier mask with the patient's lesion numbers.
        current_components: (I, J, K) uint8 from `components`.
        current_grid: its grid.
        transform: 4x4, current RAS mm -> previous RAS mm (identity when both lie in one frame).
        max_distance_mm: the farthest that a lesion's centre may seem to have moved without overlap (assumed default).
        next_label: the patient's largest number ever, plus one; by default the previous mask's.

    Returns:
        A `Matching`; with no components everything is lost, with no previous lesions everything is new.

    Raises:
        GeometryError: if components and grid do not fit, or the transform is not a finite 4x4.
        InputError: if `next_label` is in use or the numbers run past 255.
    """
    if current_components.shape != current_grid.shape:
        raise GeometryError(f"Expected components of {current_grid.shape} voxels, got {current_components.shape}.")
    if np.shape(transform) != (4, 4) or not np.isfinite(transform).all():
        raise GeometryError("Expected a finite 4x4 transform between the timepoints. Register them again.")
    largest = max(previous.labels, default=0)
    number = largest + 1 if next_label is None else next_label
    if number <= largest:
        raise InputError(f"Expected the next lesion number to be above {largest}, got {number}.")

    clouds = _clouds(current_components, current_grid, np.asarray(transform, dtype=np.float64))
    overlap = _overlaps(previous, clouds, current_grid.voxel_volume_mm3)
    numbers, merges = _by_overlap(overlap)
    taken = set(numbers.values()) | {lesion for group in merges.values() for lesion in group}
    unclaimed = [lesion for lesion in previous.labels if lesion not in taken]
    loose = {component: points for component, points in clouds.items() if component not in numbers}
    numbers |= _by_distance(_clouds(previous.array, previous.grid, np.eye(4), unclaimed), loose, max_distance_mm)
    new = []
    for component in clouds:
        if component not in numbers:
            numbers[component] = number
            new.append(number)
            number += 1
    if new and new[-1] > MAX_LESIONS:
        raise InputError(
            f"Expected lesion numbers up to {MAX_LESIONS}, but this patient would need {new[-1]}. "
            "Take false lesions out of the mask first."
        )
    pieces: dict[int, list[int]] = {}
    for component, lesion in sorted(numbers.items()):
        pieces.setdefault(lesion, []).append(component)
    return Matching(
        numbers=dict(sorted(numbers.items())),
        new=tuple(new),
        merges=merges,
        splits={lesion: tuple(found) for lesion, found in pieces.items() if len(found) > 1},
        lost=tuple(lesion for lesion in unclaimed if lesion not in pieces),
        overlap_mm3=overlap,
        next_label=number,
    )


def _clouds(
    array: NDArray[np.uint8], grid: Grid, transform: NDArray[np.float64], wanted: Collection[int] | None = None
) -> dict[int, NDArray[np.float64]]:
    """Voxel centres (n, 3) of every label (or the wanted ones), mapped to the previous frame's mm, ascending."""
    clouds = {}
    for number, box in enumerate(find_objects(array), start=1):
        if box is not None and (wanted is None or number in wanted):
            indices = np.argwhere(array[box] == number) + [part.start for part in box]
            clouds[number] = grid.to_mm(indices) @ transform[:3, :3].T + transform[:3, 3]
    return clouds


def _overlaps(
    previous: LabelMap, clouds: Mapping[int, NDArray[np.float64]], voxel_mm3: float
) -> dict[tuple[int, int], float]:
    """(component, lesion) -> shared mm3, touches left out. A voxel lies in the previous voxel nearest to its centre."""
    sizes = np.bincount(previous.array.ravel(), minlength=256) * previous.grid.voxel_volume_mm3
    shape = np.asarray(previous.grid.shape)
    shared: dict[tuple[int, int], float] = {}
    for component, points in clouds.items():
        index = np.rint(previous.grid.to_index(points)).astype(np.int64)
        index = index[((index >= 0) & (index < shape)).all(axis=1)]
        counts = np.bincount(previous.array[tuple(index.T)], minlength=256) * voxel_mm3
        smaller = np.minimum(sizes, len(points) * voxel_mm3)
        for lesion in range(1, 256):
            if counts[lesion] > 0 and counts[lesion] >= _MIN_OVERLAP * smaller[lesion]:
                shared[component, lesion] = float(counts[lesion])
    return shared


def _by_overlap(overlap: Mapping[tuple[int, int], float]) -> tuple[dict[int, int], dict[int, tuple[int, ...]]]:
    """Components to lesions by largest overlap (the lower number when equal), and the merges among them."""
    numbers: dict[int, int] = {}
    for component, lesion in sorted(overlap, key=lambda pair: (-overlap[pair], pair)):
        numbers.setdefault(component, lesion)
    continued = set(numbers.values())
    swallowed: dict[int, list[int]] = {}
    claimed: set[int] = set()
    for component, lesion in sorted(overlap, key=lambda pair: (-overlap[pair], pair)):
        if lesion not in continued and lesion not in claimed:
            claimed.add(lesion)
            swallowed.setdefault(numbers[component], []).append(lesion)
    return numbers, {lesion: (lesion, *sorted(others)) for lesion, others in sorted(swallowed.items())}


def _by_distance(
    lost: Mapping[int, NDArray[np.float64]], loose: Mapping[int, NDArray[np.float64]], max_distance_mm: float
) -> dict[int, int]:
    """Loose components to lost lesions, nearest centres first, one to one, within `max_distance_mm`."""
    gaps = sorted(
        (float(np.linalg.norm(points.mean(axis=0) - known.mean(axis=0))), component, lesion)
        for component, points in loose.items()
        for lesion, known in lost.items()
    )
    matched: dict[int, int] = {}
    for gap, component, lesion in gaps:
        if gap <= max_distance_mm and component not in matched and lesion not in matched.values():
            matched[component] = lesion
    return matched
