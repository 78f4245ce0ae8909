"""How much of a CT its PET covers, on grids whose share is plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import GeometryError
from core.imaging.coverage import LEAST_SHARE, check_coverage, coverage, partial_words
from core.types import Grid, Volume
from tests.orders import ALL_ORDERS, stored_as


def scan(modality, shape, spacing, origin=(0.0, 0.0, 0.0), value=0.0):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Volume(np.full(shape, value, np.float32), Grid(shape, affine), modality)


CT = scan("CT", (20, 20, 50), (2, 2, 4))


def pet_of(slices: int, first: int = 0, shift=(0.0, 0.0, 0.0)):
    """5 x 5 voxels of 8 mm over the CT's 20 x 20 of 2 mm, the CT's own slices from `first` on."""
    return scan("PET", (5, 5, slices), (8, 8, 4), np.add((3, 3, 4.0 * first), shift))


@pytest.mark.parametrize(
    ("pet", "share"),
    [
        (pet_of(50), 1.0),
        (pet_of(18), 18 / 50),
        (pet_of(25, first=25), 0.5),
        (pet_of(50, shift=(0, 0, 600)), 0.0),
        (pet_of(50, shift=(20, 0, 0)), 0.5),
        (pet_of(50, shift=(-20, 20, 100)), 0.5**3),
    ],
)
def test_the_share_of_the_field(pet, share):
    assert coverage(CT, pet).field == pytest.approx(share)
    assert coverage(CT, pet).body == pytest.approx(share)


def test_the_body_counts_where_a_ct_shows_it():
    """A body in the lowest 20 of 50 slices, all of which the PET has; above it is air."""
    array = np.full(CT.grid.shape, -1000, np.float32)
    array[5:15, 5:15, :20] = 40
    found = coverage(Volume(array, CT.grid, "CT"), pet_of(20))
    assert (found.field, found.body, found.whole) == (0.4, 1.0, True)


def test_a_reference_that_does_not_show_the_body_goes_by_the_field():
    mr = scan("MR", CT.grid.shape, CT.grid.spacing_mm)
    assert coverage(mr, pet_of(25)).body is None
    assert coverage(mr, pet_of(25)).share == 0.5


def test_a_ct_of_air_alone_goes_by_the_field():
    assert coverage(scan("CT", (20, 20, 50), (2, 2, 4), value=-1000), pet_of(25)).share == 0.5


@pytest.mark.parametrize("order", ALL_ORDERS)
def test_the_share_does_not_depend_on_the_order_of_the_axes(order):
    found = coverage(stored_as(CT, order), stored_as(pet_of(18), "RAS"))
    assert (found.field, found.body) == pytest.approx((0.36, 0.36))


def test_a_field_of_many_voxels_is_looked_at_in_places():
    wide = scan("CT", (300, 4, 4), (1, 1, 1))
    half = scan("PET", (150, 4, 4), (1, 1, 1))
    assert coverage(wide, half).field == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("pet", "says"),
    [
        (pet_of(18), r"The PET covers 36 % of the CT \(36 % of the body on it\); expected at least 50 %"),
        (pet_of(50, shift=(0, 0, 600)), "The PET covers none of the CT; expected at least 50 %"),
    ],
)
def test_too_little_is_refused_in_words(pet, says):
    with pytest.raises(GeometryError, match=says):
        check_coverage([CT, pet])


def test_a_part_is_told():
    (found,) = check_coverage([CT, pet_of(35)])
    assert LEAST_SHARE < found.share < 0.9
    assert partial_words(found).startswith("The PET covers 70 % of the CT (70 % of the body on it): where there")
    assert not found.whole


def test_one_scan_alone_has_nothing_to_cover():
    assert check_coverage([CT]) == ()
