"""A rerun of the Trajectory page while nothing changes: the script alone, for one reader and for ten at once."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests import clinic
from tests.conftest import ROOT

RERUNS = 20
READERS = 10


def _opened(person: str) -> Any:
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_file(str(ROOT / "pages/trajectory.py"), default_timeout=600)
    page.session_state["who"], page.session_state["patient_id"] = person, "ANNA"
    return page


def _reruns(page: Any, seconds: list[float]) -> None:
    for _ in range(RERUNS):
        started = time.perf_counter()
        page.run()
        seconds.append(time.perf_counter() - started)


def _row(what: str, first_s: float, seconds: list[float]) -> dict[str, Any]:
    return {
        "what": what,
        "first s": first_s,
        "reruns": len(seconds),
        "median rerun s": statistics.median(seconds),
        "slowest rerun s": max(seconds),
    }


def run() -> list[dict[str, Any]]:
    """The phantom clinic's ANNA, of four accepted visits; the median over 20 reruns of each reader's page."""
    from pages.ui.frame import resources

    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "clinic"
        clinic.build(root)
        os.environ["TWIN_DATA"] = str(root)
        resources.whole_store.clear()
        people = [one.name for one in resources.whole_store().people.all() if not one.disabled]
        page = _opened(people[0])
        started = time.perf_counter()
        page.run()
        first_s = time.perf_counter() - started
        alone: list[float] = []
        _reruns(page, alone)
        rows = [_row("one reader", first_s, alone)]
        pages = [_opened(people[n % len(people)]) for n in range(READERS)]
        started = time.perf_counter()
        for one in pages:
            one.run()
        first_s = (time.perf_counter() - started) / READERS
        together: list[float] = []
        threads = [threading.Thread(target=_reruns, args=(one, together)) for one in pages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rows.append(_row(f"{READERS} readers at once", first_s, together))
        resources.whole_store.clear()
        return rows
