"""Makes the demo cohort: simulated scans in, the real network and gates over them, a demo reviewer's decisions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.errors import InputError
from core.gates.mask.verdicts import score_mask
from core.imaging.volumes import write_nifti
from core.jobs.jobs import run_inline
from core.jobs.pipeline import KINDS
from core.jobs.stages.common import add_version
from core.jobs.stages.deciding import EditStore, decide
from core.jobs.stages.linking import propose_for
from core.jobs.stages.mask_gate import fit_if_outdated
from core.remembered.sources import HasForecasts, HasJobs
from core.remembered.vocabulary import MaskMethod
from core.review.decisions import DOUBT_ANSWERED
from core.review.doubts import doubts_among
from core.review.events import checked_event
from core.review.readers import newest_visible_version, visible_masks
from core.simulation.demo_stories import DEMO, REAL
from core.simulation.demo_timepoints import demo_timepoint, demo_timepoints, real_timepoints
from core.simulation.story import DemoTimepoint, Story
from core.twin.edit_preview import Edit
from core.twin.stored_forecasts import try_store_forecast
from core.types import TOTAL_LESION_ID, MaskRecord, Progress, no_progress

PERSON = "demo"
FORECAST_WEEKS = 12
#: What the demo reviewer settles; the rest is left for the visitor.
DECIDED = ("accept", "correct")


class DemoStore(EditStore, HasForecasts, HasJobs, Protocol):
    """Store parts that the demo writes: nearly all of them."""


def build(
    store: DemoStore,
    *,
    real: bool = False,
    sts: Path = Path(),
    stories: Sequence[Story] | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Fills a store with the demo cohort; what is there already is left alone, so a broken run can be taken up again.

    Args:
        store: `store.Store`.
        real: follow-ups simulated from the real scans in `sts` instead of phantoms.
        stories: some of `core.simulation.demo_stories.DEMO` (or REAL); all by default.

    Returns:
        How many patients, timepoints, versions and decisions there are now, and what the visitor is to find.

    Raises:
        InputError: real scans are asked for and are not there.
    """
    if real and not sts.is_dir():
        raise InputError(f"Expected the folder of real scans at {sts}; it is not there. Give it with --sts.")
    stories = stories or (REAL if real else DEMO)
    source = real_timepoints(sts, stories) if real else demo_timepoints(stories)
    total = sum(len(story.weeks) for story in stories)
    built: list[tuple[str, str, str, str]] = []
    for number, timepoint in enumerate(source):
        progress(number / total, f"{timepoint.patient_id} {timepoint.date} ({number + 1} of {total})")
        _add(store, timepoint)
        built.append((timepoint.patient_id, timepoint.date, timepoint.story, timepoint.fate))
    _score(store, [(patient, date) for patient, date, _, _ in built])
    progress(1.0, "the demo cohort is ready")
    patients = sorted({patient for patient, *_ in built})
    return {
        "patients": len(patients),
        "timepoints": len(built),
        "mask_versions": sum(len(store.masks.of(patient)) for patient in patients),
        "decisions": sum(len(store.decisions.of(patient)) for patient in patients),
        "stories": {patient: story for patient, _, story, _ in built},
        "open": [f"{patient} {date}" for patient, date, _, fate in built if fate not in DECIDED],
    }


def write_phantom(folder: Path) -> dict[str, Any]:
    """Writes CT.nii.gz and PET.nii.gz of the first simulated patient, and tumour.nii.gz, the mask that is true.

    Returns:
        Their places, the tumour's volume, and the box around it on its largest slice as the command line takes one:
        slice, then the corners in voxels of the CT.

    Raises:
        InputError: one of the files is there already.
    """
    scan = demo_timepoint(DEMO[0], 0).scan
    places = {name: folder / f"{name}.nii.gz" for name in ("CT", "PET", "tumour")}
    there = [path.name for path in places.values() if path.exists()]
    if there:
        raise InputError(f"{', '.join(there)} is there already in {folder}. Give another folder with --out.")
    folder.mkdir(parents=True, exist_ok=True)
    for volume in (scan.ct, scan.pet):
        write_nifti(places[volume.modality], volume.array, volume.grid)
    write_nifti(places["tumour"], scan.truth.array, scan.truth.grid)
    inside = scan.truth.array > 0
    k = int(np.count_nonzero(inside, axis=(0, 1)).argmax())
    i, j = np.nonzero(inside[:, :, k])
    return {
        "simulated": True,
        **{name: str(path) for name, path in places.items()},
        "volume_mm3": sum(scan.volumes_mm3.values()),
        "box": [k, int(i.min()), int(j.min()), int(i.max()), int(j.max())],
    }


