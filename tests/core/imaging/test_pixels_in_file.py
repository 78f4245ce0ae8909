"""No header makes the reader open another file: hostile headers of every format, each pointing at a secret."""

from __future__ import annotations

import gzip
import struct
import tempfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import UID

from core.errors import InputError
from core.imaging.headers.image_header import MAX_HEADER_BYTES
from core.imaging.image_files import to_sitk
from core.imaging.open_scan import open_scan
from core.imaging.volumes import read_label_map, read_volume
from core.types import Grid
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import write_series

SECRET = b"root:x:0:0:the secret of another patient:/root:/bin/bash\n" * 3
SHAPE = (4, 4, 4)
OWN = bytes(range(64))
NRRD = "type: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\n"
NRRD += "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
MHA = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"
MHA += "ElementSpacing = 1 1 1\n"


def _nrrd(*lines: str, first: str = "NRRD0004", end: str = "\n", payload: bytes = OWN) -> bytes:
    encoding = () if any(line.startswith("encoding") for line in lines) else ("encoding: raw",)
    text = "\n".join([first, *NRRD.strip().split("\n"), *encoding, *lines]) + "\n"
    return (text.replace("\n", "\r\n") if end == "\r\n" else text).encode("latin-1") + end.encode() + payload


def _mha(*lines: str, payload: bytes = OWN) -> bytes:
    return (MHA + "".join(f"{line}\n" for line in lines)).encode() + payload


def _nifti(offset: float = 352.0, magic: bytes = b"n+1\0", payload: bytes = OWN) -> bytes:
    image = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), np.eye(4))
    raw = bytearray(image.to_bytes()[:352])
    struct.pack_into("<f", raw, 108, offset)
    raw[344:348] = magic
    return bytes(raw) + payload


def _axes(kind: str, count: int) -> bytes:
    """An image of so many axes of one voxel each, which says all of them rightly."""
    ones = " ".join(["1"] * count)
    head = {
        "nrrd": f"NRRD0004\ntype: uint8\ndimension: {count}\nsizes: {ones}\nspacings: {ones}\nencoding: raw\n\n",
        "mha": f"NDims = {count}\nDimSize = {ones}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n",
    }
    return head[kind].encode() + b"\0"


def _spacings(text: str) -> bytes:
    return f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nspacings: {text}\nencoding: raw\n\n".encode() + OWN


