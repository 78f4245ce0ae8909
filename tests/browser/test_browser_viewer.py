"""The viewer in a real browser, on phantoms in which every voxel's value and place is known."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import numpy as np
import pytest

from core.types import Grid, LabelMap, Volume
from store import open_store
from tests import clinic
from tests.conftest import works_as
from tests.store_phantom import measures

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
PATIENCE_MS = 60_000
DAY = "2024-01-01"
#: The file's i runs to the head, j to the left, k to the front: 4, 2 and 3 mm.
PERMUTED = np.array([[0, -2.0, 0, 40], [0, 0, 3.0, -30], [4.0, 0, 0, 100], [0, 0, 0, 1]])
SHAPE = (20, 40, 24)


def coded(shape):
    """Every voxel's value says where it is."""
    i, j, k = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    return (i + 32 * j + 1300 * k - 1000).astype(np.float32)


@pytest.fixture(scope="module")
def dashboard(start_server, tmp_path_factory):
    """ANNA's six visits, each moved by a voxel; PERM, whose file's axes are turned; a mask on each."""
    root = tmp_path_factory.mktemp("viewer")
    with open_store(root) as store:
        for n, day in enumerate(clinic.DAYS[:2]):
            clinic.add_scan(store, "ANNA", day, clinic.body(n, (4 * n, 0, 0)))
            clinic.add_mask(store, "ANNA", day, 1000)
        clinic.add_scan(store, "BEN", clinic.DAYS[0], clinic.body(5))
        clinic.add_scan(store, "BEN", clinic.DAYS[1], clinic.noise(6))
        grid = Grid(SHAPE, PERMUTED)
        clinic.add_scan(store, "PERM", DAY, Volume(coded(SHAPE), grid, "CT"))
        labels = np.zeros(SHAPE, np.uint8)
        labels[5:9, 10:20, 6:12] = 1
        labels[14, 30:33, 18] = 2
        mask = LabelMap(labels, grid)
        store.masks.add(
            mask,
            patient_id="PERM",
            timepoint=DAY,
            method="manual",
            author="demo",
            lesions=measures(mask),
            parent_version=None,
        )
    return start_server(root)


@pytest.fixture
def look(page, dashboard):
    """look("review", "PERM") -> the page, once the whole scan is loaded and drawn."""
    page.set_default_timeout(PATIENCE_MS)

    def open_page(name, patient):
        page.goto(f"{dashboard.url}/{name}?patient_id={patient}")
        page.locator(".twin-viewer canvas").first.wait_for()
        for _ in range(300):
            if ask(page, "v.panes.every(p => p.volume.complete && p.readout) && !v.waitsForMask"):
                break
            page.wait_for_timeout(100)
        page.wait_for_timeout(300)
        return page

    return open_page


def ask(page, expression):
    """The value of a JavaScript expression about the viewer `v` and its first pane `p`."""
    return page.locator(".twin-viewer").evaluate(
        f"(root) => {{ const v = root.viewer; if (!v) return null; const p = v.panes[0]; return {expression}; }}"
    )


def settle(page):
    page.wait_for_timeout(400)


def test_every_plane_hangs_as_radiologists_expect_whatever_the_files_axes_are(look):
    page = look("review", "PERM")
    for key, letters, axes in (("q", "RLAP", (1, 2, 0)), ("w", "RLSI", (1, 0, 2)), ("e", "APSI", (2, 0, 1))):
        page.keyboard.press(key)
        settle(page)
        assert "".join(ask(page, "p.plane.letters")) == letters
        assert tuple(ask(page, "[p.plane.across, p.plane.down, p.plane.axis]")) == axes
        # The picture's right edge lies further to the left (or back) than its left edge, the bottom lower than the top.
        left, right, top, bottom = ask(
            page,
            "[[0, 5], [8, 5], [5, 0], [5, 8]].map(([x, y]) => { const i = p.plane.toIndex(p.slice, x, y), a = p.frame."
            "master.affine; return [0, 4, 8].map(n => a[n] * i[0] + a[n+1] * i[1] + a[n+2] * i[2] + a[n+3]) })",
        )
        across, down = {"q": (0, 1), "w": (0, 2), "e": (1, 2)}[key]
        assert right[across] < left[across]
        assert bottom[down] < top[down]


