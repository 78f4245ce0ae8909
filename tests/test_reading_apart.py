"""Imports are read in a process of their own: what a file does to memory, time or libraries happens there."""

from __future__ import annotations

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

from core import reading_apart
from core.errors import GeometryError, InputError
from core.pipeline import import_mask, import_scan
from store import Store, open_store
from tests.dicom_phantom import write_series

HOME = Path(__file__).resolve().parents[1]
DAY = "2024-03-05"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "data") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _nothing_in_the_systems_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "system-tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def _image(path: Path, shape: tuple[int, int, int] = (6, 7, 8), dtype: type = np.float32) -> Path:
    array: np.ndarray = (np.random.default_rng(3).normal(size=shape) * 50).astype(dtype)
    nib.Nifti1Image(array, np.diag([1.0, 2.0, 3.0, 1.0])).to_filename(path)
    return path


def _import(store: Any, *files: Path, modality: Any = "MR", **details):
    values = {"dataset": "d", "patient_id": "P1", "timepoint": DAY, "person": "demo", **details}
    return import_scan(store, list(files), modality=modality, **values)


def _nothing_left(store: Any) -> None:
    incoming = store.root / "incoming"
    assert not incoming.is_dir() or list(incoming.iterdir()) == []
    assert store.patients() == []


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


def test_a_scan_arrives_as_it_would_be_read_here(store: Any, tmp_path: Path) -> None:
    path = _image(tmp_path / "x.nii.gz")
    scan = _import(store, path)
    np.testing.assert_array_equal(store.load_volume(scan).array, np.asarray(nib.load(path).dataobj))  # type: ignore[attr-defined]
    assert scan.metadata == {"format": "NIfTI", "warnings": []}
    assert not list((store.root / "incoming").iterdir())


