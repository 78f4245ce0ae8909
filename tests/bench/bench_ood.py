"""The scan gate beside the other detectors on the shipped reference (leave one kind out), and what it costs.

Every protocol, control and interval: `python cli.py gate scan evaluate`.
"""

from __future__ import annotations

import time
from typing import Any

TREES = 60


def run() -> list[dict[str, Any]]:
    """One row a detector, worst first, then the seconds to load the shipped gate and to score one real scan."""
    from core.gates.scan.evaluate import CONTROL, evaluate, methods
    from core.gates.scan.reference import read_reference
    from core.gates.scan.scan_gate import MODEL_ID
    from weights import registry

    reference = read_reference(registry.verify(registry.find(MODEL_ID)))
    _, means = evaluate(reference, [m for m in methods(TREES) if m.group != CONTROL], bootstraps=0)
    rows: list[dict[str, Any]] = [
        {
            "shown": mean.group,
            "detector": mean.method,
            "kinds": mean.kinds,
            "AUROC": round(mean.auroc, 3),
            "near kinds": round(mean.near_auroc, 3),
            "FPR at 95 % TPR": round(mean.fpr95, 3),
        }
        for mean in sorted(means, key=lambda mean: mean.auroc)
    ]
    return rows + _cost()


def _cost() -> list[dict[str, Any]]:
    from core.gates.scan.scan_gate import load_scan_gate
    from core.imaging.volumes import read_volume
    from tests.bench import shared_data

    started = time.perf_counter()
    gate = load_scan_gate()
    loaded = time.perf_counter()
    folder = shared_data() / "sts" / "STS_003"
    volumes = [read_volume(folder / "CT_image.nii.gz", "CT"), read_volume(folder / "PET_image.nii.gz", "PET")]
    gate.score_scan(volumes)
    warm = time.perf_counter()
    result = gate.score_scan(volumes)
    seconds = time.perf_counter() - warm
    facts = {"shown": "cost", "detector": f"STS_003: {result.state}"}
    return [
        {**facts, "detector": "load the shipped gate (once a process)", "seconds": round(loaded - started, 2)},
        {**facts, "detector": "score one scan, gate warm", "seconds": round(seconds, 2)},
    ]
