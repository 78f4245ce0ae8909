"""How the lesions grow or shrink, from accepted masks alone, and what may come."""

import streamlit as st

from pages.ui.frame import address, opening, session, shell
from pages.ui.shared.text import plain
from pages.ui.trajectory import (
    events_panel,
    forecast_panel,
    growth_panel,
    response_panel,
    sections,
    summary_panel,
)
from pages.ui.trajectory.patient_state import state_of

AXES = ("Log", "Linear")

st.title(
    "Trajectory",
    help="Growth, response and forecast, made from accepted masks alone; every change says whether it is real.",
)

store, patient = shell.store(), opening.needed_patient()
with shell.guarded():
    state = state_of(store, patient)
    growth_panel.warn_of_unread(state.not_read)
    if not state.series:
        if not state.not_read:  # those were accepted
            opening.nothing_accepted(patient)
        growth_panel.left_out_list(patient, state.left_out)
        st.subheader("Events", divider="gray")
        events_panel.show(store, state.timeline)
        st.stop()

    lesion = growth_panel.lesion_in_effect(patient, list(state.series))
    scale = address.choose("axis", AXES, session.VOLUME_AXIS, default=AXES[0], whose="on this page")
    weeks = forecast_panel.reach_in_effect()
    sections.settle()
    ahead = state.forecast(lesion, weeks or 1)
    shown = sections.Shown(
        store, state, lesion, ahead, ahead if weeks and not ahead.refused else None, scale == AXES[0]
    )

    response_panel.headline(*state.told)
    summary_panel.summary(shown.points, shown.last, ahead, state.response)
    which, axis, future, more = st.columns([4, 2, 4, 2], vertical_alignment="bottom")
    with which:
        growth_panel.choose_lesion(patient, list(state.series))
    axis.segmented_control(
        "Volume axis",
        AXES,
        required=True,
        key=session.VOLUME_AXIS.key(),
        help="On a logarithmic axis steady growth is a straight line.",
    )
    with future:
        forecast_panel.reach()
    all_versions = more.toggle(
        "All versions", help="Also masks that do not count, in grey: proposed, rejected, replaced."
    )
    growth_panel.chart(shown, all_versions)
    growth_panel.after_radiotherapy(state.events, lesion, shown.changes)
    if weeks:
        forecast_panel.forecast_notes(ahead, chances=not state.not_read)
    if state.simulated:
        st.caption(f":orange-badge[simulated] Scans of {plain(', '.join(state.simulated))} are simulated.")
    sections.draw(shown)
