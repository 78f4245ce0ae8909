"""The parts of the compare page: what to compare, linked pictures, and the tables of differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from core import twin
from core.growth.rates import change_verdict
from core.masks import MaskDiff, diff
from core.metrics import SurfaceDistances
from core.registration import RigidTransform
from core.reslice import plane_through
from core.types import Grid, LabelMap, MaskRecord, Scan, Volume
from pages.ui import opening, resources, slices
from pages.ui.growth_panel import VERDICT_HELP
from pages.ui.reading import DICE_HELP

ML = 1000.0
#: Screen pixels of the pictures' height; two of them and the tables then fit a page of 720.
HEIGHT = 370
WIDEST = 400
LINK_HELP = "The right scan is turned and moved onto the left one (rigid registration), so both show one position."
HD95_HELP = "95 % Hausdorff distance: 95 % of either mask's border lies within this distance of the other's."


def mask_of(store: Any, patient: str, timepoint: str) -> MaskRecord | None:
    """The accepted mask, else the newest one."""
    return store.final_mask(patient, timepoint) or store.latest_mask(patient, timepoint)


def choose_pair(store: Any, patient: str, left: DeltaGenerator, right: DeltaGenerator) -> tuple[str, str]:
    """Two different timepoints; the last two to begin with."""
    timepoints = store.timepoints(patient)
    with left:
        first = opening.choose_timepoint(
            "Left timepoint", timepoints, "compare-left", timepoints[-2], "The right one is moved onto this one."
        )
    others = [t for t in timepoints if t != first]
    with right:
        second = opening.choose_timepoint("Right timepoint", others, "compare-right", others[-1], "Shown beside it.")
    return first, second


def choose_versions(
    store: Any, patient: str, where: DeltaGenerator, left: DeltaGenerator, right: DeltaGenerator
) -> tuple[str, MaskRecord, MaskRecord] | None:
    """A timepoint and two of its mask versions; None where it has fewer than two."""
    timepoints = store.timepoints(patient)
    several = [t for t in timepoints if len(store.masks(patient, t)) > 1]
    with where:
        default = several[-1] if several else timepoints[-1]
        timepoint = opening.choose_timepoint("Timepoint", timepoints, "compare-timepoint", default, "Whose versions.")
    records = {record.version: record for record in store.masks(patient, timepoint)}
    if len(records) < 2:
        return None

    def named(version: int) -> str:
        return f"v{version} · {records[version].method} · {records[version].status}"

    versions = list(records)
    first = left.selectbox(
        "Left version", versions, index=len(versions) - 2, format_func=named, key=f"compare-v1-{timepoint}"
    )
    others = [version for version in versions if version != first]
    second = right.selectbox(
        "Right version", others, index=len(others) - 1, format_func=named, key=f"compare-v2-{timepoint}-{first}"
    )
    return timepoint, records[first], records[second]


def choose_channel(
    store: Any, patient: str, timepoints: Sequence[str], which: DeltaGenerator, window: DeltaGenerator
) -> tuple[list[Scan], str | None] | None:
    """One scan of each timepoint, of a channel that all have, and the window; None where they share no channel."""
    by_channel: list[dict[str, Scan]] = []
    for timepoint in timepoints:
        reference = store.reference_scan(patient, timepoint)
        scans = [reference, *store.scans(patient, timepoint)]
        by_channel.append({scan.channel: scan for scan in reversed(scans)})
    shared = [channel for channel in reversed(by_channel[0]) if all(channel in others for others in by_channel)]
    if not shared:
        st.warning("The two timepoints have no kind of scan in common. Choose others, or import the missing scan.")
        return None
    channel = which.segmented_control("Scan", shared, default=shared[0], required=True, key=f"channel-{timepoints}")
    scans = [found[str(channel)] for found in by_channel]
    presets = list(slices.WINDOWS.get(scans[0].modality, {})) or ["Scan's own range"]
    preset = window.selectbox(
        "Window", presets, key=f"compare-window-{scans[0].modality}", help="Grey levels shown: centre and width."
    )
    return scans, preset


def choose_slice(label: str, volume: Volume, labels: LabelMap | None, key: str) -> int:
    """A slice slider; begins where the mask is largest."""
    if key not in st.session_state:
        counts = np.zeros(volume.grid.shape[2])
        if labels is not None:
            counts = np.count_nonzero(slices.labels_on(labels, volume.grid), axis=(0, 1))
        st.session_state[key] = int(counts.argmax()) if counts.any() else volume.grid.shape[2] // 2
    return int(st.slider(label, 0, volume.grid.shape[2] - 1, key=key, help="Index along the file's third axis."))


def show_picture(
    grid: Grid, window: tuple[float, float], plane: NDArray[np.float32], labels: NDArray[np.uint8] | None, caption: str,
    parent: NDArray[np.uint8] | None = None,
) -> None:  # fmt: skip
    """A slice (I, J) of the grid with its outlines, no higher than fits beside its sliders."""
    view = slices.view_of(grid)
    uri = slices.picture(plane, view, window, labels, parent)
    rows, columns = view.to_screen(plane).shape
    width = round(HEIGHT * columns * view.pixel_mm[0] / (rows * view.pixel_mm[1]))
    st.image(uri, caption=caption, width=min(width, WIDEST), alt=caption)


def directions(grid: Grid) -> str:
    """What lies where in the pictures."""
    left, _, top, _ = slices.view_of(grid).letters
    words = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "head", "I": "feet"}
    return f"The patient's {words[left]} is at the left of the picture, the {words[top]} at the top."


def described(scan: Scan, record: MaskRecord | None) -> str:
    """What a picture shows, in one line."""
    mask = "no mask" if record is None else f"mask v{record.version} {record.status}"
    return f"{scan.timepoint} · {scan.channel} · {mask}" + (" · simulated" if scan.metadata.get("simulated") else "")


def own_picture(scan: Scan, record: MaskRecord | None, preset: str | None, k: int) -> None:
    """A scan's own slice."""
    volume = resources.load_volume(scan)
    labels = None
    if record is not None:
        labels = slices.labels_on(resources.load_mask(record), volume.grid)[:, :, k]
    window = slices.window_for(volume, preset)
    show_picture(volume.grid, window, volume.array[:, :, k], labels, described(scan, record))


