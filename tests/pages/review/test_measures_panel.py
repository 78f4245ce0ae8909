"""Measures in Review: a window with a row a lesion, why something is not known, and a histogram."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.types import LabelMap, Volume
from pages.ui.frame import measured, resources
from pages.ui.review.measures_panel import histogram_figure
from store import open_store
from tests import clinic
from tests.store_phantom import JUDGED, measures

PAGE = Path(__file__).resolve().parents[3] / "pages" / "review.py"
DAY = clinic.DAYS[0]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """KIM: a CT and a PET, and a mask from before scans were measured with it. LEO: a CT alone."""
    with open_store(tmp_path / "data") as store:
        for seed, patient in enumerate(("KIM", "LEO")):
            clinic.add_scan(store, patient, DAY, clinic.noise(seed))
        uptake = np.full(clinic.SHAPE, 3.0, np.float32)
        uptake[0, 0, 0] = 1.0
        clinic.add_scan(store, "KIM", DAY, Volume(uptake, clinic.grid(), "PET"))
        labels = LabelMap(clinic.lesion(800).astype(np.uint8), store.scans.reference_grid("KIM", DAY))
        store.masks.add(
            labels, patient_id="KIM", timepoint=DAY, method="manual", author="demo", parent_version=None,
            lesions=measures(labels), verdict=JUDGED,
        )  # fmt: skip
    monkeypatch.setenv("TWIN_DATA", str(tmp_path / "data"))
    resources.whole_store.clear()
    yield AppTest.from_file(str(PAGE), default_timeout=120)
    resources.whole_store.clear()


def opened(page: AppTest, patient: str) -> AppTest:
    page.session_state["who"], page.session_state["patient_id"] = "demo", patient
    page.run()
    assert not page.exception
    return page


def test_an_old_mask_is_measured_when_the_window_is_opened(page: AppTest) -> None:
    opened(page, "KIM")
    next(one for one in page.button if one.label == "Measures of the mask").click().run()
    assert not page.exception
    table = next(one.value for one in page.dataframe if "PET SUVmax" in one.value)
    (row,) = table.to_dict("records")
    assert row["Lesion"] == "L1"
    assert row["Volume (mL)"] == pytest.approx(800 * clinic.VOXEL_ML)
    assert [row["PET SUVmax"], row["PET SUVpeak"]] == pytest.approx([3.0, 3.0])
    assert row["PET MTV (mL)"] == pytest.approx(800 * clinic.VOXEL_ML)
    assert abs(row["CT mean (HU)"]) < 10
    assert row["Short axis (mm)"] > 10, "measured now, though it was not stored"
    assert "SUL is not known" in " ".join(one.value for one in page.caption)
    assert [one.label for one in page.selectbox if one.label in ("Histogram of", "On")] == ["Histogram of", "On"]


def test_without_a_mask_there_is_nothing_to_measure(page: AppTest) -> None:
    opened(page, "LEO")
    assert "Measures of the mask" not in [one.label for one in page.button]


def test_a_histogram_has_a_bar_a_bin(page: AppTest) -> None:
    del page
    store = resources.whole_store()
    (record,) = store.masks.of("KIM", DAY)
    found = measured.version_measures(record, store.scans.of("KIM", DAY))
    (ct,) = [one for one in found.scans if one.channel == "CT"]
    assert ct.seen is not None
    assert ct.seen.histogram is not None
    assert sum(histogram_figure(ct).data[0].y) == 800
