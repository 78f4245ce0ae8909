"""How vectors of lesions are made comparable: spaces in which the Euclidean distance says how alike two lesions are.

Shape is scaled by median and MAD, as the mask gate scales it. Appearance is centred, also for each modality by itself,
and brought to its first principal components. "both" puts the two side by side, each divided by its own typical size
and weighted. How many components, and which weight: chosen on one half of the patients of
`python -m tests.bench retrieval`, which prints what the other half says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.evidence.cases import SpaceName
from core.gates.mask.conformal import robust_scale

Table = NDArray[np.floating]
Points = NDArray[np.float32]

#: Fewest lesions that a space is made from, and fewest of a modality that has a middle of its own.
FEWEST, FEWEST_OF_MODALITY = 2, 5
#: Of the first component's variance: what lies below is rounding, and no component.
_NOTHING = 1e-9


@dataclass(frozen=True)
class Tuning:
    """What was chosen by measuring.

    Args:
        components: most principal components of appearance that are kept.
        whitening: 1: each component counts alike; 0: as much as it varies; between: between.
        appearance_weight: in "both": share of appearance in the squared distance, 0..1.
    """

    components: int = 8
    whitening: float = 1.0
    appearance_weight: float = 0.05


#: By `python -m tests.bench retrieval`, on the half that is tuned on: more appearance in "both" finds less there, and
#: no whitening or fewer components find less by appearance; more than eight make no difference that could be told.
TUNING = Tuning()


@dataclass(frozen=True, eq=False)
class ShapePart:
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    typical: float

    def project(self, vectors: Table) -> NDArray[np.float64]:
        return (vectors - self.centre) / self.spread


@dataclass(frozen=True, eq=False)
class AppearancePart:
    """centres: of each modality that has one of its own, the others have `centre`; axes (k, d), scaled."""

    centre: NDArray[np.float64]
    centres: dict[str, NDArray[np.float64]]
    axes: NDArray[np.float64]
    typical: float

    def project(self, vectors: Table, modalities: Sequence[str] | None) -> NDArray[np.float64]:
        return _centred(vectors, modalities, self.centre, self.centres) @ self.axes.T


@dataclass(frozen=True, eq=False)
class Space:
    """A fitted space; made by `fit_space`.

    Args:
        name: "shape", "appearance" or "both".
        lesions: how many it was made from.
    """

    name: SpaceName
    lesions: int
    tuning: Tuning
    shape: ShapePart | None
    appearance: AppearancePart | None

    @property
    def dimensions(self) -> int:
        """k: numbers of a point."""
        shape = 0 if self.shape is None else len(self.shape.centre)
        return shape + (0 if self.appearance is None else len(self.appearance.axes))

    def project(self, shape: Table | None, appearance: Table | None, modalities: Sequence[str] | None = None) -> Points:
        """(n, k) float32; the distance of two rows says how alike the lesions are, 0 for equal vectors.

        Args:
            shape: (n, 12) of `core.lesions.shape`; None where the space has none of it, as all that it does not use.
            appearance: (n, d) of the encoder that the space was made of.
            modalities: (n,) of the scans that were looked at; a modality that the space does not know, or None, is
                centred as all together.

        Raises:
            InputError: what the space needs is missing, of another width, or not finite.
        """
        parts, weight = [], self.tuning.appearance_weight
        both = self.shape is not None and self.appearance is not None
        if self.shape is not None:
            vectors = _checked("shape", shape, len(self.shape.centre))
            parts.append(self.shape.project(vectors) * (np.sqrt(1 - weight) / self.shape.typical if both else 1))
        if self.appearance is not None:
            vectors = _checked("appearance", appearance, len(self.appearance.centre))
            _check_count(vectors, modalities)
            scale = np.sqrt(weight) / self.appearance.typical if both else 1
            parts.append(self.appearance.project(vectors, modalities) * scale)
        if len({len(part) for part in parts}) > 1:
            raise InputError(f"Expected as many shapes as appearances, got {len(parts[0])} and {len(parts[1])}.")
        return np.concatenate(parts, axis=1).astype(np.float32)


def fit_space(
    name: SpaceName,
    shape: Table | None,
    appearance: Table | None,
    modalities: Sequence[str] | None = None,
    tuning: Tuning = TUNING,
) -> Space:
    """The space in which lesions like these are compared.

    Args:
        name: "shape", "appearance" or "both".
        shape: (n, 12), None where it is not used. appearance: (n, d), likewise; of one encoder.
        modalities: (n,) of the scans that were looked at; None: all of one.

    Raises:
        InputError: another name; fewer than two lesions; vectors that are missing, not finite, or as many of the one as
            of the other; appearances that are all the same.
    """
    if name not in get_args(SpaceName):
        raise InputError(f"Expected a space of {', '.join(get_args(SpaceName))}, got {name!r}.")
    shape_part = appearance_part = None
    counts = []
    if name != "appearance":
        table = _checked("shape", shape)
        counts.append(len(table))
        _check_fewest(table)
        centre, spread = robust_scale(table)
        shape_part = ShapePart(centre, spread, _typical_size((table - centre) / spread))
    if name != "shape":
        table = _checked("appearance", appearance)
        counts.append(len(table))
        _check_fewest(table)
        _check_count(table, modalities)
        appearance_part = _fit_appearance(table, modalities, tuning)
    if len(set(counts)) > 1:
        raise InputError(f"Expected as many shapes as appearances, got {counts[0]} and {counts[1]}.")
    return Space(name, counts[0], tuning, shape_part, appearance_part)


def _fit_appearance(table: NDArray[np.float64], modalities: Sequence[str] | None, tuning: Tuning) -> AppearancePart:
    centre = table.mean(axis=0)
    names = np.array(modalities if modalities is not None else [""] * len(table))
    centres = {
        str(name): table[names == name].mean(axis=0)
        for name, count in zip(*np.unique(names, return_counts=True), strict=True)
        if count >= FEWEST_OF_MODALITY
    }
    centred = _centred(table, modalities, centre, centres)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    deviations = sizes / np.sqrt(len(table))
    if deviations[0] <= _NOTHING * max(1.0, float(np.abs(table).max())):
        raise InputError("The lesions all look the same to the encoder, so none is more alike than another.")
    kept = min(tuning.components, int(np.count_nonzero(deviations > np.sqrt(_NOTHING) * deviations[0])))
    scaled = axes[:kept] / (deviations[:kept, None] ** tuning.whitening)
    return AppearancePart(centre, centres, scaled, _typical_size(centred @ scaled.T))


def _centred(
    vectors: Table,
    modalities: Sequence[str] | None,
    centre: NDArray[np.float64],
    centres: dict[str, NDArray[np.float64]],
) -> NDArray[np.float64]:
    if modalities is None:
        return np.asarray(vectors - centres.get("", centre), dtype=np.float64)
    return np.asarray(
        vectors - np.array([centres.get(str(name), centre) for name in modalities]).reshape(vectors.shape)
    )


def _typical_size(points: NDArray[np.float64]) -> float:
    """The median distance from the middle; the mean where more than half lie in it; 1 where all do."""
    lengths = np.linalg.norm(points, axis=1)
    return float(np.median(lengths) or lengths.mean() or 1.0)


def _checked(what: str, vectors: Table | None, width: int | None = None) -> NDArray[np.float64]:
    if vectors is None:
        raise InputError(f"Expected the {what} of each lesion, got none. Leave lesions out that have none.")
    table = np.asarray(vectors, dtype=np.float64)
    if table.ndim != 2 or (width is not None and table.shape[1] != width):
        raise InputError(f"Expected a row of {width or 'some'} numbers of {what} a lesion, got {table.shape}.")
    if not np.isfinite(table).all():
        raise InputError(f"Expected finite numbers of {what}, got others. Leave those lesions out.")
    return table


def _check_fewest(table: NDArray[np.float64]) -> None:
    if len(table) < FEWEST:
        raise InputError(f"Expected at least {FEWEST} lesions to compare, got {len(table)}. Accept more masks first.")


def _check_count(table: NDArray[np.float64], modalities: Sequence[str] | None) -> None:
    if modalities is not None and len(modalities) != len(table):
        raise InputError(f"Expected a modality a lesion, got {len(modalities)} for {len(table)}.")


def percentile_of(distance: float, sample: NDArray[np.floating]) -> float:
    """How alike a distance is: the share of pairs that are farther apart, in percent, 0..100; 100: none is nearer.

    Args:
        distance: of two lesions, in the space that the sample is of.
        sample: of `pair_distances`.

    Raises:
        InputError: an empty sample, or a distance that is none.
    """
    if len(sample) == 0:
        raise InputError("Expected distances to compare with, got none. Lesions of two patients are needed.")
    if not np.isfinite(distance) or distance < 0:
        raise InputError(f"Expected a distance of 0 or more, got {distance}.")
    return float(100.0 * np.mean(np.asarray(sample) > distance))


def pair_distances(points: Points, owners: Sequence[str], count: int, seed: int) -> NDArray[np.float64]:
    """Distances between lesions of two patients: all of them where there are at most `count`, else so many of them,
    each pair as likely as any other.

    Args:
        points: (n, k) of `Space.project`. owners: (n,) the patients. count: >= 1. seed: draws.

    Returns:
        (m,) ascending, m >= 1.

    Raises:
        InputError: fewer than two patients, another number of owners than of points, count below 1.
    """
    if len(points) != len(owners) or count < 1:
        raise InputError(f"Expected a patient a lesion, got {len(owners)} for {len(points)}; and to draw 1 or more.")
    _, whose, held = np.unique(np.asarray(owners, dtype=str), return_inverse=True, return_counts=True)
    if len(held) < 2:
        raise InputError(f"Expected lesions of two patients to compare, got those of {len(held)}.")
    order = np.argsort(whose, kind="stable")
    rows, sizes = np.asarray(points, np.float64)[order], held[whose[order]]
    starts = np.concatenate([[0], np.cumsum(held)])[whose[order]]
    others = len(rows) - sizes
    if int(others.sum()) // 2 <= count:
        ends = starts + sizes
        first = np.repeat(np.arange(len(rows)), len(rows) - ends)
        second = np.concatenate([np.arange(end, len(rows)) for end in ends])
    else:
        rng = np.random.default_rng(seed)
        first = rng.choice(len(rows), count, p=others / others.sum())
        second = rng.integers(0, others[first])
        second = second + np.where(second >= starts[first], sizes[first], 0)
    return np.sort(np.linalg.norm(rows[first] - rows[second], axis=1))
