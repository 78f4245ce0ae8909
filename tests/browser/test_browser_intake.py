"""Scans and masks come in through the browser: what was understood is shown, what cannot be used is said."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from core.imaging.orienting import canonical
from core.imaging.study.apart import preview
from core.imaging.volumes import write_nifti
from core.simulation.phantom import LesionSpec, PhantomSpec, SimulatedTimepoint, phantom
from core.twin.curve_points import volume_points
from core.types import Grid
from store import open_store
from tests.browser import hands
from tests.store_phantom import ANSWER

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


def _remove(page, path: Path) -> None:
    """Takes the file out of the form, and waits until the page knows: another one chosen before that would get lost."""
    from playwright.sync_api import expect

    button = page.get_by_role("button", name=f"Remove {path.name}")
    button.click()
    expect(button).to_have_count(0)
    hands.settle(page)


def _fill(page, label: str, text: str) -> None:
    """Types into a field, and waits for the page."""
    box = page.get_by_role("textbox", name=label, exact=True)
    box.fill(text)
    box.press("Enter")
    hands.settle(page)


def _date(page, label: str, text: str) -> None:
    """Types a date, YYYY-MM-DD."""
    field = page.get_by_test_id("stDateInput").filter(has_text=label)
    field.get_by_role("spinbutton").first.click()
    page.keyboard.type(text.replace("-", ""))  # each part goes on to the next
    page.keyboard.press("Escape")  # the calendar closes, and the date is given
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

    # A file that is no image: its sentence, and nothing to import.
    hands.upload(page, [files["text"]])
    expect(page.get_by_role("alert").filter(has_text="is not one, whatever its name says")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Import"))).to_be_disabled()

    # An image without a date: none is assumed.
    _remove(page, files["text"])
    hands.upload(page, [files["ct"]])
    expect(page.get_by_text("By its values: Air")).to_be_visible()
    _fill(page, "Patient ID", "P7")
    expect(page.get_by_role("button", name="Import 1 scan")).to_be_disabled()
    assert _stored(tmp_path / "data") == []
    _date(page, "Date of the scan", "2024-05-01")
    page.get_by_role("button", name="Import 1 scan").click()
    size = " x ".join(str(n) for n in scan.ct.grid.shape)
    spacing = " x ".join(f"{mm:.2f}" for mm in scan.ct.grid.spacing_mm)
    expect(page.get_by_text(f"CT of P7, 2024-05-01: {size} voxels of {spacing} mm, orientation LPS.")).to_be_visible()
    expect(page.get_by_text(re.compile("^Scan gate")).first).to_be_visible()

    # What was imported is let go; the same file again is recognised, whatever it is called.
    expect(page.get_by_role("button", name=f"Remove {files['ct'].name}")).to_have_count(0)
    hands.upload(page, [files["ct"]])
    _fill(page, "Patient ID", "P7")
    _date(page, "Date of the scan", "2024-06-01")
    page.get_by_role("button", name="Import 1 scan").click()
    expect(page.get_by_role("alert").filter(has_text="is there already: CT of patient P7")).to_be_visible()
    page.close()
    dashboard.stop()
    with open_store(tmp_path / "data") as store:
        (stored,) = store.scans.of("P7")
        assert store.scans.load(stored).grid.matches(canonical(scan.ct).grid)
        assert stored.imported_by == "demo"
        assert store.verify() == []


@pytest.fixture(scope="module")
def study(tmp_path_factory, shared_data) -> Path:
    """A real patient's CT, PET and contours as a zip, as a portal hands it out."""
    source = shared_data / "dicom" / "STS_008"
    return Path(shutil.make_archive(str(tmp_path_factory.mktemp("study") / "study"), "zip", source.parent, source.name))


