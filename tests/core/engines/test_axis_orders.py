"""What an engine finds lies at the same place of the body, however the files order their axes."""

from __future__ import annotations

import time

import numpy as np
import pytest

from core.engines.auto.nnunet import load_segmenter
from core.engines.base import SliceMask
from core.engines.prompt.medsam import load_prompt_segmenter
from core.engines.prompt.preparing import to_uint8
from core.engines.propagation import planes
from core.engines.propagation.planes import in_plane
from core.engines.propagation.propagation import segment_from_prompts
from core.engines.service.prompt_worker import Prepared, Worker
from core.lesions.mask_bits import unpack
from core.simulation.demo_stories import DEMO
from core.simulation.demo_timepoints import demo_timepoint
from core.types import Grid, LabelMap, Prompt, Volume
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


class Corner:
    """A model that is no mirror of itself: what is bright in the left upper part of the box, and half of the rest."""

    model_id, checkpoint_sha256 = "corner", "0" * 64

    def embed(self, image):
        return image

    def predict(self, embedding, prompts, prior=None):
        mask = np.zeros(embedding.shape, dtype=bool)
        for prompt in prompts:
            x0, y0, x1, y1 = (round(c) for c in prompt.coords)
            mask[x0 : x1 + 1, y0 : y1 + 1] = True
            mask[(x0 + x1) // 2 :, (y0 + y1) // 2 :] = False
        return SliceMask(mask & (embedding > 100), 0.9)


def a_lesion():
    """CT of 1 x 1.5 x 3 mm in LPS, and a lopsided lesion in it."""
    i, j, k = np.indices((40, 36, 15))
    lesion = ((i - 20) / 9) ** 2 + ((j - 16) / 7) ** 2 + ((k - 7) / 4) ** 2 < 1
    lesion |= ((i - 25) / 4) ** 2 + ((j - 20) / 6) ** 2 + ((k - 8) / 3) ** 2 < 1
    grid = Grid(lesion.shape, np.diag([-1.0, -1.5, 3.0, 1.0]))
    return Volume(np.where(lesion, 100, -100).astype(np.float32), grid, "CT"), LabelMap(lesion.astype(np.uint8), grid)


def box_on(mask, axis, k):
    """The box around the mask's slice `k` across `axis`."""
    first, second = (np.flatnonzero(mask.take(k, axis).any(1 - n)) for n in (0, 1))
    return Prompt("box", k, (float(first[0]), float(second[0]), float(first[-1]), float(second[-1])))


@pytest.mark.parametrize("order", ALL_ORDERS)
def test_a_propagation_finds_the_same_along_the_same_plane_of_the_body(order):
    """The file's slices lie across another axis of the body by order; across which one is the person's choice."""
    scan, lesion = a_lesion()
    stored, drawn = stored_as(scan, order), stored_as(lesion, order).array > 0
    across = next(n for n, pair in enumerate(("RL", "AP", "SI")) if order[2] in pair)
    plain = {0: "PSL", 1: "LSP", 2: "LPS"}[across]  # nothing flipped, slices across the same axis of the body
    straight, there = stored_as(scan, plain), stored_as(lesion, plain).array > 0
    k = {0: 20, 1: 16, 2: 7}[across]
    expected = segment_from_prompts(straight, [box_on(there, 2, k)], Corner(), True)
    here = drawn.shape[2] - 1 - k if order[2] in "RAI" else k
    found = segment_from_prompts(stored, [box_on(drawn, 2, here)], Corner(), True)
    back = stored_as(LabelMap(found.mask.astype(np.uint8), stored.grid), plain)
    assert expected.mask[..., k - 1].any()
    assert np.array_equal(back.array > 0, expected.mask)
    turned = {(stop.direction if here == k else -stop.direction, stop.rule) for stop in found.stops}
    assert turned == {(stop.direction, stop.rule) for stop in expected.stops}


@pytest.mark.parametrize("order", ALL_ORDERS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_is_turned_to_anatomical_order_and_back(order, axis):
    scan, _ = a_lesion()
    stored = stored_as(scan, order)
    plane = planes.plane_order(stored.grid, axis)
    k = 3
    shown = planes.take_slice(scan.array, plane.across, plane.index(k))
    image = planes.take_slice(stored.array, axis, k)
    assert np.array_equal(plane.image(image), shown)
    assert np.array_equal(plane.image_back(shown), image)
    assert np.array_equal(plane.volume(stored.array)[:, :, plane.index(k)], shown)
    assert plane.grid.shape[:2] == shown.shape
    rng = np.random.default_rng(0)
    x, y = (int(rng.integers(n)) for n in image.shape)
    (point,) = plane.prompts([Prompt("point", k, (x, y))])
    here = np.insert([float(x), float(y)], axis, k)
    there = np.array([*point.coords, point.slice])
    np.testing.assert_allclose(plane.grid.to_mm(there[None]), stored.grid.to_mm(here[None]), atol=1e-9)
    (box,) = plane.prompts([Prompt("box", k, (1, 2, 4, 6))])
    assert box.coords[0] < box.coords[2]
    assert box.coords[1] < box.coords[3]


@pytest.mark.parametrize("order", ["RAS", "SLP", "PIR"])
def test_litemedsam_finds_the_same(visit, order):
    segmenter = load_prompt_segmenter()
    lesion = np.zeros(visit.ct.grid.shape, np.uint8)
    lesion[70:110, 60:100, 28] = 1  # on the axial slice 28
    (box,) = [box_on(lesion > 0, 2, 28)]
    grey = to_uint8(visit.ct.array, "CT")
    expected = segmenter.predict(segmenter.embed(grey[:, :, 28]), [box]).mask
    stored = stored_as(visit.ct, order)
    drawn = stored_as(LabelMap(lesion, visit.ct.grid), order).array > 0
    axis = next(n for n, letter in enumerate(order) if letter in "SI")
    k = int(np.flatnonzero(drawn.any(tuple(n for n in range(3) if n != axis)))[0])
    told: list[dict] = []
    worker = Worker(told.append)
    worker._scans["x" * 64] = Prepared(to_uint8(stored.array, "CT"), stored.grid)
    prompt = box_on(drawn, axis, k).to_json()
    request = {"id": 1, "do": "predict", "axis": axis, "slice": k, "prompts": [prompt], "scan": {"sha256": "x" * 64}}
    worker._predict({**request, "came": time.perf_counter()})
    (x, y), mask = in_plane(stored.grid.shape, axis), told[0]["value"]
    found = np.zeros(stored.grid.shape, np.uint8)
    found[(slice(None),) * axis + (k,)] = unpack(mask, (x, y))
    assert expected.any()
    assert np.array_equal(stored_as(LabelMap(found, stored.grid), "LPS").array[:, :, 28] > 0, expected)
