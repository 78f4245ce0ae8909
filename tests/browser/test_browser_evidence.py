"""Evidence in a real browser, on a clinic whose every volume is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from store import open_store
from tests import clinic
from tests.browser import hands
from tests.browser.test_browser_patient_pages import PATIENCE_MS, alert, shows

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def clinic_url(start_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("clinic")
    clinic.build(root)
    with open_store(root) as store:
        for patient in ("DORA", "ELLA"):
            store.events.add(patient, clinic.DAYS[0], "drug-start", {"drug": "doxorubicin"}, "demo")
    return str(start_server(root).url)


@pytest.fixture
def visit(page: Any, clinic_url: str) -> Callable[..., Any]:
    """visit("BEN") -> the page once it is drawn."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    page.set_default_timeout(PATIENCE_MS)

    def open_page(patient: str, more: str = "") -> Any:
        page.goto(f"{clinic_url}/evidence?patient_id={patient}&by=shape{more}")
        expect(page.get_by_role("heading", name="Evidence", level=1)).to_be_visible()
        hands.settle(page)
        return page

    return open_page


CARD = re.compile(r"^[A-Z]+ L\d+ of ")


def names(page: Any, count: int = 3) -> list[str]:
    """Whose lesions the cards show, in their order, once there are so many."""
    from playwright.sync_api import expect

    pictures = page.get_by_test_id("stMain").get_by_role("img", name=CARD)
    expect(pictures).to_have_count(count)
    return [str(one.get_attribute("alt") or "").split(" ")[0] for one in pictures.all()]


def mark(page: Any, nth: int, relevant: bool) -> None:
    """Presses a card's button; the cards' buttons come in their order."""
    icon = "thumb_up" if relevant else "thumb_down"
    page.get_by_test_id("stMain").get_by_role("button", name=icon).nth(nth).click()
    hands.settle(page)


def test_evidence_shows_other_patients_lesions_and_what_became_of_them(visit: Callable[..., Any]):
    page = visit("BEN")
    # ANNA has simulated scans: such are not compared with real ones.
    shows(page, "Searched 3 lesions of 3 other patients, by shape.")
    assert sorted(names(page)) == ["DORA", "ELLA", "FAY"]
    shows(page, re.compile("3 within noise"))
    shows(page, re.compile(r"day \+56"))
    shows(page, re.compile(r"\d+ % alike"))


def test_a_filter_a_mark_and_its_undoing_change_what_is_shown_and_a_reload_keeps_it(visit: Callable[..., Any]):
    page = visit("BEN")
    before = names(page)
    hands.choose(page.get_by_role("combobox", name="Treatment then"), "chemotherapy")
    hands.settle(page)
    assert sorted(names(page, 2)) == ["DORA", "ELLA"]
    shows(page, re.compile("2 left out: no treatment on record"))
    hands.reload(page)
    shows(page, re.compile("2 left out: no treatment on record"))
    hands.settle(page)
    assert sorted(names(page, 2)) == ["DORA", "ELLA"], "the filter is in the address"
    page.get_by_role("button", name="Without a filter").click()
    hands.settle(page)
    assert names(page) == before
    mark(page, 2, relevant=True)
    assert names(page)[0] == before[2]
    shows(page, "This order follows 1 of your marks on this lesion.")
    mark(page, 1, relevant=False)  # the one that was first
    assert names(page) == [before[2], before[1], before[0]]
    hands.reload(page)
    shows(page, "This order follows 2 of your marks on this lesion.")
    hands.settle(page)
    assert names(page) == [before[2], before[1], before[0]], "marks are remembered"
    page.get_by_role("button", name="Take them back").click()
    hands.settle(page)
    assert names(page) == before


def test_the_graph_answers_and_narrows_the_search(visit: Callable[..., Any]):
    from playwright.sync_api import expect

    page = visit("BEN", "&tab=Ask+the+graph")
    box = page.get_by_role("textbox", name="In Cypher")
    box.fill("MATCH (o:Observation) WHERE o.patient_id = 'ELLA' RETURN o")
    box.press("Control+Enter")
    hands.settle(page)
    page.get_by_role("button", name="Most alike among these").click()
    hands.settle(page)
    shows(page, re.compile("Searched 1 lesion of 1 other patient,"))
    assert names(page, 1) == ["ELLA"]
    page.get_by_role("button", name="Search all again").click()
    hands.settle(page)
    assert len(names(page)) == 3
    page.get_by_role("tab", name="Ask the graph").click()
    hands.settle(page)
    box.fill("MATCH (o:Observation) DELETE o")
    box.press("Control+Enter")
    hands.settle(page)
    page.get_by_role("button", name="Ask", exact=True).click()
    alert(page, re.compile("DELETE"))
    expect(page.get_by_text("Traceback")).to_have_count(0)


def test_the_files_to_take_along_name_nobody_unless_they_are_asked_to(visit: Callable[..., Any]):
    page = visit("BEN")
    with page.expect_download() as download:
        page.get_by_role("button", name="Markdown").click()
    text = download.value.path().read_text()
    assert "patient A" in text
    assert "ELLA" not in text
    page.get_by_text("with names", exact=True).click()
    hands.settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON").click()
    assert "ELLA" in download.value.path().read_text()


def test_review_shows_the_three_most_alike_and_leads_to_evidence_and_back(visit: Callable[..., Any], clinic_url: str):
    page = visit("BEN")
    page.goto(f"{clinic_url}/review?patient_id=BEN&timepoint={clinic.DAYS[1]}")
    page.get_by_role("button", name=re.compile("Evidence$")).click()
    page.get_by_role("heading", name="Evidence", level=1).wait_for()
    hands.settle(page)
    assert len(names(page)) == 3
    page.get_by_role("button", name="Open in Review").click()
    page.get_by_role("button", name=re.compile("Evidence$")).wait_for()
    assert f"timepoint={clinic.DAYS[1]}" in page.url


def test_evidence_without_a_mask_points_to_review(visit: Callable[..., Any]):
    page = visit("CARA")
    alert(page, f"{clinic.DAYS[0]} has no mask yet.")
    page.get_by_role("button", name="Go to Review").click()
    page.get_by_role("heading", name="Review", level=1).wait_for()


def test_evidence_without_other_patients_masks_says_so(
    start_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, page: Any
):
    root = tmp_path_factory.mktemp("alone")
    with open_store(root) as store:
        clinic.add_scan(store, "HAL", clinic.DAYS[0], clinic.body(1))
        clinic.accept(store, clinic.add_mask(store, "HAL", clinic.DAYS[0], 900))
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{start_server(root).url}/evidence?patient_id=HAL")
    alert(page, "No other real patient has an accepted mask yet.")
