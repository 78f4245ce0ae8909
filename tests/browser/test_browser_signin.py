"""Sign-in by a real OpenID Connect provider: in, at work, out, refused, and kept out while working."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Page, expect

from core.access import Identity
from store import open_store
from tests import clinic
from tests.browser import hands
from tests.conftest import Server, works_as

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SLOW_MS = 120_000
PEOPLE = {
    "account-ann": {"name": "Ann Reader", "email": "ann@example.org"},
    "account-root": {"name": "Root", "email": "root@example.org"},
    "account-eve": {"name": "Eve New", "email": "eve@example.org"},
}


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """A provider on this machine, under the name localhost: another site than 127.0.0.1, as a provider is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    users = [word for sub, said in PEOPLE.items() for word in ("--user-claims", json.dumps({"sub": sub, **said}))]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true", *users]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://localhost:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/.well-known/openid-configuration", timeout=1)
            break
        except OSError:
            assert process.poll() is None, "the provider did not start"
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def dashboard(provider: str, start_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """ANNA with a scan and a mask; ann is a reader and root an administrator, each with an account."""
    folder = tmp_path_factory.mktemp("sign-in")
    with open_store(folder / "data") as store:
        clinic.add_scan(store, "ANNA", clinic.DAYS[0], clinic.body(0))
        clinic.add_mask(store, "ANNA", clinic.DAYS[0], 800)
        for name, role in (("ann", "reader"), ("root", "administrator")):
            store.people.add(name, role, by="demo")
            store.people.identify(name, Identity(provider, f"account-{name}"), by="demo")
    secrets = folder / "secrets.toml"
    secrets.write_text(
        f"""[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "a secret of these tests"
client_id = "twin"
client_secret = "x"
server_metadata_url = "{provider}/.well-known/openid-configuration"
"""
    )
    hosts = ",".join(filter(None, (os.environ.get("NO_PROXY"), "localhost", "127.0.0.1")))
    return start_server(folder / "data", STREAMLIT_SECRETS_FILES=str(secrets), NO_PROXY=hosts, no_proxy=hosts)


@pytest.fixture
def visitor(dashboard: Server, browser: Any) -> Iterator[Callable[[], Page]]:
    """visitor() -> a page of a browser of its own, at the dashboard."""
    contexts = []

    def new() -> Page:
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        contexts.append(context)
        page: Page = context.new_page()
        page.goto(dashboard.url)
        return page

    yield new
    for context in contexts:
        context.close()


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible(timeout=SLOW_MS)


def sign_in(page: Page, account: str) -> None:
    heading(page, "Sign in")
    expect(page.get_by_test_id("stSidebarNav")).to_have_count(0)
    expect(page.get_by_text("Demo:")).to_have_count(0)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name=account).click(timeout=SLOW_MS)


def open_review(page: Page, url: str) -> dict[str, str]:
    """Opens ANNA in the reading room; the header that its requests carry."""
    with page.expect_request(re.compile("/api/viewer/scan/"), timeout=SLOW_MS) as asked:
        page.goto(f"{url}/review?patient_id=ANNA")
    expect(page.locator(".twin-viewer canvas").first).to_be_visible(timeout=SLOW_MS)
    return {"x-twin-token": asked.value.headers["x-twin-token"]}


def begin_draft(page: Page, url: str, token: dict[str, str]) -> int:
    """The status with which a draft is begun in this browser with that token."""
    body = {"patient_id": "ANNA", "timepoint": clinic.DAYS[0], "parent_version": 1}
    return int(page.request.post(f"{url}/api/viewer/draft", data=body, headers={**token, "origin": url}).status)


def test_a_reader_signs_in_works_and_signs_out_in_every_tab(dashboard: Server, visitor: Callable[[], Page]) -> None:
    page = visitor()
    browser_before = {c["name"]: c["value"] for c in page.context.cookies()}["twin-browser"]
    sign_in(page, "account-ann")
    heading(page, "Worklist")
    expect(page.get_by_text("Signed in as ann, reader", exact=False)).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_role("combobox", name=re.compile("Working as"))).to_have_count(0)
    cookies = {c["name"]: c for c in page.context.cookies(dashboard.url)}
    assert cookies["twin-browser"]["value"] == browser_before, "it is the same browser after the provider led back"
    assert cookies["_streamlit_user"]["httpOnly"]
    token = open_review(page, dashboard.url)
    assert begin_draft(page, dashboard.url, token) == 200
    page.reload()
    expect(page.get_by_text("Signed in as ann", exact=False)).to_be_visible(timeout=SLOW_MS)

    other = page.context.new_page()
    elsewhere = open_review(other, dashboard.url)
    assert begin_draft(other, dashboard.url, elsewhere) == 200
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="End session").click(timeout=SLOW_MS)
    heading(page, "Sign in")
    assert begin_draft(other, dashboard.url, elsewhere) == 403, "the other tab was of the same sign-in"
    other.get_by_role("link", name="Quality").click()
    heading(other, "Sign in")
    expect(other.get_by_text("ANNA")).to_have_count(0)

    stranger = visitor()
    stranger.context.add_cookies([{**cookies["_streamlit_user"]}])
    stranger.goto(dashboard.url)
    heading(stranger, "Sign in")  # a copy of the cookie is of a sign-in that was ended


