"""What an engine finds lies at the same place of the body, however the files order their axes."""

from __future__ import annotations

import numpy as np
import pytest

from core.engines.auto.nnunet import load_segmenter
from core.simulation.demo_stories import DEMO
from core.simulation.demo_timepoints import demo_timepoint
from tests.orders import ALL_ORDERS, stored_as

MODEL = "sts-ctpet-small"


@pytest.fixture(scope="module")
def visit():
    """DEMO-02 on 2025-01-20: CT and PET, stored LPS."""
    story = next(story for story in DEMO if story.patient_id == "DEMO-02")
    found = demo_timepoint(story, 0)
    assert found.date == "2025-01-20"
    return found.scan


@pytest.fixture(scope="module")
def in_training_order(visit):
    return load_segmenter(MODEL).segment([visit.ct, visit.pet]).labels


def is_found_in_order(visit, in_training_order, ct_order: str, pet_order: str) -> None:
    ct, pet = stored_as(visit.ct, ct_order), stored_as(visit.pet, pet_order)
    labels = load_segmenter(MODEL).segment([ct, pet]).labels
    assert labels.grid is ct.grid
    assert np.array_equal(stored_as(labels, "LPS").array, in_training_order.array)


def test_the_phantom_s_tumour_is_found(in_training_order):
    assert in_training_order.volume_mm3 == pytest.approx(151_500, rel=0.01)


@pytest.mark.parametrize(("ct_order", "pet_order"), [("RAS", "RAS"), ("SLP", "SLP"), ("AIR", "LPS")])
def test_the_network_finds_the_same_whatever_the_order(visit, in_training_order, ct_order, pet_order):
    is_found_in_order(visit, in_training_order, ct_order, pet_order)


@pytest.mark.soak
@pytest.mark.parametrize("order", ALL_ORDERS)
def test_the_network_finds_the_same_in_all_48_orders(visit, in_training_order, order):
    is_found_in_order(visit, in_training_order, order, order)


def test_logits_lie_where_their_labels_do(visit):
    ct, pet = stored_as(visit.ct, "SLP"), stored_as(visit.pet, "RAS")
    answer = load_segmenter(MODEL).segment([ct, pet], logits=True)
    assert answer.logits is not None
    assert answer.logits.shape[1:] == ct.grid.shape
    assert np.array_equal(answer.logits.argmax(axis=0), answer.labels.array)


def test_labels_on_a_reference_that_is_no_channel_of_the_network_s_order_lie_on_its_own_grid(visit):
    """The first volume's grid is another than the first channel's, and stored in another order."""
    pet_first = load_segmenter(MODEL).segment([visit.pet, visit.ct]).labels
    turned = load_segmenter(MODEL).segment([stored_as(visit.pet, "SAR"), stored_as(visit.ct, "RIP")]).labels
    assert np.array_equal(stored_as(turned, "LPS").array, pet_first.array)
    assert pet_first.array.any()
