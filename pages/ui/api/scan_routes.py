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

from core.errors import StoreError, TwinReviewError
from pages.ui.api import slabs
from pages.ui.api.answers import NO_STORE, problem
from pages.ui.frame import resources
from pages.ui.guard.guard import Asked, ByToken, guarded, open_to_all

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
    """Address from which the browser imports the modules."""
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


def _number(text: str) -> int | None:
    """The slab's number; None for what is none. `{n:int}` takes thousands of digits, at which Python's int fails."""
    return int(text) if _DIGITS.fullmatch(text) else None


async def get_slab(asked: Asked) -> Response:
    """Slab n of a scan: gzip of int16, slices n * 16 on."""
    sha256, n = asked.parameter("sha256"), _number(asked.parameter("n"))
    scan = await run_in_threadpool(asked.scan, sha256)
    if n is None or scan is None or n >= slabs.slabs_of(scan.shape):
        return problem(404, "Expected a slab of a stored scan; there is none of that number. Reload the page.")
    # Raises StoreError where the file is gone, or is another than was stored.
    path = await run_in_threadpool(asked.store.scans.path, scan)
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


def get_mask(asked: Asked) -> Response:
    """A mask version: gzip of uint8 labels on the reference scan's grid."""
    record = asked.mask(asked.parameter("mask_id"))
    kept = resources.data_root() / "cache" / "masks" / f"{record.mask_sha256}.gz"
    try:
        return _gzip(slabs.packed_labels(asked.store.masks.path(record), kept))
    except StoreError:  # the file is gone, or is another than was stored: its own sentence
        raise
    except (OSError, EOFError, zlib.error, ImageFileError, TwinReviewError):
        return problem(404, "The mask's file cannot be read. Run `verify`; restore it from a backup.")


def _gzip(content: bytes | None) -> Response:
    if content is None:
        return problem(404, "The slab was deleted while it was read. Ask for it again.")
    return Response(content, media_type="application/octet-stream", headers={**NO_STORE, "Content-Encoding": "gzip"})


SCAN_ROUTES = [
    open_to_all(API + "static/{hash}/{room}/{name}", get_module, "scripts of the viewer, the same for everybody"),
    guarded(API + "scan/{sha256}/slab/{n}", get_slab, ByToken("this scan")),
    guarded(API + "mask/{mask_id}", get_mask, ByToken("this mask")),
]
