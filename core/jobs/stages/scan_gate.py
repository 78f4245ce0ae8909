"""RF-Deep's stage: does this scan look like those the network knows?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.jobs.stages.common import StageStore, describe, read_scan, timepoint_scans
from core.types import Progress


def prepare_score_scan(store: StageStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: patient_id, timepoint."""
    patient_id, timepoint = str(args["patient_id"]), str(args["timepoint"])
    scans = timepoint_scans(store, patient_id, timepoint)
    return {"patient_id": patient_id, "timepoint": timepoint, "scans": [describe(store, scan) for scan in scans]}


def compute_score_scan(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """RF-Deep's verdict on the timepoint's scans (`core.gates.scan.scan_gate`)."""
    from core.gates.scan.scan_gate import score_scan

    result = score_scan([read_scan(scan) for scan in params["scans"]], progress).to_json()
    return {**result, "scan_sha256": [scan["sha256"] for scan in params["scans"]]}


def record_score_scan(
    store: StageStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """Kept beside the timepoint; the page asks for a decision when it is out of distribution."""
    store.verdicts.add_scan_verdict(params["patient_id"], params["timepoint"], result, person)
    return result
