"""Addresses in a real browser: a copied link, reload, back and forward, unknown places, two patients on one day."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from store import Store, open_store
from tests import clinic
from tests.browser import hands

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SLOW_MS = 120_000
DAY, LATER = clinic.DAYS[:2]


@pytest.fixture(scope="module")
def dashboard(start_server, tmp_path_factory):
    """KIM and LEO were scanned on one day: three versions of two lesions each; KIM on a later one, too."""
    root = tmp_path_factory.mktemp("addresses") / "data"
    store: Store
    with open_store(root) as store:
        store.people.add("ann", "reader", by="demo")
        for seed, patient in enumerate(("KIM", "LEO")):
            clinic.add_scan(store, patient, DAY, clinic.noise(seed))
            for n in range(3):
                labels = clinic.two_lesions(900 + 50 * n, 200)
                clinic.add_child(store, labels, patient, DAY, method="manual", author="demo")
            clinic.accept(store, store.masks.version(patient, DAY, 3))
        clinic.add_scan(store, "KIM", LATER, clinic.noise(7))
        labels = clinic.two_lesions(1000, 300)
        clinic.accept(store, clinic.add_child(store, labels, "KIM", LATER, method="manual", author="demo"))
    return start_server(root)


def place(page) -> dict[str, str]:
    """What the browser's address says."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(page.url).query, keep_blank_values=True).items()}


def at(page, path: str, **parameters: str) -> None:
    """Waits until the address is that one."""
    query = ".*".join(re.escape(f"{name}={value.replace(' ', '+')}") for name, value in parameters.items())
    expect(page).to_have_url(re.compile(rf"/{path}\?{query}"), timeout=SLOW_MS)
    # The address changes at once, the page later: Streamlit loses its way if it is sent on before its page has begun.
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible(timeout=SLOW_MS)


def box(page, label: str):
    return page.get_by_role("combobox", name=re.compile(label))


def choose(page, label: str, option: str) -> None:
    hands.choose(box(page, label), option)


def shows_version(page, number: int) -> None:
    expect(box(page, "Mask version")).to_have_value(re.compile(f"^v{number} "), timeout=SLOW_MS)


