"""The parts of the compare page: what to compare, linked pictures, and the tables of differences."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.lesions.masks import MaskDiff, mask_diff
from core.lesions.metrics import SurfaceDistances
from core.remembered.links import StoredTransform, is_unlinked
from core.remembered.untyped import JsonDict, TableRow
from core.twin.timeline import PatientTimeline
from core.twin.timeline_cells import Cell
from core.twin.timeline_changes import interval_change
from core.types import MM3_PER_ML, MaskRecord
from pages.ui.frame import address, measured, opening, resources, session
from pages.ui.review.review_panel import DICE_HELP, HD95_HELP
from pages.ui.shared.lost_files import file_problem
from pages.ui.shared.text import cells, lesion_words, plain
from pages.ui.trajectory.growth_panel import VERDICT_HELP
from pages.ui.viewer import viewer
from pages.ui.viewer.describe import Shown, linking, viewer_data
from store import SeenStore

#: What stands above the pictures and below them, screen pixels: the first rows of the tables are in sight.
ABOVE_PX = 230
#: Kinds of comparison, as the address has them.
TIMEPOINTS, VERSIONS, READERS, REGISTRATION = "Timepoints", "Versions", "Readers", "Registration"
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
    found: StoredTransform,
    person: str,
) -> None:
    """Two timepoints in one position; each by itself where the registration failed or was refused."""
    panes = [
        Shown(day, record, title=f"{day} · " + ("no mask" if record is None else f"v{record.version} {record.status}"))
        for day, record in zip(days, records, strict=True)
    ]
    link = linking(found)
    if not found.numbers_lesions:
        with st.container(horizontal=True, vertical_alignment="center"):
            said = f"The two scans are not linked. {plain(str(link['message']))} Each moves by itself."
            st.warning(said, icon=":material/link_off:")
            _look_at_it(patient, days)
    data = viewer_data(store, patient, panes, person, mode="timepoints", link=link)
    viewer(data, key=f"compare-{patient}-{'-'.join(days)}", above_px=ABOVE_PX)
    if found.numbers_lesions:
        turned, moved = motion(found)
        with st.container(horizontal=True, vertical_alignment="center"):
            doubt = ":orange[:material/help:] " if found.registration_state == "doubtful" else ""
            st.caption(
                f"{doubt}Linked: the right scan was turned by {turned:.1f}° and moved by {moved:.1f} mm "
                f"({plain(judged_in_words(found))}).",
                help=LINK_HELP,
                width="content",
            )
            _look_at_it(patient, days)


def _look_at_it(patient: str, days: Sequence[str]) -> None:
    place = {address.PATIENT: patient, "show": REGISTRATION, "left": days[0], "right": days[1]}
    st.button("Look at the registration", type="tertiary", on_click=address.leave_for, args=("compare", place))


def judged_in_words(found: StoredTransform) -> str:
    """Who stands for a registration: "good, nobody has looked at it", "accepted by ann"."""
    if found.verdict is not None:
        return f"{found.verdict} by {found.judged_by}"
    return f"{found.state}, nobody has looked at it"


def show_versions(store: SeenStore, patient: str, first: MaskRecord, second: MaskRecord, person: str) -> None:
    """Two versions on the same slice; on the right, what was added and removed."""
    panes = [
        Shown(first.timepoint, first, title=f"v{first.version} {first.status}"),
        Shown(second.timepoint, second, first, title=f"v{second.version} {second.status}"),
    ]
    link = {"matrix": np.eye(4), "converged": True, "message": "one scan"}
    data = viewer_data(store, patient, panes, person, mode="versions", link=link)
    viewer(data, key=f"versions-{patient}-{first.timepoint}", above_px=ABOVE_PX)


def motion(found: StoredTransform) -> tuple[float, float]:
    """How much a transform turns (degrees, 0..180) and moves the frame's origin (mm)."""
    matrix = np.asarray(found.matrix)
    cosine = (np.trace(matrix[:3, :3]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), float(np.linalg.norm(matrix[:3, 3]))


def show_mask_diff(first: MaskRecord, second: MaskRecord) -> None:
    """The second version against the first, in numbers."""
    changed: MaskDiff = mask_diff(resources.load_mask(first), resources.load_mask(second))
    apart: SurfaceDistances = measured.surface_distances(first, second)
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
    timeline: PatientTimeline | None,
    between: str,
    not_read: Collection[str] = (),
) -> list[TableRow]:
    """Each lesion's volume in both masks and the change; None where one of them is not known.

    Args:
        timeline: the patient's; None for versions. Of an accepted mask it says what became of a lesion that is not
            in it: 0 is said only of one that is absent.
        not_read: ids of masks that cannot be read (`unread`): what they hold is not known.
        between: "timepoints" or "versions". Between versions there is no verdict: nothing grew. Between timepoints it
            needs two accepted masks.
    """
    # A label of which nobody can tell which lesion it is may be one in either mask: each has its own row.
    names = {
        (str(lesion["lesion_id"]), side if between == "timepoints" and is_unlinked(str(lesion["lesion_id"])) else None)
        for side, record in enumerate((first, second))
        for lesion in record.lesions
    }
    rows: list[TableRow] = []
    for lesion, only in sorted(names, key=lambda one: (len(one[0]), one[0], one[1] or 0)):
        before, after = (
            math.nan
            if record.mask_id in not_read or only not in (None, side)
            else _volume_mm3(record, lesion, timeline)
            for side, record in enumerate((first, second))
        )
        figures = {
            "Left (mL)": before / MM3_PER_ML,
            "Right (mL)": after / MM3_PER_ML,
            "Change (mL)": (after - before) / MM3_PER_ML,
            "Change (%)": 100 * (after / before - 1) if before else math.nan,
        }
        row: JsonDict = {"Lesion": lesion_words(lesion)}
        row |= {name: value if math.isfinite(value) else None for name, value in figures.items()}
        if timeline is not None and between == "timepoints":
            unknown = {first.mask_id, second.mask_id} & set(not_read)
            said = ("unknown", "one of the masks cannot be read") if unknown else None
            row["Verdict"], row["Rule"] = said or _verdict(first, second, lesion, timeline)
        rows.append(row)
    return rows


def _cell(record: MaskRecord, lesion: str, timeline: PatientTimeline | None) -> Cell | None:
    """What the timeline has of a lesion, where that mask is the accepted one."""
    cell = None if timeline is None else timeline.cell(lesion, record.timepoint)
    return cell if cell is not None and cell.mask_id == record.mask_id else None


def _volume_mm3(record: MaskRecord, lesion: str, timeline: PatientTimeline | None) -> float:
    """Of all its labels, whatever a person said of them; without one 0, or NaN where the timeline does not say so."""
    labels = [float(one["volume_mm3"]) for one in record.lesions if one["lesion_id"] == lesion]
    cell = _cell(record, lesion, timeline)
    return math.nan if not labels and cell is not None and cell.state != "absent" else sum(labels)


def _verdict(first: MaskRecord, second: MaskRecord, lesion: str, timeline: PatientTimeline) -> tuple[str, str]:
    if not first.status == second.status == "accepted":
        return "unknown", "not both masks are accepted"
    cells = [_cell(record, lesion, timeline) for record in (first, second)]
    if any(cell is not None and cell.state == "rejected" for cell in cells):
        return "unknown", "rejected in one of the masks"
    for cell in cells:
        if cell is None:
            return "unknown", "nobody can tell which lesion this is"
        if not cell.is_number:
            return "unknown", " ".join([cell.state, ", ".join(cell.into)]).strip()
    change = interval_change(timeline, lesion, first.timepoint, second.timepoint).change
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
