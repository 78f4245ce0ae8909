"""The table of a patient's lesions, and one lesion's pictures over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import streamlit as st

from core.remembered.untyped import TableRow
from core.review.lesion_list import ListedLesion
from core.review.link_choices import labels_of
from core.twin.timeline import PatientTimeline
from core.twin.timeline_cells import Cell
from core.types import MaskRecord
from pages.ui.frame import session, shell
from pages.ui.shared.text import cells, millilitres, plain
from pages.ui.shared.thumbnails import lesion_picture
from store import SeenStore

#: Visits beside each other.
IN_A_ROW = 6
#: More lesions than these are chosen from a box.
MOST_BUTTONS = 12
#: Rows of the table in sight, and its height in pixels where there are more.
ROWS_IN_SIGHT, TABLE_HEIGHT = 5, 200
#: States of a lesion that a mask has a label of.
OF_A_LABEL = frozenset({"measured", "too small to measure", "rejected"})
STATE_HELP = (
    "measured and absent (looked for, and gone: 0) are numbers; too small, not in view, merged, split, rejected and "
    "not assessed are none."
)


def no_lesion(patient: str) -> None:
    """The empty state."""
    st.info(f"{plain(patient)} has no mask with a lesion yet. Segment or draw one in Review.")
    if st.button("Go to Review", type="primary"):
        shell.go_to("review")


def state_words(cell: Cell) -> str:
    """A cell's state: "merged into L1"."""
    return " ".join([cell.state, *([", ".join(cell.into)] if cell.into else [])])


def lesion_table(timeline: PatientTimeline, listed: Sequence[ListedLesion]) -> None:
    """Every lesion: first and last seen, its state at the last visit, and what of its labels nobody confirmed."""
    last = max(timeline.visits, default=None)
    rows: list[TableRow] = []
    for one in listed:
        cell = None if last is None else timeline.cell(one.lesion_id, last)
        open_links = [x for x in one.links if x.status == "accepted" and x.relation and not x.confirmed_by]
        rows.append(
            {
                "Lesion": one.lesion_id,
                "First seen": one.first or "in no accepted mask",
                "Last seen": one.last or "in no accepted mask",
                "At the last visit": "no accepted mask" if cell is None else state_words(cell),
                "Volume (mL)": None if cell is None or cell.volume_mm3 is None else cell.volume_mm3 / 1000,
                "Labels": len(one.links),
                "Not confirmed": len(open_links),
            }
        )
    config = {
        "At the last visit": st.column_config.TextColumn(
            help=f"At the last timepoint with an accepted mask. {STATE_HELP}", width="medium"
        ),
        "Volume (mL)": st.column_config.NumberColumn(format="%.2f"),
        "Labels": st.column_config.NumberColumn(help="Labels of masks that were not rejected which are this lesion."),
        "Not confirmed": st.column_config.NumberColumn(
            help="Labels of accepted masks of which nobody has said that they are this lesion."
        ),
    }
    height: int | Literal["content"] = "content" if len(rows) <= ROWS_IN_SIGHT else TABLE_HEIGHT
    st.dataframe(cells(rows), hide_index=True, width="stretch", height=height, column_config=config)


def choose_lesion(patient: str, names: Sequence[str]) -> None:
    """The widget of the lesion that the page has settled."""
    key = session.LESION_SHOWN.key(patient)
    if len(names) > MOST_BUTTONS:
        st.selectbox("Lesion", names, key=key, width=240)
    else:
        st.segmented_control("Lesion", names, required=True, key=key, format_func=plain)


def visits(store: SeenStore, timeline: PatientTimeline, lesion: str) -> None:
    """The lesion at the patient's timepoints, the newest at the right."""
    days = _days_shown(timeline)
    row = {cell.timepoint: cell for cell in timeline.row(lesion)}
    records = {record.mask_id: record for record in store.masks.of(timeline.patient_id)}
    for column, day in zip(st.columns(IN_A_ROW, gap="small"), days, strict=False):
        cell = row.get(day)
        record = records.get(cell.mask_id or "") if cell is not None else None
        with column.container(border=True, gap="small", height="stretch"):
            _visit(store, lesion, day, cell, record)


