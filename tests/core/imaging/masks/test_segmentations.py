"""DICOM SEG of every kind, as highdicom writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from core.errors import InputError
from core.imaging.masks.reading import describe_mask, mask_on, read_drawn
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import SECRETS
from tests.mask_phantom import write_seg

#: (slices, rows, columns): two lesions, nothing in the first and last slice, nor in the middle one.
TWO = np.zeros((7, 8, 9), np.uint8)
TWO[1:3, 2:5, 2:6] = 1
TWO[4:6, 5:7, 6:9] = 2


def _on_grid(labels: np.ndarray) -> np.ndarray:
    """(slices, rows, columns) as a label map has them: (columns, rows, slices)."""
    return labels.transpose(2, 1, 0)


@shows("Masks", "SEG, BINARY and LABELMAP, empty frames missing", "read")
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("omit", [True, False])
def test_whole_segments_come_in_where_they_are_though_empty_frames_are_missing(
    tmp_path: Path, kind: str, omit: bool
) -> None:
    path, grid = write_seg(tmp_path, TWO, kind, omit_empty_frames=omit)
    mask = mask_on(path, grid)
    assert np.array_equal(mask.labels.array, _on_grid(TWO))
    assert (mask.kind, mask.same_lattice, mask.doubts) == ("SEG", True, ())
    voxel_mm3 = 0.7 * 0.8 * 2.5
    assert [s.drawn_volume_mm3 for s in mask.segments] == pytest.approx([24 * voxel_mm3, 12 * voxel_mm3])
    assert mask.provenance.tool == "3D Slicer highdicom 0.28"
    assert (mask.provenance.algorithm, mask.provenance.description) == ("MANUAL", "LESIONS")
    assert len(mask.provenance.file_sha256) == 64


@shows("Masks", "SEG, FRACTIONAL", "read and said")
@pytest.mark.parametrize("kind", ["PROBABILITY", "OCCUPANCY"])
def test_fractions_are_cut_at_a_half_and_it_is_said(tmp_path: Path, kind: str) -> None:
    fractions = np.zeros((7, 8, 9, 1), np.float32)
    fractions[2:4, 2:4, 2:4, 0], fractions[4, 2:4, 2:4, 0] = 1.0, 0.25
    path, grid = write_seg(tmp_path, fractions, "FRACTIONAL", fractional_type=kind)
    mask = mask_on(path, grid)
    assert np.array_equal(mask.labels.array, _on_grid((fractions[..., 0] >= 0.5).astype(np.uint8)))
    (words,) = [word for word in mask.warnings if "fractional" in word]
    assert kind.lower() in words
    assert "at least 0.5" in words
    assert f"{(8 + 4 * 0.25) * 0.7 * 0.8 * 2.5:.3g}" in words, "the volume by fractions, to the 1/255 that are stored"


@shows("Masks", "SEG, overlapping segments", "read and said")
def test_of_overlapping_segments_the_smaller_keeps_its_voxels_and_the_larger_says_what_it_lost(tmp_path: Path) -> None:
    masks = np.zeros((7, 8, 9, 2), np.uint8)
    masks[1:6, 1:7, 1:7, 0] = 1
    masks[2:4, 2:4, 2:4, 1] = 1
    path, grid = write_seg(tmp_path, masks)
    mask = mask_on(path, grid)
    assert (mask.labels.array == 2).sum() == 8
    assert (mask.labels.array == 1).sum() == 180 - 8
    first, second = mask.segments
    assert (first.drawn_volume_mm3, first.overlap_mm3) == pytest.approx((180 * 1.4, 8 * 1.4))
    assert second.overlap_mm3 == 0
    assert any("Segment 1 overlaps smaller ones, which got 11.2 mm3 of its 252 mm3" in doubt for doubt in mask.doubts)


def test_a_segment_without_voxels_is_left_out_in_words_and_one_alone_is_lesion_1(tmp_path: Path) -> None:
    masks = np.zeros((7, 8, 9, 2), np.uint8)
    masks[1:6, 1:3, 1:3, 1] = 1
    path, grid = write_seg(tmp_path, masks)
    mask = mask_on(path, grid)
    assert mask.labels.labels == (1,)
    assert [s.number for s in mask.segments] == [2]
    assert "Segments without a voxel were left out: 1." in mask.warnings


def test_some_segments_can_be_chosen(tmp_path: Path) -> None:
    path, grid = write_seg(tmp_path, TWO)
    mask = mask_on(path, grid, segments=[2])
    assert np.array_equal(mask.labels.array, _on_grid((TWO == 2).astype(np.uint8)))
    with pytest.raises(InputError, match=r"Expected segments of the mask \(1, 2\), got 3"):
        mask_on(path, grid, segments=[3])


def test_names_of_persons_are_not_kept_and_the_series_is_known(tmp_path: Path) -> None:
    path, _ = write_seg(tmp_path, TWO, labels=("GTV primary", "tumour Jane Doe"))
    description = describe_mask(path)
    assert [s.name for s in description.segments] == ["GTV primary", ""]
    assert "The names of 1 segments were not kept" in " ".join(description.warnings)
    assert not any(secret in str(description) for secret in SECRETS)
    origin, ct = read_drawn(path, None).origin, pydicom.dcmread(next((tmp_path / "ct").iterdir()))
    assert (origin.series, origin.frames) == ((str(ct.SeriesInstanceUID),), ("1.2.4",))


def test_a_damaged_seg_and_an_image_are_refused_in_words(tmp_path: Path) -> None:
    path, grid = write_seg(tmp_path, TWO)
    whole = path.read_bytes()
    for length in (200, 1000, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="expected"):
            mask_on(path, grid)
    with pytest.raises(InputError, match="RTSTRUCT or SEG, got CT"):
        describe_mask(next((tmp_path / "ct").iterdir()))
