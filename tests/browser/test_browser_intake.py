"""Scans and masks come in through the browser: what was understood is shown, what cannot be used is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.imaging.volumes import orientation, write_nifti
from core.simulation.phantom import LesionSpec, PhantomSpec, SimulatedTimepoint, phantom
from core.types import Grid
from store import open_store
from tests.browser import hands

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SLOW_MS = 90_000


@pytest.fixture(scope="module")
def scan() -> SimulatedTimepoint:
    return phantom(PhantomSpec(3, (LesionSpec(1, 40_000),), shape=(104, 104, 38)), seed=0)


@pytest.fixture(scope="module")
def files(tmp_path_factory, scan) -> dict[str, Path]:
    """The simulated CT and its mask, a mask from elsewhere, and a file that is no image."""
    folder = tmp_path_factory.mktemp("files")
    paths = {name: folder / f"{name}.nii.gz" for name in ("ct", "mask", "text", "foreign")}
    write_nifti(paths["ct"], scan.ct.array, scan.ct.grid)
    write_nifti(paths["mask"], scan.truth.array, scan.truth.grid)
    write_nifti(paths["foreign"], scan.truth.array[:9, :9, :9], Grid((9, 9, 9), scan.pet.grid.affine))
    paths["text"].write_text("i,j,k,value\n" * 100)
    return paths


def _stored(root: Path) -> list[str]:
    """Files of scans and masks, and what is on its way; the ledgers, which tell of people too, are left out."""
    every = [p for top in ("raw", "processed", "incoming") for p in (root / top).rglob("*") if p.is_file()]
    return sorted(p.name for p in every if p.name != "ledger.jsonl")


def _upload(page, path: Path) -> None:
    """Gives the form a file of patient P7."""
    hands.upload(page, [path])
    page.get_by_role("textbox", name="Patient ID").fill("P7")


def _remove(page, path: Path) -> None:
    """Takes the file out of the form, and waits until the page knows: another one chosen before that would get lost."""
    from playwright.sync_api import expect

    button = page.get_by_role("button", name=f"Remove {path.name}")
    button.click()
    expect(button).to_have_count(0)
    hands.settle(page)


def test_an_empty_worklist_leads_to_intake_which_says_what_it_understood_and_what_it_cannot_use(
    start_server, tmp_path, files, scan, page
):
    from playwright.sync_api import expect

    expect.set_options(timeout=SLOW_MS)
    page.set_default_timeout(SLOW_MS)
    dashboard = start_server(tmp_path / "data")
    page.goto(dashboard.url)
    expect(page.get_by_text("There are no patients yet.")).to_be_visible()
    page.get_by_role("button", name="Import a scan").click()
    expect(page.get_by_role("heading", name="Intake")).to_be_visible()

    # A file that is no image: its sentence, and nothing stored.
    _upload(page, files["text"])
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="is not one, whatever its name says")).to_be_visible()
    assert _stored(tmp_path / "data") == []

    _remove(page, files["text"])
    _upload(page, files["ct"])
    page.get_by_role("button", name="Import", exact=True).click()
    size = " x ".join(str(n) for n in scan.ct.grid.shape)
    spacing = " x ".join(f"{mm:.2f}" for mm in scan.ct.grid.spacing_mm)
    understood = f"{size} voxels of {spacing} mm, orientation {orientation(scan.ct.grid)}."
    expect(page.get_by_text(re.compile(r"CT of P7, \d{4}-\d\d-\d\d: " + re.escape(understood)))).to_be_visible()
    expect(page.get_by_text(re.compile("^Scan gate")).first).to_be_visible()

    # What was imported is let go; the same file again is recognised, whatever it is called.
    expect(page.get_by_role("button", name=f"Remove {files['ct'].name}")).to_have_count(0)
    _upload(page, files["ct"])
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="is there already: CT of patient P7")).to_be_visible()
    page.close()
    dashboard.stop()
    with open_store(tmp_path / "data") as store:
        (stored,) = store.scans.of("P7")
        assert store.scans.load(stored).grid.matches(scan.ct.grid)
        assert stored.imported_by == "demo"
        assert store.verify() == []


def test_more_than_a_person_may_send_is_refused_by_the_server_and_said_on_the_page(start_server, tmp_path, files, page):
    from playwright.sync_api import expect

    expect.set_options(timeout=SLOW_MS)
    page.set_default_timeout(SLOW_MS)
    dashboard = start_server(tmp_path / "data", TWIN_MAX_UPLOAD_GB="0.00001")
    page.goto(f"{dashboard.url}/intake")
    expect(page.get_by_role("button", name="Import", exact=True)).to_be_visible()
    with page.expect_response(lambda response: "upload_file" in response.url and response.status == 413):
        page.get_by_test_id("stFileUploader").first.locator("input[type=file]").set_input_files(files["ct"])
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="Expected at most 5,000 files")).to_be_visible()
    page.close()
    dashboard.stop()
    assert _stored(tmp_path / "data") == []


def test_a_mask_is_imported_as_a_version_and_one_from_elsewhere_refused(start_server, tmp_path, files, scan, page):
    from playwright.sync_api import expect

    expect.set_options(timeout=SLOW_MS)
    page.set_default_timeout(SLOW_MS)
    with open_store(tmp_path / "data") as store:
        store.scans.add(scan.ct, dataset="d", patient_id="P1", timepoint="2024-05-01", person="demo")
    dashboard = start_server(tmp_path / "data")
    page.goto(f"{dashboard.url}/intake")
    page.get_by_role("tab", name="Mask").click()
    expect(page.get_by_text("Choose the patient in the sidebar first.")).to_be_visible()

    page.goto(f"{dashboard.url}/intake?patient_id=P1")
    expect(page.get_by_role("heading", name="Scans of P1")).to_be_visible()
    page.get_by_role("tab", name="Mask").click()
    panel = page.get_by_role("tabpanel").filter(has_text="Mask file")
    for name, said in (
        ("foreign", r"grid \(9, 9, 9\) fits none of the timepoint's scans"),
        ("mask", rf"Stored as version 1: {scan.truth.volume_mm3 / 1000:.1f} mL in 1 lesion\."),
    ):
        panel.locator("input[type=file]").set_input_files(files[name])
        expect(panel.get_by_role("button", name=f"Remove {name}.nii.gz")).to_be_visible()
        panel.get_by_role("button", name="Import mask").click()
        expect(page.get_by_text(re.compile(said))).to_be_visible()
    page.close()
    dashboard.stop()
    with open_store(tmp_path / "data") as store:
        (record,) = store.masks.of("P1")
        assert (record.method, record.status) == ("import", "proposed")
        assert store.verify() == []
