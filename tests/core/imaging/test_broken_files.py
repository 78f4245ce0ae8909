"""Files that cannot be read: told apart from the wanted series, refused, or left out at a person's word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from core.errors import InputError
from core.imaging.dicom import read_series
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import stored_values, write_series

HTML = b"<html><body>404</body></html>"


def in_order(folder: Path, count: int = 6, modality: str = "CT") -> list[Path]:
    """A series whose files are called by their place."""
    made = write_series(folder / modality, modality, stored=stored_values(count) + 1000)
    paths = [path.rename(folder / modality / f"IM{n:03d}.dcm") for n, path in enumerate(made)]
    return paths


def spoil(path: Path, how: str) -> None:
    raw = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "page":
        path.write_bytes(HTML)
    elif how == "cut header":
        path.write_bytes(raw[: raw.index(b"\x20\x00\x0e\x00") + 20])
    elif how == "cut behind the series":
        path.write_bytes(raw[: raw.index(b"\x28\x00\x10\x00") - 3])
    else:
        ds = pydicom.dcmread(path)
        ds.PixelData = ds.PixelData[:-8]
        ds.save_as(path)


HOWS = ("empty", "page", "cut header", "cut behind the series", "cut voxels")


@shows(
    "DICOM: files and series", "a slice with 0 bytes, a cut header, a web page, cut voxels", "refused", "with its name"
)
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("which", [0, 5, 2])
def test_a_series_with_a_broken_file_is_refused_by_the_files_name(tmp_path: Path, how: str, which: int):
    spoil(in_order(tmp_path)[which], how)
    with pytest.raises(InputError, match=f"IM{which:03d}.dcm"):
        read_series(tmp_path, "CT")


@shows("DICOM: files and series", "end slices that cannot be read", "by a person's word", "left out, with their number")
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("broken", [[0], [5], [0, 5], [4, 5]])
def test_ends_are_left_out_at_a_persons_word_and_said(tmp_path: Path, how: str, broken: list[int]):
    paths = in_order(tmp_path)
    for n in broken:
        spoil(paths[n], how)
    left = [n for n in range(6) if n not in broken]
    volume, metadata = read_series(tmp_path, "CT", without_broken=True)
    np.testing.assert_array_equal(volume.array, (stored_values(6) + 1000)[left].transpose(2, 1, 0))
    assert volume.grid.affine[2, 3] == pytest.approx(-30 + 2.5 * left[0])
    count = "1 file of the series was" if len(broken) == 1 else "2 files of the series were"
    assert metadata["warnings"][0].startswith(f"{count} left out at a person's word")
    assert not any("IM0" in warning for warning in metadata["warnings"])


@shows("DICOM: files and series", "slices between others that cannot be read", "refused", "whatever a person says")
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("broken", [[2], [0, 3], [1, 3, 5]])
def test_slices_between_others_are_never_left_out(tmp_path: Path, how: str, broken: list[int]):
    paths = in_order(tmp_path)
    for n in broken:
        spoil(paths[n], how)
    with pytest.raises(InputError, match=r"one after the other|missing"):
        read_series(tmp_path, "CT", without_broken=True)


def test_without_numbers_nobody_knows_what_is_an_end(tmp_path: Path):
    paths = in_order(tmp_path)
    for path in paths:
        ds = pydicom.dcmread(path)
        del ds.InstanceNumber
        ds.save_as(path)
    spoil(paths[5], "empty")
    with pytest.raises(InputError, match=r"0020,0013"):
        read_series(tmp_path, "CT", without_broken=True)


def test_nothing_is_left_out_of_a_whole_series(tmp_path: Path):
    in_order(tmp_path)
    volume, metadata = read_series(tmp_path, "CT", without_broken=True)
    assert volume.array.shape[2] == 6
    assert not any("left out" in warning for warning in metadata["warnings"])


@shows("DICOM: files and series", "a broken file of another series", "read and said", "passed over")
@pytest.mark.parametrize("how", ["empty", "page", "cut header", "cut behind the series"])
def test_a_broken_file_of_another_series_does_not_stop_this_one(tmp_path: Path, how: str):
    in_order(tmp_path)
    spoil(in_order(tmp_path, 4, "PT")[1], how)
    volume, metadata = read_series(tmp_path, "CT")
    assert volume.array.shape[2] == 6
    assert metadata["warnings"][0] == "1 file of another series was passed over: it cannot be read."
    with pytest.raises(InputError, match=r"IM001\.dcm"):
        read_series(tmp_path, "PET")


def test_in_one_folder_names_or_the_series_of_the_broken_file_tell_it_apart(tmp_path: Path):
    for modality, count in (("CT", 6), ("PT", 4)):
        for path in in_order(tmp_path, count, modality):
            path.rename(tmp_path / f"{modality}_{path.name}")
    spoil(tmp_path / "PT_IM001.dcm", "empty")
    assert read_series(tmp_path, "CT")[0].array.shape[2] == 6
    (tmp_path / "PT_IM001.dcm").rename(tmp_path / "who knows.dcm")
    with pytest.raises(InputError, match=r"who knows\.dcm"):
        read_series(tmp_path, "CT")


def test_a_broken_file_in_a_folder_of_its_own_may_be_anybodys(tmp_path: Path):
    in_order(tmp_path)
    (tmp_path / "rest").mkdir()
    (tmp_path / "rest" / "IM006.dcm").write_bytes(b"")
    with pytest.raises(InputError, match=r"IM006\.dcm is empty"):
        read_series(tmp_path, "CT")
    assert read_series(tmp_path, "CT", without_broken=True)[0].array.shape[2] == 6


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (b"\x28\x00\x30\x00DS", b"\x28\x00\x30\x00ZZ"),  # PixelSpacing of no kind that there is
        (b"\x28\x00\x10\x00US\x02\x00\x06\x00", b"\x28\x00\x10\x00US\x03\x00\x06\x00\x00"),  # Rows of three bytes
        (b"\x18\x00\x60\x00DS", b"\x18\x00\x60\x00QQ"),  # KVP, which nothing needs
        (b"\x28\x00\x00\x30SQ", b"\x28\x00\x00\x30OB"),  # a table from stored values to HU that is none
    ],
)
def test_a_value_of_no_kind_that_there_is_is_a_file_that_cannot_be_read(tmp_path: Path, tag: bytes, value: bytes):
    lut = pydicom.Dataset()
    lut.LUTDescriptor, lut.LUTData, lut.ModalityLUTType = [2, 0, 16], b"\1\0\2\0", "HU"
    path = write_series(tmp_path, KVP=120, ModalityLUTSequence=[lut])[1]
    data = path.read_bytes()
    assert data.count(tag) == 1
    path.write_bytes(data.replace(tag, value))
    with pytest.raises(InputError, match=path.name):
        read_series(tmp_path, "CT")
