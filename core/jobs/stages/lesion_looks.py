"""How the lesions of masks look to an image encoder, as a job; and the thread that asks for it.

Of each mask its timepoint's reference scan is looked at, on whose grid it lies. Where no look can be made, the reason
is stored.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.access import SYSTEM
from core.engines.encoders.choice import lesion_encoder_name, load_lesion_encoder
from core.engines.encoders.lesion_looks import LesionEncoder
from core.errors import InputError, ModelError, TwinReviewError
from core.imaging.volumes import file_sha256, read_label_map
from core.jobs.jobs import JobKind, run_inline
from core.jobs.stages.common import StageStore, describe, read_scan
from core.remembered.evidence_sources import HasLooks
from core.remembered.looks import LesionLook, no_look
from core.remembered.sources import HasJobs
from core.remembered.untyped import JsonDict, JsonObject
from core.settings import settings
from core.types import LabelMap, MaskRecord, Progress, Volume, no_progress

logger = logging.getLogger("twinreview.jobs")
JOB = "look_at_lesions"
#: Masks of one job, and seconds between looks for masks that nobody has looked at.
AT_ONCE, LOOK_S = 20, 30.0
#: Newest jobs that are asked, so that a mask is not tried for ever.
_JOBS = 1000


class LooksStore(StageStore, HasLooks, HasJobs, Protocol):
    """Store parts that looks are made of and kept in."""


class LooklessStore(HasLooks, HasJobs, Protocol):
    """Store parts that tell which masks nobody has looked at."""


def prepare_looks(store: LooksStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: mask_ids, 1 to `AT_ONCE`; encoder (optional: the id of a model).

    Raises:
        InputError: no masks, too many, or one that is not there (or not to be seen).
        ModelError: the encoder cannot be loaded.
    """
    mask_ids = [str(one) for one in args.get("mask_ids", ())]
    if not 0 < len(mask_ids) <= AT_ONCE:
        raise InputError(f"Expected 1 to {AT_ONCE} masks to look at, got {len(mask_ids)}. Ask for the others later.")
    known = {record.mask_id: record for record in store.masks.of_all()}
    if missing := [mask_id for mask_id in mask_ids if mask_id not in known]:
        raise InputError(f"Expected masks that are there, got {len(missing)} that are not. Reload the page.")
    model = str(args.get("encoder", ""))
    masks = [_described(store, known[mask_id]) for mask_id in mask_ids]
    return {"encoder": model, "name": lesion_encoder_name(model), "masks": masks}


def _described(store: LooksStore, record: MaskRecord) -> JsonDict:
    """A mask as a worker gets it: its file and its scan's, or in words why it has none that can be looked at."""
    told: JsonDict = {"mask_id": record.mask_id, "labels": [int(one["label"]) for one in record.lesions]}
    try:
        scan = store.scans.reference(record.patient_id, record.timepoint)
        told["scan"] = describe(store, scan)
        told["mask"] = {"path": str(store.masks.path(record).resolve()), "sha256": record.mask_sha256}
    except TwinReviewError as error:
        return {**told, "why": str(error)}
    return told


