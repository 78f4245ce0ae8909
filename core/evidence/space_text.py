"""A space as text, so that what was learned in it can be used again with the very same numbers."""

from __future__ import annotations

import base64
import binascii
import json

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import ModelError
from core.evidence.cases import SpaceName
from core.evidence.spaces import AppearancePart, ShapePart, Space, Tuning

_LONGEST = 4_000_000


class _Text(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    name: SpaceName
    lesions: int
    components: int
    whitening: float
    appearance_weight: float
    shape: dict[str, str] | None
    appearance: dict[str, str] | None
    centres: dict[str, str]
    typical: list[float]


def space_text(space: Space) -> str:
    """The text of a space, numbers in double precision."""
    shape, appearance = space.shape, space.appearance
    told = _Text(
        name=space.name,
        lesions=space.lesions,
        components=space.tuning.components,
        whitening=float(space.tuning.whitening),
        appearance_weight=float(space.tuning.appearance_weight),
        shape=None if shape is None else {"centre": _packed(shape.centre), "spread": _packed(shape.spread)},
        appearance=None
        if appearance is None
        else {"centre": _packed(appearance.centre), "axes": _packed(appearance.axes)},
        centres={} if appearance is None else {name: _packed(one) for name, one in appearance.centres.items()},
        typical=[0.0 if shape is None else shape.typical, 0.0 if appearance is None else appearance.typical],
    )
    return json.dumps(told.model_dump(), sort_keys=True)


def space_of(text: str) -> Space:
    """What `space_text` wrote.

    Raises:
        ModelError: another text.
    """
    try:
        if len(text) > _LONGEST:
            raise ValueError("too long")
        told = _Text.model_validate_json(text)
        shape = appearance = None
        if told.shape is not None:
            shape = ShapePart(_unpacked(told.shape["centre"]), _unpacked(told.shape["spread"]), told.typical[0])
        if told.appearance is not None:
            centre = _unpacked(told.appearance["centre"])
            centres = {name: _unpacked(one) for name, one in told.centres.items()}
            axes = _unpacked(told.appearance["axes"]).reshape(-1, len(centre))
            appearance = AppearancePart(centre, centres, axes, told.typical[1])
        tuning = Tuning(told.components, told.whitening, told.appearance_weight)
        return Space(told.name, told.lesions, tuning, shape, appearance)
    except (ValidationError, ValueError, KeyError, IndexError, binascii.Error):
        raise ModelError("Expected a space as it was kept, got another text. Learn from the marks again.") from None


def _packed(values: NDArray[np.float64]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode()


def _unpacked(text: str) -> NDArray[np.float64]:
    values = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("not finite")
    return values
