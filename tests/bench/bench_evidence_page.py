"""The Evidence page with 1,000 patients and 10,000 masks: seconds until it has run, first and with other filters."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from streamlit.testing.v1 import AppTest

from pages.ui.frame.collecting import collect_rarely
from tests.bench.grown_store import grown

RUNS = 5
#: A server that has just started looks through its gates' verdicts in threads of its own.
SETTLED_S = 25.0
#: Widget -> what is chosen in it, one after the other.
CHOICES = {
    "Size": ("within 2×", "within 1.5×"),
    "Treatment then": ("chemotherapy", "any"),
    "Followed": ("with a later visit", "any"),
}


def run() -> list[dict[str, Any]]:
    """One row a step; made once, the store is kept in build/ (some minutes)."""
    os.environ["TWIN_DATA"] = str(grown())
    os.environ["TWIN_LESION_ENCODER"] = "none"
    from tests.pages.test_addresses_on_pages import script as page  # here: it reads the settings as they are now

    collect_rarely()  # as the server does when it starts
    app = AppTest.from_function(page, args=("evidence",), default_timeout=300)
    app.session_state["who"] = "demo"
    app.query_params["patient_id"] = "P0500"
    rows = [_row("first, lesions gathered", app.run)]
    time.sleep(SETTLED_S)
    rows.append(_row("again, nothing changed", app.run, RUNS))
    for label, values in CHOICES.items():
        for value in values:
            box = next(widget for widget in app.selectbox if widget.label == label)
            rows.append(_row(f"{label}: {value}", box.set_value(value).run))
    assert not app.exception, app.exception
    return rows


def _row(what: str, work: Callable[[], object], runs: int = 1) -> dict[str, Any]:
    wall, processor = [], []
    for _ in range(runs):
        began, busy = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - busy)
    return {"what": what, "processor s": statistics.median(processor), "wall s": statistics.median(wall), "runs": runs}
