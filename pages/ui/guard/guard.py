"""The one guard before every route: who asks, whether they still may, and for what of what their page shows.

A route is a `GuardedRoute` and has a rule; `only_guarded` refuses any other at the server's start. A handler is called
by the guard alone and gets what was checked: the person, the patient, the scans and timepoints on the page.

    ByToken    the token is in force: its tab is open, in the browser that asks; the person is known, not disabled and
               has the role that they had when it was made; and, for what changes something, that role allows it
    Open       anybody: what says nothing of patients and changes nothing of theirs
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from core.errors import StoreError, TwinReviewError
from core.types import MaskRecord, Scan
from pages.ui.api.answers import UNFORESEEN, denied, problem, read_body, refusal
from pages.ui.frame import resources
from pages.ui.guard import tokens
from pages.ui.guard.tokens import Claims
from store import SeenStore

logger = logging.getLogger("twinreview.pages")


class Denied(TwinReviewError):
    """What is asked for is not on the page of whoever asks, or not theirs."""


@dataclass(frozen=True)
class Open:
    """The rule of a route that anybody may ask.

    Args:
        why: what makes that harmless.
    """

    why: str


@dataclass(frozen=True)
class ByToken:
    """The rule of a route behind a token.

    Args:
        what: what is asked for, as a refusal names it ("this scan").
        only_reads: what is said to a token that may only read, of a route that changes something; None: reading is all
            that it does.
        most_bytes: longest body; 0 for a route that takes none.
        too_long: what is said of a longer one.
    """

    what: str
    only_reads: str | None = None
    most_bytes: int = 0
    too_long: str = ""


@dataclass(frozen=True)
class Asked:
    """A request that was let in.

    Args:
        claims: who asks, and for what of what their page shows.
        request: its path's parameters and headers; its body has been read.
        body: at most as long as the rule allows.
    """

    claims: Claims
    request: Request
    body: bytes

    @property
    def person(self) -> str:
        """Under whose name it is asked."""
        return self.claims.person

    @cached_property
    def store(self) -> SeenStore:
        """The store as they see it."""
        return resources.whole_store().seen_by(self.person)

    @property
    def patient_id(self) -> str:
        """The one patient of the page."""
        return self.claims.patient_id

    def parameter(self, name: str) -> str:
        """A part of the address, as text."""
        return str(self.request.path_params[name])

    def check_timepoint(self, patient_id: str, timepoint: str) -> None:
        """Raises Denied for a timepoint that is not on the page."""
        if patient_id != self.claims.patient_id or timepoint not in self.claims.timepoints:
            raise Denied("Expected a timepoint on this page, got another one. Reload the page.")

    def scan(self, sha256: str) -> Scan | None:
        """A scan on the page; None where it is not stored (any more). Raises Denied for one that is not on the page."""
        if sha256 not in self.claims.scans:
            raise Denied("Expected a scan on this page, got another one. Reload the page to get a new token.")
        scans: list[Scan] = self.store.scans.of(self.claims.patient_id)
        return next((scan for scan in scans if scan.sha256 == sha256), None)

    def mask(self, mask_id: str) -> MaskRecord:
        """A version on the page that the person may see. Raises Denied for every other, in the same words."""
        try:
            record: MaskRecord | None = self.store.masks.by_id(mask_id)
        except StoreError:
            record = None
        if record is None or record.patient_id != self.patient_id or record.timepoint not in self.claims.timepoints:
            raise Denied("Expected a mask on this page, got another one. Reload the page to get a new token.")
        return record

    def still_in_force(self) -> bool:
        """Whether the same request would be let in now; for answers that take long."""
        return tokens.read_token(self.request) == self.claims


Rule = Open | ByToken
Handler = Callable[[Asked], Response] | Callable[[Asked], Awaitable[Response]]
OpenHandler = Callable[[Request], Awaitable[Response]]


class GuardedRoute(Route):
    """A route whose handler stands behind the guard. Made by `guarded` and `open_to_all`."""

    def __init__(self, path: str, endpoint: OpenHandler, methods: list[str], rule: Rule) -> None:
        super().__init__(path, endpoint, methods=methods)
        self.rule = rule


def open_to_all(path: str, handler: OpenHandler, why: str, methods: list[str] | None = None) -> GuardedRoute:
    """A route that anybody may ask; `why` says what makes that harmless. GET, unless methods are named."""
    if not why.strip():
        raise ValueError(f"Expected the reason why {path} is open to all, got none.")
    return GuardedRoute(path, handler, methods or ["GET"], Open(why))


def guarded(path: str, handler: Handler, rule: ByToken, methods: list[str] | None = None) -> GuardedRoute:
    """A route behind a token; a handler that is no coroutine runs in a thread. GET, unless methods are named."""

    async def endpoint(request: Request) -> Response:
        asked = await _checked(request, rule)
        return asked if isinstance(asked, Response) else await _answer(handler, asked, rule)

    return GuardedRoute(path, endpoint, methods or ["GET"], rule)


async def _checked(request: Request, rule: ByToken) -> Asked | Response:
    """The request if it may pass, else the answer that refuses it."""
    claims = await run_in_threadpool(tokens.read_token, request)  # it asks the store, which may be busy writing
    if claims is None:
        return denied(rule.what)
    if rule.only_reads is not None and not claims.edit:
        return problem(403, rule.only_reads)
    if rule.most_bytes == 0:
        return Asked(claims, request, b"")
    body = await read_body(request, rule.most_bytes)
    return problem(413, rule.too_long) if body is None else Asked(claims, request, body)


async def _answer(handler: Handler, asked: Asked, rule: ByToken) -> Response:
    """What the handler answers; its errors as a sentence and a status, never with a name or a path."""
    try:
        if inspect.iscoroutinefunction(handler):
            answer = await handler(asked)
        else:
            answer = await run_in_threadpool(handler, asked)
    except Denied as error:
        return problem(403, str(error))
    except TwinReviewError as error:
        return refusal(error)
    except Exception as error:  # its text may name a patient's file
        logger.error("a route failed, asked for %s: %s", rule.what, type(error).__name__)
        return problem(500, UNFORESEEN)
    if not isinstance(answer, Response):
        raise TypeError(f"Expected an answer to {asked.request.url.path}, got {type(answer).__name__}.")
    return answer


def only_guarded(routes: Iterable[BaseRoute]) -> list[GuardedRoute]:
    """The routes, each of which has a rule. At the server's start.

    Raises:
        TypeError: for a route without one.
    """
    found: list[GuardedRoute] = []
    for route in routes:
        if not isinstance(route, GuardedRoute) or not isinstance(route.rule, (Open, ByToken)):
            raise TypeError(
                f"Expected every route to stand behind the guard, {getattr(route, 'path', route)} does not. Make it by "
                "pages.ui.guard.guard.guarded, with what it asks of whoever comes."
            )
        found.append(route)
    return found
