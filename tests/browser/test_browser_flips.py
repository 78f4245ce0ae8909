"""A reader accepts a version that changes what a visit is called: sees it before, says so, and it is on record."""

from __future__ import annotations

import pytest

from store import Store, open_store
from tests import clinic
from tests.browser import hands

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
FIRST, SECOND = clinic.DAYS[:2]


@pytest.fixture(scope="module")
def dashboard(start_server, tmp_path_factory):
    """KIM: L1 grows fourfold and is called progression; a smaller contour of the second day waits for a decision."""
    root = tmp_path_factory.mktemp("flips")
    store: Store
    with open_store(root) as store:
        for n, (day, voxels) in enumerate(((FIRST, 500), (SECOND, 2000))):
            clinic.add_scan(store, "KIM", day, clinic.body(80 + n))
            clinic.accept(store, clinic.add_mask(store, "KIM", day, voxels))
        clinic.add_mask(store, "KIM", SECOND, 520, method="medsam")
    return start_server(root)


def test_a_flip_is_seen_before_needs_a_click_of_its_own_and_is_in_the_audit(dashboard, page):
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    page.set_default_timeout(60_000)
    page.goto(f"{dashboard.url}/review?patient_id=KIM&timepoint={SECOND}&version=2")
    page.locator(".twin-viewer canvas").first.wait_for()
    hands.answer_doubts(page)
    expect(page.get_by_text(f"This changes the response. {SECOND}: PD becomes SD.")).to_be_visible()
    expect(page.get_by_text(f"L1 {SECOND}: measured, 24.0 mL becomes measured, 6.2 mL")).to_be_visible()
    button = page.get_by_role("button", name="Accept v2")
    expect(button).to_be_disabled()
    hands.mean_it(page)
    expect(button).to_be_enabled()
    button.click()
    expect(page.get_by_text("This version is accepted and in the curve.")).to_be_visible()
    hands.settle(page)

    page.get_by_text("Withdraw the acceptance", exact=True).click()
    expect(page.get_by_text(f"{SECOND}: SD becomes none.")).to_be_visible()
    hands.say_why(page, "Accepted in error")
    expect(page.get_by_role("button", name="Withdraw v2")).to_be_disabled()

    dashboard.stop()
    with open_store(dashboard.root) as store:
        entry = next(one for one in store.audit_log(50) if one["action"] == "mask.decided")
    assert entry["payload"]["flips"] == [{"timepoint": SECOND, "before": "PD", "after": "SD"}]
    assert (entry["person"], entry["payload"]["flips_told"]) == ("demo", "confirmed")
