"""Editing in the viewer, in a real browser and on a real server: brush, undo, drafts, conflicts, prompts, versions."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from core.imaging.volumes import read_label_map
from store import open_store
from tests import clinic
from tests.conftest import works_as

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
PATIENCE_MS = 60_000
DAY = clinic.DAYS[0]
PATIENTS = ("BRUSH", "RELOAD", "WINDOWS", "OFFLINE", "LOST", "BOX", "POLYGON", "TEXT", "EMPTY")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One scan each; a lesion of 1000 voxels as v1, but nothing for EMPTY."""
    root = tmp_path_factory.mktemp("editing")
    with open_store(root) as store:
        for n, patient in enumerate(PATIENTS):
            clinic.add_scan(store, patient, DAY, clinic.body(n))
            if patient != "EMPTY":
                clinic.add_mask(store, patient, DAY, 1000)
    return root


@pytest.fixture(scope="module")
def dashboard(start_server, root):
    return start_server(root)


@pytest.fixture
def review(browser, dashboard):
    """review("BRUSH") -> a page of its own window, ready to be drawn on; review("BRUSH", page) loads it there again."""
    windows = []

    def open_page(patient, page=None):
        if page is None:
            windows.append(browser.new_context(viewport={"width": 1440, "height": 900}))
            works_as(windows[-1], "demo")
            page = windows[-1].new_page()
            page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{dashboard.url}/review?patient_id={patient}")
        page.locator(".twin-viewer canvas").first.wait_for()
        until(page, "s.editor && v.panes.every(p => p.volume.complete && p.readout) && !v.waitsForMask")
        page.wait_for_timeout(300)
        return page

    yield open_page
    for window in windows:
        window.close()


def ask(page, expression):
    """The value of an expression about the viewer `v`, its first pane `p` and its editing session `s`."""
    return page.locator(".twin-viewer").evaluate(
        "(root) => { const v = root.viewer; if (!v) return null; const p = v.panes[0], s = v.editing;"
        f" return {expression}; }}"
    )


def until(page, expression, seconds=60):
    for _ in range(seconds * 10):
        if value := ask(page, expression):
            return value
        page.wait_for_timeout(100)
    raise AssertionError(f"never became true: {expression}")


def saved(page):
    return until(page, "s.draft.state === 'saved' && s.draft.revision")


def spot(page, index):
    """Where a voxel is on the screen."""
    return ask(
        page,
        f"(() => {{ const at = p.place(), room = p.canvas.getBoundingClientRect(), r = devicePixelRatio, [x, y] ="
        f" p.plane.toPixel({list(index)});"
        " return [room.x + (at.x + x * at.sx) / r, room.y + (at.y + y * at.sy) / r]; })()",
    )


def drag(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=6)
    page.mouse.up()


def brush(page, start, end, key="r"):
    """A stroke from voxel to voxel on the slice that is seen."""
    page.keyboard.press(key)
    k = ask(page, "p.slice")
    drag(page, spot(page, (*start, k)), spot(page, (*end, k)))


def array(page):
    flat = np.array(ask(page, "[...s.editor.array]"), np.uint8)
    return flat.reshape(clinic.SHAPE, order="F")


def version(root, patient, number):
    return read_label_map(root / f"processed/clinic/{patient}/{DAY}/mask_v{number:03d}.nii.gz").array


def test_a_stroke_is_undone_in_words_and_saved_as_a_version_with_its_diff(review, root):
    page = review("BRUSH")
    before = version(root, "BRUSH", 1)
    k = ask(page, "p.slice")
    brush(page, (32, 28), (44, 28))
    after = array(page)
    assert (after[40:44, 28, k] == 1).all()
    assert saved(page) == 1
    undo = page.get_by_role("button", name="Undo", exact=True)
    assert undo.get_attribute("title") == "Undo: brush L1 (ctrl+z)"
    page.keyboard.press("Control+z")
    page.locator(".twin-viewer").get_by_text("Undone: brush L1").wait_for()
    assert (array(page) == before).all()
    page.keyboard.press("Control+Shift+z")
    assert (array(page) == after).all()
    saved(page)
    page.get_by_role("button", name="Save the draft as a version").click()
    page.get_by_role("heading", name="v2 against v1").wait_for()
    assert page.get_by_role("combobox", name="Mask version").input_value() == "v2 · manual · proposed"
    assert (version(root, "BRUSH", 2) == after).all()
    sidecar = json.loads((root / f"processed/clinic/BRUSH/{DAY}/mask_v002.json").read_text())
    assert (sidecar["method"], sidecar["parent_version"], sidecar["reviewer"]) == ("manual", 1, "demo")
    assert sidecar["voxels_added"] == (after > before).sum()
    assert not [
        path for path in (root / "drafts").glob("*/draft.json") if json.loads(path.read_text())["patient_id"] == "BRUSH"
    ]
    until(page, "s.editor && v.data.panes[0].mask.version === 2")
    assert ask(page, "[s.draft.state, s.editor.dirty]") == ["none", False]


