"""Around the cards: by what is compared, how many were searched, the courses of all of them, the marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from core.evidence.base import EvidenceBase
from core.evidence.cases import LesionCase, Similar, SimilarLesions, SpaceName
from core.evidence.filters import LesionFilter
from core.evidence.outcome import outcome_of, tally_of
from core.evidence.retrieval import EVERYTHING, MarkedLesion, Question
from core.remembered.marks import EvidenceMark
from core.remembered.untyped import TableRow
from pages.ui.evidence.cards import SPACE_WORDS
from pages.ui.evidence.course_chart import Course, course_figure
from pages.ui.evidence.filters_panel import own_patient_too, reset_filter
from pages.ui.frame import address, session, shell
from pages.ui.guard import rights
from pages.ui.shared import plotting
from pages.ui.shared.text import plain
from store import SeenStore

_SPACE_HELP = (
    "By what lesions are compared: the form and size of the mask, how the lesion looks to an image encoder on the "
    "reference scan, or both together. How it looks depends on how the scan was taken (docs/evidence.md)."
)


def choose_space(question: Question, spaces: Sequence[SpaceName]) -> SpaceName | None:
    """By what lesions are compared; None where nothing is known of this one."""
    if not spaces:
        return None
    space = address.choose("by", list(spaces), session.EVIDENCE_SPACE, default=spaces[0], whose="for this lesion")
    missing = question.why_not_in("both")
    st.segmented_control(
        "Alike in",
        spaces,
        required=True,
        key=session.EVIDENCE_SPACE.key(),
        format_func=str.capitalize,
        help=plain(f"{_SPACE_HELP} {missing}"),
    )
    return next(one for one in spaces if one == space)


def tally(base: EvidenceBase, found: SimilarLesions, behind: bool, wanted: LesionFilter) -> None:
    """How much evidence this is, and what is not known."""
    outcomes = [outcome_of(one) for one in found.found]
    whose = [one.case.patient_id for one in found.found]
    of_whom = "patient" if own_patient_too() else "other patient"
    lesions, others = _several(found.searched, "lesion"), _several(found.patients, of_whom)
    searched = f"Searched {lesions} of {others}, by {SPACE_WORDS[found.space]}"
    if found.metric:
        searched += f", as marks have weighed it (metric {plain(found.metric[:8])})"
    lines = [f"{searched}."]
    if found.not_compared:
        lines.append(f"{found.not_compared:,} more cannot be compared so: nothing is stored of how they look or lie.")
    if found.filters:
        lines.append(f"Filter: {plain('; '.join(found.filters))}.")
    if behind:
        lines.append("What was decided in the last moments is being taken up; masks taken back since are left out.")
    if outcomes:
        counted = tally_of(outcomes, whose)
        lines.append(f"**{plain(counted.words)}** {plain(counted.response_words)}")
    st.markdown("  \n".join(f":small[{line}]" for line in lines))
    if wanted != EVERYTHING or own_patient_too():
        st.button("Without a filter", on_click=reset_filter, type="tertiary", icon=":material/filter_alt_off:")


def _several(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def nothing_found(base: EvidenceBase, question: Question, wanted: LesionFilter) -> None:
    """The empty state: nobody else's lesion was accepted, none passes, or none can be compared."""
    others = {case.patient_id for case in base.cases if case.simulated == question.simulated} - {question.patient_id}
    if not others:
        kind = "simulated" if question.simulated else "real"
        st.info(
            f"No other {kind} patient has an accepted mask yet. Accept some: they become the evidence for this one."
        )
        if st.button("Go to the worklist", type="primary"):
            shell.go_to("worklist")
    elif wanted != EVERYTHING:
        st.info("No lesion passes this filter. Loosen it: what is not known of a lesion does not pass.")
    else:
        st.info("No lesion of another patient can be compared so yet. Compare by shape, or come back in a while.")


def shown_key(found: SimilarLesions) -> str:
    """What is made of an answer hangs on this alone: the base, the lesion, and what was found how."""
    lesions = [(one.case.mask_id, one.case.lesion_id, one.distance, one.marked) for one in found.found]
    return f"evidence/{found.as_of}/{found.of}/{found.space}/{found.metric}/{found.filters}/{found.searched}/{lesions}"


def courses(base: EvidenceBase, found: SimilarLesions, own: LesionCase | None) -> None:
    """One chart of what followed, beside this lesion's own course."""
    told = [
        Course(f"{n}. {one.case.patient_id} {one.case.lesion_id}", one.case.volume_mm3, outcome_of(one))
        for n, one in enumerate(found.found, 1)
    ]
    if own is not None:
        itself = outcome_of(Similar(own, base.patients[own.patient_id], 1, 0.0, 100.0))
        told.insert(0, Course(f"this lesion ({own.lesion_id})", own.volume_mm3, itself, is_question=True))
    st.subheader("What followed", divider="gray")
    plotting.draw(
        lambda: course_figure(told),
        "evidence-courses",
        380,
        "Volumes of this lesion and of those like it since the visit at which they are alike",
        made_from=shown_key(found),
    )
    plotting.export(_rows(told), "evidence-courses")


def _rows(courses: Sequence[Course]) -> list[TableRow]:
    return [
        {
            "lesion": course.name,
            "days": point.days,
            "state": point.state,
            "volume_mm3": point.volume_mm3,
            "percent": None if point.volume_mm3 is None else round(100 * point.volume_mm3 / course.volume_mm3, 1),
        }
        for course in courses
        for point in course.outcome.course
    ]


def marks_line(store: SeenStore, marks: Mapping[MarkedLesion, EvidenceMark]) -> None:
    """How many marks make this order, and a way back."""
    if not marks:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"This order follows {len(marks)} of your marks on this lesion.")
        with st.popover("Your marks", type="tertiary"):
            for (patient, lesion), mark in marks.items():
                said = "relevant" if mark.relevant else "not relevant"
                st.button(
                    f"{plain(patient)} {plain(lesion)}: {said}",
                    key=f"unmark-{mark.mark_id}",
                    icon=":material/undo:",
                    type="tertiary",
                    help="Take this mark back.",
                    on_click=_withdraw,
                    args=(store, [mark.mark_id]),
                )
        st.button(
            "Take them back",
            icon=":material/undo:",
            on_click=_withdraw,
            args=(store, [mark.mark_id for mark in marks.values()]),
            **rights.button(store, shell.person(), "mark.withdrawn", "The order is again as it was without marks."),
        )


def _withdraw(store: SeenStore, mark_ids: Sequence[str]) -> None:
    with shell.guarded():
        for mark_id in mark_ids:
            store.marks.withdraw(mark_id, shell.person())
