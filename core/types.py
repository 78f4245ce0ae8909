"""The values of the domain: frozen dataclasses that hold, and check, but do no work.

Frame: RAS+ millimetres. Arrays are indexed (i, j, k) as stored in the file; `affine` (4x4) maps voxel indices to
millimetres. Nothing here is resampled or reoriented.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import GeometryError, InputError

Modality = Literal["CT", "PET", "MR"]
MODALITIES: tuple[Modality, ...] = ("CT", "PET", "MR")
UNITS: Mapping[str, str] = {"CT": "HU", "PET": "SUV", "MR": "a.u."}

MaskStatus = Literal["proposed", "accepted", "rejected", "superseded"]
Verdict = Literal["real", "within noise", "unknown"]

#: The lesion id of all counted lesions of a timepoint together.
TOTAL_LESION_ID = "total"
#: Volumes are mm3 everywhere; people read mL.
MM3_PER_ML = 1000.0

#: progress(fraction 0..1, message). May raise `JobCancelled`; engines call it often and hold nothing half-written.
Progress = Callable[[float, str], None]

_PIECE = 1 << 20


def no_progress(fraction: float, message: str) -> None:
    """A progress callback that does nothing."""


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid in space.

    Args:
        shape: voxels along (i, j, k).
        affine: 4x4, voxel index -> RAS+ millimetres; columns orthogonal within 1e-3, non-singular, finite.

    Raises:
        GeometryError: if the affine is not such a matrix or a dimension is below 1.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        affine = np.asarray(self.affine, dtype=np.float64)
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"Expected a grid of three dimensions of at least one voxel, got {self.shape}.")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError("Expected a finite 4x4 affine; the file's is not. Export the image again.")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if spacing.min() < 1e-6 or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise GeometryError("Expected axes that span space, the affine is singular. Export the image again.")
        cosines = (affine[:3, :3] / spacing).T @ (affine[:3, :3] / spacing)
        if np.abs(cosines - np.eye(3)).max() > 1e-3:
            raise GeometryError(
                "Expected axes at right angles, the image's are sheared, as after gantry tilt. "
                "Resample it to a rectangular grid and import that."
            )
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "affine", _frozen(affine))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along (i, j, k), millimetres."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, cubic millimetres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def matches(self, other: Grid, tolerance_mm: float = 1e-2) -> bool:
        """True if every voxel of the two grids lies within `tolerance_mm` of its namesake."""
        if self.shape != other.shape:
            return False
        corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=float)
        corners[:, :3] *= np.array(self.shape) - 1
        return bool(np.abs(corners @ (self.affine - other.affine).T).max() <= tolerance_mm)

    def to_mm(self, indices: NDArray[Any]) -> NDArray[np.float64]:
        """Voxel indices (n, 3) -> RAS+ millimetres (n, 3)."""
        return np.asarray(indices, dtype=float) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, points_mm: NDArray[Any]) -> NDArray[np.float64]:
        """RAS+ millimetres (n, 3) -> fractional voxel indices (n, 3)."""
        return (np.asarray(points_mm, dtype=float) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T


@dataclass(frozen=True, eq=False)
class Volume:
    """One image on one grid.

    Args:
        array: (I, J, K) float32, in the modality's unit (HU, SUV, arbitrary for MR); read-only, finite.
        grid: where it lies.
        modality: CT, PET or MR.
        sequence: "" for CT and PET, else e.g. "T1", "T1c", "FLAIR".
    """

    array: NDArray[np.float32]
    grid: Grid
    modality: Modality
    sequence: str = ""

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise InputError(f"Expected modality CT, PET or MR, got {self.modality!r}.")
        if self.array.shape != self.grid.shape:
            raise GeometryError(f"Array of {self.array.shape} does not fit its grid of {self.grid.shape}.")
        object.__setattr__(self, "array", _frozen(np.asarray(self.array, dtype=np.float32)))

    @property
    def channel(self) -> str:
        """The name by which models ask for it: "CT", "PET", "MR" or "MR T1"."""
        return f"{self.modality} {self.sequence}".strip()


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A mask: label value = lesion number, 0 = background.

    Args:
        array: (I, J, K) uint8 (at most 255 lesions a timepoint); read-only.
        grid: the reference scan's grid.
    """

    array: NDArray[np.uint8]
    grid: Grid

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise GeometryError(f"Mask of {self.array.shape} does not fit its grid of {self.grid.shape}.")
        if self.array.dtype != np.uint8:
            raise InputError(f"Expected a mask of uint8 labels, got {self.array.dtype}.")
        object.__setattr__(self, "array", _frozen(self.array))

    @property
    def labels(self) -> tuple[int, ...]:
        """The lesion numbers present, ascending."""
        return tuple(int(v) for v in np.flatnonzero(self.voxel_counts[1:]) + 1)

    @property
    def voxel_counts(self) -> NDArray[np.int64]:
        """How many voxels have each label, (256,), the background first."""
        flat = self.array.ravel(order="K")  # as it lies in memory; a piece at a time, as bincount widens to int64
        pieces = (np.bincount(flat[at : at + _PIECE], minlength=256) for at in range(0, flat.size, _PIECE))
        return np.sum(list(pieces), axis=0, dtype=np.int64)

    @property
    def volume_mm3(self) -> float:
        """Volume of all lesions together, cubic millimetres (voxel counting)."""
        return float(np.count_nonzero(self.array)) * self.grid.voxel_volume_mm3


