"""The whole job as a person does it in the browser, on a patient of the demo cohort."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from core.imaging.volumes import read_label_map
from core.simulation.demo import build
from core.simulation.demo_stories import DEMO
from core.simulation.demo_timepoints import demo_timepoints
from store import open_store
from tests.browser import hands

pytestmark = pytest.mark.browser
SLOW_MS = 400_000


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    """A store with DEMO-01's first two visits accepted and the third just arrived; (root, the third's date)."""
    root = tmp_path_factory.mktemp("demo")
    story = replace(DEMO[0], weeks=DEMO[0].weeks[:3], fates={})
    with open_store(root) as store:
        build(store, stories=[replace(story, weeks=story.weeks[:2])])
        arrived = list(demo_timepoints([story]))[2]
        for volume in (arrived.scan.ct, arrived.scan.pet):
            store.scans.add(
                volume,
                dataset="demo",
                patient_id=arrived.patient_id,
                timepoint=arrived.date,
                person="demo",
                metadata=arrived.metadata,
            )
    return root, arrived.date


@pytest.fixture(scope="module")
def dashboard(start_server, visits):
    return start_server(visits[0])


def _drag_box_around_lesion(page, mask_path):
    """Chooses Box, presses at one corner of the lesion's box on its largest slice, and lets go at the other."""
    labels = read_label_map(mask_path)
    k = int(np.count_nonzero(labels.array, axis=(0, 1)).argmax())
    i, j = np.nonzero(labels.array[:, :, k])
    viewer = page.locator(".twin-viewer")
    page.get_by_role("button", name="Box around the lesion").click()
    viewer.evaluate("(root, k) => root.viewer.goTo(root.viewer.panes[0], k)", k)
    points = viewer.evaluate(
        """(root, corners) => {
          const p = root.viewer.panes[0], at = p.place(), room = p.canvas.getBoundingClientRect(), r = devicePixelRatio;
          return corners.map((c) => {
            const [x, y] = p.plane.toPixel(c);
            return [room.x + (at.x + x * at.sx) / r, room.y + (at.y + y * at.sy) / r];
          });
        }""",
        [[int(i.min()), int(j.min()), k], [int(i.max()), int(j.max()), k]],
    )
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=5)
    page.mouse.up()


def _points_in_curve(page, url):
    """Goes to the trajectory and counts the observed points of the total (or the only lesion)."""
    page.goto(f"{url}/trajectory?patient_id=DEMO-01")
    page.locator(".js-plotly-plot").first.wait_for(timeout=SLOW_MS)
    return page.evaluate(
        "() => Math.max(...document.querySelector('.js-plotly-plot').data"
        ".filter(t => t.mode === 'lines+markers').map(t => t.x.length ?? t.x.shape ?? 0))"
    )


@pytest.mark.timeout(900)
def test_worklist_segment_refine_accept_and_the_curve_grows(dashboard, visits, page):
    from playwright.sync_api import expect

    root, date = visits
    page.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    assert _points_in_curve(page, dashboard.url) == 2

    page.goto(dashboard.url)
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible()
    page.get_by_role("button", name="Segment", exact=True).click()
    expect(page.get_by_role("heading", name="Review")).to_be_visible()
    expect(page.get_by_role("combobox", name="Timepoint")).to_have_value(date)

    page.get_by_role("button", name="Run nnU-Net").click()
    expect(page.get_by_role("progressbar").first).to_be_visible()
    version = page.get_by_role("combobox", name="Mask version")
    expect(version).to_have_value("v1 · nnunet · proposed", timeout=SLOW_MS)

    _drag_box_around_lesion(page, next(root.glob(f"processed/demo/DEMO-01/{date}/mask_v001.nii.gz")))
    expect(page.get_by_text("dashed: the model's answer, not yet kept")).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("button", name="Carry the answer through the slices, both ways").click()
    expect(page.get_by_text(re.compile(r"down to slice \d+: .+; up to slice \d+: "))).to_be_visible(timeout=SLOW_MS)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Undo", exact=True)).to_have_attribute(
        "title", re.compile("MedSAM's answer for L1 on [0-9]+ slices")
    )
    page.get_by_role("button", name="Save the draft as a version").click()
    expect(version).to_have_value("v2 · medsam · proposed", timeout=SLOW_MS)
    expect(page.get_by_role("heading", name="v2 against v1")).to_be_visible()
    expect(page.get_by_text("Voxels added / removed")).to_be_visible()

    page.get_by_role("tab", name="Decide").click()
    hands.answer_doubts(page)
    page.get_by_role("button", name="Accept v2").click()
    expect(page.get_by_text("This version is accepted and in the curve.")).to_be_visible()
    assert _points_in_curve(page, dashboard.url) == 3
    assert (root / "processed/demo/DEMO-01" / date / "mask_final.nii.gz").resolve().name == "mask_v002.nii.gz"
