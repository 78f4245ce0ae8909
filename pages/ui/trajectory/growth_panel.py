"""The parts of the trajectory page: summary, chart, and the tables below it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial

import plotly.graph_objects as go
import streamlit as st

from core.growth.curves import FLOOR_MM3
from core.growth.forecast import Forecast
from core.remembered.rows import Event
from core.remembered.untyped import TableRow
from core.twin import curve, trajectory
from core.twin.change import Change
from core.twin.radiotherapy import cannot_tell
from core.twin.trajectory import IntervalChange
from core.twin.volume_lines import volume_lines
from core.types import MM3_PER_ML, TOTAL_LESION_ID, MaskRecord, VolumePoint
from pages.ui.frame import address, opening, session
from pages.ui.shared import plotting
from pages.ui.shared.text import cells, plain
from pages.ui.trajectory import growth_charts
from pages.ui.trajectory.patient_state import Shown

TIMES = ["All", "Recent"]
#: High enough to read, low enough to stand with what is above it on a screen of 900 pixels.
CHART_PX = 400
VERDICT_HELP = (
    "real: more than measuring the same lesion twice would give, by the rule named. within noise: not more. "
    "unknown: no rule holds for both ends."
)
SGR_HELP = (
    "Specific growth rate ln(V2/V1)/days, % per day, with its 95 % interval from the noise that the verdict is by, or "
    "an assumed one where there is no verdict. ≤: the lesion is gone and counted as 5 mm across: a bound."
)
DOUBLING_HELP = "ln 2 / growth rate, of real changes alone: within noise, growth cannot be told from no growth."


def _total_first(lesions: Sequence[str]) -> list[str]:
    return [TOTAL_LESION_ID, *[name for name in lesions if name != TOTAL_LESION_ID]]


def lesion_in_effect(patient: str, lesions: Sequence[str]) -> str:
    """Total or one lesion; total to begin with. Ends the page where the address asks for another."""
    names, key = _total_first(lesions), session.TRAJECTORY_LESION
    return address.choose("lesion", names, key, patient, default=TOTAL_LESION_ID, whose=f"of {patient}")


def choose_lesion(patient: str, lesions: Sequence[str]) -> None:
    """The widget that `lesion_in_effect` has settled."""
    st.segmented_control(
        "Volume of",
        _total_first(lesions),
        required=True,
        key=session.TRAJECTORY_LESION.key(patient),
        format_func=lambda name: "All lesions" if name == TOTAL_LESION_ID else plain(name),
        help="A lesion keeps its number through all timepoints of the patient.",
    )


def chart(shown: Shown, with_others: bool) -> None:
    """The growth figure of one lesion, and its data as a file; a click on a point opens its scan."""
    state, lesion, points, ahead = shown.state, shown.lesion, shown.points, shown.drawn
    patient = state.patient_id
    since = _shown_since(patient, points, ahead)
    low, high = volume_range([p for p in points if since is None or p.days >= since], ahead)

    def made() -> go.Figure:
        figure = _figure(shown, with_others, since)
        ends = [math.log10(low / MM3_PER_ML), math.log10(high / MM3_PER_ML)] if shown.log else [0, high / MM3_PER_ML]
        return figure.update_layout(yaxis_range=ends)

    plotting.draw(
        made,
        f"growth-{lesion}-{shown.log}",
        CHART_PX,
        f"Volume of {lesion} over time, millilitres",
        made_from=f"{shown.made_from}/{with_others}/{since}",
        on_point=partial(_open_scan, patient, lesion),
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        plotting.export(chart_rows(points, ahead, state.doubts(lesion)), f"{patient}_{lesion}_growth")
        if _recent_days(points, ahead) is not None:
            st.segmented_control(
                "Time shown",
                TIMES,
                default=TIMES[0],
                required=True,
                key=session.TIME_SHOWN.key(patient),
                help="Recent: three times as long as is looked ahead.",
            )
        st.caption("A click on a point opens its scan in Review.")
    if ahead is not None and ahead.fan.days.size:
        bottom, top = ahead.fan.limits_mm3(95)
        if max(top) > high or min(bottom) < low:
            st.caption("The 95 % band runs beyond the chart.")


def _figure(shown: Shown, with_others: bool, since: float | None) -> go.Figure:
    state, lesion, points = shown.state, shown.lesion, shown.points
    baseline_mm3 = next((point.volume_mm3 for point in points if point.timepoint == state.baseline), None)
    days = {point.timepoint for point in points}
    return growth_charts.growth_figure(
        {lesion: points},
        shown.drawn,
        log=shown.log,
        since_days=since,
        unit="mL",
        events=curve.events_on_axis(state.events, state.first),
        treatments=curve.treatments(state.events, state.first),
        others=curve.other_versions(state.masks, state.first, lesion),
        others_drawn=with_others,
        noise_log_sd=state.noise(lesion),
        reviewers=state.reviewers,
        lines=volume_lines(state.response, baseline_mm3) if len(points) > 1 else None,
        baseline=state.baseline,
        doubts=state.doubts(lesion),
        missing={day: why for day, why in state.left_out.items() if day not in days},
    )


def _open_scan(patient: str, lesion: str, point: list[str]) -> None:
    """For a click on a point of the chart, by what it says of itself: timepoint and version."""
    timepoint, version = point
    opening.open_in_review(patient, timepoint, int(version), None if lesion == TOTAL_LESION_ID else lesion)


def _recent_days(points: Sequence[VolumePoint], ahead: Forecast | None) -> float | None:
    """Days before the last point that "Recent" shows; None where nothing would be left out by it."""
    days_ahead = float(ahead.fan.days[-1]) - points[-1].days if ahead is not None and ahead.fan.days.size else 0.0
    recent = 3.0 * max(days_ahead, 84.0)
    return recent if points[-1].days - points[0].days > recent else None


def _shown_since(patient: str, points: Sequence[VolumePoint], ahead: Forecast | None) -> float | None:
    """First day of the time axis; None for everything."""
    recent = _recent_days(points, ahead)
    asked = session.TIME_SHOWN.get(patient) == TIMES[1]
    return points[-1].days - recent if asked and recent is not None else None


def after_radiotherapy(events: Sequence[Event], lesion: str, changes: Sequence[IntervalChange]) -> None:
    """Says so where the last change is growth after radiotherapy, and more than noise: it has no verdict."""
    if not changes or changes[-1].change.verdict == "within noise":
        return
    last = changes[-1]
    state = cannot_tell(events, last.to_timepoint, last.change.percent)
    if state:
        name = "All lesions" if lesion == TOTAL_LESION_ID else plain(lesion)
        st.warning(f"{name}: {plain(state)}. The last change has no verdict of response.", icon=":material/help:")


def chart_rows(
    points: Sequence[VolumePoint], ahead: Forecast | None, doubts: Mapping[str, Sequence[str]]
) -> list[TableRow]:
    """The chart's rows: observed volumes with what is doubted of them, forecast and last value carried forward, with
    their limits, mL. Args: doubts: mask id -> sentences."""
    limits = [f"{end}{percent}_mL" for percent in (50, 80, 95) for end in ("low", "high")]
    rows: list[TableRow] = [
        {
            "kind": "observed",
            "lesion": p.lesion_id,
            "day": p.days,
            "volume_mL": p.volume_mm3 / MM3_PER_ML,
            **dict.fromkeys(limits, ""),
            "mask_id": p.mask_id,
            "doubts": " ".join(doubts.get(p.mask_id, ())),
        }
        for p in points
    ]
    fans = {} if ahead is None else {"forecast": ahead.fan, "last value carried forward": ahead.locf}
    for kind, fan in fans.items():
        bands = {
            f"{end}{percent}_mL": fan.limits_mm3(percent)[n] / MM3_PER_ML
            for percent in (50, 80, 95)
            for n, end in enumerate(("low", "high"))
        }
        rows += [
            {
                "kind": kind,
                "lesion": points[0].lesion_id,
                "day": float(day),
                "volume_mL": float(fan.median_mm3[n] / MM3_PER_ML),
                **{name: float(band[n]) for name, band in bands.items()},
                "mask_id": "",
                "doubts": "",
            }
            for n, day in enumerate(fan.days)
        ]
    return rows


def volume_range(points: Sequence[VolumePoint], ahead: Forecast | None) -> tuple[float, float]:
    """(low, high) of the volume axis, mm3: what was observed fills it, and no limit of a forecast may flatten that."""
    seen = [max(p.volume_mm3, FLOOR_MM3) for p in points if math.isfinite(p.volume_mm3)]
    low, high = min(seen) / 1.5, 1.5 * max(seen)
    if ahead is not None and ahead.fan.days.size:
        limits = [fan.limits_mm3(80) for fan in (ahead.fan, ahead.locf)]
        high = max(high, min(1.1 * max(max(top) for _, top in limits), 3 * max(seen)))
        low = min(low, max(0.9 * min(min(bottom) for bottom, _ in limits), min(seen) / 5))
    return low, high


def step_table(changes: Sequence[IntervalChange], points: Sequence[VolumePoint]) -> None:
    """One row from each accepted timepoint to the next."""
    if not changes:
        st.caption("A change needs two accepted timepoints.")
        return
    rows = [
        {
            "From": step.from_timepoint,
            "To": step.to_timepoint,
            "Days": b.days - a.days,
            "Volume (mL)": b.volume_mm3 / MM3_PER_ML,
            "Change (%)": step.change.percent,
            "Verdict": step.change.verdict,
            "Growth (% per day)": _rate(step.change),
            "Doubling time": doubling(step.change),
            "Rule": step.change.rule,
            "Note": step.change.why,
        }
        for step, (a, b) in zip(changes, itertools.pairwise(points), strict=True)
    ]
    st.dataframe(
        cells(rows),
        hide_index=True,
        column_config={
            "Volume (mL)": st.column_config.NumberColumn(format="%.2f", help="At the later timepoint."),
            "Change (%)": st.column_config.NumberColumn(format="%+.0f", help="Of the earlier volume."),
            "Days": st.column_config.NumberColumn(format="%d"),
            "Verdict": st.column_config.TextColumn(help=VERDICT_HELP),
            "Growth (% per day)": st.column_config.TextColumn(help=SGR_HELP),
            "Doubling time": st.column_config.TextColumn(help=DOUBLING_HELP),
        },
    )


def bound(change: Change) -> str:
    """A sign before a rate that is a bound and no estimate, because the lesion is gone and counted as 5 mm across."""
    return "≤ " if change.is_bound else ""


def _rate(change: Change) -> str:
    """With a minus sign and no plus: text that begins with "+" or "-" is a formula where the table is saved as CSV."""
    if change.growth_percent_per_day is None:
        return "unknown"
    told = f"{bound(change)}{change.growth_percent_per_day:.2f}"
    if change.growth_low95 is not None:
        told += f" ({change.growth_low95:.2f} to {change.growth_high95:.2f})"
    return told.replace("-", "\u2212")


def doubling(change: Change) -> str:
    """Doubling or halving time in days with its interval, or that there is none."""
    if change.doubling_days is None:
        return "unknown" if change.verdict == "unknown" else change.growth_text
    kind = "doubling" if change.doubling_days > 0 else "halving"
    near, far = sorted(abs(end or math.nan) for end in (change.doubling_low_days, change.doubling_high_days))
    return f"{kind} in {abs(change.doubling_days):.0f} days ({near:.0f}–{far:.0f})"


def point_rows(
    points: Sequence[VolumePoint],
    records: Mapping[str, MaskRecord],
    reviewers: Mapping[str, str],
    doubts: Mapping[str, Sequence[str]],
) -> list[TableRow]:
    """The points with where they come from and what is doubted of them, for the table and the CSV."""
    return [
        {
            "timepoint": p.timepoint,
            "days": p.days,
            "lesion": p.lesion_id,
            "volume_mL": round(p.volume_mm3 / MM3_PER_ML, 4),
            "longest_diameter_mm": round(trajectory.diameter_mm(records[p.timepoint], p.lesion_id), 2),
            "mask_version": p.version,
            "method": records[p.timepoint].method,
            "accepted_by": reviewers.get(p.mask_id, "unknown"),
            "doubts": " ".join(doubts.get(p.mask_id, ())),
            "mask_id": p.mask_id,
        }
        for p in points
    ]


def point_table(patient: str, rows: Sequence[TableRow]) -> None:
    """Every point of the curve and its mask; as a CSV file too."""
    st.dataframe(
        cells(rows),
        hide_index=True,
        column_config={
            "volume_mL": st.column_config.NumberColumn("Volume (mL)", format="%.2f"),
            "longest_diameter_mm": st.column_config.NumberColumn(
                "Longest diameter (mm)", format="%.1f", help="In an axial slice; of the largest lesion for the total."
            ),
        },
    )
    plotting.csv_button(rows, f"{patient}_volumes", "Download points (CSV)")


def warn_of_unread(not_read: Mapping[str, str]) -> None:
    """Says which accepted masks are in nothing below, as their files cannot be read: `unreadable_accepted_masks`."""
    if not_read:
        days = ", ".join(f"{timepoint} ({why})" for timepoint, why in not_read.items())
        st.warning(
            f"Accepted, but not in the curve, since the mask cannot be read: {plain(days)}. Their volumes are not "
            "known, so a baseline or nadir among them is not known either. Open them in Review, or restore the files.",
            icon=":material/warning:",
        )


def left_out_list(patient: str, left_out: Mapping[str, str]) -> None:
    """Timepoints without an accepted mask, and a way to decide each."""
    if not left_out:
        st.caption("Every timepoint is in the curve.")
    for timepoint, why in left_out.items():
        date, reason, button = st.columns([2, 6, 2], vertical_alignment="center")
        date.markdown(f"**{plain(timepoint)}**")
        reason.markdown(plain(why))
        button.button(
            "Review",
            key=f"review/{patient}/{timepoint}",
            on_click=opening.open_in_review,
            args=(patient, timepoint),
            width="stretch",
        )
