"""Who is working: who signed in (`pages.ui.guard.signin`); in a demo a name that was chosen, kept for the browser.

In a demo the page offers the names that the store knows, and never assumes one once there are two people. The chosen
one holds for the tab, and a script of ours hands it to the browser as a cookie (signed, HttpOnly, SameSite=Strict),
from which other tabs, a reload and a server that was started again take it, for a working shift. Who sits at the
browser can choose any name. Where people have signed in, none can be chosen: their data folder is no demo.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass, field

import streamlit as st
from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from core.errors import InputError
from pages.ui.api.answers import NO_STORE, problem
from pages.ui.frame import resources
from pages.ui.guard import sessions, signin
from pages.ui.guard.base_path import in_browser
from pages.ui.guard.guard import open_to_all
from pages.ui.guard.secret import signing_secret
from pages.ui.guard.working import SESSIONS, SHIFT_S, Working

URL = "/api/who"
HEADER = "x-twin-choice"
MAX_AGE_S = SHIFT_S
_CHOICE_S = 60.0

_SCRIPT = """
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".twin-who");
  if (!data.choice || root.sent === data.choice) return;
  root.sent = data.choice;
  const failed = () => { root.textContent = "This browser could not keep the name. It will be asked for again."; };
  const headers = { "x-twin-choice": data.choice };
  // Sent to its end even if the page is left at once.
  fetch(new URL(data.url, location.href), { method: "POST", headers, keepalive: true })
    .then((answer) => { if (!answer.ok) failed(); }, failed);
}
"""
_render = st.components.v2.component("twin_who", html='<div class="twin-who" role="status"></div>', js=_SCRIPT)


@dataclass
class Choices:
    """Names that were chosen on a page and are about to be handed to the browser: each once, within a minute."""

    _open: dict[str, tuple[str, str, float]] = field(default_factory=dict)  # choice -> session, person, made at
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def make(self, session: str, person: str) -> None:
        """Notes what a session chose, in place of what it chose before."""
        with self._lock:
            self._open = {
                choice: held
                for choice, held in self._open.items()
                if held[0] != session and time.monotonic() - held[2] < _CHOICE_S
            }
            self._open[secrets.token_urlsafe(32)] = (session, person, time.monotonic())

    def open_of(self, session: str) -> str | None:
        """The session's choice that the browser has not taken yet."""
        with self._lock:
            return next((choice for choice, held in self._open.items() if held[0] == session), None)

    def take(self, choice: str) -> str | None:
        """The person of a choice, which is then used up; None for one that is none, too old, or of a closed tab."""
        with self._lock:
            session, person, made_at = self._open.pop(choice, ("", "", 0.0))
        if not session or time.monotonic() - made_at >= _CHOICE_S or not sessions.is_active(session):
            return None
        return person


CHOICES = Choices()


def settle() -> str | None:
    """The name under which this run of the page works, kept in the session as "who"; None if nobody may work in it yet.

    Raises:
        StoreError: if the store cannot be opened.
        InputError: if the settings of sign-in cannot work, or are missing where people have signed in before.
    """
    try:
        name = _chosen_name() if not signin.configured() else None
        working = signin.settle() if signin.configured() else Working(name) if name else None
    except Exception:
        st.session_state["who"] = None
        raise
    # Not None in between: a click that ends this run here, for one of its own, is of whoever worked before.
    SESSIONS.note(sessions.current(), working)
    name = None if working is None else working.person
    st.session_state["who"] = name
    return name


def _chosen_name() -> str | None:
    """The tab's own choice, else the browser's cookie; the only person there is needs no choice. A name that the store
    does not know (any more) counts for nothing."""
    known = names()
    chosen = st.session_state.get("chosen-person") or _of_cookie()
    if chosen in known:
        return str(chosen)
    alone = len(known) == len(resources.whole_store().people.all()) == 1  # who is disabled does not become the other
    return known[0] if alone else None


