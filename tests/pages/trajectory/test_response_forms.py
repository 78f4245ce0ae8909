"""Forms of Trajectory for events and the protocol: what is refused, what needs the click, who may, what is recorded."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.types import LesionMeasure
from pages.ui.frame import resources, session
from store import Store
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan

PAGE = Path(__file__).resolve().parents[3] / "pages" / "trajectory.py"


@pytest.fixture
def clinic(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """P1: one lesion 32, 48 and 16 mm long; all accepted. P2: a scan alone."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    for seed, (day, voxels) in enumerate(((DAY1, 4), (DAY2, 6), (DAY3, 2))):
        add_scan(store, day=day, seed=seed)
        one = LesionMeasure(1, "L1", voxels * 1280.0, voxels, voxels * 8.0, (0.0, 0.0, 0.0))
        add_mask(store, voxels, day=day, lesions=[one])
        store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    add_scan(store, "P2", day=DAY1, seed=9)
    return store


def opened(person: str = "ann", patient: str = "P1") -> AppTest:
    page = AppTest.from_file(str(PAGE), default_timeout=200)
    page.session_state["who"], page.session_state["patient_id"] = person, patient
    for section in ("Protocol", "Events"):
        page.session_state[session.TRAJECTORY_OPEN.key(section)] = True
    return ran(page)


