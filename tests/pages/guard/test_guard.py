"""Before every route and every page stands the guard: walked with no token, a wrong, an old and a revoked one."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from pages.ui.api import routes
from pages.ui.api.scan_routes import assets
from pages.ui.frame import resources, shell
from pages.ui.guard import guard, sessions, tokens, working
from store import Store, open_store
from store.files.drafts import pack_edit
from tests import clinic
from tests.conftest import ROOT
from tests.pages.api.test_prompt_routes import Service
from tests.store_phantom import DAY1, add_mask, add_scan, labels

BROWSER = "the browser of the tab"
BOX = {"type": "box", "axis": 2, "slice": 1, "coords": [1, 1, 3, 3], "positive": True}


@dataclass(frozen=True)
class Line:
    """What a route asks of whoever comes; without a line of its own here a route fails the test.

    Args:
        body: JSON or bytes that it takes; "SCAN" in it is the scan's hash.
        edits: whether it changes something, so that a token which may only read is refused.
        open: whether anybody may ask.
    """

    body: Any = None
    edits: bool = False
    open: bool = False


LINES: dict[tuple[str, str], Line] = {
    ("GET", "/api/health"): Line(open=True),
    ("GET", "/api/viewer/static/{hash}/{room}/{name}"): Line(open=True),
    ("POST", "/api/who"): Line(open=True),
    ("GET", "/api/viewer/scan/{sha256}/slab/{n}"): Line(),
    ("GET", "/api/viewer/mask/{mask_id}"): Line(),
    ("GET", "/api/viewer/mask/{mask_id}/diameters"): Line(),
    # Kept from pages on which no mask is edited, too: the role is asked, and the store asks again.
    ("POST", "/api/viewer/measurement"): Line(
        {"scan": "SCAN", "kind": "length", "plane": "axial", "points_mm": [[8, 16, 40], [24, 16, 40]]}
    ),
    ("GET", "/api/history/thumbnail/{mask_id}"): Line(),
    ("POST", "/api/viewer/draft"): Line({"patient_id": "P1", "timepoint": DAY1, "parent_version": 1}, edits=True),
    ("GET", "/api/viewer/draft/{draft_id}/labels"): Line(edits=True),
    ("PUT", "/api/viewer/draft/{draft_id}"): Line(pack_edit({2: labels(4).array[:, :, 2]}, None, "x"), edits=True),
    ("POST", "/api/viewer/draft/{draft_id}/save"): Line(edits=True),
    ("DELETE", "/api/viewer/draft/{draft_id}"): Line(edits=True),
    ("POST", "/api/viewer/prompt"): Line({"scan": "SCAN", "axis": 2, "slice": 1, "prompts": [BOX]}, edits=True),
    ("POST", "/api/viewer/ahead"): Line({"scan": "SCAN", "axis": 2, "slice": 1}, edits=True),
    ("POST", "/api/viewer/propagate"): Line({"scan": "SCAN", "prompts": [BOX]}, edits=True),
}
#: File of a page -> its heading, which shows that it was drawn.
PAGES = {
    "worklist": "Worklist",
    "intake": "Intake",
    "review": "Review",
    "compare": "Compare",
    "lesions": "Lesions",
    "trajectory": "Trajectory",
    "cohort": "Cohort",
    "evidence": "Evidence",
    "quality": "Quality",
    "system": "System",
}
BEHIND = sorted(key for key, line in LINES.items() if not line.open)


class Desk:
    """The routes, with ann's tab open in a browser, over P1 and P2; a clock that the test sets."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.now, self.tabs, self.browser = store, 1000.0, {"tab"}, BROWSER
        self.people = working.Sessions(now=lambda: self.now)
        self.registry = tokens.Registry(is_active=lambda session: session in self.tabs, now=lambda: self.now)
        for module, name, value in (
            (resources, "whole_store", lambda: store),
            (resources, "data_root", lambda: store.root),
            (resources, "get_prompt_service", Service),
            (sessions, "current", lambda: "tab"),
            (sessions, "own_browser", lambda: BROWSER),
            (tokens, "_REGISTRY", self.registry),
            (tokens, "SESSIONS", self.people),
        ):
            monkeypatch.setattr(module, name, value)
        self.scan, self.mask = add_scan(store), add_mask(store, 3)
        add_scan(store, "P2", seed=2)
        self.client = TestClient(Starlette(routes=routes.ROUTES), base_url="http://localhost")

    def token(self, person: str = "ann", patient: str = "P1", edit: bool = True) -> str:
        """A token as a page makes it."""
        self.people.note("tab", working.Working("ann", "sign-in", 10_000.0))
        return tokens.make_token(person, patient, [s.sha256 for s in self.store.scans.of(patient)], [DAY1], edit)

    def ask(self, method: str, path: str, token: str | None) -> int:
        """The status that the request gets, all else about it being right."""
        right = {"hash": assets()[0], "room": "view", "name": "viewer.js", "sha256": self.scan.sha256, "n": "0"}
        right |= {"mask_id": self.mask.mask_id, "draft_id": self.store.drafts.begin("P1", DAY1, 1, "bob").draft_id}
        line = LINES[method, path]
        body = line.body if isinstance(line.body, bytes) else json.dumps(line.body).replace("SCAN", self.scan.sha256)
        answer = self.client.request(
            method,
            path.format(**right),
            content=None if line.body is None else body,
            headers={"If-Match": "0", **_headers(self, token or "")},
        )
        if answer.status_code == 403:
            assert answer.headers["cache-control"] == "no-store"
            assert set(answer.json()) == {"error"}
        return answer.status_code


