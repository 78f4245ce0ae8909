"""The numbers at the head of the trajectory page: where a lesion is, what it last did, and what may come."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.growth.curves import FLOOR_MM3
from core.growth.forecast import Forecast
from core.twin.criteria.table import ABOUT
from core.twin.criteria.values import BEFORE_BASELINE, percent
from core.twin.patient_responses import PatientResponses
from core.twin.trajectory import IntervalChange
from core.types import MM3_PER_ML, VolumePoint
from pages.ui.shared.text import millilitres, plain
from pages.ui.trajectory import growth_panel

BAND_HELP = (
    "The 80 % band: four of five later volumes lie within; fewer where follow-up then ended (see Forecast: how far to "
    "trust it). Last value: the volume carried forward as it is (LOCF)."
)


def summary(
    points: Sequence[VolumePoint], last: IntervalChange | None, ahead: Forecast, response: PatientResponses | None
) -> None:
    """Five numbers: the change since baseline and since nadir, what the volume last did, where it is, what may come."""
    baseline, nadir, change, volume, future = st.columns([9, 9, 14, 10, 15])
    _since(baseline, nadir, response)
    _last_change(change, points, last)
    volume.metric(
        f"Volume {plain(points[-1].timepoint)}",
        f"{millilitres(points[-1].volume_mm3)} mL",
        delta=_rate(last),
        delta_color="off",
        delta_arrow="off",
        help=growth_panel.SGR_HELP,
    )
    _forecast(future, points[-1].days, ahead)


def _since(baseline: DeltaGenerator, nadir: DeltaGenerator, response: PatientResponses | None) -> None:
    """What the protocol's criterion measures at the newest visit, against the baseline and the least since then."""
    calls = () if response is None else response.calls
    call = calls[-1] if len(calls) > 1 and calls[-1].call not in ("baseline", BEFORE_BASELINE) else None
    for place, name, reference in (
        (baseline, "baseline", None if call is None else call.baseline),
        (nadir, "nadir", None if call is None else call.nadir),
    ):
        if call is None or response is None:
            place.metric(f"Since {plain(name)}", "–", help="A response needs a visit after the baseline.")
            continue
        measured = ABOUT[call.criterion].title
        changed = percent(call.value, reference)
        gone = call.value == 0 and reference == 0
        place.metric(
            f"Since {plain(name)}",
            "absent" if gone else "not known" if changed is None else f"{changed:+z.0f} %",
            delta=plain(f"{_number(reference, call.unit)} → {_number(call.value, call.unit)} {_unit(call.unit)}"),
            delta_color="off",
            delta_arrow="off",
            help=f"The targets by {plain(measured)}. Baseline: {plain(response.in_force.protocol.baseline)}. "
            "The nadir is the least before this visit, the baseline included.",
        )


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "?"
    return millilitres(value) if unit == "mm3" else f"{value:.1f}"


def _unit(unit: str) -> str:
    return "mL" if unit == "mm3" else unit


def _last_change(place: DeltaGenerator, points: Sequence[VolumePoint], last: IntervalChange | None) -> None:
    if last is None:
        place.metric("Last change", "one timepoint", help="A change needs two accepted timepoints.")
        return
    change = last.change
    if points[-1].volume_mm3 > 0 or points[-2].volume_mm3 > 0:
        label, told = f"Last change: {plain(change.verdict)}", _percent(change.percent)
    else:  # from nothing to nothing is no change that noise could hide
        label, told = "Last change: none", "absent"
    place.metric(
        label,
        told,
        delta=f"since {plain(last.from_timepoint)}",
        delta_color="off",
        delta_arrow="off",
        help=f"Of the volume. {growth_panel.VERDICT_HELP} Rule: {plain(change.rule)}. {plain(change.why)}",
    )


def _rate(last: IntervalChange | None) -> str | None:
    """Growth per day; None where nothing was there that could have grown."""
    if last is None or last.change.growth_percent_per_day is None:
        return None if last is None else "growth unknown"
    if last.change.percent is None or not last.change.log_change:
        return None
    return f"{growth_panel.bound(last.change)}{last.change.growth_percent_per_day:+z.2f} % a day"


def _forecast(place: DeltaGenerator, from_days: float, ahead: Forecast) -> None:
    if ahead.refused:
        place.metric("Forecast", "refused", help=plain(ahead.refused))
        return
    weeks = round((ahead.fan.days[-1] - from_days) / 7)
    low, high = (float(limit[-1]) for limit in ahead.fan.limits_mm3(80))
    middle, last_value = (float(fan.median_mm3[-1]) for fan in (ahead.fan, ahead.locf))
    place.metric(
        f"Forecast in {weeks} weeks",
        "below 5 mm" if _tiny(high) else f"{short(low)}–{short(high)} mL",
        delta="median and last value below 5 mm"
        if _tiny(middle) and _tiny(last_value)
        else f"median {middle / MM3_PER_ML:.1f}, last value {last_value / MM3_PER_ML:.1f} mL",
        delta_color="off",
        delta_arrow="off",
        help=BAND_HELP,
    )


def _tiny(volume_mm3: float) -> bool:
    """True at or below a volume of 5 mm across, where forecasts cannot tell small from absent."""
    return volume_mm3 <= FLOOR_MM3 * (1 + 1e-9)


def short(volume_mm3: float) -> str:
    """Millilitres in two digits that count, never fewer than the whole ones: 0.71, 1.9, 160."""
    if _tiny(volume_mm3):
        return f"<{FLOOR_MM3 / MM3_PER_ML:.2f}"
    return f"{volume_mm3 / MM3_PER_ML:.{max(0, 1 - math.floor(math.log10(volume_mm3 / MM3_PER_ML)))}f}"


def _percent(value: float | None) -> str:
    return "new" if value is None else f"{value:+z.0f} %"