PAD = ["# " + "x" * 98] * 720  # 72 kB of comments
#: file name -> its bytes; `{secret}` stands for the path of a file that must not be read
HOSTILE: dict[str, tuple[str, Callable[[str], bytes]]] = {
    "nrrd, plain": ("x.nrrd", lambda s: _nrrd(f"data file: {s}")),
    "nrrd, behind 72 kB of comments": ("x.nrrd", lambda s: _nrrd(*PAD, f"data file: {s}")),
    "nrrd, behind 3 MB of comments": ("x.nrrd", lambda s: _nrrd(*PAD * 40, f"data file: {s}")),
    "nrrd, behind a comment that never ends": ("x.nrrd", lambda s: _nrrd("#" * 2 * MAX_HEADER_BYTES)),
    "nrrd, datafile": ("x.nrrd", lambda s: _nrrd(f"datafile: {s}")),
    "nrrd, Data File": ("x.nrrd", lambda s: _nrrd(f"Data File: {s}")),
    "nrrd, blanks": ("x.nrrd", lambda s: _nrrd(f"  data \t file  :   {s}")),
    "nrrd, no blank": ("x.nrrd", lambda s: _nrrd(f"data file:{s}")),
    "nrrd, key-value": ("x.nrrd", lambda s: _nrrd(f"data file:={s}")),
    "nrrd, LIST": ("x.nrrd", lambda s: _nrrd(f"data file: LIST\n{s}")),
    "nrrd, pattern": ("x.nrrd", lambda s: _nrrd(f"data file: {s}%d 1 1 1")),
    "nrrd, CRLF": ("x.nrrd", lambda s: _nrrd(f"data file: {s}", end="\r\n")),
    "nrrd, only carriage returns": ("x.nrrd", lambda s: _nrrd(f"data file: {s}").replace(b"\n", b"\r")),
    "nrrd, twice": ("x.nrrd", lambda s: _nrrd("data file: LOCAL", f"data file: {s}")),
    "nrrd, in front": ("x.nrrd", lambda s: b"NRRD0004\ndata file: " + s.encode() + b"\n" + _nrrd()[9:]),
    "nrrd, detached without blank line": ("x.nrrd", lambda s: _nrrd(f"data file: {s}", end="", payload=b"")),
    "nrrd, header without end": ("x.nrrd", lambda s: _nrrd(end="", payload=b"")),
    "nrrd, skips into what follows": ("x.nrrd", lambda s: _nrrd("byte skip: 4096")),
    "nrrd, skips backwards": ("x.nrrd", lambda s: _nrrd("byte skip: -5")),
    "nrrd, unknown field": ("x.nrrd", lambda s: _nrrd(f"data  files: {s}")),
    "nrrd, field twice": ("x.nrrd", lambda s: _nrrd("sizes: 5 5 5")),
    "nrrd, named .nii": ("x.nii", lambda s: _nrrd(f"data file: {s}")),
    "nrrd, named .mha": ("x.mha", lambda s: _nrrd(f"data file: {s}")),
    "nhdr": ("x.nhdr", lambda s: _nrrd(f"data file: {s}")),
    "mha, plain": ("x.mha", lambda s: _mha(f"ElementDataFile = {s}")),
    "mha, behind 3 MB of comments": ("x.mha", lambda s: _mha("Comment = " + "x" * 3_000_000, f"ElementDataFile = {s}")),
    "mha, other case": ("x.mha", lambda s: _mha(f"elementdatafile = {s}")),
    "mha, LIST": ("x.mha", lambda s: _mha(f"ElementDataFile = LIST\n{s}")),
    "mha, LIST 2D": ("x.mha", lambda s: _mha(f"ElementDataFile = LIST 2D\n{s}")),
    "mha, pattern": ("x.mha", lambda s: _mha(f"ElementDataFile = {s}%d 1 1 1")),
    "mha, LOCAL in a name": ("x.mha", lambda s: _mha(f"ElementDataFile = LOCAL{s}")),
    "mha, blank in front": ("x.mha", lambda s: _mha(f"  ElementDataFile   =   {s}")),
    "mha, repeated key": ("x.mha", lambda s: _mha("DimSize = 2 2 2", "ElementDataFile = LOCAL")),
    "mha, two names": ("x.mha", lambda s: _mha("Offset = 0 0 0", "Origin = 1 1 1", "ElementDataFile = LOCAL")),
    "mha, header size": ("x.mha", lambda s: _mha("HeaderSize = 9", "ElementDataFile = LOCAL")),
    "nrrd, sizes with two signs": ("x.nrrd", lambda s: _nrrd().replace(b"sizes: 4", b"sizes: --4")),
    "nrrd, a size in other digits": ("x.nrrd", lambda s: _nrrd().replace(b"sizes: 4", b"sizes: \xb2")),
    "nrrd, a number with underscores": ("x.nrrd", lambda s: _nrrd().replace(b"(1,0,0)", b"(1_0,0,0)")),
    "nrrd, a comma for a spacing": ("x.nrrd", lambda s: _spacings("1 , 1")),
    "nrrd, two numbers for a spacing": ("x.nrrd", lambda s: _spacings("1 1,1 1")),
    "nrrd, a spacing too many": ("x.nrrd", lambda s: _spacings("1 1 1 1")),
    "mha, sizes with two signs": ("x.mha", lambda s: _mha("ElementDataFile = LOCAL").replace(b"= 4 4", b"= +-4 4")),
    "mha, header without end": ("x.mha", lambda s: _mha(payload=b"")),
    "mha, named .nrrd": ("x.nrrd", lambda s: _mha(f"ElementDataFile = {s}")),
    "mhd": ("x.mhd", lambda s: _mha(f"ElementDataFile = {s}")),
    "nifti, half of a pair": ("x.nii", lambda s: _nifti(0.0, b"ni1\0")),
    "nifti, half of a pair, packed": ("x.nii.gz", lambda s: gzip.compress(_nifti(0.0, b"ni1\0"))),
    "analyze": ("x.nii", lambda s: _nifti(0.0, b"\0\0\0\0")),
    "nifti, voxels inside the header": ("x.nii", lambda s: _nifti(8.0)),
    "nifti, voxels before the file": ("x.nii", lambda s: _nifti(-64.0)),
    "nifti, voxels behind the file": ("x.nii", lambda s: _nifti(4096.0)),
    "nifti, voxels nowhere": ("x.nii", lambda s: _nifti(float("nan"))),
    "nifti, voxels at infinity": ("x.nii.gz", lambda s: gzip.compress(_nifti(float("inf")))),
    "nifti, voxels far behind": ("x.nii.gz", lambda s: gzip.compress(_nifti(1e15))),
    "hdr": ("x.hdr", lambda s: _nifti(0.0, b"ni1\0")),
    "vtk": ("x.vtk", lambda s: b"# vtk DataFile Version 3.0\n"),
    "gipl": ("x.gipl", lambda s: OWN * 8),
    "xml that names a file": ("x.nrrd", lambda s: f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{s}">]>'.encode()),
}


def _secret(folder: Path) -> Path:
    path = folder / "secret.raw"
    path.write_bytes(SECRET)
    (folder / "secret.raw1").write_bytes(SECRET)
    return path


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_header_that_points_elsewhere_or_has_no_end_is_refused(tmp_path: Path, kind: str) -> None:
    name, build = HOSTILE[kind]
    path = tmp_path / name
    path.write_bytes(build(str(_secret(tmp_path))))
    for read in (lambda: open_scan([path], "MR"), lambda: read_volume(path, "MR"), lambda: read_label_map(path)):
        with pytest.raises(InputError) as caught:
            read()
        message = str(caught.value)
        assert "xpected" in message
        assert len(message) < 400
        assert "root:x" not in message
        assert str(tmp_path) not in message


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.nrrd", _nrrd()),
        ("x.nrrd", _nrrd("encoding: gzip", payload=gzip.compress(OWN))),
        ("x.nrrd", _nrrd("byte skip: -1")),
        ("x.nrrd", _nrrd(end="\r\n")),
        ("x.nrrd", _nrrd(*PAD, "content: x")),
        ("x.nrrd", _nrrd("Segment0_ID:=Segment_1", "kinds: domain domain domain")),
        ("x.mha", _mha("ElementDataFile = LOCAL")),
        ("x.mha", _mha("Some Scanner Key = 3", "ElementDataFile = Local")),
        ("x.nii", _nifti()),
        ("x.nii", _nifti(0.0)),
        ("x.nii", _nifti(368.0, payload=b"\0" * 16 + OWN)),
        ("x.nii.gz", gzip.compress(_nifti())),
    ],
)
def test_a_file_that_holds_its_voxels_is_read(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    array = read_volume(tmp_path / name, "MR").array
    np.testing.assert_array_equal(array, np.frombuffer(OWN, np.uint8).reshape(SHAPE, order="F"))


@pytest.mark.parametrize("kind", ["nrrd", "mha"])
@pytest.mark.parametrize("count", [1500, 600_000])
def test_a_header_takes_little_more_memory_than_the_file_has_bytes_before_its_size_is_checked(
    tmp_path: Path, kind: str, count: int
) -> None:
    path = tmp_path / f"x.{kind}"
    path.write_bytes(_axes(kind, count))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="at most 10 axes"):
            read_volume(path, "MR")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2**20 + 16 * path.stat().st_size


