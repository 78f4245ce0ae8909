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
from pages.ui.evidence.alike import shown_key
from pages.ui.frame import resources, session, shell
from pages.ui.guard import rights
from pages.ui.shared.text import plain
from store import SeenStore

NAMES: dict[str, Names] = {"without names": "pseudonyms", "with names": "own"}
#: Label, ending and media type.
FORMS = (
    ("Markdown", "md", "text/markdown"),
    ("JSON", "json", "application/json"),
    ("FHIR-like bundle", "fhir.json", "application/fhir+json"),
)
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
        names = NAMES[str(chosen)]
        files = resources.kept(f"files/{names}/{own}/{shown_key(found)}", lambda: _files(found, own, names))
        for label, ending, kind in FORMS:
            st.download_button(
                label,
                files[ending],
                f"evidence.{ending}",
                kind,
                icon=":material/download:",
                on_click="ignore",
                key=f"evidence-{ending}",
            )
    if is_set_up(settings()):
        _model(store, found, panel_of(found, own, "own"))


def _files(found: SimilarLesions, own: LesionCase | None, names: Names) -> dict[str, str]:
    """Ending -> text."""
    panel = panel_of(found, own, names, dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
    return {"md": to_markdown(panel), "json": to_json(panel), "fhir.json": to_fhir(panel)}


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
