"""Every mask comes onto a scan's grid by one rule: where it lies in space, with its volume kept.

Taking a voxel where its centre lies in the mask (nearest neighbour) loses a fifth to a half of a small lesion between
grids of different spacing, or adds as much. Here a segment gets as many voxels as its volume has room in, those first
of which it fills the largest share; the volume before and after is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.imaging.masks.drawn import DrawnMask, DrawnSegment, MaskOnGrid, PlacedSegment, in_mm3
from core.imaging.masks.shares import Shares, shares_on
from core.types import Grid, LabelMap

#: A mask of more than this share of a scan is the outline of a body, or what is not lesion.
MOST_OF_A_SCAN = 0.5
#: Shares are compared to this many digits, so that the order of a file's axes decides nothing.
_DIGITS = 5
#: A change of volume by more than this, percent, is a doubt and not a remark.
_MUCH_PERCENT = 10.0
#: Where the voxels that were taken are filled by less than this on average, the shape cannot be told on this grid.
_THIN = 0.4
#: Of a segment outside the scan, or given to another, from which on it is a doubt.
_PART = 0.01
_MOVED_MM = 0.05
#: Neighbours fill a voxel together by a little more than all of it where they were counted by points.
_TOUCH = 0.1
_ROUNDS = 50


@dataclass
class _Claim:
    """What one segment asks for: voxels of the grid in its order of preference, and how many it has room in."""

    segment: DrawnSegment
    shares: Shares
    flat: NDArray[np.int64]
    share: NDArray[np.float64]
    room: int
    inside_mm3: float
    overlap_mm3: float = 0.0


def onto_grid(mask: DrawnMask, grid: Grid) -> MaskOnGrid:
    """The mask on the grid of a scan.

    One segment alone becomes label 1, whatever its number; several keep their numbers as labels.
    Segments that overlap cannot both have a voxel: the smaller one gets it, since it would vanish in the larger, and
    the volume that the larger one lost is said.

    Raises:
        InputError: a segment that lies off the scan, that is smaller than half of its voxels' volume or covered by
            others, or a mask over most of the scan.
    """
    shares = [shares_on(segment, grid) for segment in mask.segments]
    claims = _claims(mask.segments, shares, grid)
    array = np.zeros(grid.shape, np.uint8, order="F")
    for claim, taken in zip(claims, _divided(claims, grid), strict=True):
        _refuse_lost(claim, len(taken), grid)
        array[np.unravel_index(taken, grid.shape)] = claim.segment.number if len(claims) > 1 else 1
    labels = LabelMap(array, grid)
    covered = int(np.count_nonzero(array)) / array.size
    if covered > MOST_OF_A_SCAN:
        raise InputError(
            f"Expected a mask of lesions, got one over {100 * covered:.3g} % of the scan: an outline of the body, or "
            "inverted, so that it marks what is not lesion. Export the lesions alone."
        )
    placed = _placed(claims, labels)
    same = mask.kind != "RTSTRUCT" and all(found.same_lattice for found in shares)
    if not mask.segments:
        same = mask.grid is not None and mask.grid.matches(grid)
    warnings, doubts = _words(claims, placed, same)
    return MaskOnGrid(
        labels,
        mask.kind,
        placed,
        mask.provenance,
        _resampling(mask, placed, same),
        same,
        (*mask.warnings, *warnings),
        (*mask.doubts, *doubts, *_inverted(mask)),
        mask.grid,
        mask.origin,
    )


def _claims(segments: Sequence[DrawnSegment], shares: Sequence[Shares], grid: Grid) -> list[_Claim]:
    """What each segment asks for, in the order of the segments; from the smallest on each leaves the next its rest."""
    taken: NDArray[np.float64] | None = np.zeros(grid.shape, np.float32) if len(segments) > 1 else None
    claims: dict[int, _Claim] = {}
    for place in sorted(range(len(segments)), key=lambda n: (segments[n].volume_mm3, n)):
        found, voxel_mm3 = shares[place], grid.voxel_volume_mm3
        share, inside_mm3 = found.share, float(found.share.sum()) * voxel_mm3
        overlap_mm3 = 0.0
        if taken is not None:
            box = tuple(slice(a, a + n) for a, n in zip(found.start, share.shape, strict=True))
            over = np.minimum(share, 1.0) + taken[box] - 1.0
            over[over < _TOUCH] = 0.0
            share = np.maximum(share - over, 0.0)
            taken[box] = np.minimum(taken[box] + share, 1.0)
            overlap_mm3 = float(over.sum()) * voxel_mm3
        flat, ordered = _preferred(share, found.start, grid)
        room = int(np.floor((inside_mm3 - overlap_mm3) / voxel_mm3 + 0.5 + 10.0**-_DIGITS))
        claims[place] = _Claim(segments[place], found, flat, ordered, room, inside_mm3, overlap_mm3)
    return [claims[place] for place in range(len(segments))]


def _preferred(
    share: NDArray[np.float64], start: tuple[int, int, int], grid: Grid
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The voxels that hold some of a segment: most filled first, of equal ones those nearest to its middle.

    Those that are full come in the order of the grid, since it has room in all of them.
    """
    full = share >= 1.0 - 10.0**-_DIGITS
    whole = np.argwhere(full)
    index = np.argwhere((share > 10.0**-_DIGITS) & ~full)
    flat = np.ravel_multi_index(tuple((whole + start).T), grid.shape).astype(np.int64)
    if not len(index):
        return flat, np.ones(len(flat))
    filled = share[tuple(index.T)]
    weight = len(whole) + float(filled.sum())
    middle = (whole.sum(axis=0) + (index * filled[:, None]).sum(axis=0)) / weight
    distance = np.round(np.square((index - middle) * grid.spacing_mm).sum(axis=1), 3)
    partial = np.ravel_multi_index(tuple((index + start).T), grid.shape).astype(np.int64)
    order = np.lexsort((partial, distance, -np.round(filled, _DIGITS)))
    return np.concatenate([flat, partial[order]]), np.concatenate([np.ones(len(flat)), filled[order]])