def _packed(kind: str, shape: tuple[int, int, int], voxels: bytes, level: int) -> bytes:
    """An image of packed voxels, the last bytes of which are their checksum."""
    size = " ".join(map(str, shape))
    if kind == "nii.gz":
        array = np.frombuffer(voxels, np.uint8).reshape(shape, order="F")
        return gzip.compress(nib.Nifti1Image(array, np.eye(4)).to_bytes(), level)
    pack = zlib.compress if kind == "mha, zlib" else gzip.compress
    if kind == "nrrd":
        head = _nrrd("encoding: gzip", payload=b"").replace(b"sizes: 4 4 4", f"sizes: {size}".encode())
    else:
        head = _mha("CompressedData = True", "ElementDataFile = LOCAL", payload=b"")
        head = head.replace(b"DimSize = 4 4 4", f"DimSize = {size}".encode())
    return head + pack(voxels, level)


@pytest.mark.parametrize(("kind", "tail"), [("mha, zlib", 4), ("mha, gzip", 8), ("nrrd", 8), ("nii.gz", 8)])
@pytest.mark.parametrize("shape", [(8, 8, 8), *((64, 64, n) for n in (15, 16, 17, 32))], ids=str)
@pytest.mark.parametrize("level", [0, 6])
def test_packed_voxels_with_another_checksum_are_damaged(tmp_path: Path, kind: str, tail: int, shape, level) -> None:
    """The checksum may stand in the same 64 kB, which are read at once, as the last voxels, or in the next."""
    voxels = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8).tobytes()
    raw, path = _packed(kind, shape, voxels, level), tmp_path / f"x.{kind.split(',')[0]}"
    path.write_bytes(raw)
    assert read_volume(path, "MR").array.astype(np.uint8).tobytes("F") == voxels
    for damaged in (raw[:-tail] + bytes([raw[-tail] ^ 1]) + raw[len(raw) - tail + 1 :], raw[:-1], raw[:-tail]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="truncated or damaged"):
            read_volume(path, "MR")