def names() -> list[str]:
    """Those who may be chosen in a demo, by name. Raises InputError where people sign in, and no provider is named."""
    people = resources.whole_store().people.all()
    if any(person.identity is not None for person in people):
        raise InputError(
            "People sign in to this data folder, but no provider is named, so nobody can be let in. Name it again in "
            ".streamlit/secrets.toml, or give a demo a data folder of its own (TWIN_DATA)."
        )
    return [person.name for person in people if not person.disabled]


def person() -> str:
    """The name that `settle` found.

    Raises:
        InputError: while nobody works here, or for somebody who was disabled or signed out meanwhile.
    """
    chosen = st.session_state.get("who")
    if not chosen:
        raise InputError("Expected to know who is working, got no name. Choose yours and do it again.")
    known = resources.whole_store().people.named(str(chosen))
    if known is None or known.disabled or not SESSIONS.may_go_on(sessions.current()):
        raise InputError("Expected somebody who may work here, got one who may not (any more). Reload the page.")
    return str(chosen)


def ask() -> None:
    """The page while nobody is chosen: the question, and nothing else."""
    st.title("Who is working?")
    known = names()
    if not known:
        st.info("This installation knows nobody yet. An administrator adds people.", icon=":material/person_add:")
        return
    st.caption("Everything you do is recorded under this name. This browser keeps it for twelve hours.")
    with st.form("ask-who", border=False, width=420):
        st.selectbox("Name", known, index=None, key="asked-person", placeholder="Choose your name")
        st.form_submit_button("Continue", type="primary", on_click=_chosen, args=("asked-person",))


def switch(chosen: str) -> None:
    """The sidebar's field: who is working, and another name for whoever takes over."""
    st.session_state["working-as"] = chosen
    st.selectbox(
        "Working as",
        names(),
        key="working-as",
        on_change=_chosen,
        args=("working-as",),
        help="Everything you do is recorded under this name.",
    )


def hand_over() -> None:
    """The place from which the browser takes a name that was just chosen; before anything else of the page is drawn.

    It is there already while the name is asked for: once the page shows itself under a name, the browser has been given
    it, and a reload does not ask for it again.
    """
    session = sessions.current()
    choice = None if session is None else CHOICES.open_of(session)
    _render(key="who-kept", data={"choice": choice or "", "url": in_browser(URL)})


def _chosen(field_key: str) -> None:
    """A name was chosen: it holds for this tab from now on, and goes to the browser with the next run."""
    name, session = st.session_state.get(field_key), sessions.current()
    if not name:
        return
    st.session_state["who"] = None  # a click is of nobody until the page is drawn for the new one
    st.session_state["chosen-person"] = name
    if session is not None:
        CHOICES.make(session, str(name))


def cookie_name() -> str:
    """The cookie's name: another one for every installation, since a browser mixes those of all ports of a machine."""
    return "twin-who-" + hashlib.sha256(f"who {signing_secret()}".encode()).hexdigest()[:12]


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(signing_secret(), salt="twin-who")


def cookie_of(name: str) -> str:
    """The cookie's value for that person."""
    return str(_signer().dumps({"person": name}))


def _of_cookie() -> str | None:
    try:
        values = _signer().loads(st.context.cookies.get(cookie_name(), ""), max_age=MAX_AGE_S)
    except BadData:
        return None
    return str(values["person"])


async def keep(request: Request) -> Response:
    """POST: the browser takes the name that was just chosen on a page of its own; none where people sign in."""
    chosen = None if signin.configured() else CHOICES.take(request.headers.get(HEADER, ""))
    if chosen is None:
        return problem(403, "Expected the choice that the page just made, got none. Choose the name again.")
    answer = Response(status_code=204, headers=NO_STORE)
    answer.set_cookie(
        cookie_name(),
        cookie_of(chosen),
        max_age=MAX_AGE_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


WHO_ROUTES = [open_to_all(URL, keep, "a word that a page made is its key, for one use within a minute", ["POST"])]
