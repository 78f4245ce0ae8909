"""What if: the controls of a simulation, its figure, and what it assumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from core.errors import InputError
from core.growth import effects
from core.growth.effects import Effect
from core.growth.scenario import ASSUMPTIONS, Simulated, TreatmentPeriod, simulate
from core.twin.radiotherapy import CANNOT_TELL
from core.twin.trajectory import IntervalChange
from core.types import MM3_PER_ML, VolumePoint
from pages.ui.frame import session
from pages.ui.shared import plotting
from pages.ui.shared.text import plain
from pages.ui.trajectory import scenario_charts

HAND, OWN, SOURCE = "By hand", "As this one last changed", "As those of the source grew again"
EIGHT_WEEKS = 56.0


def _percent(rate: float) -> str:
    return f"{100 * np.expm1(rate * EIGHT_WEEKS):+.0f} %"


def _per_day(percent: float) -> float:
    return float(np.log1p(percent / 100.0) / EIGHT_WEEKS)


def scenario_tab(patient: str, points: Sequence[VolumePoint], last: IntervalChange | None) -> None:
    """Start, stop or delay a treatment, and what the laws of growth make of it.

    Args:
        patient: what is tried for one is not tried for another.
        points: one lesion's accepted volumes; last: the newest of `core.twin.trajectory.interval_change`.
    """
    st.warning(f"{ASSUMPTIONS[0]} Nothing here ranks treatments.", icon=":material/science:")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        effect = _effect(patient)
        start, stop = _weeks(patient)
        weeks = int(st.number_input("Weeks ahead", 8, 104, 48, 4, key=session.WHAT_IF.key(patient, "weeks"), width=120))
    growth = _growth(patient, effect, last)
    courses = [] if start is None else [TreatmentPeriod(effect, 7.0 * start, None if stop is None else 7.0 * stop)]
    days = [7.0 * week for week in range(weeks + 1)]
    try:
        treated = simulate(points[-1].volume_mm3, growth, courses, days)
        without = simulate(points[-1].volume_mm3, growth, [], days)
    except InputError as error:
        st.info(plain(error), icon=":material/block:")
        return
    figure = scenario_charts.scenario_figure(points, treated, without if courses else None, courses)
    plotting.draw(figure, "what-if", 400, "Simulated volume under the chosen treatment, millilitres")
    _words(treated, effect, growth, bool(courses))


def _effect(patient: str) -> Effect:
    """The population whose effect is assumed, or one set by hand."""
    known = effects.default_effects()
    names = [HAND, *(e.label for e in known)]
    chosen = st.selectbox(
        "Effect seen in",
        names,
        index=1,
        key=session.WHAT_IF.key(patient, "effect"),
        width=330,
        help="Study arms of Laleh et al. 2022 (10.1371/journal.pcbi.1009822), in the order of the file: rates of their "
        "lesions, first on treatment and growing again. The file numbers its arms; trial and treatment are assumed.",
    )
    if chosen != HAND:
        return known[names.index(chosen) - 1]
    first = st.number_input(
        "First change (% in 8 weeks)", -95.0, 200.0, -30.0, 5.0, key=session.WHAT_IF.key(patient, "first"), width=190
    )
    again = st.number_input(
        "Growing again (% in 8 weeks)", 0.0, 400.0, 30.0, 5.0, key=session.WHAT_IF.key(patient, "again"), width=190
    )
    radiation = st.checkbox("Radiotherapy", key=session.WHAT_IF.key(patient, "radiation"))
    return effects.by_hand(_per_day(first), _per_day(again), radiation)


def _weeks(patient: str) -> tuple[float | None, float | None]:
    treat = st.checkbox("Treat", True, key=session.WHAT_IF.key(patient, "treat"))
    if not treat:
        return None, None
    start = st.number_input("Start in (weeks)", 0, 52, 0, 1, key=session.WHAT_IF.key(patient, "start"), width=130)
    stop = st.number_input(
        "Stop in (weeks)", 1, 104, None, 1, key=session.WHAT_IF.key(patient, "stop"), width=130, placeholder="never"
    )
    return float(start), None if stop is None else float(stop)


def _growth(patient: str, effect: Effect, last: IntervalChange | None) -> tuple[float, float, float]:
    """The untreated rate per day: 10, 50 and 90 %."""
    own = None if last is None else last.change
    if own is not None and own.growth_low95 is None:
        own = None
    options = [SOURCE, HAND] if own is None else [SOURCE, OWN, HAND]
    chosen = st.segmented_control(
        "Untreated growth", options, default=SOURCE, required=True, key=session.WHAT_IF.key(patient, "growth")
    )
    if chosen == OWN and own is not None:
        middle, low, high = (float(x or 0.0) for x in (own.growth_percent_per_day, own.growth_low95, own.growth_high95))
        # The 95 % interval of the rate reaches 1.96, its 10 and 90 % quantiles 1.28 standard deviations.
        half = (high - low) / 2 * 1.2816 / 1.96
        return tuple(float(x) / 100 for x in (middle - half, middle, middle + half))  # type: ignore[return-value]
    if chosen == HAND:
        percent = st.number_input(
            "Growth (% in 8 weeks)", -50.0, 400.0, 30.0, 5.0, key=session.WHAT_IF.key(patient, "rate"), width=190
        )
        return effects.by_hand(0.0, _per_day(percent)).regrowth
    return effect.regrowth


def _people(effect: Effect) -> str:
    return f"{effect.label} in {effect.disease} (trial and treatment assumed), " if effect.disease else ""


def _words(treated: Simulated, effect: Effect, growth: Sequence[float], with_treatment: bool) -> None:
    ends = sorted(float(m[-1]) / MM3_PER_ML for m in treated.medians_mm3.values())
    rates = f"Untreated {_percent(growth[1])} ({_percent(growth[0])} to {_percent(growth[2])}) in eight weeks."
    if with_treatment:
        count = f", {effect.lesions:d} lesions, {effect.regrown:d} of them grew again" if effect.lesions else ""
        rates += (
            f" At first on treatment {_percent(effect.first[1])} ({_percent(effect.first[0])} to "
            f"{_percent(effect.first[2])}): {plain(_people(effect))}{plain(effect.source)}{count}."
        )
    st.caption(
        f"{rates} The choice of growth law alone moves the middle of the end from {ends[0]:.3g} to {ends[-1]:.3g} mL."
    )
    if treated.cannot_tell_from is not None:
        st.warning(f"After radiotherapy, {CANNOT_TELL}: growth in this simulation has no verdict.")
    with st.expander("What is assumed"):
        st.markdown("\n".join(f"- {line}" for line in ASSUMPTIONS))
