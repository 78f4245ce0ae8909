"""The scan gate, by RF-Deep: is this scan like those the network knows? A forest over features of crops at the tumour.

Rangnekar & Veeraraghavan 2025, arXiv 2512.08216. What is shipped is not a forest but the reference scans' features
(`weights/rfdeep_sts_ctpet/reference.npz`, plain arrays); the forest is fitted from them when first asked for.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.auto.channels import WaitsForScan
from core.errors import ModelError
from core.gates.scan.detectors import SEED, TREES, fit_forest, forest_scores
from core.gates.scan.features import FEATURES_VERSION, TRAINING_CROPS, Encoder, scan_features
from core.gates.scan.one_body import ScansMatch, match_of
from core.remembered.untyped import JsonDict
from core.remembered.vocabulary import CANNOT_BE_JUDGED, DOUBTFUL, OUT_OF_DISTRIBUTION, ScanGateState
from core.types import Progress, Volume, no_progress

MODEL_ID = "rfdeep-sts-ctpet"
IN_DISTRIBUTION = "in distribution"
FOLDS = 8
#: Share of in-distribution scans that the threshold is meant to let pass.
PASS_SHARE = 0.95


@dataclass(frozen=True)
class ScanGateResult:
    """The gate's verdict on one timepoint's scans.

    Args:
        state: "no anchor" when the network segmented nothing: then there is no score, and nothing is vouched for.
            "doubtful" when `doubts` names something and the score alone would not; "cannot be judged" when a scan is
            missing or covers too little of the other.
        score: mean over the crops of P(OOD), 0..1; None without an anchor, and where it cannot be judged.
        threshold: above it, the scan is out of distribution.
        crop_scores: P(OOD) of each crop.
        n_reference: in-distribution scans behind the verdict.
        model_id, checkpoint_sha256: the gate, and the network whose features these are.
        features_version: `core.gates.scan.features.FEATURES_VERSION`.
        note: what a person should know, a few sentences.
        doubts: why the scans may not fit each other, a sentence each.
        waits_for: channels whose scan is not there yet.
        coverage: `core.imaging.coverage.Coverage` of each further channel, as JSON.
        one_body: `core.gates.scan.one_body.OneBody` as JSON; None where there is no CT and PET to compare.
    """

    state: ScanGateState
    score: float | None
    threshold: float
    crop_scores: tuple[float, ...]
    n_reference: int
    model_id: str
    checkpoint_sha256: str
    features_version: int
    note: str
    doubts: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    coverage: tuple[JsonDict, ...] = ()
    one_body: JsonDict | None = None

    def to_json(self) -> JsonDict:
        """Plain JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: [*value] if isinstance(value, tuple) else value for name, value in values.items()}


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference scans' features; axis 0 is the scan. Scans in which nothing was segmented are not in it.

    Args:
        rows: (scans, crops, features) float32, anchored crops.
        centre: (scans, features) float32; logits: (scans, 4); histogram: (scans, bins); geometry: (scans, 6).
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
    kind: NDArray[np.str_]
    domain: NDArray[np.str_]
    group: NDArray[np.str_]
    crossfit: NDArray[np.float32]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name in ARRAYS:
            array = getattr(self, name)
            if len(array) != len(self.rows) or (array.dtype.kind == "f" and name != "crossfit" and not _finite(array)):
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
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays["provenance"] = np.array(json.dumps(dict(self.provenance)))
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                part = io.BytesIO()
                np.lib.format.write_array(part, array, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), part.getvalue())
        return sink.getvalue()


ARRAYS = ("rows", "centre", "logits", "histogram", "geometry", "kind", "domain", "group", "crossfit")


def _finite(array: NDArray[Any]) -> bool:
    return bool(np.isfinite(array).all())


def read_reference(path: Path, sha256: str | None = None) -> Reference:
    """The arrays of an .npz that `Reference.to_bytes` made; nothing in it is ever unpickled.

    Args:
        sha256: of the very bytes that may be read; None: any.

    Raises:
        ModelError: missing, damaged, another file than was asked for, or not such a file.
    """
    try:
        content = path.read_bytes()
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise ModelError(
                f"{path.name}: expected the reference features with SHA-256 {sha256[:12]}…, got others. Restore the "
                "shipped file, and load the page or start the job again."
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ARRAYS}
            provenance = json.loads(str(archive["provenance"]))
        return Reference(**arrays, provenance=provenance)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path.name}: expected the reference features of the out-of-distribution gate, got a file that cannot be "
            f"read as such ({type(error).__name__}). Run weights/recipes/rfdeep, or restore the shipped file."
        ) from None


def pass_threshold(scores: NDArray[np.floating[Any]], share: float = PASS_SHARE) -> float:
    """The ceil((n + 1) * share)-th smallest score (the largest when that exceeds n).

    A new scan exchangeable with the n exceeds it with a chance of at most 1 - share, if n >= share / (1 - share).
    Vovk 2005, doi 10.1007/b106715 (split conformal). NaN for no scores.
    """
    if len(scores) == 0:
        return float("nan")
    rank = min(int(np.ceil((len(scores) + 1) * share - 1e-9)), len(scores))
    return float(np.sort(scores)[rank - 1])


