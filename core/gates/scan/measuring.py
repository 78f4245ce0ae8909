"""The job that measures the scan gate and its baselines on the reference that it ships with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.twin.trajectory import nan_to_null
from core.types import Progress

#: Fewer trees than the gate's own forest: minutes instead of half an hour, and the order of the detectors is the same.
TREES = 100
#: Resamplings of patients behind an interval.
RESAMPLINGS = 200


def prepare_evaluate_scan_gate(_store: object, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: resamplings (200), trees (100), detectors (all; by name).

    Raises:
        InputError: for a number or a detector that is none.
        ModelError: when the reference is not there or was altered.
    """
    from core.gates.scan.evaluate import methods
    from core.gates.scan.scan_gate import MODEL_ID
    from weights import registry

    entry = registry.find(MODEL_ID)
    resamplings, trees = int(args.get("resamplings", RESAMPLINGS)), int(args.get("trees", TREES))
    if resamplings < 1 or trees < 1:
        raise InputError(f"Expected at least 1 resampling and 1 tree, got {resamplings} and {trees}.")
    known = [method.name for method in methods(trees)]
    detectors = list(args.get("detectors") or known)
    if strange := [name for name in detectors if name not in known]:
        raise InputError(f"Expected detectors among {', '.join(known)}; got {str(strange[0])[:40]!r}.")
    return {
        "reference": str(registry.verify(entry)),
        "sha256": registry.fingerprint(entry),
        "resamplings": resamplings,
        "trees": trees,
        "detectors": detectors,
    }


def compute_evaluate_scan_gate(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """`core.gates.scan.evaluate` under the protocol "leave one kind out" on real scans, one method after the other;
    "left_out": those that nobody asked for.
    """
    from core.gates.scan.evaluate import CONTROL, evaluate, methods
    from core.gates.scan.reference import read_reference

    reference = read_reference(Path(params["reference"]), params["sha256"])
    every = [method for method in methods(params["trees"]) if method.group != CONTROL]
    chosen = [method for method in every if method.name in params.get("detectors", [method.name])]
    figures = []
    for n, method in enumerate(chosen):
        progress(n / len(chosen), f"Measuring {method.name}")
        _, means = evaluate(reference, [method], bootstraps=params["resamplings"])
        figures += [
            {
                "method": mean.method,
                "group": mean.group,
                "auroc": mean.auroc,
                "auroc_sd": (mean.auroc_95[1] - mean.auroc_95[0]) / 3.92,
                "fpr95": mean.fpr95,
                "kinds": mean.kinds,
                "near_auroc": mean.near_auroc,
            }
            for mean in means
        ]
    keep = ("sha256", "resamplings", "trees")
    left_out = [method.name for method in every if method not in chosen]
    return {**{key: params[key] for key in keep}, "figures": nan_to_null(figures), "left_out": left_out}


def record_evaluate_scan_gate(
    _store: object, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """Kept in the job's row, where the page finds it."""
    return result
