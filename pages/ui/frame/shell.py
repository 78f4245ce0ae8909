"""The frame around every page: who is working, on which patient, where to go, and what is shown when things go wrong.

Pages use `person()`, `patient_id()`, `go_to()` and `guarded()`; `address` settles what is chosen on them.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

import streamlit as st
from streamlit.runtime.scriptrunner import StopException

from core.errors import InputError
from core.jobs.jobs import explain
from core.settings import settings, unknown_variables
from pages.ui.frame import address, collecting, resources, session
from pages.ui.guard import doors, rights, sessions, signin, sockets, tokens, uploads, who
from pages.ui.shared.text import plain
from store import SeenStore
from store.files.file_rights import keep_private

logger = logging.getLogger("twinreview.pages")

PageName = Literal[
    "worklist", "intake", "review", "compare", "lesions", "trajectory", "cohort", "evidence", "quality", "system"
]

FOLDER = Path(__file__).resolve().parents[2]
#: A file: Streamlit would fetch its named icons for the browser's tab from elsewhere.
ICON = FOLDER / "ui/frame/icon.svg"
#: section -> (file, title, icon)
PAGES: dict[str, list[tuple[PageName, str, str]]] = {
    "Today": [
        ("worklist", "Worklist", ":material/checklist:"),
        ("intake", "Intake", ":material/upload_file:"),
    ],
    "Patient": [
        ("review", "Review", ":material/draw:"),
        ("compare", "Compare", ":material/compare:"),
        ("lesions", "Lesions", ":material/bubble_chart:"),
        ("trajectory", "Trajectory", ":material/show_chart:"),
        ("cohort", "Cohort", ":material/groups:"),
        ("evidence", "Evidence", ":material/travel_explore:"),
    ],
    "Installation": [
        ("quality", "Quality", ":material/verified:"),
        ("system", "System", ":material/settings:"),
    ],
}


def show() -> None:
    """Draws the frame and runs the chosen page in it."""
    st.set_page_config(page_title="TwinReview", page_icon=str(ICON), layout="wide")
    name, seen, problem = None, None, None
    sessions.note_owner()
    try:
        name = who.settle()
        seen = resources.whole_store().seen_by(name) if name else None
    except Exception as error:  # shown below, in the frame
        problem = error
    page = st.navigation(
        {
            section: [
                st.Page(FOLDER / f"{name}.py", title=title, icon=icon, default=name == "worklist")
                for name, title, icon in pages
            ]
            for section, pages in PAGES.items()
        },
        position="sidebar" if name else "hidden",
    )
    st.logo(str(ICON), size="large")
    if name is None:
        tokens.keep_only("", None)  # nobody works here now: what was given to whoever did before is taken back
    if problem is not None:
        st.title("TwinReview cannot be used at the moment")
        show_problem(problem)
        st.caption("Whoever keeps this installation up finds the way back in docs/operation.md.")
        return
    signs_in = signin.configured()
    if not signs_in:
        with st.container(horizontal=True):
            st.badge(signin.DEMO, icon=":material/theater_comedy:", color="orange")
            who.hand_over()
    if name is None or seen is None:
        with guarded():
            signin.ask(page.url_path) if signs_in else who.ask()
        return
    if signs_in and (asked := signin.asked_for(page.url_path)) is not None:
        st.switch_page(str(FOLDER / f"{asked.page or 'worklist'}.py"), query_params=asked.parameters)
    if (leaving := address.departure()) is not None:
        st.switch_page(str(FOLDER / f"{leaving.page}.py"), query_params=leaving.parameters)
    address.begin(name, page.url_path)
    known = [str(patient.patient_id) for patient in seen.patients.all()]
    with st.sidebar:
        _choose_patient(known)
        signin.sidebar(name) if signs_in else who.switch(name)
        for limit in rights.limits(seen):
            st.caption(plain(limit))
        tokens.keep_only(name, patient_id())
        st.caption("For research. Not a medical device.")
    with guarded():
        with _stoppable():
            address.refuse_patient(known)
            page.run()
        address.write()


def person() -> str:
    """The name under which everything done on a page is recorded."""
    return who.person()


def store() -> SeenStore:
    """What the one who works here gets to see of the store, as it is now.

    Raises:
        InputError: as `person`.
    """
    return resources.whole_store().seen_by(person())


def patient_id() -> str | None:
    """The patient chosen in the sidebar; None when nobody is."""
    return session.PATIENT.get() or None


def go_to(name: PageName) -> None:
    """Leaves for another page."""
    st.switch_page(str(FOLDER / f"{name}.py"))


@contextmanager
def guarded() -> Iterator[None]:
    """Shows what goes wrong inside it in words, and lets the rest of the page be drawn.

    Pages are run in it as a whole. Button callbacks need their own: they run before the page does.
    """
    try:
        yield
    except Exception as error:  # st.stop and st.rerun are not Exceptions
        show_problem(error)


def show_problem(error: Exception) -> bool:
    """Shows a sentence: a TwinReviewError's own, else an apology with the id under which the log has the details.

    Returns:
        True: Streamlit need not show anything more.
    """
    st.error(plain(explain(error)), icon=":material/error:")
    return True


@contextmanager
def _stoppable() -> Iterator[None]:
    """Makes st.stop end the page but not the script.

    Streamlit forgets the fragments of the previous run only when the script comes to its end. One that refreshes itself
    would otherwise draw where nothing is any more, which leaves the visitor with a blank window.
    """
    try:
        yield
    except StopException:
        return


def check_settings() -> None:
    """Before anything is served: ends the process with one sentence where a setting is wrong."""
    try:
        settings()
    except InputError as error:
        sys.exit(str(error))


@asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """Around the server's life. The first page does not wait for what is started here."""
    _set_up_logging()
    for text in unknown_variables():
        logger.warning("%s", text)
    keep_private()
    keep_on_path()
    sockets.answer_at_once()
    doors.name_the_server()
    resources.begin()
    collecting.collect_rarely()
    async with uploads.watched():
        sessions.remember_files()
        yield
    resources.shut_down()


def keep_on_path() -> None:
    """Puts the folder of the main script on sys.path for good, at its end.

    Streamlit puts it in front at every run of a page and takes it away again. Whatever another thread imports for the
    first time in that moment (a job, a route) goes through the list by number, passes over one folder and "finds no
    such module". What is there already is neither put nor taken.
    """
    here = Path(__file__).parent
    for folder in (os.path.abspath(here), os.path.realpath(here)):
        if folder not in sys.path:
            sys.path.append(folder)


def _set_up_logging() -> None:
    ours = logging.getLogger("twinreview")
    ours.setLevel(logging.INFO)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    ours.addHandler(handler)
    # Streamlit logs an uncaught error with its text, which may name a patient; `show_problem` logs it without.
    logging.getLogger("streamlit.error_util").addFilter(lambda record: record.exc_info is None)


def _choose_patient(known: list[str]) -> None:
    """The patient survives a change of page in the session, and a reload or a shared link in the address."""
    # Not `bind="query-params"`: a bound parameter makes st.switch_page fail.
    address.choose_patient(known)
    st.selectbox(
        "Patient",
        known,
        index=None,
        key=session.PATIENT.key(),
        disabled=not known,
        placeholder="Choose a patient" if known else "No patients yet",
        on_change=address.forget,
    )
