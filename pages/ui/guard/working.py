"""Who works in which open tab, and whether they still may: asked of everything that a tab asks for without its page.

A page is run as a whole by `pages.ui.frame.shell`, which settles who works there and notes it here. What comes between
two runs, a click, a part that refreshes itself, a file, a route, is let through only while the same person may go on:
they are known, not disabled, and their sign-in has neither ended nor grown older than a shift.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from core.errors import TwinReviewError
from pages.ui.frame import resources

#: How long a browser keeps a name or a sign-in: a working shift, as the next person at a reading station is another.
SHIFT_S = 12 * 3600
_MOST_SESSIONS = 10_000


@dataclass(frozen=True)
class Working:
    """Who works in a tab.

    Args:
        person: their name.
        sign_in: which sign-in it is of; None where names are chosen.
        until: seconds since 1970 at which the sign-in is too old.
    """

    person: str
    sign_in: str | None = None
    until: float = float("inf")


@dataclass
class Sessions:
    """The tabs in which somebody works.

    Args:
        now: seconds since 1970.
    """

    now: Callable[[], float] = time.time
    _working: dict[str, Working] = field(default_factory=dict, init=False, repr=False)
    #: Sign-ins that were ended -> until when they would have lasted.
    _ended: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def note(self, session: str | None, working: Working | None) -> None:
        """Notes who works in a tab; None: nobody does."""
        if session is None:
            return
        with self._lock:
            self._working.pop(session, None)
            if working is not None:
                self._working[session] = working
            for oldest in list(self._working)[:-_MOST_SESSIONS]:
                del self._working[oldest]

    def end(self, sign_in: str, until: float) -> list[str]:
        """Ends a sign-in in every tab; returns their sessions."""
        with self._lock:
            self._ended = {key: at for key, at in self._ended.items() if at > self.now()} | {sign_in: until}
            return [session for session, working in self._working.items() if working.sign_in == sign_in]

    def has_ended(self, sign_in: str | None, until: float) -> bool:
        """Whether somebody signed out of it, or it is too old."""
        with self._lock:
            return sign_in in self._ended or self.now() >= until

    def may_go_on(self, session: str | None) -> bool:
        """Whether who works in that tab still may; True for one in which nobody does, to whom nothing was given."""
        with self._lock:
            working = self._working.get(session or "")
        if working is None:
            return True
        if self.has_ended(working.sign_in, working.until):
            return False
        try:
            known = resources.whole_store().people.named(working.person)
        except TwinReviewError:
            return False
        return known is not None and not known.disabled


SESSIONS = Sessions()