def test_who_came_by_a_link_is_there_after_the_sign_in(dashboard: Server, visitor: Callable[[], Page]) -> None:
    page = visitor()
    link = f"{dashboard.url}/review?patient_id=ANNA&timepoint={clinic.DAYS[0]}&version=1&tab=Refine"
    page.goto(link)
    heading(page, "Sign in")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Deny").click(timeout=SLOW_MS)
    sign_in(page, "account-ann")
    expect(page.get_by_role("tab", name="Refine")).to_have_attribute("aria-selected", "true", timeout=SLOW_MS)
    expect(page).to_have_url(link)
    page.goto(dashboard.url)
    heading(page, "Worklist")  # and goes there once
    page.wait_for_timeout(2000)
    expect(page).to_have_url(f"{dashboard.url}/")


def test_no_word_of_an_address_leads_elsewhere_after_the_sign_in(
    provider: str, dashboard: Server, visitor: Callable[[], Page]
) -> None:
    page = visitor()
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url) if request.is_navigation_request() else None)
    elsewhere = "https://example.org/review"
    forged = urlencode(dict.fromkeys(("next", "page", "redirect_uri", "leaving", "patient_id"), elsewhere))
    page.goto(f"{dashboard.url}/review?{forged}")
    sign_in(page, "account-ann")
    expect(page.get_by_text("There is no patient", exact=False)).to_be_visible(timeout=SLOW_MS)
    hands.settle(page)
    places = {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, seen)}
    assert places == {dashboard.url, provider}
    assert urlsplit(page.url).path == "/review"


def test_who_turns_back_at_the_provider_is_asked_again(visitor: Callable[[], Page]) -> None:
    page = visitor()
    heading(page, "Sign in")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Deny").click(timeout=SLOW_MS)
    heading(page, "Sign in")


def test_where_people_sign_in_no_name_is_chosen(dashboard: Server, visitor: Callable[[], Page]) -> None:
    page = visitor()
    works_as(page.context, "root")
    page.goto(f"{dashboard.url}/system")
    heading(page, "Sign in")
    assert page.request.post(f"{dashboard.url}/api/who", headers={"x-twin-choice": "x"}).status == 403


def test_a_stranger_is_refused_let_in_by_an_administrator_and_put_out_while_working(
    provider: str, dashboard: Server, visitor: Callable[[], Page]
) -> None:
    eve = visitor()
    sign_in(eve, "account-eve")
    heading(eve, "You have no role here yet")
    expect(eve.get_by_text("root", exact=False).first).to_be_visible()
    expect(eve.get_by_text("account-eve")).to_be_visible()
    expect(eve.get_by_text("ANNA")).to_have_count(0)
    eve.goto(f"{dashboard.url}/review?patient_id=ANNA")
    heading(eve, "You have no role here yet")

    root = visitor()
    sign_in(root, "account-root")
    heading(root, "Worklist")
    root.goto(f"{dashboard.url}/system")
    root.get_by_role("tab", name="People").click(timeout=SLOW_MS)
    expect(root.get_by_text("Somebody signed in", exact=False)).to_be_visible(timeout=SLOW_MS)
    root.get_by_role("button", name="Let this account in").click()
    expect(root.get_by_text("Somebody signed in", exact=False)).to_have_count(0, timeout=SLOW_MS)
    hands.settle(root)  # until then the fields of before stand beside those of after

    eve.get_by_role("button", name="Look again").click()
    expect(eve.get_by_text("Signed in as Eve New", exact=False)).to_be_visible(timeout=SLOW_MS)
    hands.choose(root.get_by_role("combobox", name=re.compile("^(Selected .*)?Person")).first, "Eve New")
    hands.choose(root.get_by_role("combobox", name=re.compile("New role")), "reader")
    root.get_by_role("button", name="Change the role").click()
    hands.settle(root)
    eve.reload()
    expect(eve.get_by_text("Signed in as Eve New, reader", exact=False)).to_be_visible(timeout=SLOW_MS)
    token = open_review(eve, dashboard.url)
    assert begin_draft(eve, dashboard.url, token) == 200

    hands.choose(root.get_by_role("combobox", name=re.compile("Whose access")), "Eve New")
    hands.settle(root)
    root.get_by_role("button", name="Disable").click()
    expect(root.get_by_role("button", name="Enable")).to_be_visible(timeout=SLOW_MS)
    assert begin_draft(eve, dashboard.url, token) == 403, "at the next request of a route"
    eve.get_by_role("link", name="Worklist").click()
    heading(eve, "Your access was taken away")  # and of a page
    expect(eve.get_by_text("ANNA")).to_have_count(0)
    eve.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Sign out").click()
    eve.get_by_role("button", name="End session").click(timeout=SLOW_MS)
    heading(eve, "Sign in")

    dashboard.stop()
    with open_store(dashboard.root) as store:
        found = store.people.named("Eve New")
        assert found is not None
        assert (found.identity, found.disabled) == (Identity(provider, "account-eve", "eve@example.org"), True)
        said = [entry["action"] for entry in store.audit_log(9) if entry["person"] == "root"]
        assert said == ["person.disabled", "role.set", "person.identified", "person.added"]
