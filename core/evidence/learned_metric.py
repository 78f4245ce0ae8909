"""A metric that was learned from marks, as it is kept: numbers, what they were learned from, and what they gained.

It turns vectors into vectors whose Euclidean distance is the learned one, so any search can use it. NumPy alone;
fitting is in `core.evidence.learning` (weights) and `core.evidence.graph_network` (torch). Its version is the SHA-256
of what it holds: the same marks give the same version, and an altered text is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import InputError, ModelError
from core.evidence.cases import SpaceName
from core.evidence.learning import checked_vectors

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

MetricKind = Literal["none", "weights", "graph network"]
_FORMAT = 1
_LONGEST = 4_000_000


@dataclass(frozen=True, slots=True)
class Gain:
    """What one metric gains over another on marks that neither was learned from.

    Args:
        metric, over: what is compared, "no learning" for distances as they are.
        accuracy, accuracy_over: share of pairs (relevant, not relevant) of one query in the right order, ties half,
            0..1. difference: between them, with its 95 % limits low and high; low_99: the lower one at 99 %.
        auroc, auroc_over: chance that a relevant lesion is nearer than one that is not, over all queries, 0..1.
        pairs, groups: how many the accuracy was counted over.
    """

    metric: str
    over: str
    accuracy: float
    accuracy_over: float
    difference: float
    low: float
    high: float
    low_99: float
    auroc: float
    auroc_over: float
    pairs: int
    groups: int


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: z = x + max(0, [x, mean of neighbours] inner + bias) outer.

    Args:
        inner: (2 d, hidden). bias: (hidden,). outer: (hidden, d).
    """

    inner: Singles
    bias: Singles
    outer: Singles