def test_the_crosshairs_value_and_place_are_the_voxels(look):
    page = look("review", "PERM")
    canvas = page.locator(".twin-viewer canvas").first
    box = canvas.bounding_box()
    for across, down in ((0.42, 0.45), (0.55, 0.6)):
        canvas.click(position={"x": box["width"] * across, "y": box["height"] * down})
        settle(page)
        mm, text = ask(page, "[p.readout.mm, p.readout.text]")
        i, j, k = np.rint(np.linalg.inv(PERMUTED) @ [*mm, 1])[:3].astype(int)
        assert text == f"{int(coded(SHAPE)[i, j, k])} HU"
        place = ask(
            page, "(() => { const c = p.cursorPixel(), a = p.place(); return [a.x + c[0]*a.sx, a.y + c[1]*a.sy] })()"
        )
        assert place == pytest.approx([box["width"] * across, box["height"] * down], abs=1.5)


def test_the_wheel_scrolls_one_slice_and_keys_go_on(look):
    page = look("review", "PERM")
    page.locator(".twin-viewer canvas").first.hover()
    before = ask(page, "p.slice")
    page.mouse.wheel(0, -100)
    settle(page)
    assert ask(page, "p.slice") == before + 1
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    settle(page)
    assert ask(page, "p.slice") == before - 1
    label = page.get_by_role("img", name=re.compile(r"CT of 2024-01-01, axial \d+ of 20"))
    assert label.get_attribute("aria-label").endswith(f"axial {before} of 20")


