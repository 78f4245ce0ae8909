"""Which lesions are searched: choices in a row, each of them in the address, and the same as a query in Cypher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, get_args

import streamlit as st

from core.evidence.cases import LesionCase, Therapy
from core.evidence.filters import LesionFilter, Response
from core.evidence.retrieval import Question
from pages.ui.frame import address, session
from pages.ui.shared.text import plain

ANY = "any"
SIZES: Mapping[str, float | None] = {ANY: None, "within 1.5×": 1.5, "within 2×": 2.0, "within 4×": 4.0}
SAME_ORGAN = "the same"
THERAPIES = (ANY, *get_args(Therapy))
RESPONSES: Mapping[str, Response] = {ANY: "", "CR or PR": "responded", "SD": "SD", "PD": "PD"}
#: What came next -> as the filter has it.
EVENTS = (ANY, "radiotherapy", "surgery", "chemotherapy", "targeted therapy", "immunotherapy", "hormone therapy")
WITHIN_DAYS = 90
LATER = (ANY, "with a later visit")
OTHERS, OWN_TOO = "others", "this one too"


class Choice(NamedTuple):
    """One choice: its parameter in the address, label, options and what it means."""

    name: str
    label: str
    options: tuple[str, ...]
    means: str


CHOICES = (
    Choice("size", "Size", tuple(SIZES), "Volume against this lesion's, either way."),
    Choice(
        "organ", "Organ", (ANY, SAME_ORGAN), "As a person named it in the protocol; where nobody did, it is not known."
    ),
    Choice("given", "Treatment then", THERAPIES, "What was being given on the day of that visit, by the events."),
    Choice(
        "response",
        "Response after",
        tuple(RESPONSES),
        "The patient's best call after that visit, by the patient's protocol.",
    ),
    Choice(
        "next", "What came next", EVENTS, f"Begun within {WITHIN_DAYS} days after that visit, by the patient's events."
    ),
    Choice("later", "Followed", LATER, "Whether a later accepted visit tells its volume."),
    Choice("whose", "Patients", (OTHERS, OWN_TOO), "Whether the patient's own lesions at other visits count too."),
)


def choose_filter(question: Question, own: LesionCase | None) -> LesionFilter:
    """The choices, drawn in one row; those that cannot be are grey and say why.

    Args:
        own: the case of the lesion that is asked about; None where it is not accepted.
    """
    organ = "" if own is None else own.organ
    chosen: dict[str, str] = {}
    for column, one in zip(st.columns(len(CHOICES)), CHOICES, strict=True):
        key = session.EVIDENCE_FILTER
        chosen[one.name] = _chosen(one)
        unknown = one.name == "organ" and not organ
        why = "Nobody named this lesion's organ: set it with the targets on Trajectory." if unknown else one.means
        column.selectbox(plain(one.label), one.options, key=key.key(one.name), help=plain(why), disabled=unknown)
    return LesionFilter(
        organ=organ if chosen["organ"] == SAME_ORGAN else "",
        volume_factor=SIZES[chosen["size"]],
        therapy="" if chosen["given"] == ANY else chosen["given"],
        response=RESPONSES[chosen["response"]],
        event_after="" if chosen["next"] == ANY else chosen["next"],
        within_days=None if chosen["next"] == ANY else WITHIN_DAYS,
        with_later=chosen["later"] != ANY,
    )


def _chosen(one: Choice) -> str:
    """What is chosen; in the address where it narrows anything."""
    key = session.EVIDENCE_FILTER
    wanted = address.asked(one.name, one.options, key, one.name, whose=f"under {one.label}")
    usual = one.options[0]
    value = wanted or key.get(one.name) or usual
    value = value if value in one.options else usual
    if key.get(one.name) != value:
        key.set(value, one.name)
    if value != usual:
        address.note(one.name, value)
    return value


def own_patient_too() -> bool:
    """Whether the patient's own lesions are searched; after `choose_filter`."""
    return session.EVIDENCE_FILTER.get("whose") == OWN_TOO


def reset_filter() -> None:
    """For the `on_click` of a button: nothing is filtered."""
    for one in CHOICES:
        session.EVIDENCE_FILTER.set(one.options[0], one.name)
    address.forget()
