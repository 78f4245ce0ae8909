"""The parts of the intake page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.imaging.pseudonym import NameQuestion
from core.imaging.scanner_facts import suv_in_words
from core.jobs.mask_import import import_mask, import_of
from core.remembered.untyped import JsonDict, TableRow
from core.types import MM3_PER_ML, MaskRecord, Scan
from pages.ui.frame import session
from pages.ui.frame.session import QuestionedNames
from pages.ui.guard import rights, uploads
from pages.ui.shared.text import plain
from store import SeenStore

VERDICTS = {"in distribution": st.success, "out of distribution": st.warning, "doubtful": st.warning}


def name_question(names: Sequence[str]) -> bool:
    """The box that appears where `names` (dataset, patient, sequence) were questioned; whether it is ticked.

    A tick holds for the very names that were asked about. With others there is no box, and each question has its own.
    """
    questioned = session.QUESTIONED_NAMES.get()
    if questioned is None or not questioned.question or questioned.names != tuple(names):
        return False
    st.error(plain(questioned.question), icon=":material/error:")
    return st.checkbox("These are pseudonyms: they name no person", key=f"name-confirmed-{questioned.turn}")


@contextmanager
def asking_about_names(names: Sequence[str]) -> Iterator[None]:
    """A name that looks like a person's becomes a question in the form (`name_question`), and nothing is stored."""
    turn = (session.QUESTIONED_NAMES.get() or QuestionedNames()).turn
    try:
        yield
    except NameQuestion as question:
        session.QUESTIONED_NAMES.set(QuestionedNames(str(question), tuple(names), turn + 1))
        st.rerun()
    session.QUESTIONED_NAMES.set(QuestionedNames(turn=turn))


def show_scan(scan: Scan) -> None:
    """What was understood of a file, so that a wrong guess is seen."""
    size = " x ".join(str(n) for n in scan.shape)
    spacing = " x ".join(f"{mm:.2f}" for mm in scan.spacing_mm)
    st.success(
        f"{plain(scan.channel)} of {plain(scan.patient_id)}, {plain(scan.timepoint)}: {plain(size)} voxels of "
        f"{spacing} mm, orientation {plain(scan.orientation)}."
    )
    if words := suv_in_words(scan.metadata):
        st.caption(plain(words))
    for warning in scan.metadata.get("warnings", []):
        st.warning(plain(warning))


def show_verdict(result: JsonDict) -> None:
    """The scan gate's verdict in a line."""
    value = (
        "" if result.get("score") is None else f", score {result['score']:.2f} (threshold {result['threshold']:.2f})"
    )
    VERDICTS.get(result["state"], st.info)(
        f"Scan gate: {plain(result['state'])}{value}. {plain(result.get('note') or '')}"
    )


def mask_form(store: SeenStore, patient: str | None, person: str) -> None:
    """A mask drawn elsewhere becomes the next version."""
    if patient is None:
        st.info("Choose the patient in the sidebar first.")
        return
    timepoint = st.selectbox("Timepoint", store.patients.timepoints(patient), key=session.MASK_TIMEPOINT.key(patient))
    files = uploads.uploader(
        "mask-file",
        "Mask file",
        help="A label map (NIfTI, NRRD, MHA), a Slicer segmentation, or a DICOM RTSTRUCT or SEG. It is brought to the "
        "reference scan; what its volume gains or loses by that is said.",
    )
    only_for(patient, "mask-file", files)
    state = rights.button(store, person, "mask.added", disabled=not files)
    if st.button("Import mask", type="primary", **state):
        with st.spinner("Checking and storing"), store.scratch() as folder:
            path = uploads.saved(files, folder)[0]
            record = import_mask(store, path, patient_id=patient, timepoint=timepoint, author=person)
        uploads.let_go("mask-file", files)
        session.IMPORTED_MASK.set(record.mask_id, patient)
        st.rerun()
    arrived = session.IMPORTED_MASK.get(patient)
    for record in store.masks.of(patient):
        if record.mask_id == arrived and not files:
            show_import(record)


def show_import(record: MaskRecord) -> None:
    """A mask that was imported: what it holds, how it came to the scan's grid, and what should be looked at."""
    said = import_of(record)
    lesions = f"{len(record.lesions)} lesion" + ("" if len(record.lesions) == 1 else "s")
    st.success(f"Stored as version {record.version}: {record.volume_mm3 / MM3_PER_ML:.1f} mL in {lesions}.")
    if said.get("resampling"):
        st.caption(plain(said["resampling"]))
    for text in (*said.get("warnings", ()), *said.get("doubts", ())):
        st.warning(plain(text))


def only_for(patient: str | None, uploader: str, files: Sequence[UploadedFile]) -> None:
    """Files that were chosen while one patient was chosen in the sidebar are let go where it is another: they would be
    imported for the wrong one."""
    before = session.FILES_FOR_PATIENT.get(uploader)
    if patient is not None and patient != before:
        session.FILES_FOR_PATIENT.set(patient, uploader)
        if before is not None and files:
            uploads.let_go(uploader, files)
            st.rerun()


def scan_rows(store: SeenStore, patient: str) -> list[TableRow]:
    """The patient's scans as a table."""
    return [
        {
            "timepoint": s.timepoint,
            "scan": s.channel,
            "voxels": " x ".join(str(n) for n in s.shape),
            "spacing (mm)": " x ".join(f"{mm:.2f}" for mm in s.spacing_mm),
            "orientation": s.orientation,
            "SUV": suv_in_words(s.metadata),
            "simulated": bool(s.metadata.get("simulated")),
            "imported by": s.imported_by,
            "at (UTC)": s.imported_at[:16].replace("T", " "),
            "sha256": s.sha256[:12],
        }
        for s in store.scans.of(patient)
    ]
