"""The parts of the review page: choosing, drawing, prompts, and the panels beside the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from core.stages.refine import prompt_from_json
from core.types import MaskRecord, Prompt, Scan, Volume
from pages.ui import resources, slices
from pages.ui.charts import lesion_colour

TOOLS = {"Box": "box", "Add point": "plus", "Remove point": "minus"}
STATUS_ICON = {"proposed": "pending", "accepted": "check_circle", "rejected": "cancel", "superseded": "history"}
ML = 1000.0
DICE_HELP = "Overlap with the version before: 2 |A and B| / (|A| + |B|); 1 is identical, 0 is disjoint."


def choose_mask(store: Any, patient: str) -> tuple[str, MaskRecord | None]:
    """Widgets for timepoint and version; the newest timepoint and version to begin with."""
    timepoints = store.timepoints(patient)
    if st.session_state.get("timepoint") not in timepoints:
        st.session_state["timepoint"] = timepoints[-1]
    first, second = st.columns([2, 3])
    timepoint = first.selectbox("Timepoint", timepoints, key="timepoint", help="Dates of this patient's scans.")
    records = {record.version: record for record in reversed(store.masks(patient, timepoint))}
    if not records:
        second.selectbox("Mask version", ["no mask yet"], disabled=True)
        return timepoint, None
    key = f"version-{timepoint}"
    if st.session_state.get(key) not in records:
        st.session_state[key] = next(iter(records))
    version = second.selectbox(
        "Mask version", list(records), key=key,
        format_func=lambda v: f"v{v} · {records[v].method} · {records[v].status}",
        help="Every version is kept. Accepted versions alone enter the curve.",
    )  # fmt: skip
    return timepoint, records[version]


def show_version(timepoint: str, version: int) -> None:
    """The next run of the page shows this version."""
    st.session_state.pop(f"version-{timepoint}", None)
    st.session_state.pop(f"slice-{timepoint}", None)


def choose_scan(store: Any, patient: str, timepoint: str) -> tuple[Scan, Volume]:
    """Which of the timepoint's scans is looked at, and its window, with its voxels."""
    reference = store.reference_scan(patient, timepoint)
    scans = [reference, *[s for s in store.scans(patient, timepoint) if s.scan_id != reference.scan_id]]
    by_id = {scan.scan_id: scan for scan in scans}
    chosen, window = st.columns([1, 1])
    scan_id = chosen.segmented_control(
        "Scan", list(by_id), default=reference.scan_id, format_func=lambda name: by_id[name].channel,
        key=f"scan-{patient}-{timepoint}", required=True,
    )  # fmt: skip
    scan = by_id[scan_id]
    presets = list(slices.WINDOWS.get(scan.modality, {})) or ["Scan's own range"]
    window.selectbox("Window", presets, key=f"window-{scan.modality}", help="Grey levels shown: centre and width.")
    return scan, resources.load_volume(scan)


def choose_slice_and_tool(volume: Volume, record: MaskRecord | None) -> tuple[int, str]:
    """The slice slider, which begins where the mask is largest, and what a press on the picture means."""
    last = volume.grid.shape[2] - 1
    key = f"slice-{volume.channel}-{record.mask_id if record else 'none'}"
    if key not in st.session_state:
        st.session_state[key] = _largest_slice(volume, record)
    slider, tools = st.columns([2, 3])
    k = int(slider.slider("Slice (k)", 0, last, key=key, help="Index along the file's third axis, from 0."))
    tool = tools.segmented_control(
        "Prompt", list(TOOLS), default="Box", key="tool", required=True,
        help="Drag a box around the lesion, or click points that belong (+) or do not belong (-) to it.",
    )  # fmt: skip
    return k, TOOLS[tool]


def _largest_slice(volume: Volume, record: MaskRecord | None) -> int:
    middle = volume.grid.shape[2] // 2
    if record is None or not record.lesions:
        return middle
    counts = np.count_nonzero(slices.labels_on(resources.load_mask(record), volume.grid), axis=(0, 1))
    return int(counts.argmax()) if counts.any() else middle


