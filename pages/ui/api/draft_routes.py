"""Routes of the viewer's drafts: begin, read, change, save as a version, discard. A draft is its own person's alone."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable

from starlette.responses import JSONResponse, Response

from core.remembered.untyped import JsonDict
from core.strict import read_strictly
from pages.ui.api.answers import NO_STORE, problem
from pages.ui.api.bodies import MAX_BEGIN_BYTES, BeginBody, revision
from pages.ui.api.prompt_routes import GIVEN
from pages.ui.api.scan_routes import API
from pages.ui.guard.guard import Asked, ByToken, Denied, GuardedRoute, guarded
from store import SeenStore
from store.files.drafts import Draft, StaleDraft, read_edit

#: Longest edit as it comes, compressed.
MAX_BYTES = 64 * 2**20
#: What closes a draft holds its lock from the look at it to the end: who comes second finds it closed.
_CLOSING = tuple(threading.Lock() for _ in range(64))


def _draft_of_person(asked: Asked) -> Draft:
    draft = asked.store.drafts.get(asked.parameter("draft_id"))
    mine = draft.person == asked.person and draft.patient_id == asked.patient_id
    if not mine or draft.timepoint not in asked.claims.timepoints:
        raise Denied("Expected a draft of your own on this page, got another one. Reload the page.")
    return draft


def _draft(asked: Asked) -> Draft:
    """The person's own draft, of a version that they may still see."""
    draft = _draft_of_person(asked)
    if draft.parent_version not in _seen(asked, draft.timepoint):
        raise Denied(
            f"This draft began with version {draft.parent_version}, which you may not see while {draft.timepoint} is "
            "read blind. It stays as it is: finish your reading to go on with it, or discard it."
        )
    return draft


def _seen(asked: Asked, timepoint: str) -> set[int | None]:
    """The versions that a draft of this person may begin with; None is none at all."""
    return {
        None,
        *(r.version for r in asked.store.masks.of(asked.patient_id, timepoint)),
    }


def _closing(draft: Draft) -> threading.Lock:
    """The lock of a draft, by the id as the store spells it; the draft must be read anew once it is held.

    A lock is shared by several drafts, so that none must be kept for drafts that are gone.
    """
    return _CLOSING[hash(draft.draft_id) % len(_CLOSING)]


def _revision(asked: Asked) -> int:
    """The revision that a change is made on."""
    return revision(asked.request.headers.get("if-match", ""))


def begin(asked: Asked) -> Response:
    """POST {"patient_id", "timepoint", "parent_version"} -> the person's open draft of it, what it has and what of it
    could not be read."""
    wanted = read_strictly(BeginBody, asked.body, MAX_BEGIN_BYTES)
    asked.check_timepoint(wanted.patient_id, wanted.timepoint)
    if wanted.parent_version not in _seen(asked, wanted.timepoint):
        raise Denied("Expected a version that you may see, got another one. Reload the page.")
    store = asked.store
    draft = store.drafts.begin(wanted.patient_id, wanted.timepoint, wanted.parent_version, asked.person)
    said: JsonDict = {"prompts": [], "answers": [], "left_out": [], "lesions": []}
    if draft.revision:
        drawn = store.drafts.labels(draft)
        said = {
            "prompts": drawn.prompts,
            "answers": [answer.answer_id for answer in drawn.answers],
            "left_out": drawn.left_out,
            "lesions": [{"label": label, "lesion_id": name} for label, name in (drawn.lesions or {}).items()],
        }
    return JSONResponse(
        {"draft_id": draft.draft_id, "revision": draft.revision, "parent_version": wanted.parent_version, **said},
        headers=NO_STORE,
    )


def labels(asked: Asked) -> Response:
    """GET -> gzip of uint8 labels, the whole grid; x-revision says of which revision."""
    drawn = asked.store.drafts.labels(_draft(asked))
    headers = {**NO_STORE, "Content-Encoding": "gzip", "x-revision": str(drawn.revision)}
    packed = gzip.compress(drawn.labels.array.ravel(order="F").data, compresslevel=1)
    return Response(packed, media_type="application/octet-stream", headers=headers)


