"""Boxes and points: are they inside, what belongs together, and where are they on another grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.errors import InputError
from core.types import Grid, Prompt

#: How far a click reaches that the network passed over: at least so many voxels, over at most so many grey values.
CLICK_VOXELS, CLICK_GREY = 3.0, 40


def check_slice_prompts(prompts: Sequence[Prompt], shape: tuple[int, int]) -> None:
    """Raises InputError unless there is a box or positive point and all lie inside a slice of `shape` (I, J)."""
    if not any(p.type == "box" or p.positive for p in prompts):
        raise InputError(
            "Expected a box or a positive point to look for; negative points alone say nothing. Draw a box."
        )
    for prompt in prompts:
        xs, ys = prompt.coords[0::2], prompt.coords[1::2]
        if min(xs) < 0 or min(ys) < 0 or max(xs) > shape[0] - 1 or max(ys) > shape[1] - 1:
            raise InputError(
                f"The {prompt.type} at {_text(prompt.coords)} on slice {prompt.slice} lies outside the {prompt.scan} "
                f"image: X must be 0..{shape[0] - 1} and Y 0..{shape[1] - 1}."
            )


def check_prompts(prompts: Sequence[Prompt], grid: Grid) -> None:
    """Whether prompts can be used on their scan.

    Args:
        prompts: of one lesion and one scan.
        grid: that scan's.

    Raises:
        InputError: none at all, several lesions or scans at once, a slice with negative points only, a box of no
            extent, or one outside the image; the message names the valid range.
    """
    if not prompts:
        raise InputError("Expected at least one box or point, got none. Draw a box around the lesion.")
    if len({p.lesion for p in prompts}) > 1 or len({p.scan for p in prompts}) > 1:
        raise InputError("Expected prompts for one lesion on one scan, got several. Refine one at a time.")
    for k in sorted({p.slice for p in prompts}):
        if not 0 <= k < grid.shape[2]:
            raise InputError(
                f"Slice {k} does not exist in the {prompts[0].scan} image: it must be 0..{grid.shape[2] - 1}."
            )
    for box in (p for p in prompts if p.type == "box"):
        if min(np.subtract(box.coords[2:], box.coords[:2])) < 1:
            raise InputError(
                f"The box at {_text(box.coords)} on slice {box.slice} holds no lesion: expected at least 2 pixels "
                "each way. Draw a box around the lesion, or use a point."
            )
    for k in sorted({p.slice for p in prompts}):
        check_slice_prompts([p for p in prompts if p.slice == k], grid.shape[:2])


def group_prompts(prompts: Sequence[Prompt]) -> list[list[Prompt]]:
    """What is asked in one go: each box with the positive points nearest to it, and every negative point.

    Without a box all points are one question. Boxes come in the order given.
    """
    boxes = [p for p in prompts if p.type == "box"]
    points = [p for p in prompts if p.type == "point"]
    if not boxes:
        return [points]
    groups = [[box] for box in boxes]
    for point in points:
        if point.positive:
            groups[int(np.argmin([_distance(point, box) for box in boxes]))].append(point)
        else:
            for group in groups:
                group.append(point)
    return groups


def _distance(point: Prompt, box: Prompt) -> float:
    (x, y), (x0, y0, x1, y1) = point.coords, box.coords
    return float(np.hypot(max(x0 - x, 0, x - x1), max(y0 - y, 0, y - y1)))


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice of two masks, 0..1; 0 when both are empty (two nothings are no evidence here)."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 0.0


def similarity(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    reference: NDArray[np.uint8],
    reference_mask: NDArray[np.bool_],
) -> float:
    """How alike the grey values inside two masks are: the overlap of their histograms in 16 bins, 0..1.

    0 if one is empty.
    """
    if not mask.any() or not reference_mask.any():
        return 0.0
    here = np.bincount(image[mask] // 16, minlength=16) / mask.sum()
    there = np.bincount(reference[reference_mask] // 16, minlength=16) / reference_mask.sum()
    return float(np.minimum(here, there).sum())


def contrast(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """How a mask stands out from the ring two to four voxels around it: 1 - `similarity`, 0..1.

    0 for a mask that is empty or leaves no ring.
    """
    ring = ndimage.binary_dilation(mask, iterations=4) & ~ndimage.binary_dilation(mask)
    return 1.0 - similarity(image, ring, image, mask) if ring.any() else 0.0


def boxes_around(points: Sequence[Prompt], shape: tuple[int, int], shares: Sequence[float]) -> list[Prompt]:
    """Boxes around the positive points, wider by each share of the longest side, cut to the slice (I, J)."""
    coords = np.array([p.coords for p in points if p.positive], dtype=float)
    limit = np.array(shape) - 1.0
    boxes = []
    for share in shares:
        low = np.clip(coords.min(axis=0) - share * max(shape), 0, limit)
        high = np.clip(coords.max(axis=0) + share * max(shape), 0, limit)
        boxes.append(replace(points[0], type="box", coords=(*low.tolist(), *high.tolist()), positive=True))
    return boxes


def only_as_asked(before: NDArray[np.bool_], after: NDArray[np.bool_], clicks: Sequence[Prompt]) -> bool:
    """Whether clicks changed a mask in their own sense: every click obeyed, most of the mask kept, and no more than a
    tenth of it grown without a positive click or lost without a negative one.
    """
    if any(bool(after[_voxel(p, after.shape)]) != p.positive for p in clicks):
        return False
    grown = 0 if any(p.positive for p in clicks) else int((after & ~before).sum())
    lost = 0 if any(not p.positive for p in clicks) else int((before & ~after).sum())
    return overlap(before, after) >= 0.8 and grown + lost <= 0.1 * int(before.sum())


def apply_clicks(mask: NDArray[np.bool_], image: NDArray[np.uint8], clicks: Sequence[Prompt]) -> NDArray[np.bool_]:
    """Makes every click true: the one that is not adds or takes away its own surroundings.

    These are the voxels joined to the click that differ from it by no more than `CLICK_GREY` grey values, within a
    third of the radius of a disc as large as the mask (at least `CLICK_VOXELS`). Negative clicks come last.

    Args:
        mask: (I, J) bool.
        image: (I, J) uint8.
        clicks: points on that slice.

    Returns:
        A new mask in which each positive click's voxel is set, and each negative one's is not.
    """
    mask = mask.copy()
    radius = max(CLICK_VOXELS, np.sqrt(mask.sum() / np.pi) / 3)
    i, j = np.indices(mask.shape)
    for click in sorted(clicks, key=lambda p: not p.positive):
        at = _voxel(click, mask.shape)
        if bool(mask[at]) == click.positive:
            continue
        alike = np.abs(image.astype(int) - int(image[at])) <= CLICK_GREY
        parts, _ = ndimage.label(alike & (np.hypot(i - at[0], j - at[1]) <= radius))
        mask[parts == parts[at]] = click.positive
    return mask


def _voxel(point: Prompt, shape: tuple[int, ...]) -> tuple[int, int]:
    x, y = (min(int(np.floor(c + 0.5)), n - 1) for c, n in zip(point.coords, shape, strict=True))
    return x, y


def map_prompts(prompts: Sequence[Prompt], scan_grid: Grid, reference_grid: Grid, scan: str = "") -> tuple[Prompt, ...]:
    """The same prompts in voxel indices of another grid, through physical space.

    A box becomes the box around its four mapped corners, cut to the grid; a slice becomes the nearest slice. Where the
    grids are turned against each other in-plane the box only grows, never loses a corner.

    Args:
        prompts: in voxel indices of `scan_grid`.
        scan_grid: the grid they were drawn on.
        reference_grid: the grid they are wanted on.
        scan: the channel name the mapped prompts are to carry; "" keeps theirs.

    Raises:
        InputError: for a prompt outside `scan_grid`, or wholly outside `reference_grid`; names the valid range.
    """
    return tuple(_map_prompt(p, scan_grid, reference_grid, scan or p.scan) for p in prompts)


def _map_prompt(prompt: Prompt, source: Grid, target: Grid, scan: str) -> Prompt:
    if not 0 <= prompt.slice < source.shape[2]:
        raise InputError(
            f"Slice {prompt.slice} does not exist in the {prompt.scan} image: it must be 0..{source.shape[2] - 1}."
        )
    check_slice_prompts([replace(prompt, positive=True)], source.shape[:2])
    if prompt.type == "box":
        x0, y0, x1, y1 = prompt.coords
        corners = [(x0, y0), (x1, y0), (x0, y1), (x1, y1)]
    else:
        corners = [(prompt.coords[0], prompt.coords[1])]
    indices = target.to_index(source.to_mm(np.array([(x, y, prompt.slice) for x, y in corners], dtype=float)))
    low, high = indices.min(axis=0), indices.max(axis=0)
    limit = np.array(target.shape) - 1
    k = int(np.round(indices[:, 2].mean()))
    # Half a voxel beyond the centres of the outermost voxels is still image.
    if not 0 <= k <= limit[2] or (high[:2] < -0.5).any() or (low[:2] > limit[:2] + 0.5).any():
        raise InputError(
            f"The {prompt.type} on slice {prompt.slice} of the {prompt.scan} image lies outside the {scan} image, "
            f"whose voxels are X 0..{limit[0]}, Y 0..{limit[1]}, slice 0..{limit[2]}."
        )
    low, high = np.clip(low[:2], 0, limit[:2]), np.clip(high[:2], 0, limit[:2])
    coords = (*low, *high) if prompt.type == "box" else tuple(low)
    return replace(prompt, slice=k, coords=tuple(float(c) for c in coords), scan=scan)


def mask_to_grid(mask: NDArray[np.bool_], source: Grid, target: Grid) -> NDArray[np.bool_]:
    """A mask made on one grid, on another: linear interpolation, inside where at least half.

    Args:
        mask: (I, J, K) bool on `source`.
        source: where it is.
        target: where it is wanted; outside `source` there is no mask.

    Returns:
        bool of `target.shape`; the mask itself when the grids match; empty for an empty mask.
    """
    from core.imaging.volumes import resample

    if source.matches(target):
        return mask.copy()
    if not mask.any():
        return np.zeros(target.shape, dtype=bool)
    return np.asarray(resample(mask.astype(np.float32), source, target, "linear", 0.0)) >= 0.5


def _text(coords: tuple[Any, ...]) -> str:
    return "(" + ", ".join(f"{c:g}" for c in coords) + ")"
