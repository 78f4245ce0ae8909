"""nnU-Net's stage: a proposal with the lesions numbered as at the timepoint before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core.engines.auto.channels import channels_of, scans_for
from core.imaging.coverage import partial_words
from core.imaging.volumes import read_label_map, write_nifti
from core.jobs.stages.common import (
    StageStore,
    add_version,
    describe,
    read_scan,
    summary,
    timepoint_scans,
)
from core.remembered.links import TransformState
from core.remembered.vocabulary import MaskMethod
from core.review.readers import masks_for_all_to_see, readable
from core.types import LabelMap, MaskRecord, Progress, Volume

#: Components smaller than this are noise of the network, not lesions: half a millilitre, about a 10 mm sphere, below
#: what RECIST 1.1 calls measurable.
MIN_LESION_MM3 = 500.0
#: Largest distance, mm, between lesion centres (after registration) at which a lesion is still the same one.
MAX_MATCH_MM = 10.0
DEFAULT_MODEL = "sts-ctpet-small"


def lesion_priors(
    store: StageStore, patient_id: str, timepoint: str, known_masks: Mapping[str, Sequence[MaskRecord]]
) -> list[dict[str, Any]]:
    """Masks to take lesion numbers from, by priority; each lists only lesions that are not in an earlier one.

    In order: this timepoint's, earlier ones from the nearest on, later ones. Of a timepoint it is the accepted version,
    else the newest that was not rejected. So a lesion that comes back after it was gone is found under its old number.

    Args:
        known_masks: the versions that may be made use of, by timepoint.
    """
    every = sorted(known_masks)
    earlier = [t for t in reversed(every) if t < timepoint]
    priors: list[dict[str, Any]] = []
    known: set[int] = set()
    for other in [timepoint, *earlier, *(t for t in every if t > timepoint)]:
        candidates = [record for record in known_masks[other] if record.status != "rejected"]
        candidates = readable(store, patient_id, candidates)
        newest = candidates[-1] if candidates else None
        record = next((candidate for candidate in candidates if candidate.status == "accepted"), newest)
        lesions = {int(lesion["label"]) for lesion in record.lesions} - known if record else set()
        if record and lesions:
            known |= lesions
            scan = describe(store, store.scans.reference(patient_id, other))
            mask = str(store.masks.path(record))
            priors.append({"timepoint": other, "mask": mask, "scan": scan, "lesions": sorted(lesions)})
    return priors


def prepare_segment(store: StageStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: patient_id, timepoint, model_id (optional).

    Its parent is the newest version that `person` may see; of a timepoint that is read blind the newest automatic one,
    since everybody sees what comes out.

    Raises:
        WaitsForScan: the model needs a scan that is not there yet.
    """
    patient_id, timepoint = str(args["patient_id"]), str(args["timepoint"])
    scans = timepoint_scans(store, patient_id, timepoint)
    model_id = str(args.get("model_id") or DEFAULT_MODEL)
    scans_for(channels_of(model_id), scans)
    known = masks_for_all_to_see(store, patient_id, timepoint, person)
    labels = [int(lesion["label"]) for records in known.values() for record in records for lesion in record.lesions]
    return {
        "patient_id": patient_id,
        "timepoint": timepoint,
        "model_id": model_id,
        "scans": [describe(store, scan) for scan in scans],
        "priors": lesion_priors(store, patient_id, timepoint, known),
        "next_label": max(labels, default=0) + 1,
    }


