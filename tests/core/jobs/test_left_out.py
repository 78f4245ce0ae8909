"""What a network found and a version does not have is told."""

from __future__ import annotations

import numpy as np
import pytest

from core.jobs.stages.left_out import left_out
from core.types import Grid, LabelMap

GRID = Grid((20, 10, 10), np.diag([2.0, 2.0, 2.0, 1.0]))


def test_pieces_that_were_left_out_are_counted_with_their_volume():
    found = np.zeros(GRID.shape, np.uint8)
    found[0:5], found[10, 0, 0:4], found[15, 5, 5] = 1, 1, 1
    labels = np.where(np.arange(20)[:, None, None] < 5, found, 0).astype(np.uint8)
    said = left_out(LabelMap(found, GRID), LabelMap(labels, GRID))
    assert said is not None
    assert (said["pieces"], said["volume_mm3"], said["largest_mm3"]) == (2, pytest.approx(40), pytest.approx(32))
    assert said["words"].startswith("2 pieces of what the network found (0.04 mL in all")


def test_nothing_is_said_where_nothing_was_left_out():
    found = LabelMap(((np.arange(20)[:, None, None] < 5) * np.ones(GRID.shape)).astype(np.uint8), GRID)
    assert left_out(found, found) is None
