"""How well RF-Deep and its baselines tell the reference's kinds of shift apart: `python -m core.gates.scan.evaluate`.

Reads shipped features only, so anyone can run it, without data or network. Every resampling splits patients (and
phantom anatomies) in half: what was learned from and what is tested never share one. Protocols: "unified" trains on all
kinds of shift; "leave one kind out" tests only the kind that was not trained on. Detectors that saw OOD scans are
listed apart from those that saw in-distribution scans alone. The scans are few and most shifts are made by us: the
figures compare detectors with each other, they are not what a clinic should expect.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.gates.scan import detectors
from core.gates.scan.detectors import TREES, Detector, Labels, Rows
from core.gates.scan.features import LOGIT_SCORES, TRAINING_CROPS
from core.gates.scan.scan_gate import MODEL_ID, Reference, read_reference

RESAMPLINGS = 100
#: As in RF-Deep's outlier exposure: this many scans of each class are learned from.
TRAINING_SCANS = 20
UNIFIED, LEAVE_OUT = "unified", "leave one kind out"
SAW_OOD, ID_ONLY, CONTROL = "saw OOD labels", "in-distribution only", "control"


def auroc(scores: NDArray[np.floating], ood: Labels) -> float:
    """Chance that an OOD scan scores above an in-distribution one, ties counting half, 0..1; NaN for one class only.

    Hanley & McNeil 1982, doi 10.1148/radiology.143.1.7063747.
    """
    inside, outside = np.asarray(scores)[~ood], np.asarray(scores)[ood]
    if len(inside) == 0 or len(outside) == 0:
        return float("nan")
    above = (outside[:, None] > inside[None]).mean()
    return float(above + 0.5 * (outside[:, None] == inside[None]).mean())


def fpr_at_tpr(scores: NDArray[np.floating], ood: Labels, tpr: float = 0.95) -> float:
    """Share of in-distribution scans flagged by the threshold that flags at least `tpr` of the OOD scans, 0..1.

    A scan is flagged at or above the threshold. NaN when either class is missing.
    """
    inside, outside = np.asarray(scores)[~ood], np.asarray(scores)[ood]
    if len(inside) == 0 or len(outside) == 0:
        return float("nan")
    needed = int(np.ceil(tpr * len(outside) - 1e-9))
    threshold = np.sort(outside)[::-1][needed - 1]
    return float((inside >= threshold).mean())


@dataclass(frozen=True)
class Method:
    """One line of the table: a detector, what it looks at (an array of `Reference`), and what it was shown."""

    name: str
    group: str
    looks_at: str
    detect: Detector
    shuffled: bool = False


def methods(trees: int = TREES) -> tuple[Method, ...]:
    """RF-Deep, its baselines and its controls."""
    anchored = detectors.forest_detector(TRAINING_CROPS, trees)
    plain = detectors.forest_detector(None, trees)
    logit = tuple(
        Method(f"nnU-Net logits: {name}", ID_ONLY, "logits", detectors.column(n)) for n, name in enumerate(LOGIT_SCORES)
    )
    return (
        Method("RF-Deep (anchored crops)", SAW_OOD, "rows", anchored),
        Method("forest on the centre crop", SAW_OOD, "centre", plain),
        Method("forest on intensity histograms", SAW_OOD, "histogram", plain),
        Method("nearest neighbours, anchored crops", ID_ONLY, "rows", detectors.nearest_neighbours),
        Method("Mahalanobis (Ledoit-Wolf), anchored crops", ID_ONLY, "rows", detectors.mahalanobis),
        Method("intensity histogram distance", ID_ONLY, "histogram", detectors.histogram_distance),
        *logit,
        Method("RF-Deep, labels shuffled (should be .5)", CONTROL, "rows", anchored, shuffled=True),
        Method("forest on voxel size and extent (no voxel seen)", CONTROL, "geometry", plain),
    )


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of scans; the groups of `train` and `test` are disjoint."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def draw_split(reference: Reference, seed: int, left_out: str | None = None, scans: int = TRAINING_SCANS) -> Split:
    """Half of the groups of each domain to learn from (at most `scans` of each class), the others to test.

    OOD scans to learn from are taken in turn from each kind, so that no kind swamps the others. With `left_out`, that
    kind is not learned from, and the only one tested.
    """
    rng = np.random.default_rng([detectors.SEED, seed])
    learn: set[str] = set()
    for domain in np.unique(reference.domain):
        groups = rng.permutation(np.unique(reference.group[reference.domain == domain]))
        # Of an odd number, chance decides which side gets one more.
        learn.update(groups[: (len(groups) + int(rng.integers(2))) // 2].tolist())
    in_training_groups = np.isin(reference.group, list(learn))
    inside = rng.permutation(np.flatnonzero(in_training_groups & ~reference.ood))[:scans]
    pools = [
        rng.permutation(np.flatnonzero(in_training_groups & (reference.kind == kind))).tolist()
        for kind in rng.permutation(np.unique(reference.kind[reference.ood]))
        if kind != left_out
    ]
    outside: list[int] = []
    while len(outside) < scans and any(pools):
        for pool in pools:
            if pool and len(outside) < scans:
                outside.append(pool.pop())
    tested = ~in_training_groups & (~reference.ood | (reference.kind == left_out) | (left_out is None))
    return Split(np.concatenate([inside, np.array(outside, dtype=np.int64)]), np.flatnonzero(tested))


def score_split(reference: Reference, split: Split, method: Method, seed: int) -> NDArray[np.float64]:
    """The method's score of every tested scan."""
    rows: Rows = getattr(reference, method.looks_at)
    rows = rows if rows.ndim == 3 else rows[:, None]
    labels = reference.ood[split.train]
    if method.shuffled:
        labels = np.random.default_rng([detectors.SEED, seed, 1]).permutation(labels)
    return method.detect(rows[split.train], labels, rows[split.test])


