"""Routes of the viewer's drafts: begin, read, change, save as a version, discard. A draft is its own person's alone."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.errors import StoreError, TwinReviewError
from core.strict import read_strictly
from pages.ui.api.answers import NO_STORE, UNFORESEEN, denied, problem, read_body, refusal
from pages.ui.api.bodies import MAX_BEGIN_BYTES, BeginBody, revision
from pages.ui.api.prompt_routes import GIVEN
from pages.ui.api.scan_routes import API
from pages.ui.frame import resources, visible
from pages.ui.guard.tokens import Claims, read_token
from store import Store
from store.files.drafts import Draft, StaleDraft, read_edit

logger = logging.getLogger("twinreview.viewer")

#: Longest edit as it comes, compressed.
MAX_BYTES = 64 * 2**20
Work = Callable[[Claims, Request, bytes], Response]
#: What closes a draft holds its lock from the look at it to the end: who comes second finds it closed.
_CLOSING = tuple(threading.Lock() for _ in range(64))


class Denied(StoreError):
    """The draft is not this person's, or not of what is on the page."""


def _draft_of_person(claims: Claims, request: Request) -> Draft:
    draft = resources.get_store().drafts.get(request.path_params["draft_id"])
    mine = draft.person == claims.person and draft.patient_id == claims.patient_id
    if not mine or draft.timepoint not in claims.timepoints:
        raise Denied("Expected a draft of your own on this page, got another one. Reload the page.")
    return draft


def _draft(claims: Claims, request: Request) -> Draft:
    """The person's own draft, of a version that they may still see."""
    draft = _draft_of_person(claims, request)
    if draft.parent_version not in _seen(claims, draft.timepoint):
        raise Denied(
            f"This draft began with version {draft.parent_version}, which you may not see while {draft.timepoint} is "
            "read blind. It stays as it is: finish your reading to go on with it, or discard it."
        )
    return draft


def _seen(claims: Claims, timepoint: str) -> set[int | None]:
    """The versions that a draft of this person may begin with; None is none at all."""
    return {
        None,
        *(r.version for r in visible.masks(resources.get_store(), claims.patient_id, timepoint, claims.person)),
    }


def _closing(claims: Claims, request: Request) -> threading.Lock:
    """The lock of the request's draft, by the id as the store spells it; the draft must be read anew once it is held.

    A lock is shared by several drafts, so that none must be kept for drafts that are gone.
    """
    return _CLOSING[hash(_draft_of_person(claims, request).draft_id) % len(_CLOSING)]


def _revision(request: Request) -> int:
    """The revision that a change is made on."""
    return revision(request.headers.get("if-match", ""))


def begin(claims: Claims, request: Request, body: bytes) -> Response:
    """POST {"patient_id", "timepoint", "parent_version"} -> the person's open draft of it, what it has and what of it
    could not be read."""
    asked = read_strictly(BeginBody, body, MAX_BEGIN_BYTES)
    if asked.patient_id != claims.patient_id or asked.timepoint not in claims.timepoints:
        raise Denied("Expected a timepoint on this page, got another one. Reload the page.")
    if asked.parent_version not in _seen(claims, asked.timepoint):
        raise Denied("Expected a version that you may see, got another one. Reload the page.")
    store = resources.get_store()
    draft = store.drafts.begin(asked.patient_id, asked.timepoint, asked.parent_version, claims.person)
    said: dict[str, Any] = {"prompts": [], "answers": [], "left_out": []}
    if draft.revision:
        drawn = store.drafts.labels(draft)
        said = {
            "prompts": drawn.prompts,
            "answers": [answer.answer_id for answer in drawn.answers],
            "left_out": drawn.left_out,
        }
    return JSONResponse(
        {"draft_id": draft.draft_id, "revision": draft.revision, "parent_version": asked.parent_version, **said},
        headers=NO_STORE,
    )


def labels(claims: Claims, request: Request, body: bytes) -> Response:
    """GET -> gzip of uint8 labels, the whole grid; x-revision says of which revision."""
    drawn = resources.get_store().drafts.labels(_draft(claims, request))
    headers = {**NO_STORE, "Content-Encoding": "gzip", "x-revision": str(drawn.revision)}
    packed = gzip.compress(drawn.labels.array.ravel(order="F").data, compresslevel=1)
    return Response(packed, media_type="application/octet-stream", headers=headers)


