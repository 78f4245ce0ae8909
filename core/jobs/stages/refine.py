"""MedSAM's stage: a box or points on one scan become a new version of one lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.imaging.volumes import read_label_map, resample, write_nifti
from core.jobs.stages.common import (
    StageStore,
    add_version,
    describe,
    read_scan,
    summary,
    timepoint_scans,
)
from core.jobs.stages.relinking import draft_links
from core.lesions.masks import replace_lesion
from core.lesions.matching import MAX_LESIONS
from core.remembered.links import LinkProposal, is_unlinked, lesion_number
from core.remembered.vocabulary import MaskMethod
from core.review.blind_reading import seen_version
from core.review.drawable import DrawableLesions, drawable_lesions
from core.review.readers import newest_visible_mask
from core.types import LabelMap, MaskRecord, Progress, Prompt, Scan


def prepare_refine(store: StageStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: patient_id, timepoint, scan (channel name), prompts (list of Prompt.to_json()), propagate, and optionally
    lesion ("L2" of the patient, "unlinked-3" of the version, a label, or "new"; none = the lesion under the prompt,
    else a new one), parent_version (else the newest version that this person may see), model_id."""
    patient_id, timepoint, channel = str(args["patient_id"]), str(args["timepoint"]), str(args.get("scan"))
    scans = timepoint_scans(store, patient_id, timepoint)
    chosen = _scan_called(scans, channel)
    prompts = [replace(prompt_from_json(p), scan=channel) for p in args.get("prompts") or ()]
    if not any(p.type == "box" or p.positive for p in prompts):
        raise InputError("Expected at least one box or positive point, got none. Draw a box around the lesion.")
    parent = _parent(store, patient_id, timepoint, args.get("parent_version"), person)
    drawable = drawable_lesions(store, patient_id, person, parent)
    lesion = None if args.get("lesion") is None else _label(args["lesion"], parent, drawable)
    volume = store.scans.load(chosen)
    from core.engines.prompt.prompting import check_prompts

    check_prompts(prompts, volume.grid)
    return {
        "patient_id": patient_id,
        "timepoint": timepoint,
        "scan": describe(store, chosen),
        "reference": describe(store, scans[0]),
        "prompts": [p.to_json() for p in prompts],
        "propagate": bool(args.get("propagate")),
        "lesion": lesion,
        "parent_version": parent.version if parent else None,
        "parent_mask": str(store.masks.path(parent)) if parent else None,
        "next_label": drawable.new_label,
        "model_id": args.get("model_id"),
    }


def _parent(store: StageStore, patient_id: str, timepoint: str, wanted: Any, person: str) -> MaskRecord | None:
    """The version to begin with. Raises StoreError for one that is not there, or that this person may not see."""
    if wanted is None:
        return newest_visible_mask(store, patient_id, timepoint, person)
    return seen_version(store, patient_id, timepoint, _whole(wanted, "a mask version"), person)


def _whole(value: Any, wanted: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"Expected {wanted} as a whole number, got {value!r}.") from None


def _label(value: Any, parent: MaskRecord | None, drawable: DrawableLesions) -> int:
    """The label of the lesion that is asked for, by its name or as a label."""
    if value == "new":
        return _new_label(drawable.new_label)
    if isinstance(value, str) and (lesion_number(value) or is_unlinked(value)):
        mine = {} if parent is None else {int(one["label"]): str(one["lesion_id"]) for one in parent.lesions}
        there = {name: label for label, name in reversed({**mine, **drawable.offered}.items())}
        if value not in there:
            known = ", ".join(sorted(there, key=lambda name: (len(name), name))) or "none"
            raise InputError(f'Expected a lesion of this patient ({known}) or "new", got {value!r}.')
        return there[value]
    number = _whole(value, "a lesion number")
    if not 1 <= number <= MAX_LESIONS:
        raise InputError(f"Expected a lesion number from 1 to {MAX_LESIONS}, got {number}.")
    return number


def _new_label(free: int | None) -> int:
    if free is None:
        raise InputError(
            f"This mask and patient have used all {MAX_LESIONS} lesion numbers. Refine a lesion that is there, by its "
            "number."
        )
    return free


def _scan_called(scans: Sequence[Scan], channel: str) -> Scan:
    """By scan id ("MR-T1"), channel ("MR T1") or modality ("MR")."""
    wanted = channel.strip().lower()
    for key in ("scan_id", "channel", "modality"):
        fits = [scan for scan in scans if str(getattr(scan, key)).lower() == wanted]
        if len(fits) == 1:
            return fits[0]
    have = ", ".join(scan.scan_id for scan in scans)
    raise InputError(f"Expected one of the timepoint's scans ({have}), got {channel!r}.")


