"""The viewer with two linked 512 x 512 x 300 CTs: first slice, drawing, scrolling, server memory.

The scans are synthetic and stored through the store; the dashboard and Chromium (software rendering) are fresh. "First
slice" is from the moment the viewer's modules run to the first paint of both panes with voxels in them. Memory is the
server's resident set from then on: the registration, which comes before, is not the viewer's.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from scipy.ndimage import gaussian_filter

from core.types import Grid, Volume
from store import open_store
from tests.bench.bench_first_page import _served
from tests.conftest import CHROMIUM_ARGS, find_chromium

SHAPE = (512, 512, 300)
DAYS = ("2024-01-01", "2024-03-01")
_SCROLL = """(root) => new Promise((done) => {
  const v = root.viewer, p = v.panes[0], gaps = [], n = 200, start = 50;
  v.levels.setWindow(p.volume.scan, [40, 400]);
  v.goTo(p, start); v.draws.length = 0;
  let at = 0, last = performance.now();
  const long = []; new PerformanceObserver((l) => l.getEntries().forEach((e) => long.push(e.duration))).observe({type: "longtask"});
  const step = () => {
    const now = performance.now(); gaps.push(now - last); last = now;
    if (at++ === n) return setTimeout(() => done({draws: v.draws.slice(), gaps: gaps.slice(2), long, linked: v.linked}), 100);
    v.goTo(p, start + at); requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""  # noqa: E501


def _store(root: Path) -> None:
    random = np.random.default_rng(0)
    small = gaussian_filter(random.normal(size=(128, 128, 75)), 4)
    body = np.kron(40 + 4000 * small, np.ones((4, 4, 4))).astype(np.float32)
    grid = Grid(SHAPE, np.diag([0.8, 0.8, 1.0, 1.0]))
    with open_store(root) as store:
        for n, day in enumerate(DAYS):
            array = np.roll(body, 5 * n, axis=0) + random.integers(-10, 11, SHAPE, dtype=np.int16)
            store.scans.add(
                Volume(np.rint(array).astype(np.float32), grid, "CT"),
                dataset="bench",
                patient_id="P",
                timepoint=day,
                person="demo",
            )
            del array


def _visit(browser: Any, url: str, what: str, process: psutil.Process) -> dict[str, Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(300_000)
    page.goto(f"{url}/compare?patient_id=P")
    viewer = page.locator(".twin-viewer")
    viewer.wait_for(state="attached")
    before = process.memory_info().rss  # the registration, which is not the viewer's, is over
    page.locator(".twin-viewer canvas").first.wait_for()
    while viewer.evaluate("(root) => root.viewer?.firstMs === undefined"):
        time.sleep(0.05)
    first_s = viewer.evaluate("(root) => (root.viewer.firstMs - root.viewer.startedMs) / 1000")
    peak = process.memory_info().rss
    while not viewer.evaluate("(root) => root.viewer.panes.every((p) => p.volume.complete)"):
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.05)
    all_s = viewer.evaluate("(root) => (performance.now() - root.viewer.startedMs) / 1000")
    page.wait_for_timeout(1000)
    after = process.memory_info().rss
    seen = viewer.evaluate(_SCROLL)
    context.close()
    return {
        "what": what,
        "first slice of both s": first_s,
        "all slabs s": all_s,
        "linked": seen["linked"],
        "draw median ms": statistics.median(seen["draws"]),
        "draw p95 ms": float(np.percentile(seen["draws"], 95)),
        "draw worst ms": max(seen["draws"]),
        "frame gap median ms": statistics.median(seen["gaps"]),
        "frame gap worst ms": max(seen["gaps"]),
        "long tasks > 50 ms": len(seen["long"]),
        "server grew MB": (after - before) / 1e6,
        "server peak MB": (peak - before) / 1e6,
    }


def run() -> list[dict[str, Any]]:
    """One visitor with an empty cache of slabs, two more with a full one."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as name:
        root = Path(name) / "data"
        _store(root)
        server, url, _ = _served(root)
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_ARGS))
        try:
            process = psutil.Process(server.pid)
            return [
                _visit(browser, url, what, process) for what in ("no slabs yet", "slabs there", "slabs there again")
            ]
        finally:
            browser.close()
            server.terminate()
            server.wait(30)