def fold_of(groups: NDArray[np.str_], folds: int = FOLDS, seed: int = SEED) -> NDArray[np.int64]:
    """(scans,) the fold of each scan: all scans of one group in one fold, groups dealt out at random."""
    names, inverse = np.unique(groups, return_inverse=True)
    deal = np.random.default_rng(seed).permutation(np.arange(len(names)) % folds)
    return np.asarray(deal[inverse], dtype=np.int64)


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


class ScanGate:
    """The scan gate, fitted: RF-Deep's forest and its threshold.

    Args:
        reference: with cross-fitted scores.
        model_id: the manifest's name.
        trees: of the forest.

    Raises:
        ModelError: features of another version of this software, or without cross-fitted scores.
    """

    def __init__(self, reference: Reference, model_id: str = MODEL_ID, trees: int = TREES, jobs: int = 2) -> None:
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

    @property
    def _facts(self) -> tuple[int, str, str, int]:
        """What every result ends with: n_reference, model_id, checkpoint_sha256, features_version."""
        n_reference = int(np.count_nonzero(~self.reference.ood))
        return n_reference, self.model_id, self.checkpoint_sha256, FEATURES_VERSION

    def score_rows(self, rows: NDArray[np.float32]) -> ScanGateResult:
        """(crops, features) of one scan -> the verdict; (0, features) -> "no anchor"."""
        facts = self._facts
        n_reference = facts[0]
        if len(rows) == 0:
            return ScanGateResult("no anchor", None, self.threshold, (), *facts, note=NO_ANCHOR_NOTE)
        crops = forest_scores(self._forest, rows[None])[0]
        score = float(crops.mean())
        state: ScanGateState = OUT_OF_DISTRIBUTION if score > self.threshold else "in distribution"
        note = (ODD_NOTE if score > self.threshold else USUAL_NOTE).format(n=n_reference)
        return ScanGateResult(state, score, self.threshold, tuple(float(c) for c in crops), *facts, note=note)

    def score_scan(
        self, volumes: Sequence[Volume], progress: Progress = no_progress, segmenter: Encoder | None = None
    ) -> ScanGateResult:
        """The verdict on a timepoint's scans, in any order; "cannot be judged" while one is missing that it needs.

        Args:
            segmenter: the warm network; by default the registered one that the gate was built on.

        Raises:
            ModelError: another network than the gate's. InputError: there is no scan, or several fit a channel.
        """
        if segmenter is None:
            from core.engines.auto.nnunet import load_segmenter

            segmenter = load_segmenter(self.network_id)
        self.check_network(segmenter.checkpoint_sha256)
        try:
            chosen = segmenter.select_channels(volumes)
        except WaitsForScan as waiting:
            return self._unjudged(waiting.brief, waits_for=waiting.missing)
        match = match_of(chosen)
        if match.too_little is not None:
            return self._unjudged(match.too_little, coverage=match.coverage)
        scored = self.score_rows(scan_features(segmenter, volumes, progress=progress).rows)
        return with_doubts(scored, match)

    def _unjudged(
        self, note: str, waits_for: tuple[str, ...] = (), coverage: tuple[JsonDict, ...] = ()
    ) -> ScanGateResult:
        return ScanGateResult(
            CANNOT_BE_JUDGED, None, self.threshold, (), *self._facts, note, waits_for=waits_for, coverage=coverage
        )


def with_doubts(result: ScanGateResult, match: ScansMatch) -> ScanGateResult:
    """The score's verdict, and what is doubtful of how the scans fit each other.

    What the score doubts stays out of distribution; what it does not is doubtful where there is a doubt.
    """
    doubtful = bool(match.doubts) and result.state != OUT_OF_DISTRIBUTION
    return replace(
        result,
        state=DOUBTFUL if doubtful else result.state,
        note=" ".join([*match.doubts, result.note]),
        doubts=match.doubts,
        coverage=match.coverage,
        one_body=match.one_body,
    )


NO_ANCHOR_NOTE = (
    "The network segmented nothing, so there is no place to look at and no score. A scan without tumour looks like "
    "this, and so does one that the network cannot read: a person decides."
)
ODD_NOTE = (
    "Around what the network took for tumour, the scan looks unlike the {n} reference scans. Check modality, units and "
    "body part before relying on the mask."
)
USUAL_NOTE = (
    "Around what the network took for tumour, the scan looks like the {n} reference scans. This is no statement about "
    "the mask."
)


@functools.lru_cache(maxsize=2)
def load_scan_gate(model_id: str = MODEL_ID) -> ScanGate:
    """The fitted gate of a registered model, verified by SHA-256; seconds the first time, nothing the second.

    Raises:
        ModelError: not registered, missing, altered, or of another version.
    """
    from weights import registry

    entry = registry.find(model_id)
    if entry.kind != "rfdeep":
        raise ModelError(
            f"Model {model_id!r} is of kind {entry.kind!r}; expected an out-of-distribution gate (rfdeep)."
        )
    return ScanGate(read_reference(registry.verify(entry), entry.sha256), entry.id)


def score_scan(volumes: Sequence[Volume], progress: Progress = no_progress, model_id: str = MODEL_ID) -> ScanGateResult:
    """`load_scan_gate(model_id).score_scan(volumes, progress)`."""
    return load_scan_gate(model_id).score_scan(volumes, progress)
