"""What became of the patients: best change, the course since baseline, time in view."""

import streamlit as st

from core.twin.outcome_rows import by_criterion, spider_rows, swimmer_rows, waterfall_rows
from pages.ui.cohort import cohort_charts, cohort_panel, swimmer_chart
from pages.ui.frame import address, session, shell

TABS = ("Best change", "Course", "Time in view")

st.title("Cohort")
st.caption("Several patients at once, made from accepted masks alone. Day 0 is the baseline of a patient's protocol.")

store = shell.store()
with shell.guarded():
    address.choose_tab([*TABS, "Left out"], session.COHORT_TAB)
    datasets = cohort_panel.choose_datasets(store.patients.datasets())
    by, *numbers = st.columns([3, 1, 1, 1, 1], vertical_alignment="bottom")
    with by:
        criterion = cohort_panel.choose_criterion()
    found = cohort_panel.outcomes(store, criterion, datasets)
    outcomes = found.responses
    if not outcomes:
        cohort_panel.nothing_to_show(found)
        st.stop()
    cohort_panel.summary(outcomes, numbers)

    names = [*TABS, f"Left out ({len(found.left_out)})"]
    criteria = list(by_criterion(outcomes))
    waterfall, spider, swimmer, missing = address.tabs(names, session.COHORT_TAB)
    with waterfall:
        figure = cohort_charts.waterfall_figure(outcomes)
        cohort_panel.show(figure, "waterfall", criteria, waterfall_rows(outcomes), cohort_panel.BEST_HELP)
    with spider:
        figure = cohort_charts.spider_figure(outcomes)
        cohort_panel.show(figure, "spider", criteria, spider_rows(outcomes), cohort_panel.COURSE_HELP)
    with swimmer:
        figure = swimmer_chart.swimmer_figure(outcomes)
        cohort_panel.show(figure, "swimmer", criteria, swimmer_rows(outcomes), cohort_panel.TIME_HELP)
    with missing:
        cohort_panel.left_out_list(found.left_out)
    cohort_panel.patient_table(outcomes, len(datasets) > 1)
