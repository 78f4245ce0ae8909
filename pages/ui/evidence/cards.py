"""The lesion that is asked about, and one card for each that is like it: what it is, how alike, what became of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import streamlit as st

from core.evidence.cases import LesionCase, Similar, SimilarLesions
from core.evidence.outcome import LesionOutcome, outcome_of
from core.evidence.outcome_words import fate_sentence, response_sentence
from core.evidence.retrieval import MarkedLesion, Question
from core.remembered.marks import EvidenceMark, NewMark
from core.types import MaskRecord
from pages.ui.evidence.pictures import Shown, lesion_picture, shown_of, side_mm
from pages.ui.frame import opening, shell
from pages.ui.guard import rights
from pages.ui.shared.text import lesion_words, millilitres, plain
from store import SeenStore

SPACE_WORDS = {"both": "shape and appearance", "shape": "shape", "appearance": "appearance"}
ALIKE_HELP = (
    "Of the pairs of lesions of two patients here, so many are farther apart than these two: 99 % is very alike, 50 % "
    "is as alike as any two. Behind it the distance itself, 0 for equal numbers."
)
GIVEN_HELP = (
    "What was being given on the day of that visit, by the events on record; none on record is no proof of none."
)
_SAID = ((True, ":material/thumb_up:", "Relevant"), (False, ":material/thumb_down:", "Not relevant"))
PICTURE_LOST = "The picture cannot be made: a stored file cannot be read."


def question_card(store: SeenStore, record: MaskRecord, question: Question, own: LesionCase | None, side: int) -> None:
    """The lesion that is asked about."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"asked-{record.mask_id}"):
        picture = lesion_picture(store, shown_of(record, question.key.lesion_id), side)
        if picture is None:
            st.caption(PICTURE_LOST)
        else:
            st.image(picture, width=150, alt=f"{question.key.lesion_id} of {record.timepoint}")
        lines = [
            f"**{plain(lesion_words(question.key.lesion_id))}** of {plain(record.timepoint)}, mask v{record.version} "
            f"({plain(record.status)})",
            f"{millilitres(question.volume_mm3)} mL · {plain(question.modality)}",
        ]
        lines += [] if own is None else _facts(own)
        lines.append(f":small[All pictures here are {side} mm wide, in one window.]")
        with st.container():
            st.markdown("  \n".join(lines))
            st.button(
                "Open in Review",
                icon=":material/open_in_new:",
                type="tertiary",
                on_click=opening.open_in_review,
                args=(record.patient_id, record.timepoint, record.version, question.key.lesion_id),
            )


def _facts(case: LesionCase) -> list[str]:
    given = ", ".join(case.therapies) or "no treatment on record"
    return [f"{plain(case.organ or 'organ not named')} · {plain(given)}"]


def side_of(record: MaskRecord, question: Question, found: Sequence[Shown]) -> int:
    """One side for all pictures of the page, mm."""
    return side_mm([shown_of(record, question.key.lesion_id), *found])


def shown_cases(store: SeenStore, found: SimilarLesions) -> list[Shown]:
    """The found lesions as they are to be shown."""
    return [
        shown_of(store.masks.version(one.case.patient_id, one.case.timepoint, one.case.version), one.case.lesion_id)
        for one in found.found
    ]


def similar_cards(
    store: SeenStore,
    found: SimilarLesions,
    shown: Sequence[Shown],
    side: int,
    marks: Mapping[MarkedLesion, EvidenceMark],
    least: int = 5,
) -> None:
    """One card a lesion, nearest first."""
    columns, refused = st.columns(max(len(found.found), least)), rights.why_not(store, shell.person(), "mark.added")
    for column, one, there in zip(columns, found.found, shown, strict=False):
        with column.container(border=True, height="stretch"):
            _card(store, found, one, there, side)
            same = one.case.patient_id == found.patient_id
            why = "Marks are of lesions of two patients." if same else refused
            _mark_buttons(store, found, one, marks.get((one.case.patient_id, one.case.lesion_id)), why)


def _card(store: SeenStore, found: SimilarLesions, one: Similar, there: Shown, side: int) -> None:
    case, outcome = one.case, outcome_of(one)
    picture = lesion_picture(store, there, side)
    if picture is None:
        st.caption(PICTURE_LOST)
    else:
        st.image(picture, width="stretch", alt=f"{case.patient_id} {case.lesion_id} of {case.timepoint}")
    badge = " :orange-badge[simulated]" if case.simulated else ""
    st.markdown(f"**{plain(case.patient_id)}** {plain(case.lesion_id)}{badge}  \n{plain(case.timepoint)}")
    st.markdown(f"**{alike_words(one)}** :small[({one.distance:.2f})]", help=ALIKE_HELP)
    st.markdown(f"{millilitres(case.volume_mm3)} mL  \n" + "  \n".join(_facts(case)), help=GIVEN_HELP)
    st.markdown(
        f"{plain(fate_words(outcome))}  \n:small[{plain(response_sentence(outcome))}]",
        help=plain(fate_sentence(outcome)),
    )


def alike_words(one: Similar) -> str:
    """How alike: "98 % alike"; of a percentile that cannot be told, that."""
    return "not known how alike" if math.isnan(one.percentile) else f"{one.percentile:.0f} % alike"


def fate_words(outcome: LesionOutcome) -> str:
    """What became of it, short: "shrank really: -40 % by day +90"."""
    return fate_sentence(outcome).partition(" (rule")[0].partition(" (no rule")[0].rstrip(".")


def _mark_buttons(
    store: SeenStore, found: SimilarLesions, one: Similar, mark: EvidenceMark | None, refused: str | None
) -> None:
    """Args: refused: why this person may not mark; None where they may."""
    key = f"{found.of.mask_id}-{found.of.lesion_id}-{one.case.mask_id}-{one.case.lesion_id}"
    with st.container(horizontal=True, gap="xsmall"):
        for relevant, icon, what in (
            (True, ":material/thumb_up:", "Relevant"),
            (False, ":material/thumb_down:", "Not"),
        ):
            said = mark is not None and mark.relevant is relevant
            means = "Take this mark back." if said else f"{what} for this lesion: the order here changes at once."
            st.button(
                icon,
                key=f"mark-{relevant}-{key}",
                type="primary" if said else "tertiary",
                on_click=_toggle,
                args=(store, found, one, relevant, mark),
                disabled=refused is not None,
                help=plain(refused or means),
            )
        st.button(
            ":material/open_in_new:",
            key=f"open-{key}",
            type="tertiary",
            help="Open this lesion in Review.",
            on_click=opening.open_in_review,
            args=(one.case.patient_id, one.case.timepoint, one.case.version, one.case.lesion_id),
        )


def _toggle(store: SeenStore, found: SimilarLesions, one: Similar, relevant: bool, mark: EvidenceMark | None) -> None:
    """A mark, or where the same one stands, that it is taken back."""
    with shell.guarded():
        if mark is not None and mark.relevant is relevant:
            store.marks.withdraw(mark.mark_id, shell.person())
            return
        case = one.case
        place = (found.of.mask_id, found.of.lesion_id, case.mask_id, case.lesion_id)
        store.marks.add(NewMark(*place, relevant, found.space, one.rank, one.distance, found.metric), shell.person())
