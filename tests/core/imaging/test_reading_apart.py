"""Imports are read in a process of their own: what a file does to memory, time or libraries happens there."""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import psutil
import pydicom
import pytest

from core.errors import GeometryError, InputError
from core.imaging import reading_apart
from core.imaging.orienting import canonical
from core.imaging.volumes import read_volume
from core.jobs.pipeline import import_mask, import_scan
from store import Store, open_store
from tests.dicom_phantom import write_series

HOME = Path(__file__).resolve().parents[3]
DAY = "2024-03-05"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "data") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _nothing_in_the_systems_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither of this process nor of its readers, which begin anew to know of that folder."""
    folder = tmp_path / "system-tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    reading_apart._READERS.end()
    yield
    for reader in _readers():
        assert f"TMPDIR={folder}" in _environment(reader)
    reading_apart._READERS.end()
    assert list(folder.iterdir()) == []


def _readers() -> list[psutil.Process]:
    """Those that run."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # it has ended, and nobody has asked yet how
            if reading_apart._WORKER in process.cmdline():
                found.append(process)
    return found


def _environment(process: psutil.Process) -> list[str]:
    return Path(f"/proc/{process.pid}/environ").read_text().split("\0")


def _image(path: Path, shape: tuple[int, int, int] = (6, 7, 8), dtype: type = np.float32) -> Path:
    array: np.ndarray = (np.random.default_rng(3).normal(size=shape) * 50).astype(dtype)
    nib.Nifti1Image(array, np.diag([1.0, 2.0, 3.0, 1.0])).to_filename(path)
    return path


def _import(store: Store, *files: Path, modality: Any = "MR", **details):
    values = {"dataset": "d", "patient_id": "P1", "timepoint": DAY, "person": "demo", **details}
    return import_scan(store, list(files), modality=modality, **values)


def _nothing_left(store: Store) -> None:
    incoming = store.root / "incoming"
    assert not incoming.is_dir() or list(incoming.iterdir()) == []
    assert store.patients.all() == []


