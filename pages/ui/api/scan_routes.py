"""What the viewer reads: its modules, slabs of scans, whole masks. Every patient's byte is behind a token."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
import zlib
from functools import cache
from pathlib import Path

from nibabel.filebasedimages import ImageFileError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.errors import StoreError, TwinReviewError
from core.types import Scan
from pages.ui.api import slabs
from pages.ui.api.answers import NO_STORE, denied, problem, refusal
from pages.ui.frame import resources, visible
from pages.ui.guard.tokens import Claims, read_token

STATIC = Path(__file__).parents[1] / "viewer/static"
API = "/api/viewer/"
_POLL_S, _PATIENCE_S = 0.01, 120.0
_DIGITS = re.compile(r"[0-9]{1,9}")
CONVERSIONS = slabs.Conversions()


@cache
def assets() -> tuple[str, dict[str, bytes]]:
    """A hash of all modules, and their bytes by "room/name.js". Read once, so that a visit never mixes two versions."""
    files = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in sorted(STATIC.glob("*/*.js"))}
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:16], files


def assets_url() -> str:
    """Where the browser imports the modules from."""
    return f"{API}static/{assets()[0]}/"


async def get_module(request: Request) -> Response:
    """A JavaScript module. The hash in the address names the content, so it may be kept for ever."""
    digest, files = assets()
    name = "{room}/{name}".format(**request.path_params)
    if request.path_params["hash"] != digest or name not in files:
        return problem(404, "Expected a module of this version of the viewer. Reload the page.")
    return Response(
        files[name], media_type="text/javascript", headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


def _scan_of(claims: Claims, sha256: str) -> tuple[Scan, Path] | None:
    store = resources.get_store()
    scan = next((s for s in store.scans.of(claims.patient_id) if s.sha256 == sha256), None)
    return None if scan is None else (scan, store.scans.path(scan))


def _number(text: str) -> int | None:
    """The slab's number; None for what is none. `{n:int}` takes thousands of digits, at which Python's int fails."""
    return int(text) if _DIGITS.fullmatch(text) else None


async def get_slab(request: Request) -> Response:
    """Slab n of a scan: gzip of int16, slices n * 16 on."""
    sha256, n = request.path_params["sha256"], _number(request.path_params["n"])
    claims = read_token(request)
    if claims is None or sha256 not in claims.scans:
        return denied("this scan")
    try:
        found = await run_in_threadpool(_scan_of, claims, sha256)
    except StoreError as error:  # the file is gone, or is another than was stored
        return refusal(error)
    if n is None or found is None or n >= slabs.slabs_of(found[0].shape):
        return problem(404, "Expected a slab of a stored scan; there is none of that number. Reload the page.")
    scan, path = found
    folder = slabs.slab_folder(resources.data_root(), sha256)
    if not slabs.ready(folder, n):
        CONVERSIONS.start(path, scan.modality, folder, n)
    until = time.monotonic() + _PATIENCE_S
    while not slabs.ready(folder, n):  # a conversion goes through the file, and is on its way to this slab
        said = CONVERSIONS.problem(folder)
        if said and not slabs.ready(folder, n):
            return problem(404, said)
        if time.monotonic() > until:
            return problem(404, "The scan takes too long to read. Try again in a minute.")
        await asyncio.sleep(_POLL_S)
    return _gzip(await run_in_threadpool(slabs.packed, folder, n))


def _mask(claims: Claims, mask_id: str) -> bytes | None:
    """The mask's labels as gzip; None where the claims do not cover it."""
    store = resources.get_store()
    record = visible.by_id(store, claims, mask_id)
    if record is None:
        return None
    kept = resources.data_root() / "cache" / "masks" / f"{record.mask_sha256}.gz"
    return slabs.packed_labels(store.masks.path(record), kept)


async def get_mask(request: Request) -> Response:
    """A mask version: gzip of uint8 labels on the reference scan's grid."""
    claims = read_token(request)
    if claims is None:
        return denied("this mask")
    try:
        content = await run_in_threadpool(_mask, claims, request.path_params["mask_id"])
    except StoreError as error:  # the file is gone, or is another than was stored
        return refusal(error)
    except (OSError, EOFError, zlib.error, ImageFileError, TwinReviewError):
        return problem(404, "The mask's file cannot be read. Run `verify`; restore it from a backup.")
    return denied("this mask") if content is None else _gzip(content)


def _gzip(content: bytes | None) -> Response:
    if content is None:
        return problem(404, "The slab was deleted while it was read. Ask for it again.")
    return Response(content, media_type="application/octet-stream", headers={**NO_STORE, "Content-Encoding": "gzip"})


SCAN_ROUTES = [
    Route(API + "static/{hash}/{room}/{name}", get_module),
    Route(API + "scan/{sha256}/slab/{n}", get_slab),
    Route(API + "mask/{mask_id}", get_mask),
]