def prompt_from_json(values: Mapping[str, Any]) -> Prompt:
    """Inverse of `Prompt.to_json`; raises InputError for anything that is not a prompt."""
    try:
        return Prompt(
            type=values["type"],
            slice=int(values["slice"]),
            coords=tuple(float(c) for c in values["coords"]),
            positive=bool(values.get("positive", True)),
            scan=str(values.get("scan", "CT")),
            lesion=int(values.get("lesion") or 1),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"Expected a prompt with type, slice and coords as numbers, got {values!r}.") from error


def compute_refine(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """MedSAM on the named scan; its answer, on the reference grid, takes the place of that lesion."""
    from core.engines.prompt.embeddings import open_embeddings
    from core.engines.prompt.medsam import load_prompt_segmenter
    from core.engines.prompt.prompting import mask_to_grid
    from core.engines.propagation.propagation import segment_from_prompts

    progress(0.0, "loading MedSAM")
    segmenter = load_prompt_segmenter(params["model_id"])
    volume, reference = read_scan(params["scan"]), read_scan(params["reference"])
    prompts = [prompt_from_json(p) for p in params["prompts"]]
    embed = open_embeddings().embedder(segmenter, params["scan"]["sha256"], axis=2)
    answer = segment_from_prompts(
        volume, prompts, segmenter, params["propagate"], lambda f, m: progress(0.05 + 0.85 * f, m), embed=embed
    )
    target = reference.grid
    refined, covered = answer.mask, np.ones(volume.grid.shape, dtype=bool)
    if not params["propagate"]:
        covered[:] = False
        covered[:, :, sorted({p.slice for p in prompts})] = True
    if not volume.grid.matches(target):
        refined = mask_to_grid(refined, volume.grid, target)
        covered = resample(covered.astype(np.uint8), volume.grid, target, "nearest") > 0
    parent = (
        read_label_map(Path(params["parent_mask"]), target)
        if params["parent_mask"]
        else LabelMap(np.zeros(target.shape, dtype=np.uint8), target)
    )
    lesion = params["lesion"] or lesion_under(refined, parent) or _new_label(params["next_label"])
    combined = np.where(covered, refined, parent.array == lesion)
    labels = replace_lesion(parent, lesion, combined)
    path = out_dir / "mask.nii.gz"
    write_nifti(path, labels.array, target)
    progress(1.0, "done")
    return {
        "mask": path.name,
        "lesion": int(lesion),
        "model_id": segmenter.model_id,
        "checkpoint_sha256": segmenter.checkpoint_sha256,
        "predicted_iou": {str(k): round(float(v), 3) for k, v in answer.predicted_iou.items()},
        "stops": [{"direction": s.direction, "slice": s.slice, "rule": s.rule} for s in answer.stops],
    }


def lesion_under(refined: np.ndarray, parent: LabelMap) -> int | None:
    """The parent's lesion that shares most voxels with the refined mask; None when none does."""
    counts = np.bincount(parent.array[refined], minlength=2)
    return int(counts[1:].argmax()) + 1 if counts[1:].any() else None


def record_refine(
    store: StageStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """The refined mask becomes a version with its prompts, as the child of the version it was drawn on."""
    labels = read_label_map(out_dir / result["mask"])
    prompts = [{**p, "lesion": result["lesion"], "propagate": params["propagate"]} for p in params["prompts"]]
    record = add_version(
        store,
        labels,
        params["patient_id"],
        params["timepoint"],
        method=MaskMethod.MEDSAM,
        author=person,
        model_checkpoint=result["model_id"],
        checkpoint_sha256=result["checkpoint_sha256"],
        prompts=prompts,
        parent_version=params["parent_version"],
        links=_links(store, labels, params, person),
    )
    return {**summary(record), "lesion": result["lesion"], "stops": result["stops"]}


def _links(store: StageStore, labels: LabelMap, params: Mapping[str, Any], person: str) -> tuple[LinkProposal, ...]:
    patient_id, timepoint, number = params["patient_id"], params["timepoint"], params["parent_version"]
    parent = None if number is None else store.masks.version(patient_id, timepoint, number)
    return draft_links(store, labels, parent, patient_id, timepoint, person)
