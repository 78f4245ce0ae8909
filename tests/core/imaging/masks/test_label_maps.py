"""Label maps, probability maps and Slicer's segmentations in image files."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from core.errors import InputError
from core.imaging.image_files import read_image, to_sitk
from core.imaging.masks.reading import describe_mask, mask_on, read_drawn
from core.imaging.volumes import write_nifti
from core.remembered.identifiers import MaskOrigin
from core.types import Grid
from tests.core.imaging.outcomes import shows
from tests.mask_phantom import ball, grid_of

SCAN = grid_of((12, 10, 8), (1.0, 1.0, 3.0), (-5.0, -6.0, -7.0))


def _cases(shared_data: Path) -> Path:
    folder = shared_data.parent / "cases" / "intake"
    if not folder.is_dir():
        pytest.skip("needs cases/intake beside the real data")
    return folder


def _scan(path: Path) -> Grid:
    return read_image(path).grid


@shows("Masks", "another order of axes, cropped .seg.nrrd", "read")
@pytest.mark.parametrize(
    ("case", "scan", "file", "drawn_mm3", "within_mm3"),
    [
        ("mask-0-255", "ct1", "mask1.nii.gz", [2175.0], 0.0),
        ("mask-0-255", "ct2", "mask2.nii.gz", [1383.0], 0.0),
        ("mask-cropped-seg-nrrd", "ct", "Segmentation.seg.nrrd", [3372.0], 0.0),
        ("mask-other-axis-order", "ct", "mask_ras.nii.gz", [3372.0], 0.0),
        ("mask-other-axis-order", "ct", "mask_permuted.nii.gz", [3372.0], 0.0),
        ("mask-drawn-on-fine-mr", "ct", "r2.nii.gz", [29.75], 2.5),
        ("mask-drawn-on-fine-mr", "ct", "r3.nii.gz", [106.25], 2.5),
        ("mask-drawn-on-fine-mr", "ct", "r3_off.nii.gz", [112.5], 2.5),
        ("labels-swapped-between-visits", "ct1", "mask1.nii.gz", [2895.0, 477.0], 0.0),
    ],
)
def test_a_mask_comes_to_its_scan_with_its_volume(
    shared_data: Path, case: str, scan: str, file: str, drawn_mm3: list[float], within_mm3: float
) -> None:
    folder = _cases(shared_data) / case
    mask = mask_on(folder / file, _scan(folder / f"{scan}.nii.gz"))
    assert [s.label for s in mask.segments] == list(range(1, len(drawn_mm3) + 1))
    assert [s.drawn_volume_mm3 for s in mask.segments] == pytest.approx(drawn_mm3)
    assert [s.volume_mm3 for s in mask.segments] == pytest.approx(drawn_mm3, abs=within_mm3 + 1e-6)
    assert mask.same_lattice == (within_mm3 == 0)
    assert mask.doubts == ()


def test_both_orders_of_axes_are_one_mask(shared_data: Path) -> None:
    folder = _cases(shared_data) / "mask-other-axis-order"
    first, second = (
        mask_on(folder / f"mask_{name}.nii.gz", _scan(folder / "ct.nii.gz")) for name in ("ras", "permuted")
    )
    assert np.array_equal(first.labels.array, second.labels.array)


@shows("Masks", "overlapping layers (4-D .seg.nrrd)", "read and said")
def test_layers_are_two_lesions_and_the_overlap_is_told(shared_data: Path) -> None:
    folder = _cases(shared_data) / "seg-nrrd-layers"
    mask = mask_on(folder / "two.seg.nrrd", _scan(folder / "ct.nii.gz"))
    assert [s.drawn_volume_mm3 for s in mask.segments] == pytest.approx([2895.0, 861.0])
    assert [s.volume_mm3 for s in mask.segments] == pytest.approx([2085.0, 861.0])
    assert any("overlaps smaller ones, which got 810 mm3" in doubt for doubt in mask.doubts)
    assert any("segmentation of 2 layers" in word for word in mask.warnings)


@shows("Masks", "0/255, 0/1", "read", "one lesion")
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("value", [1, 4, 255])
def test_one_value_is_one_lesion_whatever_it_is(tmp_path: Path, suffix: str, value: int) -> None:
    labels = ball(SCAN, (0, 0, 0), 4.0)
    sitk.WriteImage(to_sitk(labels * np.uint8(value), SCAN), str(tmp_path / f"m{suffix}"))
    mask = mask_on(tmp_path / f"m{suffix}", SCAN)
    assert np.array_equal(mask.labels.array, labels)
    assert mask.kind == ("0/255" if value == 255 else "label map")
    assert [(s.label, s.number) for s in mask.segments] == [(1, value)]
    assert any(f"only value in the file is {value}" in word for word in mask.warnings) == (value != 1)
    assert read_drawn(tmp_path / f"m{suffix}", None).origin == MaskOrigin()


def test_several_labels_keep_their_numbers_within_the_file(tmp_path: Path) -> None:
    labels = np.zeros(SCAN.shape, np.uint8)
    labels[1:4, 1:4, 1:3], labels[6:8, 6:8, 4] = 7, 3
    write_nifti(tmp_path / "m.nii.gz", labels, SCAN)
    described = describe_mask(tmp_path / "m.nii.gz")
    assert [(s.number, s.voxels, round(s.volume_mm3, 6)) for s in described.segments] == [(3, 4, 12.0), (7, 18, 54.0)]
    assert np.array_equal(mask_on(tmp_path / "m.nii.gz", SCAN).labels.array, labels)


@shows("Masks", "probability maps", "read and said", "cut at a half")
def test_a_probability_map_is_cut_at_a_half_and_it_is_said(tmp_path: Path) -> None:
    values = ball(SCAN, (0, 0, 0), 4.0).astype(np.float32)
    values[0, 0, 0], values[0, 0, 1] = 0.49, 0.5
    write_nifti(tmp_path / "p.nii.gz", values, SCAN)
    mask = mask_on(tmp_path / "p.nii.gz", SCAN)
    assert mask.kind == "probability map"
    assert np.array_equal(mask.labels.array, (values >= 0.5).astype(np.uint8))
    assert "at least 0.5 is in the lesion" in " ".join(mask.warnings)


@shows("Masks", "values that are no labels", "refused")
@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.array([0, -1]), "0 to 255, got -1"),
        (np.array([0, 256]), "0 to 255, got 0 to 256"),
        (np.array([0, 1.5]), "fractions such as 1.5"),
        (np.array([0.5, 0.5]), "fractions such as 0.5"),
        (np.array([0, np.nan]), "NaN or infinite"),
    ],
)
def test_values_that_are_no_labels_are_refused_in_words(tmp_path: Path, values: np.ndarray, says: str) -> None:
    array = np.full(SCAN.shape, values[0], np.float32)
    array[3, 3, 3] = values[1]
    nib.save(nib.Nifti1Image(array, SCAN.affine), tmp_path / "m.nii.gz")
    with pytest.raises(InputError, match=says):
        describe_mask(tmp_path / "m.nii.gz")


@shows("Masks", "an empty mask", "read and said", "a doubt")
def test_an_empty_mask_is_one_and_is_doubted(tmp_path: Path) -> None:
    write_nifti(tmp_path / "m.nii.gz", np.zeros(SCAN.shape, np.uint8), SCAN)
    mask = mask_on(tmp_path / "m.nii.gz", SCAN)
    assert (mask.labels.labels, mask.segments) == ((), ())
    assert any("The mask is empty" in doubt for doubt in mask.doubts)


def _nrrd(path: Path, array: np.ndarray, fields: str, kinds: str = "domain domain domain") -> Path:
    """A NRRD along LPS, its axes as they are in the array."""
    directions = " ".join({"list": "none"}.get(k, "") for k in kinds.split()[:1]).strip()
    header = (
        f"NRRD0004\ntype: uint8\ndimension: {array.ndim}\nsizes: {' '.join(map(str, array.shape))}\n"
        f"space: left-posterior-superior\nkinds: {kinds}\nencoding: gzip\n"
        f"space directions: {directions} (1,0,0) (0,1,0) (0,0,3)\nspace origin: (5,6,-7)\n{fields}\n"
    )
    path.write_bytes(header.encode() + gzip.compress(array.tobytes(order="F")))
    return path


SEGMENTS = "\n".join(
    [
        "Segment0_Name:=GTV",
        "Segment0_LabelValue:=1",
        "Segment0_Layer:=0",
        "Segment1_Name:=Doe^Jane 1951",
        "Segment1_LabelValue:=2",
        "Segment1_Layer:=0",
        "Segment2_Name:=lymph node",
        "Segment2_LabelValue:=1",
        "Segment2_Layer:=1",
        "Segment0_Color:=1 0 0\n",
    ]
)


def test_slicers_names_are_those_of_the_segments_as_far_as_they_name_no_person(tmp_path: Path) -> None:
    layers = np.zeros((2, 6, 6, 4), np.uint8)
    layers[0, 1:3, 1:3, 1], layers[0, 4:6, 4:6, 1], layers[1, 1:3, 1:3, 2] = 1, 2, 1
    path = _nrrd(tmp_path / "s.seg.nrrd", layers, SEGMENTS, "list domain domain domain")
    described = describe_mask(path)
    assert [(s.number, s.name, s.voxels) for s in described.segments] == [
        (1, "GTV", 4),
        (2, "", 4),
        (3, "lymph node", 4),
    ]
    assert described.provenance.tool == "3D Slicer"
    assert "Jane" not in str(described)
    assert "The names of 1 segments were not kept" in " ".join(described.warnings)
    placed = mask_on(path, grid_of((6, 6, 4), (1.0, 1.0, 3.0), (-10.0, -11.0, -7.0)))
    assert placed.same_lattice
    assert placed.labels.array[::-1, ::-1][1:3, 1:3, 1].tolist() == [[1, 1], [1, 1]], "LPS of the file is RAS here"


def test_a_crop_of_one_slice_is_a_mask(tmp_path: Path) -> None:
    path = _nrrd(tmp_path / "one.seg.nrrd", np.ones((3, 2, 1), np.uint8), "Segment0_Name:=lesion\n")
    mask = mask_on(path, grid_of((12, 12, 6), (1.0, 1.0, 3.0), (-10.0, -11.0, -10.0)))
    assert (int(mask.labels.array.sum()), mask.segments[0].name, mask.same_lattice) == (6, "lesion", True)


def test_layers_that_are_cut_short_or_point_elsewhere_are_refused(tmp_path: Path) -> None:
    layers = np.ones((2, 6, 6, 4), np.uint8)
    path = _nrrd(tmp_path / "s.seg.nrrd", layers, SEGMENTS, "list domain domain domain")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(InputError, match="truncated"):
        describe_mask(path)
    path.write_bytes(whole.replace(b"encoding: gzip", b"encoding: gzip\ndata file: /etc/passwd"))
    with pytest.raises(InputError, match="points at another file"):
        describe_mask(path)


@pytest.mark.parametrize("name", ["m.txt", "m.png"])
def test_other_files_are_refused_in_words(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no mask")
    with pytest.raises(InputError, match=r"expected a mask .*RTSTRUCT or SEG.*unknown kind"):
        describe_mask(tmp_path / name)
