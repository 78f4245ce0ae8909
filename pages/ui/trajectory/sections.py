"""What lies folded under the chart, in the order in which it is asked for; one that is folded costs nothing.

A section is a row of `SECTIONS`: its name in the address, its title, and what draws it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from pages.ui.frame import address, session
from pages.ui.shared.text import plain
from pages.ui.trajectory import (
    events_panel,
    fits_panel,
    forecast_panel,
    growth_panel,
    protocol_panel,
    response_panel,
    scenario_panel,
    stored_forecasts_panel,
)
from pages.ui.trajectory.patient_state import Shown


@dataclass(frozen=True)
class Section:
    """A folded part of the page.

    Args:
        name: in the address, without a comma or a bracket.
        show: draws it, once it is open.
        count: of what is in it, told beside the title; None: it is not counted.
    """

    name: str
    title: str
    show: Callable[[Shown], None]
    #: Not of what is changed in the section itself: under another title Streamlit folds it.
    count: Callable[[Shown], int] | None = None


def _forecast(shown: Shown) -> None:
    forecast_panel.check_tab(shown.ahead, shown.made_from)
    points, patient = shown.points, shown.state.patient_id
    stored_forecasts_panel.stored_forecasts_of_lesion(shown.store, patient, points, shown.drawn)
    st.markdown("**How often what was said came true, over all patients**")
    forecast_panel.reliability_tab(shown.made_from)


def _points(shown: Shown) -> None:
    state = shown.state
    doubts = state.doubts(shown.lesion)
    rows = growth_panel.point_rows(shown.points, state.accepted, state.reviewers, doubts)
    growth_panel.point_table(state.patient_id, rows)


SECTIONS = (
    Section(
        "Steps",
        "Every step: what changed between visits",
        lambda shown: growth_panel.step_table(shown.changes, shown.points),
    ),
    Section(
        "Response",
        "Response by visit and by criterion",
        lambda shown: response_panel.table(shown.state.response),
    ),
    Section(
        "Protocol",
        "Protocol: criterion, baseline and targets",
        lambda shown: protocol_panel.show(shown.store, shown.state.timeline),
    ),
    Section(
        "Events",
        "Events: treatments, status, what became of the patient",
        lambda shown: events_panel.show(shown.store, shown.state.timeline),
    ),
    Section("Forecast check", "Forecast: how far to trust it", _forecast),
    Section(
        "What if",
        "What if: a treatment simulated",
        lambda shown: scenario_panel.scenario_tab(shown.state.patient_id, shown.points, shown.last),
    ),
    Section(
        "Lesions",
        "All lesions, each alone",
        lambda shown: forecast_panel.lesions_tab(shown.state, shown.log, shown.made_from),
    ),
    Section(
        "Curve fits",
        "Curve fits: which growth law describes it",
        lambda shown: fits_panel.fits_tab(shown.points, shown.log, shown.made_from, shown.state.doubts(shown.lesion)),
    ),
    Section("Points", "Points: where every number comes from", _points),
    Section(
        "Not in the curve",
        "Not in the curve",
        lambda shown: growth_panel.left_out_list(shown.state.patient_id, shown.state.left_out),
        lambda shown: len(shown.state.left_out),
    ),
)
#: What an address from before sections named -> the section that has it now.
FORMER = {"Reliability": "Forecast check"}


def settle() -> None:
    """Which are open, before anything is drawn."""
    address.choose_open([section.name for section in SECTIONS], session.TRAJECTORY_OPEN, FORMER)


def draw(shown: Shown) -> None:
    """All of them; of a folded one its title alone."""
    for section in SECTIONS:
        count = "" if section.count is None else f" ({section.count(shown):d})"
        title, key = f"{plain(section.title)}{count}", session.TRAJECTORY_OPEN.key(section.name)
        box = st.expander(title, key=key, on_change="rerun")
        if box.open:
            with box:
                section.show(shown)
