"""A slice as each model's authors gave it: grey values first (`to_uint8`), then size and scaling (`PREPROCESS`).

CT is windowed to soft tissue; MR and PET go between the 0.5th and 99.5th percentile of their foreground.

Source: MedSAM (Ma et al., 10.1038/s41467-024-44824-z), SAM (Kirillov et al., 10.1109/ICCV51070.2023.00371).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.types import MODALITIES, Modality

CT_WINDOW_HU, CT_LEVEL_HU = 400.0, 40.0
PERCENTILES = (0.5, 99.5)
#: Part of what kept embeddings are named by: raise it when a slice is prepared in another way.
PREPARATION = 2


@dataclass(frozen=True)
class Preprocess:
    """How one family of models wants a slice: side in pixels, aspect ratio kept or not, its scaling; and whether it was
    trained on points as well as on boxes.
    """

    size: int
    keep_aspect: bool
    scaling: Literal["min-max", "imagenet"]
    points: bool


PREPROCESS = {
    "litemedsam": Preprocess(256, True, "min-max", points=False),
    "medsam": Preprocess(1024, False, "min-max", points=False),
    "sam": Preprocess(1024, True, "imagenet", points=True),
}


def to_uint8(array: NDArray[Any], modality: Modality) -> NDArray[np.uint8]:
    """Grey values as the models' authors prepared them.

    Args:
        array: a slice or a volume (the percentiles are of what is given: give the volume), HU for CT.
        modality: CT is cut to width 400, level 40 HU; MR and PET to the 0.5th and 99.5th percentile of voxels above 0.

    Returns:
        The same shape, 0..255. A constant image, or one with nothing above 0 in MR or PET, gives zeros.

    Raises:
        InputError: for another modality, or values that are not finite.
    """
    if modality not in MODALITIES:
        raise InputError(f"Expected modality CT, PET or MR, got {modality!r}.")
    values = np.asarray(array, dtype=np.float32)
    if not np.isfinite(values).all():
        raise InputError("The image holds values that are not numbers (NaN or infinite). Export it again.")
    if modality == "CT":
        low, high = CT_LEVEL_HU - CT_WINDOW_HU / 2, CT_LEVEL_HU + CT_WINDOW_HU / 2
    else:
        foreground = values[values > 0]
        if foreground.size == 0:
            return np.zeros(values.shape, dtype=np.uint8)
        low, high = (float(v) for v in np.percentile(foreground, PERCENTILES))
    if high <= low:
        return np.zeros(values.shape, dtype=np.uint8)
    grey = (np.clip(values, low, high) - low) * (255.0 / (high - low))
    if modality != "CT":
        grey[values <= 0] = 0
    return np.round(grey).astype(np.uint8)


def embedding_key(checkpoint_sha256: str, preprocess: Preprocess) -> str:
    """What names a model's embeddings on disk: the checkpoint and how slices are prepared for it."""
    aspect = "aspect" if preprocess.keep_aspect else "stretched"
    return f"{checkpoint_sha256}-{preprocess.size}-{aspect}-{preprocess.scaling}-{PREPARATION}"