def _add(store: DemoStore, timepoint: DemoTimepoint) -> None:
    """One timepoint: scans, the network's proposal, the gate's verdict on them, and what the demo reviewer did; what of
    it is there already is left."""
    patient, date = timepoint.patient_id, timepoint.date
    scans = store.scans.of(patient, date) if date in store.patients.timepoints(patient) else []
    for volume in (timepoint.scan.ct, timepoint.scan.pet):
        if volume.modality not in {scan.modality for scan in scans}:
            store.scans.add(
                volume,
                dataset=timepoint.dataset,
                patient_id=patient,
                timepoint=date,
                person=PERSON,
                metadata=timepoint.metadata,
            )
    request = {"patient_id": patient, "timepoint": date}
    if timepoint.fate != "arrived" and not store.masks.of(patient, date):
        for event in timepoint.events:
            checked = checked_event(event.kind, event.date, event.detail)
            store.events.add(patient, checked.date, checked.kind, checked.detail, PERSON)
        _propose(store, timepoint, request)
    if not store.verdicts.of_scans(patient, date):
        run_inline(store, KINDS["score_ood"], request, PERSON)
    if timepoint.fate in DECIDED and not store.decisions.of(patient, date):
        _accept(store, patient, date)


def _propose(store: DemoStore, timepoint: DemoTimepoint, request: dict[str, Any]) -> None:
    """The network's proposal, and the mask that was handed in where there is one."""
    patient, date = timepoint.patient_id, timepoint.date
    run_inline(store, KINDS["segment"], request, PERSON)
    right = timepoint.fate == "correct" and not _newest(store, patient, date).lesions
    if timepoint.mask is not None and not right:
        parent = newest_visible_version(store, patient, date, PERSON)
        visible = {day: visible_masks(store, patient, day, PERSON) for day in store.patients.timepoints(patient)}
        add_version(
            store,
            timepoint.mask,
            patient,
            date,
            method=MaskMethod.IMPORT,
            author=PERSON,
            parent_version=parent,
            links=propose_for(store, timepoint.mask, patient, date, visible, PERSON),
        )


def _accept(store: DemoStore, patient: str, date: str) -> None:
    """The demo reviewer's decision, which answers what the gates doubt, and the forecast that is then kept to be judged
    at the next visit."""
    newest = _newest(store, patient, date)
    doubts = doubts_among(store.verdicts.standing(newest))
    reason = DOUBT_ANSWERED if doubts else "demo"
    decide(store, newest, Edit("accept"), PERSON, reason, "Decided by the demo, read by nobody.")
    try_store_forecast(store, patient, TOTAL_LESION_ID, FORECAST_WEEKS, PERSON)


def _newest(store: DemoStore, patient_id: str, timepoint: str) -> MaskRecord:
    newest = store.masks.latest(patient_id, timepoint)
    if newest is None:
        raise InputError(f"Expected a mask of {patient_id} on {timepoint}, there is none. Make the demo cohort anew.")
    return newest


def _score(store: DemoStore, visits: Iterable[tuple[str, str]]) -> None:
    """The mask gate once more, now that the whole reference is there."""
    fit_if_outdated(store)
    for patient, date in visits:
        newest = store.masks.latest(patient, date)
        if newest is not None:  # a scan that has just arrived has none
            score_mask(store, patient, date, newest.version, PERSON)
