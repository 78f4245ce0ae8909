"""Editing in a real browser, on a 512 x 512 x 300 CT: until an edit is safe on disk, until an answer is seen."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.bench_viewer import _served, _store
from tests.conftest import CHROMIUM_ARGS, find_chromium

TITLE = "Editing: drafts and prompts"
_SESSION = "(root) => { const v = root.viewer, s = v?.editing, p = v?.panes[0]; return EXPRESSION; }"
_PLACES = """VOXELS.map(([i, j]) => {
  const at = p.place(), room = p.canvas.getBoundingClientRect(), r = devicePixelRatio, [x, y] = p.plane.toPixel([i, j, p.slice]);
  return [room.x + (at.x + x * at.sx) / r, room.y + (at.y + y * at.sy) / r];
})"""  # noqa: E501


class Page:
    """The reading room, driven from its own modules' point of view."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.viewer = page.locator(".twin-viewer")

    def ask(self, expression: str) -> Any:
        return self.viewer.evaluate(_SESSION.replace("EXPRESSION", expression))

    def until(self, expression: str) -> Any:
        while not (value := self.ask(expression)):
            self.page.wait_for_timeout(50)
        return value

    def drag(self, key: str, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Chooses a tool and drags it from voxel to voxel of the slice that is seen."""
        self.page.keyboard.press(key)
        points = self.ask(_PLACES.replace("VOXELS", str([list(start), list(end)])))
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        self.page.mouse.move(*points[1], steps=5)
        self.page.mouse.up()

    def go_to(self, k: int) -> None:
        self.ask(f"v.goTo(p, {k})")


def _drafts(page: Page, what: str, key: str, ball: bool, times: int) -> dict[str, Any]:
    """Strokes; each is safe when the server has answered, after its fsync."""
    page.ask(f"(s.options.ball = {str(ball).lower()}, s.options.radiusMm = 10, 0)")
    taken, slices = [], []
    for n in range(times):
        before = page.ask("s.draft.revision")
        page.drag(key, (200 + 4 * n, 220), (240 + 4 * n, 260))
        slices.append(page.ask("s.draft.slices.size"))
        page.until(f"s.draft.revision > {before} && s.draft.state === 'saved'")
        taken.append(page.ask("s.draft.saveMs"))
    return {
        "what": what,
        "times": times,
        "slices": int(np.median(slices)),
        "median s": float(np.median(taken)) / 1000,
        "p95 s": float(np.percentile(taken, 95)) / 1000,
        "worst s": max(taken) / 1000,
        "server s": None,
    }


def _prompts(page: Page, what: str, slices: list[int], embedded: bool) -> dict[str, Any]:
    shown, server = [], []
    for k in slices:
        page.go_to(k)
        page.page.keyboard.press("b" if embedded else "k")  # with Box chosen, slices are embedded ahead
        if embedded:
            page.until(f"s.prompting.ready.has({k})")
        page.drag("b", (180, 180), (300, 300))
        page.until("!s.prompting.asking && s.prompting.answers.size")
        seconds = page.ask("s.prompting.seconds")
        shown.append(seconds["shown"])
        server.append(seconds["all"])
        page.page.keyboard.press("Backspace")
        page.page.keyboard.press("k")
    return {
        "what": what,
        "times": len(slices),
        "slices": 1,
        "median s": float(np.median(shown)),
        "p95 s": float(np.percentile(shown, 95)),
        "worst s": max(shown),
        "server s": float(np.median(server)),
    }


def run() -> list[dict[str, Any]]:
    """One reader who draws, and asks the model."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as name:
        root = Path(name) / "data"
        _store(root)
        server, url, _ = _served(root)
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_ARGS))
        try:
            opened = browser.new_page(viewport={"width": 1440, "height": 900})
            opened.set_default_timeout(300_000)
            opened.goto(f"{url}/review?patient_id=P")
            opened.locator(".twin-viewer canvas").first.wait_for()
            page = Page(opened)
            page.until("s?.editor && p.volume.complete")
            rows = [
                _drafts(page, "brush stroke until it is safe on disk", "r", False, 20),
                _drafts(page, "ball stroke until it is safe on disk", "r", True, 10),
            ]
            page.go_to(150)
            rows.append(_prompts(page, "first box, the model to be loaded", [150], False))
            rows.append(_prompts(page, "box until its answer is seen, slice embedded", list(range(152, 162)), True))
            rows.append(
                _prompts(page, "box until its answer is seen, slice not embedded", [40, 60, 80, 220, 240], False)
            )
            return rows
        finally:
            browser.close()
            server.terminate()
            server.wait(30)
