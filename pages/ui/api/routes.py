"""The HTTP routes beside the pages. Each stands behind the guard; one that does not keeps the server from starting."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from pages.ui.api.answers import NO_STORE
from pages.ui.api.draft_routes import DRAFT_ROUTES
from pages.ui.api.measure_routes import MEASURE_ROUTES
from pages.ui.api.prompt_routes import PROMPT_ROUTES
from pages.ui.api.scan_routes import SCAN_ROUTES
from pages.ui.guard import guard
from pages.ui.guard.who import WHO_ROUTES
from pages.ui.shared.thumbnails import THUMBNAIL_ROUTES


async def health(request: Request) -> JSONResponse:
    """For load balancers: the process answers."""
    return JSONResponse({"status": "ok"}, headers=NO_STORE)


ROUTES = guard.only_guarded(
    [
        guard.open_to_all("/api/health", health, "it says that the process answers, and nothing else"),
        *DRAFT_ROUTES,
        *MEASURE_ROUTES,
        *PROMPT_ROUTES,
        *SCAN_ROUTES,
        *THUMBNAIL_ROUTES,
        *WHO_ROUTES,
    ]
)