def draw_slice(volume: Volume, record: MaskRecord | None, k: int) -> tuple[str, slices.View]:
    """The slice as a picture, the mask outlined, and its changes when asked for."""
    view = slices.view_of(volume.grid)
    preset = st.session_state.get(f"window-{volume.modality}")
    labels = parent = None
    if record is not None:
        labels = slices.labels_on(resources.load_mask(record), volume.grid)[:, :, k]
        if record.parent_version is not None and st.session_state.get("show-changes", True):
            before = resources.get_store().mask(record.patient_id, record.timepoint, record.parent_version)
            parent = slices.labels_on(resources.load_mask(before), volume.grid)[:, :, k]
    return slices.picture(volume.array[:, :, k], view, slices.window_for(volume, preset), labels, parent), view


def legend(record: MaskRecord | None, scan: Scan) -> None:
    """What the colours mean; "simulated" where the scan is."""
    parts = (
        [f":orange-badge[simulated: {scan.metadata.get('method', 'scan')}]"] if scan.metadata.get("simulated") else []
    )
    if record is not None:
        parts += [
            f"<span style='color:{lesion_colour(str(lesion['lesion_id']))}'>&#9632;</span> {lesion['lesion_id']} "
            f"{float(lesion['volume_mm3']) / ML:.1f} mL"
            for lesion in record.lesions
        ]
        if record.parent_version is not None:
            st.checkbox(f"Show changes since v{record.parent_version} (blue added, orange removed)", True,
                        key="show-changes")  # fmt: skip
    st.markdown("&emsp;".join(parts) or "No mask is shown.", unsafe_allow_html=True)


def gates(store: Any, patient: str, timepoint: str, record: MaskRecord | None) -> bool:
    """What the two gates say, in one line each; True when the scan is to be scored."""
    pressed = False
    scores = store.ood_scores(patient, timepoint)
    if scores:
        row = scores[-1]
        value = "" if row["score"] is None else f" ({row['score']:.2f}, threshold {row['threshold']:.2f})"
        kind = {"in distribution": st.success, "out of distribution": st.warning}.get(row["state"], st.info)
        kind(f"Scan gate: {row['state']}{value}")
    else:
        said, button = st.columns([3, 2], vertical_alignment="center")
        said.info("Scan gate: not scored yet.")
        pressed = button.button("Score the scan", width="stretch", help="Does it look like those the network knows?")
    if record is None:
        return pressed
    anomalies = store.mask_anomalies(patient, timepoint, record.mask_id)
    if anomalies:
        row = anomalies[-1]
        p_value = "" if row["p_value"] is None else f" (p = {row['p_value']:.3f}, {row['n_reference']} references)"
        kind = st.warning if row["flagged"] else st.info if row["flagged"] is None else st.success
        kind(f"Mask gate: {row['verdict']}{p_value}")
    else:
        st.info("Mask gate: not scored yet.")
    return pressed


def first_tab(record: MaskRecord | None) -> str:
    """Where the work is."""
    return "Segment" if record is None else "Decide"


def choose_model() -> str | None:
    """Which network; None where no model is ready."""
    from weights import registry

    ready = [e for e in registry.models() if e.kind == "nnunet" and registry.status(e) == "ready"]
    if not ready:
        st.warning(
            "No nnU-Net model is ready. Put a trained nnU-Net v2 folder into weights/; System shows what is there."
        )
        return None
    entry = st.selectbox(
        "Model", ready, format_func=lambda e: e.name, help="Networks in weights/ that passed their check."
    )
    st.caption(f"Takes {entry.input}. Finds lesions by itself and numbers them as at the timepoint before.")
    return str(entry.id)


def _prompt_key(patient: str, timepoint: str, scan: Scan) -> str:
    return f"prompts-{patient}-{timepoint}-{scan.scan_id}"


def prompts(patient: str, timepoint: str, scan: Scan) -> list[Prompt]:
    """The boxes and points drawn on this scan and not yet used."""
    return [prompt_from_json(p) for p in st.session_state.get(_prompt_key(patient, timepoint, scan), [])]


def keep_prompt(patient: str, timepoint: str, scan: Scan, k: int, drawn: Prompt) -> None:
    """Adds a prompt; a second box on a slice replaces the first."""
    key = _prompt_key(patient, timepoint, scan)
    kept = [p for p in st.session_state.get(key, []) if not (drawn.type == "box" == p["type"] and int(p["slice"]) == k)]
    st.session_state[key] = [*kept, {**drawn.to_json(), "slice": k, "scan": scan.scan_id}]