#: Of sidecars as they are written now. Those of format 1 lack the keys in `_SINCE_FORMAT_2` ("software" if a scan's).
FORMAT_VERSION = 2
_SINCE_FORMAT_2 = frozenset({"format_version", "software", "model_files"})
_MOVED = "moved"  # only in the sidecar of what was moved


@dataclass(frozen=True)
class Scan:
    """What is remembered of one imported image.

    `sha256` is of the stored .nii.gz; `content_sha256` of its voxels and geometry, so that the same image is recognised
    whatever file it came in. `metadata` holds scanner facts only, never anything that names a patient. `moved` has one
    item a move, oldest first: from_patient_id, from_timepoint, from_scan_id, reason, person, moved_at.
    """

    scan_id: str
    dataset: str
    patient_id: str
    timepoint: str
    modality: Modality
    sequence: str
    path: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: str
    sha256: str
    content_sha256: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    imported_by: str = ""
    imported_at: str = ""
    format_version: int = 1
    software: Mapping[str, str] = field(default_factory=dict)
    moved: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The sidecar: plain JSON values; without the keys that came after its format, and `moved` if it never was."""
        out = {name: getattr(self, name) for name in self.__dataclass_fields__}
        out |= {"shape": list(self.shape), "spacing_mm": list(self.spacing_mm), "metadata": dict(self.metadata)}
        out |= {"software": dict(self.software), _MOVED: [dict(move) for move in self.moved]}
        later = (frozenset() if self.format_version > 1 else _SINCE_FORMAT_2) | (set() if self.moved else {_MOVED})
        return {name: value for name, value in out.items() if name not in later}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Scan:
        """Inverse of `to_json`."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if values.get(name) is not None}
        known |= {_MOVED: tuple(known.get(_MOVED, ()))}
        return cls(**{**known, "shape": tuple(values["shape"]), "spacing_mm": tuple(values["spacing_mm"])})

    @property
    def channel(self) -> str:
        """The name by which models ask for it: "CT", "PET", "MR" or "MR T1"."""
        return f"{self.modality} {self.sequence}".strip()


@dataclass(frozen=True)
class Prompt:
    """A box or point in voxel indices of the file of `scan` (a channel name such as "CT"): X = i, Y = j, slice = k.

    Args:
        type: "box" or "point".
        slice: index k.
        coords: box (x0, y0, x1, y1), inclusive corners; point (x, y).
        positive: for points: True adds, False takes away.
        scan: the channel whose grid the indices are of.
        lesion: the lesion number the prompt is for.
    """

    type: Literal["box", "point"]
    slice: int
    coords: tuple[float, ...]
    positive: bool = True
    scan: str = "CT"
    lesion: int = 1

    def __post_init__(self) -> None:
        expected = {"box": 4, "point": 2}.get(self.type)
        if expected is None:
            raise InputError(f"Expected a prompt of type box or point, got {self.type!r}.")
        if len(self.coords) != expected:
            raise InputError(f"A {self.type} takes {expected} numbers, got {len(self.coords)}.")
        if not np.isfinite(self.coords).all():
            raise InputError(f"A {self.type} must have finite coordinates, got {self.coords}.")
        if self.type == "box" and not (self.coords[0] <= self.coords[2] and self.coords[1] <= self.coords[3]):
            raise InputError(f"A box is X0 Y0 X1 Y1 with X0 <= X1 and Y0 <= Y1, got {self.coords}.")

    def to_json(self) -> dict[str, Any]:
        """The form in which sidecars hold it."""
        values = {"type": self.type, "slice": self.slice, "coords": [float(c) for c in self.coords]}
        return {**values, "positive": self.positive, "scan": self.scan, "lesion": self.lesion}