def _bomb(path: Path, shape: tuple[int, int, int]) -> Path:
    """A small nii.gz that truly holds as many zeros as it declares."""
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    header["magic"], header["vox_offset"] = b"n+1", 352
    zeros = gzip.compress(bytes(2 * shape[0] * shape[1] * (shape[2] // 10)))
    path.write_bytes(gzip.compress(header.binaryblock + b"\0" * 4) + zeros * 10)  # one gzip after the other is one
    return path


def _gb_of_this_process() -> float:
    return psutil.Process().memory_info().rss / 2**30


def test_a_scan_arrives_as_it_would_be_read_here(store: Store, tmp_path: Path) -> None:
    path = _image(tmp_path / "x.nii.gz")
    scan = _import(store, path)
    here = canonical(read_volume(path, "CT"))
    np.testing.assert_array_equal(store.scans.load(scan).array, here.array)
    assert scan.metadata == {"format": "NIfTI", "warnings": [], "file_orientation": "RAS"}
    assert not list((store.root / "incoming").iterdir())


def test_a_zipped_series_is_unpacked_in_the_store_s_own_scratch(store: Store, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in write_series(tmp_path / "series"):
            archive.write(path, f"DOE_JANE/{path.name}")
    scan = _import(store, tmp_path / "x.zip", modality="CT")
    assert scan.shape == (5, 6, 4)
    assert not list((store.root / "incoming").iterdir())


@pytest.mark.parametrize("do", ["scan", "mask"])
def test_what_declares_more_than_the_setting_allows_is_refused(store: Store, tmp_path: Path, monkeypatch, do) -> None:
    monkeypatch.setenv("TWIN_MAX_IMPORT_GB", "0.001")
    path = _bomb(tmp_path / "x.nii.gz", (100, 100, 100))
    read = (lambda: reading_apart.read_mask(path, tmp_path)) if do == "mask" else (lambda: _import(store, path))
    with pytest.raises(InputError, match=r"at most 0.001 GB of voxels, the header claims 0.003725 GB"):
        read()
    _nothing_left(store)


def test_a_series_of_slices_is_measured_against_the_setting_too(store: Store, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TWIN_MAX_IMPORT_GB", "0.0000001")
    write_series(tmp_path / "series")
    with pytest.raises(InputError, match="GB of voxels"):
        _import(store, tmp_path / "series", modality="CT")
    _nothing_left(store)


def test_a_small_file_that_expands_to_much_takes_no_memory_of_this_process(store: Store, tmp_path: Path) -> None:
    path = _bomb(tmp_path / "x.nii.gz", (512, 512, 300))
    assert path.stat().st_size < 500_000
    before, most, done = _gb_of_this_process(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], _gb_of_this_process())

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(InputError, match="all 0"):
        _import(store, path)
    done.set()
    watcher.join()
    assert most[0] - before < 0.1  # 0.6 GB here, when it was read in this process
    _nothing_left(store)


def test_a_header_that_says_little_gets_little_however_much_follows(store: Store, tmp_path: Path) -> None:
    raw = gzip.decompress(_image(tmp_path / "small.nii.gz").read_bytes())
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(raw) + gzip.compress(bytes(2**24)) * 200)  # 3 GB
    assert _import(store, tmp_path / "x.nii.gz").shape == (6, 7, 8)


def test_a_reader_that_needs_more_memory_than_it_may_take_is_a_sentence(store: Store, tmp_path: Path, monkeypatch):
    path = write_series(tmp_path / "series")[0]
    ds = pydicom.dcmread(path)
    ds.add_new(0x00280120, "OB", b"")
    ds.save_as(path)
    raw = path.read_bytes()
    at = raw.index(b"\x28\x00\x20\x01OB\0\0") + 8
    # padding of 1 GB, which the disk holds as nothing
    with path.open("wb") as sink:
        sink.write(raw[:at] + (2**30).to_bytes(4, "little"))
        sink.seek(2**30, 1)
        sink.write(raw[at + 4 :])
    monkeypatch.setenv("TWIN_MAX_IMPORT_GB", "0.001")
    with pytest.raises(InputError, match="fits into memory"):
        _import(store, tmp_path / "series", modality="CT")
    _nothing_left(store)
    monkeypatch.setenv("TWIN_MAX_IMPORT_GB", "1")  # 4 GB: it was the memory alone
    assert _import(store, tmp_path / "series", modality="CT").shape == (5, 6, 4)


def test_a_reader_that_takes_too_long_is_a_sentence(store: Store, tmp_path: Path, monkeypatch) -> None:
    path = _bomb(tmp_path / "x.nii.gz", (512, 512, 300))
    monkeypatch.setenv("TWIN_IMPORT_SECONDS", "0.05")
    with pytest.raises(InputError, match=r"within 0.05 s.*TWIN_IMPORT_SECONDS"):
        _import(store, path)
    monkeypatch.delenv("TWIN_IMPORT_SECONDS")
    _nothing_left(store)
    assert _import(store, _image(tmp_path / "good.nii.gz")).scan_id == "MR"


def _wait_for(find, seconds: float = 60.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = find()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("it did not come")


@pytest.mark.parametrize("victim", ["the child that reads", "the process that waits"])
def test_a_killed_reader_is_a_sentence_for_one_person(store: Store, tmp_path: Path, victim: str) -> None:
    slow = _bomb(tmp_path / "slow.nii.gz", (512, 512, 300))
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _import(store, slow)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    child = _wait_for(lambda: [c for reader in _readers() for c in reader.children()])[0]
    parent = child.parent()
    (child if victim == "the child that reads" else parent).kill()
    other = _import(store, _image(tmp_path / "good.nii.gz"), patient_id="P2")
    thread.join()
    assert [type(error) for error in failures] == [InputError]
    assert "ended its reader" in str(failures[0])
    assert other.patient_id == "P2"
    _wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert [p.patient_id for p in store.patients.all()] == ["P2"]
    assert not list((store.root / "incoming").iterdir())


def test_refusals_keep_their_kind_and_their_words(store: Store, tmp_path: Path) -> None:
    nib.Nifti1Image(np.ones((3, 3, 3), np.uint8), np.diag([2, 2, 300, 1])).to_filename(tmp_path / "x.nii.gz")
    with pytest.raises(GeometryError, match="got 2 x 2 x 300 mm"):
        _import(store, tmp_path / "x.nii.gz")
    with pytest.raises(InputError, match="got none"):
        _import(store)
    _nothing_left(store)


def test_the_reader_sees_no_key_of_this_process(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TWIN_SECRET", "do-not-tell-anybody-this")
    monkeypatch.setenv("TWIN_AUDIT_KEY", "do-not-tell-anybody-this")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    reading_apart.read_scan([_image(tmp_path / "x.nii.gz")], "MR", "", scratch)
    seen = [_environment(reader) for reader in _readers()]
    assert len(seen) == 1
    assert not [one for one in seen[0] if "do-not-tell-anybody-this" in one or one.startswith("TWIN_")]


#: Runs as the reader's module; what stands in for a line differs from test to test.
_STAND_IN = """
import atexit, os, sys, time
from pathlib import Path
from core.imaging import reader_process
{line}
if __name__ == "__main__":
    reader_process.main()
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """stand_in(line): from now on, readers run that line before they begin."""

    def put(line: str) -> None:
        (tmp_path / "modules").mkdir()
        (tmp_path / "modules" / "reader_stand_in.py").write_text(_STAND_IN.format(line=line))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
        monkeypatch.setattr(reading_apart, "_WORKER", "reader_stand_in")

    return put


@pytest.mark.parametrize(("status", "read"), [(0, True), (1, False)])
def test_a_reader_that_goes_to_rest_while_it_is_asked_is_replaced_and_one_that_fails_is_not(
    store: Store, tmp_path: Path, stand_in: Any, status: int, read: bool
) -> None:
    asked = tmp_path / "asked"
    stand_in(
        f"if not Path({str(asked)!r}).exists(): sys.stdin.readline(); Path({str(asked)!r}).touch(); os._exit({status})"
    )
    path = _image(tmp_path / "x.nii.gz")
    if read:
        assert _import(store, path).shape == (6, 7, 8)
    else:
        with pytest.raises(InputError, match="ended its reader"):
            _import(store, path)
    assert asked.exists()


def test_a_reader_that_rests_is_gone_at_once(store: Store, tmp_path: Path, stand_in: Any) -> None:
    stand_in("reader_process.IDLE_S = 0.2; atexit.register(time.sleep, 30)")
    for n in range(3):
        _import(store, _image(tmp_path / f"{n}.nii.gz", (6, 7, 8 + n)), patient_id=f"P{n}")
        _wait_for(lambda: not _readers(), 10.0)


def test_what_a_decoder_writes_down_lies_where_it_is_taken_away(store: Store, tmp_path: Path, stand_in: Any) -> None:
    told = tmp_path / "told"
    stand_in(
        "import tempfile; read = reader_process.read_one; reader_process.read_one = lambda request: "
        f"(Path({str(told)!r}).write_text(tempfile.gettempdir() + ' ' + request['scratch']), read(request))[1]"
    )
    _import(store, _image(tmp_path / "x.nii.gz"))
    temporary, scratch = told.read_text().split()
    assert temporary == scratch
    assert not Path(scratch).exists()


@pytest.mark.parametrize("megabytes", [17, 60])
def test_an_answer_that_is_too_long_is_a_sentence_and_the_reader_stays(
    store: Store, tmp_path: Path, stand_in: Any, megabytes: int
) -> None:
    stand_in(f"reader_process.read_one = lambda request: {{'metadata': 'x' * {megabytes}_000_000}}")
    for _ in range(2):
        with pytest.raises(InputError, match="damaged in an unexpected way"):
            _import(store, _image(tmp_path / "x.nii.gz"))
    assert len(_readers()) == 1
    _nothing_left(store)


@pytest.mark.parametrize("answer", ["b'{'", "b'[1]' + b'\\n'", "b'[' * 10**6 + b'\\n'", "b'y' * 10**8", "b''"])
def test_a_child_that_a_file_has_taken_over_says_nothing_that_ends_the_reader(
    store: Store, tmp_path: Path, stand_in: Any, answer: str
) -> None:
    stand_in(f"reader_process._child = lambda request, pipe: (os.write(pipe, {answer}), os._exit(0))")
    for _ in range(2):
        with pytest.raises(InputError, match="ended its reader"):
            _import(store, _image(tmp_path / "x.nii.gz"))
    assert len(_readers()) == 1
    _nothing_left(store)


def test_a_text_of_a_header_may_be_longer_than_any_answer(store: Store, tmp_path: Path) -> None:
    def long(ds: pydicom.Dataset, n: int) -> None:
        ds.add_new(0x00080070, "UT", "x" * 1_500_000)  # Manufacturer
        ds.add_new(0x00180015, "UT", "THIGH\\" * 300_000)  # BodyPartExamined

    write_series(tmp_path / "series", edit=long)
    scan = _import(store, tmp_path / "series", modality="CT")
    assert {"manufacturer", "body_part"} <= set(scan.metadata["not_kept"])


def test_a_mask_arrives_and_a_broken_one_leaves_nothing(store: Store, tmp_path: Path) -> None:
    scan = _import(store, _image(tmp_path / "x.nii.gz"))
    labels = np.zeros(scan.shape, np.uint8)
    labels[2:4, 2:4, 2:4] = 1
    nib.Nifti1Image(labels, np.diag([1.0, 2.0, 3.0, 1.0])).to_filename(tmp_path / "m.nii.gz")
    record = import_mask(store, tmp_path / "m.nii.gz", patient_id="P1", timepoint=DAY, author="demo")
    assert record.volume_mm3 == 48.0
    (tmp_path / "m.nii.gz").write_bytes((tmp_path / "m.nii.gz").read_bytes()[:60])
    with pytest.raises(InputError, match="truncated or damaged"):
        import_mask(store, tmp_path / "m.nii.gz", patient_id="P1", timepoint=DAY, author="demo")
    assert len(store.masks.of("P1")) == 1
    assert not list((store.root / "incoming").iterdir())


_KILLED = """
import sys
from pathlib import Path
from core.jobs.pipeline import import_scan
from store import open_store
root, file = map(Path, sys.argv[1:])
with open_store(root) as store:
    import_scan(store, [file], dataset="d", patient_id="P1", timepoint="2024-03-05", modality="MR", person="demo")
"""


def test_a_kill_in_the_middle_of_an_import_leaves_nothing_when_the_store_is_opened_again(tmp_path: Path) -> None:
    slow = _bomb(tmp_path / "slow.nii.gz", (512, 512, 300))
    with zipfile.ZipFile(tmp_path / "DOE_JANE_19510203.zip", "w") as archive:
        archive.write(slow, "DOE_JANE_19510203/x.nii.gz")
    root, temporary = tmp_path / "data", tmp_path / "its-tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, root, tmp_path / "DOE_JANE_19510203.zip"],
        cwd=HOME,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(HOME)},
    )
    _wait_for(lambda: list(root.rglob("incoming/**/*.nii.gz")))
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for member in family:  # the reader ends with the process that it reads for
        _wait_for(lambda member=member: not member.is_running() or member.status() == psutil.STATUS_ZOMBIE)
    with open_store(root) as store:
        _nothing_left(store)
        assert store.verify() == []
    assert list(temporary.iterdir()) == []
