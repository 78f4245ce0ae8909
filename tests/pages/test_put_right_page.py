"""Intake's tab that puts right: what is lacking is said, what is done is told, and who may not gets grey buttons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.frame import resources
from store import open_store
from tests import clinic

PAGE = Path(__file__).resolve().parents[2] / "pages" / "intake.py"
DAY, LATER = clinic.DAYS[:2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """KIM with two visits and a mask on the first; LEE with one; "vic" is a viewer, "ann" a reader."""
    with open_store(tmp_path / "data") as store:
        store.people.add("vic", "viewer", by="demo")
        store.people.add("ann", "reader", by="demo")
        for number, (patient, day) in enumerate((("KIM", DAY), ("KIM", LATER), ("LEE", "2023-02-02"))):
            clinic.add_scan(store, patient, day, clinic.noise(number))
        clinic.add_mask(store, "KIM", DAY, 800)
    return tmp_path / "data"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Callable[[str], AppTest]]:
    monkeypatch.setenv("TWIN_DATA", str(root))
    resources.whole_store.clear()

    def run(person: str) -> AppTest:
        page = AppTest.from_file(str(PAGE), default_timeout=120)
        page.session_state["who"], page.session_state["patient_id"] = person, "KIM"
        page.session_state["intake-tab"] = "Put right"
        page.run()
        assert not page.exception
        return page

    yield run
    resources.whole_store.clear()


def button(page: AppTest, label: str):
    return next(one for one in page.button if one.label.replace("\\", "").startswith(label))


def reason(page: AppTest, text: str = "came in wrong") -> None:
    next(one for one in page.text_input if one.label == "Reason").set_value(text)
    page.run()


def days(root: Path, patient: str = "KIM") -> list[str]:
    with open_store(root) as store:
        assert store.verify() == []
        return store.patients.timepoints(patient)


def act(page: AppTest, action: str) -> None:
    page.segmented_control[0].set_value(action).run()


def test_nothing_is_done_without_another_place_and_a_reason(opened):
    page = opened("demo")
    move = button(page, "Move the timepoint")
    assert (move.disabled, move.help) == (True, "Give another date or another patient.")
    act(page, "Withdraw")
    withdraw = button(page, "Withdraw the timepoint")
    assert (withdraw.disabled, withdraw.help) == (True, "Say why.")


def test_a_withdrawn_timepoint_is_gone_from_lists_and_can_be_restored(opened, root: Path):
    page = opened("demo")
    act(page, "Withdraw")
    reason(page)
    button(page, "Withdraw the timepoint").click().run()
    resources.whole_store.clear()
    assert days(root) == [LATER]
    page = opened("demo")
    reason_of_restoring = [one for one in page.text_input if one.label == "Reason"][-1]
    reason_of_restoring.set_value("it was right").run()
    button(page, "Restore").click().run()
    resources.whole_store.clear()
    assert days(root) == [DAY, LATER]


def test_two_records_of_one_patient_become_one(opened, root: Path):
    page = opened("demo")
    act(page, "Merge")
    next(one for one in page.selectbox if "go to" in one.label).set_value("LEE").run()
    reason(page, "the same patient")
    button(page, "Merge KIM into LEE").click().run()
    resources.whole_store.clear()
    assert days(root, "LEE") == sorted([DAY, LATER, "2023-02-02"])


def test_a_patient_is_deleted_only_where_the_id_is_typed(opened, root: Path):
    page = opened("demo")
    act(page, "Delete for good")
    reason(page, "asked for it")
    assert button(page, "Delete KIM for good").disabled
    next(one for one in page.text_input if "to confirm" in one.label).set_value("KIM").run()
    button(page, "Delete KIM for good").click().run()
    resources.whole_store.clear()
    assert days(root) == []
    assert not list((root / "raw").rglob("KIM"))


@pytest.mark.parametrize("person", ["vic", "ann"])
def test_who_may_not_sees_why(opened, person: str):
    page = opened(person)
    move = button(page, "Move the timepoint")
    assert move.disabled
    assert "Needs the role" in move.help
