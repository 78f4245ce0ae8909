"""Routes of the viewer's prompts: one slice at once, a propagation slice by slice, embedding ahead of the cursor.

What is heavy is imported with the first prompt, not with the server.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import AsyncIterator, Generator, Sequence
from typing import TYPE_CHECKING, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from core.errors import StoreError, TwinReviewError
from core.remembered.untyped import JsonDict
from core.review.model_answers import Answer, AnswerBook, AskedPrompt
from core.strict import read_strictly
from core.types import Prompt, Scan
from pages.ui.api.answers import NO_STORE
from pages.ui.api.bodies import MAX_PROMPT_BYTES, AheadBody, PromptBody, PropagateBody, ScanBody
from pages.ui.frame import resources
from pages.ui.guard.guard import Asked, ByToken, guarded
from pages.ui.guard.tokens import Claims
from store import SeenStore

if TYPE_CHECKING:
    from core.engines.base import SliceFound, StopReason
    from core.engines.service.interactive import ScanFile

#: What was answered lately. A draft cites it; a restart of the server forgets what no draft has cited by then.
GIVEN = AnswerBook()
Values = JsonDict
Body = TypeVar("Body", bound=ScanBody)


def _read(asked: Asked, kind: type[Body]) -> tuple[Body, Scan]:
    """The body, and the scan that it names: one on the page, and stored still."""
    body = read_strictly(kind, asked.body, MAX_PROMPT_BYTES)
    scan = asked.scan(body.scan)
    if scan is None:
        raise StoreError("This scan is not stored any more. Reload the page.")
    return body, scan


def _file(store: SeenStore, scan: Scan) -> ScanFile:
    from core.engines.service.interactive import ScanFile

    return ScanFile.of(scan, store.scans.path(scan))


def _prompts(asked: Sequence[AskedPrompt], scan: Scan) -> list[Prompt]:
    """The prompts as the engine takes them."""
    return [prompt.prompt(scan.channel) for prompt in asked]


def _finite(value: float) -> float | None:
    """A model's own score of its answer; None where that is no number."""
    return float(value) if math.isfinite(value) else None


def prompt(asked: Asked) -> Response:
    """POST {"scan", "axis", "slice", "prompts", "lesion"} -> that slice's mask, and the answer's id."""
    from core.lesions.mask_bits import pack

    body, scan = _read(asked, PromptBody)
    put = _prompts(body.prompts, scan)
    answer = resources.get_prompt_service().predict(_file(asked.store, scan), body.axis, body.slice, put)
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
            "answer_id": GIVEN.remember(asked.person, asked.patient_id, scan.timepoint, given),
            "predicted_iou": _finite(answer.found.predicted_iou),
            "embedded": answer.embedded,
            "seconds": answer.seconds,
            "model_id": answer.model_id,
            "checkpoint_sha256": answer.checkpoint_sha256,
        },
        headers=NO_STORE,
    )


def ahead(asked: Asked) -> Response:
    """POST {"scan", "axis", "slice"} -> which slices are embedded; embeds those around it."""
    body, scan = _read(asked, AheadBody)
    ready, queued = resources.get_prompt_service().ahead(_file(asked.store, scan), body.axis, body.slice)
    return JSONResponse({"embedded": ready, "queued": queued}, headers=NO_STORE)


def _propagation(asked: Asked) -> Generator[Values]:
    """The lines of a propagation; what cannot be asked is refused before the first."""
    from core.lesions.mask_bits import unpack

    body, scan = _read(asked, PropagateBody)
    start = None
    if body.start is not None:
        start = (body.start.slice, unpack(body.start.model_dump(), scan.shape[:2]))
    steps = resources.get_prompt_service().propagate(
        _file(asked.store, scan),
        _prompts(body.prompts, scan),
        until=(body.until[0], body.until[1]) if body.until else None,
        start=start,
    )
    return _told(steps, asked.claims, scan, body)


def _told(
    steps: Generator[SliceFound | StopReason], claims: Claims, scan: Scan, body: PropagateBody
) -> Generator[Values]:
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


async def _lines(asked: Asked, told: Generator[Values]) -> AsyncIterator[str]:
    """NDJSON as slices come. However this ends, also by the visitor's leaving or being kept out, the propagation ends
    with it."""
    try:
        while not await asked.request.is_disconnected() and await run_in_threadpool(asked.still_in_force):
            line = await run_in_threadpool(next, told, None)
            if line is None:
                return
            yield json.dumps(line, allow_nan=False) + "\n"
    except TwinReviewError as error:  # the status is out already
        yield json.dumps({"error": str(error)}) + "\n"
    finally:
        told.close()


async def propagate(asked: Asked) -> Response:
    """POST {"scan", "prompts", "from", "until"} -> a line a slice; closing the connection stops it."""
    told = await run_in_threadpool(_propagation, asked)
    # Named as it is, so that no middleware holds lines back to compress them together.
    headers = {**NO_STORE, "Content-Encoding": "identity", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(asked, told), media_type="application/x-ndjson", headers=headers)


_RULE = ByToken(
    what="this scan",
    only_reads="Prompts change a mask, and you may only read here. Ask for a role that reviews.",
    most_bytes=MAX_PROMPT_BYTES,
    too_long=f"Expected a request of at most {MAX_PROMPT_BYTES >> 20} MB, got more. Send one slice.",
)
PROMPT_ROUTES = [
    guarded("/api/viewer/prompt", prompt, _RULE, ["POST"]),
    guarded("/api/viewer/propagate", propagate, _RULE, ["POST"]),
    guarded("/api/viewer/ahead", ahead, _RULE, ["POST"]),
]
