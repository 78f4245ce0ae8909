"""Fixtures for all tests: the real data, a store, and a dashboard in a real browser."""

from __future__ import annotations

import os

# Before numpy or torch is imported: tests share a small machine.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))
if "PYTEST_XDIST_WORKER" in os.environ:  # each has a processor of its own
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("OPENBLAS_NUM_THREADS", os.environ["OMP_NUM_THREADS"])

import atexit
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# One cache for all tests and the servers they start, and nothing left of it.
if "TWIN_CACHE" not in os.environ:
    os.environ["TWIN_CACHE"] = tempfile.mkdtemp(prefix="twin-cache-")
    atexit.register(shutil.rmtree, os.environ["TWIN_CACHE"], ignore_errors=True)
# One secret for the servers that tests start, so that a browser can be given a name before it opens a page.
os.environ["TWIN_SECRET"] = "of the tests alone"
# A network that looks at lesions in the background takes the processor from whatever is tested.
os.environ.setdefault("TWIN_LESION_ENCODER", "none")

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: Files of tests that take longest, the longest first: where whole files run side by side, a short one ends last.
LONGEST = (
    "core/engines/test_interactive.py",
    "test_cli.py",
    "core/simulation/test_demo.py",
    "pages/guard/test_guard.py",
    "test_documents.py",
    "core/jobs/test_jobs.py",
    "core/imaging/test_nothing_of_a_person.py",
    "core/engines/test_embeddings.py",
    "core/simulation/test_demo_stories.py",
    "store/ledger/test_putting_right_crash.py",
    "store/test_views.py",
    "pages/api/test_prompt_routes.py",
    "core/jobs/test_waiting_for_scans.py",
    "core/growth/test_backtest.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of `LONGEST` first, all else in the order of their names."""
    rank = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(LONGEST)))


# A shared machine makes deadlines flaky; in CI the same examples come every time.
settings.register_profile("twin", deadline=None, derandomize=bool(os.environ.get("CI")), database=None)
settings.load_profile("twin")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, ../shared/data (or TWIN_SHARED); skips when it is absent."""
    folder = Path(os.environ.get("TWIN_SHARED", ROOT.parent / "shared" / "data"))
    if not (folder / "README.md").exists():
        pytest.skip("needs the real data in ../shared/data (or the folder that TWIN_SHARED names)")
    return folder


@pytest.fixture(autouse=True)
def own_main_module() -> Iterator[None]:
    """Puts the main module back: Streamlit's AppTest makes its page the main one, which every child process of a later
    test would load."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(autouse=True)
def nobody_works() -> Iterator[None]:
    """Forgets who worked in a tab: all of Streamlit's AppTests have one session id."""
    yield
    if (working := sys.modules.get("pages.ui.guard.working")) is not None:
        working.SESSIONS.note("test session id", None)


@pytest.fixture(scope="session")
def empty_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a store that nothing was put into, to be copied: making its tables takes longer than most tests."""
    from store import open_store

    root = tmp_path_factory.mktemp("empty") / "data"
    with open_store(root) as opened:
        for name in ("ann", "bob"):
            opened.people.add(name, "reader", by="demo")
    return root


@pytest.fixture
def store(tmp_path: Path, empty_root: Path) -> Iterator[Any]:
    """An empty store of its own, in which "ann" and "bob" may review as well as "demo"."""
    from store import open_store

    shutil.copytree(empty_root, tmp_path / "data")
    with open_store(tmp_path / "data") as opened:
        yield opened


class Server:
    """A running dashboard: `url`, `root` (its data) and what it logged."""

    #: What Streamlit runs.
    script = "app.py"

    def __init__(self, root: Path, log: Path, env: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        below = env.get("STREAMLIT_SERVER_BASE_URL_PATH", "")
        self.root, self.url, self._log = root, f"http://127.0.0.1:{port}{below and '/'}{below}", log
        command = [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            self.script,
            "--server.port",
            str(port),
            "--server.address",
            "127.0.0.1",
        ]
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=stream, stderr=stream, env={**os.environ, **env, "TWIN_DATA": str(root)}
            )
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(self.url + "/_stcore/health", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        self.stop()
        pytest.fail(f"the dashboard did not start:\n{self.log}")

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text()

    def stop(self) -> None:
        """Asks it to end, as a service manager would; insists after 20 seconds."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """start_server(root, **env) -> a Server on that data root; all are stopped at the end of the file, since one that
    goes on embedding slices takes the processor from the tests that follow."""
    servers: list[Server] = []

    def start(root: Path, **env: str) -> Server:
        servers.append(Server(root, tmp_path_factory.mktemp("server") / "log", env))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A dashboard without any patient."""
    return start_server(tmp_path_factory.mktemp("empty"))


def find_chromium() -> str | None:
    """CHROMIUM, else the system's; None when there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next((path for path in map(shutil.which, names) if path), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, headless. Without one: skipped, but a failure in CI."""
    found = find_chromium()
    if found is None:
        message = "needs Chromium: apt-get install chromium, or set CHROMIUM to the path of one"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=list(CHROMIUM_ARGS))
        yield chromium
        chromium.close()


def works_as(context: Any, name: str) -> None:
    """Gives a browser the cookie of somebody who chose that name."""
    from pages.ui.guard import who

    cookie = {"name": who.cookie_name(), "value": who.cookie_of(name), "domain": "127.0.0.1", "path": "/"}
    context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Strict"}])


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A browser page of 1400 x 900 of somebody who works as demo; an error of its JavaScript or a shown traceback fails
    the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    works_as(context, "demo")
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    tracebacks = [] if opened.is_closed() else opened.get_by_test_id("stException").all_inner_texts()
    context.close()
    assert not errors, errors
    assert not tracebacks, tracebacks
