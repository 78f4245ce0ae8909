"""Two people at two browsers, each under their own name: through reloads, new tabs and a new start of the server."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

from store import open_store
from tests import clinic
from tests.browser import hands

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SLOW_MS = 120_000


@pytest.fixture
def two_people(tmp_path, start_server):
    """start() -> a dashboard where ann and demo are known, with the secret that its data root keeps."""
    with open_store(tmp_path / "data") as store:
        clinic.add_scan(store, "ANNA", clinic.DAYS[0], clinic.body(0))
        store.people.add("ann", by="demo")
    return lambda: start_server(tmp_path / "data", TWIN_SECRET="")


def asked(page):
    expect(page.get_by_role("heading", name="Who is working?")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_role("heading", name="Worklist")).to_have_count(0)
    expect(page.get_by_test_id("stSidebarNav")).to_have_count(0)


def choose(page, name):
    hands.choose(page.get_by_role("combobox", name=re.compile("Name")), name)
    with page.expect_response(re.compile("/api/who$")) as kept:
        page.get_by_role("button", name="Continue").click()
    assert kept.value.status == 204
    works_as(page, name)


def test_a_page_that_shows_itself_under_a_name_has_given_it_to_the_browser(two_people, browser):
    dashboard = two_people()
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{dashboard.url}/system")
    asked(page)
    page.wait_for_load_state("networkidle")
    held: list[Route] = []
    # On a slow line what the page still needs comes long after its heading.
    page.route("**/static/**", lambda route: held.append(route))
    page.get_by_role("combobox", name=re.compile("Name")).click()
    page.get_by_role("option", name="ann").click()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="System", exact=True)).to_be_visible(timeout=SLOW_MS)
    page.unroute("**/static/**")
    page.reload()
    works_as(page, "ann")
    context.close()
    dashboard.stop()


def works_as(page, name):
    expect(page.get_by_role("combobox", name=re.compile("Working as"))).to_have_value(name, timeout=SLOW_MS)


def test_each_browser_keeps_its_own_name_and_a_fresh_one_is_asked(two_people, browser):
    dashboard = two_people()
    first, second, fresh = (browser.new_context() for _ in range(3))
    pages = {}
    for context, name in ((first, "ann"), (second, "demo")):
        page = pages[name] = context.new_page()
        page.goto(dashboard.url)
        asked(page)
        choose(page, name)
        cookie = next(c for c in context.cookies() if c["name"].startswith("twin-who-"))
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    for name, page in pages.items():
        page.reload()
        works_as(page, name)
        tab = page.context.new_page()
        tab.goto(f"{dashboard.url}/review?patient_id=ANNA")
        works_as(tab, name)
        tab.close()
    page = fresh.new_page()
    page.goto(dashboard.url)
    asked(page)

    dashboard.stop()
    again = two_people()
    for name, page in pages.items():
        page.goto(again.url)
        works_as(page, name)
    page = fresh.new_page()
    page.goto(f"{again.url}/system")
    asked(page)

    # Whoever takes over says so in the sidebar; the browser keeps it, and the other browser its own.
    page = pages["ann"]
    page.get_by_role("combobox", name=re.compile("Working as")).click()
    with page.expect_response(re.compile("/api/who$")):
        page.get_by_role("option", name="demo").click()
    page.reload()
    works_as(page, "demo")
    works_as(pages["demo"], "demo")
    for context in (first, second, fresh):
        context.close()
    again.stop()
    with open_store(again.root) as store:
        assert [row.name for row in store.people.all()] == ["ann", "demo"], "and nobody was invented"