def go_to(page, name: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()


def test_a_copied_link_opens_the_same_place_in_another_browser_after_its_name_was_asked_for(dashboard, page, browser):
    page.goto(f"{dashboard.url}/review?patient_id=KIM&timepoint={DAY}")
    shows_version(page, 3)
    choose(page, "Mask version", "v2")
    page.get_by_role("tab", name="Refine").click()
    at(page, "review", patient_id="KIM", timepoint=DAY, version="2", tab="Refine")
    link, context = page.url, browser.new_context(viewport={"width": 1400, "height": 900})
    other = context.new_page()
    other.goto(link)
    expect(other.get_by_role("heading", name="Who is working?")).to_be_visible(timeout=SLOW_MS)
    choose(other, "Name", "ann")
    other.get_by_role("button", name="Continue").click()
    shows_version(other, 2)
    expect(box(other, "Patient")).to_have_value("KIM")
    expect(other.get_by_role("tab", name="Refine")).to_have_attribute("aria-selected", "true")
    assert other.url == link
    other.reload()
    shows_version(other, 2)
    expect(other.get_by_role("tab", name="Refine")).to_have_attribute("aria-selected", "true")
    assert other.url == link
    context.close()


def test_back_and_forward_lead_through_the_places_one_step_at_a_time(dashboard, page):
    page.goto(dashboard.url)
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible(timeout=SLOW_MS)
    expect(box(page, "Working as")).to_have_value("demo", timeout=SLOW_MS)
    choose(page, "Patient", "KIM")
    at(page, "", patient_id="KIM")
    go_to(page, "Review")
    at(page, "review", patient_id="KIM", timepoint=LATER, version="1", tab="Decide")
    choose(page, "Timepoint", DAY)
    at(page, "review", patient_id="KIM", timepoint=DAY, version="3")
    choose(page, "Mask version", "v1")
    at(page, "review", patient_id="KIM", timepoint=DAY, version="1")
    go_to(page, "Trajectory")
    at(page, "trajectory", patient_id="KIM", lesion="total")
    page.get_by_role("radio", name="L2").click() if page.get_by_role("radio", name="L2").count() else page.get_by_role(
        "button", name="L2", exact=True
    ).click()
    at(page, "trajectory", patient_id="KIM", lesion="L2")

    page.go_back()
    at(page, "trajectory", patient_id="KIM", lesion="total")
    page.go_back()
    at(page, "review", patient_id="KIM", timepoint=DAY, version="1")
    shows_version(page, 1)
    page.go_back()
    at(page, "review", patient_id="KIM", timepoint=DAY, version="3")
    shows_version(page, 3)
    page.go_back()
    at(page, "review", patient_id="KIM", timepoint=LATER, version="1")
    expect(box(page, "Timepoint")).to_have_value(LATER, timeout=SLOW_MS)
    page.go_back()
    at(page, "", patient_id="KIM")
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible(timeout=SLOW_MS)
    page.go_forward()
    at(page, "review", patient_id="KIM", timepoint=LATER, version="1")
    expect(box(page, "Timepoint")).to_have_value(LATER, timeout=SLOW_MS)
    page.go_forward()
    at(page, "review", patient_id="KIM", timepoint=DAY, version="3")
    shows_version(page, 3)


def test_going_back_twice_at_once_leaves_no_place_that_nobody_was_at(dashboard, page):
    """The run that the first step back asked for is under way when the second one comes: its page is no entry."""
    page.goto(f"{dashboard.url}/review?patient_id=KIM&timepoint={DAY}")
    shows_version(page, 3)
    choose(page, "Mask version", "v1")
    at(page, "review", patient_id="KIM", timepoint=DAY, version="1")
    go_to(page, "Trajectory")
    at(page, "trajectory", patient_id="KIM", lesion="total")
    hands.unfold(page, "Response by visit and by criterion")
    at(page, "trajectory", patient_id="KIM", tab="Response")
    # 60 ms: the run of the first step has been asked for and has not begun. `go_back` would wait longer.
    page.evaluate("() => { history.back(); setTimeout(() => history.back(), 60); }")
    at(page, "review", patient_id="KIM", timepoint=DAY, version="1")
    shows_version(page, 1)
    page.wait_for_timeout(1500)
    page.go_back()
    at(page, "review", patient_id="KIM", timepoint=DAY, version="3")
    shows_version(page, 3)


def test_back_from_what_a_button_opened_is_the_page_of_the_button(dashboard, page):
    page.goto(f"{dashboard.url}/cohort")
    button = page.get_by_role("button", name="Open the trajectory")
    button.click(timeout=SLOW_MS)
    at(page, "trajectory", patient_id="KIM", lesion="total")
    page.go_back()
    expect(page.get_by_role("heading", name="Cohort", exact=True)).to_be_visible(timeout=SLOW_MS)
    expect(page).to_have_url(re.compile(r"/cohort\?"), timeout=SLOW_MS)
    page.go_forward()
    at(page, "trajectory", patient_id="KIM", lesion="total")
    assert "of_page" not in place(page)


def test_a_page_that_comes_with_the_old_ones_parameters_still_becomes_the_address(dashboard, page):
    """Streamlit says so where the new page's own were taken back unsent: the next run had begun by then."""
    page.goto(f"{dashboard.url}/cohort")
    at(page, "cohort", tab="Best change")
    expect(page.get_by_role("button", name="Open the trajectory")).to_be_visible(timeout=SLOW_MS)
    hands.settle(page)
    page.evaluate("() => history.pushState({}, '', '/trajectory' + location.search)")
    assert page.evaluate("() => location.pathname + location.search") == "/trajectory"


@pytest.mark.parametrize("late", ["", "?tab=Best+change", "?patient_id=KIM&lesion=total&of_page=trajectory"])
def test_a_place_that_comes_before_the_name_of_its_page_waits_for_it(dashboard, page, late):
    """Streamlit puts the page's name when it has drawn, the place when it is told: either may be first."""
    page.goto(f"{dashboard.url}/cohort")
    at(page, "cohort", tab="Best change")
    expect(page.get_by_role("button", name="Open the trajectory")).to_be_visible(timeout=SLOW_MS)
    hands.settle(page)
    before = page.evaluate("() => [location.href, history.length]")
    page.evaluate("() => history.pushState({}, '', '/cohort?patient_id=KIM&lesion=total&of_page=trajectory')")
    assert page.evaluate("() => [location.href, history.length]") == before
    page.evaluate("late => history.pushState({}, '', '/trajectory' + late)", late)
    there = page.evaluate("() => [location.pathname + location.search, history.length]")
    assert there == ["/trajectory?patient_id=KIM&lesion=total", before[1] + 1]


def test_an_unknown_place_says_so_and_its_offer_leads_on(dashboard, page):
    page.goto(f"{dashboard.url}/review?patient_id=KIM&timepoint={DAY}&version=8")
    sentence = f"There is no mask version “8” of KIM on {DAY}; there are 3, 2, 1."
    expect(page.get_by_test_id("stAlert")).to_have_text(re.compile(re.escape(sentence)), timeout=SLOW_MS)
    expect(page.locator(".twin-viewer, canvas")).to_have_count(0)
    expect(box(page, "Mask version")).to_have_count(0)
    assert place(page)["version"] == "8"
    page.reload()
    expect(page.get_by_test_id("stAlert")).to_have_text(re.compile(re.escape(sentence)), timeout=SLOW_MS)
    choose(page, "Open instead", "2")
    shows_version(page, 2)
    at(page, "review", patient_id="KIM", timepoint=DAY, version="2")
    page.goto(f"{dashboard.url}/trajectory?patient_id=<img src=x>")
    expect(page.get_by_test_id("stAlert")).to_contain_text("There is no patient “<img src=x>” here", timeout=SLOW_MS)
    expect(page.locator("[data-testid=stAlert] img")).to_have_count(0)
    choose(page, "Open instead", "LEO")
    at(page, "trajectory", patient_id="LEO", lesion="total")
    expect(box(page, "Patient")).to_have_value("LEO")


def test_nothing_chosen_or_typed_for_a_patient_shows_up_for_another_of_that_day(dashboard, page):
    page.goto(f"{dashboard.url}/review?patient_id=KIM&timepoint={DAY}&version=1&tab=Refine")
    shows_version(page, 1)
    page.get_by_text("Type a box").click()
    field = page.get_by_role("spinbutton", name=re.compile("^X0"))
    field.fill("17")
    field.press("Tab")
    choose(page, "Patient", "LEO")
    at(page, "review", patient_id="LEO", timepoint=DAY, version="3")
    shows_version(page, 3)
    if not field.is_visible():
        page.get_by_text("Type a box").click()
    expect(field).to_have_value("0", timeout=SLOW_MS)


def test_a_mask_file_chosen_for_a_patient_is_let_go_where_it_is_another(dashboard, page):
    page.goto(f"{dashboard.url}/intake?patient_id=KIM&tab=Mask")
    panel = page.get_by_role("tabpanel").filter(has_text="Mask file")
    panel.locator("input[type=file]").set_input_files(
        {"name": "mask.nii.gz", "mimeType": "application/gzip", "buffer": b"no mask"}
    )
    expect(panel.get_by_text("mask.nii.gz")).to_be_visible(timeout=SLOW_MS)
    expect(panel.get_by_role("button", name="Import mask")).to_be_enabled(timeout=SLOW_MS)
    choose(page, "Patient", "LEO")
    at(page, "intake", patient_id="LEO", tab="Mask")
    expect(panel.get_by_text("mask.nii.gz")).to_have_count(0, timeout=SLOW_MS)
    expect(panel.get_by_role("button", name="Import mask")).to_be_disabled()


def test_two_quick_choices_both_hold(dashboard, page):
    page.goto(f"{dashboard.url}/review?patient_id=KIM&timepoint={DAY}")
    shows_version(page, 3)
    choose(page, "Mask version", "v1")
    page.get_by_role("tab", name="Segment").click()
    at(page, "review", patient_id="KIM", timepoint=DAY, version="1", tab="Segment")
    shows_version(page, 1)
