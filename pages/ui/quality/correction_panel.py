"""What people changed: the network's and MedSAM's masks against those that were accepted."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.remembered.untyped import JsonDict, JsonObject, TableRow
from pages.ui.frame import measured
from pages.ui.shared.text import cells
from store import SeenStore

DICE_HELP = "1: nothing had to be changed. Mean and median over timepoints with an accepted mask and both versions."
HD95_HELP = "95th percentile of the distances between the two outlines; median over timepoints."


def correction_panel(store: SeenStore) -> None:
    """The cohort's summary, and every timepoint on demand; of the versions that this person may see."""
    st.caption(
        "How far the network's masks, and those refined with MedSAM, lie from what a person accepted in the end. "
        "It measures people's work, not accuracy: nobody knows the truth."
    )
    records = store.masks.of_all()
    if not any(record.status == "accepted" for record in records):
        st.info("Nothing was accepted yet: there is nothing to compare with.")
        return
    found = measured.correction(records)
    st.dataframe(
        cells([_summary(row) for row in found["summary"]]),
        hide_index=True,
        column_config={
            "Dice, mean": st.column_config.NumberColumn(format="%.3f", help=DICE_HELP),
            "Dice, median": st.column_config.NumberColumn(format="%.3f", help=DICE_HELP),
            "HD95, median (mm)": st.column_config.NumberColumn(format="%.1f", help=HD95_HELP),
            "Volume, median (mL)": st.column_config.NumberColumn(
                format="%+.2f", help="Second minus first: above 0, people added."
            ),
        },
    )
    with st.expander("Every timepoint"):
        _timepoints(found["timepoints"])


def _summary(row: JsonObject) -> JsonDict:
    return {
        "Comparison": row["comparison"],
        "Timepoints": row["n"],
        "Patients": row["patients"],
        "Dice, mean": row["dice_mean"],
        "Dice, median": row["dice_median"],
        "HD95, median (mm)": row["hd95_mm_median"],
        "Volume, median (mL)": row["volume_difference_ml_median"],
    }


def _timepoints(rows: Sequence[TableRow]) -> None:
    versions = ["" if row["missing"] else f"v{row['first_version']} and v{row['second_version']}" for row in rows]
    st.dataframe(
        cells(
            [
                {
                    "Patient": row["patient_id"],
                    "Timepoint": row["timepoint"],
                    "Comparison": row["comparison"],
                    "Versions": which,
                    "Dice": row["dice"],
                    "HD95 (mm)": row["hd95_mm"],
                    "Volume (mL)": row["volume_difference_ml"],
                    "Not measured": row["missing"],
                }
                for row, which in zip(rows, versions, strict=True)
            ]
        ),
        hide_index=True,
        column_config={
            "Dice": st.column_config.NumberColumn(format="%.3f"),
            "HD95 (mm)": st.column_config.NumberColumn(format="%.1f"),
            "Volume (mL)": st.column_config.NumberColumn(format="%+.2f"),
        },
    )
