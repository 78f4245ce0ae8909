"""RF-Deep's stage: does this scan look like those the network knows?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.jobs.stages.common import StageStore, describe, read_scan, timepoint_scans
from core.remembered.judgements import DOUBTS, JUDGEMENT, PASSES, UNJUDGED, Judged, Judgement
from core.remembered.untyped import JsonDict, JsonObject
from core.remembered.vocabulary import DOUBTFUL, OUT_OF_DISTRIBUTION
from core.types import Progress

#: What a state is as a verdict, and of which kind a doubt is; every other state cannot be judged.
_OF_STATE: Mapping[str, tuple[Judged, str]] = {
    "in distribution": (PASSES, ""),
    OUT_OF_DISTRIBUTION: (DOUBTS, "appearance"),
    DOUBTFUL: (DOUBTS, "coverage"),
    "no anchor": (UNJUDGED, "empty"),
}


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
    result = with_judgement(result, [scan["sha256"] for scan in params["scans"]])
    store.verdicts.add_scan_verdict(params["patient_id"], params["timepoint"], result, person)
    return result


def with_judgement(result: JsonObject, seen: Sequence[str]) -> JsonDict:
    """The gate's result with what it says as a judgement, which names the scans' files that it was given.

    Args:
        result: of `core.gates.scan`, with a judgement of its own or with a state and a note alone.
        seen: SHA-256 of those files.
    """
    if JUDGEMENT in result:
        said = Judgement.from_json(result[JUDGEMENT])
    else:
        state = str(result["state"])
        verdict, kind = _OF_STATE.get(state, (UNJUDGED, "not-judged"))
        reason = str(result.get("note") or f"The scan gate said “{state}”.")
        said = Judgement(verdict, reason, str(result.get("model_id") or ""), (), kinds=(kind,) if kind else ())
    return {**result, JUDGEMENT: replace(said, seen=tuple(dict.fromkeys((*seen, *said.seen)))).to_json()}
