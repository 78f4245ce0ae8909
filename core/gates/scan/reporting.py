"""What `gate scan evaluate` prints: every protocol, worst detector first, and what the gate in force catches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.gates.scan.building import crossfitted
from core.gates.scan.evaluate import (
    BOOTSTRAPS,
    CONTROL,
    ENSEMBLE,
    FOLDS,
    IHF,
    IN_FORCE,
    LEAVE_OUT,
    MAHALANOBIS,
    RFDEEP,
    SEPARATE,
    UNIFIED,
    Figure,
    Mean,
    evaluate,
    itself,
    metadata_holdout,
    methods,
    risk_coverage,
)
from core.gates.scan.looks import FIT
from core.gates.scan.reference import IN_DISTRIBUTION, PHANTOM, REAL, SEEN, Reference
from core.types import Progress, no_progress

#: A stroke in a cell of a Markdown table.
BAR = "\\|"
#: The other published protocols are of these: an in-distribution detector learns the same under each.
PUBLISHED = (RFDEEP, "forest on the centre crop", "forest on intensity histograms")


def report(
    reference: Reference, trees: int = 100, bootstraps: int = BOOTSTRAPS, progress: Progress = no_progress
) -> dict[str, Any]:
    """All that `gate scan evaluate` prints, as plain JSON values."""
    every = methods(trees)
    compared = [m for m in every if m.group != CONTROL]
    means: list[Mean] = []
    figures: list[Figure] = []
    asked = [(REAL, protocol) for protocol in (LEAVE_OUT, UNIFIED, SEPARATE, ENSEMBLE)] + [(PHANTOM, LEAVE_OUT)]
    for n, (domain, protocol) in enumerate(asked):
        progress(n / len(asked), f"{protocol}, {domain} scans")
        used = every if protocol == UNIFIED else [m for m in compared if protocol == LEAVE_OUT or m.name in PUBLISHED]
        more, mean = evaluate(reference, used, protocol, domain, bootstraps if protocol == LEAVE_OUT else 0)
        figures, means = figures + more, means + mean
    force = next(m for m in every if m.name == IN_FORCE)
    return {
        "scans": reference.provenance.get("scans"),
        "network of the deep features": (reference.provenance.get("deep") or {}).get("network"),
        "3-D encoder of the CT": reference.provenance.get("cubes"),
        "trees": trees,
        "folds": FOLDS,
        "bootstraps": bootstraps,
        "means": [asdict(mean) for mean in sorted(means, key=lambda mean: mean.auroc)],
        "kinds": [asdict(figure) for figure in figures if figure.protocol == LEAVE_OUT],
        "caught": caught(reference),
        "caught by looks alone": caught(without_encoder(reference)),
        "caught by the CT alone": caught(ct_alone(reference)),
        "in distribution against itself": {IN_FORCE: itself(force, reference)},
        "metadata holdout": [
            found
            for m in compared
            if m.name in (IN_FORCE, IHF, MAHALANOBIS) and (found := metadata_holdout(reference, m)) is not None
        ],
        "risk and coverage": risk_coverage(reference, force),
    }


def caught(reference: Reference) -> dict[str, dict[str, str]]:
    """Domain -> kind -> "n of m" above the gate's threshold, each scan with its patient held out."""
    out: dict[str, dict[str, str]] = {}
    scored = np.isfinite(reference.crossfit)
    for domain in (REAL, PHANTOM):
        for kind in dict.fromkeys(reference.kind[(reference.domain == domain) & scored].tolist()):
            mine = (reference.domain == domain) & (reference.kind == kind) & scored
            flagged = int((reference.crossfit[mine] > reference.threshold).sum())
            out.setdefault(domain, {})[kind] = f"{flagged} of {int(mine.sum())}"
    return out


def without_encoder(reference: Reference) -> Reference:
    """Its MR as if no image encoder had seen them, with the gate's scores by their looks alone; nothing but MR."""
    return _as_if(reference, reference.has(SEEN), (SEEN,))


def ct_alone(reference: Reference) -> Reference:
    """Its scans with a CT as if that were all there is, with the gate's scores."""
    return _as_if(reference, reference.has("CT"), ("PET", FIT))


