"""Under a path behind a proxy (`server.baseUrlPath`): our routes answer there, and pages ask for them there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit import config

from pages.ui.guard.base_path import below_base, in_browser, to_own_routes


@pytest.fixture(params=["twin", "/twin/", "a/b"])
def base(request: pytest.FixtureRequest) -> Iterator[str]:
    before = config.get_option("server.baseUrlPath")
    config.set_option("server.baseUrlPath", request.param)
    yield "/" + request.param.strip("/")
    config.set_option("server.baseUrlPath", before)


def test_addresses_for_the_browser_lie_below_the_base_and_are_found_again(base: str):
    assert in_browser("/api/viewer/") == f"{base}/api/viewer/"
    scope = to_own_routes({"type": "http", "path": in_browser("/api/who"), "raw_path": b"x"})
    assert (scope["path"], scope["raw_path"]) == ("/api/who", b"/api/who")


def test_streamlit_s_own_paths_and_what_only_looks_like_the_base_stay(base: str):
    for path in (f"{base}/_stcore/health", f"{base}/review", f"{base}x/api/who", "/"):
        scope = {"type": "http", "path": path}
        assert to_own_routes(scope) is scope
    assert below_base(f"{base}/_stcore/health") == "/_stcore/health"


def test_at_the_top_nothing_is_changed():
    assert in_browser("/api/who") == "/api/who"
    scope = {"type": "http", "path": "/api/who"}
    assert to_own_routes(scope) is scope
