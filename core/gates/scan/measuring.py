"""The job that measures the scan gate and its baselines on the reference that it ships with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.twin.trajectory import nan_to_null
from core.types import Progress

#: Fewer trees than the gate's own forest: minutes instead of half an hour, and the order of the detectors is the same.
TREES = 200
RESAMPLINGS = 20


def prepare_evaluate_scan_gate(_store: object, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: resamplings (20), trees (200). Raises ModelError when the reference is not there or was altered."""
    from core.gates.scan.scan_gate import MODEL_ID
    from weights import registry

    entry = registry.find(MODEL_ID)
    resamplings, trees = int(args.get("resamplings", RESAMPLINGS)), int(args.get("trees", TREES))
    if resamplings < 1 or trees < 1:
        raise InputError(f"Expected at least 1 resampling and 1 tree, got {resamplings} and {trees}.")
    return {
        "reference": str(registry.verify(entry)),
        "sha256": registry.fingerprint(entry),
        "resamplings": resamplings,
        "trees": trees,
    }


def compute_evaluate_scan_gate(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """`core.gates.scan.evaluate` under the protocol "unified", one method after the other."""
    from core.gates.scan.evaluate import evaluate, methods
    from core.gates.scan.scan_gate import read_reference

    reference = read_reference(Path(params["reference"]), params["sha256"])
    chosen = methods(params["trees"])
    figures = []
    for n, method in enumerate(chosen):
        progress(n / len(chosen), f"Measuring {method.name}")
        figures += [asdict(figure) for figure in evaluate(reference, [method], params["resamplings"])]
    keep = ("sha256", "resamplings", "trees")
    return {**{key: params[key] for key in keep}, "figures": nan_to_null(figures)}


def record_evaluate_scan_gate(
    _store: object, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """Kept in the job's row, where the page finds it."""
    return result
