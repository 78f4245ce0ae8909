"""Routes of the viewer's prompts: one slice at once, a propagation slice by slice, embedding ahead of the cursor.

What is heavy is imported with the first prompt, not with the server.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from core.errors import InputError, StoreError, TwinReviewError
from core.types import Prompt
from pages.ui import resources
from pages.ui.viewer.answers import NO_STORE, UNFORESEEN, denied, problem, read_body, refusal
from pages.ui.viewer.tokens import Claims, read_token

if TYPE_CHECKING:
    from core.engines.base import SliceFound, StopReason
    from core.engines.interactive import ScanFile

logger = logging.getLogger("twinreview.viewer")

#: Longest request: prompts, and the bits of one slice's mask.
MAX_BYTES = 4 * 2**20
Values = dict[str, Any]


async def _answer(request: Request, work: Callable[[Claims, Values], Any]) -> Response | Any:
    """Checks token and body, then does `work` in a thread; its errors become the sentence and a status."""
    claims = read_token(request)
    if claims is None:
        return denied("this scan")
    if not claims.edit:
        return problem(403, "Prompts change a mask, and you may only read here. Ask for a role that reviews.")
    body = await read_body(request, MAX_BYTES)
    if body is None:
        return problem(413, f"Expected a request of at most {MAX_BYTES >> 20} MB, got more. Send one slice.")
    try:
        values = json.loads(body)
        if not isinstance(values, dict):
            raise ValueError
    except ValueError:
        return problem(422, "Expected a JSON object, got something else. Reload the page.")
    if values.get("scan") not in claims.scans:
        return problem(403, "This scan is not on your page. Reload the page.")
    try:
        return await run_in_threadpool(work, claims, values)
    except TwinReviewError as error:
        return refusal(error)
    except Exception as error:  # its text may name a patient's file
        logger.error("a prompt's route failed: %s", type(error).__name__)
        return problem(500, UNFORESEEN)


def _scan(claims: Claims, sha256: str) -> ScanFile:
    from core.engines.interactive import ScanFile

    store = resources.get_store()
    for scan in store.scans(claims.patient_id):
        if scan.sha256 == sha256:
            return ScanFile.of(scan, store.scan_path(scan))
    raise StoreError("This scan is not stored any more. Reload the page.")


def _whole(values: Values, name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"Expected {name} as a whole number, got {value!r}.")
    return value


def _prompts(values: Values, scan: ScanFile, axis: int) -> list[Prompt]:
    """The request's prompts, all across `axis`."""
    from core.stages.refine import prompt_from_json

    given = values.get("prompts")
    if not isinstance(given, list) or not all(isinstance(p, dict) for p in given):
        raise InputError(f"Expected prompts as a list, got {given!r:.80}.")
    if any(p.get("axis", 2) != axis for p in given):
        raise InputError(f"Expected prompts on slices across axis {axis} alone, got some across another.")
    channel = f"{scan.modality} {scan.sequence}".strip()
    return [prompt_from_json({**p, "scan": channel, "lesion": 1}) for p in given]


def _predict(claims: Claims, values: Values) -> Response:
    from core.engines.mask_bits import pack

    scan, axis, k = _scan(claims, values["scan"]), _whole(values, "axis"), _whole(values, "slice")
    answer = resources.get_prompt_service().predict(scan, axis, k, _prompts(values, scan, axis))
    return JSONResponse(
        {
            **pack(answer.found.mask), "predicted_iou": answer.found.predicted_iou, "embedded": answer.embedded,
            "seconds": answer.seconds, "model_id": answer.model_id, "checkpoint_sha256": answer.checkpoint_sha256,
        },
        headers=NO_STORE,
    )  # fmt: skip


def _ahead(claims: Claims, values: Values) -> Response:
    scan = _scan(claims, values["scan"])
    ready, queued = resources.get_prompt_service().ahead(scan, _whole(values, "axis"), _whole(values, "slice"))
    return JSONResponse({"embedded": ready, "queued": queued}, headers=NO_STORE)


def _propagate(claims: Claims, values: Values) -> Iterator[SliceFound | StopReason]:
    from core.engines.mask_bits import unpack

    scan = _scan(claims, values["scan"])
    start, until = values.get("from"), values.get("until")
    if until is not None and not (isinstance(until, list) and len(until) == 2 and all(type(v) is int for v in until)):
        raise InputError(f"Expected until as [low, high] in whole slices, got {until!r:.80}.")
    if start is not None and not isinstance(start, dict):
        raise InputError(f"Expected from as slice, origin, shape and mask, got {start!r:.80}.")
    return resources.get_prompt_service().propagate(
        scan, _prompts(values, scan, axis=2), until=(until[0], until[1]) if until else None,
        start=(_whole(start, "slice"), unpack(start, scan.shape[:2])) if start else None,
    )  # fmt: skip


async def _lines(request: Request, steps: Any) -> AsyncIterator[str]:
    """NDJSON as slices come. However this ends, also by the visitor's leaving, the propagation ends with it."""
    from core.engines.base import StopReason
    from core.engines.mask_bits import pack

    stops: list[Values] = []
    try:
        while not await request.is_disconnected():
            step = await run_in_threadpool(next, steps, None)
            if step is None:
                yield json.dumps({"stops": stops}) + "\n"
                return
            if isinstance(step, StopReason):
                stops.append({"direction": step.direction, "slice": step.slice, "rule": step.rule})
            else:
                iou = step.answer.predicted_iou
                yield json.dumps({"slice": step.slice, **pack(step.answer.mask), "predicted_iou": iou}) + "\n"
    except TwinReviewError as error:  # the status is out already
        yield json.dumps({"error": str(error)}) + "\n"
    finally:
        steps.close()


async def prompt(request: Request) -> Response:
    """POST {"scan", "axis", "slice", "prompts"} -> that slice's mask."""
    return await _answer(request, _predict)


async def ahead(request: Request) -> Response:
    """POST {"scan", "axis", "slice"} -> which slices are embedded; embeds those around it."""
    return await _answer(request, _ahead)


async def propagate(request: Request) -> Response:
    """POST {"scan", "prompts", "from", "until"} -> a line a slice; closing the connection stops it."""
    steps = await _answer(request, _propagate)
    if isinstance(steps, Response):
        return steps
    # Named as it is, so that no middleware holds lines back to compress them together.
    headers = {**NO_STORE, "Content-Encoding": "identity", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(request, steps), media_type="application/x-ndjson", headers=headers)


PROMPT_ROUTES = [
    Route("/api/viewer/prompt", prompt, methods=["POST"]),
    Route("/api/viewer/propagate", propagate, methods=["POST"]),
    Route("/api/viewer/ahead", ahead, methods=["POST"]),
]