def linked_pictures(
    scans: list[Scan], records: list[MaskRecord | None], preset: str | None, link: RigidTransform
) -> None:
    """Two timepoints in one position; each by its own slider where the registration cannot be relied on."""
    volumes = [resources.load_volume(scan) for scan in scans]
    masks = [None if record is None else resources.load_mask(record) for record in records]
    keys = [f"compare-k-{scan.sha256[:12]}" for scan in scans]
    if not link.converged:
        st.warning(
            f"The two scans are not linked. {link.message} Each has a slider of its own.", icon=":material/link_off:"
        )
        sides = zip(st.columns(2), ("Left", "Right"), scans, records, volumes, masks, keys, strict=True)
        for column, side, scan, record, volume, labels, key in sides:
            with column:
                own_picture(scan, record, preset, choose_slice(f"{side} slice (k)", volume, labels, key))
        return
    k = choose_slice("Slice (k) of the left scan; the right one follows", volumes[0], masks[0], keys[0])
    left, right = st.columns(2)
    with left:
        own_picture(scans[0], records[0], preset, k)
    with right:
        onto, moving = volumes[0].grid, volumes[1]
        plane = plane_through(moving.array, moving.grid, onto, k, link.matrix)
        outline = None
        if masks[1] is not None:
            outline = plane_through(masks[1].array, masks[1].grid, onto, k, link.matrix, order=0)
        show_picture(onto, slices.window_for(moving, preset), plane, outline, described(scans[1], records[1]))
    turned, moved = motion(link)
    st.caption(
        f"{directions(onto)} Linked: the right scan was turned by {turned:.1f}° and moved by {moved:.1f} mm.",
        help=LINK_HELP,
    )


