"""NIfTI, NRRD and MetaImage headers that say less, more or something else than they should."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from core.errors import GeometryError, InputError
from core.imaging.image_files import StoredImage, read_image
from tests.core.imaging.bad_inputs.registry import nifti
from tests.core.imaging.outcomes import shows

VALUES = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
OWN = bytes(range(60))


def forms(folder: Path, sform: np.ndarray, qform: np.ndarray, codes: tuple[int, int]) -> StoredImage:
    image = nib.Nifti1Image(VALUES, np.eye(4))
    image.set_sform(sform, code=codes[0])
    image.set_qform(qform, code=codes[1])
    image.to_filename(folder / "x.nii")
    return read_image(folder / "x.nii")


def at(x: float, spacing: float = 2.0) -> np.ndarray:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[0, 3] = x
    return affine


@shows("NIfTI", "sform and qform", "read", "sform where it has a code, else qform, as nibabel does")
@pytest.mark.parametrize("sform_code", range(5))
@pytest.mark.parametrize("qform_code", range(5))
def test_sform_counts_where_it_has_a_code_and_else_qform(tmp_path: Path, sform_code: int, qform_code: int):
    image = forms(tmp_path, at(5), at(5), (sform_code, qform_code))
    assert image.grid.affine[0, 3] == (5 if sform_code or qform_code else 2)  # without both the middle is 0
    assert bool(image.warnings) == (sform_code == qform_code == 0)
    expected: Any = nib.load(tmp_path / "x.nii")
    np.testing.assert_allclose(image.grid.affine, expected.affine)


@shows("NIfTI", "sform against qform", "read and said", "sform is used, and how far the two are apart is told")
@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (4, 1)])
@pytest.mark.parametrize(("turned", "apart"), [(at(9), "4.0"), (at(5, 2.5), "2.0"), (at(5.06), None)])
def test_two_places_are_told_with_their_distance(tmp_path: Path, codes: tuple[int, int], turned, apart: str | None):
    image = forms(tmp_path, at(5), turned, codes)
    assert image.grid.affine[0, 3] == 5
    assert image.grid.spacing_mm == (2, 2, 2)
    if apart is None:
        assert image.warnings == ()
    else:
        (warning,) = image.warnings
        assert f"differ by up to {apart} mm; sform is used" in warning


@shows(
    "NIfTI", "sform that is no grid at right angles", "read and said", "its qform is used; without one it is refused"
)
@pytest.mark.parametrize(
    "bad", [np.array([[2, 0.4, 0, 5], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]]), np.diag([2, 2, 0, 1.0])]
)
def test_an_sform_with_shear_gives_way_to_the_qform(tmp_path: Path, bad: np.ndarray):
    image = forms(tmp_path, bad, at(7), (2, 1))
    np.testing.assert_allclose(image.grid.affine, at(7))
    assert image.warnings == ("The file's sform is no grid at right angles; its qform is used.",)
    with pytest.raises(GeometryError):
        forms(tmp_path, bad, at(7), (2, 0))


@shows("NIfTI", "scl_slope 0, NaN or infinite", "read", "unscaled, as the standard has it; said unless usual")
@pytest.mark.parametrize(
    ("slope", "inter", "said"),
    [(0, 0, 0), (0, 7, 0), (float("nan"), float("nan"), 0), (float("nan"), 7, 1), (float("inf"), 0, 1)],
)
def test_a_scale_that_is_none_leaves_the_values_as_they_are(tmp_path: Path, slope: float, inter: float, said: int):
    image = read_image(nifti(tmp_path, VALUES, scl_slope=slope, scl_inter=inter))
    np.testing.assert_array_equal(image.array, VALUES)
    assert len(image.warnings) == said


@shows("NIfTI", "scl_slope negative or small", "read", "applied; an infinite scl_inter is refused")
@pytest.mark.parametrize(("slope", "inter"), [(-1, 0), (1e-4, -5), (2, 1024)])
def test_any_finite_scale_is_applied(tmp_path: Path, slope: float, inter: float):
    image = read_image(nifti(tmp_path, VALUES, scl_slope=slope, scl_inter=inter))
    np.testing.assert_allclose(image.array, VALUES * slope + inter, rtol=1e-6)
    with pytest.raises(InputError, match="finite intensity scale"):
        read_image(nifti(tmp_path, VALUES, scl_slope=2, scl_inter=float("inf")))


@shows("NIfTI", "4-D with one frame", "read", "the frame is taken")
@pytest.mark.parametrize("shape", [(3, 4, 5, 1), (3, 4, 5, 1, 1, 1)])
def test_one_frame_is_taken(tmp_path: Path, shape: tuple[int, ...]):
    image = read_image(nifti(tmp_path, VALUES.reshape(shape)))
    np.testing.assert_array_equal(image.array, VALUES)


@shows("NIfTI", "4-D with several frames, 2-D, one slice", "refused", "with the dimensions")
@pytest.mark.parametrize("shape", [(3, 4, 1, 5), (3, 2, 2, 5), (3, 4, 5, 1, 2), (12, 5), (60,), (12, 5, 1), (1, 12, 5)])
def test_what_is_no_volume_is_refused_with_its_dimensions(tmp_path: Path, shape: tuple[int, ...]):
    with pytest.raises(InputError, match=r"dimensions \(.*, |single slice \(") as caught:
        read_image(nifti(tmp_path, np.resize(VALUES, shape)))
    assert str(shape[-1]) in str(caught.value)


@shows("NIfTI", "colour, complex, half of an .hdr/.img pair, Analyze", "refused")
@pytest.mark.parametrize(
    ("array", "fields", "says"),
    [
        (np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")]), {}, "colour, vector or complex"),
        (VALUES.astype(np.complex64), {}, "complex64"),
        (VALUES, {"magic": b"ni1"}, "half of an .hdr/.img pair"),
        (VALUES, {"magic": b""}, "is not one"),
        (VALUES, {"datatype": 1}, "not one"),
        (VALUES, {"datatype": 0}, "not one"),
        (VALUES, {"datatype": 4242}, "not one"),
    ],
)
def test_what_is_no_grey_value_in_this_file_is_refused(tmp_path: Path, array: Any, fields: dict[str, Any], says: str):
    with pytest.raises(InputError, match=says):
        read_image(nifti(tmp_path, array, **fields))


@shows("NIfTI", "vox_offset 0", "read", "voxels begin right after the header, as ITK and nifti1.h have it")
def test_an_offset_of_0_is_the_end_of_the_header(tmp_path: Path):
    np.testing.assert_array_equal(read_image(nifti(tmp_path, VALUES, vox_offset=0)).array, VALUES)


@shows("NIfTI", "8 to 64 bits, signed or not, big or little endian, NIfTI-1 and -2", "read")
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", "<u2", ">u4", "<i8", ">f4", "<f8"])
def test_every_width_and_byte_order_is_read(tmp_path: Path, kind: Any, dtype: str):
    header = kind.header_class(endianness=">" if dtype[0] == ">" else "<")
    image = kind(VALUES.astype(dtype), at(0), header, dtype=np.dtype(dtype))
    image.to_filename(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(read_image(tmp_path / "x.nii.gz").array, VALUES)


@shows("NIfTI", "intent codes", "read and said", "labels are heard when the modality is judged; a statistic is told")
def test_what_a_file_calls_its_values_is_heard(tmp_path: Path):
    assert read_image(nifti(tmp_path, VALUES, intent_code=1002)).says_labels
    assert not read_image(nifti(tmp_path, VALUES)).says_labels
    assert any("statistic" in word for word in read_image(nifti(tmp_path, VALUES, intent_code=3)).warnings)


def nrrd(folder: Path, more: str, payload: bytes = OWN, name: str = "x.nrrd") -> Path:
    path = folder / name
    head = f"NRRD0005\ntype: uint8\ndimension: 3\nsizes: 3 4 5\n{more}"
    path.write_bytes(head.encode() + b"\n" + payload)
    return path


@shows("NRRD and MetaImage", "NRRD space: LPS, RAS, LAS", "read")
@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("LAS", (-1, 1, 1)),
    ],
)
def test_a_space_says_where_axes_point(tmp_path: Path, space: str, signs: tuple[int, ...]):
    more = "space directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (10,20,30)\nencoding: raw\n"
    image = read_image(nrrd(tmp_path, f"space: {space}\n{more}"))
    np.testing.assert_allclose(image.grid.affine[:3, 3], np.array(signs) * [10, 20, 30])
    np.testing.assert_allclose(np.diag(image.grid.affine)[:3], np.array(signs) * [2, 3, 4])
    assert image.warnings == ()


@shows("NRRD and MetaImage", "NRRD without a space that is known", "read and said", "taken as LPS, as ITK does")
@pytest.mark.parametrize("space", ["", "space: scanner-xyz\n", "space dimension: 3\n"])
def test_an_unknown_space_is_said(tmp_path: Path, space: str):
    more = "space directions: (2,0,0) (0,3,0) (0,0,4)\nencoding: raw\n"
    (warning,) = read_image(nrrd(tmp_path, space + more)).warnings
    assert "left and right are assumed" in warning


@shows("NRRD and MetaImage", "NRRD in cm, m or um", "read and said", "in mm")
@pytest.mark.parametrize(("unit", "mm"), [("cm", 10), ("m", 1000), ("um", 1e-3), ("mm", 1)])
def test_lengths_become_millimetres(tmp_path: Path, unit: str, mm: float):
    size = 2 / mm
    more = f"space: LPS\nspace directions: ({size},0,0) (0,{size},0) (0,0,{size})\n"
    image = read_image(nrrd(tmp_path, f'{more}space units: "{unit}" "{unit}" "{unit}"\nencoding: raw\n'))
    assert image.grid.spacing_mm == pytest.approx((2, 2, 2))
    assert bool(image.warnings) == (mm != 1)


@shows("NRRD and MetaImage", "NRRD in several or other units", "refused")
@pytest.mark.parametrize("units", ['"mm" "mm" "cm"', '"inch" "inch" "inch"'])
def test_other_units_are_refused(tmp_path: Path, units: str):
    more = "space: LPS\nspace directions: (2,0,0) (0,2,0) (0,0,2)\n"
    with pytest.raises(InputError, match="other units"):
        read_image(nrrd(tmp_path, f"{more}space units: {units}\nencoding: raw\n"))


@shows("NRRD and MetaImage", "NRRD packed with gzip", "read", "bzip2, hex and text are refused")
def test_packed_voxels_are_read(tmp_path: Path):
    more = "space: LPS\nspace directions: (2,0,0) (0,2,0) (0,0,2)\n"
    image = read_image(nrrd(tmp_path, more + "encoding: gzip\n", gzip.compress(OWN)))
    np.testing.assert_array_equal(image.array.ravel(order="F"), list(OWN))
    for other in ("bzip2", "hex", "txt"):
        with pytest.raises(InputError, match="raw or gzip"):
            read_image(nrrd(tmp_path, more + f"encoding: {other}\n"))


@shows("NRRD and MetaImage", "headers whose voxels are in another file (.nhdr, .mhd, data file)", "refused")
@pytest.mark.parametrize("name", ["x.nrrd", "x.nhdr", "x.mhd"])
def test_detached_voxels_are_refused(tmp_path: Path, name: str):
    (tmp_path / "x.raw").write_bytes(OWN)
    more = "space: LPS\nspace directions: (2,0,0) (0,2,0) (0,0,2)\nencoding: raw\ndata file: x.raw\n"
    with pytest.raises(InputError, match=r"another file|unknown kind of file"):
        read_image(nrrd(tmp_path, more, b"", name))


@shows("NRRD and MetaImage", "MetaImage or NRRD that does not say how large its voxels are", "refused")
@pytest.mark.parametrize("spacing", ["", "ElementSpacing = 2 3 4\n", "ElementSize = 2 3 4\n"])
def test_the_size_of_a_voxel_is_never_assumed(tmp_path: Path, spacing: str):
    head = f"NDims = 3\nDimSize = 3 4 5\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n{spacing}ElementType = MET_UCHAR\n"
    (tmp_path / "x.mha").write_bytes(f"{head}ElementDataFile = LOCAL\n".encode() + OWN)
    if spacing:
        assert read_image(tmp_path / "x.mha").grid.spacing_mm == (2, 3, 4)
    else:
        with pytest.raises(InputError, match="how large its voxels are"):
            read_image(tmp_path / "x.mha")
    with pytest.raises(InputError, match="how large its voxels are"):
        read_image(nrrd(tmp_path, "encoding: raw\n"))
    with pytest.raises(InputError, match="how large its voxels are"):
        read_image(nrrd(tmp_path, "spacings: 1 nan 1\nencoding: raw\n"))
    assert read_image(nrrd(tmp_path, "spacings: 1 2 1\nencoding: raw\n")).grid.spacing_mm == (1, 2, 1)
