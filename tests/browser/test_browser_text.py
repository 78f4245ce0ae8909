"""What comes from files and people is text in the browser too: nothing in it is fetched, linked, or drawn."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from store import open_store
from tests import clinic
from tests.browser import hands
from tests.conftest import Server
from tests.dicom_phantom import write_series
from tests.store_phantom import ANSWER

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SLOW_MS = 90_000


class Listener:
    """A server on this machine that must not be asked for anything: its `url`, and the paths it was `asked` for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def evil(self, place: str) -> str:
        """Text that would fetch a picture, be a link, a colour, a formula and an icon, were it read as Markdown."""
        at = f"{self.url}/{place}"
        return f"![]({at}) <img src={at}> [l]({at}) {at} :red[x] $y$ :material/check: :smile: **b**"


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.server.shutdown()


class PlainPage(Server):
    """`tests/browser/plain_page.py` in a browser."""

    script = "tests/browser/plain_page.py"


#: Whatever Markdown of Streamlit draws beside text.
DRAWN = (
    "img, a, code, pre, .katex, del, em, h1, h4, h5, h6, ul, ol, table, blockquote, hr, input, sup, iframe, svg, "
    "[data-testid=stIconMaterial], .stMarkdownColoredText, .stMarkdownBadge, .stMarkdownColoredBackground"
)
TEXTS = """
![](URL/picture)
<img src=URL/html>
[link](URL/link)
URL/bare www.example.org a@example.org http://x
<URL/auto>
![][1] [1]: URL/reference
:red[x] :blue-background[x] :small[x] :shimmer[x] :orange-badge[x] :help[x]
:material/check: :material_check: :streamlit: :smile: :+1: :100: 1:100:
:color[x]{foreground="red"}
$x^2$ $$y$$ `code` ``co`de``
# head
#### head
- item
1. item
+ item
> quote
---
a | b ~~gone~~ ~x~
[^1] [^1]: foot
- [ ] todo
a -> b <- c -- d >= e <= f ~= g <-> h
&copy; &#97;
*a* **b** _c_ __d__ name_with_lines
back\\slash \\* end\
    indented
```fence
12:30:05 on 2024-01-02
<script>alert(1)</script> <b>x</b>
javascript:alert(1)
:::box{a=b}
::leaf[x]
=
""".strip("\n").splitlines()
#: Elements of `plain_page.py` that hold the text.
PLACES = (
    "stMarkdown",
    "stCaptionContainer",
    "stAlert",
    "stHeading",
    "stMetricLabel",
    "stMetricValue",
    "stMetricDelta",
    "stButton",
    "stCheckbox",
    "stRadio",
    "stButtonGroup",
    "stProgress",
    "stExpander",
    "stTab",
)


def test_plain_text_is_shown_as_it_is_wherever_streamlit_reads_markdown(listener, tmp_path, page):
    texts = [text.replace("URL", listener.url) for text in TEXTS]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    server = PlainPage(tmp_path / "data", tmp_path / "log", {"TEXTS": str(tmp_path / "texts.json")})
    try:
        page.goto(server.url)
        page.locator(f".st-key-text-{len(texts) - 1} [data-testid=stTab]").wait_for(timeout=SLOW_MS)
        page.wait_for_timeout(1000)  # what would be drawn late
        for number, text in enumerate(texts):
            place, said = page.locator(f".st-key-text-{number}"), " ".join(text.split())
            for one in PLACES:
                shown = place.get_by_test_id(one).first.inner_text(timeout=SLOW_MS)
                assert said in " ".join(shown.replace("\u2060", "").split()), (one, text, shown)
            drawn = place.get_by_test_id("stMarkdownContainer").locator(DRAWN)
            ours = "[data-testid=stHeaderActionElements]"  # of a heading: the button that copies its address
            found = drawn.evaluate_all(f"all => all.filter(e => !e.closest('{ours}')).map(e => e.outerHTML)")
            assert found == [], text
        assert listener.asked == []
    finally:
        page.close()
        server.stop()


def build(root: Path, evil: str) -> None:
    """Two patients of two accepted visits; whatever a person may write, and what a job and a gate said, is `evil`."""
    with open_store(root) as store:
        for n, patient in enumerate(("EVA", "IVO")):
            for m, day in enumerate(clinic.DAYS[:2]):
                clinic.add_scan(store, patient, day, clinic.body(60 + 2 * n + m))
                record = clinic.add_mask(store, patient, day, 900 + 300 * m, flat=1.2 + 0.2 * n)
                store.decisions.decide(patient, day, record.version, "accept", "demo", ANSWER[0], evil)
            for kind, day in (("treatment-start", clinic.DAYS[0]), ("surgery", clinic.DAYS[1])):
                store.events.add(patient, day, kind, evil, "demo")
        job = store.jobs.create("segment", {"patient_id": "EVA"}, "demo")
        store.jobs.update(job, status="failed", message=evil)


def visible_text(page: Any) -> str:
    return " ".join(page.locator("body").inner_text().replace("\u2060", "").split())


def wait_for_text(page: Any, text: str) -> None:
    """Until the page shows `text`; parts come one after another, and plotly draws long after the page has run."""
    until = time.monotonic() + SLOW_MS / 1000
    while text not in visible_text(page):
        assert time.monotonic() < until, f"never shown: {text!r}, but {visible_text(page)!r}"
        page.wait_for_timeout(200)


def test_what_people_and_files_say_is_text_on_every_page(listener, start_server, tmp_path, page):
    from playwright.sync_api import expect

    expect.set_options(timeout=SLOW_MS)
    page.set_default_timeout(SLOW_MS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if listener.url in request.url else None)
    evil = listener.evil("x")
    build(tmp_path / "data", evil)
    dashboard = start_server(tmp_path / "data")

    def settled(name: str) -> None:
        expect(page.get_by_role("heading", name=name, exact=True, level=1)).to_be_visible()
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        page.wait_for_timeout(700)  # what would be drawn late
        assert page.locator(f"img[src*='{listener.url}'], a[href*='{listener.url}'], .katex").count() == 0
        assert page.locator("svg a").count() == 0  # of a figure

    for name in ("Worklist", "Review", "Compare", "Trajectory", "Cohort", "Evidence", "System"):
        page.goto(f"{dashboard.url}/{'' if name == 'Worklist' else name.lower()}?patient_id=EVA")
        settled(name)
        if name == "Review":
            wait_for_text(page, f"“{evil}”")
        elif name == "Trajectory":
            wait_for_text(page, evil)  # the treatment's bar
            settled(name)
        elif name == "Cohort":
            page.get_by_role("tab", name="Time in view").click()
            settled(name)
        elif name == "System":
            for tab in ("Jobs", "Audit log"):
                page.get_by_role("tab", name=tab).click()
                settled(name)

    # A series of DICOM files names itself; the preview repeats the names.
    files = [
        path
        for n in range(2)
        for path in write_series(tmp_path / f"series{n}", SeriesDescription=f"![]({listener.url}/s{n}) :red[x]")
    ]
    page.goto(f"{dashboard.url}/intake")
    hands.upload(page, files)
    expect(page.get_by_role("button", name=re.compile("^Import"))).to_be_visible()
    settled("Intake")
    for n in range(2):
        wait_for_text(page, f"![]({listener.url}/s{n}) :red[x]")
    assert (asked, listener.asked) == ([], [])
