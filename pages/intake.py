"""Add scans: checked, stripped of what names a person, and judged by the scan gate on arrival."""

import datetime as dt

import streamlit as st

from core.types import MODALITIES, UNITS
from pages.ui.frame import address, resources, session, shell
from pages.ui.guard import rights, uploads
from pages.ui.intake import intake_form
from pages.ui.shared import job_panel
from pages.ui.shared.text import cells, plain

TABS = ("Scan", "Mask")

st.title("Intake")
st.caption("Add a scan, or a mask drawn elsewhere. Files are checked first; when a check fails, nothing is stored.")

store = shell.store()
address.choose_tab(TABS, session.INTAKE_TAB)
scan_tab, mask_tab = address.tabs(TABS, session.INTAKE_TAB)

with scan_tab, shell.guarded():
    files = uploads.uploader(
        "scan-files",
        "Image files",
        accept_multiple_files=True,
        type=["nii", "gz", "nrrd", "mha", "zip", "dcm", "ima"],
        help="One NIfTI, NRRD or MHA image, or the files or a zip of one DICOM series. Of DICOM headers, scanner facts "
        "are kept; names and numbers of patients are not.",
    )
    intake_form.only_for(shell.patient_id(), "scan-files", files)
    with st.form("scan", border=False):
        first, second, third = st.columns(3)
        datasets = store.patients.datasets()
        dataset = first.text_input("Dataset", datasets[0] if datasets else "clinic", help="Letters, digits, . _ -")
        patient = second.text_input("Patient ID", shell.patient_id() or "", help="A pseudonym, never a name.")
        date = third.date_input("Date of the scan", dt.date.today(), min_value=dt.date(1970, 1, 1), format="YYYY-MM-DD")
        modality = first.selectbox("Modality", MODALITIES, format_func=lambda m: f"{m} ({UNITS[m]})")
        sequence = second.text_input("Sequence", help="For MR, as T1, T1c, FLAIR. Empty for CT and PET.")
        names = (dataset, patient, sequence)
        confirmed = intake_form.name_question(names)
        state = rights.button(store, shell.person(), "scan.added")
        pressed = st.form_submit_button("Import", type="primary", **state)
    if pressed:
        with st.spinner("Checking and storing", show_time=True), intake_form.asking_about_names(names):
            scan = intake_form.import_files(
                store,
                files,
                dataset=dataset,
                patient_id=patient,
                timepoint=date.isoformat(),
                modality=modality,
                sequence=sequence,
                person=shell.person(),
                confirm_id=confirmed,
            )
        request = {"patient_id": scan.patient_id, "timepoint": scan.timepoint}
        job_id = resources.get_runner().submit("score_ood", request, shell.person())
        session.IMPORTED_SCAN.set(session.ImportedScan(scan.patient_id, scan.timepoint, scan.scan_id, job_id))
        uploads.let_go("scan-files", files)
        st.rerun()
    arrived = session.IMPORTED_SCAN.get()
    if arrived is not None:
        intake_form.show_arrival(store, arrived.patient_id, arrived.timepoint, arrived.scan_id)
        verdict = job_panel.job_panel(arrived.job_id, "Scan gate")
        if verdict:
            intake_form.show_verdict(verdict)

with mask_tab, shell.guarded():
    intake_form.mask_form(store, shell.patient_id(), shell.person())

chosen = shell.patient_id()
if chosen:
    st.subheader(f"Scans of {plain(chosen)}", divider="gray")
    st.dataframe(cells(intake_form.scan_rows(store, chosen)), hide_index=True, width="stretch")
