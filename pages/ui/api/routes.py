"""HTTP routes beside the pages. Whatever carries patient data must check a signed token first."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pages.ui.api.draft_routes import DRAFT_ROUTES
from pages.ui.api.prompt_routes import PROMPT_ROUTES
from pages.ui.api.scan_routes import SCAN_ROUTES
from pages.ui.guard.who import WHO_ROUTES
from pages.ui.shared.thumbnails import THUMBNAIL_ROUTES


async def health(request: Request) -> JSONResponse:
    """For load balancers: the process answers. Says nothing about patients."""
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


ROUTES = [
    Route("/api/health", health),
    *DRAFT_ROUTES,
    *PROMPT_ROUTES,
    *SCAN_ROUTES,
    *THUMBNAIL_ROUTES,
    *WHO_ROUTES,
]
