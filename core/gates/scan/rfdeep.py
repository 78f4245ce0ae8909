"""RF-Deep: is this scan like those the network knows? A forest over features of crops at the tumour.

Rangnekar & Veeraraghavan 2025, arXiv 2512.08216. What is shipped is not a forest but the reference scans' features
(`weights/rfdeep_sts_ctpet/reference.npz`, plain arrays); the forest is fitted from them when first asked for. It is not
the detector in force (`core.gates.scan.scan_gate`), which is better under "leave one kind out"; it stays beside it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ModelError
from core.gates.scan.combining import fold_of, pass_threshold
from core.gates.scan.detectors import SEED, TREES, fit_forest, forest_scores
from core.gates.scan.features import FEATURES_VERSION, TRAINING_CROPS, Encoder, scan_features
from core.gates.scan.plain_arrays import packed, unpacked
from core.types import LabelMap, Progress, Volume, no_progress

RFDEEP_ID = "rfdeep-sts-ctpet"
IN_DISTRIBUTION = "in distribution"
FOLDS = 8


@dataclass(frozen=True)
class Forested:
    """What the forest says of one scan.

    Args:
        score: mean over the crops of P(OOD), 0..1; None without an anchor: then there is no score.
        threshold: above it, the scan is out of distribution.
        crop_scores: P(OOD) of each crop.
    """

    score: float | None
    threshold: float
    crop_scores: tuple[float, ...]

    @property
    def odd(self) -> bool | None:
        """Whether the scan is out of distribution; None without an anchor."""
        return None if self.score is None else self.score > self.threshold


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference scans' features; axis 0 is the scan. Scans in which nothing was segmented are not in it.

    Args:
        rows: (scans, crops, features) float32, anchored crops.
        centre: (scans, features) float32; logits: (scans, 8), of the tumour and of the whole scan; histogram:
            (scans, bins); geometry: (scans, 6).
        anchor_shape: (scans, 18) size, shape and values of the network's mask; dice: (scans,) of that mask with the
            truth, NaN where nobody drew it.
        kind: (scans,) "in distribution", or the name of the shift.
        domain: (scans,) "real", "phantom" or "other".
        group: (scans,) the patient (or phantom anatomy): nothing of one group is ever on both sides of a split.
        crossfit: (scans,) RF-Deep's score when the scan's group was not learned from; NaN before `with_crossfit`.
        provenance: what, how many, by which command, "network", "checkpoint_sha256", "features_version".
    """

    rows: NDArray[np.float32]
    centre: NDArray[np.float32]
    logits: NDArray[np.float32]
    histogram: NDArray[np.float32]
    geometry: NDArray[np.float32]
    anchor_shape: NDArray[np.float32]
    dice: NDArray[np.float32]
    kind: NDArray[np.str_]
    domain: NDArray[np.str_]
    group: NDArray[np.str_]
    crossfit: NDArray[np.float32]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name in ARRAYS:
            array = getattr(self, name)
            if len(array) != len(self.rows) or (
                array.dtype.kind == "f" and name not in _MAY_LACK and not _finite(array)
            ):
                raise ModelError(
                    f"The reference features' {name!r} do not fit the others or are not finite. Build again."
                )
        if self.rows.ndim != 3 or self.ood.all() or not self.ood.any():
            raise ModelError("The reference features hold no crops, or only one of the two classes. Build them again.")

    @property
    def ood(self) -> NDArray[np.bool_]:
        """(scans,) True where the scan is out of distribution."""
        return np.asarray(self.kind != IN_DISTRIBUTION)

    @property
    def threshold(self) -> float:
        """The cross-fitted score that 95 % of in-distribution scans do not exceed (see `pass_threshold`)."""
        return pass_threshold(self.crossfit[~self.ood])

    def to_bytes(self) -> bytes:
        """An .npz of plain arrays, the same bytes for the same content."""
        return packed({name: getattr(self, name) for name in ARRAYS}, self.provenance)


_FLOATS = ("rows", "centre", "logits", "histogram", "geometry", "anchor_shape", "dice", "crossfit")
ARRAYS = (*_FLOATS, "kind", "domain", "group")
#: NaN in these says that something is not known; in the others that they were made wrongly.
_MAY_LACK = ("crossfit", "dice")


def _finite(array: NDArray[Any]) -> bool:
    return bool(np.isfinite(array).all())


