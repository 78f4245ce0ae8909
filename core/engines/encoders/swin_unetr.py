"""The encoder of a SwinUNETR whose weights somebody put into weights/local; needs the optional package monai.

What is read is a checkpoint of MONAI's `SwinUNETR`, as its published ones of CT are: the decoder is left aside.
Tang 2022, arXiv 2111.14791.

This module imports torch; import it late.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from core.engines.device import pick_device
from core.engines.encoders.levels import CropEncoder
from core.engines.prompt.network_weights import fill_network
from core.errors import ModelError
from weights import registry

SWIN_ID = "swin-unetr"
INSTALL = "pip install -r requirements-extra.txt"
#: As MONAI's recipes show it CT of the abdomen.
WINDOW_HU = (-175.0, 250.0)
SIDE = 96
ENCODER = "swinViT."
FIRST = "patch_embed.proj.weight"


class SwinLevels(nn.Module):
    """The five levels of MONAI's Swin encoder for (1, 1, x, y, z)."""

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        from monai.networks.nets.swin_unetr import SwinUNETR

        self.swin = SwinUNETR(in_channels=1, out_channels=2, feature_size=feature_size).swinViT

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return list(self.swin(x, True))


def encoder_part(state: dict[str, Any], model_id: str) -> dict[str, Any]:
    """The encoder's parameters of a SwinUNETR's, by the encoder's own names.

    Raises:
        ModelError: there are none.
    """
    state = state.get("state_dict", state)
    names = {name: name.removeprefix("module.") for name in state}
    found = {mine.removeprefix(ENCODER): state[name] for name, mine in names.items() if mine.startswith(ENCODER)}
    if FIRST not in found:
        raise ModelError(
            f"The weights of {model_id} are no SwinUNETR's: expected parameters named {ENCODER}{FIRST} and so on, got "
            f"{', '.join(sorted(names.values())[:3]) or 'none'}. Use a checkpoint of MONAI's SwinUNETR for one channel."
        )
    return found


@lru_cache(maxsize=1)
def load_swin_unetr(model_id: str = SWIN_ID) -> CropEncoder:
    """The encoder, kept warm.

    Raises:
        ModelError: package or checkpoint is missing (the message names the command, or the file and its place), or the
            weights are another network's.
    """
    if importlib.util.find_spec("monai") is None:
        raise ModelError(f"The optional Python package monai is not installed. Run: {INSTALL}")
    loaded = registry.load_model(registry.find(model_id))
    state = encoder_part(loaded.states()[0], model_id)
    network = SwinLevels(int(state[FIRST].shape[0]))
    fill_network(network.swin, state, model_id)
    return CropEncoder(network.eval().to(pick_device()), model_id, loaded.checkpoint_sha256, WINDOW_HU, SIDE)
