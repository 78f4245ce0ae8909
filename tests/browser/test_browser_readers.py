"""Several readers in a real browser: blind, agreement, consensus, adjudication; and the table of what was corrected."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from core.jobs.stages.common import add_version
from core.types import LabelMap
from store import open_store
from tests import clinic
from tests.browser import hands

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
PATIENCE_MS = 60_000
DAY = clinic.DAYS[0]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """KIM: a network's mask of 800 voxels, 1000 by "demo" and 1250 by "ann", of which the smaller ones are part."""
    root = tmp_path_factory.mktemp("readers")
    opened: Any = open_store(root)
    with opened as store:
        store.people.add("ann", by="demo")
        clinic.add_scan(store, "KIM", DAY, clinic.body(1))
        clinic.add_mask(store, "KIM", DAY, 800)
        for person, voxels in (("demo", 1000), ("ann", 1250)):
            labels = LabelMap(clinic.lesion(voxels).astype(np.uint8), clinic.grid())
            add_version(store, labels, "KIM", DAY, method="medsam", author=person, parent_version=1)
        store.readings.finish("KIM", DAY, "ann")  # nobody accepts while who drew there has not
    return root


@pytest.fixture(scope="module")
def dashboard(start_server, root):
    return start_server(root)


def test_readers_are_blind_then_agree_and_one_version_becomes_final(page, dashboard):
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{dashboard.url}/compare?patient_id=KIM")
    page.get_by_text("Readers", exact=True).click()
    page.get_by_role("heading", name="Agreement").wait_for()

    page.get_by_text("Blind reading", exact=True).click()
    expect(page.get_by_text(f"{DAY} is read blind.")).to_be_visible()
    expect(page.get_by_role("heading", name="Agreement")).to_have_count(0)
    page.get_by_role("link", name="Review").click()
    version = page.get_by_role("combobox", name="Mask version")
    expect(version).to_have_value("v2 · medsam · proposed")
    page.get_by_text(re.compile(r"History and provenance \(2\)")).wait_for()

    page.get_by_role("link", name="Compare").click()
    page.get_by_text("Readers", exact=True).click()
    page.get_by_role("button", name="I have finished reading").click()
    page.get_by_role("heading", name="Agreement").wait_for()
    expect(page.get_by_text("Finished: ann, demo.")).to_be_visible()

    page.get_by_role("button", name="Make the STAPLE consensus").click()
    expect(page.get_by_text("v4 is the consensus of these versions.")).to_be_visible()
    expect(page.get_by_role("button", name="Make the STAPLE consensus")).to_be_disabled()
    page.get_by_role("radiogroup", name="Which version").get_by_text("v4 · consensus").click()
    hands.answer_doubts(page)
    page.get_by_role("button", name="Accept v4").click()
    expect(page.get_by_text("This version is accepted and in the curve.")).to_be_visible()


def test_what_people_changed_is_on_the_quality_page(page, dashboard):
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{dashboard.url}/quality")
    page.get_by_role("tab", name="Human correction").click()
    page.get_by_text("It measures people's work, not accuracy").wait_for()
    page.get_by_test_id("stDataFrame").filter(visible=True).first.wait_for()