def read_features(path: Path, sha256: str | None = None) -> Reference:
    """The arrays of an .npz that `Reference.to_bytes` made; nothing in it is ever unpickled.

    Args:
        sha256: of the very bytes that may be read; None: any.

    Raises:
        ModelError: missing, damaged, another file than was asked for, or not such a file.
    """
    arrays, provenance = unpacked(path, ARRAYS, sha256, "RF-Deep's reference features", "weights/recipes/rfdeep")
    return Reference(**arrays, provenance=provenance)


def crossfit(reference: Reference, folds: int = FOLDS, trees: int = TREES, jobs: int = 1) -> NDArray[np.float32]:
    """(scans,) RF-Deep's score of every scan by a forest that saw no scan of its group."""
    fold, scores = fold_of(reference.group, folds), np.empty(len(reference.rows), np.float32)
    for n in range(folds):
        test = fold == n
        if test.any():
            forest = _forest(reference.rows[~test], reference.ood[~test], trees, jobs)
            scores[test] = forest_scores(forest, reference.rows[test]).mean(axis=1)
    return scores


def _forest(rows: NDArray[np.float32], ood: NDArray[np.bool_], trees: int, jobs: int) -> Any:
    used = rows[:, :TRAINING_CROPS]
    return fit_forest(used.reshape(-1, used.shape[-1]), np.repeat(ood, used.shape[1]), SEED, trees, jobs)


class RfDeep:
    """RF-Deep's forest, fitted, and its threshold.

    Args:
        reference: with cross-fitted scores.
        model_id: the manifest's name.
        trees: of the forest.

    Raises:
        ModelError: features of another version of this software, or without cross-fitted scores.
    """

    def __init__(self, reference: Reference, model_id: str = RFDEEP_ID, trees: int = TREES, jobs: int = 2) -> None:
        version = reference.provenance.get("features_version")
        if version != FEATURES_VERSION or not _finite(reference.crossfit):
            raise ModelError(
                f"The reference features of {model_id!r} are of version {version}, this software makes version "
                f"{FEATURES_VERSION}. Build them again: weights/recipes/rfdeep/README.md says how."
            )
        self.reference, self.model_id = reference, model_id
        self.threshold = reference.threshold
        self.checkpoint_sha256 = str(reference.provenance["checkpoint_sha256"])
        self.network_id = str(reference.provenance["network"])
        self._forest = _forest(reference.rows, reference.ood, trees, jobs)

    def check_network(self, checkpoint_sha256: str) -> None:
        """Raises ModelError unless the reference features were made by this very network."""
        if checkpoint_sha256 != self.checkpoint_sha256:
            raise ModelError(
                f"The gate {self.model_id!r} was built on the network with SHA-256 {self.checkpoint_sha256[:12]}…, but "
                f"{checkpoint_sha256[:12] or 'an unknown one'}… is loaded; its scores would mean nothing. Restore the "
                "shipped network, or build the gate again: weights/recipes/rfdeep/README.md says how."
            )

    def score_rows(self, rows: NDArray[np.float32]) -> Forested:
        """(crops, features) of one scan -> P(OOD); (0, features) -> no score."""
        if len(rows) == 0:
            return Forested(None, self.threshold, ())
        crops = forest_scores(self._forest, rows[None])[0]
        return Forested(float(crops.mean()), self.threshold, tuple(float(c) for c in crops))

    def score_scan(
        self,
        volumes: Sequence[Volume],
        segmenter: Encoder,
        progress: Progress = no_progress,
        mask: LabelMap | None = None,
    ) -> Forested:
        """What the forest says of a timepoint's scans, in any order.

        Args:
            segmenter: the warm network that the features were made by.
            mask: the anchor; None: what the network segments.

        Raises:
            ModelError: another network than the reference's. WaitsForScan: a scan is missing.
        """
        self.check_network(segmenter.checkpoint_sha256)
        return self.score_rows(scan_features(segmenter, volumes, progress=progress, mask=mask).rows)


@functools.lru_cache(maxsize=2)
def load_rfdeep(model_id: str = RFDEEP_ID) -> RfDeep:
    """The fitted forest of a registered model, verified by SHA-256; seconds the first time, nothing the second.

    Raises:
        ModelError: not registered, missing, altered, or of another version.
    """
    from weights import registry

    entry = registry.find(model_id)
    if entry.kind != "rfdeep":
        raise ModelError(f"Model {model_id!r} is of kind {entry.kind!r}; expected RF-Deep's features (rfdeep).")
    return RfDeep(read_features(registry.verify(entry), entry.sha256), entry.id)