def edit(asked: Asked) -> Response:
    """PUT an edit on top of If-Match -> {"revision", "unproven"}; it is on disk then.

    `unproven` are the cited answers that the server does not remember to have given: what they changed is by hand.
    """
    store, draft, on = asked.store, _draft(asked), _revision(asked)
    cited = read_edit(asked.body, draft.shape).answers or []
    recorded = store.drafts.answers(draft) if cited else {}
    fresh = [answer_id for answer_id in dict.fromkeys(cited) if answer_id not in recorded]
    given = GIVEN.recall(draft.person, draft.patient_id, draft.timepoint, fresh)
    new = store.drafts.edit(draft.draft_id, on, asked.body, given)
    proven = {answer.answer_id for answer in given}
    unproven = [answer_id for answer_id in fresh if answer_id not in proven]
    return JSONResponse({"revision": new, "unproven": unproven}, headers=NO_STORE)


def save(asked: Asked) -> Response:
    """POST: the draft becomes a version -> the version and how it differs from its parent."""
    return JSONResponse(save_as_version(asked.store, _draft(asked), _revision(asked)), headers=NO_STORE)


def save_as_version(store: SeenStore, draft: Draft, revision: int) -> JsonDict:
    """The person's draft becomes a version and is closed, for this route and for the page.

    Raises:
        StaleDraft: `revision` is not the newest. InputError, StoreError: as `core.jobs.stages.draft.save_draft`.
    """
    from core.jobs.stages.draft import save_draft

    with _closing(draft):
        draft = store.drafts.get(draft.draft_id)
        drawn = store.drafts.labels(draft)
        store.drafts.refuse_stale(draft.draft_id, revision)  # after it was read: what was read is no newer one
        said = save_draft(
            store,
            draft.patient_id,
            draft.timepoint,
            parent_version=draft.parent_version,
            labels=drawn.labels,
            answers=drawn.answers,
            drawn=drawn.lesions,
            person=store.person,
        )
        closed = store.drafts.finish(draft.draft_id, drawn.revision)
    if closed:
        _forget_answers(store, draft)
    return {**said, "left_out": drawn.left_out, "closed": closed}


def _forget_answers(store: SeenStore, draft: Draft) -> None:
    """After a draft was closed; not while the person has another one of its timepoint, which may still cite them."""
    if not store.drafts.of(draft.patient_id, draft.timepoint, draft.person):
        GIVEN.forget(draft.person, draft.patient_id, draft.timepoint)


def discard(asked: Asked) -> Response:
    """DELETE: the draft is closed, and nothing becomes of it."""
    with _closing(_draft_of_person(asked)):
        draft = _draft_of_person(asked)
        asked.store.drafts.discard(draft.draft_id)
    _forget_answers(asked.store, draft)
    return JSONResponse({}, headers=NO_STORE)


def _unless_stale(work: Callable[[Asked], Response]) -> Callable[[Asked], Response]:
    """`work`, which answers 409 with the newest revision where somebody has changed the draft meanwhile."""

    def answer(asked: Asked) -> Response:
        try:
            return work(asked)
        except StaleDraft as error:
            more = {"revision": error.revision, "person": asked.person, "saved_at": error.saved_at}
            return problem(409, str(error), **more)

    return answer


def _route(path: str, work: Callable[[Asked], Response], method: str) -> GuardedRoute:
    return guarded(API + path, _unless_stale(work), _RULE, [method])


_RULE = ByToken(
    what="this draft",
    only_reads="A draft changes a mask, and you may only read here. Ask for a role that reviews.",
    most_bytes=MAX_BYTES,
    too_long=f"Expected a change of at most {MAX_BYTES >> 20} MB, got more. Save it in parts.",
)
DRAFT_ROUTES = [
    _route("draft", begin, "POST"),
    _route("draft/{draft_id}/labels", labels, "GET"),
    _route("draft/{draft_id}/save", save, "POST"),
    _route("draft/{draft_id}", edit, "PUT"),
    _route("draft/{draft_id}", discard, "DELETE"),
]
