"""The running dashboard that doors are tried on: started, waited for, and worked in by a browser."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attack.door import LIMIT_S, ROOT, Opened, Skipped, cli
from tests.attack.scene import PATIENT, copy_of_scene

WAIT_MS = 60_000


@dataclass
class Running:
    """A dashboard on this machine with two known people, and a browser that works as one of them."""

    url: str
    root: Path
    process: subprocess.Popen[bytes]
    browser: Any = None
    playwright: Any = None
    tokens: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


_running: list[Running] = []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(root: Path, *more: str) -> tuple[str, subprocess.Popen[bytes]]:
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), *more]
    log = (root.parent / "server.log").open("wb")
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "TWIN_DATA": str(root)})
    return f"http://127.0.0.1:{port}", process


def dashboard(folder: Path) -> Running:
    """The one dashboard of all doors, started with the first that needs it."""
    if not _running:
        home = folder.parent / "served"
        home.mkdir()
        root = copy_of_scene(home)
        cli(root, "person", "add", "reader-1", "--role", "reader")
        url, process = serve(root)
        _running.append(Running(url, root, process))
        _until_it_answers(url, process)
    return _running[0]


def _until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    import httpx

    for _ in range(LIMIT_S * 2):
        if process.poll() is not None:
            raise Opened(f"the dashboard ended with {process.returncode} instead of starting")
        try:
            if httpx.get(url + "/api/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise Opened("the dashboard does not answer")


def stop() -> None:
    """Ends what was started."""
    for running in _running:
        if running.browser is not None:
            running.browser.close()
            running.playwright.stop()
        running.process.terminate()
        try:
            running.process.wait(30)
        except subprocess.TimeoutExpired:
            running.process.kill()
    _running.clear()


def browser_of(here: Running) -> Any:
    from tests.conftest import CHROMIUM_ARGS, find_chromium

    if here.browser is None:
        found = find_chromium()
        if found is None:
            raise Skipped("needs Chromium")
        from playwright.sync_api import sync_playwright

        here.playwright = sync_playwright().start()
        here.browser = here.playwright.chromium.launch(executable_path=found, args=list(CHROMIUM_ARGS))
    return here.browser


def session_of(here: Running, page_name: str = "review") -> Any:
    """A page of a browser of its own that works as reader-1; `here.tokens` gets the tokens that it used."""
    page = browser_of(here).new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.set_default_timeout(WAIT_MS)
    here.tokens.clear()
    page.on("request", lambda request: note_token(here, request))
    page.goto(f"{here.url}/{page_name}?patient_id={PATIENT}")
    work_as(page, "reader-1")
    return page


def note_token(here: Running, request: Any) -> None:
    token = request.headers.get("x-twin-token")
    if token and token not in here.tokens:
        here.tokens.append(token)


def work_as(page: Any, name: str) -> None:
    page.get_by_role("heading", name="Who is working?").wait_for()
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name=name, exact=True).click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("combobox", name=re.compile("Working as")).wait_for()


def token_of(here: Running) -> tuple[Any, dict[str, str]]:
    """An open page of the reading room, and the header that its requests carry."""
    page = session_of(here)
    until = time.monotonic() + 90
    while not here.tokens and time.monotonic() < until:
        page.wait_for_timeout(200)
    if not here.tokens:
        raise Opened("the reading room never asked for a scan")
    return page, headers_of(here, page)


def headers_of(here: Running, page: Any) -> dict[str, str]:
    """What the page's own requests carry: its newest token, and the browser's cookies."""
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in page.context.cookies())
    return {"x-twin-token": here.tokens[-1], "cookie": cookies}


def statuses(here: Running, paths: list[str], headers: dict[str, str]) -> dict[str, int]:
    import httpx

    with httpx.Client(base_url=here.url, timeout=10) as client:
        return {path: client.get(path, headers=headers).status_code for path in paths}