@dataclass(frozen=True, eq=False)
class LearnedMetric:
    """A learned metric. `none()` makes one that changes nothing.

    Args:
        kind: "none" where nothing may be put in force; `words` then say why.
        space, space_id: the vectors that it is for: their space, and what made them (encoder, names of the numbers).
        weights: (d,) > 0, of squared distances; (0,) for "none".
        layers: of the graph network, over vectors that weights have scaled. neighbours: how many each lesion has in it.
        clicks, groups: marks and patients that it was learned from. gains: on held-out marks. seed: of its fit.
    """

    kind: MetricKind
    space: SpaceName
    space_id: str
    weights: Singles
    layers: tuple[Layer, ...]
    neighbours: int
    clicks: int
    groups: int
    gains: tuple[Gain, ...]
    seed: int
    words: str

    @property
    def version(self) -> str:
        """SHA-256 of what it holds."""
        return hashlib.sha256(_canonical(self).encode()).hexdigest()

    def apply(self, vectors: Floats, neighbours: NDArray[np.integer] | None = None) -> Floats:
        """(n, d) vectors whose Euclidean distance is the learned one.

        Args:
            vectors: (n, d) all lesions that may be neighbours. neighbours: (n, k) rows of the nearest by distances as
                they are, -1 where there are fewer; asked of a graph network alone.

        Raises:
            InputError: vectors that are not finite, or of another length than it was learned for; no neighbours.
        """
        found = checked_vectors(vectors)
        if self.kind == "none":
            return found
        if found.shape[1] != len(self.weights):
            raise InputError(
                f"Expected vectors of {len(self.weights)} numbers, as this metric was learned for, got "
                f"{found.shape[1]}. Learn it again from the marks."
            )
        out = found * np.sqrt(self.weights.astype(np.float64))
        for layer in self.layers:
            if neighbours is None:
                raise InputError("Expected neighbours for a graph network, got none. Search for them first.")
            seen = np.concatenate([out, neighbour_mean(out, neighbours)], axis=1)
            out = out + np.maximum(seen @ layer.inner.astype(np.float64) + layer.bias, 0.0) @ layer.outer
        return out

    def to_json(self) -> str:
        """Its text, with its version."""
        return json.dumps({"version": self.version, **json.loads(_canonical(self))}, ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> LearnedMetric:
        """What `to_json` wrote.

        Raises:
            ModelError: another text, or one that was altered.
        """
        return _read(text)


def none(
    space: SpaceName, space_id: str, clicks: int, groups: int, gains: tuple[Gain, ...], words: str
) -> LearnedMetric:
    """A metric that changes nothing; `words` say why nothing was put in force."""
    empty = np.zeros(0, dtype=np.float32)
    return LearnedMetric("none", space, space_id, empty, (), 0, clicks, groups, gains, 0, words)


def neighbour_mean(vectors: Floats, neighbours: NDArray[np.integer]) -> Floats:
    """(n, d) mean over the neighbours of each row; its own vector where it has none.

    Args:
        vectors: (n, d). neighbours: (n, k) rows, -1 for none.

    Raises:
        InputError: neighbours of other rows.
    """
    if (
        neighbours.ndim != 2
        or len(neighbours) != len(vectors)
        or (neighbours.size and neighbours.max() >= len(vectors))
    ):
        raise InputError(
            f"Expected neighbours of {len(vectors)} lesions, got {neighbours.shape}. Search for them again."
        )
    sums, counts = np.zeros_like(vectors), np.zeros((len(vectors), 1))
    for column in neighbours.T:
        there = (column >= 0)[:, None]
        sums += np.where(there, vectors[column], 0.0)
        counts += there
    return np.where(counts > 0, sums / np.maximum(counts, 1.0), vectors)


class _LayerText(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    inner: str
    bias: str
    outer: str


class _MetricText(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    version: str
    format: Literal[1]
    kind: MetricKind
    space: SpaceName
    space_id: str
    weights: str
    hidden: int
    layers: list[_LayerText]
    neighbours: int
    clicks: int
    groups: int
    gains: list[Gain]
    seed: int
    words: str


def _canonical(metric: LearnedMetric) -> str:
    """All but the version, always the same text for the same metric."""
    values = {
        "format": _FORMAT,
        "kind": metric.kind,
        "space": metric.space,
        "space_id": metric.space_id,
        "weights": _packed(metric.weights),
        "hidden": len(metric.layers[0].bias) if metric.layers else 0,
        "layers": [
            {name: _packed(getattr(layer, name)) for name in ("inner", "bias", "outer")} for layer in metric.layers
        ],
        "neighbours": metric.neighbours,
        "clicks": metric.clicks,
        "groups": metric.groups,
        "gains": [{name: getattr(gain, name) for name in Gain.__slots__} for gain in metric.gains],
        "seed": metric.seed,
        "words": metric.words,
    }
    return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _read(text: str) -> LearnedMetric:
    if len(text) > _LONGEST:
        raise ModelError(f"Expected a learned metric of at most {_LONGEST:,} letters, got {len(text):,}.")
    try:
        told = _MetricText.model_validate_json(text)
        weights, hidden = _unpacked(told.weights, (-1,)), told.hidden
        width = len(weights)
        layers = tuple(
            Layer(
                _unpacked(one.inner, (2 * width, hidden)),
                _unpacked(one.bias, (hidden,)),
                _unpacked(one.outer, (hidden, width)),
            )
            for one in told.layers
        )
        found = _made(told, weights, layers)
    except (ValidationError, ValueError, binascii.Error):
        raise ModelError("Expected a learned metric as it was kept, got another text. Learn it again.") from None
    if found.version != told.version:
        raise ModelError("Expected a learned metric as it was kept, got an altered one. Learn it again from the marks.")
    return found


def _made(told: _MetricText, weights: Singles, layers: tuple[Layer, ...]) -> LearnedMetric:
    """What a text tells, its numbers unpacked."""
    if (
        (weights <= 0).any()
        or (told.kind == "graph network") != bool(layers)
        or (told.kind == "none") == bool(len(weights))
    ):
        raise ValueError("its parts do not belong together")
    head = (told.kind, told.space, told.space_id, weights, layers, told.neighbours, told.clicks, told.groups)
    return LearnedMetric(*head, tuple(told.gains), told.seed, told.words)


def _packed(values: Singles) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def _unpacked(text: str, shape: tuple[int, ...]) -> Singles:
    values = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("not finite")
    return values.reshape(shape)
