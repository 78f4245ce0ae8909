"""Routes of the viewer's prompts: one slice at once, a propagation slice by slice, embedding ahead of the cursor.

What is heavy is imported with the first prompt, not with the server.
"""

from __future__ import annotations

import json
import logging
import math
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from core.errors import StoreError, TwinReviewError
from core.review.model_answers import Answer, AnswerBook, AskedPrompt
from core.strict import read_strictly
from core.types import Prompt, Scan
from pages.ui.api.answers import NO_STORE, UNFORESEEN, denied, problem, read_body, refusal
from pages.ui.api.bodies import MAX_PROMPT_BYTES, AheadBody, PromptBody, PropagateBody, ScanBody
from pages.ui.frame import resources
from pages.ui.guard.tokens import Claims, read_token

if TYPE_CHECKING:
    from core.engines.base import SliceFound, StopReason
    from core.engines.service.interactive import ScanFile

logger = logging.getLogger("twinreview.viewer")

#: What was answered lately. A draft cites it; a restart of the server forgets what no draft has cited by then.
GIVEN = AnswerBook()
Values = dict[str, Any]
Body = TypeVar("Body", bound=ScanBody)


async def _answer(request: Request, kind: type[Body], work: Callable[[Claims, Body], Any]) -> Response | Any:
    """Checks token and body, then does `work` in a thread; its errors become the sentence and a status."""
    claims = read_token(request)
    if claims is None:
        return denied("this scan")
    if not claims.edit:
        return problem(403, "Prompts change a mask, and you may only read here. Ask for a role that reviews.")
    text = await read_body(request, MAX_PROMPT_BYTES)
    if text is None:
        return problem(413, f"Expected a request of at most {MAX_PROMPT_BYTES >> 20} MB, got more. Send one slice.")
    try:
        body = read_strictly(kind, text, MAX_PROMPT_BYTES)
        if body.scan not in claims.scans:
            return problem(403, "This scan is not on your page. Reload the page.")
        return await run_in_threadpool(work, claims, body)
    except TwinReviewError as error:
        return refusal(error)
    except Exception as error:  # its text may name a patient's file
        logger.error("a prompt's route failed: %s", type(error).__name__)
        return problem(500, UNFORESEEN)


def _stored(claims: Claims, sha256: str) -> Scan:
    for scan in resources.get_store().scans.of(claims.patient_id):
        if scan.sha256 == sha256:
            return scan
    raise StoreError("This scan is not stored any more. Reload the page.")


def _file(scan: Scan) -> ScanFile:
    from core.engines.service.interactive import ScanFile

    return ScanFile.of(scan, resources.get_store().scans.path(scan))


def _prompts(asked: Sequence[AskedPrompt], scan: Scan) -> list[Prompt]:
    """What is asked, as the engine takes it."""
    return [prompt.prompt(scan.channel) for prompt in asked]


def _finite(value: float) -> float | None:
    """What a model believes of its answer; None where that is no number."""
    return float(value) if math.isfinite(value) else None


def _predict(claims: Claims, body: PromptBody) -> Response:
    from core.lesions.mask_bits import pack

    scan = _stored(claims, body.scan)
    asked = _prompts(body.prompts, scan)
    answer = resources.get_prompt_service().predict(_file(scan), body.axis, body.slice, asked)
    packed = pack(answer.found.mask)
    given = Answer(
        **packed,
        answer_id=uuid.uuid4().hex,
        scan_sha256=scan.sha256,
        scan=scan.scan_id,
        axis=body.axis,
        slice=body.slice,
        lesion=body.lesion,
        prompts=body.prompts,
        model_id=answer.model_id,
        checkpoint_sha256=answer.checkpoint_sha256,
    )
    return JSONResponse(
        {
            **packed,
            "answer_id": GIVEN.remember(claims.person, claims.patient_id, scan.timepoint, given),
            "predicted_iou": _finite(answer.found.predicted_iou),
            "embedded": answer.embedded,
            "seconds": answer.seconds,
            "model_id": answer.model_id,
            "checkpoint_sha256": answer.checkpoint_sha256,
        },
        headers=NO_STORE,
    )


