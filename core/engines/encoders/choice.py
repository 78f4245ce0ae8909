"""Which encoder looks at lesions: by the setting TWIN_LESION_ENCODER, LiteMedSAM's where nothing else is said.

LiteMedSAM's is the default because it reads CT, PET and MR and comes with the installation, not because it finds most:
of CTs that were taken otherwise ASTRA's finds more (`python -m tests.bench retrieval`).
"""

from __future__ import annotations

import importlib.util

from core.engines.encoders.lesion_looks import LesionEncoder, encoder_name
from core.errors import ModelError
from core.settings import settings
from weights import registry

#: Model -> the optional package that it needs.
_NEEDS = {"medsiglip": "transformers"}


def load_lesion_encoder(model_id: str = "") -> LesionEncoder:
    """The encoder, kept warm.

    Args:
        model_id: "litemedsam", "astra-ct-encoder" or "medsiglip"; "" for the one that is set.

    Raises:
        ModelError: it cannot be loaded (the message says what is missing and how to get it), or there is no such one.
    """
    wanted = model_id or settings().lesion_encoder
    if wanted == "litemedsam":
        from core.engines.encoders.litemedsam import LiteMedSamLooks, load_litemedsam

        return LiteMedSamLooks(load_litemedsam())
    if wanted == "astra-ct-encoder":
        from core.engines.encoders.astra import load_astra
        from core.engines.encoders.levels import CropLooks

        return CropLooks(load_astra())
    if wanted == "medsiglip":
        from core.engines.encoders.siglip import load_siglip

        return load_siglip()
    raise ModelError(f"Expected an encoder of litemedsam, astra-ct-encoder and medsiglip, got {wanted!r}. Choose one.")


def lesion_encoder_name(model_id: str = "") -> str:
    """The name that the vectors of an encoder have, from its file alone: no network is loaded.

    Args:
        model_id: as of `load_lesion_encoder`.

    Raises:
        ModelError: its file is missing or altered, or the package that it needs.
    """
    wanted = model_id or settings().lesion_encoder
    if wanted == "none":
        raise ModelError("No encoder is to look at lesions (TWIN_LESION_ENCODER is none). Set one to compare by sight.")
    entry = registry.find(wanted)
    package = _NEEDS.get(entry.id)
    if package is not None and importlib.util.find_spec(package) is None:
        raise ModelError(
            f"The optional Python package {package} is not installed. Run: pip install -r {entry.requirements}"
        )
    if registry.status(entry) != "ready":
        registry.verify(entry)  # says what is wrong
    return encoder_name(entry.id, entry.sha256)
