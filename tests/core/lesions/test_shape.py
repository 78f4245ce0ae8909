"""Shape features against IBSI's consensus, pyradiomics' own baseline, and masks that are hardly shapes."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from core.errors import GeometryError, InputError
from core.imaging.image_files import read_image
from core.lesions.shape import IBSI_NAMES, VECTOR_NAMES, diameters_2d_mm, ibsi_morphology, mesh_of, shape_vector

pytestmark = pytest.mark.filterwarnings("error")

CUBE = (2.0, 2.0, 2.0)


def test_every_ibsi_value_is_met_within_its_tolerance(shared_data: Path):
    mask = nib.nifti1.load(shared_data / "ibsi" / "digital_phantom_mask.nii.gz").get_fdata() > 0
    image = nib.nifti1.load(shared_data / "ibsi" / "digital_phantom_image.nii.gz").get_fdata()
    with (shared_data / "ibsi" / "reference_morphology.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    found = ibsi_morphology(mask, CUBE, image)
    assert set(found) == {row["feature"] for row in rows}
    wrong = {
        row["feature"]: (found[row["feature"]], row["reference"])
        for row in rows
        if abs(found[row["feature"]] - float(row["reference"])) > float(row["tolerance"])
    }
    assert not wrong


def _pyradiomics_names(mask: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, float]:
    found, planar = ibsi_morphology(mask, spacing, ddof=0), diameters_2d_mm(mask, spacing)
    return {
        "VoxelVolume": found["volume_voxel"],
        "MajorAxisLength": found["major_axis_length"],
        "MinorAxisLength": found["minor_axis_length"],
        "LeastAxisLength": found["least_axis_length"],
        "Elongation": found["elongation"],
        "Flatness": found["flatness"],
        "Maximum3DDiameter": found["maximum_3d_diameter"],
        "Maximum2DDiameterSlice": planar["slice"],
        "Maximum2DDiameterColumn": planar["column"],
        "Maximum2DDiameterRow": planar["row"],
        "MeshVolume": found["volume_mesh"],
        "SurfaceArea": found["surface_area_mesh"],
        "Sphericity": found["sphericity"],
        "SurfaceVolumeRatio": found["surface_to_volume_ratio"],
    }


# brain1 has cube faces whose inside voxels meet at a corner only; there the two marching cubes differ
# (core.lesions.shape).
@pytest.mark.parametrize(("case", "mesh_tolerance"), [("brain1", 3e-3), ("breast1", 1e-9), ("lung1", 1e-9)])
def test_pyradiomics_baseline_is_met_with_population_covariance(shared_data: Path, case: str, mesh_tolerance: float):
    folder = shared_data / "radiomics_baseline"
    with (folder / "baseline_shape.csv").open() as stream:
        baseline = {row["featureName"].removeprefix("original_shape_"): row[case] for row in csv.DictReader(stream)}
    image = read_image(folder / f"{case}_label.nrrd")
    found = _pyradiomics_names(image.array == 1, image.grid.spacing_mm)
    mesh = {"MeshVolume", "SurfaceArea", "Sphericity", "SurfaceVolumeRatio"}
    for name, value in found.items():
        assert value == pytest.approx(float(baseline[name]), rel=mesh_tolerance if name in mesh else 1e-9), name


def test_sample_covariance_gives_longer_axes_than_population_covariance():
    mask = np.ones((5, 4, 3), dtype=bool)
    sample, population = ibsi_morphology(mask, CUBE), ibsi_morphology(mask, CUBE, ddof=0)
    assert sample["major_axis_length"] == pytest.approx(population["major_axis_length"] * np.sqrt(60 / 59))
    # The variance of 0, 2, 4, 6, 8 mm is 8 mm2.
    assert population["major_axis_length"] == pytest.approx(4 * np.sqrt(8))


def test_one_voxel_is_an_octahedron():
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = True
    found = ibsi_morphology(mask, CUBE, np.ones(mask.shape))
    assert found["volume_mesh"] == pytest.approx(8 / 6)
    assert found["volume_voxel"] == pytest.approx(8)
    assert found["surface_area_mesh"] == pytest.approx(8 * np.sqrt(3) / 4 * 2)
    assert found["maximum_3d_diameter"] == pytest.approx(2)
    assert found["volume_density_convex_hull"] == pytest.approx(1)
    assert (found["major_axis_length"], found["elongation"], found["flatness"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("shape", "zero"),
    [
        ((5, 1, 1), {"minor_axis_length", "least_axis_length", "elongation", "flatness"}),
        ((1, 4, 4), {"least_axis_length", "flatness"}),
        ((2, 2, 2), set()),
    ],
)
def test_lines_and_flat_masks_have_finite_documented_answers(shape: tuple[int, int, int], zero: set[str]):
    mask = np.ones(shape, dtype=bool)
    found = ibsi_morphology(mask, (1.0, 1.5, 3.0))
    assert np.isfinite(list(found.values())).all()
    assert {name for name, value in found.items() if value == 0} == zero
    vector = shape_vector(mask, (1.0, 1.5, 3.0))[1]
    assert np.isfinite(vector).all()


def test_an_empty_mask_has_zeros_and_no_vector():
    empty = np.zeros((3, 3, 3), dtype=bool)
    assert ibsi_morphology(empty, CUBE, np.ones(empty.shape)) == dict.fromkeys(IBSI_NAMES, 0.0)
    assert diameters_2d_mm(empty, CUBE) == {"slice": 0, "column": 0, "row": 0}
    assert mesh_of(empty, CUBE).volume_mm3 == 0
    with pytest.raises(InputError, match="empty"):
        shape_vector(empty, CUBE)


def test_the_shift_of_centre_of_mass_needs_an_image_of_the_masks_shape():
    mask = np.ones((3, 1, 1), dtype=bool)
    assert "centre_of_mass_shift" not in ibsi_morphology(mask, CUBE)
    image = np.array([0.0, 0, 5]).reshape(3, 1, 1)
    assert ibsi_morphology(mask, CUBE, image)["centre_of_mass_shift"] == pytest.approx(2)
    assert ibsi_morphology(mask, CUBE, image * 0)["centre_of_mass_shift"] == 0
    with pytest.raises(GeometryError, match="like the mask"):
        ibsi_morphology(mask, CUBE, np.ones((2, 1, 1)))


def _vector(mask: np.ndarray) -> dict[str, float]:
    return dict(zip(*shape_vector(mask, (1.0, 1.0, 2.0)), strict=True))


def test_the_vector_does_not_depend_on_where_in_the_scan_the_mask_lies():
    a, b = np.zeros((20, 20, 20), dtype=bool), np.zeros((30, 20, 20), dtype=bool)
    a[5:10, 5:9, 5:8] = b[12:17, 2:6, 9:12] = True
    assert shape_vector(a, CUBE)[1] == pytest.approx(shape_vector(b, CUBE)[1], abs=1e-6)
    assert shape_vector(a, CUBE)[0] == VECTOR_NAMES


def test_pieces_and_border_contact_are_in_the_vector():
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[2:5, 2:5, 2:5] = True
    one = _vector(mask)
    assert (one["log_component_count"], one["largest_component_share"], one["border_contact"]) == (0, 1, 0)
    mask[7, 7, 7:10] = True
    two = _vector(mask)
    assert two["log_component_count"] == pytest.approx(np.log(2))
    assert two["largest_component_share"] == pytest.approx(27 / 30)
    # Border voxels: 26 of the cube (its middle is inside) and the 3 of the bar, of which one lies in the last slice.
    assert two["border_contact"] == pytest.approx(1 / 29)


def test_scaling_a_shape_moves_logs_only():
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[3:9, 3:8, 3:7] = True
    small, large = (dict(zip(*shape_vector(mask, (s, s, s)), strict=True)) for s in (1.0, 2.0))
    assert large["log_volume"] - small["log_volume"] == pytest.approx(np.log(8), abs=1e-5)
    for name in ("elongation", "flatness", "convex_hull_density", "bounding_box_density"):
        assert large[name] == pytest.approx(small[name], abs=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("start", "share"), [(0, 16 / 56), (1, 0.0), (5, 0.0), (6, 16 / 56)])
def test_border_contact_is_the_share_of_the_border_that_lies_on_the_scan_s_first_or_last_layer(axis, start, share):
    mask = np.zeros((10, 10, 10), dtype=bool)
    place = [slice(3, 7)] * 3
    place[axis] = slice(start, start + 4)
    mask[tuple(place)] = True
    assert dict(zip(*shape_vector(mask, CUBE), strict=True))["border_contact"] == pytest.approx(share)
