"""The network that the LiteMedSAM weights fit: a TinyViT image encoder, SAM's prompt encoder and mask decoder.

Written here, for inference only, so that nothing but weights is taken from the package that carries them. Prompt
encoder and mask decoder are `segment_anything`'s own. Parameter names are those of the published checkpoint.

This module imports torch; `core.engines.prompt.medsam` imports it late.

Source: TinyViT (Wu et al., 10.1007/978-3-031-19803-8_5, MIT licence), MedSAM (Ma et al., 10.1038/s41467-024-44824-z).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

IMAGE_SIZE = 256
EMBEDDING_SIZE = 64
WIDTHS, DEPTHS, HEADS, WINDOWS = (64, 128, 160, 320), (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7)
RESOLUTIONS = (256, 128, 64, 64)


class ConvNorm(nn.Sequential):
    """Convolution without bias, then batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.add_module("c", nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(outputs))


class PatchEmbed(nn.Module):
    """Two 1x1 convolutions: LiteMedSAM keeps the full 256 x 256 resolution into its first stage."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, width // 2), nn.GELU(), ConvNorm(width // 2, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.seq(x)


class InvertedResidual(nn.Module):
    """MBConv block with expansion 4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, 4 * width)
        self.conv2 = ConvNorm(4 * width, 4 * width, kernel=3, groups=4 * width)
        self.conv3 = ConvNorm(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x + self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class PatchMerging(nn.Module):
    """Between stages: to the next width, and to half the resolution (but not into the last stage)."""

    def __init__(self, width: int, next_width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, next_width)
        self.conv2 = ConvNorm(next_width, next_width, kernel=3, stride=stride, groups=next_width)
        self.conv3 = ConvNorm(next_width, next_width)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class Attention(nn.Module):
    """Multi-head attention inside one window, with a learned bias for every distance |dy|, |dx|."""

    bias_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        y, x = y.flatten(), x.flatten()
        # The checkpoint numbers distances in the order of the first row: dy * window + dx.
        index = (y[:, None] - y).abs() * window + (x[:, None] - x).abs()
        self.register_buffer("bias_index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        count, tokens, width = x.shape
        # Per head the checkpoint holds q, k, v side by side.
        qkv = self.qkv(self.norm(x)).view(count, tokens, self.heads, 3, width // self.heads)
        query, key, value = qkv.permute(3, 0, 2, 1, 4)
        # By hand: torch's own attention spends a third more on a CPU, looking for rows that are masked out.
        scores = query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5
        mixed = (scores + self.attention_biases[:, self.bias_index]).softmax(dim=-1) @ value
        return self.proj(mixed.transpose(1, 2).reshape(count, tokens, width))


class Mlp(nn.Module):
    """LayerNorm and two linear layers, expansion 4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class WindowBlock(nn.Module):
    """Window attention, a 3x3 depthwise convolution, an MLP; images in and out as (B, C, H, W)."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = Attention(width, heads, window)
        self.mlp = Mlp(width)
        self.local_conv = ConvNorm(width, width, kernel=3, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, across = x.shape
        w = self.window
        down, right = -height % w, -across % w
        # Padding tokens take part in attention, as in training.
        tokens = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, right, 0, down))
        rows, columns = (height + down) // w, (across + right) // w
        tokens = tokens.view(batch, rows, w, columns, w, width).transpose(2, 3).reshape(-1, w * w, width)
        tokens = self.attn(tokens)
        tokens = tokens.view(batch, rows, columns, w, w, width).transpose(2, 3)
        tokens = tokens.reshape(batch, rows * w, columns * w, width)[:, :height, :across]
        x = self.local_conv(x + tokens.permute(0, 3, 1, 2))
        return x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Blocks of one width, then the step to the next."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class TinyViT(nn.Module):
    """(B, 3, 256, 256) in 0..1 -> (B, 256, 64, 64)."""

    def __init__(self) -> None:
        super().__init__()
        from segment_anything.modeling.common import LayerNorm2d

        self.patch_embed = PatchEmbed(WIDTHS[0])
        stages = []
        for s, (width, depth, heads, window) in enumerate(zip(WIDTHS, DEPTHS, HEADS, WINDOWS, strict=True)):
            blocks: list[nn.Module] = [
                InvertedResidual(width) if s == 0 else WindowBlock(width, heads, window) for _ in range(depth)
            ]
            last = s == len(WIDTHS) - 1
            step = None if last else PatchMerging(width, WIDTHS[s + 1], RESOLUTIONS[s] // RESOLUTIONS[s + 1])
            stages.append(Stage(blocks, step))
        self.layers = nn.ModuleList(stages)
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], 256, 1, bias=False),
            LayerNorm2d(256),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            LayerNorm2d(256),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for stage in self.layers:
            x = stage(x)
        return self.neck(x)


def fuse(module: nn.Module) -> None:
    """Folds every batch normalisation into its convolution, once the weights are in: the same answer, sooner."""
    for name, child in module.named_children():
        if isinstance(child, ConvNorm):
            setattr(module, name, fuse_conv_bn_eval(cast(nn.Conv2d, child.c), cast(nn.BatchNorm2d, child.bn)))
        else:
            fuse(child)


class LiteMedSam(nn.Module):
    """Image encoder, prompt encoder and mask decoder under the names of the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer

        self.image_encoder = TinyViT()
        self.prompt_encoder = PromptEncoder(
            embed_dim=256,
            image_embedding_size=(EMBEDDING_SIZE, EMBEDDING_SIZE),
            input_image_size=(IMAGE_SIZE, IMAGE_SIZE),
            mask_in_chans=16,
        )
        self.mask_decoder = MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
            transformer_dim=256,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        )