def edit(claims: Claims, request: Request, body: bytes) -> Response:
    """PUT an edit on top of If-Match -> {"revision", "unproven"}; it is on disk then.

    `unproven` are the cited answers that the server does not remember to have given: what they changed is by hand.
    """
    store, draft, on = resources.get_store(), _draft(claims, request), _revision(request)
    cited = read_edit(body, draft.shape).answers or []
    recorded = store.drafts.answers(draft) if cited else {}
    fresh = [answer_id for answer_id in dict.fromkeys(cited) if answer_id not in recorded]
    given = GIVEN.recall(draft.person, draft.patient_id, draft.timepoint, fresh)
    new = store.drafts.edit(draft.draft_id, on, body, given)
    proven = {answer.answer_id for answer in given}
    unproven = [answer_id for answer_id in fresh if answer_id not in proven]
    return JSONResponse({"revision": new, "unproven": unproven}, headers=NO_STORE)


def save(claims: Claims, request: Request, body: bytes) -> Response:
    """POST: the draft becomes a version -> the version and how it differs from its parent."""
    from core.jobs.stages.draft import save_draft

    store: Store = resources.get_store()
    with _closing(claims, request):
        draft, wanted = _draft(claims, request), _revision(request)
        drawn = store.drafts.labels(draft)
        if drawn.revision != wanted:
            raise StaleDraft(drawn.revision, "a moment ago")
        said = save_draft(
            store,
            draft.patient_id,
            draft.timepoint,
            parent_version=draft.parent_version,
            labels=drawn.labels,
            answers=drawn.answers,
            person=claims.person,
        )
        closed = store.drafts.finish(draft.draft_id, drawn.revision)
    if closed:
        _forget_answers(draft)
    return JSONResponse({**said, "left_out": drawn.left_out, "closed": closed}, headers=NO_STORE)


def _forget_answers(draft: Draft) -> None:
    """After a draft was closed; not while the person has another one of its timepoint, which may still cite them."""
    if not resources.get_store().drafts.of(draft.patient_id, draft.timepoint, draft.person):
        GIVEN.forget(draft.person, draft.patient_id, draft.timepoint)


def discard(claims: Claims, request: Request, body: bytes) -> Response:
    """DELETE: the draft is closed, and nothing becomes of it."""
    with _closing(claims, request):
        draft = _draft_of_person(claims, request)
        resources.get_store().drafts.discard(draft.draft_id)
    _forget_answers(draft)
    return JSONResponse({}, headers=NO_STORE)


def _route(work: Work) -> Callable[[Request], Awaitable[Response]]:
    """`work` in a thread behind the token, its errors as sentences."""

    async def answer(request: Request) -> Response:
        claims = read_token(request)
        if claims is None:
            return denied("this draft")
        if not claims.edit:
            return problem(403, "A draft changes a mask, and you may only read here. Ask for a role that reviews.")
        body = await read_body(request, MAX_BYTES)
        if body is None:
            return problem(413, f"Expected a change of at most {MAX_BYTES >> 20} MB, got more. Save it in parts.")
        try:
            return await run_in_threadpool(work, claims, request, body)
        except StaleDraft as error:
            more: dict[str, Any] = {"revision": error.revision, "person": claims.person, "saved_at": error.saved_at}
            return problem(409, str(error), **more)
        except Denied as error:
            return problem(403, str(error))
        except TwinReviewError as error:
            return refusal(error)
        except Exception as error:  # its text may name a patient's file
            logger.error("a draft's route failed: %s", type(error).__name__)
            return problem(500, UNFORESEEN)

    return answer


DRAFT_ROUTES = [
    Route(API + "draft", _route(begin), methods=["POST"]),
    Route(API + "draft/{draft_id}/labels", _route(labels), methods=["GET"]),
    Route(API + "draft/{draft_id}/save", _route(save), methods=["POST"]),
    Route(API + "draft/{draft_id}", _route(edit), methods=["PUT"]),
    Route(API + "draft/{draft_id}", _route(discard), methods=["DELETE"]),
]
