"""Routes of the viewer's drafts: begin, read, change, save as a version, discard. A draft is its own person's alone."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.errors import InputError, StoreError, TwinReviewError
from pages.ui import resources, visible
from pages.ui.viewer.answers import NO_STORE, UNFORESEEN, denied, problem, read_body, refusal
from pages.ui.viewer.scan_routes import API
from pages.ui.viewer.tokens import Claims, read_token
from store.drafts import Draft, StaleDraft

logger = logging.getLogger("twinreview.viewer")

#: Longest edit as it comes, compressed.
MAX_BYTES = 64 * 2**20
Work = Callable[[Claims, Request, bytes], Response]


class Denied(StoreError):
    """The draft is not this person's, or not of what is on the page."""


def _draft(claims: Claims, request: Request) -> Draft:
    draft = resources.get_store().draft(request.path_params["draft_id"])
    mine = draft.person == claims.person and draft.patient_id == claims.patient_id
    if not mine or draft.timepoint not in claims.timepoints:
        raise Denied("Expected a draft of your own on this page, got another one. Reload the page.")
    return draft


def _revision(request: Request) -> int:
    """The revision that a change is made on."""
    given = request.headers.get("if-match", "").strip('" ')
    if not given.isdigit():
        raise InputError(f"Expected If-Match with a draft's revision, got {given[:40]!r}. Reload the page.")
    return int(given)


def begin(claims: Claims, request: Request, body: bytes) -> Response:
    """POST {"patient_id", "timepoint", "parent_version"} -> the person's open draft of it."""
    try:
        values = json.loads(body)
        patient, timepoint, parent = values["patient_id"], values["timepoint"], values["parent_version"]
    except (ValueError, KeyError, TypeError):
        raise InputError("Expected patient_id, timepoint and parent_version, got something else.") from None
    if patient != claims.patient_id or timepoint not in claims.timepoints:
        raise Denied("Expected a timepoint on this page, got another one. Reload the page.")
    if parent is not None and type(parent) is not int:
        raise InputError(f"Expected parent_version as a whole number or null, got {parent!r:.40}.")
    store = resources.get_store()
    if parent not in (None, *(r.version for r in visible.masks(store, patient, timepoint, claims.person))):
        raise Denied("Expected a version that you may see, got another one. Reload the page.")
    draft = store.open_draft(patient, timepoint, parent, claims.person)
    prompts = store.draft_labels(draft).prompts if draft.revision else []
    return JSONResponse(
        {"draft_id": draft.draft_id, "revision": draft.revision, "prompts": prompts, "parent_version": parent},
        headers=NO_STORE,
    )


def labels(claims: Claims, request: Request, body: bytes) -> Response:
    """GET -> gzip of uint8 labels, the whole grid; x-revision says of which revision."""
    drawn = resources.get_store().draft_labels(_draft(claims, request))
    headers = {**NO_STORE, "Content-Encoding": "gzip", "x-revision": str(drawn.revision)}
    packed = gzip.compress(drawn.labels.array.ravel(order="F").data, compresslevel=1)
    return Response(packed, media_type="application/octet-stream", headers=headers)


def edit(claims: Claims, request: Request, body: bytes) -> Response:
    """PUT an edit on top of If-Match -> {"revision"}; it is on disk then."""
    draft = _draft(claims, request)
    return JSONResponse(
        {"revision": resources.get_store().edit_draft(draft.draft_id, _revision(request), body)}, headers=NO_STORE
    )


def save(claims: Claims, request: Request, body: bytes) -> Response:
    """POST: the draft becomes a version -> the version and how it differs from its parent."""
    from core.stages.draft import save_draft

    store: Any = resources.get_store()
    draft, wanted = _draft(claims, request), _revision(request)
    drawn = store.draft_labels(draft)
    if drawn.revision != wanted:
        raise StaleDraft(drawn.revision, "a moment ago")
    said = save_draft(
        store, draft.patient_id, draft.timepoint, parent_version=draft.parent_version, labels=drawn.labels,
        prompts=drawn.prompts, by_hand=drawn.by_hand, person=claims.person,
    )  # fmt: skip
    return JSONResponse({**said, "closed": store.finish_draft(draft.draft_id, drawn.revision)}, headers=NO_STORE)


def discard(claims: Claims, request: Request, body: bytes) -> Response:
    """DELETE: the draft is closed, and nothing becomes of it."""
    resources.get_store().discard_draft(_draft(claims, request).draft_id)
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
