"""Segmentation of a whole lesion from the prompted slices, slice by slice in both directions.

`core.engines.propagation.slice_propagation` does it; the criterion that stopped each direction is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.engines.base import PromptSegmenter, Propagation, SliceFound, StopReason
from core.engines.prompt.embeddings import SliceEmbed
from core.engines.prompt.preparing import to_uint8
from core.engines.prompt.prompting import check_prompts
from core.engines.propagation import planes
from core.engines.propagation.boxes import Bool
from core.engines.propagation.slice_propagation import DEFAULT_STOPPING, SlicePropagator, StartSlice, StoppingCriteria
from core.errors import GeometryError, InputError
from core.types import Grid, Progress, Prompt, Volume, no_progress

__all__ = ["DEFAULT_STOPPING", "StartSlice", "StoppingCriteria", "propagate_slices", "segment_from_prompts"]


def segment_from_prompts(
    volume: Volume,
    prompts: Sequence[Prompt],
    segmenter: PromptSegmenter,
    propagate: bool,
    progress: Progress = no_progress,
    earlier_mask: Bool | None = None,
    rules: StoppingCriteria = DEFAULT_STOPPING,
    embed: SliceEmbed | None = None,
) -> Propagation:
    """Mask of one lesion from the prompts of one scan.

    Args:
        volume: the prompted scan.
        prompts: boxes and points of one lesion, voxel indices of that scan.
        segmenter: of `core.engines.prompt.medsam.load_prompt_segmenter`.
        propagate: True to go on beyond the prompted slices, and between them.
        progress: called for every slice; may raise JobCancelled.
        earlier_mask: (I, J, K) bool on the scan's grid, of this lesion. Propagation then does not end before
            that mask does, unless nothing is found, and its extent is taken into the next slice's box.
        rules: when to stop.
        embed: as `propagate_slices`.

    Returns:
        The mask on the scan's own grid; predicted IoU of each slice done; for both directions why it went no further
        (no reasons without `propagate`). A prompt on which nothing is found gives an empty slice and stops there.

    Raises:
        InputError: prompts that cannot be used, see `core.engines.prompt.prompting.check_prompts`.
        GeometryError: an earlier mask on another grid.
        JobCancelled: from `progress`.
    """
    check_prompts(prompts, volume.grid)
    grey = to_uint8(volume.array, volume.modality)
    mask, ious = np.zeros(volume.grid.shape, dtype=bool), dict[int, float]()
    stops = []
    results = propagate_slices(
        grey,
        volume.grid,
        prompts,
        segmenter,
        propagate=propagate,
        progress=progress,
        earlier_mask=earlier_mask,
        rules=rules,
        embed=embed,
    )
    for result in results:
        if isinstance(result, StopReason):
            stops.append(result)
        else:
            mask[:, :, result.slice], ious[result.slice] = result.answer.mask, result.answer.predicted_iou
    progress(1.0, "done")
    return Propagation(mask, volume.grid, dict(sorted(ious.items())), tuple(stops))


def propagate_slices(
    grey: NDArray[np.uint8],
    grid: Grid,
    prompts: Sequence[Prompt],
    segmenter: PromptSegmenter,
    *,
    propagate: bool = True,
    start: StartSlice | None = None,
    until: tuple[int, int] | None = None,
    progress: Progress = no_progress,
    earlier_mask: Bool | None = None,
    rules: StoppingCriteria = DEFAULT_STOPPING,
    embed: SliceEmbed | None = None,
) -> Iterator[SliceFound | StopReason]:
    """The slices of one lesion as they are found, and why each direction ended. Closing it stops it between slices.

    First the prompted slices, then those between them, then downwards, then upwards (of anatomical order); each
    direction's StopReason follows its last slice. Slices lie across the grid's last axis, and are put to the model in
    anatomical order with square pixels: what is found lies at the same place however the file orders its axes.

    Args:
        grey: (I, J, K) uint8 from `core.engines.prompt.preparing.to_uint8`.
        grid: the scan's.
        prompts: as `segment_from_prompts`; may be none with `start`.
        segmenter: as `segment_from_prompts`.
        propagate: as `segment_from_prompts`.
        start: go on from a slice whose mask is known, away from the prompted slices (both ways if there are none, or
            some on either side). The prompted slices themselves are then left alone, and `start` is not repeated.
        until: (low, high): go at least and at most to these slices: within them nothing but an empty slice ends it.
        progress: as `segment_from_prompts`.
        earlier_mask: as `segment_from_prompts`.
        rules: as `segment_from_prompts`.
        embed: (k, image) -> embedding, in place of the segmenter's own.

    Raises:
        InputError: as `segment_from_prompts`, or `start` or `until` outside the scan.
        GeometryError: as `segment_from_prompts`.
        JobCancelled: from `progress`.
    """
    if prompts or start is None:
        check_prompts(prompts, grid)
    _check_range(start, until, grid)
    if earlier_mask is not None and earlier_mask.shape != grid.shape:
        raise GeometryError(
            f"The earlier mask has the shape {earlier_mask.shape}, the scan {grid.shape}. Resample it first."
        )
    plane = planes.plane_order(grid, 2)
    square, given = planes.square(plane.grid, 2), embed or (lambda k, image: segmenter.embed(image))
    found = SlicePropagator(
        plane.volume(grey),
        plane.grid,
        segmenter if square.resampled == square.shape else planes.SquarePixels(segmenter, square),
        lambda k, image: given(plane.index(k), square.image(image)),
        rules,
        progress,
        None if earlier_mask is None else plane.volume(earlier_mask),
        None if until is None else _ordered(plane.index(until[0]), plane.index(until[1])),
    ).segment_slices(
        plane.prompts(prompts),
        propagate,
        None if start is None else StartSlice(plane.index(start.slice), plane.image(start.mask)),
    )
    return (_as_stored(result, plane) for result in found)


def _ordered(a: int, b: int) -> tuple[int, int]:
    return min(a, b), max(a, b)


def _as_stored(result: SliceFound | StopReason, plane: planes.PlaneOrder) -> SliceFound | StopReason:
    """What was found in anatomical order, on the slices as stored."""
    if isinstance(result, StopReason):
        return replace(result, direction=plane.direction(result.direction), slice=plane.index(result.slice))
    answer = replace(result.answer, mask=plane.image_back(result.answer.mask))
    return replace(result, slice=plane.index(result.slice), answer=answer)


def _check_range(start: StartSlice | None, until: tuple[int, int] | None, grid: Grid) -> None:
    depth = grid.shape[2]
    if start is not None and (start.mask.shape != grid.shape[:2] or not 0 <= start.slice < depth):
        raise InputError(
            f"Expected the mask to go on from on a slice 0..{depth - 1} of {grid.shape[0]} x {grid.shape[1]} voxels, "
            f"got {start.mask.shape} on slice {start.slice}."
        )
    if until is not None and not 0 <= until[0] <= until[1] < depth:
        raise InputError(f"Expected slices to go to as low, high within 0..{depth - 1}, got {until}.")
