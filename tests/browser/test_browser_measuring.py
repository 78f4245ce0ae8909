"""A reader measures a lesion by hand, is told what that changes, and finds it: drawn, listed, in the response."""

from __future__ import annotations

import pytest

from core.twin.timeline_json import timeline_report
from store import open_store
from store.store import open_to_look
from tests import clinic
from tests.browser import hands

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
FIRST, SECOND = clinic.DAYS[:2]


@pytest.fixture(scope="module")
def dashboard(start_server, tmp_path_factory):
    """KIM: L1, accepted on two days, hardly grown."""
    root = tmp_path_factory.mktemp("measuring")
    with open_store(root) as store:
        for n, day in enumerate((FIRST, SECOND)):
            clinic.add_scan(store, "KIM", day, clinic.body(60 + n))
            clinic.accept(store, clinic.add_mask(store, "KIM", day, 1000 + 20 * n))
        store.people.add("vera", "viewer", by="demo")
    return start_server(root), root


def ask(page, expression):
    """The value of a JavaScript expression about the viewer `v`, its first pane `p` and its measurements `m`."""
    return page.locator(".twin-viewer").evaluate(
        f"""(root) => {{ const v = root.viewer; if (!v) return null;
             const p = v.panes[0], m = v.measuring; return {expression}; }}"""
    )


def opened(page, url):
    page.goto(url)
    page.locator(".twin-viewer canvas").first.wait_for()
    for _ in range(300):
        if ask(page, "v.panes.every(p => p.volume.complete && p.readout) && !v.waitsForMask"):
            break
        page.wait_for_timeout(100)
    hands.settle(page)


def drag(page, first, second):
    box = page.locator(".twin-viewer canvas").first.bounding_box()
    for n, (across, down) in enumerate((first, second)):
        page.mouse.move(box["x"] + box["width"] * across, box["y"] + box["height"] * down, steps=4)
        if n == 0:
            page.mouse.down()
    page.mouse.up()


def test_a_length_is_drawn_kept_as_the_longest_diameter_and_told_in_the_response(dashboard, page):
    from playwright.sync_api import expect

    (server, root), url = dashboard, f"/review?patient_id=KIM&timepoint={SECOND}"
    expect.set_options(timeout=60_000)
    page.set_default_timeout(60_000)
    page.set_viewport_size({"width": 1280, "height": 720})
    opened(page, server.url + url)

    page.keyboard.press("/")
    for _ in range(100):
        if ask(page, "m.diameters.ofLesion(v.series[0]).length"):
            break
        page.wait_for_timeout(100)
    (axes,) = ask(page, "m.diameters.ofLesion(v.series[0])")
    assert axes["longest_mm"] > axes["perpendicular_mm"] > 0
    page.wait_for_timeout(500)
    page.keyboard.press("7")
    drag(page, (0.25, 0.5), (0.7, 0.45))
    (drawn,) = ask(page, "m.own.map(({kind, points}) => [kind, points])")
    assert drawn[0] == "length"
    shown = ask(page, "m.own[0].points")
    length = sum((a - b) ** 2 for a, b in zip(*shown, strict=True)) ** 0.5
    drag(page, (0.7, 0.45), (0.75, 0.5))
    assert ask(page, "m.own.length") == 1, "its end was moved"
    moved = ask(page, "m.own[0].points")
    assert (moved[0], moved[1] == shown[1]) == (shown[0], False)
    length = sum((a - b) ** 2 for a, b in zip(*moved, strict=True)) ** 0.5

    page.get_by_label("Keep as").select_option(label="longest diameter of L1")
    page.get_by_role("button", name="Keep measurement").click()
    expect(page.get_by_text("This changes the response.")).to_be_visible()
    page.get_by_role("button", name="Keep all the same measurement").click()
    expect(page.get_by_text("Measured by hand (1)")).to_be_visible()

    hands.reload(page)
    opened(page, page.url)
    (kept,) = ask(page, "m.kept.map(({kept, points}) => ({...kept, points}))")
    assert kept["value"] == pytest.approx(length)
    assert (kept["lesion_id"], kept["sets"], kept["person"]) == ("L1", "longest diameter", "demo")
    page.get_by_text("Measured by hand (1)").click()
    expect(page.get_by_text("Longest diameter of L1, set by hand")).to_be_visible()
    with open_to_look(root) as store:
        told = timeline_report(store, "KIM")
    note = f"L1 on {SECOND}: longest diameter {length:.1f} mm set by hand by demo; the mask says"
    assert any(one.startswith(note) for one in told["responses"][1]["notes"])
    assert told["responses"][1]["call"] == "PD"
    cell = next(one for one in told["cells"] if one["timepoint"] == SECOND)
    assert (cell["hand_longest_diameter_mm"], cell["hand_longest_diameter_by"]) == (pytest.approx(length), "demo")

    page.get_by_test_id("stPopover").get_by_role("button", name="Withdraw").click()
    page.get_by_role("textbox", name="Reason").last.fill("on the wrong slice")
    page.keyboard.press("Enter")
    hands.settle(page)
    page.get_by_text("I have seen what changes, and mean it").click()
    hands.settle(page)
    page.get_by_role("button", name="Withdraw it").click()
    expect(page.get_by_text("Measured by hand (0)")).to_be_visible()
    hands.settle(page)
    assert ask(page, "m.kept.length") == 0


def test_who_may_only_look_measures_and_keeps_nothing(dashboard, page):
    from tests.conftest import works_as

    server, _ = dashboard
    page.set_default_timeout(60_000)
    works_as(page.context, "vera")
    opened(page, f"{server.url}/review?patient_id=KIM&timepoint={FIRST}")
    page.keyboard.press("9")
    drag(page, (0.4, 0.4), (0.6, 0.6))
    (words,) = ask(page, "[m.own.length]")
    assert words == 1
    assert page.get_by_role("button", name="Keep measurement").is_disabled()
    page.keyboard.press("8")
    box = page.locator(".twin-viewer canvas").first.bounding_box()
    for across, down in ((0.2, 0.3), (0.3, 0.6), (0.5, 0.6)):
        page.mouse.click(box["x"] + box["width"] * across, box["y"] + box["height"] * down)
    assert ask(page, "m.own.map(({kind, points}) => [kind, points.length])") == [["roi", 3], ["angle", 3]]
    page.keyboard.press("Delete")
    assert ask(page, "m.own.map(({kind}) => kind)") == ["roi"]
    page.keyboard.press("ArrowUp")
    page.wait_for_timeout(300)
    assert ask(page, "m.own.length") == 1, "it stays on its slice"
