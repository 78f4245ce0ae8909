"""Whatever is asked of a route, it answers; 500 is no answer. A route without a line here fails the test."""

from __future__ import annotations

import gzip
import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from pages.ui.api import routes
from pages.ui.api.scan_routes import assets
from pages.ui.frame import resources
from pages.ui.guard.tokens import HEADER, make_token
from store import open_store
from tests.store_phantom import DAY1, add_mask, add_scan

#: Path of a route -> for each parameter values of which all but the named one are right.
LINES: dict[str, tuple[str, ...]] = {
    "/api/health": (),
    "/api/who": (),
    "/api/viewer/static/{hash}/{room}/{name}": ("hash", "room", "name"),
    "/api/viewer/scan/{sha256}/slab/{n}": ("sha256", "n"),
    "/api/viewer/mask/{mask_id}": ("mask_id",),
    "/api/viewer/mask/{mask_id}/diameters": ("mask_id",),
    "/api/viewer/measurement": (),
    "/api/viewer/draft": (),
    "/api/viewer/draft/{draft_id}": ("draft_id",),
    "/api/viewer/draft/{draft_id}/labels": ("draft_id",),
    "/api/viewer/draft/{draft_id}/save": ("draft_id",),
    "/api/viewer/prompt": (),
    "/api/viewer/ahead": (),
    "/api/viewer/propagate": (),
    "/api/history/thumbnail/{mask_id}": ("mask_id",),
}
ABSURD = (
    "9" * 5000,
    "-1",
    "0",
    "1e9",
    "9" * 19,
    "٣",
    "²",
    "0x10",
    "1_0",
    "+1",
    " 1",
    "nan",
    "",
    ".",
    "..",
    "../../etc/passwd",
    "%00",
    "\x00",
    "a" * 5000,
    "' OR 1=1 --",
    "{n}",
    "null",
    "é" * 300,
    "\ud7ff",
    "viewer.js/..",
    "CON",
    "a\nb",
)
BODIES = (b"", b"{}", b"[]", b"null", b"\x00" * 8, gzip.compress(b"\xff" * 8), b"{" * 3000, json.dumps("x").encode())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A store with a scan and a mask, the right parameters, and the routes."""
    with open_store(tmp_path_factory.mktemp("routes") / "data") as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "whole_store", lambda: store)
        patch.setattr(resources, "data_root", lambda: store.root)
        scan = add_scan(store)
        mask = add_mask(store, 3)
        right = {
            "hash": assets()[0],
            "room": "view",
            "name": "viewer.js",
            "sha256": scan.sha256,
            "n": "0",
            "mask_id": mask.mask_id,
            "draft_id": "0" * 32,
        }
        token = make_token("demo", "P1", [scan.sha256, *ABSURD], [DAY1], True)
        client = TestClient(Starlette(routes=routes.ROUTES), base_url="http://localhost", raise_server_exceptions=False)
        yield client, right, token


def requests(path, right, odd=None, value=""):
    """The path with right parameters, of which one is odd."""
    filled = path
    for name in LINES[path]:
        filled = filled.replace("{" + name + "}", quote(value, safe="") if name == odd else right[name])
    return filled


def answered(answer, path):
    assert answer.status_code < 500, f"{path}: {answer.text[:200]}"
    said = answer.headers.get("content-type") == "application/json" and answer.content
    if answer.status_code >= 400 and said:
        assert "Traceback" not in answer.json()["error"]


def test_every_route_has_its_line():
    assert {route.path for route in routes.ROUTES} == set(LINES)


@pytest.mark.parametrize("route", routes.ROUTES, ids=lambda route: f"{','.join(sorted(route.methods))} {route.path}")
def test_no_parameter_token_or_body_is_a_500(place, route):
    client, right, token = place
    for method in sorted(route.methods):
        for headers in ({}, {HEADER: token}, {HEADER: "x" * 5000}, {HEADER: token, "If-Match": "9" * 5000}):
            for body in BODIES if method in ("POST", "PUT") else (None,):
                answered(client.request(method, requests(route.path, right), headers=headers, content=body), route.path)
        for name in LINES[route.path]:
            for value in ABSURD:
                url = requests(route.path, right, name, value)
                answer = client.request(method, url, headers={HEADER: token}, params={"n": value})
                answered(answer, url[:200])
                assert value in ("0",) or answer.status_code >= 300, (url[:200], answer.status_code)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_text_at_all_is_a_500(place, data):
    client, right, token = place
    route = data.draw(st.sampled_from([route for route in routes.ROUTES if LINES[route.path]]))
    name = data.draw(st.sampled_from(LINES[route.path]))
    value = data.draw(st.text(st.characters(codec="utf-8"), max_size=60) | st.integers().map(str))
    method = data.draw(st.sampled_from(sorted(route.methods)))
    answered(client.request(method, requests(route.path, right, name, value), headers={HEADER: token}), route.path)
