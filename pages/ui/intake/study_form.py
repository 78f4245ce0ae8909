"""Whose the study is and of which day; the button that stores it, and what became of it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.imaging.pseudonym import NameQuestion, ask_about_id
from core.imaging.study.found import PatientFound, Preview, StudyFound
from core.jobs.study_import import Taken, import_study
from pages.ui.frame import opening, resources, session, shell
from pages.ui.guard import rights, uploads
from pages.ui.intake import intake_form, study_preview
from pages.ui.shared import job_panel
from pages.ui.shared.text import plain
from store import SeenStore

UPLOADER = "study-files"
#: What can be an id here.
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class _Whose:
    """What a person says of a study."""

    dataset: str
    patient_id: str
    date: dt.date | None
    differs: str


def study_tab(store: SeenStore) -> None:
    """Files in, preview, names and date, import."""
    files = uploads.uploader(
        UPLOADER,
        "Files of one study, or of many",
        accept_multiple_files=True,
        help="Whatever you have: DICOM files with any name, a zip of a folder or disc, NIfTI, NRRD or MHA images. Of "
        "DICOM headers scanner facts are kept; names and numbers of patients are not.",
    )
    intake_form.only_for(shell.patient_id(), UPLOADER, files)
    found = study_preview.preview_of(store, files)
    if found is None:
        _arrival(store)
        return
    study = study_preview.chosen_study(found)
    if study is None:
        st.error("There is no scan and no mask in these files.")
        study_preview.passed_over(found)
        return
    taken = study_preview.series_cards(found, study)
    study_preview.passed_over(found)
    patient = next(one for one in found.patients if study in one.studies)
    _import(store, files, found, patient, study, taken)


def _import(
    store: SeenStore,
    files: Sequence[UploadedFile],
    found: Preview,
    patient: PatientFound,
    study: StudyFound,
    taken: Sequence[Taken],
) -> None:
    whose = _whose(store, patient, study)
    names = (whose.dataset, whose.patient_id, *(one.sequence for one in taken))
    confirmed = intake_form.name_question(names)
    lacking = _lacking(whose, study, taken)
    state = rights.button(store, shell.person(), "study.added", lacking, disabled=lacking is not None)
    if not st.button(f"Import {_what(taken)}", type="primary", **state):
        return
    bar = st.progress(0.0, "Checking and storing")

    def show(share: float, words: str) -> None:
        bar.progress(share, f"Checking and storing: {plain(words)}")

    with store.scratch() as folder, intake_form.asking_about_names(names):
        stored = import_study(
            store,
            uploads.saved(files, folder),
            taken,
            dataset=whose.dataset,
            patient_id=whose.patient_id,
            timepoint=None if whose.date is None else whose.date.isoformat(),
            person=shell.person(),
            date_differs=whose.differs,
            confirm_id=confirmed,
            progress=show,
        )
    one = stored.scans[0] if stored.scans else stored.masks[0]
    request = {"patient_id": one.patient_id, "timepoint": one.timepoint}
    job_id = resources.get_runner().submit("score_ood", request, shell.person()) if stored.scans else ""
    session.IMPORTED_STUDY.set(
        session.ImportedStudy(
            one.patient_id,
            one.timepoint,
            tuple(scan.scan_id for scan in stored.scans),
            tuple(record.version for record in stored.masks),
            job_id,
        )
    )
    uploads.let_go(UPLOADER, files)
    session.STUDY_PREVIEW.drop()
    st.rerun()


def _whose(store: SeenStore, patient: PatientFound, study: StudyFound) -> _Whose:
    """The fields for data set, patient and date."""
    turn = study_preview.turn()
    first, second, third = st.columns(3)
    datasets = store.patients.datasets()
    dataset = first.text_input("Dataset", datasets[0] if datasets else "clinic", help="Letters, digits, . _ -")
    patient_id = second.text_input(
        "Patient ID",
        shell.patient_id() or _pseudonym(patient.patient),
        key=session.STUDY_PATIENT.key(turn, shell.patient_id() or ""),
        help="A pseudonym, never a name.",
    )
    in_file = None if study.date is None else dt.date.fromisoformat(study.date)
    date = third.date_input(
        "Date of the scan",
        in_file,
        min_value=dt.date(1970, 1, 1),
        max_value=dt.date.today() + dt.timedelta(days=1),
        format="YYYY-MM-DD",
        key=session.STUDY_DATE.key(turn, study.date or ""),
        help="Another day than the files say has to be confirmed, with the reason.",
    )
    said = [
        f"day {study.date} ({study.date_from})" if in_file else "no day",
        f"patient {patient.patient or 'not named'}",
    ]
    st.caption(plain(f"The files say: {', '.join(said)}."))
    differs = ""
    if in_file is not None and date is not None and date != in_file:
        st.warning(f"The files say {plain(in_file)} ({plain(study.date_from)}), you say {plain(date)}.")
        agreed = st.checkbox(
            f"Store it under {plain(date)}, not {plain(in_file)}",
            key=session.DATE_DIFFERS.key(turn, date.isoformat()),
        )
        reason = st.text_input("Why it is another date", key=session.DATE_REASON.key(turn))
        differs = reason.strip() if agreed else ""
    return _Whose(dataset.strip(), patient_id.strip(), date, differs)


def _pseudonym(patient: str | None) -> str:
    """What the files call the patient, where that can be an id and looks like nobody's name; else ""."""
    try:
        ask_about_id(patient or "")
    except NameQuestion:
        return ""
    return patient if patient and _ID.fullmatch(patient) else ""


def _lacking(whose: _Whose, study: StudyFound, taken: Sequence[Taken]) -> str | None:
    """What has to be said or ticked before the study can be stored; None for nothing."""
    if not taken:
        return "Tick at least one series."
    if any(one.becomes == "scan" and one.modality is None for one in taken):
        return "Say of every ticked image whether it is CT, PET or MR."
    if not whose.patient_id or not whose.dataset:
        return "Give the patient's pseudonym and the data set."
    if whose.date is None:
        return "Give the date of the scan."
    if study.date is not None and whose.date.isoformat() != study.date and not whose.differs:
        return "The date is not the files': confirm it and say why."
    return None


def _what(taken: Sequence[Taken]) -> str:
    scans = sum(one.becomes == "scan" for one in taken)
    parts = [(scans, "scan"), (len(taken) - scans, "mask")]
    return " and ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in parts if n) or "the study"


def _arrival(store: SeenStore) -> None:
    """What was stored last, so that a wrong guess is seen; the gate's verdict, and the way to the timepoint."""
    arrived = session.IMPORTED_STUDY.get()
    if arrived is None:
        return
    for scan in store.scans.of(arrived.patient_id, arrived.timepoint):
        if scan.scan_id in arrived.scans:
            intake_form.show_scan(scan)
    for record in store.masks.of(arrived.patient_id, arrived.timepoint):
        if record.version in arrived.versions:
            intake_form.show_import(record)
    if arrived.job_id:
        verdict = job_panel.job_panel(arrived.job_id, "Scan gate")
        if verdict:
            intake_form.show_verdict(verdict)
    st.button(
        f"Open {plain(arrived.patient_id)}, {plain(arrived.timepoint)} in Review",
        icon=":material/open_in_new:",
        on_click=opening.open_in_review,
        args=(arrived.patient_id, arrived.timepoint),
    )