def _divided(claims: Sequence[_Claim], grid: Grid) -> list[NDArray[np.int64]]:
    """The voxels of each segment. One that two ask for goes to whom fills more of it, and then to the smaller one."""
    lost = [np.zeros(0, np.int64) for _ in claims]
    shared = _wanted_by_several(claims, grid) if len(claims) > 1 else []
    rooms = np.array([claim.room for claim in claims])
    for _ in range(_ROUNDS if shared else 0):
        asked = []
        for claim, places, gone in zip(claims, shared, lost, strict=True):
            left = np.setdiff1d(places, gone, assume_unique=True)
            asked.append(left[left - np.searchsorted(gone, left) < claim.room])  # its rank among what is left
        whose = np.concatenate([np.full(len(places), n) for n, places in enumerate(asked)])
        place = np.concatenate(asked)
        voxel = np.concatenate([claim.flat[at] for claim, at in zip(claims, asked, strict=True)])
        filled = np.concatenate([claim.share[at] for claim, at in zip(claims, asked, strict=True)])
        order = np.lexsort((whose, rooms[whose], -np.round(filled, _DIGITS), voxel))
        again = np.zeros(len(order), bool)
        again[1:] = voxel[order][1:] == voxel[order][:-1]
        if not again.any():
            break
        losers = order[again]
        lost = [np.union1d(gone, place[losers[whose[losers] == n]]) for n, gone in enumerate(lost)]
    return [np.delete(claim.flat, gone)[: claim.room] for claim, gone in zip(claims, lost, strict=True)]


def _wanted_by_several(claims: Sequence[_Claim], grid: Grid) -> list[NDArray[np.int64]]:
    """Of each segment, the places in its order of those voxels of which others hold a share too."""
    wanted = np.zeros(int(np.prod(grid.shape)), np.uint8)
    for claim in claims:
        wanted[claim.flat] += 1
    return [np.flatnonzero(wanted[claim.flat] > 1) for claim in claims]


def _inverted(mask: DrawnMask) -> list[str]:
    """A doubt where all corners of the mask's own grid are marked, and something within is not."""
    if mask.grid is None:
        return []
    top = np.array(mask.grid.shape) - 1
    corners = mask.grid.to_mm(top * np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]))
    marked = np.zeros(8, bool)
    for segment in mask.segments:
        at = np.rint(segment.grid.to_index(corners)).astype(int)
        there = ((at >= 0) & (at < segment.share.shape)).all(axis=1)
        marked[there] |= segment.share[tuple(at[there].T)] >= 0.5
    full = sum(int(np.count_nonzero(segment.share)) for segment in mask.segments) >= np.prod(mask.grid.shape)
    if not marked.all() or full:
        return []
    return ["The mask marks all corners of its grid: it seems to be inverted, and to mark what is not lesion."]