def test_another_file_behind_a_link_or_a_device_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "x.nii").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="an ordinary file"):
        read_volume(tmp_path / "x.nii", "MR")


_pieces = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "data file: {s}",
                "datafile: {s}",
                "data file:={s}",
                "DATA FILE: LIST",
                "{s}",
                "ElementDataFile = {s}",
                "ElementDataFile = LOCAL",
                "#",
                "",
                "byte skip: -1",
                "line skip: 1",
                "encoding: raw",
                "encoding: hex",
                "detached header: {s}",
                "key:=value",
                "\x00",
                "data\x00file: {s}",
                "data file\t: {s}",
                "data_file: {s}",
            ]
        ),
        st.integers(0, 70_000).map(lambda n: "#" * n),
        st.text(st.characters(max_codepoint=255), max_size=30),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(pieces=_pieces, at=st.integers(0, 12), suffix=st.sampled_from([".nrrd", ".mha"]), end=st.sampled_from("\n\r"))
def test_however_a_header_is_padded_only_own_bytes_become_voxels(
    pieces: list[str], at: int, suffix: str, end: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        secret = _secret(Path(folder))
        head = _nrrd() if suffix == ".nrrd" else _mha("ElementDataFile = LOCAL")
        lines = head[:-64].decode().split("\n")
        lines[at:at] = [piece.replace("{s}", str(secret)) for piece in pieces]
        path = Path(folder) / f"x{suffix}"
        data = end.join(lines).encode("latin-1") + OWN
        path.write_bytes(data)
        try:
            array = read_volume(path, "MR").array
        except InputError:
            return
        assert array.astype(np.uint8).tobytes(order="F") in data
        assert b"root" not in array.astype(np.uint8).tobytes(order="F")


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from([np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64]),
    suffix=st.sampled_from([".nrrd", ".mha"]),
    packed=st.booleans(),
    flip=st.permutations([0, 1, 2]),
    origin=st.tuples(*[st.floats(-300, 300).map(lambda x: round(x, 3))] * 3),
)
def test_what_itk_writes_is_read_as_itk_reads_it(
    dtype: type, suffix: str, packed: bool, flip: list[int], origin
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.diag([1.5, 2.0, 3.25])[:, flip]
    affine[:3, 3] = origin
    array: np.ndarray = (np.random.default_rng(1).uniform(0, 100, (3, 4, 5))).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        sitk.WriteImage(to_sitk(array, Grid((3, 4, 5), affine)), str(path), useCompression=packed)
        image = sitk.ReadImage(str(path), sitk.sitkFloat32)
        volume = read_volume(path, "MR")
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image).transpose(2, 1, 0))
    np.testing.assert_allclose(volume.grid.affine[:3, 3] * [-1, -1, 1], image.GetOrigin(), atol=1e-9)
    np.testing.assert_allclose(volume.grid.affine, affine, atol=1e-9)