def _ahead(claims: Claims, body: AheadBody) -> Response:
    scan = _file(_stored(claims, body.scan))
    ready, queued = resources.get_prompt_service().ahead(scan, body.axis, body.slice)
    return JSONResponse({"embedded": ready, "queued": queued}, headers=NO_STORE)


def _propagate(claims: Claims, body: PropagateBody) -> Iterator[Values]:
    """The lines of a propagation; what cannot be asked is refused before the first."""
    from core.lesions.mask_bits import unpack

    scan = _stored(claims, body.scan)
    start = None
    if body.start is not None:
        start = (body.start.slice, unpack(body.start.model_dump(), scan.shape[:2]))
    steps = resources.get_prompt_service().propagate(
        _file(scan),
        _prompts(body.prompts, scan),
        until=(body.until[0], body.until[1]) if body.until else None,
        start=start,
    )
    return _told(steps, claims, scan, body)


def _told(steps: Any, claims: Claims, scan: Scan, body: PropagateBody) -> Iterator[Values]:
    """Each slice as a line of the stream, remembered as an answer; the reasons last."""
    from core.engines.base import StopReason
    from core.lesions.mask_bits import pack

    began = None if body.start is None else body.start.model_dump(exclude={"mask"})
    # Beside a mask to go on from no prompt is put to the model: it bounds the walk, and is no source of its answers.
    asked = body.prompts if body.start is None else []
    stops: list[Values] = []
    step: SliceFound | StopReason
    try:
        for step in steps:
            if isinstance(step, StopReason):
                stops.append({"direction": step.direction, "slice": step.slice, "rule": step.rule})
                continue
            packed = pack(step.answer.mask)
            given = Answer.model_validate(
                {
                    **packed,
                    "answer_id": uuid.uuid4().hex,
                    "scan_sha256": scan.sha256,
                    "scan": scan.scan_id,
                    "axis": 2,
                    "slice": step.slice,
                    "lesion": body.lesion,
                    "prompts": asked,
                    "propagated": True,
                    "began": began,
                    "model_id": step.model_id,
                    "checkpoint_sha256": step.checkpoint_sha256,
                }
            )
            answer_id = GIVEN.remember(claims.person, claims.patient_id, scan.timepoint, given)
            iou = _finite(step.answer.predicted_iou)
            yield {"slice": step.slice, **packed, "answer_id": answer_id, "predicted_iou": iou}
        yield {"stops": stops}
    finally:
        steps.close()


async def _lines(request: Request, told: Any) -> AsyncIterator[str]:
    """NDJSON as slices come. However this ends, also by the visitor's leaving, the propagation ends with it."""
    try:
        while not await request.is_disconnected():
            line = await run_in_threadpool(next, told, None)
            if line is None:
                return
            yield json.dumps(line, allow_nan=False) + "\n"
    except TwinReviewError as error:  # the status is out already
        yield json.dumps({"error": str(error)}) + "\n"
    finally:
        told.close()


async def prompt(request: Request) -> Response:
    """POST {"scan", "axis", "slice", "prompts", "lesion"} -> that slice's mask, and the answer's id."""
    return await _answer(request, PromptBody, _predict)


async def ahead(request: Request) -> Response:
    """POST {"scan", "axis", "slice"} -> which slices are embedded; embeds those around it."""
    return await _answer(request, AheadBody, _ahead)


async def propagate(request: Request) -> Response:
    """POST {"scan", "prompts", "from", "until"} -> a line a slice; closing the connection stops it."""
    told = await _answer(request, PropagateBody, _propagate)
    if isinstance(told, Response):
        return told
    # Named as it is, so that no middleware holds lines back to compress them together.
    headers = {**NO_STORE, "Content-Encoding": "identity", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(request, told), media_type="application/x-ndjson", headers=headers)


PROMPT_ROUTES = [
    Route("/api/viewer/prompt", prompt, methods=["POST"]),
    Route("/api/viewer/propagate", propagate, methods=["POST"]),
    Route("/api/viewer/ahead", ahead, methods=["POST"]),
]
