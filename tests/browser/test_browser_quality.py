"""The quality page in a real browser: empty, with a reference, and with a flagged mask."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.gates.scan.scan_gate import MODEL_ID
from core.jobs.jobs import run_inline
from tests import clinic
from tests.browser.test_browser_patient_pages import PATIENCE_MS, alert, chosen, metric, shows, table

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture
def quality(start_server: Callable[..., Any], page: Any) -> Callable[..., Any]:
    """quality(root, **env) -> the page on that data root."""

    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)

    def open_page(root: Path, **env: str) -> Any:
        page.set_default_timeout(PATIENCE_MS)
        page.goto(start_server(root, **env).url + "/quality")
        page.get_by_role("heading", name="Quality", level=1).wait_for()
        return page

    return open_page


def test_an_empty_installation_says_what_each_gate_waits_for(quality: Callable[..., Any], tmp_path: Path):
    page = quality(tmp_path / "data")
    shows(page, "No scan of this installation has been scored yet.")
    page.get_by_role("tab", name="Mask gate").click()
    metric(page, "Reference lesions", "0")
    metric(page, "Verdicts", "not yet")
    alert(page, "Not enough reference masks: those of 0 real patients, 19 are needed.")
    page.get_by_role("tab", name="Kept forecasts").click()
    alert(page, "No forecast was kept yet.")
    page.get_by_role("tab", name="Mask gate").click()
    page.get_by_role("button", name="Go to the worklist").click()
    page.get_by_role("heading", name="Worklist", level=1).wait_for()


def test_a_flagged_mask_is_listed_and_opens_in_review(quality: Callable[..., Any], tmp_path: Path):
    from store import open_store

    root = tmp_path / "data"
    with open_store(root) as store:
        for n in range(25):
            clinic.add_scan(store, f"P{n:02d}", clinic.DAYS[0], clinic.noise(n))
            clinic.accept(store, clinic.add_mask(store, f"P{n:02d}", clinic.DAYS[0], 900 + 12 * n))
        clinic.add_scan(store, "ODD", clinic.DAYS[0], clinic.body(1))
        clinic.add_mask(store, "ODD", clinic.DAYS[0], 5000, flat=6)
        (row,) = store.verdicts.of_masks("ODD")
        assert row.flagged
    page = quality(root)
    page.get_by_role("tab", name="Mask gate").click()
    metric(page, "Reference lesions", "25")
    metric(page, "Smallest possible p", "0.038")  # 1 / 26
    # The largest of the 25 may be flagged as well: one in twenty usual masks is.
    shows(page, re.compile(r"Doubtful masks \([12]\)"))
    shows(page, re.compile(r"^ODD\b"))
    page.get_by_role("tabpanel").get_by_role("button", name="Review").first.click()
    page.get_by_role("heading", name="Review", level=1).wait_for()
    chosen(page, "Patient", "ODD")


def test_the_scan_gate_shows_its_reference_and_what_was_measured(quality: Callable[..., Any], tmp_path: Path):
    from core.gates.scan.evaluate import IN_FORCE, RFDEEP
    from core.gates.scan.reference import read_reference
    from core.jobs.pipeline import KINDS
    from store import open_store
    from weights import registry

    shipped = read_reference(registry.verify(registry.find(MODEL_ID)))
    root = tmp_path / "data"
    with open_store(root) as store:
        asked = {"resamplings": 2, "trees": 5, "detectors": [RFDEEP, IN_FORCE]}
        result = run_inline(store, KINDS["evaluate_ood"], asked, "demo")
        ours = next(figure for figure in result["figures"] if figure["method"].startswith("RF-Deep"))
        assert 0.6 < ours["auroc"] < 1
    page = quality(root)
    metric(page, "In-distribution scans", str(int((~shipped.ood).sum())))
    metric(page, "Shifted scans", str(int(shipped.ood.sum())))
    metric(page, "Threshold", f"{shipped.threshold:.2f}")
    shows(page, "How well it tells scans apart")
    table(page, ours["method"])
    table(page, f"{ours['auroc']:.3f} ± {ours['auroc_sd']:.3f}")
    shows(page, f"2 detectors were measured; {len(result['left_out'])} others were not asked for.")
    page.get_by_role("button", name="Run the evaluation again").click()
    page.get_by_role("button", name="Cancel").click()
    alert(page, "Evaluation: cancelled.")