def forget_prompts(patient: str, timepoint: str, scan: Scan) -> None:
    """Clears the picture of prompts."""
    st.session_state.pop(_prompt_key(patient, timepoint, scan), None)


def refine_form(
    patient: str, timepoint: str, scan: Scan, drawn: Sequence[Prompt], record: MaskRecord | None, k: int
) -> dict[str, Any] | None:
    """The prompts so far and how to use them; the job's request once the button is pressed."""
    for prompt in drawn:
        sign = "" if prompt.type == "box" else (" +" if prompt.positive else " -")
        st.markdown(f"`{prompt.type}{sign}` slice {prompt.slice}: {', '.join(f'{c:.0f}' for c in prompt.coords)}")
    if not drawn:
        st.caption("Draw a box around the lesion on the picture. Without a mouse, type its corners:")
        _typed_box(patient, timepoint, scan, k)
    elif st.button("Clear prompts"):
        forget_prompts(patient, timepoint, scan)
        st.rerun()
    numbers = [int(lesion["label"]) for lesion in record.lesions] if record else []
    lesion = st.selectbox(
        "Lesion", [None, *numbers, "new"],
        format_func=lambda n: "the one under the prompt" if n is None else n if n == "new" else f"L{n}",
        help="Which lesion the answer replaces. Other lesions' voxels are never overwritten.",
    )  # fmt: skip
    propagate = st.toggle(
        "Propagate through the slices", value=True,
        help="Carries the mask up and down until a stop rule says it has left the lesion.",
    )  # fmt: skip
    if not st.button("Refine with MedSAM", type="primary", disabled=not drawn):
        return None
    request = {"scan": scan.scan_id, "prompts": [p.to_json() for p in drawn], "propagate": propagate}
    if record is not None:
        request["parent_version"] = record.version
    return {**request, "lesion": lesion}


def _typed_box(patient: str, timepoint: str, scan: Scan, k: int) -> None:
    with st.form("typed-box", border=False):
        names = ("X0", "Y0", "X1", "Y1")
        limits = [scan.shape[0], scan.shape[1]] * 2
        values = [
            column.number_input(name, 0, limit - 1, step=1, help="Voxel index in the scan's file.")
            for column, name, limit in zip(st.columns(4), names, limits, strict=True)
        ]
        if st.form_submit_button("Add box on this slice"):
            keep_prompt(patient, timepoint, scan, k, Prompt("box", k, tuple(values)))
            st.rerun()


def history(store: Any, patient: str, timepoint: str, record: MaskRecord | None) -> None:
    """The shown version's diff and every version's line."""
    if record is None:
        return
    if record.dice_vs_previous_version is not None:
        st.subheader(f"v{record.version} against v{record.parent_version}", divider="gray")
        dice, delta, voxels = st.columns([1, 1, 2])
        dice.metric("Dice", f"{record.dice_vs_previous_version:.3f}", help=DICE_HELP)
        delta.metric("Volume", f"{(record.volume_delta_mm3 or 0) / ML:+.1f} mL")
        voxels.metric("Voxels added / removed", f"{record.voxels_added:,} / {record.voxels_removed:,}")
    with st.expander("History and provenance"):
        rows = [
            {
                "version": r.version, "from": r.parent_version, "method": r.method, "status": r.status,
                "volume (mL)": round(r.volume_mm3 / ML, 2), "Dice": r.dice_vs_previous_version,
                "by": r.reviewer, "at (UTC)": r.created_at[:16].replace("T", " "), "model": r.model_checkpoint,
            }
            for r in store.masks(patient, timepoint)
        ]  # fmt: skip
        st.dataframe(rows, hide_index=True)
        st.json(record.to_json(), expanded=False)


def decide_form(store: Any, patient: str, timepoint: str, record: MaskRecord | None, person: str) -> None:
    """Accept or reject, with a reason; says so where it is settled."""
    from pages.ui.deciding import decision_form

    if record is None:
        st.info("Nothing to decide yet: run the network or refine first.")
        return
    decision_form(store, patient, timepoint, record, person)
