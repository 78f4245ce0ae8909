"""Decisions and history as a person meets them in the browser."""

from __future__ import annotations

import re

import pytest

from tests import clinic
from tests.browser import hands

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
THIRD = clinic.DAYS[2]


@pytest.fixture(scope="module")
def dashboard(start_server, tmp_path_factory):
    root = tmp_path_factory.mktemp("decide")
    clinic.build_history(root)
    return start_server(root)


def _curve(page, url, lesion):
    """The trajectory's observed points of a lesion: (days, mL)."""
    page.goto(f"{url}/trajectory?patient_id=GWEN")
    page.locator(".js-plotly-plot").first.wait_for(timeout=90_000)  # the first forecast takes a while
    page.get_by_role("radio", name=lesion).click()
    name = "total" if lesion == "All lesions" else lesion
    handle = page.wait_for_function(
        """(name) => {
          const trace = document.querySelector('.js-plotly-plot')?.data?.find(
            (t) => t.mode === 'lines+markers' && t.name === name);
          return trace ? trace.hovertext ?? trace.text : null;
        }""",
        arg=name,
    )
    found = re.findall(r"(\d{4}-\d\d-\d\d), .*?([\d.]+) mL", " | ".join(handle.json_value()))
    return [(day, float(volume)) for day, volume in found]


def _choose(page, box, option):
    hands.choose(page.get_by_role("combobox", name=box), option)


def test_one_lesion_is_rejected_the_rest_accepted_and_the_acceptance_withdrawn(dashboard, page):
    from playwright.sync_api import expect

    expect.set_options(timeout=30_000)
    page.set_default_timeout(30_000)
    days = clinic.DAYS
    before = [(days[0], 12.0), (days[1], 15.6)]
    assert _curve(page, dashboard.url, "L1") == before

    page.goto(f"{dashboard.url}/review?patient_id=GWEN")
    expect(page.get_by_text("Nothing was decided yet.")).to_be_visible()
    _choose(page, "Decide on", "L2 · vermilion · 6.0 mL")
    expect(page.get_by_role("button", name="Reject L2 of v2")).to_be_visible()
    _choose(page, "Reason", "Other (see comment)")
    page.get_by_role("button", name="Reject L2 of v2").click()
    expect(page.get_by_text("Say in the comment what the reason is.")).to_be_visible()
    page.get_by_role("textbox", name="Comment").fill("a *vessel*")
    page.get_by_role("button", name="Reject L2 of v2").click()
    expect(page.get_by_text("L2 of v2 rejected: other")).to_be_visible()
    expect(page.get_by_text("“a *vessel*”")).to_be_visible()
    hands.answer_doubts(page)
    page.get_by_role("button", name="Accept v2 without L2").click()
    expect(page.get_by_text("This version is accepted and in the curve. L2 is rejected and stays out.")).to_be_visible()

    assert _curve(page, dashboard.url, "L1") == [*before, (THIRD, 20.4)]
    assert _curve(page, dashboard.url, "L2") == [(days[0], 2.4), (days[1], 3.6)]
    assert _curve(page, dashboard.url, "All lesions") == [(days[0], 14.4), (days[1], 19.2), (THIRD, 20.4)]
    hands.unfold(page, "Not in the curve (1)")
    expect(page.get_by_text("L2 of version 2: rejected, and not in that total")).to_be_visible()

    page.goto(f"{dashboard.url}/review?patient_id=GWEN")
    viewer = page.locator(".twin-viewer canvas").first
    viewer.wait_for()
    viewer.hover()
    page.locator(".twin-viewer").first.focus()
    page.keyboard.press("a")
    expect(page.get_by_text("v2 is accepted already. There is nothing to decide.")).to_be_visible()
    expect(page.get_by_role("dialog").get_by_role("button", name="Withdraw")).to_have_count(0)
    page.keyboard.press("Escape")

    page.get_by_text("Withdraw the acceptance", exact=True).click()
    expect(page.get_by_role("button", name="Withdraw v2")).to_be_visible()
    _choose(page, "Reason", "To be looked at again")
    hands.mean_it(page)
    page.get_by_role("button", name="Withdraw v2").click()
    expect(page.get_by_text("v2 withdrawn: To be looked at again")).to_be_visible()
    expect(page.get_by_role("combobox", name="Mask version")).to_have_value("v2 · medsam · proposed")
    assert _curve(page, dashboard.url, "L1") == before


def test_a_long_history_folds_what_is_superseded_and_any_version_opens_from_it(dashboard, page):
    from playwright.sync_api import expect

    expect.set_options(timeout=30_000)
    page.set_default_timeout(30_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/thumbnail/" in request.url else None)
    page.goto(f"{dashboard.url}/review?patient_id=HUGO")
    page.get_by_text("History and provenance (41)").click()
    tree = page.get_by_role("tree")
    expect(tree.get_by_role("treeitem").filter(visible=True)).to_have_count(2)
    expect(tree.get_by_role("treeitem", name="v41")).to_have_attribute("aria-current", "true")
    expect(tree.locator("img[src^=blob]")).to_have_count(2)
    assert len(asked) == 2  # of 41

    tree.get_by_role("button", name="39 superseded, v1 to v39").click()
    expect(tree.get_by_role("treeitem").filter(visible=True)).to_have_count(41)
    branch = tree.get_by_role("treeitem", name="v10 medsam")
    expect(branch).to_have_attribute("aria-level", "2")
    expect(branch).to_contain_text("from v9 · Dice 0.9")
    branch.click()
    expect(page.get_by_role("combobox", name="Mask version")).to_have_value("v10 · medsam · superseded")
    expect(page.get_by_role("heading", name="v10 against v9")).to_be_visible()
    expect(tree.get_by_role("treeitem", name="v10 medsam")).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="Start a new version from v9").click()
    expect(page.get_by_role("combobox", name="Mask version")).to_have_value("v9 · medsam · superseded")
    expect(page.get_by_text("v9 is shown: what you make now begins with it.")).to_be_visible()


def test_surfaces_are_made_when_the_panel_is_opened(dashboard, page):
    page.set_default_timeout(30_000)
    page.goto(f"{dashboard.url}/review?patient_id=HUGO")
    page.get_by_text("History and provenance").wait_for()
    assert page.locator(".js-plotly-plot").count() == 0
    page.get_by_text("3-D", exact=True).click()
    page.locator(".js-plotly-plot").wait_for()
    found = page.wait_for_function(
        "() => { const p = document.querySelector('.js-plotly-plot'); return p.data && [p.data.map((t) => t.type), "
        "p.layout.scene.aspectmode, p.data.map((t) => t.name)]; }"
    ).json_value()
    assert found == [["mesh3d", "mesh3d"], "data", ["L1 · blue · 12.0 mL", "L2 · vermilion · 3.6 mL"]]
