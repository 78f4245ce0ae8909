"""SAM2, the optional fallback: what is said when it is not there, and the adapter where the package is."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.engines.prompt import medsam, sam2
from core.errors import InputError, ModelError
from core.types import Prompt
from weights import registry

INSTALLED = importlib.util.find_spec("sam2") is not None
needs_package = pytest.mark.skipif(not INSTALLED, reason="needs the optional package: pip install 'sam2>=1.1,<2'")


@pytest.mark.skipif(INSTALLED, reason="the package sam2 is installed")
def test_without_the_package_the_command_and_the_file_are_named() -> None:
    with pytest.raises(ModelError, match=r"pip install 'sam2>=1\.1,<2'.*sam2\.1_hiera_tiny\.pt.*weights/local/"):
        sam2.load_sam2()


def test_without_a_checkpoint_the_file_and_its_place_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    without = [entry for entry in registry.models() if entry.kind != "sam2"]
    monkeypatch.setattr(registry, "models", lambda: tuple(without))
    with pytest.raises(ModelError, match=r"No SAM2 checkpoint.*put sam2\.1_hiera_tiny\.pt.*weights/local/"):
        sam2.load_sam2()


def test_a_model_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ModelError, match="LiteMedSAM is no SAM2 model"):
        sam2.load_sam2("litemedsam")


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("sam2.1_hiera_tiny.pt", "configs/sam2.1/sam2.1_hiera_t.yaml"),
        ("sam2.1_hiera_base_plus.pt", "configs/sam2.1/sam2.1_hiera_b+.yaml"),
        ("sam2_hiera_large.pt", "configs/sam2/sam2_hiera_l.yaml"),
    ],
)
def test_the_configuration_is_told_by_the_published_name(name: str, config: str) -> None:
    assert sam2.config_for(name) == config


def test_a_name_that_says_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model\.pt does not say.*sam2\.1_hiera_tiny\.pt"):
        sam2.config_for("model.pt")


@pytest.mark.skipif(INSTALLED, reason="the package sam2 is installed")
def test_where_medsam_cannot_be_loaded_both_reasons_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(registry.find("litemedsam"), path="local/not_there.pth")
    monkeypatch.setattr(registry, "find", lambda model_id: broken)
    with pytest.raises(ModelError, match=r"(?s)LiteMedSAM are not there.*SAM2, the fallback.*pip install"):
        medsam.load_prompt_segmenter()


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> registry.ModelEntry:
    """SAM 2.1 tiny of the right shape; its weights are random, since the published ones are not shipped."""
    import torch
    from sam2.build_sam import build_sam2

    torch.manual_seed(0)
    (tmp_path / "local").mkdir()
    path = tmp_path / "local" / "sam2_hiera_tiny.pt"
    torch.save({"model": build_sam2("configs/sam2/sam2_hiera_t.yaml", None, "cpu").state_dict()}, path)
    monkeypatch.setenv("TWIN_WEIGHTS", str(tmp_path))
    return registry.find("sam2-hiera-tiny")


@needs_package
def test_the_adapter_gives_what_the_package_gives(checkpoint: registry.ModelEntry) -> None:
    segmenter = sam2.load_sam2(checkpoint.id)
    assert segmenter.checkpoint_sha256 == hashlib.sha256(registry.locate(checkpoint).read_bytes()).hexdigest()
    image = (np.random.default_rng(0).random((60, 40)) * 255).astype(np.uint8)
    answer = segmenter.predict(segmenter.embed(image), [Prompt("box", 0, (5, 6, 30, 25))])
    segmenter._predictor.set_image(np.repeat(image.T[:, :, None], 3, axis=2))
    masks, ious, _ = segmenter._predictor.predict(box=np.array([5, 6, 30, 25.0]), multimask_output=False)
    assert answer.mask.shape == (60, 40)
    assert np.array_equal(answer.mask, masks[0].T > 0)
    assert answer.predicted_iou == pytest.approx(float(ious[0]), abs=1e-5)
    with pytest.raises(InputError, match=r"X must be 0\.\.59 and Y 0\.\.39"):
        segmenter.predict(segmenter.embed(image), [Prompt("point", 0, (60, 3))])


@needs_package
def test_it_stands_in_where_medsam_cannot_be_loaded(
    checkpoint: registry.ModelEntry, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert medsam.load_prompt_segmenter("medsam-vit-b").model_id == checkpoint.id
    assert "SAM2" in caplog.text
