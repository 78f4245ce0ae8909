"""Scans on their way in: read apart, on the day that their files say, in true units, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Required, TypedDict

from core.errors import InputError
from core.imaging.orienting import axis_order, canonical
from core.imaging.pseudonym import ask_about_id, ask_about_name
from core.imaging.reading_apart import ReadScan, read_scan
from core.imaging.scan_dates import DateFound, check_scan_date, differs_from_file
from core.imaging.scanner_facts import date_mode, permitted_facts
from core.imaging.study.apart import survey_apart
from core.imaging.study.found import Preview, SeriesFound
from core.imaging.study.survey import SCANS
from core.imaging.volumes import orientation
from core.jobs.stages.common import StageStore
from core.remembered.untyped import JsonDict, JsonObject
from core.types import MODALITIES, Modality, Scan, parse_date


class ScanDetails(TypedDict, total=False):
    """What is said of a scan beside its file: arguments of `import_scan`."""

    dataset: Required[str]
    patient_id: Required[str]
    timepoint: str | None
    modality: Modality | None
    sequence: str
    person: Required[str]
    confirm_id: bool
    date_differs: str
    series_uid: str | None
    without_broken: bool


def import_scan(
    store: StageStore,
    files: Sequence[Path],
    *,
    dataset: str,
    patient_id: str,
    timepoint: str | None = None,
    modality: Modality | None = None,
    sequence: str = "",
    person: str,
    extra: Mapping[str, Any] | None = None,
    confirm_id: bool = False,
    date_differs: str = "",
    series_uid: str | None = None,
    without_broken: bool = False,
) -> Scan:
    """Reads, checks and stores one scan; nothing is kept when any check fails.

    Args:
        timepoint: its date, YYYY-MM-DD; None takes the file's.
        modality: None takes the file's, where it holds one series.
        extra: further metadata of the caller's own.
        confirm_id: somebody said that ids which look like a person's are pseudonyms.
        date_differs: why the date is another than the file's, where it is.
        series_uid: which series, where there are several (`scan preview` lists them).
        without_broken: a person said that a series may be taken without files that cannot be read.

    Raises:
        InputError: the files are not one image, the date is none that it can be, or the names cannot be used.
        NameQuestion: a new patient's id, a new dataset or the sequence looks like a person's name. StoreError: the scan
            is there already.
    """
    if timepoint is not None:
        check_scan_date(timepoint)
    date_mode()  # a wrong setting is said before anything is read
    if not confirm_id:
        ask_about_names(store, dataset, patient_id, (sequence,))
    with store.scratch() as scratch:
        if series_uid is not None or modality is None or without_broken:
            found, given = survey_apart(files, scratch)
            series = _one_series(found, modality, series_uid, without_broken)
            numbers = [*series.files, *(series.broken_files if without_broken else ())]
            files, modality = [given[n].path for n in numbers], _modality(series, modality)
        check_sequence(modality, sequence)
        read = in_canonical_order(read_scan(list(files), modality, sequence, scratch, without_broken))
        day = agreed_day(timepoint, read.metadata, date_differs)
        return store.scans.add(
            read.volume,
            dataset=dataset,
            patient_id=patient_id,
            timepoint=day.date,
            person=person,
            metadata={**stored_facts(read, day), **(extra or {})},
            identifiers=read.identifiers,
        )


def in_canonical_order(read: ReadScan) -> ReadScan:
    """The scan in the one order of axes in which all are stored, and the file's own order among its facts."""
    facts = {**read.metadata, "file_orientation": orientation(read.volume.grid)}
    order = axis_order(read.volume.grid)
    uids = read.identifiers and read.identifiers.along(order.axes.index(2), order.flipped[order.axes.index(2)])
    return read._replace(volume=canonical(read.volume), metadata=facts, identifiers=uids)


class AgreedDay(NamedTuple):
    """The date under which something is stored, and why it is another than the file's, where it is."""

    date: str
    differs: str = ""


