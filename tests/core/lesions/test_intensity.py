"""Uptake and intensities: by hand, IBSI's consensus values, what is unknown, and SimpleITK on real tumours."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from core.errors import GeometryError, InputError
from core.imaging.volumes import read_label_map, to_sitk
from core.lesions.intensity import MOST_BINS, IntensityMeasure, intensity, statistics, suv_peak, uptake
from core.types import Grid, LabelMap, Volume

GRID = Grid((20, 20, 20), np.diag([4.0, 4.0, 4.0, 1.0]))
HERE = np.ix_(range(8, 12), range(8, 12), range(8, 12))


def pet(array: np.ndarray) -> Volume:
    return Volume(array.astype(np.float32), GRID, "PET")


def lesion() -> LabelMap:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[HERE] = 3
    return LabelMap(labels, GRID)


def test_uptake_of_an_even_lesion_is_its_value_and_tlg_its_value_times_its_volume() -> None:
    found = uptake(pet(np.full(GRID.shape, 2.5)), lesion(), 3)
    assert (found.suv_max, found.suv_mean, found.suv_peak, found.peak_share) == pytest.approx((2.5, 2.5, 2.5, 1.0))
    assert (found.mtv_ml, found.tlg_g) == pytest.approx((64 * 0.064, 2.5 * 64 * 0.064))
    assert (found.voxels, found.voxels_without_value) == (64, 0)


def test_the_peak_is_the_mean_of_one_millilitre_and_reaches_beyond_the_lesion() -> None:
    """One voxel of 64 mm3 at SUV 10 wholly inside the sphere of 1,000 mm3 in nothing: 0.64."""
    array = np.zeros(GRID.shape)
    array[9, 9, 9] = 10
    found = uptake(pet(array), lesion(), 3)
    assert found.suv_max == 10
    assert found.suv_peak == pytest.approx(0.64, rel=0.002)
    beside = np.zeros(GRID.shape)
    beside[9, 9, 7] = 10  # not of the lesion, 4 mm from its nearest voxel's centre
    outside = uptake(pet(beside), lesion(), 3)
    assert outside.suv_peak is not None
    assert outside.suv_max == 0
    assert 0.62 < outside.suv_peak < 0.64, "the sphere cuts its corners"


def test_the_peak_finds_the_hottest_place_and_is_never_above_the_maximum() -> None:
    rng = np.random.default_rng(1)
    image, mask = rng.random((9, 8, 7)) * 5, rng.random((9, 8, 7)) < 0.3
    spacing = (4.1, 3.0, 5.0)
    found = suv_peak(image, mask, spacing)
    assert found is not None
    offsets = np.argwhere(np.ones((9, 8, 7)))
    parts = (np.stack(np.meshgrid(*[np.arange(10)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.5) / 10 - 0.5
    means = []
    for centre in np.argwhere(mask):
        where = (offsets - centre)[:, None] + parts[None]
        share = (((where * spacing) ** 2).sum(-1) <= (3000 / (4 * np.pi)) ** (2 / 3)).mean(1)
        means.append((share @ image.ravel()) / share.sum())
    assert found[0] == pytest.approx(max(means), rel=0.02), "parts ten times as coarse"
    assert found[0] < image.max()


def test_ibsis_global_intensity_peak_is_met_by_its_rule_of_whole_voxels(shared_data: Path) -> None:
    """3.1 in the reference manual, section 3.2.2; the sphere leaves the phantom, and the rest of it counts."""
    image = nib.nifti1.load(shared_data / "ibsi" / "digital_phantom_image.nii.gz").get_fdata()
    mask = nib.nifti1.load(shared_data / "ibsi" / "digital_phantom_mask.nii.gz").get_fdata() > 0
    found = suv_peak(image, mask, (2.0, 2.0, 2.0), whole_voxels=True)
    assert found is not None
    assert found[0] == pytest.approx(3.1, abs=0.05)
    assert found[1] < 1


def test_ibsis_statistics_are_met(shared_data: Path) -> None:
    """The reference manual's phantom, section 3.3: mean 2.15, variance 3.05, median 1, P90 4, least 1, most 6."""
    image = nib.nifti1.load(shared_data / "ibsi" / "digital_phantom_image.nii.gz").get_fdata()
    mask = nib.nifti1.load(shared_data / "ibsi" / "digital_phantom_mask.nii.gz").get_fdata() > 0
    found = statistics(image[mask], 1.0)
    assert (found.mean, found.median, found.least, found.greatest) == pytest.approx((2.15, 1, 1, 6), abs=5e-3)
    assert found.sd is not None
    assert found.sd**2 == pytest.approx(3.05, abs=5e-3)
    assert found.p75 is not None
    assert found.p25 is not None
    assert found.p75 - found.p25 == pytest.approx(3.0), "IBSI's interquartile range"


