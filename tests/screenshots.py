"""Pictures of every page, as a visitor sees them: `make screenshots`, or `python -m tests.screenshots`.

The demo cohort is made for them under build/ (some minutes), and used again until what makes it changes. The dashboard
is started on a copy of it, in headless Chromium. Times of day are all shown as one, so that a picture changes when its
page does. docs/screenshots/made-from.json then says which sources each picture shows.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import sync_playwright

from tests.conftest import CHROMIUM_ARGS, ROOT, Server, find_chromium, works_as
from tests.picture_sources import FOLDER, PAGE_OF, record

COHORT = ROOT / "build" / "pictures"
#: Beside the name of a picture: at this size, width and height in pixels.
SIZES = {"": (1440, 900), "-1280": (1280, 720)}
LARGE = {"-2560": (2560, 1440)}
#: picture -> the demo patient that it is shown for.
PATIENT = dict.fromkeys(("review", "compare", "lesions", "trajectory", "evidence", "editing"), "DEMO-02")
ADDRESS = {"worklist": "", "editing": "review"}
SLOW_MS = 300_000
TRIES = 2
#: What the demo cohort is made by.
MADE_BY = (
    "cli.py",
    "commands/**/*.py",
    "core/**/*.py",
    "core/**/*.json",
    "store/**/*.py",
    "weights/*.toml",
    "weights/*.py",
)
#: Every time of day is shown as one, and the day that a new scan is proposed for as another.
_ONE_CLOCK = """() => {
  const walk = (root) => {
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    for (let node = texts.nextNode(); node; node = texts.nextNode()) {
      if (node.shadowRoot) walk(node.shadowRoot);
      if (node.nodeType !== Node.TEXT_NODE) continue;
      const shown = node.data.replace(/\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d/g, "2026-01-01 12:00")
        .replace(/\\b\\d{1,2}:\\d\\d:\\d\\d(\\s[AP]M)?/g, "12:00:00");
      if (shown !== node.data) node.data = shown;
    }
  };
  walk(document.body);
  const day = { year: "2026", month: "01", day: "01" };
  for (const part of document.querySelectorAll('[data-testid="stDateInput"] [role="spinbutton"]')) {
    const shown = day[part.dataset.type];
    if (shown && part.textContent) part.textContent = shown;
  }
}"""


def settle(page: Any) -> None:
    """Waits until nothing is loading; charts and slices are drawn a moment after the page says that it is done."""
    app = page.get_by_test_id("stApp")
    app.wait_for()
    busy = page.locator('[data-testid="stSkeleton"], [data-testid="stSpinner"], [data-testid="stStatusWidget"]')
    quiet = 0
    for _ in range(600):
        running = app.get_attribute("data-test-script-state") != "notRunning"
        quiet = 0 if running or busy.count() else quiet + 1
        if quiet >= 5:
            break
        page.wait_for_timeout(400)
    page.evaluate("() => document.fonts.ready.then(() => true)")
    page.wait_for_timeout(1500)


def ask_the_model(page: Any) -> None:
    """The reading room at work: a box around the lesion, and the model's answer to it."""
    page.get_by_role("button", name="Box around the lesion").click()
    page.get_by_role("button", name="Box around what this lesion has").click()
    page.get_by_text("dashed: the model's answer, not yet kept").wait_for(timeout=SLOW_MS)
    page.wait_for_timeout(500)


def give_up(page: Any) -> None:
    """The reading room as it was, for the next picture."""
    page.get_by_role("button", name="Give the draft up").click()
    page.get_by_role("button", name="Give the draft up for good").click()
    page.get_by_text("The draft was given up").wait_for()


