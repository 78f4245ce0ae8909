"""MedSigLIP, or any SigLIP, by weights that somebody put into weights/local; needs the optional package transformers.

What is read is a folder as Hugging Face's transformers writes it: `config.json` and `model.safetensors`, of the whole
model or of its image part alone; the text part is left aside. The grey values are those that LiteMedSAM is shown, from
-1 to 1 as SigLIP was trained. Nothing is fetched, and no code of the folder is run.

Source: SigLIP (Zhai 2023, 10.1109/ICCV51070.2023.01100); MedSigLIP (Sellergren 2025, arXiv 2507.05201).
"""

from __future__ import annotations

import importlib.util
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.engines.device import pick_device
from core.engines.encoders.lesion_looks import (
    LesionSlice,
    Mask,
    SliceView,
    Vector,
    check_lesion,
    encoder_name,
    in_anatomical_order,
    lesion_slices,
    pooled,
)
from core.engines.encoders.litemedsam import grey_volume
from core.engines.prompt.network_weights import fill_network
from core.errors import ModelError
from core.types import Volume
from weights import registry

if TYPE_CHECKING:
    import torch

SIGLIP_ID = "medsiglip"
INSTALL = "pip install -r requirements-extra.txt"
#: Of the image part, as the parameters of a whole SigLIP are named.
IMAGE_PART = "vision_model."
#: A table of numbers 0, 1, 2, … that older files hold beside the weights.
_NO_WEIGHT = "embeddings.position_ids"
SIGLIP_VIEW = SliceView(window=2.0)


class SiglipLooks:
    """A `LesionEncoder` by SigLIP's patches: those that the lesion covers are averaged; any modality.

    Args:
        network: SigLIP's image part in evaluation mode. side, patch: pixels of its image and of a patch.
    """

    modalities: frozenset[str] | None = None

    def __init__(self, network: Any, name: str, side: int, patch: int, view: SliceView = SIGLIP_VIEW) -> None:
        self._network, self.name, self._side, self._patch, self._view = network, name, side, patch, view

    def look(self, volume: Volume, lesion: Mask) -> Vector:
        """As `LesionEncoder.look`."""
        check_lesion(volume, lesion, self.name, self.modalities)
        grey, turned = in_anatomical_order(grey_volume(volume), lesion)
        rows = [self._features(part) for part in lesion_slices(grey, turned, self._view)]
        return np.mean(rows, axis=0).astype(np.float32)

    def _features(self, part: LesionSlice) -> NDArray[np.float64]:
        import torch

        many = self._side // self._patch
        with torch.inference_mode():
            found = self._network(pixel_values=self._pixels(part.image)).last_hidden_state[0]
        features = found.float().cpu().numpy().T.reshape(-1, many, many)
        return pooled(features, (many, many), part.inside)

    def _pixels(self, image: NDArray[np.float32]) -> torch.Tensor:
        """(1, 3, side, side), -1..1: stretched to the square, as SigLIP's own preparation does."""
        import torch
        from torch.nn import functional as F

        pixels = torch.from_numpy(np.ascontiguousarray(image.T)).to(pick_device(), torch.float32)[None, None]
        size = (self._side, self._side)
        pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
        return (pixels / 127.5 - 1).expand(-1, 3, -1, -1)


@lru_cache(maxsize=1)
def load_siglip(model_id: str = SIGLIP_ID) -> SiglipLooks:
    """The encoder, kept warm.

    Raises:
        ModelError: package or files are missing (the message names the command, or the file and its place), a file was
            altered since its hash was pinned, or it is no SigLIP.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ModelError(f"The optional Python package transformers is not installed. Run: {INSTALL}")
    loaded = registry.load_model(registry.find(model_id))
    config = _image_config(loaded.content[registry.CONFIG], model_id)
    from transformers import SiglipVisionConfig, SiglipVisionModel

    try:
        network = SiglipVisionModel(SiglipVisionConfig(**config))
    except (TypeError, ValueError) as problem:
        raise _no_siglip(model_id, f"its {registry.CONFIG} cannot be read ({type(problem).__name__})") from None
    image_part = getattr(network, IMAGE_PART.rstrip("."), network)  # transformers 4 has one more level
    fill_network(image_part, _image_weights(next(iter(loaded.content.values())), model_id), model_id)
    network.eval().to(pick_device())
    name = encoder_name(model_id, loaded.checkpoint_sha256)
    return SiglipLooks(network, name, int(network.config.image_size), int(network.config.patch_size))


def _image_config(content: bytes, model_id: str) -> dict[str, Any]:
    """The image part's settings of a config.json of the whole or of the image part alone."""
    try:
        config = json.loads(content)
        config = config.get("vision_config", config)
        kind = config.get("model_type")
    except (ValueError, AttributeError):
        raise _no_siglip(model_id, f"its {registry.CONFIG} cannot be read") from None
    if kind != "siglip_vision_model":
        raise _no_siglip(model_id, f"its {registry.CONFIG} says that it is {kind!r}")
    return dict(config)


def _image_weights(content: bytes, model_id: str) -> dict[str, Any]:
    """The image part's parameters by its own names."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = load(content)
    except SafetensorError:
        raise _no_siglip(model_id, "its weights are damaged or no safetensors") from None
    whole = any(name.startswith(IMAGE_PART) for name in state)
    names = {name: name.removeprefix(IMAGE_PART) for name in state if name.startswith(IMAGE_PART) or not whole}
    return {mine: state[name] for name, mine in names.items() if mine != _NO_WEIGHT}


def _no_siglip(model_id: str, why: str) -> ModelError:
    return ModelError(
        f"{model_id} cannot be loaded: {why}. Put config.json and model.safetensors of a SigLIP into "
        f"weights/local/{model_id}."
    )
