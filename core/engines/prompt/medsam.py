"""LiteMedSAM, MedSAM and SAM ViT-B: the model for boxes and points, loaded from verified weights and kept warm.

How slices are prepared is in `core.engines.prompt.preparing`, how prompts are answered in
`core.engines.prompt.sam_segmenter`.

Source: MedSAM (Ma et al., 10.1038/s41467-024-44824-z), SAM (Kirillov et al., 10.1109/ICCV51070.2023.00371).
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from core.engines.base import PromptSegmenter
from core.engines.prompt import sam2
from core.engines.prompt.encoder import quick_encoder
from core.engines.prompt.network_weights import fill_network
from core.engines.prompt.preparing import PREPROCESS
from core.engines.prompt.sam_segmenter import SamSegmenter
from core.errors import ModelError
from weights import registry

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

DEFAULT_MODEL = "litemedsam"


def build_network(kind: str) -> torch.nn.Module:
    """The empty network that weights of `kind` ("litemedsam" or "sam_vit_b") fit."""
    if kind == "litemedsam":
        from core.engines.prompt.litemedsam_net import LiteMedSam

        return LiteMedSam()
    if kind == "sam_vit_b":
        from segment_anything import sam_model_registry

        return sam_model_registry["vit_b"]()
    raise ModelError(f"Expected a model of kind litemedsam or sam_vit_b, got {kind!r}. Choose another model.")


@lru_cache(maxsize=2)
def _warm(entry: registry.ModelEntry, stamp: int) -> SamSegmenter:
    """`stamp` is the file's time of change: a file replaced under the same name is loaded again."""
    loaded = registry.load_model(entry)
    network = build_network(entry.kind)
    fill_network(network, loaded.states()[0], entry.id)
    preprocess = PREPROCESS[entry.preprocess]
    if entry.kind != "litemedsam":
        return SamSegmenter(network, preprocess, entry.id, loaded.checkpoint_sha256)
    from core.engines.prompt.litemedsam_net import fuse

    encoder = network.eval().get_submodule("image_encoder")
    fuse(encoder)
    quick, runtime = quick_encoder(encoder, preprocess.size, loaded.checkpoint_sha256)
    return SamSegmenter(network, preprocess, entry.id, loaded.checkpoint_sha256, quick, runtime)


def _load(model_id: str) -> PromptSegmenter:
    entry = registry.find(model_id)
    if entry.kind == "sam2":
        return sam2.load_sam2(model_id)
    if entry.kind not in ("litemedsam", "sam_vit_b"):
        raise ModelError(f"{entry.name} is no model for boxes and points. Choose one of kind litemedsam or sam_vit_b.")
    path = registry.locate(entry)
    return _warm(entry, path.stat().st_mtime_ns if path.exists() else 0)


def load_prompt_segmenter(model_id: str | None = None) -> PromptSegmenter:
    """The model for boxes and points, kept warm.

    Args:
        model_id: of the registry; None for LiteMedSAM.

    Returns:
        That model; SAM2 in its stead when it cannot be loaded and SAM2 can. `.model_id` tells which.

    Raises:
        ModelError: when neither can be loaded: both reasons, and what to do about each.
    """
    wanted = model_id or DEFAULT_MODEL
    try:
        return _load(wanted)
    except ModelError as problem:
        try:
            fallback = sam2.load_sam2(None)
        except ModelError as second:
            raise ModelError(f"{problem}\nSAM2, the fallback, cannot be used either: {second}") from None
        log.warning("model %s could not be loaded; SAM2 (%s) is used instead", wanted, fallback.model_id)
        return fallback
