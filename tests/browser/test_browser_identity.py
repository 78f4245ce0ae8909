"""One lesion drawn by hand at two dates, in a real browser: it is one lesion, and its curve has two points."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from store import open_store
from tests import clinic
from tests.browser.hands import answer_doubts, settle
from tests.browser.test_browser_editing import ask, brush, saved, until
from tests.conftest import works_as

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
FIRST, SECOND = clinic.DAYS[:2]
PATIENCE_MS = 60_000


@pytest.fixture
def root(tmp_path):
    """NORA: two scans, no mask."""
    with open_store(tmp_path) as store:
        for n, day in enumerate((FIRST, SECOND)):
            clinic.add_scan(store, "NORA", day, clinic.body(n))
    return tmp_path


def draw(page: Page, url: str, day: str) -> list[str]:
    """Draws with what the brush has at first, and saves it; returns what it could have drawn."""
    page.goto(f"{url}/review?patient_id=NORA&timepoint={day}")
    page.locator(".twin-viewer canvas").first.wait_for()
    until(page, "s.editor && v.panes.every(p => p.volume.complete && p.readout)")
    page.wait_for_timeout(300)
    choices = page.get_by_role("combobox", name="Lesion that is worked on").locator("option").all_text_contents()
    brush(page, (30, 28), (38, 28))
    saved(page)
    page.keyboard.press("Control+s")
    box = page.get_by_role("combobox", name="Mask version")
    expect(box).to_have_value("v1 · manual · proposed", timeout=PATIENCE_MS)
    until(page, "s.editor && v.data.panes[0].mask.version === 1")
    return list(choices)


def accept(page: Page) -> None:
    answer_doubts(page)
    page.get_by_role("button", name="Accept v1").click()
    expect(page.get_by_text("This version is accepted and in the curve.")).to_be_visible(timeout=PATIENCE_MS)
    settle(page)


def test_the_same_lesion_drawn_at_two_dates_is_one_lesion_with_two_points(browser, start_server, root):
    dashboard = start_server(root)
    window = browser.new_context(viewport={"width": 1440, "height": 900})
    works_as(window, "demo")
    page = window.new_page()
    page.set_default_timeout(PATIENCE_MS)
    assert draw(page, dashboard.url, FIRST) == ["new"]
    colour = ask(page, "p.series.colour(1)")
    accept(page)
    assert draw(page, dashboard.url, SECOND) == [f"L1 (on {FIRST})", "new"]
    assert ask(page, "[p.series.colour(1), v.lesionKey]") == [colour, "L1"], "one colour at every timepoint"
    expect(page.locator(".twin-viewer").get_by_text("L1 ").first).to_be_attached()
    accept(page)
    sidecar = json.loads((root / f"processed/clinic/NORA/{SECOND}/mask_v001.json").read_text())
    assert [lesion["lesion_id"] for lesion in sidecar["lesions"]] == ["L1"]
    page.goto(f"{dashboard.url}/trajectory?patient_id=NORA")
    page.locator(".js-plotly-plot").first.wait_for()
    settle(page)
    names = page.get_by_role("radio").all_text_contents()
    assert [name for name in names if re.fullmatch(r"L\d+", name)] == ["L1"]
    page.get_by_role("radio", name="L1").click()
    settle(page)
    page.wait_for_function(
        "document.querySelector('.js-plotly-plot')?.data?.some((line) => line.name === 'L1' && line.x.length === 2)"
    )
    expect(page.get_by_text("new", exact=True)).to_have_count(0)
    window.close()
