"""How well the scan gate and its baselines tell the reference's kinds of shift apart: `gate scan evaluate`.

Reads shipped features only, so anyone can run it, without data or network. Every score is cross-fitted by patient: what
was learned from and what is tested never share one. Protocols (arXiv 2512.08216): "separate" learns one kind and tests
it, "unified" learns all, "leave one kind out" tests only the kind that was not learned, "ensemble" is the mean of the
separate detectors. Detectors that saw OOD scans are listed apart from those that saw in-distribution scans alone, and
phantoms apart from real scans. The scans are few and most shifts are made by us: the figures compare detectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.gates.scan import detectors
from core.gates.scan.combining import (
    Fit,
    Table,
    ash,
    fold_of,
    forest,
    largest,
    mahalanobis,
    part_of,
    react,
    simple,
)
from core.gates.scan.detectors import TREES, Array, Labels
from core.gates.scan.features import LOGIT_SCORES, TRAINING_CROPS
from core.gates.scan.looks import PAIR_PARTS, parts, parts_of
from core.gates.scan.nearest import nearest_looks
from core.gates.scan.rates import Draws, auroc, aurocs, fpr_at_tpr, interval
from core.gates.scan.reference import IN_DISTRIBUTION, REAL, Reference
from core.gates.scan.scan_gate import DETECTOR

FOLDS = 4
BOOTSTRAPS = 1000
SEPARATE, UNIFIED, LEAVE_OUT, ENSEMBLE = "separate", "unified", "leave one kind out", "ensemble"
PROTOCOLS = (SEPARATE, UNIFIED, LEAVE_OUT, ENSEMBLE)
SAW_OOD, ID_ONLY, CONTROL = "saw OOD labels", "in-distribution only", "control"
IHF, MAHALANOBIS, RFDEEP = "intensity histogram distance (IHF)", "Mahalanobis (Ledoit-Wolf)", "RF-Deep as published"
IN_FORCE = f"{DETECTOR} (in force)"
#: Kinds that lie near the reference: they leave most grey values as they are.
NEAR = ("strong noise", "strong blur", "metal streaks", "SUV scale wrong", "PET misplaced", "voxel size wrong")


@dataclass(frozen=True)
class Method:
    """One line of the table: a detector, the arrays of the reference that it looks at, and what it was shown."""

    name: str
    group: str
    looks_at: tuple[str, ...]
    fit: Fit
    shuffled: bool = False


def methods(trees: int = TREES) -> tuple[Method, ...]:
    """The detector in force, RF-Deep, their baselines and their controls."""
    deep = mahalanobis("rows")
    ihf = simple(detectors.histogram_distance, "histogram")
    odd = forest("rows+histogram", TRAINING_CROPS, trees, odd=True)
    both = ("rows", "histogram")
    shape = forest("anchor_shape", None, trees)
    logits = tuple(
        Method(f"{name}, {where}", ID_ONLY, ("logits",), simple(detectors.column(n + 4 * m), "logits"))
        for m, where in enumerate(("tumour", "whole scan"))
        for n, name in enumerate(LOGIT_SCORES)
    )
    return (
        Method(RFDEEP, SAW_OOD, ("rows",), forest("rows", TRAINING_CROPS, trees)),
        Method("forest on a 3-D encoder of the CT", SAW_OOD, ("cubes",), forest("cubes", None, trees)),
        Method("forest on the centre crop", SAW_OOD, ("centre",), forest("centre", None, trees)),
        Method("forest on intensity histograms", SAW_OOD, ("histogram",), forest("histogram", None, trees)),
        Method("forest on radiomics of the network's mask", SAW_OOD, ("anchor_shape",), shape),
        Method("forest on |z| of [deep, histogram]", SAW_OOD, both, odd),
        Method("largest z of (that forest, Mahalanobis)", SAW_OOD, both, largest(odd, deep)),
        Method(IN_FORCE, ID_ONLY, PAIR_PARTS, nearest_looks(PAIR_PARTS)),
        Method("Mahalanobis on the whole look", ID_ONLY, PAIR_PARTS, mahalanobis("+".join(PAIR_PARTS))),
        Method("largest z of (Mahalanobis, IHF)", ID_ONLY, both, largest(deep, ihf)),
        Method("Mahalanobis on [deep, root of histogram]", ID_ONLY, both, mahalanobis("rows+histogram")),
        Method("Mahalanobis, early stages", ID_ONLY, ("rows",), mahalanobis("early")),
        Method(MAHALANOBIS, ID_ONLY, ("rows",), deep),
        Method("Mahalanobis + ReAct", ID_ONLY, ("rows",), mahalanobis("rows", react)),
        Method("Mahalanobis + ASH", ID_ONLY, ("rows",), mahalanobis("rows", ash)),
        Method("Mahalanobis, LiteMedSAM's encoder", ID_ONLY, ("slices",), mahalanobis("slices")),
        Method("Mahalanobis, 3-D encoder of the CT", ID_ONLY, ("cubes",), mahalanobis("cubes")),
        Method("nearest looks of the CT alone", ID_ONLY, parts("CT"), nearest_looks(parts("CT"))),
        Method("nearest neighbours (kNN)", ID_ONLY, ("rows",), simple(detectors.nearest_neighbours, "rows")),
        Method(IHF, ID_ONLY, ("histogram",), ihf),
        *logits,
        Method(
            "RF-Deep, labels shuffled (should be .5)", CONTROL, ("rows",), forest("rows", TRAINING_CROPS, trees), True
        ),
        Method(
            "forest on voxel size and extent (no voxel seen)", CONTROL, ("geometry",), forest("geometry", None, trees)
        ),
    )


def table_of(reference: Reference, domain: str, looks_at: Sequence[str]) -> tuple[Table, NDArray[np.str_], Labels, Any]:
    """The scans of one domain that have all of these arrays: (table, kinds, OOD labels, patients)."""
    arrays = {**reference.arrays, **parts_of(reference.arrays)}
    wide = [np.asarray(arrays[name]) for name in looks_at]
    chosen = reference.domain == domain
    for array in wide:
        chosen &= np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    table = {name: array[chosen] for name, array in zip(looks_at, wide, strict=True)}
    table["levels"] = reference.arrays["levels"]
    return table, reference.kind[chosen], reference.ood[chosen], reference.group[chosen]


def scores(method: Method, data: tuple[Table, NDArray[np.str_], Labels, Any], learn: Labels, folds: int) -> Array:
    """(scans,) cross-fitted by patient; `learn`: what may be learned from. NaN where there was no shift to learn."""
    table, _, ood, groups = data
    labels = ood
    if method.shuffled:
        labels = np.random.default_rng(detectors.SEED).permutation(ood)
    fold, out = fold_of(groups, folds), np.full(len(ood), np.nan)
    for n in range(folds):
        test, train = fold == n, (fold != n) & learn
        # Of a kind that one patient alone has, nothing is left to learn from: no score, not a bad one.
        if test.any() and (method.group == ID_ONLY or labels[train].any()):
            fitted = method.fit(part_of(table, train), labels[train], groups[train])
            out[test] = fitted(part_of(table, test))
    return out


def by_kind(
    method: Method, data: tuple[Table, NDArray[np.str_], Labels, Any], protocol: str, folds: int = FOLDS
) -> dict[str, Array]:
    """Of each kind: the scores of all scans; those of in-distribution scans and of the kind are what counts."""
    _, kind, ood, _ = data
    kinds = [str(one) for one in dict.fromkeys(kind.tolist()) if one != IN_DISTRIBUTION]
    everything = np.ones(len(kind), bool)
    if method.group == ID_ONLY:  # it learns the same whatever kinds there are
        same = scores(method, data, ~ood, folds)
        return dict.fromkeys(kinds, same)
    if protocol == UNIFIED:
        return dict.fromkeys(kinds, scores(method, data, everything, folds))
    if protocol == LEAVE_OUT:
        return {one: scores(method, data, kind != one, folds) for one in kinds}
    separate = {one: scores(method, data, ~ood | (kind == one), folds) for one in kinds}
    if protocol != ENSEMBLE:
        return separate
    together: Array = np.nanmean(list(separate.values()), axis=0)
    return {one: together for one in kinds}


@dataclass(frozen=True)
class Figure:
    """A method under a protocol, of one kind: shares of 1.

    Args:
        scans: OOD scans of the kind.
    """

    method: str
    group: str
    protocol: str
    domain: str
    kind: str
    scans: int
    auroc: float
    fpr95: float


@dataclass(frozen=True)
class Mean:
    """A method under a protocol, mean over kinds; intervals by resampling patients, 95 %.

    Args:
        kinds: how many kinds it could be given; `near` of `NEAR` among them.
        over: method -> (low, high) of this method's AUROC minus that one's, on the kinds that both have.
    """

    method: str
    group: str
    protocol: str
    domain: str
    kinds: int
    auroc: float
    auroc_95: tuple[float, float]
    fpr95: float
    near_auroc: float
    over: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class _Scored:
    method: Method
    data: tuple[Table, NDArray[np.str_], Labels, Any]
    found: Mapping[str, Array]

    def _used(self, kind: str) -> Labels:
        _, kinds, ood, _ = self.data
        return np.asarray((~ood | (kinds == kind)) & np.isfinite(self.found[kind]))

    def auroc(self, kind: str) -> float:
        used = self._used(kind)
        return auroc(self.found[kind][used], self.data[2][used])

    def fpr(self, kind: str) -> float:
        used = self._used(kind)
        return fpr_at_tpr(self.found[kind][used], self.data[2][used])

    def drawn(self, draws: int) -> dict[str, Array]:
        """Kind -> AUROC of each drawing of patients; the same patients for every method on the same scans."""
        _, _, ood, groups = self.data
        inside = set(groups[~ood].tolist())
        weights = Draws.of(list(inside), [g for g in groups.tolist() if g not in inside], draws).weights(groups)
        out = {}
        for kind, scores in self.found.items():
            used = self._used(kind)
            out[kind] = aurocs(scores[used], ood[used], weights[:, used])
        return out


def evaluate(
    reference: Reference,
    chosen: Sequence[Method],
    protocol: str = LEAVE_OUT,
    domain: str = REAL,
    bootstraps: int = BOOTSTRAPS,
    folds: int = FOLDS,
) -> tuple[list[Figure], list[Mean]]:
    """Every method of each kind, and their means with intervals; a method without its arrays is left out."""
    scored = []
    for method in chosen:
        data = table_of(reference, domain, method.looks_at)
        if len(np.unique(data[3][~data[2]])) >= 2 * folds and data[2].any():
            scored.append(_Scored(method, data, by_kind(method, data, protocol, folds)))
    figures = [
        Figure(
            one.method.name,
            one.method.group,
            protocol,
            domain,
            kind,
            int((one.data[1] == kind).sum()),
            one.auroc(kind),
            one.fpr(kind),
        )
        for one in scored
        for kind in one.found
    ]
    drawn = {one.method.name: one.drawn(bootstraps) for one in scored}
    return figures, [_mean(one.method, drawn, figures, protocol, domain) for one in scored]


def _mean(
    method: Method, every: Mapping[str, Mapping[str, Array]], figures: Sequence[Figure], protocol: str, domain: str
) -> Mean:
    mine = [figure for figure in figures if figure.method == method.name]
    drawn, over = every[method.name], {}
    for name in (IHF, MAHALANOBIS, RFDEEP):
        if name in every and name != method.name:
            gains = [drawn[kind] - theirs for kind, theirs in every[name].items() if kind in drawn]
            over[name] = interval(_mean_over(gains))
    near = [figure.auroc for figure in mine if figure.kind in NEAR]
    return Mean(
        method.name,
        method.group,
        protocol,
        domain,
        len(mine),
        float(np.nanmean([figure.auroc for figure in mine])),
        interval(_mean_over(list(drawn.values()))),
        float(np.nanmean([figure.fpr95 for figure in mine])),
        float(np.mean(near)) if near else float("nan"),
        over,
    )


def _mean_over(values: Sequence[Array]) -> Array:
    """(draws,) the mean over kinds; nothing of no draws."""
    return np.asarray(np.nanmean(values, axis=0)) if len(values) and len(values[0]) else np.zeros(0)


def itself(method: Method, reference: Reference, domain: str = REAL, draws: int = 200, folds: int = FOLDS) -> float:
    """The control "in distribution against itself": mean AUROC of random halves of in-distribution patients; .5."""
    data = table_of(reference, domain, method.looks_at)
    found = scores(method, data, ~data[2] if method.group == ID_ONLY else np.ones(len(data[2]), bool), folds)[~data[2]]
    rng, values = np.random.default_rng(detectors.SEED), []
    for _ in range(draws):
        half = rng.permutation(len(found)) < len(found) // 2
        values.append(auroc(found, half))
    return float(np.mean(values))


def metadata_holdout(reference: Reference, method: Method, domain: str = REAL) -> dict[str, Any] | None:
    """Learned from in-distribution scans of the commonest PET voxel alone: how odd are those of the others?

    AUROC of "another voxel" (.5: it makes no difference) and the share of them above every held-out scan of the
    commonest one. None where there is only one voxel size.
    """
    table, _, ood, groups = table_of(reference, domain, (*method.looks_at, "geometry"))
    size = np.round(np.asarray(table["geometry"])[:, -6], 2)
    sizes, counts = np.unique(size[~ood], return_counts=True)
    if len(sizes) < 2:
        return None
    common = size == sizes[counts.argmax()]
    learn, asked = ~ood & common, ~ood & ~common
    inner = scores(method, (part_of(table, learn), np.array([]), ood[learn], groups[learn]), ood[learn] == 0, FOLDS)
    outer = method.fit(part_of(table, learn), ood[learn], groups[learn])(part_of(table, asked))
    both = np.concatenate([inner, outer])
    return {
        "method": method.name,
        "learned from": int(learn.sum()),
        "of other PET voxels": int(asked.sum()),
        "auroc": auroc(both, np.arange(len(both)) >= len(inner)),
        "above all learned from": float((outer > inner.max()).mean()),
    }


def risk_coverage(reference: Reference, method: Method, domain: str = REAL) -> list[dict[str, float]]:
    """The network's mean Dice among the scans that look least odd; [] where no Dice is known."""
    data = table_of(reference, domain, (*method.looks_at, "dice"))
    dice = np.asarray(data[0]["dice"])
    if len(dice) < 8:
        return []
    order = np.argsort(scores(method, data, ~data[2], FOLDS))
    shares = (1.0, 0.8, 0.6, 0.4, 0.2)
    return [{"coverage": s, "dice": float(dice[order[: max(1, round(s * len(order)))]].mean())} for s in shares]