@pytest.mark.parametrize(
    ("space", "signs"),
    [("right-anterior-superior", (1, 1, 1)), ("LAS", (-1, 1, 1)), ("left-posterior-superior", (-1, -1, 1))],
)
def test_spaces_of_nrrd_are_turned_to_ras_and_others_are_said_to_be_unknown(tmp_path: Path, space, signs) -> None:
    text = _nrrd().replace(b"left-posterior-superior", space.encode()).replace(b"origin: (0,0,0)", b"origin: (1,2,3)")
    (tmp_path / "x.nrrd").write_bytes(text)
    volume, metadata = open_scan([tmp_path / "x.nrrd"], "MR")
    np.testing.assert_array_equal(volume.grid.affine[:3, 3], np.array(signs) * (1, 2, 3))
    assert metadata["warnings"] == []
    (tmp_path / "x.nrrd").write_bytes(text.replace(f"space: {space}".encode(), b"space dimension: 3"))
    assert "left and right are assumed" in open_scan([tmp_path / "x.nrrd"], "MR")[1]["warnings"][0]


def test_nrrd_in_other_units_is_turned_to_millimetres_or_refused(tmp_path: Path) -> None:
    (tmp_path / "x.nrrd").write_bytes(_nrrd('space units: "cm" "cm" "cm"'))
    volume, metadata = open_scan([tmp_path / "x.nrrd"], "MR")
    assert volume.grid.spacing_mm == (10.0, 10.0, 10.0)
    assert "not in millimetres" in metadata["warnings"][0]
    (tmp_path / "x.nrrd").write_bytes(_nrrd('space units: "inch" "inch" "inch"'))
    with pytest.raises(InputError, match="other units"):
        open_scan([tmp_path / "x.nrrd"], "MR")


# ---------------------------------------------------------------- DICOM


def _dicomdir(folder: Path, name: str, secret: Path) -> Path:
    """A directory that names the secret, and says that it is an image as well."""
    ds = pydicom.dcmread(write_series(folder / "made")[0])
    ds.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.1.3.10")
    record = Dataset()
    record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", str(secret).upper().split("/")[1:]
    ds.DirectoryRecordSequence = [record]
    ds.save_as(folder / name)
    for made in (folder / "made").iterdir():
        made.unlink()
    (folder / "made").rmdir()
    return folder / name


@pytest.mark.parametrize("name", ["DICOMDIR", "IM1.dcm"])
def test_a_dicomdir_is_passed_over_whatever_its_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    _dicomdir(folder, name, _secret(tmp_path))
    with pytest.raises(InputError, match="none is DICOM"):
        open_scan([folder], "CT")
    write_series(folder)
    assert open_scan([folder], "CT")[0].grid.shape == (5, 6, 4)


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.100", "1.2.3.4"],
)
def test_dicom_with_voxels_at_an_address_or_as_film_is_refused(tmp_path: Path, syntax: str) -> None:
    for path in write_series(tmp_path):
        ds = pydicom.dcmread(path)
        ds[0x00287FE0] = pydicom.DataElement(0x00287FE0, "UR", "file:///etc/passwd")
        ds.file_meta.TransferSyntaxUID = UID(syntax)
        ds.PixelData = pydicom.encaps.encapsulate([b"\0" * 60])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        pydicom.dcmwrite(path, ds, enforce_file_format=True, implicit_vr=False, little_endian=True)
    with pytest.raises(InputError, match="not supported"):
        open_scan([tmp_path], "CT")