def ran(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception
    return page


def one(widgets: Any, label: str) -> Any:
    return next(widget for widget in widgets if widget.label.replace("\\", "") == label)


def form(page: AppTest, patient: str, name: str) -> AppTest:
    page.session_state[session.EVENT_FORM.key(patient)] = name
    return ran(page)


def said(page: AppTest) -> str:
    text = " ".join(each.value for each in (*page.error, *page.caption, *page.warning, *page.success, *page.info))
    return text.replace("\\", "").replace("\u2060", "")


def told(store: Store) -> dict[str, Any]:
    return {name: store.audit.entries()[-1][name] for name in ("action", "person", "payload")}


def test_a_treatment_that_flips_a_call_needs_the_click_and_is_in_the_audit_with_it(clinic: Store) -> None:
    page = opened()
    one(page.date_input, "Day *").set_value(dt.date.fromisoformat(DAY2))
    one(page.button, "Enter this event").click()
    ran(page)
    assert "Expected of the event drug-start its drug" in said(page)
    one(page.text_input, "Drug *").set_value("doxorubicin")
    ran(page)
    assert f"{DAY2}: PD becomes baseline" in said(page)
    assert one(page.button, "Enter this event").disabled
    assert clinic.events.of("P1") == []
    one(page.checkbox, "I have seen what changes, and mean it").check()
    ran(page)
    one(page.button, "Enter this event").click()
    ran(page)
    assert "Entered." in said(page)
    (event,) = clinic.events.of("P1")
    assert (event.date, event.kind, event.detail) == (DAY2, "drug-start", {"drug": "doxorubicin"})
    entry = told(clinic)
    assert (entry["action"], entry["payload"]["flips_told"]) == ("event.added", "confirmed")
    assert {"timepoint": DAY2, "before": "PD", "after": "baseline"} in entry["payload"]["flips"]
    assert clinic.verify() == []


def test_an_event_is_corrected_and_withdrawn_with_a_reason_and_stays_on_record(clinic: Store) -> None:
    clinic.events.add("P2", DAY1, "surgery", {"procedure": "biopsy"}, "bob")
    page = opened(patient="P2")
    assert "no accepted mask yet" in said(page)
    form(page, "P2", "Correct")
    one(page.text_input, "Procedure").set_value("wide resection")
    one(page.button, "Correct this event").click()
    ran(page)
    assert "Expected a reason in words" in said(page)
    one(page.text_input, "Reason *").set_value("a slip")
    one(page.button, "Correct this event").click()
    ran(page)
    (event,) = clinic.events.of("P2")
    assert event.detail == {"procedure": "wide resection"}
    form(page, "P2", "Withdraw")
    one(page.text_input, "Reason *").set_value("of another patient")
    one(page.button, "Withdraw this event").click()
    ran(page)
    assert clinic.events.of("P2") == []
    assert [row.withdrawn_reason for row in clinic.events.history("P2")] == ["a slip", "of another patient"]


def test_a_day_that_has_not_been_is_refused(clinic: Store) -> None:
    page = opened(patient="P2")
    one(page.selectbox, "Kind *").set_value("death")
    ran(page)
    one(page.date_input, "Day *").set_value(dt.date(2034, 1, 1))
    one(page.button, "Enter this event").click()
    ran(page)
    assert "Expected death on a day that has been" in said(page)
    assert clinic.events.of("P2") == []


def test_a_protocol_is_set_with_a_reason_once_what_flips_is_confirmed(clinic: Store) -> None:
    page = opened()
    one(page.selectbox, "Baseline").set_value(DAY2)
    ran(page)
    assert f"{DAY2}: PD becomes baseline" in said(page)
    assert one(page.button, "Set the protocol").disabled
    one(page.checkbox, "I have seen what changes, and mean it").check()
    ran(page)
    one(page.button, "Set the protocol").click()
    ran(page)
    assert "Expected a reason in words" in said(page)
    assert clinic.protocols.of("P1") is None
    one(page.text_input, "Reason for the protocol").set_value("treatment began then")
    one(page.button, "Set the protocol").click()
    ran(page)
    assert "The protocol is set" in said(page)
    assert "by ann on" in said(page)
    stored = clinic.protocols.of("P1")
    assert stored is not None
    assert (stored.protocol.baseline, stored.reason) == (DAY2, "treatment began then")
    assert told(clinic)["payload"]["flips_told"] == "confirmed"
    assert clinic.verify() == []


def test_targets_are_chosen_a_row_a_lesion(clinic: Store) -> None:
    page = opened()
    page.session_state[session.PROTOCOL_FIELD.key("P1", 0, "how")] = "chosen here"
    ran(page)
    one(page.text_input, "Organ of L1").set_value("liver")
    one(page.text_input, "Reason for the protocol").set_value("board")
    one(page.button, "Set the protocol").click()
    ran(page)
    stored = clinic.protocols.of("P1")
    assert stored is not None
    assert stored.protocol.targets is not None
    assert [(lesion.lesion_id, lesion.organ) for lesion in stored.protocol.targets] == [("L1", "liver")]


def test_who_may_change_nothing_writes_nothing(clinic: Store) -> None:
    clinic.people.add("vic", "viewer", by="demo")
    page = opened("vic")
    assert one(page.button, "Enter this event").disabled
    assert one(page.button, "Set the protocol").disabled
    assert "Needs the role" in str(one(page.button, "Set the protocol").help)


def test_a_blind_reader_sees_no_assessment_of_others_and_no_flips(clinic: Store) -> None:
    clinic.people.add("ben", "reader", by="demo")
    for person, word in (("ann", "PD"), ("ben", "CR")):
        clinic.events.add("P1", DAY2, "assessment", {"nontarget": word}, person)
    clinic.readings.set_blind("P1", DAY2, True, "demo")
    page = opened("ben")
    table = next(shown.value for shown in page.dataframe if "Read by rules as" in shown.value.columns)
    assert list(table["Who"]) == ["ben"]
    one(page.date_input, "Day *").set_value(dt.date.fromisoformat(DAY2))
    one(page.text_input, "Drug *").set_value("doxorubicin")
    ran(page)
    assert "You read some of this patient blind" in said(page)
    assert "becomes" not in said(page)


def test_an_assessment_on_a_day_without_a_visit_is_told(clinic: Store) -> None:
    clinic.events.add("P1", "2020-01-05", "assessment", {"nontarget": "PD"}, "ann")
    assert "An assessment on 2020-01-05 counts nowhere" in said(opened())
