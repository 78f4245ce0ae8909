"""The parts of the cohort page beside its figures: counts, the table, and who is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.outcomes import PatientOutcome
from pages.ui import shell

_FLAG = "cohort-to-trajectory"


def summary(outcomes: Sequence[PatientOutcome]) -> None:
    """How many of each best response."""
    counts: Counter[str] = Counter(o.best for o in outcomes)
    words = {"CR": "Complete response", "PR": "Partial response", "SD": "Stable", "PD": "Progressive"}
    for (category, word), place in zip(words.items(), st.columns(4), strict=True):
        place.metric(word, f"{counts[category]} of {len(outcomes)}", help="Best response after baseline by this rule.")


def course_rows(outcomes: Sequence[PatientOutcome]) -> list[dict[str, Any]]:
    """Every response of every patient, for the file."""
    return [
        {
            "patient": o.patient_id, "dataset": o.dataset, "timepoint": r.timepoint,
            "days_since_baseline": r.days - o.responses[0].days, "volume_mL": r.volume_mm3 / 1000.0,
            "change_from_baseline_percent": r.change_from_baseline_percent,
            "change_from_nadir_percent": r.change_from_nadir_percent, "response": r.category,
            "new_lesions": " ".join(r.new_lesions), "rule": r.rule,
        }
        for o in outcomes for r in o.responses
    ]  # fmt: skip


def patient_table(outcomes: Sequence[PatientOutcome]) -> None:
    """One row a patient; a chosen row's patient can be opened."""
    rows = [
        {
            "Patient": o.patient_id, "Dataset": o.dataset, "Timepoints": len(o.responses), "Best response": o.best,
            "Best change (%)": o.best_change_percent, "Last response": o.responses[-1].category,
            "Progression after (days)": o.progressed_days, "Observed (days)": o.followed_days,
        }
        for o in outcomes
    ]  # fmt: skip
    number = st.column_config.NumberColumn
    chosen = st.dataframe(
        rows, hide_index=True, key="cohort-table", on_select="rerun", selection_mode="single-row",
        column_config={
            "Best change (%)": number(format="%+.0f", help="Least volume of the baseline lesions, from baseline."),
            "Progression after (days)": number(format="%d", help="From baseline to the first progression."),
            "Observed (days)": number(format="%d", help="From the first to the last timepoint, accepted or not."),
        },
    )  # fmt: skip
    if st.session_state.pop(_FLAG, False):
        shell.go_to("trajectory")
    for row in chosen.selection.rows:
        patient = outcomes[row].patient_id
        st.button(f"Open {patient} in Trajectory", type="primary", on_click=_open, args=(patient,))


def _open(patient: str) -> None:
    shell.choose_patient(patient)
    st.session_state[_FLAG] = True


def left_out_list(left_out: Mapping[str, str]) -> None:
    """Who is not in the figures, and why."""
    if left_out:
        with st.expander(f"Not among them ({len(left_out)})"):
            st.markdown("\n".join(f"- **{patient}**: {why}" for patient, why in sorted(left_out.items())))
