"""NIfTI headers: one file of header and voxels (magic "n+1" or "n+2"), never half of an .hdr/.img pair.

Source: NIfTI-1 and NIfTI-2 as nibabel reads them; nifti1.h for `vox_offset`.
"""

from __future__ import annotations

import gzip
from typing import IO, cast

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from core.errors import GeometryError, InputError
from core.imaging.headers.image_header import MAX_HEADER_BYTES, UNPLACED, ImageHeader
from core.types import Grid

#: Beyond this, sform and qform are two places; below, one that was rounded on its way through a quaternion.
_FORMS_APART_MM = 0.1
_LABELS = 1002
_STATISTICS = range(2, 25)
_MM_PER_UNIT = {1: 1000.0, 3: 1e-3}  # NIfTI xyzt_units: 1 metre, 2 millimetre, 3 micrometre, 0 unknown (millimetre)


def read_nifti_header(raw: IO[bytes], name: str) -> ImageHeader:
    """The header at the start of `raw`, which may be packed with gzip as a whole, whatever its suffix says.

    Raises:
        InputError: not NIfTI in one file, or voxels that begin before the header's end or absurdly far after it.
        GeometryError: a quaternion that is none.
    """
    compressed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    stream = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if compressed else raw
    header = _header(name, stream)
    affine, warnings = _affine(name, header)
    dtype = header.get_data_dtype()
    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError as error:
        raise InputError(f"{name}: expected a finite intensity scale. Export it again.") from error
    return ImageHeader(
        "NIfTI",
        tuple(int(n) for n in header.get_data_shape()),
        dtype,
        affine,
        _offset(name, header),
        "whole gzip" if compressed else "raw",
        "" if dtype.kind in "iuf" else str(dtype),
        slope,
        inter,
        warnings=(*warnings, *_told(header)),
        says_labels=int(header["intent_code"]) == _LABELS,
    )


def _header(name: str, stream: IO[bytes]) -> nib.Nifti1Header:
    start = stream.read(4)
    stream.seek(0)
    kind = nib.Nifti2Header if 540 in (int.from_bytes(start, "little"), int.from_bytes(start, "big")) else None
    size = (kind or nib.Nifti1Header).sizeof_hdr
    try:
        # From the bytes alone: extensions, which may claim any length, are passed over unread.
        header = (kind or nib.Nifti1Header)(stream.read(size))
    except (HeaderDataError, WrapStructError, ValueError, KeyError) as error:
        raise InputError(
            f"{name}: expected a NIfTI image, got a file that is not one, whatever its name says. Export it as NIfTI."
        ) from error
    if not bytes(header["magic"]).startswith((b"n+1", b"n+2")):
        raise InputError(f"{name}: expected NIfTI in one file, got half of an .hdr/.img pair. Export it as .nii.gz.")
    return header


def _offset(name: str, header: nib.Nifti1Header) -> int:
    """Offset of the first voxel, bytes. 0 means right after the header, as nifti1.h and ITK have it."""
    least = header.sizeof_hdr + 4  # four bytes say whether extensions follow
    offset = float(header["vox_offset"])
    if offset == 0:
        return least
    if not least <= offset <= MAX_HEADER_BYTES:  # NaN fails this, too
        raise InputError(
            f"{name}: expected voxels between byte {least} and {MAX_HEADER_BYTES:,}, the header says byte {offset:g}. "
            "The header is damaged: export it again."
        )
    return int(offset)


def _affine(name: str, header: nib.Nifti1Header) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The sform where it has a code, as nibabel takes it; else the qform. An sform that is no grid at right angles
    (a registration with shear) gives way to a qform. ITK prefers the qform to an sform of another code than 1."""
    try:
        affine = np.array(header.get_best_affine(), dtype=float)
        qform = header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        raise GeometryError(
            f"{name}: expected an orientation, the header's quaternion is none. Export again."
        ) from error
    warnings = []
    if header["sform_code"] == 0 and header["qform_code"] == 0:
        warnings.append(UNPLACED)
    elif header["sform_code"] > 0 and qform is not None and not _at_right_angles(affine) and _at_right_angles(qform):
        warnings.append("The file's sform is no grid at right angles; its qform is used.")
        affine = np.array(qform, dtype=float)
    elif header["sform_code"] > 0 and qform is not None and np.isfinite([affine, qform]).all():
        apart = _apart_mm(affine, qform, header.get_data_shape())
        if apart > _FORMS_APART_MM:
            warnings.append(
                f"The file's two orientations (sform, qform) differ by up to {apart:.1f} mm; sform is used. Programs "
                "that use the other see the image elsewhere."
            )
    unit = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7)
    if unit is not None:
        affine[:3] *= unit
        warnings.append(f"The file's lengths are not in millimetres; they were multiplied by {unit:g}.")
    return affine, tuple(warnings)


def _apart_mm(one: NDArray[np.float64], other: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """How far the two put a voxel apart, at most, of those at the corners of an image."""
    sizes = [*map(int, shape[:3]), 1, 1, 1][:3]
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=float)
    corners[:, :3] *= np.array(sizes) - 1.0
    return float(np.abs(corners @ (one - other)[:3].T).max())


def _at_right_angles(affine: NDArray[np.float64]) -> bool:
    """Whether an affine is a grid."""
    try:
        Grid((1, 1, 1), affine)
    except GeometryError:
        return False
    return True


def _told(header: nib.Nifti1Header) -> tuple[str, ...]:
    """What the header says of its values that is no matter of course."""
    told = []
    scale = np.array([header["scl_slope"], header["scl_inter"]], dtype=float)
    if not np.isfinite(scale[0]) and not np.isnan(scale).all():  # both are NaN where a program left them open
        told.append("The file's intensity scale is no number; its values are taken as they are stored.")
    if int(header["intent_code"]) in _STATISTICS:
        told.append("The file calls its values a statistic, not an image (its intent). Is it the scan?")
    return tuple(told)
