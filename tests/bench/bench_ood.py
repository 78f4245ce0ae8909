"""The OOD gate: RF-Deep beside its baselines on the shipped reference (20 resamplings, 300 trees), and what it costs.

The whole evaluation, 100 resamplings and 1000 trees: `python -m core.gates.scan.evaluate`.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

RESAMPLINGS, TREES = 20, 300


def run() -> list[dict[str, Any]]:
    """One row a detector and protocol, then the seconds to fit the shipped gate and to score one real scan."""
    from core.gates.scan.evaluate import ID_ONLY, SAW_OOD, evaluate, methods
    from core.gates.scan.scan_gate import MODEL_ID, read_reference
    from weights import registry

    reference = read_reference(registry.verify(registry.find(MODEL_ID)))
    every = methods(TREES)
    rows: list[dict[str, Any]] = [
        {
            "shown": f.group,
            "detector": f.method,
            "protocol": f.protocol,
            "AUROC": round(f.auroc, 3),
            "FPR at 95 % TPR": round(f.fpr95, 3),
        }
        for f in evaluate(reference, every, RESAMPLINGS)
    ]
    compared = [m for m in every if m.group in (SAW_OOD, ID_ONLY) and m.looks_at != "logits"]
    kinds = np.unique(reference.kind[reference.ood]).tolist()
    figures = evaluate(reference, compared, RESAMPLINGS // 4, kinds)
    for method in compared:
        mine = [f for f in figures if f.method == method.name]
        rows.append(
            {
                "shown": method.group,
                "detector": method.name,
                "protocol": f"leave one kind out, mean of {len(kinds)}",
                "AUROC": round(float(np.nanmean([f.auroc for f in mine])), 3),
                "FPR at 95 % TPR": round(float(np.nanmean([f.fpr95 for f in mine])), 3),
            }
        )
    return rows + _cost()


def _cost() -> list[dict[str, Any]]:
    from core.engines.auto.nnunet import load_segmenter
    from core.gates.scan.scan_gate import load_scan_gate
    from core.imaging.volumes import read_volume
    from tests.bench import shared_data

    started = time.perf_counter()
    gate = load_scan_gate()
    fitted = time.perf_counter()
    folder = shared_data() / "sts" / "STS_003"
    volumes = [read_volume(folder / "CT_image.nii.gz", "CT"), read_volume(folder / "PET_image.nii.gz", "PET")]
    segmenter = load_segmenter(gate.network_id)
    gate.score_scan(volumes, segmenter=segmenter)
    warm = time.perf_counter()
    result = gate.score_scan(volumes, segmenter=segmenter)
    seconds = time.perf_counter() - warm
    facts = {"shown": "cost", "protocol": f"STS_003: {result.state}"}
    return [
        {**facts, "detector": "fit the shipped gate (once a process)", "seconds": round(fitted - started, 2)},
        {**facts, "detector": "score one scan, network warm", "seconds": round(seconds, 2)},
    ]
