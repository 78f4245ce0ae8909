"""SAM2, the fallback for boxes and points: an optional package and a checkpoint that the user provides.

Used where MedSAM cannot be loaded. Only the single-image predictor is used; propagation is TwinReview's own, the same
for all models. Loading goes through `weights.registry` (hash, weights only), never through sam2's own loader.

Source: Ravi et al., arXiv 2408.00714.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.base import SliceMask
from core.engines.device import pick_device
from core.engines.prompt.network_weights import fill_network
from core.engines.prompt.prompting import check_slice_prompts, group_prompts
from core.errors import InputError, ModelError
from core.types import Prompt
from weights import registry

INSTALL = "pip install 'sam2>=1.1,<2'"
FOLDER = "weights/local/"
SUGGESTED_FILE = "sam2.1_hiera_tiny.pt"
#: What mask prompts are worth inside and outside, in logits, and the side they are given at.
PRIOR_LOGIT, PRIOR_SIDE = 8.0, 256
SIZES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}


@dataclass(frozen=True, eq=False)
class Sam2Embedding:
    """One slice's features as the predictor keeps them, and the slice's shape (I, J)."""

    features: Any
    shape: tuple[int, int]


def config_for(file_name: str) -> str:
    """The package's configuration for a checkpoint, told by its published name.

    Raises:
        ModelError: for a name that does not say which network it is for.
    """
    stem = file_name.lower().removesuffix(".pt")
    for size, letter in SIZES.items():
        for family in ("sam2.1", "sam2"):
            if stem == f"{family}_hiera_{size}":
                return f"configs/{family}/{family}_hiera_{letter}.yaml"
    names = ", ".join(f"sam2.1_hiera_{size}.pt" for size in SIZES)
    raise ModelError(
        f"The name {file_name} does not say which SAM2 network it is for. Give it its published name: {names}."
    )


class Sam2Segmenter:
    """A prompt segmenter (`core.engines.base.PromptSegmenter`) over `SAM2ImagePredictor`; safe between threads."""

    def __init__(self, predictor: Any, model_id: str, sha256: str) -> None:
        self.model_id = model_id
        self.checkpoint_sha256 = sha256
        self._predictor = predictor
        # The predictor holds one image at a time.
        self._lock = threading.Lock()

    def embed(self, image: NDArray[np.uint8]) -> Sam2Embedding:
        """(I, J) uint8 from `core.engines.prompt.preparing.to_uint8` -> an embedding."""
        if image.ndim != 2 or image.dtype != np.uint8 or min(image.shape) < 1:
            raise InputError(f"Expected a slice (I, J) of uint8, got {image.shape} of {image.dtype}.")
        rgb = np.ascontiguousarray(np.repeat(image.T[:, :, None], 3, axis=2))
        with self._lock, self._half():
            self._predictor.set_image(rgb)
            return Sam2Embedding(self._predictor._features, (image.shape[0], image.shape[1]))

    def predict(
        self, embedding: Sam2Embedding, prompts: Sequence[Prompt], prior: NDArray[np.bool_] | None = None
    ) -> SliceMask:
        """As `core.engines.prompt.sam_segmenter.SamSegmenter.predict`."""
        check_slice_prompts(prompts, embedding.shape)
        union, ious = np.zeros(embedding.shape, dtype=bool), []
        for group in group_prompts(prompts):
            mask, iou = self._ask(embedding, group, prior)
            union |= mask
            ious.append(iou)
        return SliceMask(union, min(ious))

    def _ask(
        self, embedding: Sam2Embedding, prompts: Sequence[Prompt], prior: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.bool_], float]:
        boxes = [p.coords for p in prompts if p.type == "box"]
        clicks = [p for p in prompts if p.type == "point"]
        with self._lock, self._half():
            self._predictor._features = embedding.features
            self._predictor._orig_hw = [(embedding.shape[1], embedding.shape[0])]
            self._predictor._is_image_set, self._predictor._is_batch = True, False
            masks, ious, _ = self._predictor.predict(
                point_coords=np.array([p.coords for p in clicks], dtype=np.float32) + 0.5 if clicks else None,
                point_labels=np.array([int(p.positive) for p in clicks]) if clicks else None,
                box=np.array(boxes[0], dtype=np.float32) if boxes else None,
                mask_input=_mask_prompt(prior),
                multimask_output=False,
            )
        return masks[0].T > 0, float(np.clip(ious[0], 0, 1))

    def _half(self) -> Any:
        import torch

        device = self._predictor.device
        return torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")


def _mask_prompt(prior: NDArray[np.bool_] | None) -> NDArray[np.float32] | None:
    """(I, J) bool -> (1, 256, 256) logits; SAM2 stretches a slice to a square."""
    if prior is None or not prior.any():
        return None
    import torch
    from torch.nn import functional as F

    mask = torch.from_numpy(np.ascontiguousarray(prior.T)).float()[None, None]
    mask = F.interpolate(mask, size=(PRIOR_SIDE, PRIOR_SIDE), mode="bilinear", align_corners=False)
    return ((mask * 2 - 1) * PRIOR_LOGIT)[0].numpy()


def _choose(model_id: str | None) -> registry.ModelEntry:
    if model_id is not None:
        entry = registry.find(model_id)
        if entry.kind != "sam2":
            raise ModelError(f"{entry.name} is no SAM2 model. Choose one of kind sam2.")
        return entry
    known = [(e, registry.status(e)) for e in registry.models() if e.kind == "sam2"]
    # An altered file comes last: it is refused when loaded, with the reason.
    present = [e for wanted in ("ready", "altered") for e, status in known if status == wanted]
    if not present:
        raise ModelError(
            f"No SAM2 checkpoint is there: put {SUGGESTED_FILE} (from https://github.com/facebookresearch/sam2) into "
            f"{FOLDER}."
        )
    return present[0]


@lru_cache(maxsize=1)
def _warm(entry: registry.ModelEntry, stamp: int) -> Sam2Segmenter:
    from sam2.build_sam import build_sam2
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    config = config_for(registry.locate(entry).name)
    loaded = registry.load_model(entry)
    network = build_sam2(config, ckpt_path=None, device=pick_device())
    fill_network(network, loaded.states()[0], entry.id)
    return Sam2Segmenter(SAM2ImagePredictor(network), entry.id, loaded.checkpoint_sha256)


def load_sam2(model_id: str | None = None) -> Sam2Segmenter:
    """A SAM2 model of the registry, kept warm; None for the first whose checkpoint is there.

    Raises:
        ModelError: when package or checkpoint is missing; the message names the command, or the file and its place.
    """
    if importlib.util.find_spec("sam2") is None:
        raise ModelError(
            f"The optional Python package sam2 is not installed. Run: {INSTALL} and put {SUGGESTED_FILE} (from "
            f"https://github.com/facebookresearch/sam2) into {FOLDER}."
        )
    entry = _choose(model_id)
    path = registry.locate(entry)
    return _warm(entry, path.stat().st_mtime_ns if path.exists() else 0)
