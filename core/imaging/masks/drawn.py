"""A mask as it was drawn elsewhere, and as it lies on a scan's grid: values that hold what is known of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.remembered.identifiers import MaskOrigin
from core.remembered.untyped import JsonDict, JsonObject
from core.types import Grid, LabelMap

MaskKind = Literal["label map", "0/255", "probability map", "RTSTRUCT", "SEG"]
#: What one lesion of one timepoint may be numbered.
MAX_LABEL = 255


@dataclass(frozen=True)
class MaskProvenance:
    """Where a mask comes from, as far as it names no person.

    Args:
        file_sha256: of the file as it was handed in.
        tool: maker and product of the software that wrote it; "" where it does not say, or in words that are not kept.
        algorithm: how it was made, e.g. "MANUAL" or "AUTOMATIC"; "" where it does not say.
        description: its label in the file; "" as for the tool.
    """

    file_sha256: str = ""
    tool: str = ""
    algorithm: str = ""
    description: str = ""


@dataclass(frozen=True)
class Segment:
    """One segment, structure or label of a mask, on the grid where it was drawn.

    Args:
        number: 1..255, its number within the file; never an identity from one file to the next.
        name: what the file calls it, where that names no person; else "".
        voxels: of the grid where it was drawn that are in it, at least by half.
        volume_mm3: measured there, cubic millimetres.
    """

    number: int
    name: str
    voxels: int
    volume_mm3: float


@dataclass(frozen=True)
class PlacedSegment:
    """One segment on a scan's grid.

    Args:
        label: its value in the label map.
        number, name: as in `Segment`.
        drawn_volume_mm3: where it was drawn. volume_mm3, voxels: on the scan's grid.
        overlap_mm3: how much of it was given to smaller segments that lie within it.
        outside_mm3: how much of it lies outside the scan.
    """

    label: int
    number: int
    name: str
    drawn_volume_mm3: float
    volume_mm3: float
    voxels: int
    overlap_mm3: float = 0.0
    outside_mm3: float = 0.0

    @property
    def change_percent(self) -> float:
        """By how much the volume on the scan's grid differs from the drawn one, percent of the drawn one."""
        return 100.0 * (self.volume_mm3 / self.drawn_volume_mm3 - 1.0)


@dataclass(frozen=True)
class MaskDescription:
    """What a mask holds, before it is put on a scan's grid.

    Args:
        warnings: what was decided or left out. doubts: what a person should look at before it is believed.
    """

    kind: MaskKind
    segments: tuple[Segment, ...]
    provenance: MaskProvenance
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    def to_json(self) -> JsonDict:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: JsonObject) -> MaskDescription:
        """Inverse of `to_json`."""
        return cls(
            said["kind"],
            tuple(Segment(**segment) for segment in said["segments"]),
            MaskProvenance(**said["provenance"]),
            tuple(said["warnings"]),
            tuple(said["doubts"]),
        )


@dataclass(frozen=True, eq=False)
class MaskOnGrid:
    """A mask on a scan's grid, and what became of it on the way.

    Args:
        labels: (I, J, K) on the scan's grid; the values are `PlacedSegment.label`.
        resampling: what was done to bring it there, with the volumes, in words.
        same_lattice: its voxels are voxels of the scan, so that nothing was gained or lost.
        drawn_on: the grid of the file; None for contours.
        origin: the UIDs that it names; they are compared, and go into no record.
        warnings, doubts: as in `MaskDescription`, and of the way to the grid.
    """

    labels: LabelMap
    kind: MaskKind
    segments: tuple[PlacedSegment, ...]
    provenance: MaskProvenance
    resampling: str
    same_lattice: bool
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    drawn_on: Grid | None = None
    origin: MaskOrigin = field(default_factory=MaskOrigin)

    def said(self) -> JsonDict:
        """All but the voxels, as plain JSON values."""
        return {
            "kind": self.kind,
            "segments": [asdict(segment) for segment in self.segments],
            "provenance": asdict(self.provenance),
            "resampling": self.resampling,
            "same_lattice": self.same_lattice,
            "warnings": list(self.warnings),
            "doubts": list(self.doubts),
            "drawn_on": None if self.drawn_on is None else [self.drawn_on.shape, self.drawn_on.affine.tolist()],
            "origin": asdict(self.origin),
        }

    @classmethod
    def of(cls, labels: LabelMap, said: JsonObject) -> MaskOnGrid:
        """Inverse of `said`, with the voxels."""
        drawn_on = said["drawn_on"]
        return cls(
            labels,
            said["kind"],
            tuple(PlacedSegment(**segment) for segment in said["segments"]),
            MaskProvenance(**said["provenance"]),
            said["resampling"],
            bool(said["same_lattice"]),
            tuple(said["warnings"]),
            tuple(said["doubts"]),
            None if drawn_on is None else Grid(tuple(drawn_on[0]), np.array(drawn_on[1])),
            MaskOrigin(*(tuple(said["origin"][key]) for key in ("series", "frames"))),
        )


