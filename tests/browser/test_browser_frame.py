"""The frame around the pages, in a real browser: first page, patient and person, errors in words, nothing fetched."""

from __future__ import annotations

import json
import re
import urllib.request

import numpy as np
import psutil
import pytest
from playwright.sync_api import expect

from core.types import Grid, Volume
from store import open_store

pytestmark = pytest.mark.browser
SLOW_MS = 60_000  # a shared machine


@pytest.fixture(scope="module")
def two_patients(start_server, tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    noise = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype(np.float32)
    with open_store(root) as store:
        store.people.add("Reader Two", by="demo")
        for array, patient_id in zip(noise, ("P1", "P2"), strict=True):
            volume = Volume(array, Grid((8, 8, 8), np.eye(4)), "CT")
            store.scans.add(volume, dataset="d", patient_id=patient_id, timepoint="2024-01-01", person="demo")
    return start_server(root)


def test_the_first_page_costs_less_than_three_seconds_and_fetches_nothing_from_elsewhere(server, page):
    elsewhere, own = [], (server.url, f"blob:{server.url}", "data:")
    page.on("request", lambda r: elsewhere.append(r.url) if not r.url.startswith(own) else None)
    process = psutil.Process(server.process.pid)
    before = process.cpu_times()
    page.goto(server.url)
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_text("For research. Not a medical device.")).to_be_visible()
    after = process.cpu_times()
    # Seconds of this server's processor time: what a busy machine does not change.
    assert after.user + after.system - before.user - before.system < 3.0
    assert elsewhere == []
    assert process.children() == [], "Dask waits for the first job"


def test_the_health_route_answers_and_says_nothing_else(server):
    with urllib.request.urlopen(server.url + "/api/health") as answer:
        assert json.load(answer) == {"status": "ok"}


def test_a_patient_comes_from_the_address_and_stays_from_page_to_page(two_patients, page):
    page.goto(two_patients.url + "/?patient_id=P2")
    patient = page.get_by_role("combobox", name=re.compile("Patient"))
    expect(patient).to_have_value("P2", timeout=SLOW_MS)
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Review").click()
    expect(page).to_have_url(re.compile(r"/review\?patient_id=P2"), timeout=SLOW_MS)
    expect(patient).to_have_value("P2")


def test_an_unknown_patient_in_the_address_is_said_and_nothing_else_is_shown(two_patients, page):
    page.goto(two_patients.url + "/?patient_id=nobody")
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("There is no patient “nobody” here; there are P1, P2.", timeout=SLOW_MS)
    expect(page.get_by_role("heading", name="Worklist")).to_have_count(0)


def test_people_are_offered_and_who_was_chosen_works(two_patients, page):
    page.goto(two_patients.url)
    person = page.get_by_role("combobox", name=re.compile("Working as"))
    expect(person).to_have_value("demo", timeout=SLOW_MS)
    person.click()
    expect(page.get_by_role("option", name="Reader Two")).to_be_visible(timeout=SLOW_MS)


def test_a_store_held_by_another_process_is_said_in_words_and_tried_again(start_server, tmp_path, page):
    with open_store(tmp_path / "held"):
        waiting = start_server(tmp_path / "held")
        page.goto(waiting.url)
        alert = page.get_by_test_id("stAlert").first
        expect(alert).to_be_visible(timeout=SLOW_MS)
        assert "Traceback" not in page.inner_text("body")
    page.reload()
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible(timeout=SLOW_MS)
    waiting.stop()