def _as_if(reference: Reference, scans: NDArray[np.bool_], lacking: Sequence[str]) -> Reference:
    arrays = {name: array if name == "levels" else array[scans] for name, array in reference.arrays.items()}
    arrays |= {name: np.full_like(arrays[name], np.nan) for name in lacking}
    return crossfitted(Reference(arrays, reference.provenance))


def as_markdown(found: Mapping[str, Any]) -> str:
    """Tables for people: means, worst first, by domain and protocol; then the oddest and the tamest kinds."""
    lines: list[str] = []
    for domain, protocol in dict.fromkeys((m["domain"], m["protocol"]) for m in found["means"]):
        lines += [
            f"\n{domain}, {protocol}\n",
            "| shown | detector | kinds | AUROC (95 %) | near kinds | FPR95 | over IHF | over Mahalanobis |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for m in found["means"]:
            if (m["domain"], m["protocol"]) == (domain, protocol):
                low, high = m["auroc_95"]
                sure = "" if np.isnan(low) else f" ({low:.3f} to {high:.3f})"
                over = [_gain(m["over"].get(name)) for name in (IHF, MAHALANOBIS)]
                lines.append(
                    f"| {m['group']} | {m['method'].replace('|', BAR)} | {m['kinds']} | {m['auroc']:.3f}{sure} | "
                    f"{m['near_auroc']:.3f} | {m['fpr95']:.3f} | {' | '.join(over)} |"
                )
    head = "| scans | kind | caught | MR by plain looks alone | by the CT alone |"
    lines += ["\nCaught by the gate in force, patients held out\n", head, "| --- | --- | --- | --- | --- |"]
    alone, ct = found["caught by looks alone"], found["caught by the CT alone"]
    lines += [
        f"| {domain} | {kind} | {n} | {alone.get(domain, {}).get(kind, '')} | {ct.get(domain, {}).get(kind, '')} |"
        for domain, kinds in found["caught"].items()
        for kind, n in kinds.items()
        if kind != IN_DISTRIBUTION
    ]
    return "\n".join([*lines, *_kinds(found), *_controls(found)])


def _kinds(found: Mapping[str, Any]) -> list[str]:
    """AUROC by kind of the detector in force and of those it is seen beside, the hardest kind first."""
    shown = (IN_FORCE, MAHALANOBIS, IHF, RFDEEP)
    by_kind: dict[str, dict[str, float]] = {}
    for figure in found["kinds"]:
        if figure["domain"] == REAL and figure["method"] in shown:
            by_kind.setdefault(figure["kind"], {})[figure["method"]] = figure["auroc"]
    lines = ["\nAUROC by kind, real scans\n", f"| kind | {' | '.join(shown)} |", "| --- |" + " --- |" * len(shown)]
    for kind, own in sorted(by_kind.items(), key=lambda pair: pair[1].get(IN_FORCE, 0.0)):
        values = " | ".join("–" if name not in own else f"{own[name]:.3f}" for name in shown)
        lines.append(f"| {kind} | {values} |")
    return lines


def _controls(found: Mapping[str, Any]) -> list[str]:
    """Halves of the same, another scanner, and the network's Dice among what looks least odd."""
    lines = ["\nControls\n", "| what | figure |", "| --- | --- |"]
    for name, value in found["in distribution against itself"].items():
        lines.append(f"| in distribution against itself (should be .5), {name} | {value:.3f} |")
    for one in found["metadata holdout"]:
        share = f"{one['above all learned from']:.3f} of {one['of other PET voxels']}"
        what = f"other PET voxels, above all {one['learned from']} learned from, {one['method']}"
        lines.append(f"| {what} | {share} |")
    lines += ["\nThe network's mean Dice among the least odd scans\n", "| share of scans | Dice |", "| --- | --- |"]
    return lines + [f"| {one['coverage']:.0%} | {one['dice']:.3f} |" for one in found["risk and coverage"]]


def _gain(interval: tuple[float, float] | None) -> str:
    return "–" if interval is None or np.isnan(interval[0]) else f"{interval[0]:+.3f} to {interval[1]:+.3f}"
