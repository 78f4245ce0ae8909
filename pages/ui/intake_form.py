"""The parts of the intake page."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from core.errors import InputError
from core.pipeline import import_mask, import_scan
from core.types import Scan
from pages.ui.text import plain

VERDICTS = {"in distribution": st.success, "out of distribution": st.warning}


def _saved(files: Sequence[Any], folder: Path) -> list[Path]:
    """Uploads as files under the last part of their names; raises InputError when there are none."""
    if not files:
        raise InputError("Expected at least one file, got none. Choose the image first.")
    paths = []
    for number, file in enumerate(files):
        # DICOM files of several folders may share a name.
        home = folder / str(number) if len(files) > 1 and (folder / Path(file.name).name).exists() else folder
        home.mkdir(exist_ok=True)
        path = home / Path(file.name).name
        path.write_bytes(file.getbuffer())
        paths.append(path)
    return paths


def import_files(store: Any, files: Sequence[Any], **details: Any) -> Scan:
    """Uploaded files -> a stored scan. Raises what `core.pipeline.import_scan` raises; the uploads are gone after."""
    with tempfile.TemporaryDirectory(prefix="twinreview-") as name:
        return import_scan(store, _saved(files, Path(name)), **details)


def show_arrival(store: Any, patient: str, timepoint: str, scan_id: str) -> None:
    """What was understood of the file, so that a wrong guess is seen."""
    scan = next((s for s in store.scans(patient, timepoint) if s.scan_id == scan_id), None)
    if scan is None:
        return
    size = " x ".join(str(n) for n in scan.shape)
    spacing = " x ".join(f"{mm:.2f}" for mm in scan.spacing_mm)
    st.success(
        f"{plain(scan.channel)} of {plain(patient)}, {plain(timepoint)}: {plain(size)} voxels of {spacing} mm, "
        f"orientation {plain(scan.orientation)}."
    )
    for warning in scan.metadata.get("warnings", []):
        st.warning(plain(warning))


def show_verdict(result: dict[str, Any]) -> None:
    """The scan gate's verdict in a line."""
    value = (
        "" if result.get("score") is None else f", score {result['score']:.2f} (threshold {result['threshold']:.2f})"
    )
    VERDICTS.get(result["state"], st.info)(
        f"Scan gate: {plain(result['state'])}{value}. {plain(result.get('note') or '')}"
    )


def mask_form(store: Any, patient: str | None, person: str) -> None:
    """A mask drawn elsewhere becomes the next version."""
    if patient is None:
        st.info("Choose the patient in the sidebar first.")
        return
    timepoint = st.selectbox("Timepoint", store.timepoints(patient), key="mask-timepoint")
    file = st.file_uploader(
        "Mask file", type=["nii", "gz", "nrrd", "mha"],
        help="Whole numbers from 0 (background) to 255; the number is the lesion. On the grid of one of the scans.",
    )  # fmt: skip
    if st.button("Import mask", type="primary", disabled=file is None):
        with st.spinner("Checking and storing"), tempfile.TemporaryDirectory(prefix="twinreview-") as name:
            path = _saved([file], Path(name))[0]
            record = import_mask(store, path, patient_id=patient, timepoint=timepoint, reviewer=person)
        lesions = f"{len(record.lesions)} lesion" + ("" if len(record.lesions) == 1 else "s")
        st.success(f"Stored as version {record.version}: {record.volume_mm3 / 1000:.1f} mL in {lesions}.")


def scan_rows(store: Any, patient: str) -> list[dict[str, Any]]:
    """The patient's scans as a table."""
    return [
        {
            "timepoint": s.timepoint, "scan": s.channel, "voxels": " x ".join(str(n) for n in s.shape),
            "spacing (mm)": " x ".join(f"{mm:.2f}" for mm in s.spacing_mm), "orientation": s.orientation,
            "simulated": bool(s.metadata.get("simulated")), "imported by": s.imported_by,
            "at (UTC)": s.imported_at[:16].replace("T", " "), "sha256": s.sha256[:12],
        }
        for s in store.scans(patient)
    ]  # fmt: skip