def motion(link: RigidTransform) -> tuple[float, float]:
    """How much a transform turns (degrees, 0..180) and moves the frame's origin (mm)."""
    cosine = (np.trace(link.matrix[:3, :3]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), float(np.linalg.norm(link.matrix[:3, 3]))


def version_pictures(scan: Scan, first: MaskRecord, second: MaskRecord, preset: str | None) -> None:
    """Two versions on the same slice; on the right, what was added and removed."""
    volume = resources.load_volume(scan)
    labels = [slices.labels_on(resources.load_mask(record), volume.grid) for record in (first, second)]
    k = choose_slice(
        "Slice (k)", volume, resources.load_mask(second), f"compare-k-{first.mask_id}-{second.mask_id}-{scan.scan_id}"
    )
    window, plane = slices.window_for(volume, preset), volume.array[:, :, k]
    left, right = st.columns(2)
    with left:
        show_picture(volume.grid, window, plane, labels[0][:, :, k], described(scan, first))
    with right:
        show_picture(volume.grid, window, plane, labels[1][:, :, k], described(scan, second), labels[0][:, :, k])
    st.caption(f"{directions(volume.grid)} Right: blue was added since v{first.version}, orange removed.")


def difference(first: MaskRecord, second: MaskRecord) -> None:
    """The second version against the first, in numbers."""
    changed: MaskDiff = diff(resources.load_mask(first), resources.load_mask(second))
    apart: SurfaceDistances = resources.surface_distances(first, second)
    st.subheader(f"v{second.version} against v{first.version}", divider="gray")
    dice, added, removed, volume, border = st.columns(5)
    dice.metric("Dice", f"{changed.dice:.3f}", help=DICE_HELP)
    added.metric("Voxels added", f"{changed.voxels_added:,}", help="In the right version, not so in the left.")
    removed.metric("Voxels removed", f"{changed.voxels_removed:,}", help="In the left version, not so in the right.")
    volume.metric("Volume", f"{(changed.volume_delta_mm3 or 0) / ML:+.1f} mL", help="Right minus left.")
    border.metric("Hausdorff 95 %", _mm(apart.hausdorff95_mm), help=HD95_HELP)


def _mm(value: float) -> str:
    return f"{value:.1f} mm" if np.isfinite(value) else "one is empty"


def lesion_rows(first: MaskRecord, second: MaskRecord, modality: str, between: str) -> list[dict[str, Any]]:
    """Each lesion's volume in both masks and the change.

    Args:
        between: "timepoints" or "versions". Between versions there is no verdict: nothing grew. Between timepoints it
            needs two accepted masks.
    """
    masks = [{str(lesion["lesion_id"]): lesion for lesion in record.lesions} for record in (first, second)]
    rows = []
    for lesion in sorted({*masks[0], *masks[1]}, key=lambda name: (len(name), name)):
        before, after = (float(mask[lesion]["volume_mm3"]) if lesion in mask else 0.0 for mask in masks)
        row: dict[str, Any] = {
            "Lesion": lesion, "Left (mL)": before / ML, "Right (mL)": after / ML,
            "Change (mL)": (after - before) / ML, "Change (%)": 100 * (after / before - 1) if before else None,
        }  # fmt: skip
        if between == "timepoints":
            row["Verdict"], row["Rule"] = _verdict(first, second, lesion, before, after, modality)
        rows.append(row)
    return rows


def _verdict(
    first: MaskRecord, second: MaskRecord, lesion: str, before: float, after: float, modality: str
) -> tuple[str, str]:
    if not first.status == second.status == "accepted":
        return "unknown", "not both masks are accepted"
    diameter = twin.diameter_mm(first, lesion) or twin.diameter_mm(second, lesion)
    change = change_verdict(before, after, diameter, first.method == second.method, modality)
    return change.verdict, change.rule


def lesion_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows of `lesion_rows`."""
    if not rows:
        st.caption("Neither mask holds a lesion.")
        return
    number = st.column_config.NumberColumn
    st.dataframe(
        rows, hide_index=True,
        column_config={
            "Left (mL)": number(format="%.1f"), "Right (mL)": number(format="%.1f"),
            "Change (mL)": number(format="%+.1f"), "Change (%)": number(format="%+.0f", help="Of the left volume."),
            "Verdict": st.column_config.TextColumn(help=VERDICT_HELP),
        },
    )  # fmt: skip
