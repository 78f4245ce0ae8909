"""The experiment with the last visit's mask: what a simulated past is, and what the network begins as."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from weights.recipes.sts_last_visit.past import ELSEWHERE, NONE, past_channel, past_of
from weights.recipes.sts_last_visit.train import Row, beginning, summary

AT = np.stack(np.meshgrid(*(np.arange(40),) * 3, indexing="ij"), axis=-1)
BALL = np.linalg.norm(AT - 20, axis=-1) <= 9


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 2.0])
def test_a_past_has_the_volume_that_was_asked_for_and_lies_about_the_same_place(factor: float) -> None:
    made = [past_of(BALL, factor, np.random.default_rng(seed)) for seed in range(5)]
    assert np.mean([np.count_nonzero(one) for one in made]) == pytest.approx(factor * np.count_nonzero(BALL), rel=0.15)
    for one in made:
        assert np.linalg.norm(np.argwhere(one).mean(axis=0) - 20) < 5
    assert not np.array_equal(made[0], made[1]), "bent and moved differently"


def test_of_nothing_there_is_no_past() -> None:
    assert not past_of(np.zeros_like(BALL), 1.0, np.random.default_rng(0)).any()


def test_some_crops_have_no_past_and_some_one_that_is_not_the_tumours() -> None:
    tumour = torch.from_numpy(np.stack([BALL[None]] * 60).astype(np.float32))
    pasts = past_channel(tumour, np.random.default_rng(3))
    assert float(pasts.min()) >= 0
    assert float(pasts.max()) <= 1
    empty = pasts.flatten(1).sum(1) == 0
    assert float(empty.float().mean()) == pytest.approx(NONE, abs=0.2)
    beside = (~empty) & ((pasts * tumour).flatten(1).sum(1) < 0.3 * pasts.flatten(1).sum(1))
    assert 0 < float(beside.float().mean()) < 3 * ELSEWHERE


def test_it_begins_as_the_shipped_network_whatever_the_new_channel_shows() -> None:
    image = torch.rand(1, 2, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    two, three = beginning(2).eval(), beginning(3).eval()
    with torch.no_grad():
        assert torch.allclose(three(torch.cat([image, image[:, :1]], 1))[0], two(image)[0], atol=1e-5)


def test_the_summary_has_the_lowest_dice_first() -> None:
    rows: list[Row] = [{"patient": p, "past": "no past", "dice": d, "volume": 1.0} for p, d in (("A", 0.5), ("B", 0.7))]
    better: list[Row] = [{**row, "dice": 0.9} for row in rows]
    assert summary({"better": better, "worse": rows})[2:] == [
        "| worse | no past | 0.600 | 0.500 | 1.00 |",
        "| better | no past | 0.900 | 0.900 | 1.00 |",
    ]
