"""A SigLIP of one's own is read from a folder and its patches averaged; words say what is missing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.engines.encoders import siglip
from core.engines.encoders.choice import lesion_encoder_name, load_lesion_encoder
from core.errors import ModelError
from core.types import Grid, Volume

transformers = pytest.importorskip("transformers", reason="pip install -r requirements-extra.txt")
pytest.importorskip("safetensors", reason="pip install -r requirements-extra.txt")

TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
IMAGE = {**TINY, "image_size": 32, "patch_size": 8}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """Where the weights belong, in a weights folder of one's own."""
    monkeypatch.setenv("TWIN_WEIGHTS", str(tmp_path))
    siglip.load_siglip.cache_clear()
    home = tmp_path / "local" / "medsiglip"
    home.mkdir(parents=True)
    return home


def tiny(seed: int = 5):
    torch.manual_seed(seed)
    return transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**IMAGE)).eval()


def square(i: slice, j: slice) -> tuple[Volume, np.ndarray]:
    """A slice of 32 by 32 voxels in anatomical order, and a lesion on it."""
    array = np.random.default_rng(2).uniform(-160, 240, (32, 32, 3)).astype(np.float32)
    lesion = np.zeros(array.shape, bool)
    lesion[i, j, 1] = True
    return Volume(array, Grid((32, 32, 3), np.diag([-1.0, -1.0, 3.0, 1.0])), "CT"), lesion


def test_the_patches_that_a_lesion_covers_are_averaged(folder):
    network = tiny()
    network.save_pretrained(folder)
    encoder = load_lesion_encoder("medsiglip")
    volume, lesion = square(
        slice(8, 16), slice(8, 28)
    )  # column 1, rows 1 and 2 and half of row 3; the window is the slice
    grey = np.round((volume.array[:, :, 1].T + 160) * 255 / 400)
    with torch.inference_mode():
        pixels = torch.from_numpy(grey.astype(np.float32) / 127.5 - 1).expand(1, 3, -1, -1)
        patches = network(pixel_values=pixels).last_hidden_state[0].numpy()
    expected = (2 * patches[1 * 4 + 1] + 2 * patches[2 * 4 + 1] + patches[3 * 4 + 1]) / 5
    np.testing.assert_allclose(encoder.look(volume, lesion), expected, rtol=1e-4, atol=1e-5)


def test_its_name_tells_the_checkpoint_and_the_hash_can_be_pinned(folder):
    tiny().save_pretrained(folder)
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert load_lesion_encoder("medsiglip").name == lesion_encoder_name("medsiglip") == f"medsiglip@{found[:12]}"
    tiny(6).save_pretrained(folder)
    siglip.load_siglip.cache_clear()
    assert load_lesion_encoder("medsiglip").name == lesion_encoder_name("medsiglip") != f"medsiglip@{found[:12]}"


def test_of_a_whole_siglip_the_image_part_is_taken(folder):
    text = {**TINY, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.SiglipConfig(text_config=text, vision_config=IMAGE)
    torch.manual_seed(7)
    whole = transformers.SiglipModel(config).eval()
    whole.save_pretrained(folder)
    volume, lesion = square(slice(0, 32), slice(0, 32))
    grey = np.round((volume.array[:, :, 1].T + 160) * 255 / 400)
    with torch.inference_mode():
        pixels = torch.from_numpy(grey.astype(np.float32) / 127.5 - 1).expand(1, 3, -1, -1)
        patches = whole.vision_model(pixel_values=pixels).last_hidden_state[0].numpy()
    found = load_lesion_encoder("medsiglip").look(volume, lesion)
    np.testing.assert_allclose(found, patches.mean(axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda home: (home / "model.safetensors").unlink(), r"expected the file .*local/medsiglip/model.safetensors"),
        (lambda home: (home / "config.json").unlink(), "lacks its file config.json"),
        (lambda home: (home / "config.json").write_text("{"), r"config.json cannot be read. Put config.json and"),
        (lambda home: (home / "config.json").write_text("[]"), r"config.json cannot be read. Put config.json and"),
        (lambda home: (home / "config.json").write_text(json.dumps({"model_type": "clip"})), "says that it is 'clip'"),
        (lambda home: (home / "model.safetensors").write_bytes(b"no weights"), "damaged or no safetensors"),
        (
            lambda home: (home / "config.json").write_text(
                json.dumps({**IMAGE, "hidden_size": 32, "model_type": "siglip_vision_model"})
            ),
            "weights of medsiglip are for another network",
        ),
    ],
)
def test_what_is_no_siglip_is_refused_in_words(folder, spoil, words):
    tiny().save_pretrained(folder)
    spoil(folder)
    with pytest.raises(ModelError, match=words):
        load_lesion_encoder("medsiglip")