def test_a_zipped_series_is_unpacked_in_the_store_s_own_scratch(store: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in write_series(tmp_path / "series"):
            archive.write(path, f"DOE_JANE/{path.name}")
    scan = _import(store, tmp_path / "x.zip", modality="CT")
    assert scan.shape == (5, 6, 4)
    assert not list((store.root / "incoming").iterdir())


@pytest.mark.parametrize("do", ["scan", "mask"])
def test_what_declares_more_than_the_setting_allows_is_refused(store: Any, tmp_path: Path, monkeypatch, do) -> None:
    monkeypatch.setenv("TWIN_MAX_IMPORT_GB", "0.001")
    path = _bomb(tmp_path / "x.nii.gz", (100, 100, 100))
    read = (lambda: reading_apart.read_mask(path, tmp_path)) if do == "mask" else (lambda: _import(store, path))
    with pytest.raises(InputError, match=r"at most 0.001 GB of voxels, the header claims 0.003725 GB"):
        read()
    _nothing_left(store)


def test_a_series_of_slices_is_measured_against_the_setting_too(store: Any, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TWIN_MAX_IMPORT_GB", "0.0000001")
    write_series(tmp_path / "series")
    with pytest.raises(InputError, match="GB of voxels"):
        _import(store, tmp_path / "series", modality="CT")
    _nothing_left(store)


def test_a_small_file_that_expands_to_much_takes_no_memory_of_this_process(store: Any, tmp_path: Path) -> None:
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


def test_a_header_that_says_little_gets_little_however_much_follows(store: Any, tmp_path: Path) -> None:
    raw = gzip.decompress(_image(tmp_path / "small.nii.gz").read_bytes())
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(raw) + gzip.compress(bytes(2**24)) * 200)  # 3 GB
    assert _import(store, tmp_path / "x.nii.gz").shape == (6, 7, 8)


def test_a_reader_that_needs_more_memory_than_it_may_take_is_a_sentence(store: Any, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TWIN_MAX_IMPORT_GB", "0.001")
    for path in write_series(tmp_path / "series"):
        ds = pydicom.dcmread(path)
        ds.add_new(0x00091001, "OB", b"")
        ds.save_as(path)
        raw = path.read_bytes()
        at = raw.index(b"\x09\x00\x01\x10OB\0\0") + 8
        # a private element of 2 GB, which the disk holds as nothing; GDCM reads it whole
        with path.open("wb") as sink:
            sink.write(raw[:at] + (2**31).to_bytes(4, "little"))
            sink.seek(2**31, 1)
            sink.write(raw[at + 4 :])
    with pytest.raises(InputError, match="expected"):
        _import(store, tmp_path / "series", modality="CT")
    _nothing_left(store)


def test_a_reader_that_takes_too_long_is_a_sentence(store: Any, tmp_path: Path, monkeypatch) -> None:
    path = _bomb(tmp_path / "x.nii.gz", (512, 512, 300))
    monkeypatch.setenv("TWIN_IMPORT_SECONDS", "0.05")
    with pytest.raises(InputError, match=r"within 0.05 s.*TWIN_IMPORT_SECONDS"):
        _import(store, path)
    monkeypatch.delenv("TWIN_IMPORT_SECONDS")
    _nothing_left(store)
    assert _import(store, _image(tmp_path / "good.nii.gz")).scan_id == "MR"


def _readers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if reading_apart._WORKER in p.cmdline()]


def _wait_for(find, seconds: float = 60.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = find()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("it did not come")


@pytest.mark.parametrize("victim", ["the child that reads", "the process that waits"])
def test_a_killed_reader_is_a_sentence_for_one_person(store: Any, tmp_path: Path, victim: str) -> None:
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
    assert [p["patient_id"] for p in store.patients()] == ["P2"]
    assert not list((store.root / "incoming").iterdir())


def test_refusals_keep_their_kind_and_their_words(store: Any, tmp_path: Path) -> None:
    nib.Nifti1Image(np.ones((3, 3, 3), np.uint8), np.diag([2, 2, 300, 1])).to_filename(tmp_path / "x.nii.gz")
    with pytest.raises(GeometryError, match="got 2 x 2 x 300 mm"):
        _import(store, tmp_path / "x.nii.gz")
    with pytest.raises(InputError, match="got none"):
        _import(store)
    _nothing_left(store)


def test_the_reader_sees_no_key_of_this_process(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TWIN_SECRET", "do-not-tell")
    monkeypatch.setenv("TWIN_AUDIT_KEY", "do-not-tell")
    reading_apart._READERS.end()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    reading_apart.read_scan([_image(tmp_path / "x.nii.gz")], "MR", "", scratch)
    for reader in _readers():
        assert "do-not-tell" not in Path(f"/proc/{reader.pid}/environ").read_text()


def test_a_mask_arrives_and_a_broken_one_leaves_nothing(store: Any, tmp_path: Path) -> None:
    scan = _import(store, _image(tmp_path / "x.nii.gz"))
    labels = np.zeros(scan.shape, np.uint8)
    labels[2:4, 2:4, 2:4] = 1
    nib.Nifti1Image(labels, np.diag([1.0, 2.0, 3.0, 1.0])).to_filename(tmp_path / "m.nii.gz")
    record = import_mask(store, tmp_path / "m.nii.gz", patient_id="P1", timepoint=DAY, reviewer="demo")
    assert record.volume_mm3 == 48.0
    (tmp_path / "m.nii.gz").write_bytes((tmp_path / "m.nii.gz").read_bytes()[:60])
    with pytest.raises(InputError, match="truncated or damaged"):
        import_mask(store, tmp_path / "m.nii.gz", patient_id="P1", timepoint=DAY, reviewer="demo")
    assert len(store.masks("P1")) == 1
    assert not list((store.root / "incoming").iterdir())


_KILLED = """
import sys
from pathlib import Path
from core.pipeline import import_scan
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
        [sys.executable, "-c", _KILLED, root, tmp_path / "DOE_JANE_19510203.zip"], cwd=HOME,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(HOME)},
    )  # fmt: skip
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
