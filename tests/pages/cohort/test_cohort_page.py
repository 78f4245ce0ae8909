"""The cohort page by itself: what it says of a clinic whose every volume is known, and of none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.remembered.protocols import ResponseProtocol
from core.twin.cohort_records import CohortRecords
from core.twin.criteria.table import ABOUT
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


def shown(text: str) -> str:
    """Without what keeps it from being read as Markdown."""
    return text.replace("\\", "")


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def test_everybody_is_there_the_worst_first(opened, root):
    """ANNA 1000, 1300 (treatment), 1700, 2200 voxels; BEN 1200, 600; DORA to FAY 900, 1200; ZOE 1000, 100 (PR, -90 %).

    ANNA's baseline is the last visit before treatment: +30.8 %, then +69.2 %, PD from +40 % on.
    """
    page = opened(root)
    page.selectbox(key="cohort-criterion").set_value("volume-macdonald-sphere").run()
    assert metrics(page) == {
        "Responded": "1 of 6",
        "Progressed": "1 of 6",
        "Not evaluable": "0 of 6",
        "Median days": "56",
    }
    table = page.dataframe[-1].value
    assert list(table["Patient"]) == ["DORA", "ELLA", "FAY", "ANNA", "BEN", "ZOE"]
    assert list(table["Best change (%)"]) == pytest.approx([100 / 3] * 3 + [400 / 13, -50, -90])
    assert list(table["Best response"]) == ["SD"] * 5 + ["PR"]
    assert set(table["Response by"]) == {"Macdonald as sphere volumes *"}, "nobody's protocol"
    assert list(table["Is it real"])[3] == "within noise"
    assert table["Progression (day)"][3] == 112
    assert table["Treatments"][3] == "doxorubicin"
    assert table["Waiting"][3] == 2
    assert [tab.label for tab in page.tabs] == ["Best change", "Course", "Time in view", "Left out (1)"]
    left_out = page.tabs[3].dataframe[0].value
    assert list(left_out["Patient"]) == ["CARA"]
    assert left_out["Why"][0] == "0 of 1 timepoints accepted; one is needed"
    assert len(page.get("plotly_chart")) == 3


def test_the_criterion_and_the_datasets_are_chosen(opened, root):
    page = opened(root)
    assert page.selectbox(key="cohort-criterion").value == "protocol"
    assert set(page.dataframe[-1].value["Response by"]) == {"RECIST 1.1"}
    page.selectbox(key="cohort-criterion").set_value("volume-beaumont").run()
    assert metrics(page)["Responded"] == "2 of 6"  # -50 % is PR at -35 %
    assert ABOUT["volume-beaumont"].source in shown(page.tabs[0].caption[0].value)
    page.get("button_group")[0].set_value(["trial"]).run()
    assert not page.exception
    assert metrics(page)["Responded"] == "1 of 1"


def test_patients_of_different_protocols_are_counted_apart(opened, root, tmp_path):
    own = shutil.copytree(root, tmp_path / "own")
    with open_store(own) as store:
        store.protocols.set("BEN", ResponseProtocol("volume-beaumont"), "demo", "as the trial has it")
    page = opened(own)
    assert list(metrics(page)) == ["Median days"]
    told = next(shown(text.value) for text in page.markdown if "best responses" in text.value)
    assert "**RECIST 1.1**: 1 of 5 progressed" in told
    assert "0 of 1 progressed; best responses: 1 PR" in told
    assert list(page.dataframe[-1].value["Patient"])[-1] == "BEN", "the criterion of fewer patients is last"


def test_a_change_of_protocol_is_seen_at_the_next_run_and_is_the_state_of_that_patient_alone(opened, root, tmp_path):
    own = shutil.copytree(root, tmp_path / "own")
    page = opened(own)
    store = resources.whole_store()
    keys = CohortRecords(store.views.cohort(), store.scans, store.reference_sets)
    store.protocols.set("ANNA", ResponseProtocol("volume-beaumont"), "demo", "changed")
    later = CohortRecords(store.views.cohort(), store.scans, store.reference_sets)
    patients = [row.patient_id for row in store.patients.all()]
    assert [p for p in patients if keys.state_of(p) != later.state_of(p)] == ["ANNA"]
    page.run()
    table = page.dataframe[-1].value
    assert dict(zip(table["Patient"], table["Response by"], strict=True))["ANNA"] == ABOUT["volume-beaumont"].title


def test_without_an_accepted_timepoint_the_page_says_what_to_do(opened, tmp_path):
    page = opened(tmp_path / "none")
    assert "No patient with an accepted timepoint" in page.info[0].value
    assert [button.label for button in page.button] == ["Open the worklist"]
    assert not page.metric
    with open_store(tmp_path / "one") as store:
        clinic.add_scan(store, "HAL", clinic.DAYS[0], clinic.noise(1))
        clinic.accept(store, clinic.add_mask(store, "HAL", clinic.DAYS[0], 500))
    page = opened(tmp_path / "one")
    assert metrics(page)["Not evaluable"] == "1 of 1"
    table = page.dataframe[-1].value
    assert (table["Best response"][0], table["On"][0]) == ("NE", "no visit after baseline")


def test_progress_is_shown_only_once_it_has_taken_a_while():
    told: list[tuple[float, str]] = []
    cohort_panel.late(lambda *step: told.append(step), 3600.0)(0.5, "P1")
    assert told == []
    cohort_panel.late(lambda *step: told.append(step), -1.0)(0.5, "P1")
    assert told == [(0.5, "P1")]
