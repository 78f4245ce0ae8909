"""A PET that covers only a part of the CT, or none: said or refused before the network runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.engines.auto.nnunet import load_segmenter
from core.errors import GeometryError
from core.simulation.demo_stories import DEMO
from core.simulation.demo_timepoints import demo_timepoint
from core.types import Grid

MODEL = "sts-ctpet-small"


@pytest.fixture(scope="module")
def visit():
    return demo_timepoint(next(story for story in DEMO if story.patient_id == "DEMO-02"), 0).scan


def first_slices(pet, count):
    return replace(pet, array=pet.array[:, :, :count], grid=Grid((*pet.grid.shape[:2], count), pet.grid.affine))


def moved_up(pet, by_mm):
    affine = pet.grid.affine.copy()
    affine[2, 3] += by_mm
    return replace(pet, grid=Grid(pet.grid.shape, affine))


def test_a_pet_that_misses_the_ct_is_refused_before_the_network_runs(visit):
    said: list[str] = []
    with pytest.raises(GeometryError, match="The PET covers none of the CT"):
        load_segmenter(MODEL).segment([visit.ct, moved_up(visit.pet, 600)], lambda _, message: said.append(message))
    assert not [message for message in said if message.startswith("window")]


def test_a_third_of_a_pet_is_refused_with_its_share(visit):
    with pytest.raises(GeometryError, match=r"The PET covers 36 % of the CT \(35 % of the body on it\)"):
        load_segmenter(MODEL).segment([visit.ct, first_slices(visit.pet, 20)])


def test_most_of_a_pet_is_used_and_its_share_is_told(visit):
    answer = load_segmenter(MODEL).segment([visit.ct, first_slices(visit.pet, 42)])
    (found,) = answer.coverage
    assert found.field == pytest.approx(42 / 56)
    assert not found.whole
    assert answer.labels.array.any()


def test_a_whole_pet_says_nothing(visit):
    (found,) = load_segmenter(MODEL).segment([visit.ct, visit.pet]).coverage
    assert (found.field, found.whole) == (1.0, True)