def take(page: Any, url: str, name: str, file: Path, whole: bool) -> None:
    """One picture. Raises BrowserError where the page does not come, RuntimeError where it shows that it failed."""
    query = f"?patient_id={PATIENT[name]}" if name in PATIENT else ""
    page.goto(f"{url}/{ADDRESS.get(name, name)}{query}")
    settle(page)
    page.get_by_role("heading", name=PAGE_OF[name].capitalize(), exact=True, level=1).wait_for()
    if PAGE_OF[name] in ("review", "compare"):
        page.locator(".twin-viewer canvas").first.wait_for()
        settle(page)
    if name == "editing":
        ask_the_model(page)
    failed = page.locator('[data-testid="stException"]').count()
    if failed or page.get_by_text("Something went wrong").count():
        raise RuntimeError(f"the page {PAGE_OF[name]} shows an error instead of itself")
    size = page.viewport_size
    if whole:  # the page scrolls inside; a window as high as its content shows all of it
        tall = page.get_by_test_id("stMainBlockContainer").bounding_box()["height"]
        page.set_viewport_size({"width": size["width"], "height": max(size["height"], int(tall) + 20)})
        settle(page)
    page.evaluate(_ONE_CLOCK)
    page.screenshot(path=file)
    page.set_viewport_size(size)
    if name == "editing":
        give_up(page)


def shoot(
    url: str, chromium: Any, folder: Path, names: list[str], sizes: dict[str, tuple[int, int]], whole: bool
) -> None:
    """Every picture in every size, `review.png` and `review-1280.png`; each is tried again once, in a new window."""
    total = len(names) * len(sizes)
    for n, (suffix, name) in enumerate(((s, name) for s in sizes for name in names), 1):
        begun = time.monotonic()
        for attempt in range(1, TRIES + 1):
            size = dict(zip(("width", "height"), sizes[suffix], strict=True))
            context = chromium.new_context(viewport=size, locale="en-US", timezone_id="UTC")
            works_as(context, "demo")
            page = context.new_page()
            page.set_default_timeout(SLOW_MS)
            try:
                take(page, url, name, folder / f"{name}{suffix}.png", whole)
                break
            except (BrowserError, RuntimeError) as error:
                say(f"  {name}{suffix}.png, try {attempt} of {TRIES}: {str(error).splitlines()[0]}")
                if attempt == TRIES:
                    raise SystemExit(f"{name}{suffix}.png could not be made; those before it were.") from error
            finally:
                context.close()
        say(f"[{n}/{total}] {name}{suffix}.png, {time.monotonic() - begun:.0f} s")


def say(text: str) -> None:
    print(text, flush=True)


def cohort() -> Path:
    """The demo cohort for the pictures: the one made before, where the same sources would make it again."""
    files = sorted({path for pattern in MADE_BY for path in ROOT.glob(pattern)})
    sources = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()
    made = COHORT / f"cohort-{sources[:12]}"
    if not made.is_dir():
        say(f"Making the demo cohort in {made.relative_to(ROOT)}; some minutes.")
        shutil.rmtree(COHORT, ignore_errors=True)
        part = COHORT / "part"
        command = [sys.executable, "cli.py", "demo", "--data", str(part)]
        if subprocess.run(command, cwd=ROOT, env={**os.environ, "TWIN_DATA": str(part)}).returncode:
            raise SystemExit("The demo cohort could not be made; `python cli.py demo` says why.")
        part.rename(made)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a demo cohort that is there already (default: one under build/)")
    parser.add_argument("--to", type=Path, default=FOLDER)
    parser.add_argument("--only", nargs="*", choices=list(PAGE_OF), default=list(PAGE_OF))
    parser.add_argument("--whole", action="store_true", help="the whole length of each page, to look it over")
    parser.add_argument("--large", action="store_true", help="at 2560 x 1440, to look it over")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    data = arguments.data or cohort()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = shutil.copytree(data, Path(folder) / "data", symlinks=True)
        server = Server(root, Path(folder) / "log", {})
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_ARGS))
        try:
            shoot(
                server.url, chromium, arguments.to, arguments.only, LARGE if arguments.large else SIZES, arguments.whole
            )
        finally:
            chromium.close()
            server.stop()
    if not (arguments.large or arguments.whole):
        record(arguments.only, arguments.to)
        say(f"{arguments.to} shows the pages as they are now.")


if __name__ == "__main__":
    main()
