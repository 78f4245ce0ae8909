"""Single image files (NIfTI, NRRD, MetaImage) into arrays on RAS+ grids, with every header claim checked before it is
believed: shape, voxel type, size against the file's own length, geometry. `core.imaging.open_scan` and
`core.imaging.volumes` are what other rooms use."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from core.errors import GeometryError, InputError
from core.imaging.headers.image_header import LPS_TO_RAS
from core.imaging.headers.pixels import READERS, pixels_in_file, read_payload
from core.imaging.limits import check_voxel_bytes
from core.types import Grid

SUFFIXES = tuple(READERS)
#: Larger than any clinical scan (a 1024 x 1024 x 2048 CT): a header that claims more is wrong, or hostile.
MAX_VOXELS = 2**31
MIN_SPACING_MM, MAX_SPACING_MM = 0.01, 50.0

# ITK prints file names, which may be a patient's, to stderr; whatever matters is checked here.
sitk.ProcessObject.SetGlobalWarningDisplay(False)


@dataclass(frozen=True, eq=False)
class StoredImage:
    """What one file holds: (I, J, K) float32 in stored index order, scaled as the header says; its grid; warnings; and
    whether its header calls the values labels."""

    array: NDArray[np.float32]
    grid: Grid
    warnings: tuple[str, ...] = ()
    says_labels: bool = False


def image_suffix(name: str) -> str | None:
    """The image suffix of a file name (".nii.gz", ".nii", ".nrrd", ".mha"), or None."""
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), None)


def read_image(path: Path, thin: bool = False) -> StoredImage:
    """Read one image file.

    Args:
        thin: one slice is enough, as of a mask that is cropped around a lesion.

    Raises:
        InputError: not there, not readable, not an image, truncated, not three-dimensional, not real-valued.
        GeometryError: its affine is no grid, or its voxels are not 0.01 to 50 mm.
    """
    path = Path(path)
    with reading(path):
        if not path.exists():
            raise InputError(f"{path.name}: expected a file, there is none at {path}. Check the path.")
        if path.is_dir():
            raise InputError(f"{path.name}: expected an image file, got a folder. Give the file in it.")
        suffix = image_suffix(path.name)
        if suffix is None:
            raise InputError(
                f"{path.name}: expected {', '.join(SUFFIXES)}, a DICOM folder or a zip, got an unknown kind of file. "
                "Convert it, for instance to .nii.gz."
            )
        if not path.is_file():
            raise InputError(f"{path.name}: expected an ordinary file, got a device or a pipe. Give an image file.")
        if path.stat().st_size == 0:
            raise InputError(f"{path.name}: expected an image, got an empty file (0 bytes). Copy or export it again.")
        with path.open("rb") as stream:
            return _read(stream, path.name, suffix, thin)


def _read(stream: IO[bytes], name: str, suffix: str, thin: bool) -> StoredImage:
    header = pixels_in_file(stream, name, suffix)
    _check_real(name, not header.kind, header.kind)
    shape = check_shape(name, header.shape, thin)
    check_voxel_bytes(name, shape)
    grid = check_grid(name, shape, header.affine)
    stored = read_payload(stream, name, header, shape)
    return StoredImage(_scaled(stored, header.slope, header.inter), grid, header.warnings, header.says_labels)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever the operating system or a decompressor objects to becomes a sentence about `path`."""
    try:
        yield
    except PermissionError as error:
        raise InputError(
            f"{path.name}: expected a file that may be read, got 'permission denied'. "
            "Ask its owner for read access, or copy it to a folder of your own."
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path.name}: expected whole compressed voxels, got a file that is truncated or damaged. "
            "Copy or export it again."
        ) from error
    except MemoryError as error:
        raise InputError(
            f"{path.name}: expected an image that fits into memory, got one that does not. "
            "Crop it, or use a larger machine."
        ) from error
    except OSError as error:
        raise InputError(
            f"{path.name}: expected a readable file, got: {error.strerror or 'an input/output error'}. "
            "Check the path, the disk and the network drive."
        ) from error


def check_shape(name: str, shape: Sequence[int], thin: bool = False) -> tuple[int, int, int]:
    """The three spatial dimensions of `shape` (trailing ones dropped), refusing 2-D, 4-D, zero and absurd sizes, and
    single slices unless `thin` ones will do."""
    sizes = [int(n) for n in shape]
    if any(n < 1 for n in sizes):
        raise InputError(f"{name}: expected dimensions of at least one voxel, got {tuple(sizes)}. Export it again.")
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) > 3:
        raise InputError(
            f"{name}: expected a 3-D image, got {len(sizes)} dimensions {tuple(sizes)}. "
            "Split the frames or channels and import the one you need."
        )
    if len(sizes) < 3 or (min(sizes) < 2 and not thin):
        raise InputError(
            f"{name}: expected a volume, got a single slice {tuple(sizes)}. "
            "Import the whole series: volumes need depth."
        )
    voxels = sizes[0] * sizes[1] * sizes[2]  # Python integers: no overflow
    if voxels > MAX_VOXELS:
        raise InputError(
            f"{name}: expected at most {MAX_VOXELS:,} voxels, the header claims {voxels:,}. "
            "The header is damaged, or the image must be cropped or resampled first."
        )
    return sizes[0], sizes[1], sizes[2]


def check_grid(name: str, shape: tuple[int, int, int], affine: NDArray[np.float64]) -> Grid:
    """The grid, if its axes are at right angles and its voxels between 0.01 and 50 mm; else GeometryError."""
    try:
        grid = Grid(shape, affine)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from error
    if min(grid.spacing_mm) < MIN_SPACING_MM or max(grid.spacing_mm) > MAX_SPACING_MM:
        got = " x ".join(f"{mm:.4g}" for mm in grid.spacing_mm)
        raise GeometryError(
            f"{name}: expected voxels of {MIN_SPACING_MM} to {MAX_SPACING_MM:g} mm, got {got} mm. "
            "The spacing is probably in another unit: correct the header and import it again."
        )
    return grid


def to_sitk(array: NDArray[Any], grid: Grid) -> sitk.Image:
    """(I, J, K) array on its RAS+ grid -> the same voxels as a SimpleITK image (LPS+). bool becomes uint8."""
    stored = array.astype(np.uint8) if array.dtype == np.bool_ else array
    image = sitk.GetImageFromArray(np.ascontiguousarray(stored.transpose(2, 1, 0)))
    lps = LPS_TO_RAS @ grid.affine
    spacing = np.array(grid.spacing_mm)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def from_sitk(image: sitk.Image) -> tuple[NDArray[Any], Grid]:
    """Inverse of `to_sitk`: (I, J, K) array (a copy) and its RAS+ grid. Raises GeometryError if it is no grid."""
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError("Expected a three-dimensional image of one value a voxel. Extract the part you need.")
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), Grid(image.GetSize(), _itk_affine(image))


def _itk_affine(image: sitk.Image) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ affine


def _scaled(stored: NDArray[Any], slope: float | None, inter: float | None) -> NDArray[np.float32]:
    out = np.empty(stored.shape, np.float32, order="F")
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes inf and is refused later
        for k in range(stored.shape[2]):  # slice by slice: no second copy in double precision
            out[..., k] = stored[..., k] if slope is None else stored[..., k].astype(float) * slope + (inter or 0.0)
    return out


def _check_real(name: str, real: bool, got: str) -> None:
    if not real:
        raise InputError(
            f"{name}: expected one real number a voxel, got {got} (colour, vector or complex). "
            "Export the grey-scale image, or the magnitude."
        )
