"""What Streamlit knows of its sessions: which is running, whose browser it is, and what it may download.

A session is one open tab. Its browser is told from others by a cookie of ours (`pages.ui.guard.doors` sets it with the
first page), which the WebSocket of the tab carries.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui.guard.working import SESSIONS

#: One a browser: random, HttpOnly, and the same for all its tabs.
BROWSER_COOKIE = "twin-browser"


#: session -> browser of the latest ones whose page was run; a tab that is away keeps its place.
_OWNERS: dict[str, str] = {}
_MOST_OWNERS = 10_000
#: session -> the files that it held when its page began to run anew.
_HELD_BEFORE: dict[str, frozenset[str]] = {}


def own_browser() -> str | None:
    """The browser of the session whose page is being run; None where it sent no cookie."""
    browser = st.context.cookies.get(BROWSER_COOKIE)
    return str(browser) if browser else None


def note_owner() -> None:
    """Notes whose browser the running session is of, so that no other takes it up later."""
    session, browser = current(), own_browser()
    if session is None or not browser or session in _OWNERS:
        return
    _OWNERS[session] = browser
    for oldest in list(_OWNERS)[:-_MOST_OWNERS]:
        _OWNERS.pop(oldest, None)


def is_of_another(session_id: str, browser: str) -> bool:
    """Whether the session is known to be of another browser than this one."""
    return _OWNERS.get(session_id, browser) != browser


def current() -> str | None:
    """The id of the session whose page is being run; None outside a page."""
    context = get_script_run_ctx(suppress_warning=True)
    return None if context is None else context.session_id


def is_active(session_id: str) -> bool:
    """Whether the tab of that session is connected now."""
    return runtime.exists() and runtime.get_instance().is_active_session(session_id)


def browser_of(session_id: str) -> str | None:
    """The browser's cookie, as the tab's WebSocket carried it; None for a tab that is not connected or had none."""
    client = runtime.get_instance().get_client(session_id) if runtime.exists() else None
    context = None if client is None else client.client_context
    return None if context is None else context.cookies.get(BROWSER_COOKIE)


def may_download(browser: str, file_id: str) -> bool:
    """Whether a tab of that browser was given the file to show or download.

    Streamlit names a file by its content, so one file may belong to tabs of several browsers.
    """
    if not runtime.exists():
        return False
    holders = [
        session_id for session_id, files in list(_files_of_sessions().items()) if file_id in list(files.values())
    ]
    holders += [session_id for session_id, files in list(_HELD_BEFORE.items()) if file_id in files]
    return any(is_own(session_id, browser) for session_id in holders)


def _files_of_sessions() -> Mapping[str, Mapping[str, str]]:
    # No public name says whose a file is. Were this one gone, everything would be refused, and a test would say so.
    found: Mapping[str, Mapping[str, str]] = getattr(
        runtime.get_instance().media_file_mgr, "_files_by_session_and_coord", {}
    )
    return found


def remember_files() -> None:
    """Lets a tab fetch its files while its page runs anew.

    Streamlit forgets at the start of a run whose files they are, and keeps the files themselves to its end: a click on
    a download just after another one would be refused.
    """
    manager = runtime.get_instance().media_file_mgr
    forget = manager.clear_session_refs

    def remember_and_forget(session_id: str | None = None) -> None:
        session = session_id or current()
        held = _files_of_sessions().get(session or "")
        if session is not None and held:
            _HELD_BEFORE.pop(session, None)
            _HELD_BEFORE[session] = frozenset(held.values())
            for oldest in list(_HELD_BEFORE)[:-_MOST_OWNERS]:
                del _HELD_BEFORE[oldest]
        forget(session_id)

    setattr(manager, "clear_session_refs", remember_and_forget)  # noqa: B010  # mypy refuses the plain assignment


def is_own(session_id: str, browser: str) -> bool:
    """Whether the tab is one of that browser, and who works in it still may."""
    return browser_of(session_id) == browser and SESSIONS.may_go_on(session_id)