def in_mm3(volume_mm3: float) -> str:
    """A volume in words, to four digits or the whole number: "29.75 mm3", "2,333,415 mm3"."""
    return f"{volume_mm3:,.0f} mm3" if volume_mm3 >= 1000 else f"{volume_mm3:.4g} mm3"


@dataclass(frozen=True, eq=False)
class DrawnSegment:
    """One segment as it was drawn.

    Args:
        number, name: as in `Segment`.
        share: (I, J, K) bool, or float32 from 0 to 1: how much of each voxel is in it; cropped around it.
        grid: where that box lies.
    """

    number: int
    name: str
    share: NDArray[np.bool_] | NDArray[np.float32]
    grid: Grid

    @property
    def volume_mm3(self) -> float:
        """Its volume where it was drawn, cubic millimetres."""
        return float(self.share.sum(dtype=np.float64)) * self.grid.voxel_volume_mm3

    def described(self) -> Segment:
        """It, without its voxels."""
        return Segment(self.number, self.name, int(np.count_nonzero(self.share >= 0.5)), self.volume_mm3)


@dataclass(frozen=True, eq=False)
class DrawnMask:
    """A mask as its file has it; segments may overlap, and are not empty.

    Args:
        grid: all of the grid that it was drawn on; None for contours, which lie on none.
        origin: the UIDs of what it was drawn on.
    """

    kind: MaskKind
    segments: tuple[DrawnSegment, ...]
    grid: Grid | None
    provenance: MaskProvenance = field(default_factory=MaskProvenance)
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    origin: MaskOrigin = field(default_factory=MaskOrigin)

    def described(self) -> MaskDescription:
        """It, without its voxels."""
        segments = tuple(segment.described() for segment in self.segments)
        return MaskDescription(self.kind, segments, self.provenance, self.warnings, self.doubts)


def chosen(mask: DrawnMask, numbers: Sequence[int]) -> DrawnMask:
    """The mask with those of its segments alone; all of them for no numbers.

    Raises:
        InputError: a number that it does not have.
    """
    if not numbers:
        return mask
    there = {segment.number for segment in mask.segments}
    if unknown := sorted(set(numbers) - there):
        raise InputError(
            f"Expected segments of the mask ({', '.join(map(str, sorted(there))) or 'it has none'}), "
            f"got {', '.join(map(str, unknown))}. Choose among those."
        )
    kept = tuple(segment for segment in mask.segments if segment.number in set(numbers))
    left = len(mask.segments) - len(kept)
    words = (f"{left} of {left + len(kept)} segments of the file were left out, as was chosen.",) if left else ()
    return replace(mask, segments=kept, warnings=(*mask.warnings, *words))


def cropped(share: NDArray[np.bool_] | NDArray[np.float32], grid: Grid, number: int, name: str) -> DrawnSegment | None:
    """A segment cropped around its voxels; None where there are none."""
    box = []
    for axis in range(3):
        used = np.flatnonzero(share.any(axis=tuple(a for a in range(3) if a != axis)))
        if not used.size:
            return None
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return DrawnSegment(number, name, share[tuple(box)].copy(), part_of(grid, box))


def part_of(grid: Grid, box: Sequence[slice]) -> Grid:
    """The grid of a box of a grid; `box` has a start and a stop along each axis."""
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_mm(np.array([[part.start for part in box]]))[0]
    i, j, k = (part.stop - part.start for part in box)
    return Grid((i, j, k), affine)
