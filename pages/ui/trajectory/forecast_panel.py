"""The parts of the trajectory page about what may come: words, the check on this patient, how far to believe it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import streamlit as st

from core.growth.forecast import MIN_CHECKS, Forecast
from core.growth.population import KIND, active_population
from core.growth.response_thresholds import RECIST_SPHERE_PD_PERCENT, RECIST_SPHERE_PR_PERCENT
from core.types import MM3_PER_ML, TOTAL_LESION_ID
from pages.ui.frame import address, session, shell
from pages.ui.shared import plotting
from pages.ui.shared.text import cells, plain
from pages.ui.trajectory import forecast_charts, growth_charts
from pages.ui.trajectory.patient_state import PatientState

#: What can be chosen -> weeks.
REACH = {"None": 0, "12": 12, "24": 24, "48": 48}
SKILL_HELP = (
    "1 - error of this forecast / error of the last value carried forward (LOCF), over forecasts of visits that have "
    "come. Above 0 the forecast did better; 0 where it is the last value."
)
#: A skill nearer to 0 is none.
CLOSE = 0.02
EVENT_WORDS = {
    "progression": f"at least {RECIST_SPHERE_PD_PERCENT:g} % above the nadir (progression by volume)",
    "partial response": f"at least {-RECIST_SPHERE_PR_PERCENT:g} % below the baseline (partial response by volume)",
}


def reach_in_effect() -> int:
    """Weeks ahead, as chosen; 0 for no forecast. Ends the page where the address asks for another."""
    return REACH[address.choose("weeks", list(REACH), session.FORECAST_WEEKS, default="12", whose="on this page")]


def reach() -> None:
    """The widget that `reach_in_effect` has settled."""
    st.segmented_control(
        "Forecast (weeks)",
        list(REACH),
        required=True,
        key=session.FORECAST_WEEKS.key(),
        help="Beside the last value carried forward. It ends where the time observed or the data behind it end.",
    )


def forecast_notes(ahead: Forecast, chances: bool = True) -> None:
    """What the forecast rests on, how good it was on this patient, or why there is none.

    Args:
        chances: false where baseline and nadir are not known, so that nothing can be said of a response.
    """
    if ahead.refused:
        st.info(plain(" ".join([ahead.refused, *ahead.warnings])), icon=":material/block:")
        return
    skill = _told_skill(ahead)
    learned = f"{SKILL_HELP} Learned from: {plain(ahead.learned_from)}."
    st.caption(f"{plain(' '.join(ahead.notes))} {skill}", help=learned)
    if not chances:
        st.caption("How likely progression or response is cannot be said while accepted masks cannot be read.")
        return
    for event, likely in ahead.probabilities.items():
        if len(likely):
            weeks = round((ahead.fan.days[-1] - ahead.fan.days[0]) / 7)
            st.markdown(f"**{likely[-1]:.0%}** chance to be {EVENT_WORDS[event]} in {weeks} weeks")


def _told_skill(ahead: Forecast) -> str:
    """How good the forecast was on this patient, for a clinician; what skill is stands on hover."""
    skill = ahead.skill_vs_locf
    if skill is None:
        return f"How good it is on this patient is not known: that needs {MIN_CHECKS} forecasts whose visits have come."
    closer = (
        "closer to what came than" if skill > CLOSE else "farther from it than" if skill < -CLOSE else "as close as"
    )
    inside = sum(check.inside80 for check in ahead.checks)
    return (
        f"On this patient's own visits it was {closer} the last value carried forward (skill {skill:+z.2f}); "
        f"{inside} of {len(ahead.checks)} visits came inside the 80 % band."
    )


def check_tab(ahead: Forecast, made_from: str) -> None:
    """The hindcasts: forecasts from each visit for the next, with the observed volumes."""
    if not ahead.checks:
        st.caption("The first forecast that can be checked is of the fourth usable visit.")
        return
    st.caption(
        "The forecast of each visit for the next one, from what was known then, beside the volume that was observed."
    )
    plotting.draw(
        partial(forecast_charts.checks_figure, ahead.checks),
        f"checks-{ahead.lesion_id}",
        320,
        "Forecasts of past visits",
        made_from=made_from,
    )
    number = st.column_config.NumberColumn
    st.dataframe(
        cells(
            [
                {
                    "Forecast of": c.origin_timepoint,
                    "For": c.target_timepoint,
                    "Days ahead": c.days,
                    "Forecast (mL)": c.median_mm3 / MM3_PER_ML,
                    "80 % from": c.low80_mm3 / MM3_PER_ML,
                    "80 % to": c.high80_mm3 / MM3_PER_ML,
                    "Last value (mL)": c.last_mm3 / MM3_PER_ML,
                    "Observed (mL)": c.observed_mm3 / MM3_PER_ML,
                    "Inside 80 %": c.inside80,
                }
                for c in ahead.checks
            ]
        ),
        hide_index=True,
        column_config={
            name: number(format="%.1f")
            for name in ("Forecast (mL)", "80 % from", "80 % to", "Last value (mL)", "Observed (mL)")
        }
        | {"Days ahead": number(format="%d")},
    )


def reliability_tab(made_from: str) -> None:
    """How often what was said came true, in patients from whom nothing was learned."""
    population = active_population(shell.store().reference_sets.all(KIND))
    st.caption(
        f"Over {population.lesions:d} lesions ({plain(population.source)}): how often each chance that was given came "
        "true. A chance is shown only while it is off by no more than 3 points on average."
    )
    if population.next_scan:
        st.caption(_bands(population.next_scan))
    for event, place in zip(population.reliability, st.columns(len(population.reliability)), strict=True):
        facts = population.reliability[event]
        with place:
            state = "shown" if facts["calibrated"] else "not shown"
            off = f"off by {100 * facts['mean_error']:.1f} points on average, {state}"
            st.markdown(f"**{plain(event.capitalize())}**: {off}")
            plotting.draw(
                partial(forecast_charts.reliability_figure, facts["bins"], event),
                f"reliability-{event}",
                300,
                f"Reliability of the chance of {event}",
                made_from=made_from,
            )


def _bands(next_scan: Mapping[str, Mapping[str, float]]) -> str:
    every, last, others = (next_scan[name] for name in ("any", "the last", "not the last"))
    return (
        f"The next visit came inside the 80 % band in {every['inside80']:.0%} of {every['forecasts']:,.0f} forecasts. "
        f"Of visits after which follow-up ended it was {last['inside80']:.0%}, with {last['above80']:.0%} above the "
        f"band; of the others {others['inside80']:.0%}, with {others['above80']:.0%} above. Follow-up tends to end "
        "where a lesion has grown, so growth that ends it is foretold too seldom."
    )


def lesions_tab(state: PatientState, log: bool, made_from: str) -> None:
    """Every lesion alone, on one scale."""
    lesions = {name: points for name, points in state.series.items() if name != TOTAL_LESION_ID}
    doubts = {name: state.doubts(name) for name in lesions}
    plotting.draw(
        partial(growth_charts.lesions_figure, lesions, log, doubts),
        f"lesions-{log}",
        growth_charts.lesions_height(len(lesions)),
        "Volume of each lesion over time, millilitres",
        made_from=made_from,
    )
