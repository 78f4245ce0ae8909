"""Pictures of every page, as a visitor sees them: `python -m tests.screenshots --data DIR [--to docs/screenshots]`.

DIR holds the demo cohort (`python cli.py demo`). The dashboard is started on a copy of it, in headless Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.conftest import CHROMIUM_ARGS, Server, find_chromium, works_as

SIZES = {"1440": (1440, 900), "1280": (1280, 720)}
#: page -> the demo patient it is shown for.
PAGES = {
    "worklist": None, "intake": None, "review": "DEMO-02", "compare": "DEMO-02", "trajectory": "DEMO-02",
    "evidence": "DEMO-02", "cohort": None, "quality": None, "system": None, "editing": "DEMO-02",
}  # fmt: skip
ADDRESSES = {"worklist": "", "editing": "review"}


def settle(page: Any) -> None:
    """Waits until nothing is loading; charts draw a moment after the page says that it is done."""
    page.get_by_test_id("stApp").wait_for()
    quiet = 0
    for _ in range(120):
        busy = page.locator('[data-testid="stSkeleton"], [data-testid="stSpinner"], [data-testid="stStatusWidget"]')
        quiet = 0 if busy.count() else quiet + 1
        if quiet >= 4:
            break
        page.wait_for_timeout(500)
    page.wait_for_timeout(1500)


def ask_the_model(page: Any) -> None:
    """The reading room at work: a box around the lesion, and the model's answer to it."""
    page.get_by_role("button", name="Box around the lesion").click()
    page.get_by_role("button", name="Box around what this lesion has").click()
    page.get_by_text("dashed: the model's answer, not yet kept").wait_for(timeout=120_000)
    page.wait_for_timeout(500)


def shoot(url: str, chromium: Any, folder: Path, names: list[str], whole: bool) -> None:
    """One PNG a page and size: `review.png` at 1440 x 900, `review-1280.png` at 1280 x 720."""
    for size, (width, height) in SIZES.items():
        context = chromium.new_context(viewport={"width": width, "height": height})
        works_as(context, "demo")
        page = context.new_page()
        for name in names:
            query = f"?patient_id={PAGES[name]}" if PAGES[name] else ""
            page.goto(f"{url}/{ADDRESSES.get(name, name)}{query}")
            settle(page)
            if name == "editing":
                ask_the_model(page)
            suffix = "" if size == "1440" else f"-{size}"
            if whole:  # the page scrolls inside; a window as high as its content shows all of it
                tall = page.get_by_test_id("stMainBlockContainer").bounding_box()["height"]
                page.set_viewport_size({"width": width, "height": max(height, int(tall) + 20)})
                settle(page)
            page.screenshot(path=folder / f"{name}{suffix}.png")
            page.set_viewport_size({"width": width, "height": height})
            if name == "editing":  # as it was, for the next picture
                page.get_by_role("button", name="Give the draft up").click()
                page.get_by_role("button", name="Give the draft up for good").click()
                page.get_by_text("The draft was given up").wait_for()
        context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, default=Path("docs/screenshots"))
    parser.add_argument("--only", nargs="*", choices=PAGES, default=list(PAGES))
    parser.add_argument("--whole", action="store_true", help="the whole length of each page, to look it over")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = shutil.copytree(arguments.data, Path(folder) / "data")
        server = Server(root, Path(folder) / "log", {})
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_ARGS))
        try:
            shoot(server.url, chromium, arguments.to, arguments.only, arguments.whole)
        finally:
            chromium.close()
            server.stop()


if __name__ == "__main__":
    main()
