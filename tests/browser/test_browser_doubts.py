"""What a gate doubts, and what is drawn beside what is stored: no click accepts either by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.remembered.judgements import JUDGEMENT, Judgement
from store import Store, open_store
from tests import clinic
from tests.browser import hands
from tests.browser.test_browser_editing import ask, brush, saved, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
DAY = clinic.DAYS[0]
WHY = "It lies 38 mm from where L1 was."


@pytest.fixture(scope="module")
def dashboard(start_server, tmp_path_factory):
    """LIZ: v1 passes the scan gate, and the mask gate doubts where it lies. MAX: both pass v1."""
    root = tmp_path_factory.mktemp("doubts")
    store: Store
    with open_store(root) as store:
        for n, patient in enumerate(("LIZ", "MAX")):
            clinic.add_scan(store, patient, DAY, clinic.body(60 + n))
            record = clinic.add_mask(store, patient, DAY, 1000)
            seen = tuple(scan.sha256 for scan in store.scans.of(patient, DAY))
            scan = Judgement("passes", "It is like the reference.", "scan-1", seen)
            of_scan = {"state": "in distribution", "score": 0.1, "threshold": 0.5, JUDGEMENT: scan.to_json()}
            store.verdicts.add_scan_verdict(patient, DAY, of_scan, "demo")
            mask = Judgement("passes", "It is like others.", "mask-1", (record.mask_sha256,))
            if patient == "LIZ":
                mask = replace(mask, verdict="doubtful", reason=WHY, kinds=("position",))
            of_mask = {"verdict": "usual", "flagged": False, "p_value": 0.5, "n_reference": 40, "lesions": []}
            store.verdicts.add_mask_verdict(record.mask_id, {**of_mask, JUDGEMENT: mask.to_json()}, "demo")
    return start_server(root)


def opened(page, dashboard, patient):
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    page.set_default_timeout(60_000)
    page.goto(f"{dashboard.url}/review?patient_id={patient}")
    page.locator(".twin-viewer canvas").first.wait_for()
    until(page, "s.editor && v.panes.every(p => p.volume.complete && p.readout) && !v.waitsForMask")
    hands.settle(page)
    return expect


def test_a_doubted_mask_is_accepted_by_no_click_alone_but_after_an_answer(dashboard, page):
    expect = opened(page, dashboard, "LIZ")
    expect(page.get_by_text("Mask gate: doubtful")).to_be_visible()
    expect(page.get_by_text(WHY)).to_be_visible()
    buttons = page.get_by_role("button", name="Accept v1")
    expect(buttons).to_have_count(0)

    page.locator(".twin-viewer canvas").first.hover()
    page.locator(".twin-viewer").first.focus()
    page.keyboard.press("a")  # the shortest way there was
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Accept v1")).to_be_disabled()
    expect(dialog.get_by_text("Choose a reason first.")).to_be_visible()
    page.keyboard.press("Escape")
    hands.settle(page)

    page.get_by_test_id("stRadio").get_by_text("Accept", exact=True).click()
    expect(page.get_by_text("Accepting it overrules the mask gate (doubtful: position).")).to_be_visible()
    expect(buttons).to_be_disabled()
    hands.say_why(page, "Looked at, fine because", WHY)
    expect(buttons).to_be_disabled()
    expect(page.get_by_text("Say in the comment, in your own words, why it is fine.")).to_be_visible()
    box = page.get_by_role("textbox", name="Comment")
    box.fill("She was scanned on her other side")
    box.press("Enter")
    expect(buttons).to_be_enabled()
    hands.settle(page)
    buttons.click()
    expect(page.get_by_text("This version is accepted and in the curve.")).to_be_visible()
    expect(page.get_by_text("overrules mask gate (doubtful: position)")).to_be_visible()


def test_what_is_drawn_is_saved_and_accepted_or_named_as_left_out(dashboard, page):
    expect = opened(page, dashboard, "MAX")
    stored = page.get_by_role("button", name="Accept v1", exact=True)
    expect(stored).to_have_count(1)
    brush(page, (32, 28), (44, 28))
    saved(page)
    expect(page.get_by_text("they are not part of v1")).to_be_visible()  # without any click on the page
    expect(stored).to_have_count(0)

    page.locator(".twin-viewer").first.focus()
    page.keyboard.press("a")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Save what is drawn as v2, and accept that")).to_be_visible()
    expect(dialog.get_by_role("button", name="Accept")).to_have_count(0)
    page.keyboard.press("Escape")
    hands.settle(page)

    page.get_by_text("Decide on v1 as it is stored, without them").click()
    expect(page.get_by_role("button", name="Accept v1 without what is drawn")).to_be_visible()
    page.get_by_text("Save what is drawn as v2, and accept that").click()
    save = page.get_by_role("button", name="Save as v2 and accept that")
    expect(save).to_be_disabled()
    hands.say_why(page, "Corrected by me")
    save.click()
    expect(page.get_by_text("Saved as v2, and not accepted yet: it is doubted by the mask gate")).to_be_visible()
    expect(page.get_by_role("combobox", name="Mask version")).to_have_value("v2 · manual · proposed")
    until(page, "s.editor && s.draft.state === 'none' && v.data.panes[0].mask.version === 2")
    assert ask(page, "s.editor.dirty") is False
    hands.answer_doubts(page, "The brush follows the edge")
    page.get_by_role("button", name="Accept v2").click()
    expect(page.get_by_text("This version is accepted and in the curve.")).to_be_visible()


def test_giving_the_draft_up_makes_the_stored_mask_the_one_that_is_meant_again(dashboard, page):
    expect = opened(page, dashboard, "MAX")
    brush(page, (32, 20), (44, 20))
    saved(page)
    expect(page.get_by_text("The picture has strokes that are not saved")).to_be_visible()
    page.get_by_role("button", name="Give the draft up").click()
    page.get_by_role("button", name="Give the draft up for good").click()
    expect(page.get_by_text("The picture has strokes that are not saved")).to_have_count(0)
