"""Single image files (NIfTI, NRRD, MetaImage) into arrays on RAS+ grids, with every header claim checked before it is
believed: shape, voxel type, size against the file's own length, geometry. `core.volumes` is the door to use."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from core.errors import GeometryError, InputError
from core.types import Grid

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
#: Larger than any clinical scan (a 1024 x 1024 x 2048 CT): a header that claims more is wrong, or hostile.
MAX_VOXELS = 2**31
MIN_SPACING_MM, MAX_SPACING_MM = 0.01, 50.0

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_GZIP_RATIO = 1100  # deflate cannot do better than 1032 : 1
_CHUNK = 2**24
_MM_PER_UNIT = {1: 1000.0, 3: 1e-3}  # NIfTI xyzt_units: 1 metre, 2 millimetre, 3 micrometre, 0 unknown (millimetre)

# ITK prints file names, which may be a patient's, to stderr; whatever matters is checked here.
sitk.ProcessObject.SetGlobalWarningDisplay(False)


@dataclass(frozen=True, eq=False)
class StoredImage:
    """What one file holds: (I, J, K) float32 in stored index order, scaled as the header says; its grid; warnings."""

    array: NDArray[np.float32]
    grid: Grid
    warnings: tuple[str, ...] = ()


def image_suffix(name: str) -> str | None:
    """The image suffix of a file name (".nii.gz", ".nii", ".nrrd", ".mha"), or None."""
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), None)


def read_image(path: Path) -> StoredImage:
    """Read one image file.

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
        if path.stat().st_size == 0:
            raise InputError(f"{path.name}: expected an image, got an empty file (0 bytes). Copy or export it again.")
        return _read_nifti(path) if suffix.startswith(".nii") else _read_itk(path, suffix)


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
            f"{path.name}: expected a whole gzip file, got one that is truncated or damaged. Copy or export it again."
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


def check_shape(name: str, shape: Sequence[int]) -> tuple[int, int, int]:
    """The three spatial dimensions of `shape` (trailing ones dropped), refusing 2-D, 4-D, zero and absurd sizes."""
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
    if len(sizes) < 3 or min(sizes) < 2:
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
    lps = _LPS_TO_RAS @ grid.affine
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


def _itk_affine(image: sitk.Image | sitk.ImageFileReader) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return _LPS_TO_RAS @ affine


def _check_size(name: str, needed: int, held: int, compressed: bool) -> None:
    """A payload that cannot fit into the file is refused before memory is taken for it."""
    if needed > held * (_GZIP_RATIO if compressed else 1):
        raise InputError(
            f"{name}: expected {needed:,} bytes of voxels, the file is truncated: it holds {held:,} bytes. "
            "Copy or export it again."
        )


# ---------------------------------------------------------------- NIfTI


def _read_nifti(path: Path) -> StoredImage:
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        # The suffix may lie; the first two bytes do not.
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if compressed else raw  # type: ignore[assignment]
        header = _nifti_header(path.name, stream)
        shape = check_shape(path.name, header.get_data_shape())
        dtype = header.get_data_dtype()
        _check_real(path.name, dtype.kind in "iuf", str(dtype))
        needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
        _check_size(path.name, needed, path.stat().st_size, compressed)
        affine, warnings = _nifti_affine(path.name, header)
        grid = check_grid(path.name, shape, affine)
        try:
            slope, inter = header.get_slope_inter()
        except HeaderDataError as error:
            raise InputError(f"{path.name}: expected a finite intensity scale. Export it again.") from error
        stream.seek(header.get_data_offset())
        stored = _payload(path.name, stream, needed).view(dtype).reshape(shape, order="F")
    return StoredImage(_scaled(stored, slope, inter), grid, warnings)


def _nifti_header(name: str, stream: IO[bytes]) -> nib.Nifti1Header:
    start = stream.read(4)
    stream.seek(0)
    kind = nib.Nifti2Header if 540 in (int.from_bytes(start, "little"), int.from_bytes(start, "big")) else None
    try:
        header = (kind or nib.Nifti1Header).from_fileobj(stream)
    except (HeaderDataError, WrapStructError, ValueError, KeyError) as error:
        raise InputError(
            f"{name}: expected a NIfTI image, got a file that is not one, whatever its name says. Export it as NIfTI."
        ) from error
    if not bytes(header["magic"]).startswith((b"n+1", b"n+2")):
        raise InputError(f"{name}: expected NIfTI in one file, got half of an .hdr/.img pair. Export it as .nii.gz.")
    return header


