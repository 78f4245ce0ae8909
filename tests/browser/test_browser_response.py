"""A reader enters a treatment, sets targets, baseline and criterion, and confirms what flips, in a browser."""

from __future__ import annotations

import json

import pytest

from store import Store, open_store
from tests import clinic
from tests.browser import hands

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
DAYS = clinic.DAYS[:3]
MEAN = "I have seen what changes, and mean it"


@pytest.fixture(scope="module")
def dashboard(start_server, tmp_path_factory):
    """KIM: two lesions on three days, grown on the second."""
    root = tmp_path_factory.mktemp("response")
    store: Store
    with open_store(root) as store:
        for n, (day, sizes) in enumerate(zip(DAYS, ((1000, 300), (4000, 1200), (900, 250)), strict=True)):
            clinic.add_scan(store, "KIM", day, clinic.body(80 + n))
            mask = clinic.add_child(store, clinic.two_lesions(*sizes), "KIM", day, method="manual", author="demo")
            clinic.accept(store, mask)
    return start_server(root)


def test_a_treatment_and_a_protocol_are_set_and_what_flips_is_confirmed_and_stays(dashboard, page):
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    page.set_default_timeout(60_000)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{dashboard.url}/trajectory?patient_id=KIM&tab=Events")
    expect(page.get_by_text("No event is on record.")).to_be_visible()
    page.get_by_test_id("stDateInput").filter(has_text="Day").get_by_role("spinbutton").first.click()
    page.keyboard.type(DAYS[1].replace("-", ""))  # each part goes on to the next
    page.keyboard.press("Escape")
    hands.settle(page)
    drug = page.get_by_role("textbox", name="Drug")
    drug.fill("doxorubicin")
    drug.press("Tab")
    hands.settle(page)
    expect(page.get_by_text("This changes the response.")).to_be_visible()
    expect(page.get_by_role("button", name="Enter this event")).to_be_disabled()
    page.get_by_text(MEAN).click()
    hands.settle(page)
    page.get_by_role("button", name="Enter this event").click()
    expect(page.get_by_text("Entered.")).to_be_visible()

    page.goto(f"{dashboard.url}/trajectory?patient_id=KIM&tab=Protocol")
    expect(page.get_by_text("Nobody has set a protocol: RECIST 1.1")).to_be_visible()
    hands.choose(page.get_by_role("combobox", name="Criterion", exact=True), "iRECIST")
    hands.choose(page.get_by_role("combobox", name="Baseline"), DAYS[0])
    page.get_by_role("radio", name="chosen here").click()
    hands.settle(page)
    page.get_by_role("textbox", name="Organ of L1").fill("thigh")
    page.get_by_role("radio", name="non-target").last.click()
    hands.settle(page)
    page.get_by_role("textbox", name="Reason for the protocol").fill("the board said so")
    page.get_by_role("textbox", name="Reason for the protocol").press("Tab")
    hands.settle(page)
    expect(page.get_by_text("This changes the response.")).to_be_visible()
    expect(page.get_by_role("button", name="Set the protocol")).to_be_disabled()
    page.get_by_text(MEAN).click()
    hands.settle(page)
    page.get_by_role("button", name="Set the protocol").click()
    expect(page.get_by_text("The protocol is set")).to_be_visible()
    hands.reload(page)
    expect(page.get_by_text("Set for this patient by demo")).to_be_visible()
    expect(page.get_by_role("textbox", name="Organ of L1")).to_have_value("thigh")


def test_the_audit_has_what_was_confirmed(dashboard):
    """After the test above, from the file beside the server: no second process opens its store."""
    lines = (dashboard.root / "audit.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    by_action = {entry["action"]: entry["payload"] for entry in entries}
    for action in ("event.added", "protocol.set"):
        assert by_action[action]["flips"], action
        assert by_action[action]["flips_told"] == "confirmed"
