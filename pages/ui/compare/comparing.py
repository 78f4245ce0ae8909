"""The parts of the compare page: what to compare, linked pictures, and the tables of differences."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.imaging.registration import RigidTransform
from core.lesions.masks import MaskDiff, mask_diff
from core.lesions.metrics import SurfaceDistances
from core.remembered.untyped import JsonDict, TableRow
from core.review.decisions import rejected_lesion_ids
from core.twin.change import change_between
from core.twin.measured_visits import MeasuredVisit, measured_end
from core.types import MM3_PER_ML, MaskRecord, parse_date
from pages.ui.frame import address, opening, resources, session
from pages.ui.review.review_panel import DICE_HELP, HD95_HELP
from pages.ui.shared.lost_files import file_problem
from pages.ui.shared.text import cells, plain
from pages.ui.trajectory.growth_panel import VERDICT_HELP
from pages.ui.viewer import viewer
from pages.ui.viewer.describe import Shown, viewer_data
from store import SeenStore

#: What stands above the pictures and below them, screen pixels: the first rows of the tables are in sight.
ABOVE_PX = 230
LINK_HELP = "The right scan is turned and moved onto the left one (rigid registration), so both show one position."


def choose_pair(store: SeenStore, patient: str, left: DeltaGenerator, right: DeltaGenerator) -> tuple[str, str]:
    """Two different timepoints; the last two to begin with."""
    timepoints = store.patients.timepoints(patient)
    help_text = "The right one is moved onto this one."
    with left:
        first = opening.choose_timepoint(
            "Left timepoint", timepoints, session.LEFT_TIMEPOINT, [patient], timepoints[-2], help_text, "left"
        )
    others = [t for t in timepoints if t != first]
    key = session.RIGHT_TIMEPOINT
    with right:
        second = opening.choose_timepoint(
            "Right timepoint", others, key, [patient, first], others[-1], "Shown beside it.", "right"
        )
    return first, second


def choose_versions(
    store: SeenStore, patient: str, person: str, where: DeltaGenerator, left: DeltaGenerator, right: DeltaGenerator
) -> tuple[str, MaskRecord, MaskRecord] | None:
    """A timepoint and two of its mask versions; None where it has fewer than two."""
    timepoints = store.patients.timepoints(patient)
    several = [t for t in timepoints if len(store.masks.of(patient, t)) > 1]
    with where:
        default = several[-1] if several else timepoints[-1]
        timepoint = opening.choose_timepoint(
            "Timepoint", timepoints, session.VERSIONS_TIMEPOINT, [patient], default, "Whose versions."
        )
    records = {record.version: record for record in store.masks.of(patient, timepoint)}
    versions, place = list(records), f"of {patient} on {timepoint}"
    if len(versions) < 2:
        for name in ("left_version", "right_version"):
            address.asked(name, versions, whose=place)
        return None
    keys = session.LEFT_VERSION, session.RIGHT_VERSION
    about: tuple[str, str] = (patient, timepoint)
    first = address.choose("left_version", versions, keys[0], *about, default=versions[-2], whose=place)
    others = [version for version in versions if version != first]
    second = address.choose("right_version", others, keys[1], *about, first, default=others[-1], whose=place)

    def named(version: int) -> str:
        return f"v{version} · {records[version].method} · {records[version].status}"

    left.selectbox("Left version", versions, format_func=named, key=keys[0].key(*about))
    right.selectbox("Right version", others, format_func=named, key=keys[1].key(*about, first))
    return timepoint, records[first], records[second]


def show_timepoints(
    store: SeenStore,
    patient: str,
    days: Sequence[str],
    records: Sequence[MaskRecord | None],
    link: RigidTransform,
    person: str,
) -> None:
    """Two timepoints in one position, with a warning where that is doubtful; each by itself where it failed."""
    panes = [
        Shown(day, record, title=f"{day} · " + ("no mask" if record is None else f"v{record.version} {record.status}"))
        for day, record in zip(days, records, strict=True)
    ]
    linked = link.state != "failed"
    if not linked:
        said = f"The two scans are not linked. {plain(link.message)} Each moves by itself."
        st.warning(said, icon=":material/link_off:")
    elif link.state == "doubtful":
        st.warning(f"The two scans are linked, but look before you rely on it. {plain(link.message)}")
    known = {"matrix": link.matrix, "converged": linked, "message": link.message}
    data = viewer_data(store, patient, panes, person, mode="timepoints", link=known)
    viewer(data, key=f"compare-{patient}-{'-'.join(days)}", above_px=ABOVE_PX)
    if linked:
        turned, moved = motion(link)
        st.caption(f"Linked: the right scan was turned by {turned:.1f}° and moved by {moved:.1f} mm.", help=LINK_HELP)


def show_versions(store: SeenStore, patient: str, first: MaskRecord, second: MaskRecord, person: str) -> None:
    """Two versions on the same slice; on the right, what was added and removed."""
    panes = [
        Shown(first.timepoint, first, title=f"v{first.version} {first.status}"),
        Shown(second.timepoint, second, first, title=f"v{second.version} {second.status}"),
    ]
    link = {"matrix": np.eye(4), "converged": True, "message": "one scan"}
    data = viewer_data(store, patient, panes, person, mode="versions", link=link)
    viewer(data, key=f"versions-{patient}-{first.timepoint}", above_px=ABOVE_PX)


def motion(link: RigidTransform) -> tuple[float, float]:
    """How much a transform turns (degrees, 0..180) and moves the frame's origin (mm)."""
    cosine = (np.trace(link.matrix[:3, :3]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), float(np.linalg.norm(link.matrix[:3, 3]))


def show_mask_diff(first: MaskRecord, second: MaskRecord) -> None:
    """The second version against the first, in numbers."""
    changed: MaskDiff = mask_diff(resources.load_mask(first), resources.load_mask(second))
    apart: SurfaceDistances = resources.surface_distances(first, second)
    st.subheader(f"v{second.version} against v{first.version}", divider="gray")
    dice, added, removed, volume, border = st.columns(5)
    dice.metric("Dice", f"{changed.dice:.3f}", help=DICE_HELP)
    added.metric("Voxels added", f"{changed.voxels_added:,}", help="In the right version, not so in the left.")
    removed.metric("Voxels removed", f"{changed.voxels_removed:,}", help="In the left version, not so in the right.")
    delta = "unknown" if changed.volume_delta_mm3 is None else f"{changed.volume_delta_mm3 / MM3_PER_ML:+z.1f} mL"
    volume.metric("Volume", delta, help="Right minus left.")
    border.metric("Hausdorff 95 %", _mm(apart.hausdorff95_mm), help=HD95_HELP)


def _mm(value: float) -> str:
    return f"{value:.1f} mm" if np.isfinite(value) else "one is empty"


def unread(store: SeenStore, records: Sequence[MaskRecord | None]) -> frozenset[str]:
    """Ids of the masks whose files cannot be read, and why on the page."""
    problems = {r.mask_id: file_problem(store, r) for r in records if r is not None}
    for problem in problems.values():
        if problem:
            st.error(plain(problem), icon=":material/error:")
    return frozenset(mask_id for mask_id, problem in problems.items() if problem)


def lesion_rows(
    first: MaskRecord,
    second: MaskRecord,
    visits: Mapping[str, MeasuredVisit],
    between: str,
    not_read: Collection[str] = (),
) -> list[TableRow]:
    """Each lesion's volume in both masks and the change; None where one of them cannot be read.

    Args:
        visits: the patient's `core.twin.measured_visits.measured_visits`; {} for versions.
        not_read: ids of masks that cannot be read (`unread`): what they hold is not known.
        between: "timepoints" or "versions". Between versions there is no verdict: nothing grew. Between timepoints it
            needs two accepted masks.
    """
    masks = [{str(lesion["lesion_id"]): lesion for lesion in record.lesions} for record in (first, second)]
    rows: list[TableRow] = []
    for lesion in sorted({*masks[0], *masks[1]}, key=lambda name: (len(name), name)):
        before, after = (
            math.nan if record.mask_id in not_read else float(mask[lesion]["volume_mm3"]) if lesion in mask else 0.0
            for record, mask in zip((first, second), masks, strict=True)
        )
        figures = {
            "Left (mL)": before / MM3_PER_ML,
            "Right (mL)": after / MM3_PER_ML,
            "Change (mL)": (after - before) / MM3_PER_ML,
            "Change (%)": 100 * (after / before - 1) if before else math.nan,
        }
        row: JsonDict = {"Lesion": lesion}
        row |= {name: value if math.isfinite(value) else None for name, value in figures.items()}
        if between == "timepoints":
            row["Verdict"], row["Rule"] = _verdict(first, second, lesion, before, after, visits)
        rows.append(row)
    return rows


def _verdict(
    first: MaskRecord,
    second: MaskRecord,
    lesion: str,
    before: float,
    after: float,
    visits: Mapping[str, MeasuredVisit],
) -> tuple[str, str]:
    if math.isnan(before) or math.isnan(after):
        return "unknown", "one of the masks cannot be read"
    if not first.status == second.status == "accepted":
        return "unknown", "not both masks are accepted"
    if lesion in rejected_lesion_ids(first) | rejected_lesion_ids(second):
        return "unknown", "rejected in one of the masks"
    ends = [
        measured_end(visits[record.timepoint], lesion, volume, float(parse_date(record.timepoint).toordinal()))
        for record, volume in ((first, before), (second, after))
    ]
    change = change_between(ends[0], ends[1])
    return change.verdict, change.rule


def lesion_table(rows: Sequence[TableRow]) -> None:
    """The rows of `lesion_rows`."""
    if not rows:
        st.caption("Neither mask holds a lesion.")
        return
    number = st.column_config.NumberColumn
    st.dataframe(
        cells(rows),
        hide_index=True,
        column_config={
            "Left (mL)": number(format="%.2f"),
            "Right (mL)": number(format="%.2f"),
            "Change (mL)": number(format="%+.2f"),
            "Change (%)": number(format="%+.0f", help="Of the left volume."),
            "Verdict": st.column_config.TextColumn(help=VERDICT_HELP),
        },
    )
