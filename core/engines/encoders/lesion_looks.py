"""How a lesion looks on a scan, as a vector: what is shown of it to an encoder, and what is averaged of its answer.

An encoder of images gives features by cell of a coarse map; those of the cells that the lesion covers are averaged,
each by how much of it is covered ("masked pooling"). Which encoders there are says `core.engines.encoders.choice`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from core.errors import InputError
from core.imaging.orienting import axis_order, canonical
from core.lesions.metrics import bounding_box
from core.types import Volume

Vector = NDArray[np.float32]
Mask = NDArray[np.bool_]


class LesionEncoder(Protocol):
    """Something that turns a lesion on a scan into a vector.

    `name` tells which network and which checkpoint ("litemedsam@79d8c9dca6db"): vectors of two names are not compared.
    `modalities` are those that it reads, None where it reads all.
    """

    @property
    def name(self) -> str: ...
    @property
    def modalities(self) -> frozenset[str] | None: ...

    def look(self, volume: Volume, lesion: Mask) -> Vector:
        """(d,) float32, finite.

        Args:
            volume: the scan.
            lesion: (I, J, K) bool on its grid, the lesion alone.

        Raises:
            InputError: no voxel of the lesion, a mask of another shape, or a modality that the encoder does not read.
        """
        ...


@dataclass(frozen=True)
class SliceView:
    """What of a scan an encoder of slices is shown.

    Args:
        slices: 1: the axial slice in which the lesion is largest; 3: also those halfway to its upper and lower end.
        window: side of the square that is cut out around the lesion, in longest sides of its box on that slice; None:
            the whole slice.
        ring_mm: width of the surroundings that are averaged apart and put behind the lesion's own features; 0: none.
    """

    slices: int = 1
    window: float | None = None
    ring_mm: float = 0.0


@dataclass(frozen=True, eq=False)
class LesionSlice:
    """One slice, or a square of it, with the lesion on it: image (I, J) in the scan's unit, inside (I, J) bool."""

    image: NDArray[np.float32]
    inside: Mask
    spacing_mm: tuple[float, float]


def encoder_name(model_id: str, checkpoint_sha256: str) -> str:
    """What an encoder's vectors are named by."""
    return f"{model_id}@{checkpoint_sha256[:12]}"


def check_lesion(volume: Volume, lesion: Mask, name: str, modalities: frozenset[str] | None) -> None:
    """Raises InputError where an encoder cannot look at that lesion: see `LesionEncoder.look`."""
    if modalities is not None and volume.modality not in modalities:
        raise InputError(
            f"{name} reads {' and '.join(sorted(modalities))}, and the scan is {volume.modality}. "
            "Choose another encoder."
        )
    if lesion.shape != volume.grid.shape or lesion.dtype != np.bool_:
        raise InputError(
            f"Expected a lesion of {volume.grid.shape} true or false voxels like its scan, got {lesion.shape} of "
            f"{lesion.dtype}."
        )
    if not lesion.any():
        raise InputError("The lesion has no voxel on this scan, so nothing of it can be looked at.")


def in_anatomical_order(volume: Volume, lesion: Mask) -> tuple[Volume, Mask]:
    """Both as networks were trained: however a file was stored, a lesion looks the same."""
    return canonical(volume), axis_order(volume.grid).turn(lesion)


def lesion_slices(volume: Volume, lesion: Mask, view: SliceView) -> list[LesionSlice]:
    """The slices of a view, the one with the largest area of the lesion first.

    Args:
        volume: axes in anatomical order. lesion: on its grid, with a voxel at least.
    """
    areas = lesion.sum(axis=(0, 1))
    held = np.flatnonzero(areas)
    largest = int(areas.argmax())
    chosen = [largest]
    if view.slices > 1:
        halfway = [(largest + int(end)) // 2 for end in (held[0], held[-1])]
        chosen += [k for k in halfway if areas[k] and k != largest]
    i_mm, j_mm, _ = volume.grid.spacing_mm
    found = []
    for k in dict.fromkeys(chosen):
        inside = lesion[:, :, k]
        box = (slice(None), slice(None)) if view.window is None else _square(inside, view.window, (i_mm, j_mm))
        found.append(LesionSlice(volume.array[:, :, k][box], inside[box], (i_mm, j_mm)))
    return found


def _square(inside: Mask, window: float, spacing_mm: tuple[float, float]) -> tuple[slice, slice]:
    """The square around the middle of the lesion's box, cut at the image's edge."""
    box = bounding_box(inside[:, :, None])
    assert box is not None  # the slice has a voxel of it
    sides_mm = [(part.stop - part.start) * mm for part, mm in zip(box[:2], spacing_mm, strict=True)]
    half_mm = window * max(sides_mm) / 2
    out = []
    for part, mm, size in zip(box[:2], spacing_mm, inside.shape, strict=True):
        middle, half = (part.start + part.stop) / 2, max(half_mm / mm, 1.0)
        out.append(slice(max(0, int(np.floor(middle - half))), min(size, int(np.ceil(middle + half)))))
    return out[0], out[1]


def ring_of(part: LesionSlice, width_mm: float) -> Mask:
    """(I, J) bool: what lies outside of the lesion and within that distance of it on the slice."""
    away = distance_transform_edt(~part.inside, sampling=part.spacing_mm)
    return np.asarray((away > 0) & (away <= width_mm))


def pooled(features: NDArray[np.float32], shown: tuple[float, float], inside: Mask) -> NDArray[np.float64]:
    """(channels,) the mean over the cells that a mask covers, each by how many of its voxels lie there.

    Args:
        features: (channels, rows, columns); rows run along J, columns along I.
        shown: rows and columns that the slice takes of the map; the rest is padding.
        inside: (I, J) bool of the slice, with a voxel at least.
    """
    down, across = (int(n) for n in features.shape[-2:])
    weight = np.zeros((down, across))
    i, j = np.nonzero(inside)
    width, height = inside.shape
    rows = ((j + 0.5) * shown[0] / height).astype(int)
    columns = ((i + 0.5) * shown[1] / width).astype(int)
    np.add.at(weight, (rows.clip(0, down - 1), columns.clip(0, across - 1)), 1.0)
    return np.asarray((features * weight).sum(axis=(1, 2)) / weight.sum(), dtype=np.float64)
