"""How much of one scan another covers: a network that is shown CT and PET finds nothing where one of them is missing.

Both shares were chosen on the sarcoma scans (10.7937/K9/TCIA.2015.7GO2GSKS), whose 24 PETs cover 92 % of their CT's
field or more: with a PET cut to 90 % of its slices the network's mask keeps a Dice of .99 with that of the whole PET,
at 70 % .82 and more, at 50 % .35, at 30 % it may find nothing. `python -m tests.bench coverage` prints the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import GeometryError
from core.remembered.untyped import JsonDict
from core.types import Grid, Volume

#: Below this share a scan is not used beside the other; below the second it is used, and that is told.
LEAST_SHARE, WHOLE_SHARE = 0.5, 0.9
#: What is not air on a CT, HU: the body, and the table that it lies on.
BODY_HU = -300.0
#: The field is looked at in at most so many places along each axis.
_PLACES = 128


@dataclass(frozen=True)
class Coverage:
    """The part of a scan's field that another scan covers.

    Args:
        reference, other: their channels, "CT" and "PET".
        field: share of the reference's field, 0..1.
        body: share of the body in it, 0..1; None where the reference does not tell body from air.
    """

    reference: str
    other: str
    field: float
    body: float | None = None

    @property
    def share(self) -> float:
        """The share that counts: the body's where it is known, as air needs no PET."""
        return self.field if self.body is None else self.body

    @property
    def enough(self) -> bool:
        """Whether a network may be shown the two together."""
        return self.share >= LEAST_SHARE

    @property
    def whole(self) -> bool:
        """Whether nothing need be told."""
        return self.share >= WHOLE_SHARE

    @property
    def words(self) -> str:
        """A sentence without its full stop: "The PET covers 36 % of the CT (35 % of the body on it)"."""
        body = "" if self.body is None or not self.field else f" ({_percent(self.body)} of the body on it)"
        return f"The {self.other} covers {_percent(self.field)} of the {self.reference}{body}"

    def to_json(self) -> JsonDict:
        """Plain JSON values, with the words."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "words": f"{self.words}."}


def _percent(share: float) -> str:
    if share == 0:
        return "none"
    return "less than 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def coverage(reference: Volume, other: Volume) -> Coverage:
    """What of `reference` the field of `other` covers, by where their voxels lie.

    A voxel is covered where its middle lies in the field, which ends half a voxel beyond the outermost middles.
    """
    places = [np.linspace(0, n - 1, min(n, _PLACES)) for n in reference.grid.shape]
    covered = _covered(places, reference.grid, other.grid)
    body = None
    if reference.modality == "CT":
        seen = reference.array[np.ix_(*(np.rint(at).astype(int) for at in places))] > BODY_HU
        body = float(covered[seen].mean()) if seen.any() else None
    return Coverage(reference.channel, other.channel, float(covered.mean()), body)


def _covered(places: Sequence[NDArray[np.float64]], reference: Grid, other: Grid) -> NDArray[np.bool_]:
    """True at the places (indices along i, j, k of `reference`) that lie in the field of `other`."""
    there = np.linalg.inv(other.affine) @ reference.affine
    i, j, k = np.ix_(*places)
    covered = np.ones(tuple(len(at) for at in places), dtype=bool)
    for row, size in zip(there[:3], other.shape, strict=True):
        index = row[0] * i + row[1] * j + row[2] * k + row[3]
        covered &= (index >= -0.501) & (index <= size - 0.499)  # what single precision may add at the rim
    return covered


def check_coverage(volumes: Sequence[Volume]) -> tuple[Coverage, ...]:
    """How much of the first volume each of the others covers.

    Raises:
        GeometryError: one covers too little of it to be used beside it. Nothing is ever filled in for what is missing.
    """
    found = tuple(coverage(volumes[0], other) for other in volumes[1:])
    for one in found:
        if not one.enough:
            raise GeometryError(too_little(one))
    return found


def too_little(found: Coverage) -> str:
    """Why the two scans are not used together, and what to do."""
    return (
        f"{found.words}; expected at least {100 * LEAST_SHARE:.0f} %. A network would find no tumour where there is no "
        f"{found.other}. Import the {found.other} that belongs to this {found.reference}, whole and in the same frame."
    )


def partial_words(found: Coverage) -> str:
    """What is told of scans that are used together although one covers only a part of the other."""
    return f"{found.words}: where there is none, a tumour is missed or cut short. Look at the rest yourself."
