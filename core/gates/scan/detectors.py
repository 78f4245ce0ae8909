"""Scan detectors on plain arrays: RF-Deep's forest, and the simpler ones that it must be seen beside.

A detector is a function (training rows, training labels, test rows) -> a score per test scan, higher = odder. Rows are
(scans, crops, features); a scan's score is the mean over its crops. Those that look at in-distribution scans alone
ignore the labels' OOD part: comparing them with the others without saying so would not be fair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.imaging.orienting import axis_order
from core.types import Volume

Array = NDArray[np.float64]
Rows = NDArray[np.float32]
Labels = NDArray[np.bool_]
Detector = Callable[[Rows, Labels, Rows], Array]

TREES = 1000
MAX_DEPTH = 20
SEED = 20261121
NEIGHBOURS = 5

#: Edges of the histograms: HU from air to cortical bone, SUV on a rough log scale; what lies beyond falls in the ends.
HU_EDGES = np.linspace(-1000, 1000, 41)
SUV_EDGES = np.concatenate([[0.0], np.geomspace(0.05, 40.0, 29)])


def histogram(volumes: Sequence[Volume]) -> Rows:
    """(features,) float32: each volume's voxels by value, in shares of 1, volumes in the order given (CT edges first).

    PET and whatever takes its place is counted by SUV edges, everything else by HU edges.
    """
    parts = []
    for volume in volumes:
        edges = SUV_EDGES if volume.modality == "PET" else HU_EDGES
        counts, _ = np.histogram(np.clip(volume.array, edges[0], edges[-1]), edges)
        parts.append(counts / volume.array.size)
    return np.concatenate(parts).astype(np.float32)


def geometry(volumes: Sequence[Volume]) -> Rows:
    """(6,) float32: log spacing and log extent of the first volume, millimetres, to the left, to posterior and up: a
    control that sees no voxel."""
    grid = axis_order(volumes[0].grid).grid
    spacing = np.array(grid.spacing_mm)
    return np.log(np.concatenate([spacing, spacing * grid.shape])).astype(np.float32)


def fit_forest(rows: Rows, labels: Labels, seed: int = SEED, trees: int = TREES, jobs: int = 1) -> Any:
    """RF-Deep's forest on (n, features): 1000 trees, max_depth 20, class_weight balanced, else scikit-learn's defaults.

    The same rows, seed and scikit-learn give the same forest. Source: arXiv 2512.08216.
    """
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        n_estimators=trees, max_depth=MAX_DEPTH, class_weight="balanced", random_state=seed, n_jobs=jobs
    )
    forest.fit(rows, labels)
    # Threads add the trees' votes in any order, which changes the last digit of a score.
    forest.n_jobs = 1
    return forest


def forest_scores(forest: Any, rows: Rows) -> Array:
    """(scans, crops, features) -> (scans, crops) P(OOD), 0..1."""
    flat = rows.reshape(-1, rows.shape[-1])
    return np.asarray(forest.predict_proba(flat)[:, list(forest.classes_).index(True)]).reshape(rows.shape[:2])


def forest_detector(training_crops: int | None = None, trees: int = TREES, seed: int = SEED) -> Detector:
    """The forest as a detector; `training_crops` of each training scan are used (None: all)."""

    def detect(rows: Rows, labels: Labels, test: Rows) -> Array:
        used = rows[:, :training_crops]
        flat = used.reshape(-1, used.shape[-1])
        forest = fit_forest(flat, np.repeat(labels, used.shape[1]), seed, trees)
        return np.asarray(forest_scores(forest, test).mean(axis=1))

    return detect


def scale(rows: Rows, labels: Labels) -> tuple[Array, Array, Array]:
    """In-distribution rows (n, features) of unit spread, and the mean and spread to bring others there."""
    flat = rows[~labels].reshape(-1, rows.shape[-1]).astype(np.float64)
    mean, spread = flat.mean(axis=0), flat.std(axis=0)
    spread[spread < 1e-9] = 1.0  # a feature that never changed in the reference
    return (flat - mean) / spread, mean, spread


def nearest_neighbours(rows: Rows, labels: Labels, test: Rows) -> Array:
    """Mean distance of a crop to its 5 nearest in-distribution crops, standardised. Sun 2022, arXiv 2204.06507."""
    from sklearn.neighbors import NearestNeighbors

    flat, mean, spread = scale(rows, labels)
    index = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(flat))).fit(flat)
    distance, _ = index.kneighbors((test.reshape(-1, test.shape[-1]) - mean) / spread)
    return np.asarray(distance.mean(axis=1).reshape(test.shape[:2]).mean(axis=1))


def histogram_distance(rows: Rows, labels: Labels, test: Rows) -> Array:
    """Earth mover's distance (bins as units) of a scan's histogram to the nearest in-distribution scan's; no labels."""
    reference = np.cumsum(rows[~labels].reshape(-1, rows.shape[-1]), axis=1)
    asked = np.cumsum(test.mean(axis=1), axis=1)
    return np.asarray(np.abs(asked[:, None] - reference[None]).sum(axis=2).min(axis=1), dtype=np.float64)


def column(index: int) -> Detector:
    """A score that needs no training: the given column of the test rows, e.g. one of the logit scores."""

    def detect(rows: Rows, labels: Labels, test: Rows) -> Array:
        return np.asarray(test[..., index].mean(axis=1), dtype=np.float64)

    return detect
