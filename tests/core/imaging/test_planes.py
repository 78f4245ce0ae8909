"""Voxels of DICOM as they are stored and packed: every transfer syntax and number of bits, read or refused."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from core.errors import InputError
from core.imaging.dicom import read_series
from core.types import Volume
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import stored_values, write_series

EXPLICIT, IMPLICIT, BIG, DEFLATED = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)
RLE, JPEG_LS, NEAR_LS, J2K, J2K_LOSSY = (
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
)
LOSSLESS_SV1, BASELINE = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.50"


def native(ds: Dataset, syntax: str) -> None:
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    if syntax == BIG:
        width = f"<{'i' if ds.PixelRepresentation else 'u'}{ds.BitsAllocated // 8}"
        ds.PixelData = np.frombuffer(ds.PixelData, width).astype(width.replace("<", ">")).tobytes()
        if ds.BitsAllocated == 8:  # two voxels are one word, whose bytes change places
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    ds["PixelData"].VR = "OW"


def gdcm(ds: Dataset, path: Path) -> None:
    """JPEG lossless as GDCM writes it."""
    ds.save_as(path, enforce_file_format=True)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(path.with_suffix(".packed")))
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.Execute(sitk.GetImageFromArray(np.frombuffer(ds.PixelData, "<i2").reshape(1, ds.Rows, ds.Columns)))
    packed = pydicom.dcmread(path.with_suffix(".packed"))
    path.with_suffix(".packed").unlink()
    assert packed.file_meta.TransferSyntaxUID == LOSSLESS_SV1
    ds.file_meta.TransferSyntaxUID = UID(LOSSLESS_SV1)
    ds.PixelData = packed.PixelData
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"


def write(folder: Path, syntax: str, stored: NDArray[Any], signed: bool = True, **tags: Any) -> None:
    bits = stored.dtype.itemsize * 8

    def edit(ds: Dataset, n: int) -> None:
        ds.BitsAllocated, ds.PixelRepresentation = bits, int(signed)
        ds.BitsStored = ds.BitsStored if "BitsStored" in tags else bits
        ds.HighBit = ds.BitsStored - 1
        ds.PixelData = stored[n].tobytes()
        if syntax in (EXPLICIT, IMPLICIT, BIG, DEFLATED):
            native(ds, syntax)
        elif syntax == LOSSLESS_SV1:
            gdcm(ds, folder / "x.dcm")
            (folder / "x.dcm").unlink()
        elif syntax != J2K_LOSSY and syntax != NEAR_LS:
            ds.compress(syntax, generate_instance_uid=False)
        else:
            ds.compress(syntax, generate_instance_uid=False, **LOSSY[syntax])

    folder.mkdir(exist_ok=True)
    write_series(folder, stored=np.zeros(stored.shape, np.int16), edit=_saved(edit), **tags)


LOSSY: dict[str, dict[str, Any]] = {NEAR_LS: {"jls_error": 2}, J2K_LOSSY: {"j2k_cr": [4]}}


def _saved(edit: Callable[[Dataset, int], None]) -> Callable[[Dataset, int], None]:
    """pydicom writes a dataset as its transfer syntax says, unless it was read as another."""

    def both(ds: Dataset, n: int) -> None:
        edit(ds, n)
        syntax = ds.file_meta.TransferSyntaxUID
        ds.set_original_encoding(syntax.is_implicit_VR, syntax.is_little_endian)

    return both


def values(kind: str) -> NDArray[Any]:
    """(4, 32, 33) over the whole range of a stored voxel."""
    i, j, k = np.indices((4, 32, 33))
    if kind.endswith("1"):
        return (10 * i + j + k + (-90 if kind[0] == "i" else 60)).astype(kind)
    if kind.endswith("4"):
        return ((i * 1000 + j * 33 + k) * (70_000 if kind[0] == "u" else -70_000)).astype(kind)
    return (i * 3000 + j * 40 + k - (1000 if kind[0] == "i" else 0)).astype(kind)


@shows(
    "DICOM: how voxels are stored",
    "implicit, explicit, big endian, deflated, RLE, JPEG-LS, JPEG 2000; 8 and 16 bits, signed or not",
    "read",
    "exactly",
)
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED, RLE, JPEG_LS, J2K])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2"])
def test_lossless_voxels_are_read_exactly(tmp_path: Path, syntax: str, kind: str):
    stored = values(f"<{kind}")
    write(tmp_path, syntax, stored, signed=kind[0] == "i")
    np.testing.assert_array_equal(read_series(tmp_path, "CT")[0].array, stored.transpose(2, 1, 0))


@shows("DICOM: how voxels are stored", "32 bits", "read")
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
@pytest.mark.parametrize("kind", ["u4", "i4"])
def test_voxels_of_32_bits_are_read(tmp_path: Path, syntax: str, kind: str):
    stored = values(f"<{kind}")
    write(tmp_path, syntax, stored, signed=kind[0] == "i")
    expected = stored.astype(np.float32).transpose(2, 1, 0)
    np.testing.assert_array_equal(read_series(tmp_path, "CT")[0].array, expected)


@shows("DICOM: how voxels are stored", "JPEG lossless", "read", "exactly")
def test_jpeg_lossless_is_read_exactly_and_scaled_once(tmp_path: Path):
    stored = values("<i2")
    write(tmp_path, LOSSLESS_SV1, stored, RescaleSlope=2, RescaleIntercept=-7)
    np.testing.assert_array_equal(read_series(tmp_path, "CT")[0].array, stored.transpose(2, 1, 0) * 2.0 - 7)


@shows("DICOM: how voxels are stored", "JPEG-LS near-lossless, JPEG 2000 lossy", "read and said")
@pytest.mark.parametrize(("syntax", "most"), [(NEAR_LS, 2), (J2K_LOSSY, 60)])
def test_lossy_voxels_are_near_and_said_to_be(tmp_path: Path, syntax: str, most: int):
    stored = values("<i2")
    write(tmp_path, syntax, stored, LossyImageCompression="01")
    volume, metadata = read_series(tmp_path, "CT")
    assert 0 < np.abs(volume.array - stored.transpose(2, 1, 0)).max() <= most
    assert any("compressed with loss" in warning for warning in metadata["warnings"])


@shows("DICOM: how voxels are stored", "JPEG baseline", "read")
def test_jpeg_baseline_of_8_bits_is_read(tmp_path: Path):
    import io

    from PIL import Image

    stored = values("<u1")

    def edit(ds: Dataset, n: int) -> None:
        sink = io.BytesIO()
        Image.fromarray(stored[n]).save(sink, "JPEG", quality=95)
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit, ds.PixelRepresentation = 7, 0
        ds.file_meta.TransferSyntaxUID = UID(BASELINE)
        ds.PixelData = encapsulate([sink.getvalue()])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True

    write_series(tmp_path, stored=np.zeros(stored.shape, np.int16), edit=edit)
    array = read_series(tmp_path, "CT")[0].array
    assert np.abs(array - stored.transpose(2, 1, 0).astype(float)).max() <= 4


@shows("DICOM: how voxels are stored", "something else in the bits beyond those stored", "read", "left out")
@pytest.mark.parametrize("kind", ["u2", "i2"])
def test_bits_beyond_those_stored_are_no_part_of_a_voxel(tmp_path: Path, kind: str):
    """12 bits stored of 16, an overlay in the others."""
    clean = (np.indices((4, 6, 5)).sum(axis=0) * 37 - (200 if kind[0] == "i" else 0)).astype(f"<{kind}")
    dirty = (clean & 0x0FFF) | (np.random.default_rng(2).integers(0, 16, clean.shape).astype(f"<{kind}") << 12)
    write(tmp_path, EXPLICIT, dirty, signed=kind[0] == "i", BitsStored=12)
    np.testing.assert_array_equal(read_series(tmp_path, "CT")[0].array, clean.transpose(2, 1, 0))


def test_padding_that_needs_the_bits_beyond_is_padding_all_the_same(tmp_path: Path):
    stored = stored_values(4).clip(-1000, 1500)
    stored[:, 0, 0] = -32768
    write(tmp_path, EXPLICIT, stored, BitsStored=12, PixelPaddingValue=-32768)
    volume, _ = read_series(tmp_path, "CT")
    assert (volume.array[0, 0] == -32768).all()  # below air, so left as it is
    assert volume.array[1:].min() >= -1000


@shows("DICOM: how voxels are stored", "slope or intercept negative, missing or empty", "read", "1 and 0 where missing")
@pytest.mark.parametrize(
    ("slope", "intercept"), [("-1", "100"), ("0.5", "-1024"), (None, None), ("", ""), (None, "-1024"), ("1e-3", "0")]
)
def test_slope_and_intercept_are_applied_as_written_and_1_and_0_where_missing(tmp_path: Path, slope, intercept):
    def edit(ds: Dataset, n: int) -> None:
        for keyword, value in (("RescaleSlope", slope), ("RescaleIntercept", intercept)):
            if value is None:
                del ds[keyword]
            else:
                setattr(ds, keyword, value)

    write_series(tmp_path, edit=edit)
    expected = stored_values(4).transpose(2, 1, 0) * float(slope or 1) + float(intercept or 0)
    np.testing.assert_allclose(read_series(tmp_path, "CT")[0].array, expected, rtol=1e-6)


@shows("DICOM: how voxels are stored", "slope or intercept that is no number", "refused", "with the field")
@pytest.mark.parametrize(("keyword", "value"), [("RescaleSlope", b"x1 "), ("RescaleIntercept", b"--1 ")])
def test_a_scale_that_is_no_number_is_named(tmp_path: Path, keyword: str, value: bytes):
    for path in write_series(tmp_path):
        ds = pydicom.dcmread(path)
        ds[keyword].VR = "LO"
        ds[keyword]._value = value.decode()
        ds.save_as(path)
    with pytest.raises(InputError, match=f"expected a number in {keyword}"):
        read_series(tmp_path, "CT")


@shows("DICOM: how voxels are stored", "slope 0", "refused")
def test_a_slope_of_0_is_refused(tmp_path: Path):
    write_series(tmp_path, slopes=(1, 0, 1, 1))
    with pytest.raises(InputError, match="RescaleSlope other than 0"):
        read_series(tmp_path, "CT")


@shows("DICOM: how voxels are stored", "MONOCHROME1", "read", "as stored")
def test_monochrome1_is_a_way_of_showing_and_changes_no_value(tmp_path: Path):
    write_series(tmp_path, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_series(tmp_path, "CT")[0].array, stored_values(4).transpose(2, 1, 0))


@shows("DICOM: how voxels are stored", "colour, PALETTE COLOR, 1 or 12 bits allocated", "refused")
@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colours of a palette"),
        ({"SamplesPerPixel": 3}, "got colour"),
        ({"BitsAllocated": 1, "BitsStored": 1}, "cannot|can be read"),
        ({"BitsAllocated": 12}, "can be read"),
        ({"HighBit": 11}, "can be read"),
        ({"BitsStored": 17}, "can be read"),
    ],
)
def test_what_is_no_grey_value_of_whole_bytes_is_refused(tmp_path: Path, tags: dict[str, Any], says: str):
    write_series(tmp_path, **tags)
    with pytest.raises(InputError, match=says):
        read_series(tmp_path, "CT")


@shows("DICOM: how voxels are stored", "float and double pixel data", "read")
@pytest.mark.parametrize(("keyword", "kind"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_floating_point_voxels_are_read(tmp_path: Path, keyword: str, kind: str):
    stored = (stored_values(4) / 8).astype(kind)

    def edit(ds: Dataset, n: int) -> None:
        del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
        ds.BitsAllocated = int(kind[-1]) * 8
        setattr(ds, keyword, stored[n].tobytes())

    write_series(tmp_path, edit=edit)
    np.testing.assert_array_equal(read_series(tmp_path, "CT")[0].array, stored.transpose(2, 1, 0).astype(np.float32))


@shows(
    "DICOM: how voxels are stored", "packed voxels that are cut short or of another size", "refused", "with the file"
)
@pytest.mark.parametrize("syntax", [RLE, JPEG_LS, J2K, LOSSLESS_SV1])
@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_packed_voxels_that_are_cut_short_are_refused(tmp_path: Path, syntax: str, cut: float):
    write(tmp_path, syntax, values("<i2"))
    path = sorted(tmp_path.iterdir())[2]
    raw = path.read_bytes()
    at = raw.index(b"\xe0\x7f\x10\x00")
    path.write_bytes(raw[: at + int((len(raw) - at) * cut)])
    with pytest.raises(InputError, match=path.name):
        read_series(tmp_path, "CT")


@pytest.mark.parametrize("size", [(32, 40), (64, 66)])
@pytest.mark.parametrize("syntax", [RLE, JPEG_LS, J2K, LOSSLESS_SV1])
def test_a_packed_image_of_another_size_than_the_header_says_is_refused(tmp_path: Path, syntax: str, size):
    write(tmp_path, syntax, values("<i2"))
    for path in tmp_path.iterdir():
        ds = pydicom.dcmread(path)
        ds.Rows, ds.Columns = size
        ds.save_as(path)
    with pytest.raises(InputError, match="can be read"):
        read_series(tmp_path, "CT")


@shows("DICOM: how voxels are stored", "more voxels than the header says", "refused")
@pytest.mark.parametrize(("rows", "read"), [(6, True), (3, False), (2, False)])
def test_voxels_of_more_images_than_the_header_says_are_refused(tmp_path: Path, rows: int, read: bool):
    def padded(ds: Dataset, n: int) -> None:
        ds.PixelData += bytes(20)
        ds.Rows = rows

    write_series(tmp_path, edit=padded)
    if read:
        assert read_series(tmp_path, "CT")[0].array.shape == (5, 6, 4)
    else:
        with pytest.raises(InputError, match="more than its header says"):
            read_series(tmp_path, "CT")


#: 12 x 13 values 137 row - 61 column - 300, as OpenJPH packs them.
_HTJ2K = (
    "/0//UQApQAAAAAANAAAADAAAAAAAAAAAAAAADQAAAAwAAAAAAAAAAAABjwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCI"
    "kJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAGIAAf+TwAAl+wBHdAAAwAATQAATAEn8Aod0"
    "ACj5Awd0AMAAE0AAEwDn5wGCdADL5QAiNACgAAqwZpppppnAQgG+tgCgABaQECEgICAgIP76BjAj9jGB7LoA/9k="
)


@shows("DICOM: how voxels are stored", "HTJ2K", "read", "exactly")
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"])
def test_high_throughput_jpeg_2000_is_read(tmp_path: Path, syntax: str):
    def edit(ds: Dataset, n: int) -> None:
        ds.file_meta.TransferSyntaxUID = UID(syntax)
        ds.PixelData = encapsulate([base64.b64decode(_HTJ2K)])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True

    write_series(tmp_path, stored=np.zeros((3, 12, 13), np.int16), edit=edit)
    row, column = np.indices((12, 13))
    array = read_series(tmp_path, "CT")[0].array
    for n in range(3):
        np.testing.assert_array_equal(array[..., n], (137 * row - 61 * column - 300).T)


@shows("DICOM: how voxels are stored", "JPEG extended, 12 bits", "read", "within the loss of the same image, unpacked")
def test_jpeg_extended_of_12_bits_is_the_same_image_as_packed_without_loss(tmp_path: Path):
    lossy = _as_a_pair(tmp_path / "lossy", "JPGExtended.dcm")
    assert lossy.array.shape == (256, 1024, 2)
    assert 0 <= lossy.array.min() < lossy.array.max() < 4096
    # the values that pydicom's own tests have for it, row and column: reversed here to (column, row)
    for (row, column), value in {(420, 140): 244, (230, 120): 95}.items():
        assert lossy.array[column, row, 0] == value


def _as_a_pair(folder: Path, name: str) -> Volume:
    path = pydicom.data.get_testdata_file(name, download=False)
    folder.mkdir()
    for n in (0, 1):
        ds = pydicom.dcmread(str(path))
        ds.Modality, ds.ImageType = "MR", ["DERIVED", "PRIMARY"]
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.4")
        ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
        ds.ImagePositionPatient = [0, 0, n]
        ds.save_as(folder / f"{n}.dcm")
    return read_series(folder, "MR")[0]


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, b"\x00"),  # no beginning
        (3, b"\xc4"),  # no frame
        (4, b"\xff\xff"),  # a frame that ends beyond the file
        (6, b"\x20"),  # 32 bits
        (7, b"\x40\x00"),  # 16,384 rows
        (9, b"\x40\x00"),  # 16,384 columns
        (11, b"\x04"),  # four colours
    ],
)
def test_a_jpeg_that_says_another_size_itself_never_comes_to_its_decoder(tmp_path: Path, at: int, value: bytes):
    write(tmp_path, LOSSLESS_SV1, values("<i2"))
    for path in tmp_path.iterdir():
        raw = bytearray(path.read_bytes())
        start = raw.index(b"\xff\xd8\xff\xc3") + at
        raw[start : start + len(value)] = value
        path.write_bytes(raw)
    with pytest.raises(InputError, match="can be read"):
        read_series(tmp_path, "CT")
