"""The job that grades the pipeline on simulated follow-ups of one accepted mask; its result stays with the job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.engines.auto.channels import channels_of, scans_for
from core.errors import InputError, ModelError
from core.imaging.volumes import read_label_map
from core.jobs.jobs import JobKind
from core.jobs.stages.common import StageStore, describe, read_scan, timepoint_scans
from core.remembered.vocabulary import MaskMethod
from core.review.blind_reading import seen_of_patient
from core.review.decisions import counted_lesions
from core.simulation.selfgrade import GIVEN_CONTOUR, grade, network_measure, true_masks
from core.twin.measured_end import MeasuredEnd
from core.types import MaskRecord, Progress, Scan

TRUE_MASKS = "true masks"


def prepare_selfgrade(store: StageStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: patient_id, timepoint. The mask is the accepted one, if `person` may see it.

    The network measures where the mask is just as it made it and can be asked again here; else the true masks
    themselves are measured, and `left_out` says why.

    Raises:
        InputError: no such timepoint, or no accepted mask of it with a lesion.
    """
    patient_id, timepoint = str(args["patient_id"]), str(args["timepoint"])
    scans = timepoint_scans(store, patient_id, timepoint)
    seen = [record for record in seen_of_patient(store, patient_id, person) if record.timepoint == timepoint]
    record = next((one for one in seen if one.status == "accepted"), None)
    if record is None or not counted_lesions(record):
        raise InputError(
            f"Expected an accepted mask with a lesion on {timepoint}, got {'none' if record is None else 'one without'}"
            ". Accept one first: the follow-ups are simulated from it."
        )
    model_id, why_not = _model(record, scans)
    used = scans if model_id else scans[:1]
    return {
        "patient_id": patient_id,
        "timepoint": timepoint,
        "version": record.version,
        "mask_id": record.mask_id,
        "model_id": model_id,
        "why_not_network": why_not,
        "scans": [describe(store, scan) for scan in used],
        "mask": str(store.masks.path(record)),
        "lesions": [
            {key: lesion[key] for key in ("label", "lesion_id", "volume_mm3", "longest_diameter_mm")}
            for lesion in counted_lesions(record)
        ],
        "slice_thickness_mm": scans[0].metadata.get("slice_thickness_mm"),
        "method": str(record.method),
        "checkpoint_sha256": record.checkpoint_sha256,
    }


def _model(record: MaskRecord, scans: list[Scan]) -> tuple[str | None, str]:
    """The model that made the mask, if it can be asked again; else why not."""
    if record.method != MaskMethod.NNUNET or record.model_checkpoint is None:
        return None, f"the accepted mask was made by {record.method}, which cannot be run again by itself"
    try:
        scans_for(channels_of(record.model_checkpoint), scans)
    except (InputError, ModelError) as error:
        return None, f"the network cannot be asked: {error}"
    return record.model_checkpoint, ""


def compute_selfgrade(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """Simulates and measures; `core.simulation.selfgrade.grade`."""
    volumes, mask = [read_scan(scan) for scan in params["scans"]], read_label_map(Path(params["mask"]))
    lesion_of = {int(lesion["label"]): str(lesion["lesion_id"]) for lesion in params["lesions"]}
    model_id, why_not = params["model_id"], params["why_not_network"]
    found = grade(
        volumes,
        mask,
        lesion_of,
        _ends(params, volumes[0].modality, volumes[0].sequence, mask.grid.spacing_mm),
        network_measure(model_id) if model_id else true_masks,
        f"nnunet {model_id}" if model_id else TRUE_MASKS,
        left_out=() if model_id else (GIVEN_CONTOUR, why_not),
        progress=progress,
    )
    asked = {key: params[key] for key in ("patient_id", "timepoint", "version", "mask_id")}
    return asked | found.to_json()


def _ends(
    params: Mapping[str, Any], modality: str, sequence: str, spacing_mm: tuple[float, float, float]
) -> dict[str, MeasuredEnd]:
    """How each lesion was measured; the pieces of one are added up, diameters too (RECIST 1.1)."""
    sums: dict[str, list[float]] = {}
    for lesion in params["lesions"]:
        at = sums.setdefault(str(lesion["lesion_id"]), [0.0, 0.0])
        at[0] += float(lesion["volume_mm3"])
        at[1] += float(lesion["longest_diameter_mm"])
    told = params["slice_thickness_mm"]
    thickness = float(told) if isinstance(told, int | float) and told > 0 else None
    return {
        lesion: MeasuredEnd(
            volume,
            diameter,
            modality,
            sequence,
            slice_thickness_mm=thickness,
            spacing_mm=spacing_mm,
            method=params["method"],
            checkpoint_sha256=params["checkpoint_sha256"],
            mask_id=params["mask_id"],
        )
        for lesion, (volume, diameter) in sums.items()
    }


def record_selfgrade(
    store: StageStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """Nothing but the job's own result: no curve and no reference set knows of it."""
    return result


KIND = JobKind("selfgrade", prepare_selfgrade, compute_selfgrade, record_selfgrade)