def _days_shown(timeline: PatientTimeline) -> Sequence[str]:
    """A row of timepoints; of more than fit, those that are chosen."""
    days = timeline.timepoints
    pages = math.ceil(len(days) / IN_A_ROW)
    if pages < 2:
        return days
    starts = [max(0, len(days) - IN_A_ROW * n) for n in range(1, pages + 1)]
    key = session.LESION_VISITS
    if key.get(timeline.patient_id) not in starts:
        key.set(starts[0], timeline.patient_id)
    start = st.selectbox(
        "Visits",
        starts,
        key=key.key(timeline.patient_id),
        format_func=lambda n: f"{days[n]} to {days[min(n + IN_A_ROW, len(days)) - 1]}",
        width=280,
    )
    return days[start : start + IN_A_ROW]


def _visit(store: SeenStore, lesion: str, day: str, cell: Cell | None, record: MaskRecord | None) -> None:
    """One timepoint of the lesion: picture, state, volume and who says that it is this lesion."""
    st.markdown(f"**{plain(day)}**")
    if cell is None:
        st.caption("in no accepted mask")
        return
    shown = cell.into[0] if cell.into else lesion
    drawn = None if record is None else lesion_picture(store, record, labels_of(record, shown), lesion)
    if drawn is not None:
        st.image(drawn, width="stretch", alt=f"{lesion} on {day}")
    number = "" if cell.volume_mm3 is None else f"  \n**{millilitres(cell.volume_mm3)} mL**"
    st.markdown(f"{plain(state_words(cell))}{number}", help=plain(cell.why))
    for words in (*diameter_words(cell), *measure_words(cell)):
        st.caption(plain(words))
    version = "" if cell.version is None else f"v{cell.version} · "
    st.caption(version + plain(link_words(cell)))
    for doubt in cell.doubts:
        st.caption(f":orange[:material/warning:] {plain(doubt)}")


def diameter_words(cell: Cell) -> list[str]:
    """The mask's diameters, and what a person set by hand beside each: "longest 28.4 mm · by hand 31.0 mm (ann)"."""
    found = []
    for name, mask_mm, hand_mm, person in (
        ("longest", cell.longest_diameter_mm, cell.hand_longest_diameter_mm, cell.hand_longest_diameter_by),
        ("short axis", cell.short_axis_mm, cell.hand_short_axis_mm, cell.hand_short_axis_by),
    ):
        measured = cell.state == "measured" and mask_mm is not None
        by_hand = "" if hand_mm is None else f"by hand {hand_mm:.1f} mm ({person})"
        if measured or by_hand:
            mask = f"{mask_mm:.1f} mm" if measured else "not measured on the mask"
            found.append(" · ".join(part for part in (f"{name} {mask}", by_hand) if part))
    return found


def measure_words(cell: Cell) -> list[str]:
    """Uptake, density and compartments, a line each; nothing for what is not known. Not escaped."""
    found, lines = cell.measures, list[str]()
    if found is None:
        return []
    if found.suv_max is not None:
        peak = "" if found.suv_peak is None else f", peak {found.suv_peak:.1f}"
        lines.append(f"SUVmax {found.suv_max:.1f}{peak}")
    if found.hu_mean is not None:
        lines.append(f"mean {found.hu_mean:.0f} HU")
    parts = found.compartments_mm3 or {}
    lines += [f"{name} {millilitres(float(volume))} mL" for name, volume in parts.items()]
    return lines


def link_words(cell: Cell) -> str:
    """Who says that this is the lesion."""
    if cell.mask_id is None:
        return "no accepted mask"
    if cell.link is None and cell.into:
        return "as said of an earlier timepoint; nothing was said since"
    if cell.link is None and cell.state not in OF_A_LABEL:
        return "not in this mask; nothing was said of it"
    if cell.link is None:
        return "as numbered in the file; nothing else was said"
    sure = "" if cell.link.confidence is None else f" (confidence {cell.link.confidence:.2f})"
    if cell.link.confirmed_by is None:
        return f"proposed{sure}, nobody has confirmed it"
    return f"confirmed by {cell.link.confirmed_by}{sure}"