def _nifti_affine(name: str, header: nib.Nifti1Header) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    try:
        affine = np.array(header.get_best_affine(), dtype=float)
        qform = header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        raise GeometryError(
            f"{name}: expected an orientation, the header's quaternion is none. Export again."
        ) from error
    warnings = []
    if header["sform_code"] == 0 and header["qform_code"] == 0:
        warnings.append("The file does not say how the image lies in space; left and right are assumed, not known.")
    elif header["sform_code"] > 0 and qform is not None and np.isfinite([affine, qform]).all():
        corner = np.array([*header.get_data_shape()[:3], 1.0])
        apart = max(np.abs((affine - qform) @ corner).max(), np.abs((affine - qform)[:3, 3]).max())
        if apart > 1.0:
            warnings.append(
                f"The file's two orientations (sform, qform) differ by up to {apart:.1f} mm; sform is used."
            )
    unit = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7)
    if unit is not None:
        affine[:3] *= unit
        warnings.append(f"The file's lengths are not in millimetres; they were multiplied by {unit:g}.")
    return affine, tuple(warnings)


def _payload(name: str, stream: IO[bytes], needed: int) -> NDArray[np.uint8]:
    """`needed` bytes, in chunks, so that memory is only touched as far as there is data (np.empty is lazy)."""
    buffer = np.empty(needed, np.uint8)
    view = memoryview(buffer.data)
    got = 0
    while got < needed:
        read = stream.readinto(view[got : got + _CHUNK])  # type: ignore[attr-defined]
        if not read:
            raise InputError(
                f"{name}: expected {needed:,} bytes of voxels, the file is truncated after {got:,}. "
                "Copy or export it again."
            )
        got += read
    stream.read(1)  # the end of a gzip stream is where its checksum is compared
    return buffer


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


# ---------------------------------------------------------------- NRRD and MetaImage through ITK


def _read_itk(path: Path, suffix: str) -> StoredImage:
    compressed, warnings = _check_attached(path, suffix)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("NrrdImageIO" if suffix == ".nrrd" else "MetaImageIO")
    damaged = (
        f"{path.name}: expected a {suffix} image, got one that cannot be read: damaged or truncated. Export it again."
    )
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(damaged) from error
    pixel = sitk.GetPixelIDValueAsString(reader.GetPixelIDValue())
    _check_real(path.name, reader.GetNumberOfComponents() == 1 and "complex" not in pixel, pixel)
    shape = check_shape(path.name, reader.GetSize())
    bits = re.search(r"\d+", pixel)
    needed = int(np.prod(shape, dtype=object)) * (int(bits.group()) // 8 if bits else 1)
    _check_size(path.name, needed, path.stat().st_size, compressed)
    grid = check_grid(path.name, shape, _itk_affine(reader))
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        array = sitk.GetArrayFromImage(reader.Execute()).transpose(2, 1, 0)
    except RuntimeError as error:
        raise InputError(damaged) from error
    return StoredImage(array, grid, warnings)


def _check_attached(path: Path, suffix: str) -> tuple[bool, tuple[str, ...]]:
    """Is the payload compressed? Refuses a header that points at another file: absent, or not theirs to read."""
    with path.open("rb") as stream:
        head = io.BytesIO(stream.read(2**16))
    lines: dict[str, str] = {}
    nrrd = suffix == ".nrrd"
    first = head.readline() if nrrd else b""
    if nrrd and not first.startswith(b"NRRD"):
        raise InputError(
            f"{path.name}: expected an NRRD image, got a file that is not one. Export it as .nrrd or .nii.gz."
        )
    for line in head:
        text = line.decode("latin-1").strip()
        key, found, value = text.partition(":" if nrrd else "=")
        if nrrd and not text:
            break
        if found:
            lines[key.strip().lower().replace(" ", "")] = value.strip()
        if not nrrd and key.strip() == "ElementDataFile":
            break
    if not nrrd and "elementdatafile" not in lines:
        raise InputError(
            f"{path.name}: expected a MetaImage, got a file that is not one. Export it as .mha or .nii.gz."
        )
    elsewhere = lines.get("datafile") if nrrd else lines["elementdatafile"].replace("LOCAL", "")
    if elsewhere:
        raise InputError(
            f"{path.name}: expected header and voxels in one file, the header points at another file. "
            "Save it as one file (.nrrd or .mha), or as .nii.gz."
        )
    unplaced = nrrd and "space" not in lines and "spacedimension" not in lines
    warning = "The file does not say how the image lies in space; left and right are assumed, not known."
    compressed = lines.get("encoding", "raw") != "raw" if nrrd else lines.get("compresseddata", "").lower() == "true"
    return compressed, (warning,) if unplaced else ()
