"""The numbers at the head of the trajectory page: where a lesion is, what it last did, and what may come."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st

from core.growth.curves import FLOOR_MM3
from core.growth.forecast import Forecast
from core.twin.trajectory import IntervalChange
from core.types import MM3_PER_ML, VolumePoint
from pages.ui.shared.text import millilitres, plain
from pages.ui.trajectory import growth_panel

BAND_HELP = "The 80 % band: four of five later volumes lie within; fewer where follow-up then ended (see Reliability)."


def summary(points: Sequence[VolumePoint], last: IntervalChange | None, ahead: Forecast) -> None:
    """Four numbers: where it is, what it last did, how fast, and what may come."""
    volume, change, rate, future = st.columns(4)
    volume.metric(f"Volume {plain(points[-1].timepoint)}", f"{millilitres(points[-1].volume_mm3)} mL")
    if last is None:
        change.metric("Last change", "one timepoint", help="A change needs two accepted timepoints.")
        rate.metric("Growth (% per day)", "–", help=growth_panel.SGR_HELP)
    else:
        verdict = last.change
        told = _percent(verdict.percent) if points[-1].volume_mm3 > 0 or points[-2].volume_mm3 > 0 else "absent"
        change.metric(
            f"Last change: {plain(verdict.verdict)}",
            told,
            help=f"{growth_panel.VERDICT_HELP} Rule: {plain(verdict.rule)}. {plain(verdict.why)}",
        )
        speed = verdict.growth_percent_per_day
        per_day = "unknown" if speed is None else f"{growth_panel.bound(verdict)}{speed:+.2f}"
        rate.metric("Growth (% per day)", per_day, help=growth_panel.SGR_HELP)
    if ahead.refused:
        future.metric("Forecast", "refused", help=plain(ahead.refused))
    else:
        weeks = round((ahead.fan.days[-1] - points[-1].days) / 7)
        low, high = (float(limit[-1]) for limit in ahead.fan.limits_mm3(80))
        middle, last_value = (float(fan.median_mm3[-1]) for fan in (ahead.fan, ahead.locf))
        future.metric(
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
