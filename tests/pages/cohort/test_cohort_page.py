"""The cohort page by itself: what it says of a clinic whose every volume is known, and of none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.twin.response import RULES
from pages.ui.cohort import cohort_panel
from pages.ui.frame import resources
from store import open_store
from tests import clinic

PAGE = Path(__file__).resolve().parents[3] / "pages" / "cohort.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("clinic")
    clinic.build(made)
    with open_store(made) as store:  # a patient of another dataset
        for n, day in enumerate(clinic.DAYS[:2]):
            store.scans.add(clinic.noise(80 + n), dataset="trial", patient_id="ZOE", timepoint=day, person="demo")
            clinic.accept(store, clinic.add_mask(store, "ZOE", day, 1000 - 900 * n))
    return made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], AppTest]]:
    """opened(root) -> the page on that data root, run once."""

    def run(data: Path) -> AppTest:
        monkeypatch.setenv("TWIN_DATA", str(data))
        resources.whole_store.clear()
        page = AppTest.from_file(str(PAGE), default_timeout=120)
        page.session_state["who"] = "demo"
        page.run()
        assert not page.exception
        return page

    yield run
    resources.whole_store.clear()


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def test_everybody_with_two_accepted_timepoints_is_there_the_worst_first(opened, root):
    """ANNA 1000, 1300, 1700, 2200 voxels; BEN 1200, 600; DORA to FAY 900, 1200; ZOE 1000, 100 (PR, -90 %)."""
    page = opened(root)
    assert metrics(page) == {"Responded": "1 of 6", "Progressed": "1 of 6", "Median days in view": "56"}
    table = page.dataframe[-1].value
    assert list(table["Patient"]) == ["DORA", "ELLA", "FAY", "ANNA", "BEN", "ZOE"]
    assert list(table["Best change (%)"]) == pytest.approx([100 / 3] * 3 + [30, -50, -90])
    assert list(table["Best response"]) == ["SD"] * 5 + ["PR"]
    assert list(table["Is it real"])[3] == "within noise"
    assert table["Progression (day)"][3] == 168
    assert table["Treatments"][3] == "doxorubicin"
    assert table["Waiting"][3] == 2
    assert [tab.label for tab in page.tabs] == ["Best change", "Course", "Time in view", "Left out (1)"]
    left_out = page.tabs[3].dataframe[0].value
    assert list(left_out["Patient"]) == ["CARA"]
    assert left_out["Why"][0] == "0 of 1 timepoints accepted; two are needed"
    assert len(page.get("plotly_chart")) == 3


def test_the_rule_and_the_datasets_are_chosen(opened, root):
    page = opened(root)
    page.selectbox(key="cohort-rule").set_value("beaumont").run()
    assert metrics(page)["Responded"] == "2 of 6"  # -50 % is PR at -35 %
    assert RULES["beaumont"].source in page.tabs[0].caption[0].value
    page.get("button_group")[0].set_value(["trial"]).run()
    assert not page.exception
    assert metrics(page)["Responded"] == "1 of 1"


def test_without_two_accepted_timepoints_the_page_says_what_to_do(opened, tmp_path):
    page = opened(tmp_path / "none")
    assert "No patient with two accepted timepoints" in page.info[0].value
    assert [button.label for button in page.button] == ["Open the worklist"]
    assert not page.metric
    with open_store(tmp_path / "one") as store:
        clinic.add_scan(store, "HAL", clinic.DAYS[0], clinic.noise(1))
        clinic.accept(store, clinic.add_mask(store, "HAL", clinic.DAYS[0], 500))
    page = opened(tmp_path / "one")
    assert "No patient with two accepted timepoints" in page.info[0].value
    assert list(page.dataframe[0].value["Why"]) == ["1 of 1 timepoints accepted; two are needed"]


def test_progress_is_shown_only_once_it_has_taken_a_while():
    told: list[tuple[float, str]] = []
    cohort_panel.late(lambda *step: told.append(step), 3600.0)(0.5, "P1")
    assert told == []
    cohort_panel.late(lambda *step: told.append(step), -1.0)(0.5, "P1")
    assert told == [(0.5, "P1")]
