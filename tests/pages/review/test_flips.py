"""Deciding on Review and relinking on Lesions: what a flip does is shown before, and needs a click of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.remembered.protocols import ResponseProtocol
from core.twin.link_preview import MovedNumber, Told
from core.types import LesionMeasure, MaskRecord
from pages.ui.frame import resources
from pages.ui.shared.edit_notice import moved_lines, told_words
from store import Store
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan

LESIONS = Path(__file__).resolve().parents[3] / "pages" / "lesions.py"
FLIP = f"{DAY3}: PD becomes SD"
Opened = Callable[..., AppTest]


def add(store: Store, day: str, voxels: int) -> MaskRecord:
    """L1 of `voxels` voxels, 8 mm long for each."""
    lesion = LesionMeasure(1, "L1", voxels * 1280.0, voxels, voxels * 8.0, (0.0, 0.0, 0.0))
    return add_mask(store, voxels, day=day, lesions=[lesion])


@pytest.fixture
def visits(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """P1: L1 of 32, 32 and 48 mm: baseline, SD, PD."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    for seed, (day, voxels) in enumerate(((DAY1, 4), (DAY2, 4), (DAY3, 6))):
        add_scan(store, day=day, seed=seed)
        add(store, day, voxels)
        store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    return store


def form(person: str, day: str, version: int) -> None:
    from pages.ui.frame import resources
    from pages.ui.review.deciding import decision_form

    store = resources.whole_store().seen_by(person)
    decision_form(store, "P1", day, store.masks.version("P1", day, version), person)


@pytest.fixture
def opened(visits: Store) -> Opened:
    def run(record: MaskRecord, person: str = "bob") -> AppTest:
        args = (person, record.timepoint, record.version)
        page = AppTest.from_function(form, default_timeout=200, args=args).run()
        assert not page.exception
        return page

    return run


def said(page: AppTest) -> str:
    blocks = (page.markdown, page.caption, page.info, page.warning, page.error)
    return "\n".join(str(x.value) for block in blocks for x in block).replace("\\", "").replace("\u2060", "")


def button(page: AppTest, label: str) -> object:
    return next(one for one in page.button if one.label.replace("\\", "") == label)


def reasoned(page: AppTest) -> AppTest:
    return next(one for one in page.selectbox if one.label == "Reason").set_value("agrees").run()


def newest(store: Store, action: str) -> dict[str, object]:
    return next(entry["payload"] for entry in store.audit_log(20) if entry["action"] == action)


def test_a_flip_is_shown_and_the_button_waits_for_its_click_and_the_audit_has_it(opened: Opened, visits: Store) -> None:
    page = reasoned(opened(add(visits, DAY3, 4)))
    assert FLIP in said(page)
    assert f"L1 {DAY3}: measured, 7.7 mL becomes measured, 5.1 mL; change" in said(page)
    assert button(page, "Accept v2").disabled  # type: ignore[attr-defined]
    page = page.checkbox[0].check().run()
    page = button(page, "Accept v2").click().run()  # type: ignore[attr-defined]
    assert not page.exception
    assert visits.masks.version("P1", DAY3, 2).status == "accepted"
    assert newest(visits, "mask.decided")["flips_told"] == "confirmed"


def test_what_was_confirmed_for_one_edit_does_not_hold_for_another(opened: Opened, visits: Store) -> None:
    page = reasoned(opened(add(visits, DAY3, 4)))
    page = page.checkbox[0].check().run()
    assert not button(page, "Accept v2").disabled  # type: ignore[attr-defined]
    page = page.radio[0].set_value("reject").run()
    assert not page.checkbox, "it is in no curve"
    page = page.radio[0].set_value("accept").run()
    assert button(page, "Accept v2").disabled  # type: ignore[attr-defined]


@pytest.mark.parametrize("still", [True, False], ids=["flips otherwise", "flips nothing"])
def test_a_click_that_was_meant_for_other_flips_does_nothing_and_shows_those_of_now(
    opened: Opened, visits: Store, still: bool
) -> None:
    page = reasoned(opened(add(visits, DAY3, 4)))
    page = page.checkbox[0].check().run()
    if still:
        visits.protocols.set("P1", ResponseProtocol("irecist"), "ann", "the trial's")
    else:
        visits.decisions.decide("P1", DAY3, 1, "withdraw", "ann", "a-slip")
    page = button(page, "Accept v2").click().run()  # type: ignore[attr-defined]
    assert not page.exception
    assert visits.masks.version("P1", DAY3, 2).status == "proposed"
    assert "another thing than was shown before" in said(page)
    assert ("iUPD becomes iSD" if still else "becomes SD") in said(page)
    assert button(page, "Accept v2").disabled is still  # type: ignore[attr-defined]


def test_the_first_call_of_a_visit_is_told_and_needs_no_click(opened: Opened, visits: Store) -> None:
    visits.decisions.decide("P1", DAY3, 1, "withdraw", "ann", "a-slip")
    page = reasoned(opened(visits.masks.version("P1", DAY3, 1)))
    assert f"The first call of a visit: {DAY3} becomes PD" in said(page)
    assert not page.checkbox
    assert not button(page, "Accept v1").disabled  # type: ignore[attr-defined]


def test_who_reads_the_patient_blind_is_shown_nothing_of_it(opened: Opened, visits: Store) -> None:
    record = add(visits, DAY3, 4)
    visits.readings.set_blind("P1", DAY2, True, "demo")
    page = opened(record)
    assert "becomes" not in said(page)
    assert not page.checkbox


def test_a_change_of_links_that_flips_needs_its_click(visits: Store) -> None:
    page = AppTest.from_file(str(LESIONS), default_timeout=200)
    page.session_state["who"], page.session_state["patient_id"] = "ann", "P1"
    page.run()
    page = next(box for box in page.selectbox if box.label == "Timepoint").set_value(DAY2).run()
    page = next(box for box in page.selectbox if box.label == "Label 1").set_value("new").run()
    assert not page.exception
    assert f"{DAY2}: SD becomes" in said(page)
    assert button(page, "Change 1 link").disabled  # type: ignore[attr-defined]
    page = page.checkbox[0].check().run()
    next(t for t in page.text_input if t.label == "Reason").set_value("another place")
    page = button(page, "Change 1 link").click().run()  # type: ignore[attr-defined]
    assert not page.exception
    assert newest(visits, "links.set")["flips_told"] == "confirmed"


def test_numbers_in_words() -> None:
    change = MovedNumber("change", "L1", DAY1, DAY2, None, Told("real", 30.0, 0.468))
    cell = MovedNumber("volume", "L1", "", DAY2, None, Told("measured", 12_000.0))
    assert moved_lines([cell, change], DAY2) == [
        f"L1 {DAY2}: none becomes measured, 12.0 mL; change real, +30.0 %, +0.47 % a day"
    ]
    assert moved_lines([cell, change], DAY1) == []
    assert told_words("change", Told("unknown", 30.0, 0.468)) == "unknown, +30.0 %"