def test_values_that_are_not_finite_are_left_out_and_counted_and_the_sum_is_unknown() -> None:
    array = np.full(GRID.shape, 2.0)
    array[9, 9, 9], array[8, 8, 8] = np.nan, np.inf
    found = uptake(pet(array), lesion(), 3)
    assert (found.suv_max, found.suv_mean, found.suv_peak) == pytest.approx((2.0, 2.0, 2.0))
    assert (found.voxels, found.voxels_without_value, found.tlg_g) == (62, 2, None)
    assert found.mtv_ml == pytest.approx(64 * 0.064), "the mask's volume is known all the same"
    array[HERE] = np.nan
    none = uptake(pet(array), lesion(), 3)
    assert (none.suv_max, none.suv_mean, none.suv_peak, none.peak_share, none.tlg_g) == (None,) * 5


def test_a_lesion_at_the_images_edge_says_that_its_peak_is_of_part_of_a_sphere() -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[0, 10, 10] = 1
    found = uptake(pet(np.full(GRID.shape, 3.0)), LabelMap(labels, GRID), 1)
    assert found.suv_peak == pytest.approx(3.0)
    assert found.peak_share is not None
    assert 0.5 < found.peak_share < 0.9


def test_a_lesion_that_is_not_there_has_no_values_and_not_zero() -> None:
    found = uptake(pet(np.ones(GRID.shape)), lesion(), 1)
    assert (found.suv_max, found.suv_mean, found.suv_peak, found.tlg_g, found.mtv_ml) == (None, None, None, None, 0.0)
    assert intensity(pet(np.ones(GRID.shape)), lesion(), 1) == IntensityMeasure(0, 0)


def test_statistics_and_bins_by_hand() -> None:
    found = statistics(np.array([0.0, 10, 20, 30, 40, np.nan]), 25.0)
    assert (found.voxels, found.voxels_without_value, found.mean, found.median) == (5, 1, 20, 20)
    assert (found.p5, found.p25, found.p75, found.p95) == pytest.approx((2, 10, 30, 38))
    assert found.sd == pytest.approx(math.sqrt(200))
    assert found.histogram is not None
    assert (found.histogram.edges, found.histogram.counts) == ((0, 25, 50), (3, 2))
    edge = statistics(np.array([-25.0, 25.0]), 25.0).histogram
    assert edge is not None
    assert (edge.edges, edge.counts) == ((-25, 0, 25, 50), (1, 0, 1)), "a value on an edge is in the bin above"
    one = statistics(np.array([7.0]))
    assert (one.mean, one.sd) == (7, None), "one value has no spread"
    wide = statistics(np.array([0.0, 1e7]), 0.25).histogram
    assert wide is not None
    assert len(wide.counts) <= MOST_BINS
    assert sum(wide.counts) == 2


def test_what_cannot_be_measured_is_refused() -> None:
    other = Grid(GRID.shape, np.diag([4.0, 4.0, 4.5, 1.0]))
    with pytest.raises(GeometryError, match="Resample"):
        uptake(Volume(np.ones(GRID.shape, np.float32), other, "PET"), lesion(), 3)
    with pytest.raises(InputError, match="PET"):
        uptake(Volume(np.ones(GRID.shape, np.float32), GRID, "CT"), lesion(), 3)
    with pytest.raises(InputError, match="bin width"):
        statistics(np.ones(3), 0.0)
    with pytest.raises(GeometryError, match="like the mask"):
        suv_peak(np.ones((3, 3, 3)), np.ones((3, 3, 2), bool), (1, 1, 1))


@pytest.mark.parametrize(("patient", "kind"), [("STS_003", "PET"), ("STS_014", "CT"), ("STS_003", "MR_T1")])
def test_a_real_tumours_intensities_are_simpleitks(shared_data: Path, patient: str, kind: str) -> None:
    labels = read_label_map(shared_data / "sts" / patient / f"{kind}_mask.nii.gz")
    image = nib.nifti1.load(shared_data / "sts" / patient / f"{kind}_image.nii.gz").get_fdata(dtype=np.float32)
    volume = Volume(image, labels.grid, "CT" if kind == "CT" else "PET" if kind == "PET" else "MR")
    theirs = sitk.LabelStatisticsImageFilter()
    theirs.Execute(to_sitk(volume.array, labels.grid), to_sitk(labels.array, labels.grid))
    found = intensity(volume, labels, 1)
    assert found.sd is not None
    assert found.voxels == theirs.GetCount(1)
    sample_sd = found.sd * math.sqrt(found.voxels / (found.voxels - 1))
    expected = [theirs.GetMean(1), theirs.GetSigma(1), theirs.GetMinimum(1), theirs.GetMaximum(1)]
    assert [found.mean, sample_sd, found.least, found.greatest] == pytest.approx(expected, rel=1e-6)