def _deflated(path: Path, behind: bytes) -> None:
    """The meta information of a file, and `behind` packed after it."""
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1.99")
    only = pydicom.FileDataset(path, Dataset(), preamble=b"\0" * 128, file_meta=ds.file_meta)
    only.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=True)
    head = path.read_bytes()
    length = struct.unpack("<I", head[140:144])[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    path.write_bytes(head[: 144 + length] + packer.compress(behind) + packer.flush())


@pytest.mark.parametrize("tag", [b"\x08\x00\x05\x00", b"\xe0\x7f\x10\x00"])
def test_a_deflated_file_is_expanded_no_further_than_an_image_is_large(tmp_path: Path, tag: bytes) -> None:
    path = write_series(tmp_path)[0]
    _deflated(path, tag + b"OB\0\0" + struct.pack("<I", 2**31 - 2) + bytes(2**28))
    tracemalloc.start()
    with pytest.raises(InputError):
        open_scan([path], "CT")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


@shows("DICOM: how voxels are stored", "PixelData shorter than rows x columns x frames", "refused", "with the file")
@pytest.mark.parametrize("cut", [2, 40])
def test_voxels_that_the_file_does_not_hold_are_never_taken_from_memory(tmp_path: Path, cut: int) -> None:
    path = write_series(tmp_path)[2]
    ds = pydicom.dcmread(path)
    ds.PixelData = ds.PixelData[:-cut]
    ds.save_as(path)
    with pytest.raises(InputError, match=rf"expected 60 bytes of voxels.*{path.name} holds {60 - cut}"):
        open_scan([tmp_path], "CT")


_BITS_16 = b"\x28\x00\x00\x01US\x02\x00\x10\x00"


def _other_bits(first: int | None, last: int | None, after: int | None, cut: int) -> Callable[[bytes], bytes]:
    """A file whose bits of a voxel (16) are told once or twice before its voxels, and perhaps again after them; of its
    60 bytes of voxels `cut` are left out."""

    def told(bits: int | None) -> bytes:
        return b"" if bits is None else _BITS_16[:8] + struct.pack("<H", bits)

    def change(raw: bytes) -> bytes:
        head, _, rest = raw.partition(_BITS_16)
        before, tag, pixels = rest.partition(b"\xe0\x7f\x10\x00OW\0\0")
        assert len(pixels) == 64
        voxels = pixels[4 : 64 - cut]
        return head + told(first) + told(last) + before + tag + struct.pack("<I", len(voxels)) + voxels + told(after)

    return change


@pytest.mark.parametrize(
    ("first", "last", "after", "cut"),
    [
        (16, 8, None, 30),
        (32, 16, None, 0),
        (8, 16, None, 0),
        (16, 16, None, 0),
        (32, None, 16, 0),
        (None, None, 32, 0),
        (None, None, 16, 0),
        (None, None, None, 0),
        (24, None, None, 0),
        (64, None, None, 0),
        (1, None, None, 0),
        (12, None, None, 0),
        (0, None, None, 0),
    ],
)
def test_bits_that_are_told_twice_or_after_the_voxels_never_make_voxels_of_memory(
    tmp_path: Path, first: int | None, last: int | None, after: int | None, cut: int
) -> None:
    for path in write_series(tmp_path):
        path.write_bytes(_other_bits(first, last, after, cut)(path.read_bytes()))
    with pytest.raises(InputError, match="damaged"):
        open_scan([tmp_path], "CT")


def test_a_file_whose_tags_do_not_ascend_is_refused(tmp_path: Path) -> None:
    size = b"\x28\x00\x11\x00US\x02\x00\x05\x00"
    for path in write_series(tmp_path):
        raw = path.read_bytes()
        assert raw.count(size) == 1
        path.write_bytes(raw.replace(_BITS_16, _BITS_16 + size).replace(size, b"", 1))
    with pytest.raises(InputError, match="is damaged"):
        open_scan([tmp_path], "CT")


def test_a_series_without_voxels_is_refused(tmp_path: Path) -> None:
    def strip(ds: Dataset, n: int) -> None:
        del ds.PixelData

    write_series(tmp_path, edit=strip)
    with pytest.raises(InputError, match="is damaged"):
        open_scan([tmp_path], "CT")


@shows("DICOM: files and series", "a malformed number in a header", "refused", "with the field")
def test_a_number_of_frames_that_is_none_is_named(tmp_path: Path) -> None:
    for path in write_series(tmp_path):
        path.write_bytes(
            path.read_bytes().replace(b"\x28\x00\x10\x00US", b"\x28\x00\x08\x00IS\x02\x001A\x28\x00\x10\x00US", 1)
        )
    with pytest.raises(InputError, match="whole number in NumberOfFrames"):
        open_scan([tmp_path], "CT")


def test_a_link_out_of_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("x.nii")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, str(_secret(tmp_path)))
    with pytest.raises(InputError, match="leads out of the zip"):
        open_scan([tmp_path / "x.zip"], "MR", scratch=tmp_path)
