"""How often each gate was right here, as far as people have said: a table by kind of doubt."""

from __future__ import annotations

import streamlit as st

from core.remembered.judgements import GateName
from core.review.gate_record import ALL_KINDS, KindRecord, record_for
from pages.ui.frame import resources
from pages.ui.shared.text import cells, plain
from store import SeenStore

UPHELD_HELP = "The version was rejected, or one that was drawn from it was accepted in its place."
OVERRULED_HELP = "Accepted by a person who looked at it and said why it is fine."
OPEN_HELP = "Nobody has decided about it yet."


def record_panel(store: SeenStore, person: str, gate: GateName) -> None:
    """What became of a gate's flags, of those that this person may see."""
    st.subheader("Its record here", divider="gray")
    rows = [row for row in known_record(store, person) if row.gate == gate]
    if not any(row.flags for row in rows):
        st.caption(
            "Nothing that this gate flagged waits for a decision or was decided on. What it flags, and what people say "
            "to that, is counted here."
        )
        return
    overall = next(row for row in rows if row.kind == ALL_KINDS)
    st.markdown(f"Here: **{plain(overall.words)}**.")
    st.dataframe(
        cells([_row(row) for row in rows if row.flags]),
        hide_index=True,
        height="content",
        column_config={
            "Upheld": st.column_config.NumberColumn(help=UPHELD_HELP),
            "Overruled": st.column_config.NumberColumn(help=OVERRULED_HELP),
            "Open": st.column_config.NumberColumn(help=OPEN_HELP),
        },
    )
    st.caption(
        "This is what people said of the gate's flags, not how often it is right: nobody counted what it let pass. A "
        "flag of several kinds stands in several rows, and once in the first. What could not be judged, or was judged "
        "of other files, is no flag and is not in the first row."
    )


def known_record(store: SeenStore, person: str) -> tuple[KindRecord, ...]:
    """`record_for` the person, made once for a state of the store."""
    return resources.kept(f"{resources.position(store)}/gate-record", lambda: record_for(store, person))


def _row(row: KindRecord) -> dict[str, object]:
    by = ", ".join(f"{name} ({n})" for name, n in row.overruled_by)
    return {
        "Kind of doubt": "all flags" if row.kind == ALL_KINDS else row.kind,
        "Flags": row.flags,
        "Upheld": row.upheld,
        "Overruled": row.overruled,
        "Open": row.open,
        "Overruled by": by,
    }
