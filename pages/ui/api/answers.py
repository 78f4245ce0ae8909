"""What the viewer's routes share: never cached, errors as a sentence with a status, bodies of a limited length."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from core.errors import InputError, ModelError, StoreError, TwinReviewError

NO_STORE = {"Cache-Control": "no-store"}
_STATUS = {InputError: 422, StoreError: 404, ModelError: 503}
UNFORESEEN = "That failed in a way that was not foreseen. Try again; the server's log says more."


def problem(status: int, sentence: str, **more: object) -> JSONResponse:
    """An error, in the words that the viewer shows."""
    return JSONResponse({"error": sentence, **more}, status, headers=NO_STORE)


def denied(what: str) -> JSONResponse:
    """403: the token does not allow it, or there is none."""
    return problem(403, f"Expected a valid token for {what}, got none. Reload the page to get a new one.")


def refusal(error: TwinReviewError) -> JSONResponse:
    """The error's own sentence, with the status of its kind."""
    return problem(next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 422), str(error))


async def read_body(request: Request, most: int) -> bytes | None:
    """The request's body; None if it is longer than `most` bytes, of which no more is then read."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            return None
    return bytes(body)
