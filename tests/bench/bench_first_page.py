"""How long a visitor waits for the first page once the server is up, and what importing costs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.conftest import CHROMIUM_ARGS, ROOT


def _served(root: Path) -> tuple[subprocess.Popen[bytes], str, float]:
    """A dashboard on that data root, its address, and the seconds until it answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    started = time.perf_counter()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            "app.py",
            "--server.port",
            str(port),
            "--server.address",
            "127.0.0.1",
        ],
        cwd=ROOT,
        env={**os.environ, "TWIN_DATA": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        try:
            urllib.request.urlopen(url + "/_stcore/health", timeout=1)
            return process, url, time.perf_counter() - started
        except OSError:
            time.sleep(0.05)


def _shown(browser: Any, url: str) -> float:
    """Seconds from the request to the page's heading, in a browser that has never seen it."""
    context = browser.new_context()
    page = context.new_page()
    started = time.perf_counter()
    page.goto(url)
    page.get_by_role("heading", name="Worklist").wait_for(timeout=120_000)
    seconds = time.perf_counter() - started
    context.close()
    return seconds


def _import_s(module: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, check=True)
    return time.perf_counter() - started


def run() -> list[dict[str, Any]]:
    """Three fresh servers, each with its first and second visitor; and imports in a fresh Python."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    rows: list[dict[str, Any]] = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as name:
        browser = playwright.chromium.launch(executable_path=found, args=list(CHROMIUM_ARGS))
        for number in range(3):
            process, url, up_s = _served(Path(name) / str(number))
            try:
                rows.append(
                    {
                        "what": f"server {number + 1}",
                        "up after s": up_s,
                        "first page s": _shown(browser, url),
                        "second visitor s": _shown(browser, url),
                    }
                )
            finally:
                process.terminate()
                process.wait(30)
        browser.close()
    return rows + [{"what": f"import {module}", "import s": _import_s(module)} for module in ("core", "store")]
