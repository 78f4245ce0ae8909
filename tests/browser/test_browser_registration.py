"""A reader looks at the registration of two timepoints, sets it right, accepts it, and Compare is linked by it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests import clinic
from tests.browser import hands

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def clinic_url(start_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("clinic")
    clinic.build(root)
    return str(start_server(root).url)


@pytest.fixture
def visit(page: Any, clinic_url: str) -> Callable[..., Any]:
    """visit("BEN", "Registration") -> Compare of that patient's first two timepoints, once it is drawn."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    page.set_default_timeout(PATIENCE_MS)

    def open_page(patient: str, show: str) -> Any:
        days = f"left={clinic.DAYS[0]}&right={clinic.DAYS[1]}"
        page.goto(f"{clinic_url}/compare?patient_id={patient}&show={show}&{days}")
        page.locator(".twin-viewer canvas").first.wait_for()
        hands.settle(page)
        return page

    return open_page


def shows(page: Any, text: str | re.Pattern[str]) -> None:
    from playwright.sync_api import expect

    expect(page.get_by_test_id("stMain").get_by_text(text).first).to_be_visible()


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    hands.settle(page)


def mark(page: Any, pane: int, across: float, down: float) -> None:
    """Clicks at a place of a pane, by the share of its width and height."""
    box = page.locator(".twin-viewer canvas").nth(pane).bounding_box()
    page.mouse.click(box["x"] + box["width"] * across, box["y"] + box["height"] * down)


def test_scans_that_were_not_aligned_are_set_right_by_landmarks_and_compare_is_linked_by_them(
    visit: Callable[..., Any],
):
    """Both scans lie on one grid and are seen alike, so a place that is clicked in both is the same one."""
    page = visit("BEN", "Timepoints")
    shows(page, "The two scans are not linked.")
    press(page, "Look at the registration")
    shows(page, "failed")
    press(page, "Mark the same place in both scans")
    for across, down in ((0.4, 0.4), (0.6, 0.4), (0.5, 0.65)):
        for pane in (0, 1):
            mark(page, pane, across, down)
    shows(page, re.compile(r"Not saved: Set by 3 pairs of places, 0\.\d mm left"))
    press(page, "Save and accept")
    shows(page, "Accepted by demo: corrected by hand")
    page.get_by_text("Timepoints", exact=True).click()
    shows(page, re.compile(r"Linked: the right scan was turned by 0\.\d° and moved by 0\.\d mm \(accepted by demo\)"))
    assert page.get_by_role("button", name="Link the two timepoints in space").get_attribute("aria-pressed") == "true"


def test_a_picture_that_is_dragged_and_turned_follows_is_undone_or_stored_and_accepted(visit: Callable[..., Any]):
    from playwright.sync_api import expect

    page = visit("ANNA", "Registration")
    shows(page, "good")
    shift, turn = (page.get_by_role("spinbutton", name=name) for name in ("Shift x, mm", "Turn z, °"))
    box = page.locator(".twin-viewer canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for key, field in (("Shift", shift), ("Alt", turn)):
        page.keyboard.down(key)
        page.mouse.move(x + 120, y)
        page.mouse.down()
        page.mouse.move(x + 90, y + 30, steps=4)
        page.mouse.up()
        page.keyboard.up(key)
        hands.settle(page)
        expect(field).not_to_have_value("0.0")
    assert float(shift.input_value()) > 0, "to the left of the screen is to the patient's right"
    press(page, "Undo")
    expect(shift).to_have_value("0.0")
    press(page, "Checkerboard of both scans")
    shift.fill("4")
    shift.press("Enter")
    shows(page, "Not saved: moved by 4.0 mm and turned by 0.0°.")
    press(page, "Save and accept")
    shows(page, "moved by hand")
    press(page, "Refuse")
    page.get_by_label("Why").fill("it fitted before")
    page.get_by_label("Why").press("Enter")
    press(page, "Refuse it")
    shows(page, "Refused by demo: it fitted before")
    press(page, "Accept")
    page.get_by_text("Timepoints", exact=True).click()
    shows(page, re.compile(r"Linked: .*\(accepted by demo\)"))