def compute_segment(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """Runs the network, splits its answer into lesions, and gives each the number it had at the timepoint before."""
    from core.engines.auto.nnunet import load_segmenter
    from core.lesions.matching import components

    progress(0.0, "loading the model")
    segmenter = load_segmenter(params["model_id"])
    volumes = [read_scan(scan) for scan in params["scans"]]
    answer = segmenter.segment(volumes, lambda f, m: progress(0.8 * f, m))
    grid = answer.labels.grid
    found = components(segmenter.lesion_mask(answer.labels.array), grid, min_volume_mm3=MIN_LESION_MM3)
    progress(0.85, "matching lesions with the timepoint before")
    numbered, matching = _number(found, volumes[0], params)
    path = out_dir / "mask.nii.gz"
    write_nifti(path, numbered, grid)
    progress(1.0, "done")
    return {
        "mask": path.name,
        "checkpoint_sha256": answer.checkpoint_sha256,
        "channels": list(answer.channels),
        "model_files": dict(answer.model_files),
        "seconds": {k: round(v, 2) for k, v in answer.seconds.items()},
        "coverage": [
            {"type": "coverage", **one.to_json(), "words": partial_words(one)}
            for one in answer.coverage
            if not one.whole
        ],
        "matching": matching,
    }


def _number(components: np.ndarray, reference: Volume, params: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """Component numbers -> lesion numbers of the patient; new lesions count on from params["next_label"].

    Without a mask that numbers may be taken from the largest is lesion 1.
    """
    from core.lesions.matching import match_lesions

    first_free = int(params["next_label"])
    if not params["priors"]:
        return components, {"prior": None}
    nearest, *older = params["priors"]
    note: dict[str, Any] = {"prior": nearest["timepoint"]}
    to_prior, state = motion_to(reference, nearest, params["timepoint"])
    if state is not None:
        note["registration_state"] = state
        note["registration_converged"] = state == "good"
    match = partial(match_lesions, max_distance_mm=MAX_MATCH_MM, next_label=first_free)
    matching = match(read_label_map(Path(nearest["mask"])), components, reference.grid, to_prior)
    merged = dict(matching.merges)
    lost = matching.lost
    for prior in older:
        if not matching.new:
            break
        to_prior, state = motion_to(reference, prior, params["timepoint"])
        if state != "good":
            continue  # a lesion called new is found out in review; one under a wrong number may not be
        unknown = [component for component, lesion in matching.numbers.items() if lesion in matching.new]
        again = match(
            only_lesions(read_label_map(Path(prior["mask"])), prior["lesions"]),
            np.where(np.isin(components, unknown), components, 0).astype(np.uint8),
            reference.grid,
            to_prior,
        )
        merged |= again.merges
        matching = replace(again, numbers={**matching.numbers, **again.numbers})
    note |= {
        "merged": {str(lesion): list(parts) for lesion, parts in merged.items()},
        "new": list(matching.new),
        "vanished": list(lost),
    }
    return matching.relabel(components, reference.grid).array, note


def motion_to(reference: Volume, prior: Mapping[str, Any], timepoint: str) -> tuple[np.ndarray, TransformState | None]:
    """4x4 from this scan's mm to the prior's, and how far to rely on it; identity and None within one timepoint."""
    from core.imaging.registration import rigid

    if prior["timepoint"] == timepoint:
        return np.eye(4), None
    motion = rigid(reference, read_scan(prior["scan"]))
    return motion.matrix, motion.state


def only_lesions(labels: LabelMap, lesions: Sequence[int]) -> LabelMap:
    return LabelMap(np.where(np.isin(labels.array, lesions), labels.array, 0).astype(np.uint8), labels.grid)


def record_segment(
    store: StageStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """The network's proposal becomes a mask version with the model's hash.

    Where a scan covers only a part of the other, that is kept with the version, beside what else it was made from
    (`prompts`, an entry of type "coverage"), and is told in the notes.
    """
    labels = read_label_map(out_dir / result["mask"])
    patient_id, timepoint = params["patient_id"], params["timepoint"]
    now = masks_for_all_to_see(store, patient_id, timepoint, person)[timepoint]  # not as it was when this was begun
    seen = readable(store, patient_id, now)
    record = add_version(
        store,
        labels,
        patient_id,
        timepoint,
        method=MaskMethod.NNUNET,
        author=person,
        model_checkpoint=params["model_id"],
        checkpoint_sha256=result["checkpoint_sha256"],
        model_files=result.get("model_files"),
        prompts=result.get("coverage", []),
        parent_version=seen[-1].version if seen else None,
    )
    notes = [str(one["words"]) for one in result.get("coverage", [])]
    return {**summary(record), "seconds": result["seconds"], "matching": result["matching"], "notes": notes}
