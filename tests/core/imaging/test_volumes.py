"""Reading, writing, hashing and resampling of scans and masks: hand-made cases, round trips, ITK and nibabel agree."""

from __future__ import annotations

import gzip
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from core.errors import GeometryError, InputError
from core.imaging.judging import doubts
from core.imaging.open_scan import open_scan
from core.imaging.volumes import (
    content_sha256,
    file_sha256,
    from_sitk,
    orientation,
    read_label_map,
    read_volume,
    resample,
    to_sitk,
    write_nifti,
)
from core.types import Grid, LabelMap, Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def _load(path: Path) -> Any:
    """nibabel's own reading; Any, because its types only know the abstract image."""
    return nib.load(path)


def _affine(spacing: tuple = (1.0, 1.0, 1.0), origin: tuple = (0.0, 0.0, 0.0)) -> NDArray[np.float64]:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return affine


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Any right-angled grid: axes permuted and flipped, rotated, anisotropic, anywhere within a metre."""
    shape = draw(st.tuples(*[st.integers(2, 7)] * 3))
    spacing = draw(st.tuples(*[st.floats(0.1, 10.0)] * 3))
    flips = draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    order = draw(st.permutations([0, 1, 2]))
    angles = draw(st.tuples(*[st.floats(-180.0, 180.0)] * 3)) if draw(st.booleans()) else (0.0, 0.0, 0.0)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.eye(3)[order] * flips * spacing
    affine[:3, 3] = draw(st.tuples(*[st.floats(-1000.0, 1000.0)] * 3))
    return Grid(shape, affine)


def _noise(grid: Grid, dtype: type = np.float32) -> NDArray:
    rng = np.random.default_rng(7)
    return (rng.normal(0, 300, grid.shape) if dtype is not np.uint8 else rng.integers(0, 4, grid.shape)).astype(dtype)


# ---------------------------------------------------------------- round trips


@settings(max_examples=40)
@given(grid=grids(), dtype=st.sampled_from([np.float32, np.int16, np.uint8]))
def test_what_was_written_is_read(grid: Grid, dtype: type) -> None:
    array = _noise(grid, dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.nii.gz"
        digest = write_nifti(path, array, grid)
        assert digest == file_sha256(path)
        volume = read_volume(path, "MR")
        np.testing.assert_array_equal(volume.array, array)
        assert volume.grid.matches(grid, tolerance_mm=1e-3)  # NIfTI keeps affines in single precision
        stored = _load(path)
        assert stored.get_data_dtype() == dtype
        assert stored.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_allclose(stored.get_qform(), stored.get_sform(), atol=1e-2)
        if dtype is np.uint8:
            np.testing.assert_array_equal(read_label_map(path, grid).array, array)


@settings(max_examples=40)
@given(grid=grids())
def test_to_and_from_sitk_are_inverse_and_place_voxels_alike(grid: Grid) -> None:
    array = _noise(grid)
    image = to_sitk(array, grid)
    back, back_grid = from_sitk(image)
    np.testing.assert_array_equal(back, array)
    np.testing.assert_allclose(back_grid.affine, grid.affine, atol=1e-9)
    index = tuple(int(n) - 1 for n in grid.shape)
    lps = np.array(image.TransformIndexToPhysicalPoint(index))
    np.testing.assert_allclose(lps * (-1, -1, 1), grid.to_mm(np.array([index]))[0], atol=1e-6)
    assert image.GetPixel(*index) == array[index]


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@settings(max_examples=15)
@given(grid=grids())
def test_nrrd_and_metaimage_give_what_nifti_gives(suffix: str, grid: Grid) -> None:
    array = _noise(grid, np.int16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        sitk.WriteImage(to_sitk(array, grid), str(path), useCompression=True)
        volume = read_volume(path, "CT")
    np.testing.assert_array_equal(volume.array, array)
    assert volume.grid.matches(grid, tolerance_mm=1e-3)


@settings(max_examples=25)
@given(source=grids(), target=grids())
def test_resampling_agrees_with_itk_without_a_transform(source: Grid, target: Grid) -> None:
    # put the target around the source, so that they overlap
    affine = np.array(target.affine)
    affine[:3, 3] += (
        source.to_mm(np.array(source.shape)[None] / 2)[0] - target.to_mm(np.array(target.shape)[None] / 2)[0]
    )
    target = Grid(target.shape, affine)
    array = _noise(source)
    reference = to_sitk(np.zeros(target.shape, np.float32), target)
    expected = sitk.GetArrayFromImage(sitk.Resample(to_sitk(array, source), reference, defaultPixelValue=-5.0))
    np.testing.assert_allclose(resample(array, source, target, fill=-5.0), expected.transpose(2, 1, 0), atol=1e-3)


# ---------------------------------------------------------------- resampling by hand


def test_linear_resampling_weighs_the_neighbours_and_fills_beyond_half_a_voxel() -> None:
    grid = Grid((4, 3, 3), _affine())
    array = np.zeros((4, 3, 3), np.float32)
    array[1], array[2] = 10.0, 20.0
    shifted = Grid((5, 3, 3), _affine(origin=(0.25, 0.0, 0.0)))
    moved = resample(array, grid, shifted, fill=-1.0)
    np.testing.assert_allclose(moved[:, 1, 1], [2.5, 12.5, 15.0, 0.0, -1.0])  # 3.25 takes the last voxel; 4.25 is out


def test_nearest_keeps_labels_whole_and_fills_outside() -> None:
    grid = Grid((2, 2, 2), _affine())
    labels = np.full((2, 2, 2), 3, np.uint8)
    labels[1] = 7
    moved = resample(labels, grid, Grid((4, 2, 2), _affine(origin=(-1.2, 0, 0))), "nearest", fill=9)
    assert moved.dtype == np.uint8
    assert moved[:, 0, 0].tolist() == [9, 3, 7, 9]  # at -1.2, -0.2, 0.8, 1.8 mm


def test_resampling_to_the_same_grid_is_a_copy_of_any_dtype() -> None:
    grid = Grid((2, 2, 2), _affine())
    labels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    same = resample(labels, grid, grid, "nearest")
    assert same.dtype == np.uint8
    assert same is not labels
    np.testing.assert_array_equal(same, labels)
    mask = labels > 3
    assert resample(mask, grid, Grid((2, 2, 2), _affine(origin=(0.1, 0, 0))), "nearest").dtype == np.bool_


def test_orientation_is_named_by_where_the_axes_point() -> None:
    assert orientation(Grid((2, 2, 2), np.eye(4))) == "RAS"
    assert orientation(Grid((2, 2, 2), LPS)) == "LPS"
    assert orientation(Grid((2, 2, 2), np.eye(4)[[2, 0, 1, 3]])) == "ASR"


# ---------------------------------------------------------------- reading


def test_slope_and_intercept_are_applied_as_nibabel_does(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), _affine((1, 2, 3)))
    image.header.set_slope_inter(0.5, -1000.0)
    image.to_filename(tmp_path / "s.nii.gz")
    stored = _load(tmp_path / "s.nii.gz")
    raw = np.asarray(stored.dataobj.get_unscaled(), float)
    volume = read_volume(tmp_path / "s.nii.gz", "CT")
    np.testing.assert_array_equal(volume.array, stored.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(volume.array, raw * stored.dataobj.slope + stored.dataobj.inter)
    assert volume.array.dtype == np.float32


@pytest.mark.parametrize("dtype", ["<i2", ">i2", ">f4", "<f8", "<u4"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_every_byte_order_width_and_nifti_version(tmp_path: Path, dtype: str, suffix: str, kind: type) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    header = kind.header_class(endianness=dtype[0])  # type: ignore[attr-defined]
    header.set_data_dtype(np.dtype(dtype))
    kind(array, _affine((1, 2, 3)), header).to_filename(tmp_path / f"x{suffix}")
    volume = read_volume(tmp_path / f"x{suffix}", "MR")
    np.testing.assert_array_equal(volume.array, array)
    assert volume.grid.spacing_mm == (1.0, 2.0, 3.0)


def test_a_fourth_dimension_of_one_is_dropped(tmp_path: Path) -> None:
    array = _noise(Grid((3, 4, 5), np.eye(4)))
    nib.Nifti1Image(array[..., None], np.eye(4)).to_filename(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "x.nii.gz", "MR").array, array)


def test_a_wrong_gz_suffix_does_not_matter(tmp_path: Path) -> None:
    array = _noise(Grid((3, 4, 5), np.eye(4)))
    nib.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / "x.nii")
    (tmp_path / "x.nii").rename(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "x.nii.gz", "MR").array, array)


def test_lengths_in_metres_become_millimetres_and_it_is_said(tmp_path: Path) -> None:
    image = nib.Nifti1Image(_noise(Grid((3, 4, 5), np.eye(4))), _affine((0.001, 0.001, 0.002)))
    image.header.set_xyzt_units("meter")
    image.to_filename(tmp_path / "m.nii.gz")
    volume, metadata = open_scan([tmp_path / "m.nii.gz"], "MR")
    assert volume.grid.spacing_mm == pytest.approx((1.0, 1.0, 2.0))
    assert "not in millimetres" in metadata["warnings"][0]


def test_unknown_or_contradicting_orientation_is_said(tmp_path: Path) -> None:
    array = _noise(Grid((3, 4, 5), np.eye(4)))
    image = nib.Nifti1Image(array, None)
    image.to_filename(tmp_path / "none.nii.gz")
    image = nib.Nifti1Image(array, np.eye(4))
    image.set_sform(_affine(origin=(25.0, 0, 0)), code=1)
    image.set_qform(np.eye(4), code=1)
    image.to_filename(tmp_path / "two.nii.gz")
    assert "left and right are assumed" in open_scan([tmp_path / "none.nii.gz"], "MR")[1]["warnings"][0]
    assert "differ by up to 25.0 mm" in open_scan([tmp_path / "two.nii.gz"], "MR")[1]["warnings"][0]


def test_a_zip_of_one_image_is_that_image(tmp_path: Path) -> None:
    grid = Grid((3, 4, 5), _affine((1, 2, 3)))
    write_nifti(tmp_path / "x.nii.gz", _noise(grid), grid)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(tmp_path / "x.nii.gz", "folder/x.nii.gz")
        archive.writestr("folder/.DS_Store", "x")
        archive.writestr("folder/readme.txt", "hello")
    volume, metadata = open_scan([tmp_path / "x.zip"], "MR", "FLAIR", scratch=tmp_path)
    np.testing.assert_array_equal(volume.array, _noise(grid))
    assert volume.channel == "MR FLAIR"
    assert metadata == {"format": "NIfTI", "warnings": []}


@pytest.mark.parametrize(
    ("modality", "low", "high", "expected"),
    [
        ("CT", -1000, 1500, None),
        ("CT", 0, 1, "normalised"),
        ("CT", -1, 1, "normalised"),
        ("CT", 0, 2500, "rescale intercept"),
        ("PET", 0, 20, None),
        ("PET", 0, 50_000, "Bq/mL"),
        ("PET", -0.2, 9, None),
        ("PET", -8, 9, "not negative"),
        ("MR", 0, 1, None),
        ("MR", -5, 5000, None),
    ],
)
def test_values_that_cannot_be_the_unit_are_warned_of(modality: str, low: float, high: float, expected: str) -> None:
    array = np.linspace(low, high, 27, dtype=np.float32).reshape(3, 3, 3)
    found = doubts(Volume(array, Grid((3, 3, 3), np.eye(4)), modality))  # type: ignore[arg-type]
    assert (len(found) == 1 and expected in found[0]) if expected else found == []


# ---------------------------------------------------------------- masks


def test_whole_floats_and_an_empty_mask_are_masks(tmp_path: Path) -> None:
    grid = Grid((3, 3, 3), np.eye(4))
    array = np.zeros(grid.shape, np.float32)
    write_nifti(tmp_path / "empty.nii.gz", array, grid)
    assert read_label_map(tmp_path / "empty.nii.gz").labels == ()
    array[0, 0, 0], array[2, 2, 2] = 1.0, 255.0
    write_nifti(tmp_path / "two.nii.gz", array, grid)
    assert read_label_map(tmp_path / "two.nii.gz").labels == (1, 255)


def test_a_mask_stored_in_another_axis_order_is_the_same_mask_once_resampled(tmp_path: Path) -> None:
    grid = Grid((4, 5, 6), _affine((1, 2, 3), (7, 8, 9)))
    labels = (np.arange(120) % 3).astype(np.uint8).reshape(grid.shape)
    turned = nib.Nifti1Image(labels, grid.affine).as_reoriented([[2, -1], [0, 1], [1, -1]])
    turned.to_filename(tmp_path / "turned.nii.gz")
    with pytest.raises(GeometryError, match="expected the scan's grid"):
        read_label_map(tmp_path / "turned.nii.gz", grid)
    moved = read_label_map(tmp_path / "turned.nii.gz", grid, resample=True)
    np.testing.assert_array_equal(moved.array, labels)
    assert moved.grid is grid


def test_a_mask_of_somewhere_else_is_not_resampled_to_nothing(tmp_path: Path) -> None:
    grid = Grid((3, 3, 3), np.eye(4))
    write_nifti(tmp_path / "m.nii.gz", np.ones((3, 3, 3), np.uint8), Grid((3, 3, 3), _affine(origin=(500, 0, 0))))
    with pytest.raises(GeometryError, match="all lie outside"):
        read_label_map(tmp_path / "m.nii.gz", grid, resample=True)


# ---------------------------------------------------------------- writing and hashing


def test_the_same_mask_gives_the_same_bytes_whatever_name_and_time(tmp_path: Path) -> None:
    grid = Grid((5, 4, 3), _affine((1, 2, 3)))
    array = _noise(grid, np.uint8)
    first = write_nifti(tmp_path / "a.nii.gz", array, grid)
    second = write_nifti(tmp_path / "b.nii.gz", np.asfortranarray(array), grid)
    assert first == second
    header = (tmp_path / "a.nii.gz").read_bytes()[:10]
    assert header[3] == 0  # no file name
    assert header[4:8] == b"\0\0\0\0"  # no time
    assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes())[:4] == b"\x5c\x01\0\0"


def test_a_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    path = tmp_path / "a.nii"
    write_nifti(path, np.zeros((2, 2, 2), np.uint8), grid)
    before = path.read_bytes()
    with pytest.raises(InputError, match="never overwritten"):
        write_nifti(path, np.ones((2, 2, 2), np.uint8), grid)
    assert path.read_bytes() == before
    write_nifti(path, np.ones((2, 2, 2), np.uint8), grid, overwrite=True)
    assert read_label_map(path).volume_mm3 == 8.0


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_a_failed_write_leaves_nothing_and_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    old = write_nifti(tmp_path / "old.nii.gz", np.zeros((2, 2, 2), np.uint8), grid)

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    for name in ("old.nii.gz", "new.nii.gz"):
        with pytest.raises(InputError, match=r"No space left on device.*has space"):
            write_nifti(tmp_path / name, np.ones((2, 2, 2), np.uint8), grid, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["old.nii.gz"]
    assert file_sha256(tmp_path / "old.nii.gz") == old


def test_content_hash_is_of_voxels_and_place_not_of_the_file(tmp_path: Path) -> None:
    grid = Grid((4, 5, 6), _affine((0.9765625, 2, 3.27), (-110.351378, 56.640724, -272.95)))
    volume = Volume(_noise(grid), grid, "CT")
    expected = content_sha256(volume)
    write_nifti(tmp_path / "a.nii.gz", volume.array, grid)
    sitk.WriteImage(to_sitk(volume.array, grid), str(tmp_path / "a.nrrd"))
    _load(tmp_path / "a.nii.gz").as_reoriented([[1, -1], [2, 1], [0, -1]]).to_filename(tmp_path / "turned.nii.gz")
    for name in ("a.nii.gz", "a.nrrd", "turned.nii.gz"):
        assert content_sha256(read_volume(tmp_path / name, "CT")) == expected, name
    other = np.array(volume.array)
    other[1, 2, 3] += 1
    assert content_sha256(Volume(other, grid, "CT")) != expected
    moved = np.array(grid.affine)
    moved[0, 3] += 0.1
    assert content_sha256(Volume(volume.array, Grid(grid.shape, moved), "CT")) != expected


def test_content_hash_does_not_mind_the_sign_of_zero() -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    array = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    negative = array.copy()
    negative[0, 0, 0] = -0.0
    assert content_sha256(Volume(array, grid, "MR")) == content_sha256(Volume(negative, grid, "MR"))


# ---------------------------------------------------------------- real files


@pytest.mark.parametrize("name", ["brain1", "breast1"])
def test_real_nrrd_agrees_with_itk(shared_data: Path, name: str) -> None:
    path = shared_data / f"radiomics_baseline/{name}_image.nrrd"
    array, grid = from_sitk(sitk.ReadImage(str(path)))
    volume, metadata = open_scan([path], "MR")
    np.testing.assert_array_equal(volume.array, array)
    assert volume.grid.matches(grid, tolerance_mm=1e-9)
    assert metadata == {"format": "NRRD", "warnings": []}
    labels = read_label_map(shared_data / f"radiomics_baseline/{name}_label.nrrd", volume.grid)
    assert labels.labels == (1,)


def test_real_mask_lies_on_its_scan_and_not_on_another(shared_data: Path) -> None:
    folder = shared_data / "sts/STS_008"
    ct = read_volume(folder / "CT_image.nii.gz", "CT")
    pet = read_volume(folder / "PET_image.nii.gz", "PET")
    mask = read_label_map(folder / "CT_mask.nii.gz", ct.grid)
    assert isinstance(mask, LabelMap)
    with pytest.raises(GeometryError, match=r"141x137x51 voxels of 0\.977x0\.977x3\.27 mm LPS"):
        read_label_map(folder / "PET_mask.nii.gz", ct.grid)
    moved = read_label_map(folder / "PET_mask.nii.gz", ct.grid, resample=True)
    both = np.count_nonzero((moved.array > 0) & (mask.array > 0))
    dice = 2 * both / (np.count_nonzero(moved.array) + np.count_nonzero(mask.array))
    assert dice > 0.85  # the same contour, drawn in on two grids
    assert pet.grid.spacing_mm[0] == 4.6875


def test_oblique_real_nifti_agrees_with_nibabel(shared_data: Path) -> None:
    path = shared_data / "ms_longitudinal/patient03/study1_FLAIR.nii.gz"
    image = _load(path)
    volume = read_volume(path, "MR", "FLAIR")
    np.testing.assert_array_equal(volume.array, image.get_fdata(dtype=np.float32))
    np.testing.assert_array_equal(volume.grid.affine, image.affine)