def test_a_study_comes_in_its_date_is_corrected_and_the_curve_follows(start_server, tmp_path, study, page):
    """Also: the page shows what `scan preview` says of the same zip."""
    from playwright.sync_api import expect

    expect.set_options(timeout=SLOW_MS)
    page.set_default_timeout(SLOW_MS)
    dashboard = start_server(tmp_path / "data")
    page.goto(f"{dashboard.url}/intake")
    hands.upload(page, [study])
    button = page.get_by_role("button", name="Import 2 scans and 1 mask")
    expect(button).to_be_enabled()
    with TemporaryDirectory() as scratch:
        found, _ = preview([study], Path(scratch))
    for _, day, series in found.series():
        expect(page.get_by_text(series.about)).to_be_visible()
        assert day.date == "2001-09-02"
    expect(page.get_by_text("The files say: day 2001-09-02 (StudyDate), patient STS_008.")).to_be_visible()
    ticks = [box.is_checked() for box in page.get_by_test_id("stCheckbox").locator("input").all()]
    assert ticks == [series.ticked for _, _, series in found.series()] == [True, True, True, False]

    # Another date than the files' needs a tick that names both, and a reason.
    _date(page, "Date of the scan", "2001-10-02")
    expect(page.get_by_text("The files say 2001-09-02 (StudyDate), you say 2001-10-02.")).to_be_visible()
    expect(button).to_be_disabled()
    page.get_by_text("Store it under 2001-10-02, not 2001-09-02").click()
    hands.settle(page)
    _fill(page, "Why it is another date", "read from the letter")
    button.click()
    expect(page.get_by_text("Stored as version 1: 27.6 mL in 1 lesion.")).to_be_visible()
    # while it runs nothing can be moved
    expect(page.get_by_text("Scan gate: done.")).to_be_visible(timeout=4 * SLOW_MS)
    page.get_by_role("button", name="Open STS_008, 2001-10-02 in Review").click()
    expect(page.get_by_role("heading", name="Review")).to_be_visible()
    dashboard.stop()
    with open_store(tmp_path / "data") as store:
        store.decisions.decide("STS_008", "2001-10-02", 1, "accept", "demo", *ANSWER)

    # It was wrong: the date is put right, and the curve has it there.
    dashboard = start_server(tmp_path / "data")
    page.goto(f"{dashboard.url}/intake?patient_id=STS_008&tab=Put+right")
    _date(page, "The right date", "2001-09-02")
    _fill(page, "Reason", "the letter was wrong")
    page.get_by_role("button", name="Move the timepoint to STS_008, 2001-09-02").click()
    moved = page.get_by_test_id("stAlertContentSuccess").get_by_text("2001-10-02: moved to STS_008, 2001-09-02")
    expect(moved).to_be_visible()
    page.goto(f"{dashboard.url}/trajectory?patient_id=STS_008")
    expect(page.get_by_role("heading", name="Trajectory")).to_be_visible()
    expect(page.get_by_text("2001-09-02").first).to_be_visible()
    assert page.get_by_text("2001-10-02").count() == 0
    page.close()
    dashboard.stop()
    with open_store(tmp_path / "data") as store:
        assert {point.timepoint for point in volume_points(store, "STS_008")} == {"2001-09-02"}
        assert store.verify() == []


def test_more_than_a_person_may_send_is_refused_by_the_server_and_said_on_the_page(start_server, tmp_path, files, page):
    from playwright.sync_api import expect

    expect.set_options(timeout=SLOW_MS)
    page.set_default_timeout(SLOW_MS)
    dashboard = start_server(tmp_path / "data", TWIN_MAX_UPLOAD_GB="0.00001")
    page.goto(f"{dashboard.url}/intake")
    expect(page.get_by_test_id("stFileUploader").first).to_be_visible()
    with page.expect_response(lambda response: "upload_file" in response.url and response.status == 413):
        page.get_by_test_id("stFileUploader").first.locator("input[type=file]").set_input_files(files["ct"])
    hands.settle(page)
    page.get_by_role("tab", name="Mask").click()  # any further run of the page says so, on the tab of the files
    hands.settle(page)
    expect(page.locator("[role=alert]").filter(has_text="Expected at most 5,000 files")).to_be_attached()
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
    chosen_first = page.get_by_role("tabpanel", name="Mask").get_by_text("Choose the patient in the sidebar first.")
    expect(chosen_first).to_be_visible()

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
