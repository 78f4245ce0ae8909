"""A reader confirms and changes which lesion is which: when accepting, and later on the page of lesions."""

from __future__ import annotations

import pytest

from core.remembered.links import LinkProposal
from store import Store, open_store
from tests import clinic
from tests.browser import hands

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
FIRST, SECOND = clinic.DAYS[:2]
DOUBT = "No known lesion lies near it, and its registration is doubtful."


@pytest.fixture(scope="module")
def dashboard(start_server, tmp_path_factory):
    """KIM: L1 and L2 accepted; on the second day label 2 is proposed as a new lesion, and L2 as gone."""
    root = tmp_path_factory.mktemp("lesions")
    store: Store
    with open_store(root) as store:
        for n, day in enumerate((FIRST, SECOND)):
            clinic.add_scan(store, "KIM", day, clinic.body(60 + n))
        mask = clinic.add_child(store, clinic.two_lesions(1000, 200), "KIM", FIRST, method="manual", author="demo")
        clinic.accept(store, mask)
        seen = {"from_timepoint": FIRST, "from_mask_id": mask.mask_id}
        links = [
            LinkProposal(1, "L1", "stable", 0.93, evidence=seen),
            LinkProposal(2, "L3", "new", 0.41, evidence={"doubts": [DOUBT]}),
            LinkProposal(None, "L2", "gone", 0.5, evidence=seen),
        ]
        labels = clinic.two_lesions(1300, 300)
        clinic.add_child(store, labels, "KIM", SECOND, method="nnunet", author="demo", links=links)
    return start_server(root)


def test_a_link_is_changed_when_accepting_and_changed_back_on_lesions_where_the_numbers_that_move_are_seen(
    dashboard, page
):
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    page.set_default_timeout(60_000)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{dashboard.url}/review?patient_id=KIM&timepoint={SECOND}")
    page.locator(".twin-viewer canvas").first.wait_for()
    hands.settle(page)
    page.get_by_test_id("stRadio").get_by_text("Accept", exact=True).click()
    expect(page.get_by_text(DOUBT)).to_be_visible()
    for picture in (f"L1 on {FIRST}", f"L1 on {SECOND}", f"L3 on {SECOND}", f"L2 on {FIRST}"):
        expect(page.get_by_alt_text(picture)).to_be_visible()
    page.get_by_role("button", name="Change").first.click()
    hands.settle(page)
    page.get_by_text("Nothing was decided yet.").click()
    page.keyboard.press("2")
    hands.settle(page)
    expect(page.get_by_text("you: L2")).to_be_visible()
    expect(page.get_by_text("Lesions (2)")).to_be_visible()
    hands.say_why(page, "Looked at, fine because", "the border follows the tumour")
    page.get_by_role("button", name="Accept v1").click()
    expect(page.get_by_text("This version is accepted and in the curve.")).to_be_visible()

    page.get_by_role("link", name="Lesions").click()
    expect(page.get_by_role("heading", name="Lesions", exact=True)).to_be_visible()
    page.get_by_role("radio", name="L2").click()
    expect(page.get_by_alt_text(f"L2 on {SECOND}")).to_be_visible()
    expect(page.get_by_text("confirmed by demo").first).to_be_visible()
    hands.choose(page.get_by_role("combobox", name="Label 2"), "a new lesion")
    expect(page.get_by_text("Numbers on the curve that move")).to_be_visible()
    page.get_by_role("textbox", name="Reason").fill("another vessel beside it")
    hands.mean_it(page)
    page.get_by_role("button", name="Change 1 link").click()
    expect(page.get_by_text("numbers moved.")).to_be_visible()
    expect(page.get_by_role("radio", name="L3")).to_be_visible()
    page.get_by_role("radio", name="L3").click()
    expect(page.get_by_alt_text(f"L3 on {SECOND}")).to_be_visible()
