"""What is measured of a version, in a window of its own: one row a lesion, one lesion's histogram, and a CSV file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from core.report.csv_text import csv_text
from core.review.measure_table import csv_rows, definition, measure_rows, not_known
from core.review.scan_measures import ScanMeasure
from core.types import MaskRecord
from pages.ui.frame import measured
from pages.ui.shared.text import cells, figure_text, plain
from store import SeenStore

HISTOGRAM_PX = 240
#: Rows of the table in sight, and its height in pixels where there are more.
ROWS_IN_SIGHT, TABLE_HEIGHT = 6, 250
#: Columns of CT and MR that the table leaves to the CSV file.
_IN_FILE_ALONE = ("median", "P5", "P25", "P75", "P95")


def measures_panel(store: SeenStore, record: MaskRecord | None) -> None:
    """A button that opens the window; nothing is measured before."""
    if record is None or not record.lesions:
        return
    pressed = st.button(
        "Measures of the mask",
        icon=":material/table_chart:",
        key=f"measures-{record.mask_id}",
        help="Volume, diameters, and what the scans show in each lesion: HU, SUV, compartments.",
        width="stretch",
    )
    if pressed:
        measures_dialog(store, record)


@st.dialog("Measures of the mask", width="large")
def measures_dialog(store: SeenStore, record: MaskRecord) -> None:
    """The table, why something in it is empty, and one lesion's histogram."""
    scans = store.scans.of(record.patient_id, record.timepoint)
    found = measured.version_measures(record, scans)
    st.caption(f"{plain(record.patient_id)} on {plain(record.timepoint)}, version {record.version}")
    rows = measure_rows(record, found)
    shown = [name for name in rows[0] if not any(f" {word} (" in name for word in _IN_FILE_ALONE)]
    config = {
        name: st.column_config.NumberColumn(
            help=definition(name), format="%.2f" if "mL" in name or name == "Network" else "%.1f"
        )
        for name in shown
        if name not in ("Lesion", "Slices")
    }
    config |= {"Slices": st.column_config.NumberColumn(help=definition("Slices"))}
    config |= {"Lesion": st.column_config.TextColumn(pinned=True)}
    st.dataframe(
        cells([{name: row[name] for name in shown} for row in rows]),
        hide_index=True,
        width="stretch",
        height="content" if len(rows) <= ROWS_IN_SIGHT else TABLE_HEIGHT,
        column_config=config,
    )
    st.caption("Point at a column's name for what it is. The file has percentiles as well.")
    for sentence in not_known(record, found):
        st.caption(f":material/info: {plain(sentence)}")
    _histogram(record, found.scans)
    st.download_button(
        "CSV",
        csv_text(csv_rows(record, found, store.verdicts.standing(record))),
        f"measures-{record.patient_id}-{record.timepoint}-v{record.version}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _histogram(record: MaskRecord, scans: Sequence[ScanMeasure]) -> None:
    """Of one lesion on one scan, as chosen."""
    lesion_of = {int(lesion["label"]): str(lesion["lesion_id"]) for lesion in record.lesions}
    drawable = [one for one in scans if one.seen is not None and one.seen.histogram is not None]
    if not drawable:
        return
    first, second = st.columns(2)
    labels = list(dict.fromkeys(one.label for one in drawable))
    label = first.selectbox(
        "Histogram of", labels, format_func=lambda n: plain(lesion_of[n]), key=f"histogram-lesion-{record.mask_id}"
    )
    channels = {one.channel: one for one in drawable if one.label == label}
    channel = second.selectbox("On", list(channels), format_func=plain, key=f"histogram-scan-{record.mask_id}-{label}")
    if channel is None:
        return
    figure = histogram_figure(channels[channel])
    words = f"Histogram of {lesion_of[label]} on the {channel}"
    st.plotly_chart(
        figure, key=f"histogram-{record.mask_id}-{label}-{channel}", config={"displayModeBar": False}, alt=words
    )


def histogram_figure(measure: ScanMeasure) -> go.Figure:
    """Voxels by value, with the mean as a line."""
    assert measure.seen is not None
    assert measure.seen.histogram is not None
    edges, counts = measure.seen.histogram.edges, measure.seen.histogram.counts
    middles = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    widths = [high - low for low, high in itertools.pairwise(edges)]
    figure = go.Figure(go.Bar(x=middles, y=counts, width=widths, hovertemplate="%{x:.3g}: %{y} voxels<extra></extra>"))
    if measure.seen.mean is not None:
        figure.add_vline(
            x=measure.seen.mean, line_dash="dot", line_color="gray", annotation_text=f"mean {measure.seen.mean:.3g}"
        )
    figure.update_layout(
        height=HISTOGRAM_PX,
        margin={"l": 10, "r": 10, "t": 24, "b": 10},
        bargap=0.05,
        xaxis_title=figure_text(f"{measure.channel} ({measure.unit})"),
        yaxis_title="voxels",
    )
    return figure
