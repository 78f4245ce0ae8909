"""Who may come in at all: over which address, by which name of the server, from which page; and the headers of answers.

It stands before everything that this process serves, Streamlit's own routes included.

Without sign-in whoever reaches the server is let in, so it then listens on loopback addresses alone and does not start
on any other. `TWIN_HOSTS=twin.example.org,10.0.0.5` names further names and addresses under which browsers may ask for
it, beside the one to which a provider sends people back. A page of another site that makes its own name point here (DNS
rebinding) is refused, since it asks under that name.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import logging
import os
import re
import secrets
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

from core.errors import InputError
from core.settings import settings
from pages.ui.guard import sessions, signin, sockets
from pages.ui.guard.base_path import below_base, to_own_routes
from pages.ui.guard.messages import Messages

logger = logging.getLogger("twinreview.pages")

EXPOSED = (
    "TwinReview has no sign-in here, so it does not serve on an address that other machines reach: start it with "
    "--server.address 127.0.0.1, or name an OpenID Connect provider in .streamlit/secrets.toml (docs/operation.md)."
)
WRONG_HOST = (
    "This server is not known under the name in the address. Open it as http://localhost, or have the administrator "
    "add the name to TWIN_HOSTS."
)
WRONG_ORIGIN = "A page of another site asked for this. Open TwinReview itself and do it there."
NOT_YOURS = "This file was made for another browser. Open the page that offers it, reload it, and download it again."
NO_COUNTS = "What this server counts is not shown here."

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_BROWSER_DAYS = 30
#: Streamlit's routes to what one visitor was given, or gave.
_MEDIA, _UPLOAD = "/media/", "/_stcore/upload_file/"
#: How many visitors, and what they looked at lately: for programs that watch a server, of which there are none here.
_METRICS = "/_stcore/metrics"


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, means this machine alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def hosts() -> set[str]:
    """The further names of the server, in lower case: from TWIN_HOSTS, and where a provider sends people back; none
    while a setting is wrong."""
    try:
        return {*settings().hosts, (signin.own_host() or "").lower()} - {""}
    except InputError:
        return set()


def problem_at_start() -> str | None:
    """Why this server must not start, in a sentence; None where it may."""
    try:
        signs_in = signin.configured()
    except InputError as error:
        return str(error)
    address = config.get_option("server.address")
    return None if signs_in or (address and is_loopback(str(address))) else EXPOSED


def host_of(value: str) -> str | None:
    """The name in a Host header, in lower case; None for what is none."""
    try:
        parts = urlsplit(f"//{value}")
        _ = parts.port  # raises for one that is no number
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return parts.hostname.rstrip(".")


def host_allowed(values: Iterable[str]) -> bool:
    """Whether a request's Host headers, of which there must be one, name this server."""
    given = list(values)
    name = host_of(given[0]) if len(given) == 1 else None
    return name is not None and (is_loopback(name) or name in hosts())


def origin_allowed(headers: Headers) -> bool:
    """Whether a request that changes something, or a WebSocket, comes from a page of this server.

    Browsers always say where it comes from; programs, which do not, act for nobody but themselves.
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origins = headers.getlist("origin")
    if not origins:
        return True
    # Compared as a browser writes it and never taken apart: what is no address is then just another one.
    return len(origins) == 1 and origins[0] in (f"http://{headers.get('host')}", f"https://{headers.get('host')}")


def exposed_addresses() -> list[str]:
    """The addresses other than loopback on which this process waits for visitors."""
    return sorted({address for address in sockets.waiting_addresses() if not is_loopback(address)})


class Doors:
    """ASGI middleware that keeps out what the module's docstring names, and adds the headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and (said := problem_at_start()) is not None:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": said})
            return
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        refused = _refusal(scope, connection)
        app = self._app if refused is None else PlainTextResponse(refused[1], refused[0])
        if scope["type"] == "websocket":
            scope = _without_a_stranger_s_session(scope, connection)
        await app(to_own_routes(scope), receive, _with_headers(connection, send))


def _refusal(scope: Scope, connection: HTTPConnection) -> tuple[int, str] | None:
    """The status and sentence with which a request is turned away; None for one that may pass."""
    try:
        signs_in = signin.configured()
    except InputError as error:
        return 503, str(error)
    server = scope.get("server")
    local = server is None or server[1] is None or is_loopback(server[0])  # a socket in the file system has no port
    if not signs_in and (exposed or not local):
        return 503, EXPOSED
    headers = connection.headers
    if not host_allowed(headers.getlist("host")):
        return 421, WRONG_HOST
    changes = scope["type"] == "websocket" or scope["method"] not in _SAFE
    if changes and not origin_allowed(headers):
        return 403, WRONG_ORIGIN
    path = below_base(scope["path"])
    if path.rstrip("/") == _METRICS:
        return 404, NO_COUNTS
    return None if _owned(path, connection.cookies.get(sessions.BROWSER_COOKIE, "")) else (403, NOT_YOURS)


