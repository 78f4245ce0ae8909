"""Propagation: on phantoms whose every slice is known, with a threshold for a model; and on five real slices.

A mask is the model's answer weighed against a rounded form: corners of a tube may be missing, never much more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.engines.base import Propagation, SliceFound, SliceMask
from core.engines.prompt.medsam import load_prompt_segmenter
from core.engines.prompt.preparing import to_uint8
from core.engines.prompt.prompting import contrast, overlap, similarity
from core.engines.propagation.propagation import DEFAULT_STOPPING, StartSlice, propagate_slices, segment_from_prompts
from core.errors import GeometryError, InputError, JobCancelled
from core.types import Grid, Prompt, Volume


class Threshold:
    """A model whose answers can be worked out by hand: what is bright inside the box. It is sure of itself, `iou`."""

    model_id, checkpoint_sha256 = "threshold", "0" * 64

    def __init__(self, iou: float = 0.9) -> None:
        self.iou = iou
        self.embedded = 0

    def embed(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.embedded += 1
        return image

    def predict(
        self, embedding: NDArray[np.uint8], prompts: Sequence[Prompt], prior: NDArray[np.bool_] | None = None
    ) -> SliceMask:
        mask = np.zeros(embedding.shape, dtype=bool)
        for prompt in prompts:
            x0, y0, x1, y1 = (round(c) for c in prompt.coords)
            mask[x0 : x1 + 1, y0 : y1 + 1] = True
        return SliceMask(mask & (embedding > 100), self.iou)


def ct(bright: NDArray[np.bool_], value: NDArray[np.float32] | float = 100.0) -> Volume:
    """CT of 1 x 1 x 2 mm: `bright` at `value` HU in fat of -100 HU."""
    array = np.where(bright, value, -100.0).astype(np.float32)
    return Volume(array, Grid(bright.shape, np.diag([1.0, 1.0, 2.0, 1.0])), "CT")


def ball(radius_mm: float = 12.0, centre: int = 10, shape: tuple[int, int, int] = (40, 40, 21)) -> NDArray[np.bool_]:
    i, j, k = np.indices(shape)
    return (i - 20) ** 2 + (j - 20) ** 2 + (2 * (k - centre)) ** 2 <= radius_mm**2


def around(mask: NDArray[np.bool_], k: int) -> Prompt:
    x, y = np.flatnonzero(mask[:, :, k].any(axis=1)), np.flatnonzero(mask[:, :, k].any(axis=0))
    return Prompt("box", k, (float(x[0]), float(y[0]), float(x[-1]), float(y[-1])))


def stops(answer: Propagation) -> list[tuple[int, int, str]]:
    return [(s.direction, s.slice, s.rule) for s in answer.stops]


def test_one_box_finds_the_whole_ball_and_ends_where_it_ends() -> None:
    truth = ball()
    answer = segment_from_prompts(ct(truth), [around(truth, 10)], Threshold(), propagate=True)
    # The ball's outermost slices, 4 and 16, hold one voxel: they count as empty.
    assert truth[:, :, 4].sum() == truth[:, :, 16].sum() == 1
    assert overlap(answer.mask, truth) > 0.95
    assert not (answer.mask & ~truth).any()
    assert answer.mask[:, :, :5].sum() == answer.mask[:, :, 16:].sum() == 0
    assert stops(answer) == [(-1, 5, "empty"), (1, 15, "empty")]
    assert sorted(answer.predicted_iou) == list(range(5, 16))


def test_without_propagation_only_the_prompted_slices_are_touched() -> None:
    truth, model = ball(), Threshold()
    answer = segment_from_prompts(ct(truth), [around(truth, 10), around(truth, 12)], model, propagate=False)
    assert np.flatnonzero(answer.mask.any(axis=(0, 1))).tolist() == [10, 12]
    assert (answer.stops, model.embedded) == ((), 2)


def test_it_ends_at_the_end_of_the_scan() -> None:
    tube = np.zeros((40, 40, 6), dtype=bool)
    tube[5:35, 5:35] = True
    answer = segment_from_prompts(ct(tube), [around(tube, 3)], Threshold(), propagate=True)
    assert overlap(answer.mask, tube) > 0.9
    assert stops(answer) == [(-1, 0, "end of scan"), (1, 5, "end of scan")]


def test_it_goes_no_farther_than_the_maximum_extent() -> None:
    tube = np.zeros((40, 40, 41), dtype=bool)
    tube[5:35, 5:35] = True
    rules = replace(DEFAULT_STOPPING, max_extent=0.5)
    answer = segment_from_prompts(ct(tube), [around(tube, 20)], Threshold(), propagate=True, rules=rules)
    # Half the diagonal of 30 x 30 mm is 21.2 mm: ten slices of 2 mm.
    assert stops(answer) == [(-1, 10, "maximum extent"), (1, 30, "maximum extent")]
    farther = segment_from_prompts(
        ct(tube), [around(tube, 20), around(tube, 30)], Threshold(), propagate=True, rules=rules
    )
    assert stops(farther) == [(-1, 10, "maximum extent"), (1, 40, "end of scan")]
    assert overlap(farther.mask[:, :, 20:31], tube[:, :, 20:31]) > 0.9


def test_it_ends_where_the_area_jumps() -> None:
    shape = np.zeros((40, 40, 9), dtype=bool)
    shape[10:30, 10:30, :6] = True
    shape[18:22, 18:22, 6:] = True
    answer = segment_from_prompts(
        ct(shape), [around(shape, 4)], Threshold(), propagate=True, rules=replace(DEFAULT_STOPPING, min_area_share=0.01)
    )
    assert stops(answer)[1] == (1, 5, "area jump")


def test_it_ends_where_the_grey_values_differ() -> None:
    tube = np.zeros((40, 40, 9), dtype=bool)
    tube[5:35, 5:35] = True
    value = np.full(tube.shape, 100.0, dtype=np.float32)
    value[:, :, 7:] = 300.0  # bone below the muscle
    answer = segment_from_prompts(ct(tube, value), [around(tube, 4)], Threshold(), propagate=True)
    assert stops(answer) == [(-1, 0, "end of scan"), (1, 6, "grey values differ")]


def test_it_ends_where_the_model_doubts_itself() -> None:
    truth = ball()
    answer = segment_from_prompts(ct(truth), [around(truth, 10)], Threshold(iou=0.2), propagate=True)
    assert stops(answer) == [(-1, 10, "low predicted IoU"), (1, 10, "low predicted IoU")]
    assert np.flatnonzero(answer.mask.any(axis=(0, 1))).tolist() == [10]


def test_an_earlier_mask_carries_it_over_doubt() -> None:
    truth = ball()
    answer = segment_from_prompts(
        ct(truth), [around(truth, 10)], Threshold(iou=0.2), propagate=True, earlier_mask=truth
    )
    assert np.array_equal(answer.mask[:, :, 5:16], truth[:, :, 5:16])
    with pytest.raises(GeometryError, match="earlier mask has the shape"):
        segment_from_prompts(ct(truth), [around(truth, 10)], Threshold(), propagate=True, earlier_mask=truth[:, :, 1:])


def test_between_two_prompted_slices_no_slice_is_left_out() -> None:
    truth = ball()
    answer = segment_from_prompts(ct(truth), [around(truth, 7), around(truth, 13)], Threshold(), propagate=True)
    assert answer.mask[:, :, 7:14].any(axis=(0, 1)).all()
    # Straight between the two boxes a ball bulges out by at most a sixth of its radius.
    assert overlap(answer.mask, truth) > 0.85


def test_a_neighbour_that_does_not_touch_is_not_taken_along() -> None:
    truth = ball()
    scene = truth.copy()
    scene[33:36, 20, 8:13] = True
    answer = segment_from_prompts(ct(scene), [around(truth, 10)], Threshold(), propagate=True)
    assert not answer.mask[33:36].any()


def test_a_prompt_on_nothing_gives_nothing_and_says_empty() -> None:
    answer = segment_from_prompts(ct(ball()), [Prompt("box", 10, (0.0, 0.0, 4.0, 4.0))], Threshold(), propagate=True)
    assert not answer.mask.any()
    assert stops(answer) == [(-1, 10, "empty"), (1, 10, "empty")]


def steps_of(bright: NDArray[np.bool_], prompts: Sequence[Prompt], **more: Any) -> list[Any]:
    """What `propagate_slices` gives, as (slice, share of what is bright there) and (direction, slice, rule)."""
    volume = ct(bright)
    steps = propagate_slices(to_uint8(volume.array, "CT"), volume.grid, prompts, Threshold(), **more)
    return [
        (s.slice, round(overlap(s.answer.mask, bright[:, :, s.slice]), 1))
        if isinstance(s, SliceFound)
        else (s.direction, s.slice, s.rule)
        for s in steps
    ]


def test_slices_come_as_they_are_found_and_closing_ends_it() -> None:
    truth, model = ball(), Threshold()
    volume = ct(truth)
    steps = propagate_slices(to_uint8(volume.array, "CT"), volume.grid, [around(truth, 10)], model)
    assert model.embedded == 0
    order = [s.slice for s in (next(steps), next(steps), next(steps)) if isinstance(s, SliceFound)]
    assert (order, model.embedded) == ([10, 9, 8], 3)
    steps.close()  # type: ignore[attr-defined]
    assert list(steps) == []
    assert model.embedded == 3


def test_it_goes_as_far_as_asked_and_no_farther() -> None:
    tube = np.zeros((40, 40, 41), dtype=bool)
    tube[5:35, 5:35] = True
    steps = steps_of(tube, [around(tube, 20)], until=(18, 35))
    assert [s for s in steps if len(s) == 3] == [(-1, 18, "as far as asked"), (1, 35, "as far as asked")]
    # By itself it ends at the maximum extent (see above).
    assert [s[0] for s in steps if len(s) == 2] == [20, 19, 18, *range(21, 36)]


def test_where_it_is_asked_to_go_only_emptiness_ends_it() -> None:
    truth = ball()
    volume = ct(truth)
    asked = propagate_slices(
        to_uint8(volume.array, "CT"), volume.grid, [around(truth, 10)], Threshold(iou=0.2), until=(0, 20)
    )
    found = [s.slice for s in asked if isinstance(s, SliceFound)]
    assert sorted(found) == list(range(5, 16))


def test_it_goes_on_from_a_given_slice_away_from_the_prompts() -> None:
    tube = np.zeros((40, 40, 12), dtype=bool)
    tube[5:35, 5:35] = True
    prompts, given = [around(tube, 3)], StartSlice(6, tube[:, :, 6])
    assert steps_of(tube, prompts, start=given) == [*((k, 0.9) for k in range(7, 12)), (1, 11, "end of scan")]
    # Without prompts it goes both ways.
    both = steps_of(tube, [], start=given, until=(4, 7))
    assert both == [(5, 0.9), (4, 0.9), (-1, 4, "as far as asked"), (7, 0.9), (1, 7, "as far as asked")]
    # Between two prompted slices it goes to either, and leaves both alone.
    between = steps_of(tube, [around(tube, 4), around(tube, 8)], start=given)
    assert between == [(5, 0.9), (-1, 5, "prompted slice"), (7, 0.9), (1, 7, "prompted slice")]


def test_the_given_mask_is_what_the_next_slice_is_looked_for_by() -> None:
    """Two tubes: the one in the given mask is followed, not the one that was prompted."""
    tubes = np.zeros((40, 40, 12), dtype=bool)
    tubes[4:14, 4:14] = tubes[24:34, 24:34] = True
    mask = np.zeros((40, 40), dtype=bool)
    mask[24:34, 24:34] = True
    volume = ct(tubes)
    prompt = Prompt("box", 3, (4.0, 4.0, 13.0, 13.0))
    steps = propagate_slices(
        to_uint8(volume.array, "CT"), volume.grid, [prompt], Threshold(), start=StartSlice(6, mask)
    )
    found = [s for s in steps if isinstance(s, SliceFound)]
    assert found
    # The farthest are small already: the form that is expected closes there.
    assert all(overlap(s.answer.mask, mask) > 0.5 for s in found)
    assert not any((s.answer.mask & ~mask).any() for s in found)


@pytest.mark.parametrize("until", [(-1, 5), (5, 4), (0, 21)])
def test_slices_that_do_not_exist_cannot_be_asked_for(until: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"low, high within 0\.\.20"):
        steps_of(ball(), [around(ball(), 10)], until=until)


def test_a_mask_to_go_on_from_must_fit_the_slice() -> None:
    for wrong in (StartSlice(21, ball()[:, :, 10]), StartSlice(10, ball()[1:, :, 10])):
        with pytest.raises(InputError, match="mask to go on from"):
            steps_of(ball(), [], start=wrong)


def test_it_can_be_cancelled_between_slices() -> None:
    truth, model = ball(), Threshold()

    def cancel(fraction: float, message: str) -> None:
        assert 0 <= fraction <= 1
        if model.embedded >= 4:
            raise JobCancelled("cancelled")

    with pytest.raises(JobCancelled):
        segment_from_prompts(ct(truth), [around(truth, 10)], model, True, cancel)
    assert model.embedded == 4


def test_prompts_outside_the_scan_are_refused_before_anything_is_computed() -> None:
    model = Threshold()
    with pytest.raises(InputError, match=r"Slice 21 does not exist.*0\.\.20"):
        segment_from_prompts(ct(ball()), [Prompt("box", 21, (1.0, 1.0, 5.0, 5.0))], model, True)
    assert model.embedded == 0


def test_similarity_is_the_shared_part_of_two_histograms() -> None:
    image = np.array([[0, 0, 100, 100]], dtype=np.uint8)
    every, left, right = np.ones((1, 4), bool), np.array([[1, 1, 0, 0]], bool), np.array([[0, 0, 1, 1]], bool)
    assert similarity(image, left, image, left) == 1.0
    assert similarity(image, left, image, right) == 0.0
    assert similarity(image, every, image, left) == 0.5
    assert similarity(image, np.zeros((1, 4), bool), image, left) == 0.0


def test_contrast_is_what_the_ring_does_not_share() -> None:
    image = np.zeros((20, 20), dtype=np.uint8)
    image[8:12, 8:12] = 200
    assert contrast(image, image > 0) == 1.0
    assert contrast(np.zeros_like(image), image > 0) == 0.0
    assert contrast(image, np.zeros((20, 20), bool)) == contrast(image, np.ones((20, 20), bool)) == 0.0


def test_a_real_tumour_is_followed_to_its_neighbouring_slices(shared_data: Path) -> None:
    from core.imaging.volumes import read_label_map, read_volume

    folder = shared_data / "sts" / "STS_003"
    volume = read_volume(folder / "CT_image.nii.gz", "CT")
    truth = read_label_map(folder / "CT_mask.nii.gz").array > 0
    k = int(truth.sum(axis=(0, 1)).argmax())
    part = slice(k - 1, k + 2)
    affine = volume.grid.affine.copy()
    affine[:3, 3] += (k - 1) * affine[:3, 2]
    cut = Volume(volume.array[:, :, part], Grid((*volume.grid.shape[:2], 3), affine), "CT")
    answer = segment_from_prompts(cut, [around(truth[:, :, part], 1)], load_prompt_segmenter(), propagate=True)
    assert stops(answer) == [(-1, 0, "end of scan"), (1, 2, "end of scan")]
    assert overlap(answer.mask, truth[:, :, part]) > 0.85
