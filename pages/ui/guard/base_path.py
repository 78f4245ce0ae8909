"""The path under which the server lies behind a proxy (`server.baseUrlPath`): our own routes lie there, too."""

from __future__ import annotations

from starlette.types import Scope
from streamlit import config

#: Where our own routes begin, as they are declared.
_OWN = "/api/"


def base_path() -> str:
    """The path with a slash before it and none at its end; "" for a server that lies at the top."""
    path = str(config.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def in_browser(path: str) -> str:
    """The address of one of our routes, as the browser is to ask for it."""
    return base_path() + path


def below_base(path: str) -> str:
    """A request's path as routes are declared: below the path that the server is set to lie under."""
    path = path.removeprefix(base_path())
    return path if path.startswith("/") else f"/{path}"


def to_own_routes(scope: Scope) -> Scope:
    """The scope of a request to one of our routes, which know nothing of the base path; others as they are.

    Streamlit puts its own routes below the base path itself.
    """
    path = below_base(scope["path"])
    if path == scope["path"] or not path.startswith(_OWN):
        return scope
    return {**scope, "path": path, "raw_path": path.encode("latin-1", "replace")}
