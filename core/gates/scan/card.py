"""What the models were trained on, and what a scan says of itself: differences in words, beside the gate's score.

The card is made of the reference scans themselves: the range of voxel sizes and fields of view of each modality. What a
file does not tell is not doubted here; a number that it tells and that lies outside the card's is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.imaging.orienting import axis_order
from core.types import Volume

#: A voxel may be so much larger or smaller than any of the card's before it is told.
TOLERANCE = 1.25
#: A field of view below this share of the smallest of the card's is told; so is one this many times the largest.
LEAST_FIELD, MOST_FIELD = 0.5, 2.0
#: Slices are oblique, or not axial, from this angle on.
OBLIQUE_DEG = 15.0
_AXES = ("left to right", "front to back", "head to foot")
_IN_PLANE, _THROUGH = "pixel", "slice spacing"


@dataclass(frozen=True)
class Range:
    """Smallest and largest of the reference's scans, millimetres, by axis (left, posterior, superior)."""

    spacing_mm: tuple[tuple[float, float, float], tuple[float, float, float]]
    extent_mm: tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Card:
    """Of each modality, what there was to learn from; kernels, where any file told one; sequences of a modality."""

    ranges: Mapping[str, Range]
    kernels: tuple[str, ...] = ()
    sequences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, volumes: Sequence[Volume]) -> Card:
        """The card of these scans."""
        found: dict[str, list[tuple[Any, Any]]] = {}
        for volume in volumes:
            grid = axis_order(volume.grid).grid
            spacing = np.array(grid.spacing_mm)
            found.setdefault(volume.modality, []).append((spacing, spacing * grid.shape))
        named = {v.modality: tuple(sorted({o.sequence for o in volumes if o.modality == v.modality})) for v in volumes}
        sequences = {kind: names for kind, names in named.items() if "" not in names}
        return cls({kind: _range(pairs) for kind, pairs in found.items()}, sequences=sequences)

    def with_more(self, other: Card) -> Card:
        """What lies within either card."""
        ranges = dict(self.ranges)
        for kind, more in other.ranges.items():
            known = ranges.get(kind, more)
            ranges[kind] = Range(_union(known.spacing_mm, more.spacing_mm), _union(known.extent_mm, more.extent_mm))
        names = {**other.sequences, **self.sequences}
        both = {
            kind: tuple(sorted({*self.sequences.get(kind, ()), *other.sequences.get(kind, ())}))
            for kind in names
            if all(kind in card.sequences or kind not in card.ranges for card in (self, other))
        }
        return Card(ranges, tuple(sorted({*self.kernels, *other.kernels})), both)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        ranges = {
            kind: {"spacing_mm": [list(side) for side in one.spacing_mm], "extent_mm": [list(s) for s in one.extent_mm]}
            for kind, one in self.ranges.items()
        }
        sequences = {kind: list(names) for kind, names in self.sequences.items()}
        return {"ranges": ranges, "kernels": list(self.kernels), "sequences": sequences}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Card:
        """Inverse of `to_json`."""

        def pair(sides: Any) -> Any:
            return tuple(tuple(float(n) for n in side) for side in sides)

        ranges = {kind: Range(pair(r["spacing_mm"]), pair(r["extent_mm"])) for kind, r in values["ranges"].items()}
        sequences = {kind: tuple(names) for kind, names in values.get("sequences", {}).items()}
        return cls(ranges, tuple(values.get("kernels", ())), sequences)


Sides = tuple[tuple[float, float, float], tuple[float, float, float]]


def _union(one: Sides, other: Sides) -> Any:
    low = tuple(min(pair) for pair in zip(one[0], other[0], strict=True))
    return low, tuple(max(pair) for pair in zip(one[1], other[1], strict=True))


def _range(pairs: Sequence[tuple[Any, Any]]) -> Range:
    def sides(values: Any) -> Any:
        stacked = np.stack(values)
        return tuple(tuple(round(float(n), 3) for n in side) for side in (stacked.min(axis=0), stacked.max(axis=0)))

    return Range(sides([p[0] for p in pairs]), sides([p[1] for p in pairs]))


