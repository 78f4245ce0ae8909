"""What scans show in lesions: hand-computed phantoms, scans on another grid, what is not known, and real PET/CT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.imaging.volumes import read_label_map, read_volume
from core.review.measure_table import csv_rows, definition, measure_rows
from core.review.scan_measures import NO_LEAN_MASS, LookedAt, measured_version, on_scan
from core.types import Grid, LabelMap, MaskRecord, Scan, Volume

FINE = Grid((40, 40, 40), np.diag([1.0, 1.0, 1.0, 1.0]))
#: Each voxel holds 2 x 2 x 2 of the fine ones.
COARSE_AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
COARSE_AFFINE[:3, 3] = 0.5
COARSE = Grid((20, 20, 20), COARSE_AFFINE)


def scan_of(volume: Volume, **metadata: Any) -> Scan:
    return Scan(
        volume.channel, "d", "P1", "2024-01-01", volume.modality, volume.sequence, "x.nii.gz", volume.grid.shape,
        volume.grid.spacing_mm, "RAS", volume.channel, volume.channel, metadata,
    )  # fmt: skip


def looked(array: np.ndarray, grid: Grid, modality: Any, **metadata: Any) -> LookedAt:
    volume = Volume(array.astype(np.float32), grid, modality)
    return LookedAt(scan_of(volume, **metadata), volume)


def cube(start: int, stop: int, grid: Grid = FINE) -> LabelMap:
    array = np.zeros(grid.shape, np.uint8)
    array[start:stop, start:stop, start:stop] = 1
    return LabelMap(array, grid)


def test_a_ct_on_the_masks_grid_gives_its_voxels_statistics():
    array = np.full(FINE.shape, -100.0)
    array[10:20, 10:20, 10:15], array[10:20, 10:20, 15:20] = 20, 40
    (found,) = on_scan(cube(10, 20), looked(array, FINE, "CT"))
    assert found.seen is not None
    assert (found.seen.voxels, found.seen.mean, found.seen.sd) == (1000, 30.0, 10.0)
    assert (found.unit, found.carried, found.suv_peak, found.why) == ("HU", False, None, ())


def test_a_pet_on_another_grid_is_measured_on_its_own_voxels():
    """20 x 20 x 20 mm of SUV 4, one voxel of 12; the sphere of 1 mL at a corner of 27 mL of 2 mm voxels."""
    array = np.full(COARSE.shape, 4.0)
    array[9, 9, 9] = 12.0
    (found,) = on_scan(cube(10, 30), looked(array, COARSE, "PET", lean_mass_ratio=0.75))
    assert found.carried
    assert found.uptake is not None
    assert found.seen is not None
    assert (found.uptake.suv_max, found.seen.voxels, found.mtv_ml) == (12.0, 1000, pytest.approx(8.0))
    assert found.uptake.suv_mean == pytest.approx(4.008)
    assert found.tlg_g == pytest.approx(4.008 * 8)
    assert found.suv_peak is not None
    assert found.suv_peak == pytest.approx(4 + 8 * 8 / 1000, abs=1e-3), "one voxel of 8 of the sphere's 1000 mm3"
    assert found.sul_peak == pytest.approx(0.75 * found.suv_peak)
    assert found.why == ()


@pytest.mark.parametrize(
    ("mask", "image", "known", "word"),
    [
        (cube(10, 30), np.full(COARSE.shape, 25000.0), set(), "not in SUV"),
        (cube(0, 8), np.full(COARSE.shape, 4.0), {"uptake", "mtv_ml", "tlg_g"}, "sphere of SUVpeak lies outside"),
        (
            cube(16, 24),
            np.full(COARSE.shape, 4.0),
            {"uptake", "mtv_ml", "tlg_g", "suv_peak"},
            "smaller than the sphere",
        ),
    ],
)
def test_what_is_not_known_is_none_and_says_why(mask: LabelMap, image: np.ndarray, known: set[str], word: str):
    (found,) = on_scan(mask, looked(image, COARSE, "PET"))
    assert {name for name in ("uptake", "mtv_ml", "tlg_g", "suv_peak", "sul_peak") if getattr(found, name)} == known
    assert word in " ".join(found.why)
    assert (NO_LEAN_MASS in found.why) == bool(known)


def test_a_lesion_off_the_scan_or_a_scan_that_cannot_be_read_is_not_measured():
    away = COARSE.affine.copy()
    away[0, 3] = 500.0
    off = on_scan(cube(10, 30), looked(np.ones(COARSE.shape), Grid(COARSE.shape, away), "PET"))[0]
    assert (off.seen, off.mtv_ml) == (None, None)
    assert "cannot be carried" in off.why[0]
    away[0, 3] = 20.5
    part = on_scan(cube(10, 30), looked(np.ones(COARSE.shape), Grid(COARSE.shape, away), "PET"))[0]
    assert (part.mtv_ml, part.tlg_g) == (None, None), "half of a lesion has no MTV of the whole"
    assert "50 % of it lies outside the scan" in part.why[0]
    lost = LookedAt(scan_of(Volume(np.zeros(FINE.shape, np.float32), FINE, "CT")), None, "The file is lost.")
    (found,) = on_scan(cube(10, 20), lost)
    assert (found.seen, found.why) == (None, ("The file is lost.",))


@pytest.mark.parametrize("patient", ["STS_008", "STS_003"])
def test_a_real_tumour_drawn_on_the_ct_has_the_uptake_that_its_contour_on_the_pet_has(shared_data, patient: str):
    folder = shared_data / "sts" / patient
    ct, pet = read_volume(folder / "CT_image.nii.gz", "CT"), read_volume(folder / "PET_image.nii.gz", "PET")
    drawn = read_label_map(folder / "CT_mask.nii.gz", ct.grid)
    (carried,) = on_scan(drawn, LookedAt(scan_of(pet), pet))
    (own,) = on_scan(read_label_map(folder / "PET_mask.nii.gz", pet.grid), LookedAt(scan_of(pet), pet))
    assert carried.uptake is not None
    assert own.uptake is not None
    assert carried.uptake.suv_max == pytest.approx(own.uptake.suv_max, rel=0.02)
    assert carried.suv_peak == pytest.approx(own.suv_peak, rel=0.02)
    assert carried.uptake.suv_mean == pytest.approx(own.uptake.suv_mean, rel=0.05)
    assert carried.mtv_ml == pytest.approx(own.mtv_ml, rel=0.05)


def test_the_table_has_the_same_columns_in_every_row_each_with_its_definition():
    array = np.zeros(FINE.shape, np.uint8)
    array[5:15, 5:15, 5:15], array[25:35, 25:35, 25:35] = 1, 2
    labels = LabelMap(array, FINE)
    scans = [looked(np.full(FINE.shape, 30.0), FINE, "CT"), looked(np.full(COARSE.shape, 3.0), COARSE, "PET")]
    found = measured_version(labels, scans, None)
    lesions = tuple({"label": n, "lesion_id": name} for n, name in ((1, "L4"), (2, "L1")))
    record = MaskRecord(
        "m", "P1", "2024-01-01", 3, None, "manual", None, (), "ann", "proposed", "", None, 0.0, 0, 0, 0, None, "", "ab",
        None, lesions, {},
    )  # fmt: skip
    rows = measure_rows(record, found)
    assert [row["Lesion"] for row in rows] == ["L4", "L1"]
    assert list(rows[0]) == list(rows[1])
    assert rows[0]["PET MTV (mL)"] == pytest.approx(1.0)
    assert rows[0]["CT mean (HU)"] == 30.0
    assert all(definition(name) for name in rows[0] if name != "Lesion")
    assert "0.4 to 0.8 pixels too long" in definition("Longest (mm)")
    assert "1 mL" in definition("PET SUVpeak")
    assert NO_LEAN_MASS in str(csv_rows(record, found)[0]["Not known"])
