"""The prompt segmenter over SAM's prompt encoder and mask decoder, for every model of that family.

The slice goes in as the file has it, index i to the right and j downwards, as the authors' SimpleITK arrays did.

Source: MedSAM (Ma et al., 10.1038/s41467-024-44824-z), SAM (Kirillov et al., 10.1109/ICCV51070.2023.00371).
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.engines.base import SliceMask
from core.engines.device import pick_device
from core.engines.prompt.embeddings import Features, Slot
from core.engines.prompt.encoder import Encoder
from core.engines.prompt.preparing import Preprocess, embedding_key
from core.engines.prompt.prompting import (
    apply_clicks,
    boxes_around,
    check_slice_prompts,
    contrast,
    group_prompts,
    only_as_asked,
    overlap,
)
from core.errors import InputError
from core.types import Prompt

if TYPE_CHECKING:
    import torch

#: Embeddings kept in memory; one is 4 MB.
CACHED_EMBEDDINGS = 64
#: What a mask prompt's inside and outside are worth, in logits.
PRIOR_LOGIT = 8.0
#: Half sides of the boxes tried around points that come without one, as shares of the slice's longest side.
POINT_BOXES = (0.03, 0.045, 0.065, 0.09, 0.13, 0.18, 0.25, 0.33)


@dataclass(frozen=True, eq=False)
class Embedding:
    """One slice (I, J) uint8, the network's features of it (1, 256, 64, 64), and its size there before padding."""

    image: NDArray[np.uint8]
    features: torch.Tensor
    resized: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (I, J) of the slice."""
        return self.image.shape[0], self.image.shape[1]


def _content_key(image: NDArray[np.uint8]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), key=str(image.shape).encode()).hexdigest()


class SamSegmenter:
    """A prompt segmenter (`core.engines.base.PromptSegmenter`) over SAM's prompt encoder and mask decoder.

    Safe to share between threads. Embeddings are kept, least recently used first out, by the slice's content.

    Args:
        encoder: what takes the place of the network's own image encoder.
        runtime: what that runs on, see `core.engines.prompt.encoder`.

    Attributes:
        encoded: how many slices went through the network so far.
        embedding_key: what names embeddings of this checkpoint, prepared in this way.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        preprocess: Preprocess,
        model_id: str,
        sha256: str,
        encoder: Encoder | None = None,
        runtime: str = "torch",
    ) -> None:
        import torch

        self.model_id = model_id
        self.checkpoint_sha256 = sha256
        self.preprocess = preprocess
        self.embedding_key = embedding_key(sha256, preprocess)
        self.runtime, self.encoded = runtime, 0
        self.device = pick_device()
        self.network: Any = network.eval().to(self.device)
        # Channels last is what convolutions are quickest on, by a fifth on a CPU.
        self.network.image_encoder.to(memory_format=torch.channels_last)
        image_encoder: Any = self.network.image_encoder
        self._encoder: Encoder = image_encoder if encoder is None else encoder
        self._cache: OrderedDict[str, Embedding] = OrderedDict()
        self._lock, self._encoding = threading.Lock(), threading.Lock()

    def embed(self, image: NDArray[np.uint8], slot: Slot | None = None) -> Embedding:
        """(I, J) uint8 from `to_uint8` -> an embedding, computed once for the same slice.

        Args:
            image: the slice.
            slot: where its embedding may lie on disk, and is left otherwise.
        """
        if image.ndim != 2 or image.dtype != np.uint8 or min(image.shape) < 1:
            raise InputError(f"Expected a slice (I, J) of uint8, got {image.shape} of {image.dtype}.")
        key = _content_key(image)
        embedding = self._remembered(key) or (self._recall(image, slot) if slot else None)
        if embedding is None:
            with self._encoding:
                embedding = self._remembered(key)  # another thread may have been at it
                if embedding is None:
                    embedding = self._compute(image)
                    if slot:
                        slot.write(Features(embedding.features.half().cpu().numpy(), embedding.resized))
                self._remember(key, embedding)
        else:
            self._remember(key, embedding)
        return embedding

    def remembers(self, image: NDArray[np.uint8]) -> bool:
        """Whether `embed` has this slice in memory."""
        return self._remembered(_content_key(image)) is not None

    def _remembered(self, key: str) -> Embedding | None:
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
            return self._cache.get(key)

    def _remember(self, key: str, embedding: Embedding) -> None:
        with self._lock:
            self._cache[key] = embedding
            while len(self._cache) > CACHED_EMBEDDINGS:
                self._cache.popitem(last=False)

    def _resized(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width at which the network sees a slice of `shape` (I, J)."""
        pre, (across, down) = self.preprocess, shape
        scale = pre.size / max(shape)
        height, width = (round(down * scale), round(across * scale)) if pre.keep_aspect else (pre.size, pre.size)
        return max(height, 1), max(width, 1)

    def _recall(self, image: NDArray[np.uint8], slot: Slot) -> Embedding | None:
        import torch

        features_on_disk = slot.read()
        if features_on_disk is None or features_on_disk.resized != self._resized(image.shape):
            return None
        features = torch.from_numpy(features_on_disk.features.astype(np.float32)).to(self.device)
        return Embedding(image.copy(), features, features_on_disk.resized)

    def _compute(self, image: NDArray[np.uint8]) -> Embedding:
        import torch
        from torch.nn import functional as F

        pre, resized = self.preprocess, self._resized(image.shape)
        pixels = torch.from_numpy(np.ascontiguousarray(image.T)).to(self.device, torch.float32)[None, None]
        pixels = F.interpolate(pixels, size=resized, mode="bilinear", antialias=True, align_corners=False)
        if pre.scaling == "min-max":
            low, high = pixels.min(), pixels.max()
            pixels = (pixels - low) / (high - low).clamp(min=1e-8)
            pixels = pixels.expand(-1, 3, -1, -1)
        else:
            pixels = (pixels - self.network.pixel_mean[None]) / self.network.pixel_std[None]
        # Padding after scaling: right and bottom, with zeros.
        pixels = F.pad(pixels, (0, pre.size - resized[1], 0, pre.size - resized[0]))
        half = torch.autocast(self.device.type, torch.float16, enabled=self.device.type == "cuda")
        with torch.inference_mode(), half:
            features = self._encoder(pixels.contiguous(memory_format=torch.channels_last))
        self.encoded += 1
        # Half precision is what is kept on disk: a mask must not depend on whether its embedding was.
        return Embedding(image.copy(), features.half().float(), resized)

    def predict(
        self, embedding: Embedding, prompts: Sequence[Prompt], prior: NDArray[np.bool_] | None = None
    ) -> SliceMask:
        """Boxes and points of one slice -> its mask.

        Several boxes give the union of their masks. A positive point helps the nearest box, or stands alone when
        there is no box; a negative point holds against all.

        Args:
            embedding: of that slice.
            prompts: in voxel indices of the slice; at least one box or positive point.
            prior: (I, J) bool, what the mask is thought to be, given to the network as a mask prompt.

        Raises:
            InputError: when there is nothing to look for or a prompt lies outside the slice.
        """
        check_slice_prompts(prompts, embedding.shape)
        union = np.zeros(embedding.shape, dtype=bool)
        ious = []
        for group in group_prompts(prompts):
            if self.preprocess.points:
                mask, iou = self._decode(embedding, group, prior)
            else:
                mask, iou = self._by_box(embedding, group, prior)
            union |= mask
            ious.append(iou)
        return SliceMask(union, min(ious))

    def _by_box(
        self, embedding: Embedding, prompts: Sequence[Prompt], prior: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.bool_], float]:
        """For models trained on boxes alone, which may pass over a point or turn the whole mask over for it.

        Without a box, boxes of several sizes are tried; the mask that changes least to the next size and stands out
        most from its surroundings is taken.
        Points are given to the network, and its answer is kept where they did no more than they should; elsewhere they
        act on their own surroundings (`apply_clicks`). So a click always counts, and never far away.
        """
        clicks = [p for p in prompts if p.type == "point"]
        boxes = [p for p in prompts if p.type == "box"]
        if not clicks:
            return self._decode(embedding, prompts, prior)
        if boxes:
            mask, iou = self._decode(embedding, boxes, prior)
            clicked, clicked_iou = self._decode(embedding, prompts, prior)
            if only_as_asked(mask, clicked, clicks):
                mask, iou = clicked, clicked_iou
        else:
            tried = [
                self._decode(embedding, [box], prior) for box in boxes_around(clicks, embedding.shape, POINT_BOXES)
            ]
            stable = [overlap(a[0], b[0]) * contrast(embedding.image, a[0]) for a, b in pairwise(tried)]
            mask, iou = tried[int(np.argmax(stable))]
        return apply_clicks(mask, embedding.image, clicks), iou

    def _decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], prior: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.bool_], float]:
        import torch
        from torch.nn import functional as F

        (across, down), (height, width) = embedding.shape, embedding.resized
        scale = np.array([width / across, height / down], dtype=np.float32)
        # A box's corners are whole voxels: it reaches to the far edge of its last one.
        boxes = [np.tile(scale, 2) * np.add(p.coords, (0, 0, 1, 1)) for p in prompts if p.type == "box"]
        clicks = [p for p in prompts if p.type == "point"]
        box = torch.as_tensor(np.array(boxes), dtype=torch.float32, device=self.device) if boxes else None
        points = None
        if clicks:
            # The centre of voxel x lies at (x + 0.5) * scale; the encoder adds half a pixel itself.
            where = (np.array([p.coords for p in clicks]) + 0.5) * scale - 0.5
            labels = np.array([1.0 if p.positive else 0.0 for p in clicks])
            points = tuple(torch.as_tensor(a[None], dtype=torch.float32, device=self.device) for a in (where, labels))
        net = self.network
        with torch.inference_mode():
            sparse, dense = net.prompt_encoder(points=points, boxes=box, masks=self._mask_prompt(embedding, prior))
            logits, iou = net.mask_decoder(
                image_embeddings=embedding.features,
                image_pe=net.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
            size = (self.preprocess.size, self.preprocess.size)
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[..., :height, :width]
            logits = F.interpolate(logits, size=(down, across), mode="bilinear", align_corners=False)
        mask = (logits[0, 0] > 0).cpu().numpy().T
        return mask, float(np.clip(iou.item(), 0, 1))

    def _mask_prompt(self, embedding: Embedding, prior: NDArray[np.bool_] | None) -> torch.Tensor | None:
        if prior is None or not prior.any():
            return None
        import torch
        from torch.nn import functional as F

        mask = torch.from_numpy(np.ascontiguousarray(prior.T)).to(self.device, torch.float32)[None, None]
        mask = F.interpolate(mask, size=embedding.resized, mode="bilinear", align_corners=False)
        size, (height, width) = self.preprocess.size, embedding.resized
        mask = F.pad(mask, (0, size - width, 0, size - height))
        low = self.network.prompt_encoder.mask_input_size
        return (F.interpolate(mask, size=low, mode="bilinear", align_corners=False) * 2 - 1) * PRIOR_LOGIT
