"""A study on its way in: scans of one patient and day and the masks that came with them, stored as one change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import InputError
from core.gates.mask.verdicts import look_and_judge
from core.imaging.masks.drawn import MaskOnGrid
from core.imaging.reading_apart import ReadScan, read_mask, read_scan
from core.imaging.reference_scan import reference_of
from core.imaging.scan_dates import check_scan_date
from core.imaging.scanner_facts import date_mode
from core.imaging.study.apart import survey_apart
from core.imaging.study.found import Becomes, PatientFound, Preview, SeriesFound, StudyFound
from core.imaging.study.gathering import GivenFile
from core.imaging.study.survey import SCANS
from core.jobs.mask_import import import_prompt, looked_at_mask
from core.jobs.scan_import import (
    AgreedDay,
    agreed_day,
    ask_about_names,
    check_sequence,
    in_canonical_order,
    stored_facts,
)
from core.jobs.stages.common import StageStore
from core.jobs.stages.linking import Proposed, prepare_links, propose
from core.lesions.masks import measure
from core.remembered.incoming import NewMask, NewScan, StoredStudy
from core.remembered.links import LinkProposal
from core.review.readers import visible_masks
from core.types import Modality, Progress, Volume, no_progress


@dataclass(frozen=True)
class Taken:
    """A series that is to be stored.

    Args:
        key: which one (`SeriesFound.key`).
        becomes: "scan" or "mask".
        modality: of a scan whose file does not say it.
        sequence: of an MR.
        without_broken: a person said that it may be taken without files that cannot be read.
        segments: of a mask, the numbers of those that are lesions; all where there are none.
    """

    key: str
    becomes: Becomes = "scan"
    modality: Modality | None = None
    sequence: str = ""
    without_broken: bool = False
    segments: tuple[int, ...] = ()


def taken_of(found: Preview, keys: Sequence[str] | None = None) -> list[Taken]:
    """What is taken of a preview: the series named by key or UID, else those that it ticks."""
    every = [series for _, _, series in found.series() if series.becomes is not None]
    if keys:
        named = [(key, [series for series in every if key in (series.key, series.uid)]) for key in keys]
        lacking = [key for key, fits in named if not fits]
        if lacking:
            raise InputError(
                f"Expected series that can be stored, got {', '.join(lacking)}. `scan preview` shows what there is, "
                "and why something is not taken."
            )
        every = [series for _, fits in named for series in fits]
    else:
        every = [series for series in every if series.ticked]
    return [
        Taken(series.key, series.becomes or "scan", sequence=series.sequence if series.becomes == "scan" else "")
        for series in every
    ]


def import_study(
    store: StageStore,
    paths: Sequence[Path],
    taken: Sequence[Taken],
    *,
    dataset: str,
    patient_id: str,
    timepoint: str | None = None,
    person: str,
    date_differs: str = "",
    confirm_id: bool = False,
    progress: Progress = no_progress,
) -> StoredStudy:
    """Reads, checks and stores what was taken of a study: all of it or nothing.

    Args:
        paths: as they were previewed (`core.imaging.study.apart.preview`).
        taken: series of one patient and one day.
        timepoint: the date, YYYY-MM-DD; None takes the files'.
        date_differs: why the date is another than the files', where it is.
        confirm_id: somebody said that ids which look like a person's are pseudonyms.

    Returns:
        The scans, and the masks as proposed versions.

    Raises:
        InputError: nothing taken, of several patients or days, a date that it cannot be, no scan for masks.
        NameQuestion: as `core.jobs.scan_import.import_scan`. StoreError: one of the scans is there already.
    """
    date_mode()
    if timepoint is not None:
        check_scan_date(timepoint)
    if not confirm_id:
        ask_about_names(store, dataset, patient_id, [one.sequence for one in taken])
    with store.scratch() as scratch:
        progress(0.0, "sorting the files")
        found, files = survey_apart(paths, scratch)
        chosen = _chosen(found, taken)
        day = _day(chosen, timepoint, date_differs)
        scans, masks = ([one for one in chosen if one.taken.becomes == kind] for kind in ("scan", "mask"))
        read = []
        for number, one in enumerate(scans):
            progress(0.1 + 0.6 * number / len(chosen), f"reading scan {number + 1} of {len(scans)}")
            read.append(_read(one, files, scratch / f"scan{number}"))
        every = _scans_then(store, read, patient_id, day.date) if masks else []
        incoming = []
        for number, mask in enumerate(masks):
            progress(0.7 + 0.2 * number / len(masks), f"reading mask {number + 1} of {len(masks)}")
            placed = _placed(mask, files, scratch / f"mask{number}", every)
            frames = store.scans.lie_under(patient_id, day.date, placed.origin)
            frames += [placed.origin.lies_on(one.identifiers) for one in read]
            incoming.append(_incoming(store, placed, every, frames, patient_id, day.date, person))
        progress(0.9, "storing")
        return store.studies.add(
            [NewScan(one.volume, stored_facts(one, day), one.identifiers) for one in read],
            incoming,
            dataset=dataset,
            patient_id=patient_id,
            timepoint=day.date,
            person=person,
        )


@dataclass(frozen=True)
class _Chosen:
    patient: PatientFound
    study: StudyFound
    series: SeriesFound
    taken: Taken


def _chosen(found: Preview, taken: Sequence[Taken]) -> list[_Chosen]:
    there = {series.key: (patient, study, series) for patient, study, series in found.series()}
    missing = [one.key for one in taken if one.key not in there]
    if missing or not taken:
        raise InputError(
            f"Expected series that the files hold, got {', '.join(missing) or 'none'}. Look at the preview again, and "
            "tick what is to be stored."
        )
    chosen = [_Chosen(*there[one.key], one) for one in taken]
    if len({(one.patient.patient, one.study.date) for one in chosen}) > 1:
        raise InputError(
            "Expected series of one patient and one day, got several. Import each day of each patient on its own."
        )
    return chosen


def _day(chosen: Sequence[_Chosen], timepoint: str | None, reason: str) -> AgreedDay:
    study, patient = chosen[0].study, chosen[0].patient
    facts = {"study_date": study.date, "date_from": study.date_from, "birth_year": patient.birth_year}
    return agreed_day(timepoint, facts, reason)


def _read(one: _Chosen, files: Sequence[GivenFile], scratch: Path) -> ReadScan:
    series, taken = one.series, one.taken
    if series.broken and not taken.without_broken:
        raise InputError(
            f"{len(series.broken)} files beside a series cannot be read, and it may lack slices at its ends. Copy or "
            "export it again, or say that it is to be taken without them."
        )
    modality = series.modality if series.modality in SCANS.values() else taken.modality
    if modality is None:
        raise InputError(f"Expected to know whether {series.key} is CT, PET or MR. Choose it in the preview.")
    check_sequence(modality, taken.sequence)  # type: ignore[arg-type]
    scratch.mkdir()
    numbers = [*series.files, *(series.broken_files if taken.without_broken else ())]
    paths = [files[number].path for number in numbers]
    read = read_scan(paths, modality, taken.sequence, scratch, taken.without_broken)  # type: ignore[arg-type]
    return in_canonical_order(read)


def _scans_then(store: StageStore, read: Sequence[ReadScan], patient_id: str, timepoint: str) -> list[Volume]:
    """The scans that the timepoint will have, those that are stored first."""
    present = [store.scans.load(scan) for scan in store.scans.of(patient_id, timepoint)]
    return [*present, *(one.volume for one in read)]


def _placed(one: _Chosen, files: Sequence[GivenFile], scratch: Path, scans: Sequence[Volume]) -> MaskOnGrid:
    """A mask on the grid of what will be the timepoint's reference scan."""
    if not scans:
        raise InputError("Expected a scan with the masks, got masks alone. Take the scan that they were drawn on too.")
    scratch.mkdir()
    return read_mask(files[one.series.files[0]].path, scratch, reference_of(scans).grid, one.taken.segments)


