"""The evidence as files, and as a question to a language model where the installation has one set up."""

from __future__ import annotations

import datetime as dt

import streamlit as st

from core.errors import TwinReviewError
from core.evidence.cases import LesionCase, SimilarLesions
from core.evidence.fhir import to_fhir
from core.evidence.formats import to_json, to_markdown
from core.evidence.language_model import MACHINE, Answer, ask, endpoint_host, is_set_up
from core.evidence.panel import EvidencePanel, Names
from core.evidence.prompt import Prompt, to_prompt
from core.evidence.pseudonyms import panel_of
from core.remembered.marks import EvidenceQuestion
from core.settings import settings
from pages.ui.frame import session, shell
from pages.ui.guard import rights
from pages.ui.shared.text import plain
from store import SeenStore

NAMES: dict[str, Names] = {"without names": "pseudonyms", "with names": "own"}
_NAMES_HELP = "Without names: patients are letters, dates are days, and no id, hash or free text is in the file."


def take_along(store: SeenStore, found: SimilarLesions, own: LesionCase | None) -> None:
    """Files of what is shown, and the question to a model."""
    st.subheader("Take it along", divider="gray")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.segmented_control(
            "Names",
            list(NAMES),
            default="without names",
            required=True,
            key=session.EVIDENCE_NAMES.key(),
            help=_NAMES_HELP,
        )
        panel = panel_of(found, own, NAMES[str(chosen)], dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
        for label, made, ending, kind in (
            ("Markdown", to_markdown, "md", "text/markdown"),
            ("JSON", to_json, "json", "application/json"),
            ("FHIR-like bundle", to_fhir, "fhir.json", "application/fhir+json"),
        ):
            st.download_button(
                label,
                made(panel),
                f"evidence.{ending}",
                kind,
                icon=":material/download:",
                on_click="ignore",
                key=f"evidence-{ending}",
            )
    if is_set_up(settings()):
        _model(store, found, panel_of(found, own, "own"))


def _model(store: SeenStore, found: SimilarLesions, panel: EvidencePanel) -> None:
    """The prompt, shown before anything is sent; then the answer, as a machine's."""
    host = endpoint_host()
    with st.expander(f"Ask a language model ({plain(settings().llm_model)} at {plain(host)})"):
        try:
            prompt = to_prompt(panel)
        except TwinReviewError as error:
            st.error(plain(error))
            return
        st.caption(f"This text, and nothing else, is sent to {plain(host)}. It names nobody.")
        st.code(prompt.text, language=None, wrap_lines=True, height=300)
        if st.button("Send this", icon=":material/send:", **rights.button(store, shell.person(), "evidence.asked")):
            _send(store, found, prompt)
        answer = session.EVIDENCE_ANSWER.get()
        if isinstance(answer, Answer) and answer.prompt_sha256 == prompt.sha256:
            st.warning(
                f"{MACHINE}{' It was cut off at its longest.' if answer.cut else ''}", icon=":material/smart_toy:"
            )
            st.text(answer.text)


def _send(store: SeenStore, found: SimilarLesions, prompt: Prompt) -> None:
    """On record before it is sent: that it was asked, not what came of it."""
    now = settings()
    try:
        with st.spinner("Waiting for the model", show_time=True):
            key = found.of
            asked = EvidenceQuestion(key.mask_id, key.lesion_id, prompt.sha256, endpoint_host(), str(now.llm_model))
            store.evidence_questions.record(asked, shell.person())
            session.EVIDENCE_ANSWER.set(ask(prompt, now))
    except TwinReviewError as error:
        st.error(plain(error))