@dataclass(frozen=True)
class LesionMeasure:
    """One lesion in one mask; `lesion_id` is "L" + label, the same at all timepoints. What follows the centroid is None
    or () where not measured: `core.lesions.diameters`, `.compartments`, `core.review.scan_measures`."""

    label: int
    lesion_id: str
    volume_mm3: float
    voxels: int
    longest_diameter_mm: float
    centroid_mm: tuple[float, float, float]
    short_axis_mm: float | None = None
    longest_diameter_3d_mm: float | None = None
    slices: int | None = None
    intensities: tuple[Mapping[str, Any], ...] = ()
    compartments: tuple[Mapping[str, Any], ...] = ()
    mean_probability: float | None = None  # 0..1, `core.engines.probability`; None of what no network made


#: Fields of `MaskRecord` whose key in the sidecar and the database is another.
_STORED_MASK_KEYS = {"author": "reviewer"}
_FIELD_OF_KEY = {key: name for name, key in _STORED_MASK_KEYS.items()}


@dataclass(frozen=True)
class MaskRecord:
    """One mask version: the sidecar, key for key (`to_json` gives the sidecar's order).

    `author` is the person who made it; its stored key is "reviewer". `moved` is as a scan's.
    """

    mask_id: str
    patient_id: str
    timepoint: str
    version: int
    parent_version: int | None
    method: str
    model_checkpoint: str | None
    prompts: tuple[Mapping[str, Any], ...]
    author: str
    status: MaskStatus
    created_at: str
    dice_vs_previous_version: float | None
    volume_mm3: float
    voxels_added: int
    voxels_removed: int
    voxels_unchanged: int
    volume_delta_mm3: float | None
    scan_sha256: str
    mask_sha256: str
    checkpoint_sha256: str | None
    lesions: tuple[Mapping[str, Any], ...]
    software: Mapping[str, str]
    format_version: int = 1
    model_files: Mapping[str, str] | None = None
    moved: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def stored_keys(cls) -> tuple[str, ...]:
        """The sidecar's keys and the columns of the table, in the order of the fields."""
        return tuple(_STORED_MASK_KEYS.get(name, name) for name in cls.__dataclass_fields__)

    @staticmethod
    def field_of(stored_key: str) -> str:
        """The name of the field that a key of the sidecar, or a column of the table, holds."""
        return _FIELD_OF_KEY.get(stored_key, stored_key)

    def to_json(self) -> dict[str, Any]:
        """The sidecar: plain JSON values in the order of the design; without what its format has not, as a scan's."""
        out = {_STORED_MASK_KEYS.get(name, name): getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("prompts", "lesions", _MOVED):
            out[name] = [dict(item) for item in out[name]]
        out["software"] = dict(self.software)
        out["model_files"] = None if self.model_files is None else dict(self.model_files)
        if self.format_version == 1:
            del out["format_version"], out["model_files"]
        if not self.moved:
            del out[_MOVED]
        return out

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MaskRecord:
        """Inverse of `to_json`; raises InputError naming the keys that are missing."""
        later: dict[str, Any] = {"format_version": values.get("format_version") or 1}
        later |= {"model_files": values.get("model_files"), _MOVED: tuple(values.get(_MOVED) or ())}
        missing = [key for key in cls.stored_keys() if key not in values and key not in later]
        if missing:
            raise InputError(f"The sidecar lacks {', '.join(missing)}. Restore it from a backup or run `rebuild`.")
        pairs = zip(cls.__dataclass_fields__, cls.stored_keys(), strict=True)
        known = {name: values[key] for name, key in pairs if name not in later}
        known |= {name: tuple(known[name]) for name in ("prompts", "lesions")}
        return cls(**known, **later)


@dataclass(frozen=True)
class Decision:
    """A named person's verdict on one mask version, or on one lesion of it. Append-only; a change of mind is a new one.

    `lesion_id` is None where it is about the whole version, which alone can be withdrawn. `answered` has the doubts of
    the gates that an acceptance or rejection of the whole version answers, as they stood then: gate, verdict_id,
    verdict, kinds, reason, stale of each; () where there was none, and in decisions from before they were stored.
    """

    decision_id: str
    mask_id: str
    verdict: Literal["accept", "reject", "withdraw"]
    reviewer: str
    reason: str
    comment: str
    created_at: str
    lesion_id: str | None = None
    answered: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class VolumePoint:
    """One point of a growth curve: an accepted mask's volume of one lesion (or of all: lesion_id "total")."""

    timepoint: str
    days: float
    volume_mm3: float
    lesion_id: str
    mask_id: str
    version: int


def parse_date(text: str) -> dt.date:
    """A timepoint's name is its date. Raises InputError unless `text` is a real YYYY-MM-DD not before 1970."""
    try:
        date = dt.date.fromisoformat(text)
    except (TypeError, ValueError):
        raise InputError(f"Expected a date as YYYY-MM-DD, got {text!r}.") from None
    if len(text) != 10 or date.year < 1970:
        raise InputError(f"Expected a date as YYYY-MM-DD from 1970 on, got {text!r}.")
    return date