def test_right_drag_changes_the_window_and_a_number_brings_a_preset_back(look):
    page = look("review", "PERM")
    assert ask(page, "v.levels.windowOf(p.volume.scan)") == [40, 400]
    room = page.locator(".twin-viewer canvas").first.bounding_box()
    x, y = room["x"] + room["width"] / 2, room["y"] + room["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(button="right")
    page.mouse.move(x + 60, y + 30, steps=3)
    page.mouse.up(button="right")
    centre, width = ask(page, "v.levels.windowOf(p.volume.scan)")
    assert centre > 40
    assert width > 400
    page.keyboard.press("3")
    assert ask(page, "v.levels.windowOf(p.volume.scan)") == [400, 1800]
    assert page.get_by_role("combobox", name="Window").evaluate("e => e.selectedOptions[0].text") == "Bone"


def test_zoom_keeps_the_place_under_the_pointer_and_the_bar_its_length_in_mm(look):
    page = look("review", "PERM")
    room = page.locator(".twin-viewer canvas").first.bounding_box()
    page.mouse.move(room["x"] + 200, room["y"] + 150)
    at = "(({x, y}) => p.locate({clientX: x + 200, clientY: y + 150}).mm)(p.canvas.getBoundingClientRect())"
    before, scale = ask(page, at), ask(page, "p.place().scale")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    settle(page)
    assert ask(page, "p.place().scale") > 1.3 * scale
    assert ask(page, at) == pytest.approx(before, abs=0.1)
    mm, pixels = ask(page, "[p.bar.mm, p.bar.pixels]")
    assert pixels / mm == pytest.approx(ask(page, "p.place().scale"))


def test_coronal_voxels_of_four_by_two_mm_are_shown_twice_as_high_as_wide(look):
    page = look("review", "PERM")
    page.keyboard.press("w")
    settle(page)
    across, down = ask(page, "[p.place().sx, p.place().sy]")
    assert down / across == pytest.approx(2.0)


def test_the_outline_is_where_the_mask_is(look):
    page = look("review", "PERM")
    assert 5 <= ask(page, "p.slice") <= 8  # it opened on the largest lesion
    x0, y0, x1, y1 = ask(page, "p.contours(p.labels).box")
    corners = [
        ask(page, f"p.plane.toIndex(p.slice, {x}, {y})") for x, y in ((x0 + 0.5, y0 + 0.5), (x1 - 0.5, y1 - 0.5))
    ]
    j, k = sorted(c[1] for c in corners), sorted(c[2] for c in corners)
    assert (j, k) == ([10, 19], [6, 11])
    colour = ask(  # on a black image
        page,
        "(() => { v.levels.setWindow(p.volume.scan, [30000, 10]); p.sample(); p.paint();"
        " const a = p.place(), b = p.contours(p.labels).box, g = p.context;"
        " const d = g.getImageData(Math.round(a.x + b[0]*a.sx) - 1, Math.round(a.y + (b[1]+b[3])/2*a.sy), 3, 1).data;"
        " return [0, 1, 2].map(n => Math.max(d[n], d[n+4], d[n+8])) })()",
    )
    wanted = ask(page, "p.series.colour(1)")
    assert colour[2] > colour[0] + 40, f"expected the lesion's {wanted} at the border, got {colour}"


def test_next_lesion_goes_to_its_slice_and_m_hides_the_mask(look):
    page = look("review", "PERM")
    page.keyboard.press("n")
    settle(page)
    assert ask(page, "[v.lesion, p.slice]") == [2, 14]
    page.keyboard.press("m")
    assert ask(page, "v.options.mask") is False
    assert page.get_by_role("button", name="Mask on or off").get_attribute("aria-pressed") == "false"


def test_linked_panes_show_one_place_of_the_body_and_can_be_unlinked(look):
    page = look("compare", "ANNA")
    first, second = ask(page, "v.series.map(s => v.cursorOf(s))")
    assert second[0] - first[0] == pytest.approx(8, abs=2)  # the body was moved by four voxels of 2 mm
    assert second[1:] == pytest.approx(first[1:], abs=2.5)
    page.locator(".twin-viewer canvas").first.hover()
    page.mouse.wheel(0, -100)
    settle(page)
    moved = ask(page, "v.series.map(s => v.cursorOf(s))")
    assert moved[1][2] - second[2] == pytest.approx(3, abs=0.3)
    page.get_by_role("button", name="Link the two timepoints in space").click()
    page.locator(".twin-viewer canvas").first.hover()
    page.mouse.wheel(0, -100)
    settle(page)
    assert ask(page, "v.cursorOf(v.series[1])") == pytest.approx(moved[1])


def test_a_known_turn_puts_the_second_scans_voxels_under_the_first_ones(look):
    """The pane of the second scan is sampled through the matrix: at every pixel, what lies at that place in mm."""
    page = look("compare", "ANNA")
    worst = ask(
        page,
        """(() => {
          const c = Math.cos(0.2), s = Math.sin(0.2), m = [c, -s, 0, 5, s, c, 0, -3, 0, 0, 1, 2, 0, 0, 0, 1];
          v.setLink({matrix: m, converged: true, message: ""});
          v.setCursor(v.series[0], v.cursorOf(v.series[0]));
          const q = v.panes[1]; q.smooth = false; q.stale = true; q.sample();
          const table = v.levels.greys(q.volume.scan); let worst = 0;
          for (const [x, y] of [[20, 20], [30, 25], [40, 33], [25, 40]]) {
            const a = q.frame.master.affine, i = q.plane.toIndex(q.slice, x + 0.5, y + 0.5);
            const p1 = [0, 4, 8].map(n => a[n]*i[0] + a[n+1]*i[1] + a[n+2]*i[2] + a[n+3]);
            const p2 = [0, 4, 8].map(n => m[n]*p1[0] + m[n+1]*p1[1] + m[n+2]*p1[2] + m[n+3]);
            const wanted = table[q.volume.valueAt(p2) + 32768] & 255, got = q.base.colours[y * q.plane.nu + x] & 255;
            worst = Math.max(worst, Math.abs(wanted - got));
          }
          return worst; })()""",
    )
    assert worst == 0


def test_a_failed_registration_starts_unlinked_and_says_so(look):
    page = look("compare", "BEN")
    assert ask(page, "[v.linked, v.link.converged]") == [False, False]
    assert page.get_by_role("button", name="Link the two timepoints in space").inner_text() == "Not linked"
    page.locator(".twin-viewer").get_by_text("Not linked.").wait_for()


def test_three_planes_meet_in_the_crosshair(look):
    page = look("review", "PERM")
    page.get_by_role("button", name="Axial, coronal and sagittal").click()
    settle(page)
    assert ask(page, "v.panes.map(q => q.planeName)") == ["axial", "coronal", "sagittal"]
    index = ask(page, "v.cursorIndex(p.frame.master).map(Math.round)")
    assert ask(page, "v.panes.map(q => q.slice)") == [index[0], index[2], index[1]]


def test_the_keys_are_shown_and_accept_asks_for_a_reason(look):
    page = look("review", "PERM")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").get_by_text("accept this version (asks first)").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    dialog = page.get_by_test_id("stDialog")
    dialog.get_by_role("button", name="Accept v1").wait_for()
    assert dialog.get_by_role("combobox", name="Reason").is_visible()


def test_the_viewer_is_whole_in_a_window_of_1280_by_720(look):
    page = look("review", "PERM")
    page.set_viewport_size({"width": 1280, "height": 720})
    settle(page)
    room = page.locator(".twin-viewer").bounding_box()
    assert room["y"] + room["height"] <= 720
    canvas = page.locator(".twin-viewer canvas").first.bounding_box()
    assert canvas["width"] >= 600
    assert canvas["height"] >= 440


def test_on_a_tablet_a_tap_points_one_finger_scrolls_and_two_zoom(browser, dashboard):
    window = browser.new_context(viewport={"width": 1180, "height": 820}, has_touch=True, is_mobile=True)
    works_as(window, "demo")
    page = window.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{dashboard.url}/review?patient_id=PERM")
    canvas = page.locator(".twin-viewer canvas").first
    canvas.wait_for()
    for _ in range(300):
        if ask(page, "p.volume.complete && p.readout && !v.waitsForMask"):
            break
        page.wait_for_timeout(100)
    room = canvas.bounding_box()
    x, y = room["x"] + room["width"] / 2, room["y"] + room["height"] / 2
    touch = window.new_cdp_session(page)

    def fingers(kind, *places):
        points = [{"x": px, "y": py, "id": n} for n, (px, py) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def drag(*paths):
        """Each path: where a finger begins and ends."""
        fingers("touchStart", *[start for start, _ in paths])
        for step in range(1, 7):
            moved = [[a + (b - a) * step / 6 for a, b in zip(start, end, strict=True)] for start, end in paths]
            fingers("touchMove", *moved)
        fingers("touchEnd")
        settle(page)

    page.touchscreen.tap(x - 60, y + 40)
    settle(page)
    place = ask(
        page, "(() => { const c = p.cursorPixel(), a = p.place(); return [a.x + c[0]*a.sx, a.y + c[1]*a.sy] })()"
    )
    ratio = ask(page, "devicePixelRatio")
    assert place == pytest.approx([(x - 60 - room["x"]) * ratio, (y + 40 - room["y"]) * ratio], abs=2 * ratio)
    before = ask(page, "[p.slice, v.viewOf(p).zoom]")
    drag(((x, y), (x, y - 30)))
    after = ask(page, "[p.slice, v.viewOf(p).zoom]")
    assert abs(after[0] - before[0]) in (2, 3, 4)
    assert after[1] == before[1]
    drag(((x - 40, y), (x - 80, y)), ((x + 40, y), (x + 80, y)))
    assert ask(page, "v.viewOf(p).zoom") == pytest.approx(2, rel=0.1)
    assert ask(page, "p.slice") == after[0], "two fingers do not scroll"
    page.get_by_role("button", name="Brush; with shift it erases").tap()
    marked = ask(page, "[...v.editing.editor.array].reduce((a, b) => a + (b > 0), 0)")
    drag(((x, y), (x + 30, y)))
    assert ask(page, "[...v.editing.editor.array].reduce((a, b) => a + (b > 0), 0)") > marked
    window.close()


def test_under_a_path_behind_a_proxy_the_reading_room_asks_for_nothing_beside_it(start_server, tmp_path, page):
    """As behind a proxy that forwards /twin/ alone: whatever is asked for elsewhere would not come."""
    with open_store(tmp_path / "data") as store:
        clinic.add_scan(store, "KIM", DAY, clinic.body(3))
        clinic.add_mask(store, "KIM", DAY, 1000)
    dashboard = start_server(tmp_path / "data", STREAMLIT_SERVER_BASE_URL_PATH="twin")
    page.set_default_timeout(PATIENCE_MS)
    asked: list[str] = []

    def forward(route, request):
        path = urlsplit(request.url).path
        asked.append(path)
        if path.startswith("/twin/"):
            route.continue_()
        else:
            route.fulfill(status=404)

    page.route("**/*", forward)
    page.goto(f"{dashboard.url}/review?patient_id=KIM")
    page.locator(".twin-viewer canvas").first.wait_for()
    for _ in range(300):
        if ask(page, "v.panes.every(p => p.volume.complete && p.readout) && !v.waitsForMask"):
            break
        page.wait_for_timeout(100)
    assert ask(page, "v.panes.every(p => p.volume.complete)")
    assert any(path.startswith("/twin/api/viewer/scan/") for path in asked)
    assert [path for path in asked if not path.startswith("/twin/")] == []
