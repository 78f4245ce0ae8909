"""Headers and voxels at random: read as they say, the same twice, or refused with a sentence; nothing else."""

from __future__ import annotations

import importlib.util
import math
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import TwinReviewError
from core.imaging.dicom import read_series
from core.imaging.open_scan import open_scan
from tests.dicom_phantom import write_series
from tests.fuzz.__main__ import Fuzz, files_of
from tests.fuzz.kinds import Kind, make_kinds
from tests.fuzz.oracle import READ, REFUSED, outcome

HOME = Path(__file__).resolve().parents[3]
NAMES = (
    *("nii", "nii2", "nii.gz", "nrrd", "nrrd gzip", "mha", "mha zlib", "ct", "pet", "implicit", "rle", "jpeg-ls"),
    *(
        "jpeg 2000",
        "enhanced",
        "zip",
        "zip nii",
        "survey",
        "survey zip",
        "mask nii",
        "mask seg.nrrd",
        "rtstruct",
        "seg",
    ),
    *("seg labelmap", "describe rtstruct"),
)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    return make_kinds(tmp_path_factory.mktemp("kinds"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and a limit of voxels that a test can afford."""
    monkeypatch.setenv("TWIN_MAX_IMPORT_GB", "0.05")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_the_names_here_are_those_of_the_kinds(kinds: dict[str, Kind]) -> None:
    assert set(NAMES) == set(kinds)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_each_kind_is_read_as_it_is(kinds: dict[str, Kind], home: Path, name: str) -> None:
    assert outcome(kinds[name], kinds[name].files, home) == READ


def test_unwritten_memory_is_noticed(kinds: dict[str, Kind], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unwritten(path: Path) -> object:
        image = read_image(path)
        image.array[0] = np.empty(image.array.shape, np.float32)[0]
        return image

    from core.imaging import open_scan as module

    read_image = module.read_image
    monkeypatch.setattr(module, "read_image", unwritten)
    assert outcome(kinds["nii"], kinds["nii"].files, home) not in (READ, REFUSED)


@settings(max_examples=60)
@given(st.sampled_from(NAMES), st.integers(0, 2**31))
def test_files_changed_at_random(tmp_path_factory: pytest.TempPathFactory, name: str, seed: int) -> None:
    if not _KINDS:
        _KINDS.update(make_kinds(tmp_path_factory.mktemp("kinds")))
    kind, home = _KINDS[name], tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_MAX_IMPORT_GB", "0.05")
        assert outcome(kind, files_of(kind, name, seed, 0), home) in (READ, REFUSED)


#: Made once: hypothesis calls the test again and again.
_KINDS: dict[str, Kind] = {}
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
_numbers = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, math.nan, math.inf, 1e-30, 1e30])


@settings(max_examples=80)
@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=5),
    kind=st.sampled_from(sorted(_TYPES)) | st.integers(0, 2000),
    slope=_numbers,
    inter=_numbers,
    offset=st.sampled_from([0.0, 352.0, 348.0, 368.0, 1e9, -1.0, math.nan]),
    codes=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    seed=st.integers(0, 99),
)
def test_a_nifti_header_is_what_is_read_or_refused(tmp_path_factory, shape, kind, slope, inter, offset, codes, seed):
    dtype = np.dtype(_TYPES.get(kind, "u1"))
    rng = np.random.default_rng(seed)
    voxels = rng.integers(0, 100, int(np.prod(shape))).astype(dtype)
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(shape), *(shape + [1] * 7)[:7])
    struct.pack_into("<hh", header, 70, kind, dtype.itemsize * 8)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<fff", header, 108, offset, slope, inter)
    struct.pack_into("<hh", header, 252, *codes)
    struct.pack_into("<12f", header, 280, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    header[344:348] = b"n+1\0"
    path = tmp_path_factory.getbasetemp() / "header.nii"
    path.write_bytes(bytes(header) + voxels.tobytes())
    try:
        volume, _ = open_scan([path], "MR")
    except TwinReviewError:
        return
    assert list(volume.grid.shape) == [*shape, 1, 1][:3]
    scaled = voxels.astype(np.float64)
    if slope != 0 and math.isfinite(slope):
        scaled = scaled * slope + (inter if math.isfinite(inter) else 0.0)
    assert np.allclose(volume.array.ravel(order="F"), scaled.astype(np.float32), rtol=1e-5, equal_nan=False)


@settings(max_examples=40)
@given(
    rows=st.integers(0, 9),
    columns=st.integers(0, 9),
    bits=st.sampled_from([1, 8, 12, 16, 32]),
    stored=st.integers(0, 33),
    signed=st.integers(0, 2),
    slope=st.sampled_from(["1", "0", "-2", "0.5", "nan", "1e40", "x", ""]),
    missing=st.integers(-4, 4),
)
@example(rows=4, columns=4, bits=8, stored=8, signed=0, slope="1", missing=-1)
def test_a_slice_is_what_its_header_says_or_refused(
    tmp_path_factory, rows, columns, bits, stored, signed, slope, missing
) -> None:
    folder = tmp_path_factory.mktemp("slices")

    def edit(ds, n: int) -> None:
        ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = (
            rows,
            columns,
            bits,
            stored,
            max(0, stored - 1),
        )
        ds.PixelRepresentation = signed
        ds.add_new(0x00281053, "LO", slope)  # as a DS it would not be written
        held = max(0, rows * columns * max(1, bits // 8) + missing)
        ds.PixelData = bytes(range(256)) * 2 if held > 512 else bytes((7 * k + n) % 100 for k in range(held))

    try:
        write_series(folder, edit=edit)
    except (ValueError, AttributeError):
        return  # pydicom writes no such file
    try:
        volume, _ = read_series(folder, "CT")
    except TwinReviewError:
        return
    assert volume.grid.shape == (columns, rows, 4)
    held = rows * columns * (bits // 8) + missing
    assert missing >= 0 or held % 2, "DICOM pads to an even length: of odd bytes one more is there, and cannot be told"
    assert missing >= -1
    assert np.isfinite(volume.array).all()


@pytest.mark.soak
def test_an_hour_of_files_changed_at_random(kinds: dict[str, Kind]) -> None:
    fuzz = Fuzz(kinds, seed=int.from_bytes(HOME.as_posix().encode()[-4:]))
    fuzz.run(3600)
    assert fuzz.faults == []


@pytest.mark.soak
def test_ten_minutes_led_by_what_code_was_reached() -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: .venv/bin/pip install 'atheris>=3'")
    done = subprocess.run([sys.executable, "-m", "tests.fuzz.guided", "--minutes", "10"], cwd=HOME, check=False)
    assert done.returncode == 0
