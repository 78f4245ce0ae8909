"""How the lesions grow or shrink, from accepted masks alone, and what may come."""

import streamlit as st

from core.twin import curve, trajectory
from core.twin.timeline import patient_timeline
from core.twin.timeline_changes import lesion_changes
from core.twin.timeline_response import response_points
from pages.ui.frame import address, opening, resources, session, shell
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
    summary_panel,
)

AXES = ("Log", "Linear")
TABS = (
    "Steps",
    "Response",
    "Protocol",
    "Events",
    "What if",
    "Forecast check",
    "Reliability",
    "Lesions",
    "Curve fits",
    "Points",
)

st.title("Trajectory")
st.caption("Growth, response and forecast, made from accepted masks alone; every change says whether it is real.")

store, patient = shell.store(), opening.needed_patient()
with shell.guarded():
    timeline = patient_timeline(store, patient)
    lesions = trajectory.points_by_lesion(timeline.points)
    left_out, not_read = curve.exclusions(timeline), trajectory.not_read_of(timeline)
    growth_panel.warn_of_unread(not_read)
    if not lesions:
        if not not_read:  # those were accepted
            opening.nothing_accepted(patient)
        growth_panel.left_out_list(patient, left_out)
        st.subheader("Events", divider="gray")
        events_panel.show(store, timeline)
        st.stop()

    response = response_panel.responses(store, timeline)
    response_panel.headline(response)
    records = trajectory.accepted_masks_by_timepoint(store, patient)
    names = [*TABS, f"Not in the curve ({len(left_out)})"]
    which, axis, future, more = st.columns([4, 2, 4, 2], vertical_alignment="bottom")
    lesion = growth_panel.lesion_in_effect(patient, list(lesions))
    scale = address.choose("axis", AXES, session.VOLUME_AXIS, default=AXES[0], whose="on this page")
    weeks = forecast_panel.reach_in_effect()
    growth_panel.rule_in_effect()
    address.choose_tab(names, session.TRAJECTORY_TAB)
    with which:
        growth_panel.choose_lesion(patient, list(lesions))
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

    points = lesions[lesion]
    changes = lesion_changes(timeline, lesion)
    noise = trajectory.noise_by_mask(timeline.visits, lesion, timeline.installation)
    ahead = resources.forecast(lesions, lesion, trajectory.weekly_days(weeks or 1), noise)
    summary_panel.summary(points, changes[-1] if changes else None, ahead)
    drawn = ahead if weeks and not ahead.refused else None
    growth_panel.chart(timeline, lesion, noise, drawn, scale == "Log", all_versions)
    growth_panel.after_radiotherapy(patient, lesion, changes)
    if weeks:
        forecast_panel.forecast_notes(ahead, chances=not not_read)
    simulated = [s.timepoint for s in store.scans.of(patient) if s.metadata.get("simulated")]
    if simulated:
        st.caption(f":orange-badge[simulated] Scans of {plain(', '.join(dict.fromkeys(simulated)))} are simulated.")

    step_tab, response_tab, protocol_tab, event_tab, what_if_tab, *further = address.tabs(names, session.TRAJECTORY_TAB)
    check_tab, reliability_tab, lesion_tab, fit_tab, point_tab, missing_tab = further
    with step_tab:
        growth_panel.step_table(changes, points)
    with response_tab:
        response_panel.table(response)
        st.subheader("By the sum of volumes", divider="gray")
        growth_panel.response_table(response_points(timeline))
    with protocol_tab:
        protocol_panel.show(store, timeline)
    with event_tab:
        events_panel.show(store, timeline)
    with what_if_tab:
        scenario_panel.scenario_tab(patient, points, changes[-1] if changes else None)
    with check_tab:
        forecast_panel.check_tab(ahead)
        stored_forecasts_panel.stored_forecasts_of_lesion(store, patient, points, drawn)
    with reliability_tab:
        forecast_panel.reliability_tab()
    with lesion_tab:
        forecast_panel.lesions_tab(lesions, scale == "Log")
    with fit_tab:
        fits_panel.fits_tab(points, scale == "Log")
    with point_tab:
        reviewers = curve.accepted_by(store.decisions.of(patient))
        growth_panel.point_table(patient, growth_panel.point_rows(points, records, reviewers))
    with missing_tab:
        growth_panel.left_out_list(patient, left_out)
