"""The scan gate's stage: does this scan look like those that the networks were made for?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.gates.scan import reference_sets
from core.gates.scan.scan_gate import score_by
from core.imaging.volumes import file_sha256, read_label_map
from core.jobs.stages.common import StageStore, describe, read_scan, timepoint_scans
from core.remembered.judgements import DOUBTS, JUDGEMENT, PASSES, UNJUDGED, Judged, Judgement
from core.remembered.untyped import JsonDict, JsonObject
from core.remembered.vocabulary import DOUBTFUL, OUT_OF_DISTRIBUTION
from core.review.blind_reading import seen_version
from core.review.doubts import ANCHOR, ANCHOR_SHA256
from core.types import LabelMap, Progress

#: What a scan's file may tell of itself that the models' card is compared with.
TOLD = ("slice_thickness_mm", "kernel", "warnings")
#: How scans of phantoms are made: those are compared with phantoms, and never judge a patient's.
PHANTOMS = ("phantom", "follow-up")

#: What a state is as a verdict, and of which kind a doubt is; every other state cannot be judged.
_OF_STATE: Mapping[str, tuple[Judged, str]] = {
    "in distribution": (PASSES, ""),
    OUT_OF_DISTRIBUTION: (DOUBTS, "appearance"),
    DOUBTFUL: (DOUBTS, "coverage"),
    "no anchor": (UNJUDGED, "empty"),
}


def prepare_score_scan(store: StageStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: patient_id, timepoint, version (optional: of the mask that the scans are to be looked at around)."""
    patient_id, timepoint = str(args["patient_id"]), str(args["timepoint"])
    scans = timepoint_scans(store, patient_id, timepoint)
    params = {
        "patient_id": patient_id,
        "timepoint": timepoint,
        "gate": reference_sets.described(store),
        "scans": [describe(store, scan) for scan in scans],
        "facts": [{key: scan.metadata[key] for key in TOLD if key in scan.metadata} for scan in scans],
        "phantom": any(scan.metadata.get("method") in PHANTOMS for scan in scans if scan.metadata.get("simulated")),
    }
    if args.get("version") is None:
        return params
    record = seen_version(store, patient_id, timepoint, int(args["version"]), person)
    anchor = {"path": str(store.masks.path(record).resolve()), "sha256": record.mask_sha256}
    return {**params, "anchor": anchor, ANCHOR: record.mask_id}


def compute_score_scan(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """The verdict on the timepoint's scans (`core.gates.scan.scan_gate`), around the anchor where there is one."""
    volumes = [read_scan(scan) for scan in params["scans"]]
    anchor = params.get("anchor")
    mask = None if anchor is None else _read_mask(anchor)
    phantom, facts = bool(params.get("phantom")), params.get("facts", ())
    found = score_by(lambda: reference_sets.load(params.get("gate")), volumes, progress, mask, phantom, facts)
    result = found.to_json()
    anchored = {} if anchor is None else {ANCHOR: params[ANCHOR], ANCHOR_SHA256: anchor["sha256"]}
    return {**result, **anchored, "scan_sha256": [scan["sha256"] for scan in params["scans"]]}


def _read_mask(anchor: Mapping[str, str]) -> LabelMap:
    path = Path(anchor["path"])
    if not path.is_file() or file_sha256(path) != anchor["sha256"]:
        raise InputError("The mask's file was altered or is gone since the job was begun. Run `verify`.")
    return read_label_map(path)


def record_score_scan(
    store: StageStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """Kept beside the timepoint; the page asks for a decision when it is out of distribution."""
    anchor = params.get("anchor")
    seen = [*(scan["sha256"] for scan in params["scans"]), *([] if anchor is None else [anchor["sha256"]])]
    result = with_judgement(result, seen)
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
