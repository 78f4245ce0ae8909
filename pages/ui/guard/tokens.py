"""Tokens: what a browser may fetch and change beside the page. Made by a page after its own checks.

A token is a random word and says nothing by itself; what it allows stays here. It is bound to one person in their role,
one patient, the scans and timepoints on the page, to the tab (Streamlit's session) that asked for it and to the browser
of that tab. It ends

- `LINGER_S` after the tab was closed or lost its connection (in that time a tab that is back goes on as before);
- at once when the person is changed on the page or asked for anew, and `LINGER_S` after the patient is changed, so that
  a last stroke is kept;
- for good when the person is disabled, gets another role or signs in as another account, which is asked at every
  request (`core.access.Person.changes`);
- with the sign-in of its tab (`pages.ui.guard.working`), with the server, and after `MAX_AGE_S` in any case.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from starlette.requests import Request

from core.access import may
from core.errors import TwinReviewError
from pages.ui.frame import resources
from pages.ui.guard import sessions
from pages.ui.guard.working import SESSIONS

#: A working shift. The page makes a new token when half of it is over.
MAX_AGE_S = 8 * 3600
#: Longer than a stroke takes to be sent, and than a tab needs to find its server again after a hitch of the network.
LINGER_S = 10.0
#: Streamlit forgets a tab that has been away for two minutes; its tokens are forgotten somewhat later.
_FORGET_S = 600.0
HEADER = "x-twin-token"


@dataclass(frozen=True)
class Claims:
    """What a token allows.

    Args:
        person: under whose name everything is recorded.
        patient_id: the one patient.
        scans: sha256 of the scans that may be read.
        timepoints: whose masks may be read.
        edit: whether drafts may be changed and saved.
        role: the person's role when the token was made.
        changes: how often it had been changed by then what the person is and may (`core.access.Person.changes`).
    """

    person: str
    patient_id: str
    scans: tuple[str, ...]
    timepoints: tuple[str, ...]
    edit: bool
    role: str = ""
    changes: int = 0


@dataclass
class _Issued:
    claims: Claims
    session: str | None
    browser: str | None
    made_at: float
    ends_at: float


@dataclass
class Registry:
    """The tokens in force.

    Args:
        is_active: whether a session's tab is connected.
        now: seconds, of a clock that is never set back.
    """

    is_active: Callable[[str], bool] = sessions.is_active
    now: Callable[[], float] = time.monotonic
    _issued: dict[str, _Issued] = field(default_factory=dict, init=False, repr=False)
    #: session -> when its tab was last seen to go.
    _ended: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def make(self, claims: Claims, session: str | None, browser: str | None = None) -> str:
        """A token of these claims for that session, and its browser where that is known; the same one again while it is
        young."""
        now = self.now()
        with self._lock:
            self._ended.pop(session or "", None)  # its page is being run, so its tab is there
            self._sweep(now)
            for token, issued in self._issued.items():
                same = (issued.claims, issued.session, issued.browser) == (claims, session, browser)
                if same and issued.ends_at > now + MAX_AGE_S / 2:
                    return token
            token = secrets.token_urlsafe(32)
            self._issued[token] = _Issued(claims, session, browser, now, now + MAX_AGE_S)
            return token

    def read(self, token: str, browser: str | None = None) -> Claims | None:
        """What a token allows to that browser; None for one that was never made, has ended, or is another browser's."""
        found = self.find(token, browser)
        return None if found is None else found[0]

    def find(self, token: str, browser: str | None = None) -> tuple[Claims, str | None] | None:
        """The same with the session that the token is bound to."""
        with self._lock:
            issued = self._issued.get(token)
            if issued is None or issued.ends_at <= self.now() or not self._connected(issued.session):
                return None
            return (issued.claims, issued.session) if issued.browser in (None, browser) else None

    def revoke(self, session: str, keep: Callable[[Claims], bool], linger_s: float = 0.0) -> None:
        """Ends the session's tokens whose claims are not to be kept, after `linger_s`."""
        until = self.now() + linger_s
        with self._lock:
            for issued in self._issued.values():
                if issued.session == session and not keep(issued.claims):
                    issued.ends_at = min(issued.ends_at, until)

    def note_ended_sessions(self) -> None:
        """Notes which tabs are gone; to be called whenever a connection ends."""
        now = self.now()
        with self._lock:
            for session in {issued.session for issued in self._issued.values() if issued.session is not None}:
                if self.is_active(session):
                    self._ended.pop(session, None)
                else:
                    self._ended.setdefault(session, now)

    def _connected(self, session: str | None) -> bool:
        if session is None:  # made outside a page, which no visitor can do
            return True
        if self.is_active(session):
            self._ended.pop(session, None)
            return True
        # Without a noted end it is not known since when the tab is gone, so the token is taken for ended.
        return self.now() - self._ended.get(session, float("-inf")) < LINGER_S

    def _sweep(self, now: float) -> None:
        gone = {session for session, at in self._ended.items() if now - at > _FORGET_S}
        self._issued = {
            token: issued
            for token, issued in self._issued.items()
            if issued.ends_at > now and issued.session not in gone
        }
        for session in gone:
            del self._ended[session]


_REGISTRY = Registry()


def make_token(person: str, patient_id: str, scans: Sequence[str], timepoints: Sequence[str], edit: bool) -> str:
    """The token of these claims, bound to the session whose page is being run and to its browser. One for a name that
    nobody added, or that is disabled, allows nothing."""
    claims, session = Claims(person, patient_id, tuple(scans), tuple(timepoints), edit), sessions.current()
    if (known := resources.whole_store().people.named(person)) is not None:
        claims = replace(claims, role=known.role, changes=known.changes)
    return _REGISTRY.make(claims, session, None if session is None else sessions.own_browser())


def read_token(request: Request) -> Claims | None:
    """The request's claims; None for a token that is missing, made up, has ended, or is of another browser."""
    found = _REGISTRY.find(request.headers.get(HEADER, ""), request.cookies.get(sessions.BROWSER_COOKIE))
    if found is None or not SESSIONS.may_go_on(found[1]):
        return None
    return found[0] if _still_allowed(found[0]) else None


def end_session(session: str) -> None:
    """Ends all tokens of a session, at once."""
    _REGISTRY.revoke(session, lambda claims: False)


def keep_only(person: str, patient_id: str | None) -> None:
    """Ends the running session's tokens of other persons at once, and of other patients after `LINGER_S`."""
    session = sessions.current()
    if session is not None:
        _REGISTRY.revoke(session, lambda claims: claims.person == person)
        _REGISTRY.revoke(session, lambda claims: claims.patient_id == patient_id, LINGER_S)


def note_ended_sessions() -> None:
    """Notes which tabs are gone; called at the end of every WebSocket."""
    _REGISTRY.note_ended_sessions()


def _still_allowed(claims: Claims) -> bool:
    """Whether the person is known, let in, and what they were when the token was made: asked at each request."""
    try:
        known = resources.whole_store().people.named(claims.person)
    except TwinReviewError:
        return False
    if known is None or known.disabled or (known.role, known.changes) != (claims.role, claims.changes):
        return False
    return not claims.edit or may(known.role, "draft.edited")
