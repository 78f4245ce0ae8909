"""The system page in a browser: models, people, and a check that notices what was altered."""

from __future__ import annotations

import json
import re

import pytest

from store import open_store
from tests.browser import hands
from tests.store_phantom import DAY1, add_mask, add_scan, folder

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SLOW_MS = 120_000


def test_models_jobs_people_and_a_check_that_notices(start_server, tmp_path, page):
    from playwright.sync_api import expect

    expect.set_options(timeout=SLOW_MS)
    page.set_default_timeout(SLOW_MS)
    with open_store(tmp_path / "data") as store:
        add_scan(store)
        add_mask(store, 5)
        job = store.jobs.create("segment", {"patient_id": "P1"}, "demo")
        store.jobs.update(job, status="done", progress=1.0, message="Done", result={"version": 1})
        sidecar = folder(store, "P1", DAY1) / "mask_v001.json"
    dashboard = start_server(tmp_path / "data")
    page.goto(f"{dashboard.url}/system")
    expect(page.get_by_role("heading", name="System")).to_be_visible()

    cells = page.get_by_test_id("stDataFrame").locator("[role=gridcell]")
    for name in ("LiteMedSAM", "Soft-tissue sarcoma, CT + PET"):
        expect(cells.filter(has_text=name).first).to_have_count(1)

    page.get_by_role("tab", name="Jobs").click()
    for text in (job, "segment", "done"):
        expect(cells.filter(has_text=text).first).to_have_count(1)

    page.get_by_role("tab", name="People").click()
    page.get_by_role("textbox", name="Name").fill("Reader Two")
    page.get_by_role("button", name="Add", exact=True).click()
    hands.settle(page)
    person = page.get_by_role("combobox", name=re.compile("Working as"))
    expect(person).to_have_value("demo")
    page.get_by_role("tab", name="Check").click()
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text("Files, sidecars and database agree.")).to_be_visible()

    facts = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**facts, "reviewer": "somebody else"}))
    page.get_by_role("button", name="Check again").click()
    page.get_by_role("tab", name="People").click()  # it goes on while nobody looks
    page.get_by_role("tab", name="Check").click()
    expect(page.get_by_text(re.compile(r"^1 problem\. "))).to_be_visible()
    expect(page.get_by_text(re.compile(r"^Done \d{4}-\d\d-\d\d \d\d:\d\d \(UTC\), asked for by demo"))).to_be_visible()
    expect(page.get_by_text(re.compile("mask_v001.json and the database disagree on reviewer"))).to_be_visible()

    hands.reload(page)
    expect(page.get_by_text(re.compile("mask_v001.json and the database disagree on reviewer"))).to_be_visible()

    page.get_by_role("tab", name="Audit log").click()
    expect(page.get_by_text("Append-only; every entry holds the hash of the one before.")).to_be_visible()
    page.close()
    dashboard.stop()
    with open_store(tmp_path / "data") as store:
        assert "Reader Two" in [row.name for row in store.people.all()]