def test_a_draft_is_there_again_after_a_reload_and_after_the_browser_is_gone(review, root, dashboard):
    page = review("RELOAD")
    brush(page, (30, 28), (18, 28))
    drawn = array(page)
    saved(page)
    review("RELOAD", page)
    assert (array(page) == drawn).all()
    said = page.get_by_role("status", name="Draft")
    assert said.get_by_text("Your draft of this version is shown as you left it").is_visible(), "and not for a moment"
    page.context.close()  # as a crash: nothing is said to the page
    again = review("RELOAD")
    assert (array(again) == drawn).all()
    assert not (root / f"processed/clinic/RELOAD/{DAY}/mask_v002.nii.gz").exists(), "a draft is no version"
    draft_id = ask(again, "s.draft.id")
    again.goto(dashboard.url)
    again.locator(f".st-key-draft-{draft_id}").get_by_role("button", name="Go on drawing").click()
    again.locator(".twin-viewer canvas").first.wait_for()
    until(again, f"s.editor && s.draft.id === '{draft_id}'")
    assert (array(again) == drawn).all()
    again.get_by_role("button", name="Give the draft up").click()
    again.get_by_role("button", name="Give the draft up for good").click()
    until(again, "s.draft.state === 'none' && s.editor && !s.editor.dirty")
    assert (array(again) == version(root, "RELOAD", 1)).all()
    assert list((root / "drafts/discarded").iterdir()), "what was drawn is still on disk"


def test_two_windows_on_one_draft_lose_nothing(review):
    first = review("WINDOWS")
    brush(first, (30, 28), (20, 28))
    saved(first)
    second = review("WINDOWS")
    brush(first, (30, 28), (30, 40))
    saved(first)
    theirs = array(first)
    brush(second, (34, 28), (46, 28))
    mine = array(second)
    until(second, "s.draft.state === 'conflict'")
    second.get_by_text("which another window saved").wait_for()
    second.get_by_role("button", name="Show what was saved elsewhere").click()
    until(second, "s.draft.state === 'saved'")
    assert (array(second) == theirs).all()
    second.keyboard.press("Control+z")
    assert (array(second) == mine).all(), "undo brings one's own side back"
    saved(second)
    brush(first, (30, 28), (18, 34))
    side = array(first)
    until(first, "s.draft.state === 'conflict'")
    first.get_by_role("button", name="What is on this screen becomes the draft").click()
    until(first, "s.draft.state === 'saved' && !s.draft.dirty")
    review("WINDOWS", second)
    assert (array(second) == side).all()


def test_without_the_server_drawing_goes_on_and_is_sent_when_it_is_back(review):
    page = review("OFFLINE")
    page.route("**/api/viewer/draft**", lambda route: route.abort())
    brush(page, (30, 28), (20, 28))
    page.get_by_text("Not saved: the server cannot be reached.").wait_for()
    brush(page, (30, 28), (30, 38))
    drawn = array(page)
    page.unroute("**/api/viewer/draft**")
    saved(page)
    review("OFFLINE", page)
    assert (array(page) == drawn).all()


def test_an_edit_that_arrived_while_its_answer_got_lost_is_no_conflict(review):
    page = review("LOST")
    brush(page, (30, 28), (20, 28))
    saved(page)

    def lose(route):
        route.fetch()
        route.abort()

    page.route("**/api/viewer/draft/*", lose)
    brush(page, (30, 28), (30, 38))
    page.get_by_text("Not saved: the server cannot be reached.").wait_for()
    page.unroute("**/api/viewer/draft/*")
    until(page, "s.draft.state === 'saved' && !s.draft.dirty")
    assert ask(page, "s.draft.conflict") is None
    drawn = array(page)
    brush(page, (34, 28), (44, 28))
    until(page, "s.draft.state === 'saved' && !s.draft.dirty")
    after = array(page)
    assert (after != drawn).any()
    review("LOST", page)
    assert (array(page) == after).all()


def test_a_polygon_a_hole_and_pieces(review):
    page = review("POLYGON")
    k = ask(page, "p.slice")
    before = array(page)
    page.keyboard.press("c")
    for corner in ((6, 6), (14, 6), (14, 14), (6, 14)):
        page.mouse.click(*spot(page, (*corner, k)))
    page.keyboard.press("Enter")
    after = array(page)
    assert (after[7:14, 7:14, k] == 1).all()
    assert (after != before).sum() in range(49, 82)
    page.keyboard.press("6")  # not this piece
    page.mouse.click(*spot(page, (10, 10, k)))
    assert (array(page) == before).all()
    page.keyboard.press("u")
    page.mouse.click(*spot(page, (32, 28, k)))
    assert array(page)[32, 28, k] == 0
    page.get_by_role("button", name="Fill the holes of this lesion").click()
    assert (array(page) == before).all()
    assert ask(page, "s.editor.done.map(d => d.what)") == [
        "polygon L1",
        "remove a piece of L1",
        "erase L1",
        "fill holes of L1",
    ]


