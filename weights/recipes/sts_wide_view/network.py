"""The network as nnU-Net builds it from the exported plans, its loss, and the running average of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch.nn import functional

Tensor = torch.Tensor

FEATURES = (24, 48, 96, 192)
#: Of the outputs at 1, 1/2 and 1/4 of the resolution (deep supervision).
SCALES = (4 / 7, 2 / 7, 1 / 7)


def build(features: Sequence[int] = FEATURES, channels: int = 2) -> torch.nn.Module:
    """A PlainConvUNet with so many input channels, two classes and an output at each scale; weights by He."""
    stages = len(features)
    network = PlainConvUNet(
        channels,
        stages,
        list(features),
        torch.nn.Conv3d,
        [[3, 3, 3]] * stages,
        [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        [2] * stages,
        2,
        [2] * (stages - 1),
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
    )
    network.apply(PlainConvUNet.initialize)
    return cast(torch.nn.Module, network)


def loss(outputs: Sequence[Tensor], tumour: Tensor) -> Tensor:
    """Dice and cross-entropy, summed over the scales.

    Args:
        outputs: logits (B, 2, ...) from the full resolution down.
        tumour: (B, 1, P, P, P), 0 or 1.
    """
    total = outputs[0].new_zeros((), dtype=torch.float32)
    for weight, logits in zip(SCALES, outputs, strict=False):
        total = total + weight * _one_scale(logits.float(), tumour)
        tumour = (functional.avg_pool3d(tumour, 2) >= 0.5).float()
    return total


def _one_scale(logits: Tensor, tumour: Tensor) -> Tensor:
    """Cross-entropy, the Dice of the whole batch, and the mean Dice of those patches that have a tumour.

    The batch's counts what is found where there is nothing; the patches' own keeps small tumours from drowning.
    """
    margin = logits[:, 1:] - logits[:, :1]
    entropy = functional.binary_cross_entropy_with_logits(margin, tumour)
    found = margin.sigmoid()
    both, either = (found * tumour).sum((1, 2, 3, 4)), (found + tumour).sum((1, 2, 3, 4))
    batch = 1 - (2 * both.sum() + 1) / (either.sum() + 1)
    there = (tumour.sum((1, 2, 3, 4)) > 0).float()
    single = ((1 - (2 * both + 1) / (either + 1)) * there).sum() / there.sum().clamp(min=1)
    return entropy + 0.5 * batch + 0.5 * single


class Average:
    """A running average of a network's weights, which is what predicts and is exported.

    Args:
        network: whose.
        decay: share of the old average that a step keeps, once training is under way.
    """

    def __init__(self, network: torch.nn.Module, decay: float = 0.998) -> None:
        self.decay, self.steps = decay, 0
        self._live = list(network.parameters())
        self._mean = [p.detach().clone() for p in self._live]
        self._names = [name for name, _ in network.named_parameters()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._mean, [p.detach() for p in self._live], 1 - keep)

    @torch.no_grad()
    def copy_to(self, network: torch.nn.Module) -> None:
        """Put the average into another network of the same build."""
        target = dict(network.named_parameters())
        for name, value in zip(self._names, self._mean, strict=True):
            target[name].copy_(value)