def compute_looks(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """In the worker: a vector of each lesion of each mask, or why there is none.

    Raises:
        ModelError: the encoder cannot be loaded, or is another than it was when the job was begun.
    """
    encoder = load_lesion_encoder(str(params["encoder"]))
    if encoder.name != params["name"]:
        raise ModelError(
            f"Expected the encoder {params['name']}, got {encoder.name}: its weights were changed. Try again."
        )
    masks, found = params["masks"], []
    for number, mask in enumerate(masks):
        progress(number / len(masks), f"Looking at the lesions of mask {number + 1} of {len(masks)}")
        found.append({"mask_id": mask["mask_id"], "looks": _looks_of(encoder, mask)})
    return {"encoder": encoder.name, "masks": found}


def _looks_of(encoder: LesionEncoder, mask: JsonObject) -> list[JsonDict]:
    """One a lesion of the mask, in their order; named by their labels' numbers, as the store keeps looks."""
    labelled = [int(one) for one in mask["labels"]]
    if "why" in mask:
        return [{"label": one, "modality": "", "scan_sha256": "", "why": mask["why"]} for one in labelled]
    place = {"modality": mask["scan"]["modality"], "scan_sha256": mask["scan"]["sha256"]}
    try:
        volume, labels = read_scan(mask["scan"]), _read_mask(mask["mask"])
    except TwinReviewError as error:
        return [{"label": one, **place, "why": str(error)} for one in labelled]
    return [{"label": one, **place, **_look(encoder, volume, labels, one)} for one in labelled]


def _look(encoder: LesionEncoder, volume: Volume, labels: LabelMap, label: int) -> JsonDict:
    if not labels.grid.matches(volume.grid):
        return {"why": "The mask does not lie on the grid of its timepoint's reference scan any more."}
    try:
        vector = encoder.look(volume, labels.array == label)
    except InputError as error:
        return {"why": str(error)}
    if not np.isfinite(vector).all():
        return {"why": "The encoder gave values that are no numbers for this lesion."}
    return {"vector": [float(value) for value in vector]}


def _read_mask(described: Mapping[str, str]) -> LabelMap:
    path = Path(described["path"])
    if not path.is_file() or file_sha256(path) != described["sha256"]:
        raise InputError("The mask's file was altered or is gone since the job was begun. Run `verify`.")
    return read_label_map(path)


def record_looks(
    store: LooksStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """Keeps the looks beside their masks; what cannot be kept (a mask that went meanwhile) is left out and counted."""
    told, without, gone = 0, 0, []
    for mask in result["masks"]:
        looks = [_stored_form(look, result["encoder"]) for look in mask["looks"]]
        try:
            if looks:
                store.looks.add(mask["mask_id"], looks, person)
        except TwinReviewError as error:
            gone.append({"mask_id": mask["mask_id"], "why": str(error)})
            continue
        told += sum(look.is_told for look in looks)
        without += sum(not look.is_told for look in looks)
    return {"encoder": result["encoder"], "lesions": told, "without": without, "not_stored": gone}


def _stored_form(look: JsonObject, encoder: str) -> LesionLook:
    lesion_id, modality, scan = f"L{look['label']}", str(look["modality"]), str(look["scan_sha256"])
    if "why" in look:
        return no_look(lesion_id, encoder, str(look["why"]), modality, scan)
    return LesionLook(lesion_id, encoder, modality, scan, np.array(look["vector"], np.float32))


KIND = JobKind(JOB, prepare_looks, compute_looks, record_looks)


def masks_to_look_at(store: LooklessStore, encoder: str) -> list[str]:
    """Up to `AT_ONCE` masks without looks by that encoder; none while such a job is under way.

    A job that fails may fail for one of its masks: these are then tried alone, once. What failed alone, or could not be
    stored, is not tried again.

    Args:
        encoder: its name, as of `lesion_encoder_name`.
    """
    jobs = store.jobs.newest(_JOBS, kind=JOB)
    if any(job.status in ("queued", "running") for job in jobs):
        return []
    mine = [job for job in jobs if job.params.get("for") == encoder]
    failed = [job.params["mask_ids"] for job in mine if job.status != "done"]
    given_up = {mask_ids[0] for mask_ids in failed if len(mask_ids) == 1}
    given_up |= {one["mask_id"] for job in mine if job.result for one in job.result["not_stored"]}
    suspect = {mask_id for mask_ids in failed for mask_id in mask_ids}
    left = [one for one in store.looks.without(encoder, AT_ONCE + len(suspect | given_up)) if one not in given_up]
    return [one for one in left if one not in suspect][:AT_ONCE] or left[:1]


def look_at_all(store: LooksStore, person: str, progress: Progress = no_progress) -> JsonDict:
    """Look at every mask that the encoder has not seen, here and now, job after job; for a command line.

    Returns:
        encoder, and how many lesions were looked at and how many could not be.

    Raises:
        ModelError: the encoder cannot be loaded.
    """
    encoder, lesions, without = lesion_encoder_name(), 0, 0
    while mask_ids := masks_to_look_at(store, encoder):
        done = run_inline(store, KIND, {"mask_ids": mask_ids, "for": encoder}, person, progress)
        lesions, without = lesions + done["lesions"], without + done["without"]
    return {"encoder": encoder, "lesions": lesions, "without": without}


def keep_looks(
    store: LooklessStore, submit: Callable[[str, Mapping[str, Any], str], object], ended: Callable[[], bool]
) -> None:
    """Submit a job whenever masks are there that nobody has looked at, until the store has ended; for a thread of its
    own. Without an encoder nothing is asked for, and that is logged once; where none is wanted, not at all.

    Args:
        submit: `JobRunner.submit`; ended: whether the store was closed.
    """
    if settings().lesion_encoder == "none":
        return
    pause, said = threading.Event(), ""
    while not pause.wait(LOOK_S) and not ended():
        try:
            encoder = lesion_encoder_name()
            if mask_ids := masks_to_look_at(store, encoder):
                submit(JOB, {"mask_ids": mask_ids, "for": encoder}, SYSTEM)
            said = ""
        except TwinReviewError as error:
            if not ended() and str(error) != said:
                logger.warning("lesions are not looked at: %s", error)
            said = str(error)
