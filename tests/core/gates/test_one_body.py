"""Whether CT and PET show one body, on limbs drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.gates.scan.one_body import LEAST_INFORMATION, LEAST_OUTLINE, OneBody, match_of, one_body
from core.types import Grid, Volume
from tests.orders import ALL_ORDERS, stored_as

SHAPE, MM = (60, 60, 24), 4.0


def limb(modality, shift=(0, 0), turned=False, seed=0):
    """A limb of fat with muscle and a bone off its middle: HU, or SUV of muscle and of marrow."""
    x, y, z = np.meshgrid(*(np.arange(n) * MM for n in SHAPE), indexing="ij")
    x, y = x - 120.0 - shift[0], y - 120.0 - shift[1]
    x = -x if turned else x
    muscle = np.hypot(x - 10, y * 1.2) < 60
    bone = np.hypot(x + 15 + 0.1 * z, y - 20) < 14
    tissue = (np.hypot(x, y) < 90).astype(int) + muscle + 2 * bone * muscle
    values = np.array([-1000, -100, 50, 600, 600] if modality == "CT" else [0.01, 0.3, 0.7, 1.5, 1.5])[tissue]
    values = values + np.random.default_rng(seed).normal(0, 10 if modality == "CT" else 0.02, SHAPE)
    return Volume(values.astype(np.float32), Grid(SHAPE, np.diag([-MM, -MM, MM, 1])), modality)


def test_one_body_has_no_doubts():
    found = one_body(limb("CT"), limb("PET", seed=1))
    assert found.outline is not None
    assert found.information is not None
    assert found.outline > 0.95
    assert found.information > 3 * LEAST_INFORMATION
    assert found.doubts == ()


def test_a_body_elsewhere_has_another_outline():
    found = one_body(limb("CT"), limb("PET", shift=(60, 0)))
    assert found.outline is not None
    assert found.outline < LEAST_OUTLINE
    assert found.doubts[0].startswith("the outlines of the body on CT and PET differ (Dice ")


def test_a_pet_that_fits_better_elsewhere_is_doubted_with_the_way_there():
    """Moved by 20 mm to the front: the outlines still overlap, the information is more at 20 mm than here."""
    found = one_body(limb("CT"), limb("PET", shift=(0, 20)))
    assert found.outline is not None
    assert found.outline > LEAST_OUTLINE
    assert found.elsewhere_mm == 20
    assert any("fit each other better with the PET moved by 20 mm" in doubt for doubt in found.doubts)


def test_a_pet_of_noise_in_the_same_outline_shares_no_information():
    """Uptake that has nothing to do with the CT: chance alone gives 24 x 24 bins some, which is taken off."""
    ct, noise = limb("CT"), np.random.default_rng(2).lognormal(0, 1, SHAPE)
    found = one_body(ct, Volume(noise.astype(np.float32), ct.grid, "PET"))
    assert found.information == pytest.approx(0, abs=0.01)
    assert any("tell little about each other" in doubt for doubt in found.doubts)


def test_scans_that_share_too_little_are_not_judged():
    ct = limb("CT")
    far = ct.grid.affine.copy()
    far[2, 3] += 600
    found = one_body(ct, Volume(limb("PET").array, Grid(SHAPE, far), "PET"))
    assert found == OneBody(0, None, None)
    assert not found.judged
    assert found.doubts == ()


def test_what_is_not_judged_is_a_doubt():
    small = Volume(np.zeros((6, 6, 6), np.float32), Grid((6, 6, 6), np.diag([4.0, 4, 4, 1])), "CT")
    match = match_of([small, Volume(small.array, small.grid, "PET")])
    assert match.doubts[0].startswith("Whether CT and PET show one body cannot be judged: they share 0.02 L")


def test_a_pair_without_pet_is_not_compared():
    mr = Volume(limb("CT").array, limb("CT").grid, "MR", "T1")
    assert match_of([limb("CT"), mr]).one_body is None
    assert match_of([limb("CT"), mr]).doubts == ()


@pytest.mark.parametrize("order", ALL_ORDERS)
def test_the_comparison_does_not_depend_on_the_order_of_the_axes(order):
    here = one_body(limb("CT"), limb("PET", seed=1))
    there = one_body(stored_as(limb("CT"), order), stored_as(limb("PET", seed=1), "SAR"))
    assert (there.places, there.outline) == (here.places, here.outline)
    assert there.information == pytest.approx(here.information, rel=1e-6)


def test_real_pairs_of_scans_have_no_doubts_and_another_patient_s_pet_has(shared_data):
    from core.imaging.volumes import read_volume
    from tests.bench.bench_one_body import middle, moved

    def pair(name):
        folder = shared_data / "sts" / name
        return read_volume(folder / "CT_image.nii.gz", "CT"), read_volume(folder / "PET_image.nii.gz", "PET")

    (ct, pet), (_, other) = pair("STS_008"), pair("STS_014")
    assert one_body(ct, pet).doubts == ()
    assert one_body(ct, moved(other, middle(pet.grid) - middle(other.grid))).doubts
