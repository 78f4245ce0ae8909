"""The page of lesions: each over time, a change of links told before it is done, and who may do it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.frame import resources
from store import Store
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan

PAGE = Path(__file__).resolve().parents[3] / "pages" / "lesions.py"


@pytest.fixture
def clinic(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """L1 of 4 and L2 of 2 voxels, accepted; on the second day label 1 has 2 and label 2 has 4: numbers swapped."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    store.people.add("cleo", "viewer", by="demo")
    for n, (day, first, second) in enumerate(((DAY1, 4, 2), (DAY2, 2, 4))):
        add_scan(store, day=day, seed=n)
        add_mask(store, first, second, day=day)
        store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    return store


@pytest.fixture
def opened(clinic: Store) -> Callable[..., AppTest]:
    def run(person: str = "ann", **chosen: str) -> AppTest:
        page = AppTest.from_file(str(PAGE), default_timeout=200)
        page.session_state["who"], page.session_state["patient_id"] = person, "P1"
        for name, value in chosen.items():
            page.session_state[name] = value
        page.run()
        assert not page.exception
        return page

    return run


def table(page: AppTest, column: str) -> list[dict[str, object]]:
    return [row for one in page.dataframe if column in one.value.columns for row in one.value.to_dict("records")]


def choose(page: AppTest, label: str, word: str) -> AppTest:
    box = next(box for box in page.selectbox if box.label == label)
    return box.set_value(word).run()


def test_a_swap_tells_which_numbers_move_needs_a_reason_and_stays_on_record(opened, clinic: Store) -> None:
    page = opened()
    assert [(r["Lesion"], r["First seen"], r["Last seen"]) for r in table(page, "First seen")] == [
        ("L1", DAY1, DAY2),
        ("L2", DAY1, DAY2),
    ]
    assert not [b for b in page.button if b.label.startswith("Change")]
    page = choose(choose(page, "Label 1", "L2"), "Label 2", "L1")
    moved = {(row["Lesion"], row["What"], row["When"]): (row["Before"], row["After"]) for row in table(page, "What")}
    assert moved["L1", "volume", DAY2] == ("measured, 2.6 mL", "measured, 5.1 mL")
    assert moved["L2", "volume", DAY2] == ("measured, 5.1 mL", "measured, 2.6 mL")
    assert moved["L1", "change", f"{DAY1} to {DAY2}"] == ("unknown, -50.0 %", "unknown, +0.0 %")
    assert clinic.links.history(clinic.masks.version("P1", DAY2, 1).mask_id)[-1].reason == "", "only looked at"

    page = next(b for b in page.button if b.label == "Change 2 links").click().run()
    assert "Say in words why" in page.warning[0].value
    next(t for t in page.text_input if t.label == "Reason").set_value("the program swapped the numbers")
    page = next(b for b in page.button if b.label == "Change 2 links").click().run()
    assert not page.exception
    record = clinic.masks.version("P1", DAY2, 1)
    assert [(x["label"], x["lesion_id"]) for x in record.lesions] == [(1, "L2"), (2, "L1")]
    said = table(page, "Why")
    assert [(r["Who"], r["Label"], r["Lesion"], r["Why"]) for r in said][:2] == [
        ("ann", "2", "L1", "the program swapped the numbers"),
        ("ann", "1", "L2", "the program swapped the numbers"),
    ]
    assert not [b for b in page.button if b.label.startswith("Change")], "what was chosen is what stands"


def test_who_may_only_look_sees_what_would_move_and_cannot_change_it(opened) -> None:
    page = choose(opened("cleo"), "Label 2", "new")
    assert table(page, "What")
    (button,) = [b for b in page.button if b.label == "Change 1 link"]
    assert button.disabled
    assert "Needs the role reader" in button.help


def test_a_patient_without_a_lesion_is_told_where_to_make_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    add_scan(store)
    page = AppTest.from_file(str(PAGE), default_timeout=200)
    page.session_state["who"], page.session_state["patient_id"] = "ann", "P1"
    page.run()
    assert "no mask with a lesion yet" in page.info[0].value
