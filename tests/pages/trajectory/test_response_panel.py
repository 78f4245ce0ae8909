"""The response at the head of the trajectory: what the newest visit is called, why, and what speaks against it."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.remembered.protocols import ResponseProtocol
from core.twin.patient_responses import patient_responses
from core.types import LesionMeasure
from pages.ui.frame import resources, session
from pages.ui.trajectory import response_panel
from store import Store
from tests.core.twin.timeline_phantom import DAYS, lesion, link, mask, timeline
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan

PAGE = Path(__file__).resolve().parents[3] / "pages" / "trajectory.py"


@pytest.fixture
def clinic(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """P1: one lesion 32, 48 and 16 mm long; all accepted."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    for seed, (day, voxels) in enumerate(((DAY1, 4), (DAY2, 6), (DAY3, 2))):
        add_scan(store, day=day, seed=seed)
        one = LesionMeasure(1, "L1", voxels * 1280.0, voxels, voxels * 8.0, (0.0, 0.0, 0.0))
        add_mask(store, voxels, day=day, lesions=[one])
        store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    return store


def opened(*sections: str) -> AppTest:
    page = AppTest.from_file(str(PAGE), default_timeout=200)
    page.session_state["who"], page.session_state["patient_id"] = "ann", "P1"
    for section in sections:
        page.session_state[session.TRAJECTORY_OPEN.key(section)] = True
    page.run()
    assert not page.exception
    return page


def said(page: AppTest) -> str:
    text = " ".join(one.value for one in (*page.markdown, *page.caption, *page.warning))
    return text.replace("\\", "").replace("\u2060", "")


def test_the_head_of_the_page_says_what_the_newest_visit_is_called_and_why(clinic: Store) -> None:
    page = opened("Response")
    assert f":red-badge[**PD**] **RECIST 1.1, {DAY3}**" in said(page)
    assert "progression was on" in said(page)
    table = next(one.value for one in page.dataframe if "Could flip" in one.value.columns)
    assert list(table["Response"]) == ["baseline", "PD", "PD"]


def test_a_protocol_that_a_person_set_is_followed_and_named(clinic: Store) -> None:
    clinic.protocols.set("P1", ResponseProtocol("recist-1.1", DAY2), "bob", "treatment began then")
    page = opened("Response")
    assert f":green-badge[**PR**] **RECIST 1.1, {DAY3}**" in said(page)
    assert f"set by bob. Baseline {DAY2}: set by bob" in said(page)


def test_a_baseline_without_an_accepted_mask_is_said_and_the_rest_is_shown(clinic: Store) -> None:
    clinic.protocols.set("P1", ResponseProtocol("recist-1.1", DAY2), "bob", "treatment began then")
    clinic.decisions.decide("P1", DAY2, 1, "withdraw", "ann", "a-slip")
    page = opened()
    assert "The response cannot be told." in said(page)
    assert f"The baseline that bob set, {DAY2}, has no accepted mask now" in said(page)
    assert any(one.label.startswith("Volume") for one in page.metric)


def test_what_speaks_against_a_call_stands_beside_it() -> None:
    merged = [link(DAYS[1], None, "L2", "merged into", into=("L1",), confidence=0.9)]
    one = {**lesion("L1", 54), "volume_mm3": 130_000.0}
    found = patient_responses(
        timeline(mask(DAYS[0], lesion("L1", 40), lesion("L2", 38)), mask(DAYS[1], one), links=merged)
    )
    assert found is not None
    doubts = response_panel.doubts_of(found.calls[-1], DAYS[1] in found.disagree)
    assert "L2 is merged into L1." in doubts
    assert any(text.startswith("The volumes contradict it. PD") for text in doubts)
    assert doubts[-1] == "Other criteria say otherwise: see Response by visit below."
    row = response_panel.rows(found)[1]
    assert (row["Response"], row["Could flip"]) == ("PR", "–")
    assert "RECIST 1.1 as sphere volumes: PD" in str(row["Other criteria"])


def _merged() -> None:
    from core.twin.patient_responses import patient_responses
    from pages.ui.trajectory import response_panel
    from tests.core.twin.timeline_phantom import DAYS, lesion, link, mask, timeline

    said = [link(DAYS[1], None, "L2", "merged into", into=("L1",), confidence=0.9)]
    one = {**lesion("L1", 54), "volume_mm3": 130_000.0}
    both = mask(DAYS[0], lesion("L1", 40), lesion("L2", 38))
    response_panel.headline(patient_responses(timeline(both, mask(DAYS[1], one), links=said)))


def test_a_response_that_the_volumes_contradict_is_not_shown_in_green() -> None:
    page = AppTest.from_function(_merged, default_timeout=60).run()
    assert not page.exception
    assert ":orange-badge[**PR**]" in said(page)
    assert "The volumes contradict it. PD: sum 130 mL" in said(page)
