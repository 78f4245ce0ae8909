"""Files that are small and want much: each is a sentence, and the next import is read."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset

from core.errors import TwinReviewError
from core.imaging.reading_apart import read_scan
from tests.dicom_phantom import write_series


def _many_entries(home: Path) -> Path:
    with zipfile.ZipFile(home / "x.zip", "w") as archive:
        for n in range(25_000):
            archive.writestr(f"a/{n}.dcm", b"")
    return home / "x.zip"


def _zips_in_zips(home: Path) -> Path:
    data = bytes(50_000_000)
    for depth in range(5):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for n in range(8 if depth else 1):
                archive.writestr(f"{n}.zip" if depth else "x.nii", data)
        data = packed.getvalue()
    (home / "x.zip").write_bytes(data)
    return home / "x.zip"


def _rows(home: Path) -> Path:
    def edit(ds: Dataset, n: int) -> None:
        ds.Rows = ds.Columns = 65535

    write_series(home / "series", edit=edit)
    return home / "series"


def _deflated(home: Path) -> Path:
    """A header that is 1 MB, and 1 GB when it is unpacked."""
    path = write_series(home / "series")[0]
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    data = path.read_bytes()
    meta = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b"\x09\x00\x10\x00LO\x04\x00ABC \x09\x00\x01\x10OB\0\0" + (10**9).to_bytes(4, "little"))
    for _ in range(1000):
        packed += packer.compress(bytes(10**6))
    path.write_bytes(data[:meta] + packed + packer.flush())
    return home / "series"


@pytest.mark.parametrize("bomb", [_many_entries, _zips_in_zips, _rows, _deflated])
def test_a_bomb_is_a_sentence_and_the_next_import_is_read(tmp_path: Path, bomb: Callable[[Path], Path]) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    given = bomb(tmp_path)
    with pytest.raises(TwinReviewError, match=r"expected .*, (got|the header claims|\d+ of \d+ cannot be read)"):
        read_scan([given], "CT", "", tmp_path / "one")
    assert sum(path.stat().st_size for path in (tmp_path / "one").rglob("*") if path.is_file()) < 100_000_000
    write_series(tmp_path / "good")
    assert read_scan([tmp_path / "good"], "CT", "", tmp_path / "two").volume.array.shape == (5, 6, 4)


def test_sequences_within_sequences_are_read_or_refused(tmp_path: Path) -> None:
    def edit(ds: Dataset, n: int) -> None:
        inner = Dataset()
        for _ in range(60):
            outer = Dataset()
            outer.RadiopharmaceuticalInformationSequence = [inner]
            inner = outer
        ds.RadiopharmaceuticalInformationSequence = [inner]

    write_series(tmp_path / "series", edit=edit)
    (tmp_path / "scratch").mkdir()
    with contextlib.suppress(TwinReviewError):
        assert read_scan([tmp_path / "series"], "CT", "", tmp_path / "scratch").volume.array.shape == (5, 6, 4)