def test_a_box_is_answered_moved_kept_and_deleted_and_the_version_names_it(review, root):
    page = review("BOX")
    k = ask(page, "p.slice")
    page.keyboard.press("b")
    drag(page, spot(page, (24, 20, k)), spot(page, (40, 36, k)))
    until(page, "!s.prompting.asking && s.prompting.answers.size === 1", seconds=120)
    (prompt,) = ask(page, "s.prompting.all")
    assert (prompt["type"], prompt["axis"], prompt["slice"], prompt["coords"]) == ("box", 2, k, [24, 20, 40, 36])
    assert (array(page) == version(root, "BOX", 1)).all(), "an answer is a preview until it is kept"
    page.get_by_text("dashed: the model's answer, not yet kept").wait_for()
    drag(page, spot(page, (40.4, 36.4, k)), spot(page, (43.4, 38.4, k)))  # by its corner
    until(page, "!s.prompting.asking && s.prompting.list[0].coords.join() === '24,20,43,38'")
    page.keyboard.press("Enter")
    assert ask(page, "[s.prompting.answers.size, s.prompting.list.length, s.editor.undoes]") == [
        0,
        1,
        f"MedSAM's answer for L1 on slice {k}",
    ]
    taken = ask(page, "s.prompting.taken.map(t => t.id)")
    assert len(taken) == 1
    page.keyboard.press("Control+z")
    assert ask(page, "s.prompting.taken.length") == 0, "an answer that was undone is no part of the draft"
    page.keyboard.press("Control+Shift+z")
    assert ask(page, "s.prompting.taken.map(t => t.id)") == taken
    page.keyboard.press(",")
    page.mouse.click(*spot(page, (10, 10, k)))
    until(page, "!s.prompting.asking && s.prompting.list.length === 2")
    page.mouse.move(*spot(page, (10, 10, k)))
    page.keyboard.press("Delete")
    until(page, "!s.prompting.asking && s.prompting.list.length === 1")
    page.keyboard.press("Backspace")
    drawn = array(page)
    saved(page)
    review("BOX", page)
    assert ask(page, "s.prompting.taken.map(t => t.id)") == taken, "also after a reload"
    page.keyboard.press("Control+s")
    page.get_by_role("heading", name="v2 against v1").wait_for()
    sidecar = json.loads((root / f"processed/clinic/BOX/{DAY}/mask_v002.json").read_text())
    assert sidecar["method"] == "medsam"
    assert [p["coords"] for p in sidecar["prompts"]] == [[24, 20, 43, 38]]
    assert sidecar["checkpoint_sha256"] == sidecar["prompts"][0]["checkpoint_sha256"]
    assert (version(root, "BOX", 2) == drawn).all()
    until(page, "s.editor && v.data.panes[0].mask.version === 2")
    assert ask(page, "s.prompting.list.map(p => p.coords.join())") == ["24,20,43,38"], "prompts stay visible"


def test_what_files_people_and_the_server_say_is_shown_as_text_and_never_as_markup(review):
    """Names of lesions, scans, timepoints and people, and a sentence of the server's that holds one of them."""
    page = review("TEXT")
    evil = "<img src=x onerror='window.pwned = 1'><b>bold</b>"
    change = (
        "v.data.patient = v.data.person = evil;"
        " for (const one of v.series) { one.data.title = one.data.simulated = evil;"
        " for (const scan of one.scans) scan.channel = evil;"
        " for (const lesion of one.data.lesions) lesion.lesion_id = evil; }"
        " s.choose(1); s.bar.refresh(); v.draw(); v.say(evil);"
    )
    ask(page, f"((evil) => {{ {change} }})({json.dumps(evil)})")
    page.locator(".twin-viewer option").get_by_text("<img src=x").first.wait_for(state="attached")
    refused = json.dumps({"error": f"{evil} has saved this draft.", "revision": 9})
    page.route(
        "**/api/viewer/draft", lambda route: route.fulfill(status=422, content_type="application/json", body=refused)
    )
    brush(page, (30, 28), (20, 28))
    page.get_by_text("has saved this draft.").first.wait_for()
    page.wait_for_timeout(300)
    assert page.evaluate("window.pwned") is None
    assert ask(page, "root.querySelectorAll('img, b').length") == 0


def test_a_first_mask_is_drawn_where_there_was_none(review, root):
    page = review("EMPTY")
    brush(page, (30, 28), (34, 28))
    saved(page)
    page.keyboard.press("Control+s")
    version_box = page.get_by_role("combobox", name="Mask version")
    from playwright.sync_api import expect

    expect(version_box).to_have_value(re.compile("v1 · manual · proposed"), timeout=PATIENCE_MS)
    assert set(np.unique(version(root, "EMPTY", 1))) == {0, 1}