@pytest.fixture
def desk(store: Store, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(store, monkeypatch)


def _role(desk: Desk) -> None:
    desk.store.people.add("bob", "administrator", by="demo")
    desk.store.people.add("bob", "reader", by="demo")


def _disabled(desk: Desk) -> None:
    desk.store.people.disable("bob", by="demo")


def _enabled_again(desk: Desk) -> None:
    _disabled(desk)
    desk.store.people.enable("bob", by="demo")


def _account(desk: Desk) -> None:
    desk.store.people.identify("bob", guard_identity("2"), by="demo")


def guard_identity(subject: str) -> Any:
    from core.access import Identity

    return Identity("https://id.example.org", subject)


def _expired(desk: Desk) -> None:
    desk.people.note("tab", None)
    desk.now += tokens.MAX_AGE_S + 1


def _sign_in_too_old(desk: Desk) -> None:
    desk.now = 10_001.0


def _signed_out(desk: Desk) -> None:
    assert desk.people.end("sign-in", 10_000.0) == ["tab"]


def _tab_closed(desk: Desk) -> None:
    desk.tabs.clear()


def _other_browser(desk: Desk) -> None:
    desk.browser = "another"


def _no_browser(desk: Desk) -> None:
    desk.browser = ""


#: What ends a token that was good: name -> what happens after it was made.
ENDS: dict[str, Callable[[Desk], None]] = {
    "expired": _expired,
    "revoked": lambda desk: tokens.end_session("tab"),
    "another person took over": lambda desk: desk.registry.revoke("tab", lambda claims: claims.person == "ann"),
    "the tab is closed": _tab_closed,
    "signed out": _signed_out,
    "the sign-in is too old": _sign_in_too_old,
    "another browser": _other_browser,
    "a browser without cookie": _no_browser,
    "another role": _role,
    "disabled": _disabled,
    "disabled and enabled again": _enabled_again,
    "another account": _account,
    "another grant": lambda desk: desk.store.people.grant("bob", [], by="demo"),
}


def test_every_route_has_its_line():
    found = {(method, route.path) for route in routes.ROUTES for method in route.methods or () if method != "HEAD"}
    assert found == set(LINES)
    open_to_all = {route.path for route in routes.ROUTES if isinstance(route.rule, guard.Open)}
    assert open_to_all == {path for (_, path), line in LINES.items() if line.open}


@pytest.mark.parametrize(("method", "path"), BEHIND)
def test_a_good_token_is_let_in_and_no_other(desk: Desk, method: str, path: str):
    for token in (None, "", "x" * 43, "x" * 5000):
        assert desk.ask(method, path, token) == 403
    wrong_person = desk.ask(method, path, desk.token("ann"))
    assert wrong_person == 404 if "{draft_id}" in path else wrong_person < 300, "a draft is one person's alone"
    assert desk.ask(method, path, desk.token("nobody")) == 403
    assert desk.ask(method, path, desk.token("bob", "P2")) == 403, "of another patient's page"
    reads = desk.ask(method, path, desk.token("bob", edit=False))
    assert reads == 403 if LINES[method, path].edits else reads < 300
    let_in = desk.ask(method, path, desk.token("bob"))
    assert let_in == 422 if path.endswith("/save") else let_in < 300, "nothing was drawn yet that could be saved"


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("method", "path"), BEHIND)
def test_a_token_that_ended_opens_nothing(desk: Desk, method: str, path: str, end: str):
    token = desk.token("bob")
    assert tokens.read_token(_request(token)) is not None
    ENDS[end](desk)
    answer = desk.client.request(method, path, headers=_headers(desk, token))
    assert answer.status_code == 403
    assert "token" in answer.json()["error"]


