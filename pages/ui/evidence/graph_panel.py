"""The same evidence as a graph, asked in Cypher: patients, lesions, observations, visits, events and links."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from core.errors import TwinReviewError
from core.evidence.asking import among_of
from core.evidence.base import EvidenceBase
from core.evidence.cases import LesionCase
from core.evidence.filters import LesionFilter
from core.evidence.graph_schema import NODES, RELATIONS
from core.evidence.graphs import graph_of
from core.evidence.retrieval import Among, Question
from core.remembered.untyped import TableRow
from pages.ui.frame import address, session
from pages.ui.shared.plotting import csv_button
from pages.ui.shared.text import cells, plain
from store import SeenStore

#: What is asked most -> the question.
EXAMPLES: Mapping[str, str] = {
    "How many lesions responded, by treatment": (
        "MATCH (o:Observation)\nUNWIND o.on_treatment AS treatment\n"
        "RETURN treatment, o.response_after AS response, count(*) AS lesions ORDER BY lesions DESC"
    ),
    "What followed radiotherapy begun within 60 days": (
        "MATCH (o:Observation)-[b:BEFORE]->(e:Event), (o)-[f:FOLLOWED_BY]->(:Observation)\n"
        "WHERE e.therapy = 'radiotherapy' AND b.days <= 60\n"
        "RETURN f.verdict AS verdict, count(*) AS lesions, avg(f.percent) AS mean_percent ORDER BY lesions DESC"
    ),
    "Lesions that were merged": (
        "MATCH (p:Patient)-[:HAS]->(a:Lesion)-[m:MERGED_INTO]->(b:Lesion)\n"
        "RETURN p.patient_id AS patient, a.lesion_id AS lesion, b.lesion_id AS into_lesion, m.timepoint AS timepoint"
    ),
}
#: What the filter's query gives: the keys that a search is narrowed by, and here what people read as well.
_KEYS = "RETURN o.mask_id AS mask_id, o.lesion_id AS lesion_id"
_TOLD = (
    ", o.patient_id AS patient, o.timepoint AS timepoint,\n  round(o.volume_mm3 / 1000, 1) AS volume_ml, "
    "o.on_treatment AS on_treatment, o.response_after AS response_after"
)
_AS_FILTERED = "As the filter has it"
_HELP = "Reading alone: MATCH, WHERE, WITH, UNWIND, RETURN, ORDER BY, LIMIT. Nothing can be changed, no file is read."


def graph_panel(
    store: SeenStore, base: EvidenceBase, question: Question, own: LesionCase | None, wanted: LesionFilter
) -> None:
    """Choose a question or write one, and its answer."""
    keys, parameters = wanted.cypher(question.volume_mm3)
    filtered = keys.replace(_KEYS, _KEYS + _TOLD)
    offered = {_AS_FILTERED: filtered, **EXAMPLES}
    st.selectbox("Question", list(offered), key=session.EVIDENCE_EXAMPLE.key(), on_change=_take, args=(offered,))
    if session.EVIDENCE_QUERY.get() is None:
        session.EVIDENCE_QUERY.set(filtered)
    text = st.text_area("In Cypher", key=session.EVIDENCE_QUERY.key(), height=150, help=_HELP)
    with st.popover("What the graph holds"):
        for label, properties in NODES.items():
            st.markdown(f"**{plain(label)}**: {plain(', '.join(properties))}")
        for kind, (start, end, properties) in RELATIONS.items():
            st.markdown(f"{plain(start)} **{plain(kind)}** {plain(end)} {plain(', '.join(properties))}")
    with st.container(horizontal=True):
        wanted_now = st.button("Ask", type="primary", disabled=not text.strip())
        st.button(
            "Most alike among these",
            icon=":material/filter_alt:",
            help="Searches only the observations that the query gives: RETURN o, or mask_id and lesion_id.",
            on_click=_narrow,
            args=(text,),
            disabled=not text.strip(),
        )
    if not wanted_now:
        return
    with st.spinner("Asking", show_time=True):
        try:
            answer = graph_of(base).ask(text, parameters)
        except TwinReviewError as error:
            st.error(plain(error))
            return
    rows: list[TableRow] = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    if not rows:
        st.info("Nothing in the graph answers this.")
        return
    st.dataframe(cells(rows), hide_index=True, width="stretch")
    more = " The answer was cut there." if answer.cut else ""
    st.caption(f"{len(rows):,} rows.{more}")
    csv_button(rows, "evidence-graph", "This answer (CSV)")


def _narrow(text: str) -> None:
    session.EVIDENCE_AMONG.set(text)
    session.EVIDENCE_TAB.set("Most alike")
    address.forget()


def narrowed(base: EvidenceBase, question: Question, wanted: LesionFilter) -> Among | None:
    """What the search is narrowed to by a query, with a way out; None where it is not, or the query gives none."""
    text = session.EVIDENCE_AMONG.get()
    if not text:
        return None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Searched are only the observations that your query gives: {plain(' '.join(text.split())[:200])}")
        st.button("Search all again", icon=":material/filter_alt_off:", on_click=session.EVIDENCE_AMONG.drop)
    try:
        return among_of(base, text, wanted.cypher(question.volume_mm3)[1])
    except TwinReviewError as error:
        st.error(plain(f"{error} The search is not narrowed."))
        return None


def _take(offered: Mapping[str, str]) -> None:
    session.EVIDENCE_QUERY.set(offered.get(session.EVIDENCE_EXAMPLE.get() or "", ""))
