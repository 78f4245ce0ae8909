"""What became of the patients: best change, the course since baseline, time in view."""

import streamlit as st

from core.twin.outcomes import spider_rows, swimmer_rows, waterfall_rows
from pages.ui.cohort import cohort_charts, cohort_panel, swimmer_chart
from pages.ui.frame import address, session, shell

TABS = ("Best change", "Course", "Time in view")

st.title("Cohort")
st.caption("Several patients at once, made from accepted masks alone. Day 0 is a patient's first accepted timepoint.")

store = shell.store()
with shell.guarded():
    address.choose_tab([*TABS, "Left out"], session.COHORT_TAB)
    datasets = cohort_panel.choose_datasets(store.patients.datasets())
    criteria, *numbers = st.columns([2, 1, 1, 1], vertical_alignment="bottom")
    with criteria:
        rule = cohort_panel.choose_rule()
    found = cohort_panel.outcomes(store, rule, datasets)
    outcomes = found.responses
    if not outcomes:
        cohort_panel.nothing_to_show(found)
        st.stop()
    cohort_panel.summary(found, numbers)

    names = [*TABS, f"Left out ({len(found.left_out)})"]
    waterfall, spider, swimmer, missing = address.tabs(names, session.COHORT_TAB)
    with waterfall:
        figure = cohort_charts.waterfall_figure(outcomes, rule)
        cohort_panel.show(figure, "waterfall", rule, waterfall_rows(outcomes), cohort_panel.BEST_HELP)
    with spider:
        figure = cohort_charts.spider_figure(outcomes, rule)
        cohort_panel.show(figure, "spider", rule, spider_rows(outcomes), cohort_panel.COURSE_HELP)
    with swimmer:
        figure = swimmer_chart.swimmer_figure(outcomes, rule)
        cohort_panel.show(figure, "swimmer", rule, swimmer_rows(outcomes), cohort_panel.TIME_HELP)
    with missing:
        cohort_panel.left_out_list(found.left_out)
    cohort_panel.patient_table(outcomes, len(datasets) > 1)