def _headers(desk: Desk, token: str) -> dict[str, str]:
    return {tokens.HEADER: token, "cookie": f"{sessions.BROWSER_COOKIE}={desk.browser}"}


def _request(token: str) -> Request:
    headers = [(b"x-twin-token", token.encode()), (b"cookie", f"{sessions.BROWSER_COOKIE}={BROWSER}".encode())]
    return Request({"type": "http", "headers": headers})


def test_a_role_that_no_longer_edits_is_told_so_before_its_body_is_read(desk: Desk):
    desk.store.people.add("vic", "viewer", by="demo")
    assert desk.ask("POST", "/api/viewer/draft", desk.token("vic", edit=True)) == 403, "whatever the page claimed"


@pytest.mark.parametrize(("method", "path"), BEHIND)
def test_a_token_for_a_patient_of_another_data_set_opens_nothing(desk: Desk, method: str, path: str):
    """No page makes one; the route would find nothing all the same."""
    desk.store.people.grant("ann", ["other"], by="demo")
    assert desk.ask(method, path, desk.token("ann")) in (403, 404)


async def _plain(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("no rule")


def test_a_route_without_a_rule_keeps_the_server_from_starting():
    for route in (Route("/api/new", _plain), Mount("/api/more", routes=[Route("/x", _plain)])):
        with pytest.raises(TypeError, match=r"every route to stand behind the guard, /api/(new|more) does not"):
            guard.only_guarded([*routes.ROUTES, route])
    with pytest.raises(TypeError, match="behind the guard"):
        guard.only_guarded([guard.GuardedRoute("/api/new", _plain, ["GET"], None)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reason why /api/new is open"):
        guard.open_to_all("/api/new", _plain, " ")


def test_no_module_beside_the_guard_makes_a_route_or_reads_a_token():
    """`Route(...)` and `read_token` stand in the guard alone, so that no handler is reached another way."""
    found = set()
    for path in (ROOT / "pages").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.func if isinstance(node, ast.Call) else None
            called = getattr(name, "id", getattr(name, "attr", ""))
            if called in ("Route", "WebSocketRoute", "Mount", "read_token"):
                found.add(path.relative_to(ROOT).as_posix())
    assert found <= {"pages/ui/guard/guard.py", "pages/ui/guard/tokens.py"}


@pytest.fixture
def frame(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., AppTest]]:
    """frame(page, person) -> that page in its frame, after that name was chosen in the tab; ANNA is known."""
    monkeypatch.setenv("TWIN_DATA", str(tmp_path / "data"))
    with open_store(tmp_path / "data") as store:
        clinic.add_scan(store, "ANNA", clinic.DAYS[0], clinic.noise(1))
        store.people.add("ann", "reader", by="demo")
    resources.whole_store.clear()

    def run(name: str, person: str | None) -> AppTest:
        page = AppTest.from_file(str(ROOT / "pages/ui/frame/main.py"), default_timeout=120)
        page._page_hash = calc_hash("" if name == "worklist" else name)
        page.query_params["patient_id"] = "ANNA"
        if person is not None:
            page.session_state["chosen-person"] = person
        return page.run()

    yield run
    resources.whole_store.clear()


def said(page: AppTest) -> str:
    """All text of a page."""
    blocks = (page.title, page.header, page.subheader, page.markdown, page.caption, page.info, page.error, page.text)
    return "\n".join(str(element.value) for block in blocks for element in block)


def test_every_page_has_its_line():
    assert {path.stem for path in (ROOT / "pages").glob("*.py")} - {"__init__"} == set(PAGES)
    assert {name for section in shell.PAGES.values() for name, _, _ in section} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_drawn_for_who_works_there_and_for_nobody_else(frame: Callable[..., AppTest], name: str):
    resources.whole_store().people.add("eve", "reader", by="demo")
    resources.whole_store().people.disable("eve", by="demo")
    for person in (None, "nobody", "system", "eve"):
        page = frame(name, person)
        assert [title.value for title in page.title] == ["Who is working?"], person
        assert "ANNA" not in said(page)
        assert page.session_state["who"] is None
    page = frame(name, "ann")
    assert not page.exception
    assert page.title[0].value == PAGES[name]
    assert page.session_state["who"] == "ann"
    assert name == "cohort" or "ANNA" in said(page) + "".join(page.selectbox(key="patient_id").options)
    resources.whole_store().people.grant("ann", ["other"], by="demo")
    page.run()
    assert "ANNA" not in "".join(page.selectbox(key="patient_id").options)
    assert "ANNA" not in said(page).replace("ANNA is not", ""), "of a data set that was not granted"
    resources.whole_store().people.disable("ann", by="demo")
    assert [title.value for title in page.run().title] == ["Who is working?"], "disabled while working"