@dataclass(frozen=True)
class Figure:
    """A method under a protocol: mean and standard deviation over resamplings, shares of 1."""

    method: str
    group: str
    protocol: str
    kind: str
    resamplings: int
    auroc: float
    auroc_sd: float
    fpr95: float
    fpr95_sd: float


def evaluate(
    reference: Reference, chosen: Sequence[Method], resamplings: int = RESAMPLINGS, kinds: Sequence[str] = ()
) -> list[Figure]:
    """Figures of every method: unified (kind ""), or for each of `kinds` when it was left out.

    A resampling whose test half holds none of the kind is not counted.
    """
    figures = []
    protocol = LEAVE_OUT if kinds else UNIFIED
    for kind in kinds or [""]:
        pairs: dict[str, list[tuple[float, float]]] = {method.name: [] for method in chosen}
        for seed in range(resamplings):
            split = draw_split(reference, seed, kind or None)
            truth = reference.ood[split.test]
            if not truth.any():
                continue
            for method in chosen:
                scores = score_split(reference, split, method, seed)
                pairs[method.name].append((auroc(scores, truth), fpr_at_tpr(scores, truth)))
        figures += [summarise(method, protocol, kind, pairs[method.name]) for method in chosen]
    return figures


def summarise(method: Method, protocol: str, kind: str, pairs: Sequence[tuple[float, float]]) -> Figure:
    """Mean and deviation over resamplings; NaN where none counted."""
    values = np.array(pairs) if pairs else np.full((1, 2), np.nan)
    (a, f), (a_sd, f_sd) = values.mean(axis=0).tolist(), values.std(axis=0).tolist()
    return Figure(method.name, method.group, protocol, kind, len(pairs), a, a_sd, f, f_sd)


def unified_table(figures: Sequence[Figure]) -> str:
    """Markdown: one line a method, grouped by what it was shown; mean ± standard deviation over resamplings."""
    lines = ["| shown | detector | AUROC | FPR at 95 % TPR |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {f.group} | {f.method} | {f.auroc:.3f} ± {f.auroc_sd:.3f} | {f.fpr95:.3f} ± {f.fpr95_sd:.3f} |"
        for f in figures
    ]
    return "\n".join(lines)


def left_out_table(figures: Sequence[Figure]) -> str:
    """Markdown: one line a kind that was left out, "AUROC / FPR at 95 % TPR" of each method, and their means."""
    names = list(dict.fromkeys(f.method for f in figures))
    by_kind: Mapping[str, dict[str, Figure]] = {
        kind: {f.method: f for f in figures if f.kind == kind} for kind in dict.fromkeys(f.kind for f in figures)
    }
    lines = ["| left out | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for kind, row in by_kind.items():
        lines.append(f"| {kind} | " + " | ".join(f"{row[n].auroc:.3f} / {row[n].fpr95:.3f}" for n in names) + " |")
    means = []
    for name in names:
        pairs = np.array([(row[name].auroc, row[name].fpr95) for row in by_kind.values()])
        means.append("{:.3f} / {:.3f}".format(*np.nanmean(pairs, axis=0)))
    return "\n".join([*lines, "| mean of kinds | " + " | ".join(means) + " |"])


def describe(reference: Reference) -> str:
    """How many scans of what; the first lines of the report."""
    inside = {d: int((~reference.ood & (reference.domain == d)).sum()) for d in np.unique(reference.domain)}
    counts = ", ".join(f"{n} {domain}" for domain, n in inside.items() if n)
    return (
        f"{int((~reference.ood).sum())} in-distribution scans ({counts}), {int(reference.ood.sum())} OOD scans of "
        f"{len(np.unique(reference.kind[reference.ood]))} kinds, all with an anchor; network "
        f"{str(reference.provenance['checkpoint_sha256'])[:12]}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, help="a reference.npz; by default the shipped one")
    parser.add_argument("--resamplings", type=int, default=RESAMPLINGS)
    parser.add_argument("--trees", type=int, default=TREES)
    arguments = parser.parse_args()
    if arguments.reference is None:
        from weights import registry

        arguments.reference = registry.verify(registry.find(MODEL_ID))
    reference = read_reference(arguments.reference)
    every = methods(arguments.trees)
    print(
        f"{describe(reference)} {arguments.resamplings} resamplings, {arguments.trees} trees.\n\n{UNIFIED}\n",
        flush=True,
    )
    print(unified_table(evaluate(reference, every, arguments.resamplings)), flush=True)
    kinds = np.unique(reference.kind[reference.ood]).tolist()
    compared = [m for m in every if m.group != CONTROL and m.looks_at != "logits"]
    print(f"\n{LEAVE_OUT} (AUROC / FPR at 95 % TPR)\n", flush=True)
    print(left_out_table(evaluate(reference, compared, arguments.resamplings, kinds)))


if __name__ == "__main__":
    main()