def metadata_doubts(
    volumes: Sequence[Volume], card: Card, facts: Mapping[int, Mapping[str, Any]] | None = None, anchored: bool = False
) -> tuple[str, ...]:
    """A sentence for each way in which the scans lie outside the card.

    Args:
        facts: what a file tells of itself, by `id` of its volume.
        anchored: the scans are looked at around a mask: a large field of view is then nothing to tell.
    """
    doubts: list[str] = []
    for volume in volumes:
        range_ = card.ranges.get(volume.modality)
        if range_ is None:
            doubts.append(f"Metadata: {volume.channel}; trained on {' and '.join(card.ranges)} alone.")
            continue
        known = card.sequences.get(volume.modality)
        if known and volume.sequence not in known:
            told = volume.sequence or "not told"
            doubts.append(f"Metadata: the {volume.modality}'s sequence is {told}; trained on {' and '.join(known)}.")
        doubts += _of_grid(volume, range_, anchored)
        doubts += _of_facts(volume, range_, (facts or {}).get(id(volume), {}), card)
    return tuple(doubts)


def _of_grid(volume: Volume, range_: Range, anchored: bool) -> list[str]:
    grid, found, name = axis_order(volume.grid).grid, [], volume.channel
    spacing = np.array(grid.spacing_mm)
    low, high = (np.array(side) for side in range_.spacing_mm)
    plane = float(np.sqrt(spacing[0] * spacing[1]))
    for what, got, least, most in (
        (_IN_PLANE, plane, float(low[:2].min()), float(high[:2].max())),
        (_THROUGH, float(spacing[2]), float(low[2]), float(high[2])),
    ):
        if got > most * TOLERANCE or got < least / TOLERANCE:
            found.append(f"Metadata: the {name}'s {what} is {got:.3g} mm; trained on {_span(least, most)} mm.")
    extent = spacing * grid.shape
    least_mm, most_mm = (np.array(side) for side in range_.extent_mm)
    for axis, words in enumerate(_AXES):
        if extent[axis] < LEAST_FIELD * least_mm[axis] or (not anchored and extent[axis] > MOST_FIELD * most_mm[axis]):
            found.append(
                f"Metadata: the {name} reaches {extent[axis]:.0f} mm from {words}; trained on "
                f"{_span(round(float(least_mm[axis])), round(float(most_mm[axis])))} mm."
            )
    turned = np.degrees(np.arccos(np.clip(abs(grid.affine[2, 2]) / spacing[2], 0, 1)))
    if turned > OBLIQUE_DEG:
        found.append(f"Metadata: the {name}'s slices are turned by {turned:.0f}° from axial; trained on axial slices.")
    missing = _missing_slices(volume)
    if missing:
        found.append(f"Metadata: {missing} of the {name}'s {volume.grid.shape[2]} slices are empty or repeat the last.")
    return found


def _missing_slices(volume: Volume) -> int:
    """Slices inside the scan that hold one value alone or are the same as the one before."""
    array = axis_order(volume.grid).turn(volume.array)
    flat = array.reshape(-1, array.shape[2])
    constant = np.ptp(flat, axis=0) == 0
    same = np.r_[False, (flat[:, 1:] == flat[:, :-1]).all(axis=0)]
    whole = np.flatnonzero(~constant)
    if len(whole) == 0:
        return int(array.shape[2])
    inside = slice(whole[0], whole[-1] + 1)
    return int((constant | same)[inside].sum())


def _of_facts(volume: Volume, range_: Range, facts: Mapping[str, Any], card: Card) -> list[str]:
    found, name = [], volume.channel
    thickness = facts.get("slice_thickness_mm")
    least, most = range_.spacing_mm[0][2], range_.spacing_mm[1][2]
    if isinstance(thickness, int | float) and (thickness > most * TOLERANCE or thickness < least / TOLERANCE):
        found.append(f"Metadata: the {name}'s slice thickness is {thickness:g} mm; trained on {_span(least, most)} mm.")
    kernel = facts.get("kernel")
    if kernel and card.kernels and str(kernel) not in card.kernels:
        found.append(f"Metadata: the {name}'s kernel is {kernel}; trained on {', '.join(card.kernels)}.")
    warnings = facts.get("warnings")
    if isinstance(warnings, list | tuple):
        found += [f"Metadata: {warning}" for warning in map(str, warnings) if "slice" in warning.lower()]
    return found


def _span(least: float, most: float) -> str:
    return f"{least:.3g}" if abs(most - least) < 0.01 * most else f"{least:.3g} to {most:.3g}"
