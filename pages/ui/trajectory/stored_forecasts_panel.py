"""Forecasts that a person had written down, and what came of them: of one lesion, and of everybody."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import streamlit as st

from core.growth.forecast import MIN_CHECKS, Forecast
from core.growth.population import KIND, MEDIAN, active_population
from core.remembered.untyped import JsonDict, JsonObject, TableRow
from core.twin.stored_forecasts import (
    ForecastVerification,
    find_stored_id,
    forecast_record,
    prospective_performance,
    store_forecast,
    verify_forecasts,
)
from core.types import MM3_PER_ML, TOTAL_LESION_ID, VolumePoint, parse_date
from pages.ui.frame import shell
from pages.ui.guard import rights
from pages.ui.shared import plotting
from pages.ui.shared.text import cells, plain
from pages.ui.trajectory import forecast_panel
from store import SeenStore

KEEP_HELP = (
    "Writes down what is said now, with your name, the masks it rests on and what it was learned from. Later visits "
    "are judged against it, whatever is corrected or learned until then."
)
COLUMN_HELP = {
    "Knew until": "The last timepoint it was made from.",
    "Reaches to": "The last day it speaks of; later visits are not judged.",
    "Days ahead": "From that timepoint to the visit.",
    "Came": "The volume of the accepted mask, against the 80 % band.",
    "Masks": "Whether the masks it was made from are still the accepted ones.",
}
VOLUMES = ("Volume (mL)", "Forecast (mL)", "80 % from", "80 % to", "Last value (mL)")
FEW = 20


def stored_forecasts_of_lesion(
    store: SeenStore, patient: str, points: Sequence[VolumePoint], ahead: Forecast | None
) -> None:
    """Stored forecasts of this lesion, and a button that stores the one shown.

    Args:
        points: the accepted points of one lesion, or of the total, by date.
        ahead: what is shown of it; None when nothing is.
    """
    st.markdown("**Kept forecasts**", help=KEEP_HELP)
    lesion = points[0].lesion_id
    before = [one for one in verify_forecasts(store, patient) if one.lesion_id == lesion]
    if ahead is not None:
        record = forecast_record(ahead, points, active_population(store.reference_sets.all(KIND)))
        if find_stored_id(store, patient, lesion, record):
            st.caption("What is said now is kept.")
        elif st.button(
            "Keep this forecast",
            icon=":material/bookmark_add:",
            **rights.button(store, shell.person(), "growth.fitted", KEEP_HELP),
        ):
            store_forecast(store, patient, lesion, record, shell.person())
            st.rerun()
    if before:
        _table([row for one in reversed(before) for row in _rows(one)])
    else:
        st.caption("None yet. A kept forecast is judged at each visit that comes, as it was said.")


def everybody(store: SeenStore) -> None:
    """How the kept forecasts of all patients did, and each of them."""
    st.caption(
        "Forecasts that somebody kept on the Trajectory page before the visit came (Forecast, Keep this "
        "forecast). Of several kept at one timepoint the first counts."
    )
    found = verify_forecasts(store)
    if not found:
        st.info("No forecast was kept yet. Open a patient's Trajectory and keep one.", icon=":material/bookmark_add:")
        return
    for name, figures in prospective_performance(found).items():
        if figures["forecasts"]:
            _record(name, figures)
    rows = [
        {
            "Patient": one.patient_id,
            "Lesion": "All lesions" if one.lesion_id == TOTAL_LESION_ID else one.lesion_id,
            **row,
        }
        for one in found
        for row in _rows(one)
    ]
    _table(rows)
    plotting.csv_button(rows, "kept_forecasts", "Download (CSV)")


def _record(name: str, figures: JsonObject) -> None:
    st.markdown(f"**{plain(name.capitalize())}**")
    count, visits, inside, skill = st.columns(4)
    count.metric("Forecasts kept", figures["forecasts"], help=f"Patients: {figures['patients']}.")
    visits.metric("Visits that came", figures["visits"], help="A forecast is judged at every visit that it reaches.")
    came = figures["visits"]
    inside.metric(
        "Inside the 80 % band",
        f"{figures['inside80']} of {came}" if came else "–",
        help=f"Four of five should be. Below some {FEW} visits this tells little.",
    )
    shown = "–" if figures["skill_vs_locf"] is None else f"{figures['skill_vs_locf']:+.2f}"
    skill.metric("Skill against last value", shown, help=f"{forecast_panel.SKILL_HELP} From {MIN_CHECKS} visits on.")


def _table(rows: Sequence[TableRow]) -> None:
    number = st.column_config.NumberColumn
    st.dataframe(
        cells(rows),
        hide_index=True,
        column_config={name: st.column_config.TextColumn(help=words) for name, words in COLUMN_HELP.items()}
        | {name: number(format="%.1f") for name in VOLUMES}
        | {"Days ahead": number(format="%d", help=COLUMN_HELP["Days ahead"])},
    )


def _rows(one: ForecastVerification) -> list[TableRow]:
    """One row for each visit that came; when none has, one of what was said of the last day that it reaches."""
    forecast = one.forecast
    ends = parse_date(forecast.origin_timepoint) + dt.timedelta(days=forecast.days_ahead[-1])
    about = {"By": forecast.person, "Knew until": forecast.origin_timepoint}
    visits: list[TableRow] = [
        {
            "Visit": c.target_timepoint,
            "Came": "inside 80 %" if c.inside80 else "outside 80 %",
            "Volume (mL)": c.observed_mm3 / MM3_PER_ML,
            **_forecast_columns(c.median_mm3, c.low80_mm3, c.high80_mm3, c.last_mm3),
            "Days ahead": c.days,
        }
        for c in one.visits
    ]
    end = forecast.quantiles_mm3[-1]
    awaited: JsonDict = {
        "Visit": "",
        "Came": "no visit yet",
        "Volume (mL)": None,
        **_forecast_columns(end[MEDIAN], end[1], end[5], forecast.last_mm3),
        "Days ahead": forecast.days_ahead[-1],
    }
    stored = {
        "Kept": forecast.stored_at[:16].replace("T", " "),
        "Reaches to": ends.isoformat(),
        "Masks": "changed since" if one.masks_replaced else "the same",
    }
    return [{**about, **visit, **stored} for visit in visits or [awaited]]


def _forecast_columns(median_mm3: float, low80_mm3: float, high80_mm3: float, last_mm3: float) -> dict[str, float]:
    """Forecast columns in the order of `VOLUMES`; the observed volume is the column before them."""
    return {
        name: volume / MM3_PER_ML
        for name, volume in zip(VOLUMES[1:], (median_mm3, low80_mm3, high80_mm3, last_mm3), strict=True)
    }
