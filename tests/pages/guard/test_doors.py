"""Who is let in: by the address of the server, the name in Host, the page that asks; and the headers of all answers."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pages.ui.api import routes
from pages.ui.guard import doors, signin, sockets
from tests.wire import answer_of, status_of

HEADERS = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
#: Of Streamlit and of ours: pages, the WebSocket's neighbours, files, components, routes.
PATHS = (
    "/",
    "/review",
    "/_stcore/health",
    "/_stcore/host-config",
    "/_stcore/metrics",
    "/_stcore/agent/openapi.json",
    "/_stcore/upload_file/a/b",
    "/media/a.csv",
    "/component/a/b.js",
    "/_stcore/bidi-components/a/b.js",
    "/favicon.png",
    "/api/health",
    "/api/viewer/scan/a/slab/0",
    "/api/nothing",
)
GOOD_HOSTS = ("localhost", "LOCALHOST.", "localhost:8501", "127.0.0.1", "127.8.0.1:80", "[::1]", "[::1]:8501")
BAD_HOSTS = (
    "",
    "evil.example",
    "evil.example:8501",
    "localhost.evil.example",
    "evil.example/localhost",
    "localhost@evil.example",
    "127.0.0.1.evil.example",
    "0.0.0.0",
    "10.0.0.5",
    "2130706433",
    "localhost:port",
    "[::1",
    "localhost#evil",
    "::",
    "evil.example?localhost",
    "localhost evil.example",
)


@pytest.fixture
def client(monkeypatch):
    """The routes behind the doors, asked for over loopback."""
    monkeypatch.setattr(doors, "exposed", False)
    app = Starlette(routes=routes.ROUTES, middleware=doors.MIDDLEWARE)
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_this_machine_is_let_in_under_its_own_names(client, host):
    assert client.get("/api/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_another_name_is_refused_in_words(client, host):
    answer = client.get("/api/health", headers={"Host": host})
    assert (answer.status_code, answer.text) == (421, doors.WRONG_HOST)


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_whatever_a_host_header_says_only_known_names_pass(name):
    if doors.host_allowed([name]):
        found = doors.host_of(name)
        assert found == "localhost" or doors.is_loopback(str(found))


def test_two_host_headers_or_none_are_refused():
    assert doors.host_allowed(["localhost"])
    assert not doors.host_allowed(["localhost", "localhost"])
    assert not doors.host_allowed([])


def test_a_name_of_the_settings_is_let_in(client, monkeypatch):
    monkeypatch.setenv("TWIN_HOSTS", "twin.example, 10.0.0.5")
    for host in ("twin.example", "TWIN.example:443", "10.0.0.5:8501"):
        assert client.get("/api/health", headers={"Host": host}).status_code == 200
    for host in ("a.twin.example", "twin.example.evil", "10.0.0.50"):
        assert client.get("/api/health", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),  # a program, not a page
        ({"origin": "http://localhost:8501"}, True),
        ({"origin": "https://localhost:8501"}, True),  # behind a proxy that speaks TLS
        ({"origin": "http://localhost:3000"}, False),  # another server of the same machine
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),  # a file, or a frame without rights
        ({"origin": "http://localhost:8501.evil.example"}, False),
        ({"origin": "file://localhost:8501"}, False),
        ({"origin": "http://["}, False),  # no address at all, as the ones below
        ({"origin": "http://[::1"}, False),
        ({"origin": "http://a]b"}, False),
        ({"origin": "http://\u2100.example"}, False),
        ({"origin": ""}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
    ],
)
def test_only_pages_of_this_server_change_anything(client, headers, allowed):
    raw = [(name.encode(), value.encode()) for name, value in {"host": "localhost:8501", **headers}.items()]
    assert doors.origin_allowed(Headers(raw=raw)) is allowed
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = client.request(method, "/api/viewer/draft", headers=raw)
        assert (answer.text == doors.WRONG_ORIGIN) is not allowed
        assert allowed or answer.status_code == 403
        assert HEADERS.items() <= dict(answer.headers).items()


@given(st.text(st.characters(codec="latin-1"), max_size=40), st.text(st.characters(codec="latin-1"), max_size=40))
def test_whatever_an_origin_says_it_is_let_in_or_refused_and_breaks_nothing(scheme, rest):
    for text in (scheme, f"http://{rest}", f"{scheme}://{rest}"):
        raw = [(b"host", b"localhost:8501"), (b"origin", text.encode("latin-1"))]
        assert doors.origin_allowed(Headers(raw=raw)) is (text in ("http://localhost:8501", "https://localhost:8501"))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("address", ["10.0.0.5", "192.0.2.1", "2001:db8::1"])
def test_a_visit_over_an_address_of_the_network_is_answered_by_one_sentence(client, monkeypatch, path, address):
    shown = f"[{address}]" if ":" in address else address
    url = f"http://{shown}{path}"
    answer = client.get(url, headers={"Host": "localhost"})
    assert (answer.status_code, answer.text) == (503, doors.EXPOSED)
    monkeypatch.setenv("TWIN_OPEN_TO_NETWORK", "yes-without-sign-in")
    assert client.get(url, headers={"Host": "localhost"}).status_code == 503, "no setting opens it without sign-in"
    monkeypatch.setattr(signin, "configured", lambda: True)
    monkeypatch.setattr(signin, "own_host", lambda: None)
    assert client.get(url, headers={"Host": "localhost"}).status_code != 503
    assert client.get(url).status_code == 421, "the names are looked at as before"
    monkeypatch.setattr(signin, "own_host", lambda: address)
    assert client.get(url).status_code != 421, "the name under which a provider sends people back"


class _OfTheNetwork(socket.socket):
    """Waits on loopback, as tests do, and says that it waits everywhere."""

    def getsockname(self):
        return "0.0.0.0", super().getsockname()[1]


def test_while_the_server_waits_for_the_network_not_even_this_machine_is_served(client, monkeypatch):
    with _OfTheNetwork() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert "0.0.0.0" in doors.exposed_addresses()
        monkeypatch.setattr(doors, "exposed", doors._Exposure())
        for path in PATHS:
            answer = client.get(path)
            assert (answer.status_code, answer.text) == (503, doors.EXPOSED)
        monkeypatch.setattr(signin, "configured", lambda: True)
        monkeypatch.setattr(signin, "own_host", lambda: None)
        assert client.get("/api/health").status_code == 200


def test_with_its_first_answer_a_server_knows_where_it_waits():
    async def where(_request):
        return JSONResponse(sockets.waiting_addresses())

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=[Route("/", where)]), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as answer:
                assert b"127.0.0.1" in answer.read()
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.mark.parametrize("path", ["/_stcore/metrics", "/_stcore/metrics/", "/twin/_stcore/metrics"])
def test_what_the_server_counts_of_its_visitors_is_told_to_nobody(monkeypatch, path):
    async def counts(_request):
        return JSONResponse({"active_sessions": 2})

    monkeypatch.setattr(doors, "exposed", False)
    monkeypatch.setattr(doors.config, "get_option", lambda name: "twin" if path.startswith("/twin") else "")
    app = Starlette(routes=[Route(path, counts, methods=["GET", "OPTIONS"])], middleware=doors.MIDDLEWARE)
    visitor = TestClient(app, base_url="http://localhost")
    for method in ("GET", "HEAD", "OPTIONS"):
        answer = visitor.request(method, path)
        assert answer.status_code == 404, method
        assert "active_sessions" not in answer.text
        assert HEADERS.items() <= dict(answer.headers).items()


def test_every_route_says_by_what_it_may_be_shown(client):
    for route in routes.ROUTES:
        for method in route.methods or ():
            answer = client.request(method, route.path)
            assert HEADERS.items() <= dict(answer.headers).items(), route.path
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_the_policy_names_no_other_server():
    parts = dict(part.split(" ", 1) for part in doors.policy().split("; "))
    assert "'unsafe-eval'" not in doors.policy()
    for name, value in parts.items():
        more = {"style-src": {"'unsafe-inline'"}, "script-src": {"'wasm-unsafe-eval'"}}.get(name, set())
        allowed = {"'self'", "'none'", "data:", "blob:"} | more
        assert {word for word in value.split() if not word.startswith("'sha256-")} <= allowed, name
    assert "data:" not in parts["script-src"]


@pytest.mark.browser
def test_the_running_server_refuses_strangers_on_every_path_and_on_the_websocket(server):
    here = server.url.removeprefix("http://")
    for path in PATHS:
        assert status_of(server.url, path, host="evil.example") == 421, path
        assert status_of(server.url, path, "POST", host=here, origin="http://evil.example") == 403, path
    stream = "/_stcore/stream"
    assert status_of(server.url, stream, upgrade="websocket", host=here, origin=server.url) == 101
    assert status_of(server.url, stream, upgrade="websocket", host="evil.example") == 421
    rebound = {"host": "evil.example:8501", "origin": "http://evil.example:8501"}
    assert status_of(server.url, stream, upgrade="websocket", **rebound) == 421
    for path in ("/_stcore/metrics", "/%5fstcore/metrics"):
        assert status_of(server.url, path) == 404, path
    for origin in ("http://evil.example", "http://localhost:1", "null", "http://["):
        assert status_of(server.url, stream, upgrade="websocket", host=here, origin=origin) == 403
    for path in PATHS:
        headers = answer_of(server.url, path)[1]
        assert HEADERS.items() <= headers.items(), path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