def _incoming(
    store: StageStore,
    placed: MaskOnGrid,
    scans: Sequence[Volume],
    frames: Sequence[bool | None],
    patient_id: str,
    day: str,
    person: str,
) -> NewMask:
    """A mask whose lesions were told by their place, measured and judged by the gate.

    Where its scan lies in others is not stored with it: the scan is not stored yet.
    """
    mask = looked_at_mask(placed, lambda: scans, frames)
    days = {*store.patients.timepoints(patient_id), day}
    visible = {one: visible_masks(store, patient_id, one, person) for one in days}
    reference = reference_of(scans)
    here = [(reference, ""), *((scan, "") for scan in scans if scan is not reference)]
    proposed = propose(mask.labels, here, prepare_links(store, patient_id, day, visible))
    links = tuple(_without_transform(link, proposed) for link in proposed.links)
    vectors, verdict = look_and_judge(store, mask.labels, patient_id, day, person, links, unstored=scans)
    prompts = (import_prompt(mask, links),)
    return NewMask(mask.labels, tuple(measure(mask.labels)), tuple(vectors), verdict, prompts=prompts, links=links)


def _without_transform(link: LinkProposal, proposed: Proposed) -> LinkProposal:
    """The link without the id of a transform that will not be stored."""
    if link.evidence.get("transform_id") not in {one.transform_id for one in proposed.transforms}:
        return link
    return replace(link, evidence={k: v for k, v in link.evidence.items() if k != "transform_id"})
