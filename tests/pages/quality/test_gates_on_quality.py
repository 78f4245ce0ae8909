"""Quality: the gates' record by kind of doubt, and references of the scan gate made of own scans."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.gates.scan import reference_sets
from core.gates.scan.reference import IN_DISTRIBUTION
from core.remembered.judgements import DOUBTS, JUDGEMENT, Judgement
from core.remembered.vocabulary import FITTED_SCAN_GATE
from pages.ui.frame import resources
from store import open_store
from tests.store_phantom import DAY1, DAY2, JUDGED, add_mask, add_scan

QUALITY = Path(__file__).resolve().parents[3] / "pages" / "quality.py"
ANSWER = ("doubt-answered", "Looked at it on the scan: it is what is there.")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """P1 with a rejected and P2 with an accepted doubted mask; "ann" is a reader, "ada" an adjudicator."""
    with open_store(tmp_path / "data") as store:
        store.people.add("ann", "reader", by="demo")
        store.people.add("ada", "adjudicator", by="demo")
        for number, (patient, day) in enumerate((("P1", DAY1), ("P2", DAY2))):
            add_scan(store, patient, day, seed=number)
            record = add_mask(store, 4, patient=patient, day=day)
            said = Judgement(DOUBTS, "position: it lies elsewhere", "g", (record.mask_sha256,), kinds=("position",))
            store.verdicts.add_mask_verdict(record.mask_id, {**JUDGED, JUDGEMENT: said.to_json()}, "demo")
        store.decisions.decide("P1", DAY1, 1, "reject", "ann", "leak")
        store.decisions.decide("P2", DAY2, 1, "accept", "ann", *ANSWER)
    return tmp_path / "data"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Callable[[str], AppTest]]:
    """opened(person) -> the page as that person sees it, run once."""
    monkeypatch.setenv("TWIN_DATA", str(root))
    resources.whole_store.clear()

    def run(person: str) -> AppTest:
        page = AppTest.from_file(str(QUALITY), default_timeout=120)
        page.session_state["who"] = person
        return page.run()

    yield run
    resources.whole_store.clear()


def rows(page: AppTest, column: str) -> list[dict[str, Any]]:
    """The rows of every table with that column."""
    tables = [table.value for table in page.dataframe if column in table.value.columns]
    return [row for table in tables for row in table.to_dict("records")]


def button(page: AppTest, label: str) -> Any:
    return next(one for one in page.button if one.label == label)


def test_what_became_of_a_gate_s_flags_stands_by_kind_with_who_overruled_them(opened):
    page = opened("ann")
    assert not page.exception
    found = {
        row["Kind of doubt"]: (row["Upheld"], row["Overruled"], row["Overruled by"]) for row in rows(page, "Upheld")
    }
    assert found["all flags"] == found["position"] == (1, 1, "ann (1)")
    assert "Here: **1 of 2 flags upheld**." in [one.value for one in page.markdown]
    assert "Doubtful masks (2)" in [one.value for one in page.subheader]
    assert sum("it lies elsewhere" in one.value for one in page.markdown) == 2


def test_scans_are_marked_by_an_adjudicator_and_a_reader_is_told_who_may(opened):
    page = opened("ann")
    assert button(page, "Mark").disabled
    page = opened("ada")
    assert any("No scan is marked yet" in one.value for one in page.caption)
    button(page, "Mark").click().run()
    assert [one.value for one in page.warning] == ["Choose a set, the scans, and what they are."]
    reference_sets.mark(resources.whole_store(), "clinic", "P2", DAY2, "metal streaks", "demo")
    page.run()
    chosen = {box.label: box for box in page.selectbox}
    chosen["Set"].set_value("clinic")
    chosen["Scans of"].set_value(("P1", DAY1))
    chosen["Are"].set_value(IN_DISTRIBUTION)
    button(page, "Mark").click().run()
    assert not page.exception
    assert [(row["Set"], row["Version"], row["Scans are"]) for row in rows(page, "Scans are")] == [
        ("clinic", 2, "metal streaks"),
        ("clinic", 2, IN_DISTRIBUTION),
    ]
    (marked,) = reference_sets.marked_sets(resources.whole_store()).values()
    assert marked.person == "ada"


def test_a_fitted_gate_shows_its_figures_is_put_in_force_and_one_goes_back(opened):
    page = opened("ada")
    store = resources.whole_store()
    content = b"a gate"
    path = store.root / "cache" / "scan-gates"
    path.mkdir(parents=True)
    sha256 = hashlib.sha256(content).hexdigest()
    (path / f"{sha256}.npz").write_bytes(content)
    figure = {"origin": "own", "kind": "metal streaks", "scans": 4, "in_force": 1, "candidate": 3}
    facts = {"gate": "clinic v1 abc", "sha256": sha256, "made_of": "s", "exposures": [], "with_shipped": True}
    store.reference_sets.add(FITTED_SCAN_GATE, {**facts, "figures": [figure], "notes": ["Only 3 scans."]}, "ada")
    page.run()
    (row,) = rows(page, "Flagged by this one")
    assert (row["n"], row["Flagged by the gate in force then"], row["Flagged by this one"]) == (4, 1, 3)
    button(page, "Put in force").click().run()
    assert not page.exception
    assert next(one.value for one in page.success).startswith("clinic v1 abc is in force")
    button(page, "Go back to the one before").click().run()
    assert reference_sets.gate_in_force(store) is None
