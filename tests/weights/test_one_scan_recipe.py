"""Networks of one scan: what they begin from, what is exported, and what they are never shown."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from core.types import Grid, LabelMap, Volume
from weights.recipes.sts_one_scan import train
from weights.recipes.sts_one_scan.export import export
from weights.recipes.sts_one_scan.scans import KINDS, paint, paint_volume
from weights.recipes.sts_wide_view.network import build
from weights.recipes.sts_wide_view.train import write_weights

FULL_RANGE = 400 / 60  # CT's window as the network sees it: -160 to 240 HU by 60


@pytest.fixture(scope="module")
def scan():
    return torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))


def test_it_begins_as_the_wide_view_network_that_sees_no_uptake(scan):
    two, one = build(channels=2).eval(), build(channels=1).eval()
    train.beginning(one, {"network_weights": two.state_dict()})
    with torch.no_grad():
        expected = two(torch.cat([scan, torch.zeros_like(scan)], 1))[0]
        assert torch.allclose(one(scan)[0], expected, atol=1e-5)


def test_an_exported_mr_network_reads_the_0_to_1_that_nnunet_hands_over(scan, tmp_path):
    trained, read = build(channels=1).eval(), build(channels=1).eval()
    write_weights(tmp_path / "MR.pth", trained)
    (tmp_path / "MR.json").write_text(json.dumps({"patients": ["P1"], "done_iterations": 1}))
    export(KINDS["MR"], tmp_path, tmp_path / "out")
    state = torch.load(tmp_path / "out" / "fold_0" / "checkpoint_final.pth", weights_only=True)["network_weights"]
    read.load_state_dict({name: value.float() for name, value in state.items()})
    with torch.no_grad():
        difference = (read(scan)[0] - trained(scan * FULL_RANGE)[0]).abs().max()
    assert difference < 0.05  # half precision
    plans = json.loads((tmp_path / "out" / "plans.json").read_text())
    assert plans["configurations"]["3d_fullres"]["normalization_schemes"] == ["RescaleTo01Normalization"]
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["channel_names"] == {"0": "T1"}


@pytest.mark.parametrize("way", ["level", "diffusion", "reflection"])
def test_a_tumour_that_was_painted_out_has_the_values_around_it(way):
    values = np.full((24, 24, 24), 50.0, np.float32) + np.random.default_rng(0).normal(0, 3, (24, 24, 24))
    tumour = np.zeros(values.shape, bool)
    tumour[9:14, 9:14, 9:14] = True
    values[tumour] += 120
    gone = paint(values.astype(np.float32), tumour, way, np.random.default_rng(1))
    assert abs(float(gone[tumour].mean()) - 50) < 10
    assert np.array_equal(gone[:4], values[:4].astype(np.float32)) or np.abs(gone[:4] - values[:4]).max() < 1


def test_an_mr_is_painted_in_its_own_values():
    array = np.full((48, 48, 16), 400.0, np.float32)
    array[0, 0, 0], array[1, 0, 0] = 0.0, 1200.0
    truth = np.zeros(array.shape, np.uint8)
    truth[20:28, 20:28, 6:10] = 1
    array[truth > 0] = 900.0
    grid = Grid(array.shape, np.diag([1.0, 1.0, 3.3, 1.0]))
    gone = paint_volume(Volume(array, grid, "MR", "T1"), LabelMap(truth, grid), "level", np.random.default_rng(0))
    assert abs(float(gone.array[truth > 0].mean()) - 400) < 40
    assert np.allclose(gone.array[:8, :8], array[:8, :8], atol=0.1)