def agreed_day(timepoint: str | None, facts: JsonObject, reason: str) -> AgreedDay:
    """The date under which a scan is stored.

    Args:
        timepoint: what the person says; None: what the file says.
        facts: "study_date", "date_from" and "birth_year" as far as the file says them; a date is believed only where
            dates are not shifted.

    Raises:
        InputError: neither says a date, they differ and there is no reason, or it is none that a scan can have.
    """
    keep = date_mode() == "keep"
    of_file = DateFound(facts.get("study_date"), facts.get("date_from")) if keep else DateFound(None, None)
    date = timepoint or of_file.date
    if not date:
        raise InputError(
            "Expected the date of the scan; the file does not say it, and it was not given. Give it (on the command "
            "line with --date YYYY-MM-DD)."
        )
    check_scan_date(date, facts.get("birth_year") if keep else None)
    differs = differs_from_file(date, of_file, reason)
    return AgreedDay(parse_date(date).isoformat(), reason.strip() if differs else "")


def stored_facts(read: ReadScan, day: AgreedDay) -> JsonDict:
    """The metadata of a scan that is stored: permitted facts, and why its date is not the file's."""
    facts = {key: value for key, value in read.metadata.items() if key not in ("date_from", "birth_year")}
    kept = permitted_facts(facts, day.date)
    return {**kept, "date_differs": day.differs} if day.differs else kept


def check_sequence(modality: Modality, sequence: str) -> None:
    """Raise InputError for a sequence of something else than an MR."""
    if sequence and modality != "MR":
        raise InputError(f"Expected a sequence for MR only, got {sequence!r} for {modality}. Leave it empty.")


def ask_about_names(store: StageStore, dataset: str, patient_id: str, sequences: Sequence[str]) -> None:
    """Raise NameQuestion for names that look like a person's; what is there already was confirmed once."""
    known = store.patients.all()
    if patient_id not in {row.patient_id for row in known}:
        ask_about_id(patient_id)
    if dataset not in {row.dataset for row in known}:
        ask_about_name("dataset", dataset)
    for sequence in sequences:
        ask_about_name("sequence", sequence)


def _one_series(found: Preview, modality: Modality | None, uid: str | None, without_broken: bool) -> SeriesFound:
    """The series that is meant: by its UID, else the only one (of its modality)."""
    every = [series for _, _, series in found.series() if series.becomes == "scan"]
    if uid is not None:
        fits = [series for series in every if uid in (series.key, series.uid)]
    else:
        fits = [series for series in every if modality is None or series.modality in (modality, None)]
    if len(fits) != 1:
        listed = "; ".join(f"{s.modality or 'image'} {s.images} images, --series {s.key}" for s in every[:6])
        what = f"the series {uid}" if uid is not None else f"one {modality or 'scan'}"
        raise InputError(
            f"Expected {what}, got {len(fits)} of {len(every)} series that can be stored: {listed or 'none'}. Choose "
            "one by --series; `scan preview` shows what there is."
        )
    series = fits[0]
    if series.broken and not without_broken:
        raise InputError(
            f"{len(series.broken)} of {len(series.files) + len(series.broken)} files that are called like the slices "
            f"of this series cannot be read ({', '.join(series.broken[:3])}): it may lack slices at its ends. Copy or "
            "export it again, or take it without them (--without-broken)."
        )
    return series


def _modality(series: SeriesFound, given: Modality | None) -> Modality:
    """What the file says it is, else what the person says."""
    if series.modality in SCANS.values():
        if given is not None and given != series.modality:
            raise InputError(
                f"Expected {given}, the file says that it is {series.modality}. Leave the modality to the file."
            )
        return series.modality  # type: ignore[return-value]  # one of the three, as just looked
    if given is None:
        raise InputError(
            f"Expected to know what the image is ({', '.join(MODALITIES)}): its file does not say. Give --modality."
        )
    return given
