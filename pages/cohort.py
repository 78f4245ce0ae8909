"""Many patients at once: best change, course over time, and response while treated."""

import streamlit as st

from core.outcomes import cohort
from core.response import DEFAULT_RULE, RULES
from pages.ui import cohort_charts, cohort_panel, opening, plotting, resources, shell

opening.follow()
st.title("Cohort")
st.caption("Everybody with two accepted timepoints, by one rule. It describes; it compares no treatments.")

store = resources.get_store()
with shell.guarded():
    which, how = st.columns([2, 3], vertical_alignment="bottom")
    datasets = store.datasets()
    dataset = which.selectbox("Dataset", ["All", *datasets], key="cohort-dataset")
    rule = how.selectbox(
        "Rule in force", list(RULES), index=list(RULES).index(DEFAULT_RULE), format_func=lambda r: RULES[r].title,
        key="cohort-rule", help=f"Criteria are never pooled. Source: {RULES[DEFAULT_RULE].source}.",
    )  # fmt: skip
    with st.spinner("Reading the accepted masks", show_time=False):
        outcomes, left_out = cohort(store, rule, None if dataset == "All" else dataset)
    if not outcomes:
        st.info("No patient has two accepted timepoints yet. Accept masks in Review; nothing unreviewed is used here.")
        if st.button("Go to the worklist", type="primary"):
            shell.go_to("worklist")
    else:
        cohort_panel.summary(outcomes)
        waterfall, spider, swimmer = st.tabs(["Best change", "Over time", "Response and treatment"])
        with waterfall:
            figure = cohort_charts.waterfall_figure(outcomes, rule)
            plotting.draw(figure, "waterfall", 420, "Best change from baseline of every patient, percent")
        with spider:
            figure = cohort_charts.spider_figure(outcomes, rule)
            plotting.draw(figure, "spider", 460, "Change from baseline over time, percent, a line a patient")
        with swimmer:
            figure = cohort_charts.swimmer_figure(outcomes)
            height = int(figure.layout.height)
            plotting.draw(figure, "swimmer", height, "Days observed, treatments and responses, a bar a patient")
        plotting.export(cohort_panel.course_rows(outcomes), "cohort_course")
        cohort_panel.patient_table(outcomes)
    cohort_panel.left_out_list(left_out)
