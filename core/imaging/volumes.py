"""Scans and masks between files and `Volume`/`LabelMap`: reading, writing, hashing, resampling.

One frame, RAS+ millimetres; arrays keep the file's index order (i, j, k). The LPS+ world of DICOM and ITK is left and
entered only here and in `core.imaging.dicom`.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import uuid
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from core.errors import GeometryError, InputError
from core.imaging.image_files import StoredImage, from_sitk, image_suffix, read_image, to_sitk
from core.types import Grid, LabelMap, Modality, Volume

__all__ = [
    "content_sha256",
    "file_sha256",
    "from_sitk",
    "make_volume",
    "orientation",
    "read_label_map",
    "read_volume",
    "resample",
    "to_sitk",
    "write_nifti",
]

_WRITABLE = (np.float32, np.int16, np.uint8)


def read_volume(path: Path, modality: Modality, sequence: str = "") -> Volume:
    """Read one image file (.nii, .nii.gz, .nrrd, .mha) as it is stored, without reorienting or resampling.

    Args:
        path: the file.
        modality: what it is; the file cannot tell.
        sequence: "" for CT and PET, else e.g. "T1", "FLAIR".

    Returns:
        (I, J, K) float32, the header's intensity scale applied (NIfTI scl_slope and scl_inter).

    Raises:
        InputError: no file, no image, truncated, not 3-D, not real-valued, NaN or infinite voxels, or constant.
        GeometryError: singular, sheared or non-finite affine, or voxels outside 0.01 to 50 mm.
    """
    return make_volume(Path(path).name, read_image(Path(path)), modality, sequence)


def make_volume(name: str, image: StoredImage, modality: Modality, sequence: str = "") -> Volume:
    """The image as a Volume, if its voxels are finite and not all the same; else InputError about `name`."""
    check_finite(name, image.array)
    low, high = float(image.array.min()), float(image.array.max())
    if low == high:
        raise InputError(
            f"{name}: expected an image, got {image.array.size:,} voxels that are all {low:g}. "
            "Nothing can be seen in it: export it again."
        )
    return Volume(image.array, image.grid, modality, sequence)


def read_label_map(path: Path, grid: Grid | None = None, resample: bool = False) -> LabelMap:
    """Read a mask: whole numbers 0 to 255, stored as integers or as floats that are whole.

    Args:
        path: .nii, .nii.gz, .nrrd or .mha.
        grid: the grid it must be on (within 1e-2 mm), usually the reference scan's; None takes the file's own.
        resample: bring a mask from another grid to `grid` by nearest neighbour instead of refusing it.

    Returns:
        The mask; an empty one is a mask too (complete response).

    Raises:
        InputError: as `read_volume`, or fractions, negative labels, labels above 255.
        GeometryError: another grid without `resample`, or one that shares no labelled voxel with `grid`.
    """
    path = Path(path)
    image = read_image(path)
    check_finite(path.name, image.array)
    labels = LabelMap(whole_labels(path.name, image.array), image.grid)
    if grid is None or grid.matches(labels.grid):
        return labels if grid is None else LabelMap(labels.array, grid)
    if not resample:
        raise GeometryError(
            f"{path.name}: expected the scan's grid, {_describe(grid)}, got {_describe(labels.grid)}. "
            "Export the mask on the scan's grid, or import it with resampling (nearest neighbour)."
        )
    moved = LabelMap(_resampled(labels.array, labels.grid, grid, "nearest", 0.0), grid)
    if labels.labels and not moved.labels:
        raise GeometryError(
            f"{path.name}: expected a mask of this scan, its labelled voxels all lie outside it. "
            "Check that mask and scan belong to the same patient, date and frame."
        )
    return moved


def whole_labels(name: str, array: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The labels 0 to 255 of a mask that is stored as floats; InputError about `name` for other values."""
    low, high = float(array.min()), float(array.max())
    if round(low) < 0 or round(high) > 255:
        raise InputError(
            f"{name}: expected labels 0 to 255, got {low:g} to {high:g}. "
            "Renumber the labels, and check that this is a mask and not the scan."
        )
    labels = np.empty(array.shape, np.uint8, order="F")
    for k in range(array.shape[2]):  # slice by slice: a mask is as large as its scan, and needs no second float copy
        whole = np.rint(array[..., k])
        broken = np.abs(array[..., k] - whole) > 1e-3
        if broken.any():
            raise InputError(
                f"{name}: expected whole numbers (0 background, 1, 2, … lesions), got fractions such as "
                f"{array[..., k][broken][0]:.4g}. If it holds probabilities, threshold it first."
            )
        labels[..., k] = whole
    return labels


def check_finite(name: str, array: NDArray[np.float32]) -> None:
    """Refuse voxels that are NaN or infinite, with InputError about `name`."""
    # slice by slice: an image that is mapped from a file is looked through without a copy of it
    bad = array.size - sum(int(np.count_nonzero(np.isfinite(array[..., k]))) for k in range(array.shape[2]))
    if bad:
        raise InputError(
            f"{name}: expected finite voxels, got {bad:,} that are NaN or infinite. "
            "Replace them (background: 0, or -1000 HU for CT) and import it again."
        )


def _describe(grid: Grid) -> str:
    shape = "x".join(map(str, grid.shape))
    spacing = "x".join(f"{mm:.3g}" for mm in grid.spacing_mm)
    origin = ", ".join(f"{mm:.1f}" for mm in grid.affine[:3, 3])
    return f"{shape} voxels of {spacing} mm {orientation(grid)} from ({origin})"