def _without_a_stranger_s_session(scope: Scope, connection: HTTPConnection) -> Scope:
    """The scope of a WebSocket that does not ask to go on with another browser's session; it then gets one of its own.

    A tab that lost its connection names its session as the third of its protocols. Whoever read that id somewhere, as
    in the log of a proxy, would else go on under the name of the person who works there.
    """
    name = b"sec-websocket-protocol"
    given = [value for key, value in scope["headers"] if key == name]
    parts = [part.strip() for part in given[0].decode("latin-1").split(",")] if len(given) == 1 else []
    browser = connection.cookies.get(sessions.BROWSER_COOKIE, "")
    if len(given) < 2 and (len(parts) < 3 or not sessions.is_of_another(parts[2], browser)):
        return scope
    others = [(key, value) for key, value in scope["headers"] if key != name]
    return {**scope, "headers": [*others, (name, ", ".join(parts[:2] or ["streamlit"]).encode("latin-1"))]}


def _owned(path: str, browser: str) -> bool:
    """Whether what lies at the path was given to that browser, or is nobody's own."""
    if path.startswith(_MEDIA):
        return bool(browser) and sessions.may_download(browser, os.path.splitext(path.removeprefix(_MEDIA))[0])
    if path.startswith(_UPLOAD):
        session_id = path.removeprefix(_UPLOAD).partition("/")[0]
        return bool(browser) and sessions.is_own(session_id, browser)
    return True


class _Exposure:
    """Whether other machines reach the server: looked at with the first request, when it surely waits for visitors."""

    def __init__(self) -> None:
        self._known: bool | None = None

    def __bool__(self) -> bool:
        if self._known is None:
            self._known = bool(exposed_addresses())
            if self._known:
                logger.warning("other machines reach this server: people sign in, or nobody is served")
        return self._known


exposed = _Exposure()


def name_the_server() -> None:
    """At start: tells Streamlit, which looks again at every WebSocket, under which names it may be asked."""
    config.set_option("server.allowedHosts", ["localhost", "127.0.0.1", "::1", *sorted(hosts())])


@cache
def policy() -> str:
    """The Content-Security-Policy: everything comes from this server, and no other site shows it in a frame.

    Streamlit's page has inline scripts of its own, which are named by their hashes. `blob:` scripts are the modules
    of our components; WebAssembly unpacks Streamlit's tables; styles are set inline by Streamlit and Plotly.
    """
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    hashes = [hashlib.sha256(text.encode()).digest() for text in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)]
    named = " ".join(f"'sha256-{base64.b64encode(value).decode()}'" for value in hashes)
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' blob: 'wasm-unsafe-eval' {named}".rstrip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "media-src 'self' blob:",
            "object-src 'none'",
            "frame-src 'none'",
            "frame-ancestors 'none'",
            "base-uri 'self'",
            "form-action 'self'",
        )
    )


def _with_headers(connection: HTTPConnection, send: Send) -> Send:
    """`send` with the headers of every answer, and with a cookie for a browser that asks for a page and has none."""
    # Not by what is answered: a page that the browser has already is answered by "not modified", without a type.
    asks_for_page = "text/html" in connection.headers.get("accept", "")

    async def sent(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = policy()
            headers["X-Frame-Options"] = "DENY"
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
            if asks_for_page and not connection.cookies.get(sessions.BROWSER_COOKIE):
                headers.append("Set-Cookie", _browser_cookie(connection))
        await send(message)

    return sent


def _browser_cookie(connection: HTTPConnection) -> str:
    """The cookie that tells a browser from others. Lax: it also comes along when a provider, or a link, leads here, so
    that the browser is not taken for a new one."""
    secure = "; Secure" if connection.url.scheme == "https" else ""
    return (
        f"{sessions.BROWSER_COOKIE}={secrets.token_urlsafe(32)}; Path=/; HttpOnly; SameSite=Lax; "
        f"Max-Age={_BROWSER_DAYS * 86400}{secure}"
    )


MIDDLEWARE = [Middleware(Doors), Middleware(Messages)]