def _refuse_lost(claim: _Claim, voxels: int, grid: Grid) -> None:
    if voxels:
        return
    number, drawn = claim.segment.number, claim.segment.volume_mm3
    head = f"Lesion {number} of the mask has no voxel on the reference scan's grid: "
    if claim.inside_mm3 < 1e-3 * drawn:
        raise InputError(
            f"{head}it lies outside that scan. Check that both are of one patient, date and frame. Draw the mask on "
            "the reference scan."
        )
    if claim.overlap_mm3 > claim.inside_mm3 / 2:
        raise InputError(
            f"{head}other segments cover it. A mask holds one lesion a voxel: choose the segments that are wanted, or "
            "export them apart. Draw the mask on the reference scan."
        )
    raise InputError(
        f"{head}it lies outside that scan, or between its voxels, with {claim.inside_mm3:.3g} mm3 of it where a voxel "
        f"has {grid.voxel_volume_mm3:.3g} mm3. Draw the mask on the reference scan."
    )


def _placed(claims: Sequence[_Claim], labels: LabelMap) -> tuple[PlacedSegment, ...]:
    counts, out = labels.voxel_counts, []
    for claim in claims:
        number, drawn = claim.segment.number, claim.segment.volume_mm3
        label = number if len(claims) > 1 else 1
        voxels = int(counts[label])
        outside = max(drawn - claim.inside_mm3, 0.0)
        out.append(
            PlacedSegment(
                label=label,
                number=number,
                name=claim.segment.name,
                drawn_volume_mm3=drawn,
                volume_mm3=voxels * labels.grid.voxel_volume_mm3,
                voxels=voxels,
                overlap_mm3=claim.overlap_mm3 if claim.overlap_mm3 > 1e-6 * drawn else 0.0,
                outside_mm3=outside if outside > 1e-3 * drawn else 0.0,
            )
        )
    return tuple(out)


def _resampling(mask: DrawnMask, placed: Sequence[PlacedSegment], same: bool) -> str:
    if same:
        return "Its voxels are voxels of the reference scan: nothing was resampled."
    if not placed:
        return "Drawn on another grid; there is nothing in it to bring to the reference scan's."
    each = "; ".join(
        f"{s.number}: {in_mm3(s.drawn_volume_mm3)} to {in_mm3(s.volume_mm3)} ({s.change_percent:+z.1f} %)"
        for s in placed
    )
    drawn = "Contours, filled on" if mask.kind == "RTSTRUCT" else "Drawn on another grid and brought to"
    return (
        f"{drawn} the reference scan's grid by the share of each voxel that is in them. Volume where it was drawn, and "
        f"there: {each}."
    )


def _words(claims: Sequence[_Claim], placed: Sequence[PlacedSegment], same: bool) -> tuple[list[str], list[str]]:
    """What a person should know of the way to the grid: remarks, and what is doubtful."""
    warnings, doubts = [], []
    moved = max((claim.shares.moved_mm for claim in claims), default=0.0)
    if moved > _MOVED_MM:
        warnings.append(
            f"The mask's grid is the scan's but for up to {moved:.2f} mm, as headers round; it was taken as the same."
        )
    for claim, segment in zip(claims, placed, strict=True):
        drawn, number = segment.drawn_volume_mm3, segment.number
        if segment.overlap_mm3:
            doubts.append(
                f"Segment {number} overlaps smaller ones, which got {in_mm3(segment.overlap_mm3)} of its "
                f"{in_mm3(drawn)}: a mask holds one lesion a voxel."
            )
        if segment.outside_mm3 > _PART * drawn:
            doubts.append(f"{in_mm3(segment.outside_mm3)} of segment {number} lie outside the scan and were cut off.")
        filled = float(claim.share[: segment.voxels].mean()) if segment.voxels else 1.0
        expected = drawn - segment.overlap_mm3 - segment.outside_mm3
        change = 100.0 * (segment.volume_mm3 / expected - 1.0) if expected > 0 else 0.0
        if not same and filled < _THIN:
            doubts.append(
                f"Segment {number} is thinner than the scan's voxels: those it got are filled to {filled:.0%}. Its "
                "volume was kept, its shape was not."
            )
        if abs(change) > _MUCH_PERCENT:
            doubts.append(
                f"Segment {number} has {in_mm3(drawn)} where it was drawn and {in_mm3(segment.volume_mm3)} "
                f"({change:+z.0f} %) on the scan's grid, whose voxels are too large for it."
            )
    return warnings, doubts