def write_nifti(
    path: Path, array: NDArray[Any], grid: Grid, overwrite: bool = False, comment: bytes | None = None
) -> str:
    """Write a NIfTI-1 file (.nii.gz, or .nii) whole or not at all: temporary name, fsync, rename, fsync of the folder.

    The same array and grid give the same bytes (no time stamp, no file name inside; gzip as this zlib makes it).

    Args:
        path: where; its folder must exist.
        array: (I, J, K) float32, int16 or uint8, kept as such; finite.
        grid: where it lies; written as sform and qform, "scanner", millimetres (single precision).
        overwrite: replace a file that is there.
        comment: goes into the header as an extension that other readers pass over (`core.lesions.compartments`).

    Returns:
        sha256 of the file, hexadecimal.

    Raises:
        InputError: another dtype, NaN, a file already there, or the disk refuses. Nothing is left behind.
        GeometryError: array and grid differ in shape.
    """
    path = Path(path)
    if image_suffix(path.name) not in (".nii.gz", ".nii"):
        raise InputError(f"{path.name}: expected a name ending in .nii.gz or .nii. Choose such a name.")
    if array.dtype not in _WRITABLE:
        raise InputError(
            f"{path.name}: expected float32, int16 or uint8 voxels, got {array.dtype}. Convert them first."
        )
    if array.shape != grid.shape:
        raise GeometryError(
            f"{path.name}: expected the grid's shape {grid.shape}, got {array.shape}. Pass the array's own."
        )
    check_finite(path.name, array)
    if path.exists() and not overwrite:
        raise InputError(
            f"{path.name}: expected a new file, there is one already. Stored images are never overwritten."
        )
    image = nib.Nifti1Image(array, grid.affine)
    image.set_sform(grid.affine, code=1)
    image.set_qform(grid.affine, code=1)
    image.header.set_xyzt_units("mm")
    if comment is not None:
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", comment))
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        _write_synced(temporary, image, compress=path.name.lower().endswith(".gz"))
        digest = file_sha256(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(
            f"{path.name}: expected to write it, got: {error.strerror or 'an input/output error'}. "
            "Check that the folder exists, may be written to, and has space."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def _write_synced(path: Path, image: nib.Nifti1Image, compress: bool) -> None:
    with path.open("xb") as sink:
        if compress:
            with gzip.GzipFile(filename="", mode="wb", fileobj=sink, compresslevel=4, mtime=0) as packed:
                image.to_stream(packed)
        else:
            image.to_stream(sink)
        sink.flush()
        os.fsync(sink.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_sha256(volume: Volume) -> str:
    """sha256 of voxels and geometry, the same whatever file, format or axis order they are stored in.

    Geometry counts to 1e-3 mm of its single-precision value (what NIfTI can hold); -0 is 0. Voxels count exactly, so
    the same DICOM series scaled by another converter may differ. Modality and sequence do not count.
    """
    grid = volume.grid
    axes = nib.io_orientation(grid.affine.astype(np.float32))
    array = nib.apply_orientation(volume.array, axes)
    affine = grid.affine.astype(np.float32) @ nib.orientations.inv_ornt_aff(axes, grid.shape)
    digest = hashlib.sha256(np.asarray(array.shape, "<i8").tobytes())
    digest.update((np.round(affine, 3) + 0.0).astype("<f8").tobytes())
    for k in range(array.shape[2]):
        digest.update((array[..., k] + np.float32(0)).astype("<f4").tobytes(order="F"))
    return digest.hexdigest()


def resample(
    array: NDArray[Any], source: Grid, target: Grid, order: Literal["linear", "nearest"] = "linear", fill: float = 0.0
) -> NDArray[Any]:
    """The image on another grid, by physical position (ITK's interpolators).

    Args:
        array: (I, J, K) on `source`.
        order: "linear" for images (float32 comes out), "nearest" for labels (the dtype stays).
        fill: the value where `target` reaches more than half a voxel beyond `source`.

    Returns:
        An array of `target.shape`; a copy of `array` where the grids are the same.
    """
    return _resampled(array, source, target, order, fill)


def _resampled(array: NDArray[Any], source: Grid, target: Grid, order: str, fill: float) -> NDArray[Any]:
    # A second name, because `read_label_map` has an argument called `resample`.
    if array.shape != source.shape:
        raise GeometryError(
            f"Array of {array.shape} does not fit its grid of {source.shape}. Pass the array's own grid."
        )
    if order not in ("linear", "nearest"):
        raise InputError(f"Expected order 'linear' or 'nearest', got {order!r}. Use nearest for labels.")
    dtype = np.dtype(np.float32) if order == "linear" else array.dtype
    if source.shape == target.shape and np.array_equal(source.affine, target.affine):
        return array.astype(dtype)
    moving = to_sitk(array.astype(np.float32) if order == "linear" else array, source)
    fixed = sitk.Image(list(target.shape), sitk.sitkUInt8)  # only its geometry counts
    spacing = np.array(target.spacing_mm)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ target.affine
    fixed.SetSpacing(spacing.tolist())
    fixed.SetOrigin(lps[:3, 3].tolist())
    fixed.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    kind = sitk.sitkLinear if order == "linear" else sitk.sitkNearestNeighbor
    moved = sitk.Resample(moving, fixed, sitk.Transform(3, sitk.sitkIdentity), kind, fill, moving.GetPixelID())
    return sitk.GetArrayFromImage(moved).transpose(2, 1, 0).astype(dtype, copy=False)


def orientation(grid: Grid) -> str:
    """Where the axes (i, j, k) point, e.g. "LPS": i to the patient's left, j to posterior, k to superior."""
    return "".join(nib.aff2axcodes(grid.affine))
