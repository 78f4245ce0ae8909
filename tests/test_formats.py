"""docs/formats.md says what the tests show, of every kind; the libraries' own files crash nothing, give no garbage."""

from __future__ import annotations

import re

import pytest

from tests import formats, library_files
from tests.core.imaging.outcomes import SHOWN

#: Kinds that people hand in; each has a row.
KINDS = (
    "0 bytes",
    "web page",
    "cut header",
    "cut voxels",
    "shorter than rows",
    "malformed number",
    "no preamble",
    "PixelPaddingValue",
    "slice is missing",
    "slice twice",
    "unevenly",
    "gantry tilt",
    "mixed orientations",
    "localizers",
    "scouts",
    "secondary captures",
    "enhanced multi-frame CT and MR",
    "enhanced PET",
    "legacy converted",
    "JPEG-LS",
    "JPEG 2000",
    "JPEG lossless",
    "JPEG baseline",
    "RLE",
    "deflated",
    "big endian",
    "signed or not",
    "negative, missing",
    "MONOCHROME1",
    "PALETTE",
    "float",
    "Modality LUT",
    "BQML and GML",
    "CNTS",
    "weight below 2",
    "dose 0",
    "before its injection",
    "half-life of another",
    "offset from UTC",
    "vox_offset 0",
    "sform against qform",
    "scl_slope 0, NaN",
    "4-D with one frame",
    "2-D",
    "right angles",
    "colour",
    "in cm",
    "NRRD space",
    "another file",
    "how large its voxels",
    "without a modality",
    "label map",
    "RTSTRUCT",
    "holes",
    "FRACTIONAL",
    "LABELMAP",
    "overlapping segments",
    "probability",
    "0/255",
    "inverted",
    "off the scan",
    "without extension",
    "zip in a zip",
    "DICOMDIR",
    "several patients",
    "another date",
    "in the future",
)


def rows() -> list[str]:
    return re.findall(r"^\| ([^|]*) \|", formats.document(), re.MULTILINE)


def test_the_document_is_what_the_tests_show():
    if formats.PLACE.read_text(encoding="utf-8") != formats.document():
        pytest.fail("docs/formats.md is stale: run `python -m tests.formats`")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_row(kind: str):
    assert [row for row in rows() if kind.lower() in row.lower()]


def test_no_row_is_written_twice():
    formats.document()
    kinds = [(item.group, item.kind) for item in SHOWN]
    assert len(kinds) == len(set(kinds)) > 60


def test_the_counts_that_are_kept_name_no_crash_and_no_garbage():
    lines = [line.strip("|").split("|") for line in formats.kept_counts().split("\n")[2:]]
    assert {cells[0].strip() for cells in lines} >= {"pydicom", "nibabel", "highdicom"}
    for _, handed_in, read, refused, crashed, garbage in lines:
        assert int(handed_in) == int(read) + int(refused) > 0
        assert int(crashed) == int(garbage) == 0


#: Bytes: the larger files are read by the command alone.
SMALL = 300_000


@pytest.mark.parametrize("library", ["pydicom", "nibabel"])
def test_small_files_of_the_libraries_are_read_or_refused_in_words(library: str):
    files = [path for path in library_files.packages()[library] if path.stat().st_size < SMALL]
    tried = list(library_files.try_all(library, files, library_files.opened_here))
    assert [item for item in tried if item.outcome in ("crashed", "garbage")] == []
    assert sum(item.outcome == "read" for item in tried) > 4
    assert all("xpected " in item.says for item in tried if item.outcome == "refused")
