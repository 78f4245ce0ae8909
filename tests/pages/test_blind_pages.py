"""A timepoint read blind, as Quality, System and the command line show it: nothing of what is hidden, to whom it is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import cli
from core.remembered.judgements import DOUBTS, JUDGEMENT, Judgement
from core.review.blind_reading import Hidden, seen_of_all
from core.review.correction import correction
from core.types import LabelMap
from pages.ui.frame import resources
from store import Store, open_store
from store.seen import WITHHELD
from tests import clinic

PAGES = Path(__file__).resolve().parents[2] / "pages"
DAY, HIDDEN = clinic.DAYS[0], 1777
BOX = {"type": "box", "slice": 12, "coords": [20, 18, 41, 37], "positive": True}


def _flag(store: Store, record: Any) -> None:
    said = next(row for row in store.verdicts.of_masks("ANNA") if row.version == record.version).result
    odd = replace(Judgement.from_json(said[JUDGEMENT]), verdict=DOUBTS)
    odd_result = {**said, "flagged": True, "p_value": 0.01, JUDGEMENT: odd.to_json()}
    store.verdicts.add_mask_verdict(record.mask_id, odd_result, "demo")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """ANNA's day is read blind: v1 by the network, ann's v2 (hidden from ben, and flagged), the network's v3, which
    demo accepted. ann's job made v2. Four others have an accepted mask each, so that a distance can be told."""
    store: Store
    with open_store(tmp_path / "data") as store:
        for name in ("ann", "ben"):
            store.people.add(name, by="demo")
        for n, patient in enumerate(("DORA", "ELLA", "FAY", "GUS")):
            clinic.add_scan(store, patient, DAY, clinic.noise(30 + n))
            clinic.accept(store, clinic.add_mask(store, patient, DAY, 900 + 40 * n, flat=1 + 0.1 * n))
        clinic.add_scan(store, "ANNA", DAY, clinic.body(0))
        clinic.add_mask(store, "ANNA", DAY, 1000)
        store.readings.set_blind("ANNA", DAY, True, "demo")
        request = {"patient_id": "ANNA", "timepoint": DAY, "scan": "CT", "prompts": [BOX]}
        job = store.jobs.create("refine", request, "ann")
        labels = LabelMap(clinic.lesion(HIDDEN).astype(np.uint8), clinic.grid())
        made = clinic.add_child(store, labels, "ANNA", DAY, method="medsam", author="ann", prompts=[BOX])
        store.jobs.update(job, status="done", result={"version": 2, "volume_mm3": made.volume_mm3})
        _flag(store, made)
        last = clinic.add_mask(store, "ANNA", DAY, 1100)
        store.readings.set_blind("ANNA", DAY, False, "demo")
        clinic.accept(store, last)
        store.readings.set_blind("ANNA", DAY, True, "demo")
    return tmp_path / "data"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Callable[..., AppTest]]:
    """opened(page, person) -> the page as that person sees it, run once."""
    monkeypatch.setenv("TWIN_DATA", str(root))
    resources.whole_store.clear()

    def run(name: str, person: str) -> AppTest:
        page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=120)
        page.session_state["who"], page.session_state["patient_id"] = person, "ANNA"
        page.run()
        assert not page.exception
        return page

    yield run
    resources.whole_store.clear()


def rows(page: AppTest, column: str) -> list[dict[str, Any]]:
    """The rows of every table with that column."""
    tables = [table.value for table in page.dataframe if column in table.value.columns]
    return [row for table in tables for row in table.to_dict("records")]


def corrected(page: AppTest) -> dict[str, str]:
    """Of ANNA, by comparison: the versions that were compared, or why none were."""
    return {
        row["Comparison"]: row["Versions"] or row["Not measured"]
        for row in rows(page, "Versions")
        if row["Patient"] == "ANNA"
    }


def test_quality_measures_no_correction_by_a_version_that_is_hidden(opened):
    open_book, page = corrected(opened("quality", "ann")), opened("quality", "ben")
    assert open_book["nnU-Net against MedSAM-refined"] == "v3 and v2"
    assert corrected(page) == {
        "nnU-Net against final": "v3 and v3",
        "MedSAM-refined against final": "no MedSAM version",
        "nnU-Net against MedSAM-refined": "no MedSAM version",
    }
    assert {row["Timepoints"] for row in rows(page, "Timepoints")} == {0, 5}, "the cohort's numbers are without it, too"
    assert corrected(opened("quality", "ann")) == open_book, "one person's page is not another's"


def gated(page: AppTest) -> tuple[list[str], list[str]]:
    """ANNA's masks as the mask gate's tab offers them, and the headings that count what is flagged."""
    (box,) = [box for box in page.selectbox if box.label == "Show a mask among them"]
    return [o for o in box.options if o.startswith("ANNA")], [
        h.value for h in page.subheader if "Doubtful masks" in h.value
    ]


def test_quality_shows_no_gate_s_verdict_on_a_version_that_is_hidden(opened):
    offered, flagged = gated(opened("quality", "ben"))
    assert (f"ANNA {DAY} v2" in offered, flagged) == (False, ["Doubtful masks (0)"])
    assert f"ANNA {DAY} v3" in offered
    offered, flagged = gated(opened("quality", "ann"))
    assert (f"ANNA {DAY} v2" in offered, flagged) == (True, ["Doubtful masks (1)"])


def test_the_audit_log_on_system_withholds_what_was_written_of_a_timepoint_that_is_read_blind(opened):
    told = rows(opened("system", "ben"), "payload")
    by_ann = [row for row in told if row["person"] == "ann"]
    assert {row["action"] for row in by_ann} >= {"mask.added", "job.created"}
    assert {row["payload"] for row in by_ann} == {WITHHELD}
    for action in ("job.updated", "mask.scored", "mask.decided"):
        assert WITHHELD in {row["payload"] for row in told if row["action"] == action}, action
    # The number alone: its digits may stand in a hash as well.
    for words in ("coords", '"version": 2', rf"(?<![0-9a-f]){HIDDEN}(?![0-9a-f])"):
        assert not [row for row in told if re.search(words, row["payload"])], words
    assert any("DORA" in row["payload"] for row in told), "what is not read blind is shown"


def test_who_has_finished_and_where_nothing_is_read_blind_the_audit_log_shows_all(opened):
    payloads = [row["payload"] for row in rows(opened("system", "ben"), "payload")]
    assert WITHHELD in payloads
    resources.whole_store().readings.finish("ANNA", DAY, "ben")
    payloads = [row["payload"] for row in rows(opened("system", "ben"), "payload")]
    assert WITHHELD not in payloads
    assert any("coords" in payload for payload in payloads)


def test_a_closed_timepoint_is_found_in_paths_and_lists_and_is_no_other_s(root):
    with open_store(root) as store:
        closed, hidden = Hidden.of(store, store.seen_by("ben").scope), store.masks.version("ANNA", DAY, 2)
        assert closed.is_named_in({"path": f"processed/clinic/ANNA/{DAY}/mask_v002.nii.gz"})
        assert closed.is_named_in({"points": [{"made_of": [hidden.mask_id]}]})
        assert closed.is_named_in({"text": f"The file of ANNA, {DAY}."})
        assert not closed.is_named_in({"patient_id": "ANNA", "timepoint": clinic.DAYS[1]})
        assert not closed.is_named_in({"patient_id": "ANNA-2", "timepoint": DAY})
        assert closed.places == {("ANNA", DAY)}
        store.readings.finish("ANNA", DAY, "ben")
        assert not Hidden.of(store, store.seen_by("ben").scope)


def test_a_timepoint_with_hidden_versions_alone_is_as_one_without(store: Store):
    clinic.add_scan(store, "ANNA", DAY, clinic.body(0))
    labels = LabelMap(clinic.lesion(HIDDEN).astype(np.uint8), clinic.grid())
    clinic.add_child(store, labels, "ANNA", DAY, method="medsam", author="ann")
    clinic.add_scan(store, "DORA", DAY, clinic.noise(1))
    clinic.add_mask(store, "DORA", DAY, 900)
    store.readings.set_blind("ANNA", DAY, True, "demo")
    seen = [record.mask_id for record in seen_of_all(store, "bob")]
    assert {row["patient_id"] for row in correction(store, seen=seen)["timepoints"]} == {"DORA"}
    assert {row["patient_id"] for row in correction(store)["timepoints"]} == {"ANNA", "DORA"}


@pytest.mark.parametrize("verb", ["masks", "correction", "similar", "anomaly"])
def test_the_command_line_shows_what_its_reviewer_may_see(verb, root, capsys):
    given = [verb, "ANNA", *([DAY, "2"] if verb in ("similar", "anomaly") else [])]
    found = {}
    for name in ("ann", "ben"):
        status = cli.main([*given, "--data", str(root), "--reviewer", name, "--json"])
        found[name] = (status, capsys.readouterr().out)
    status, said = found["ann"]
    assert status == 0
    told = {"masks": '"version": 2', "correction": '_version": 2', "similar": '"rank": 1', "anomaly": '"verdict"'}
    shown = told[verb]
    assert shown in said
    status, said = found["ben"]
    assert shown not in said
    if verb in ("similar", "anomaly"):
        assert status == 1
        assert json.loads(said)["error"] == (
            f"There is no mask version 2 of 'ANNA' on '{DAY}' that you may see; there is 1, 3."
        )


@pytest.fixture
def accepted(root: Path) -> Path:
    """ann's hidden version is the accepted one of its day; the next day, which is open, has an accepted one too."""
    with open_store(root) as store:
        store.readings.finish("ANNA", DAY, "ann")
        clinic.accept(store, store.masks.version("ANNA", DAY, 2), "ann")
        clinic.add_scan(store, "ANNA", clinic.DAYS[1], clinic.body(1))
        clinic.accept(store, clinic.add_mask(store, "ANNA", clinic.DAYS[1], 700))
    return root


def everything(page: AppTest) -> str:
    """All that a page says, its tables and figures too."""
    told = [str(element.value) for kind in (page.markdown, page.caption, page.info, page.metric) for element in kind]
    told += [frame.value.to_csv() for frame in page.dataframe]
    told += [str(option) for box in page.selectbox for option in box.options]
    return "\n".join([*told, *(str(element.proto) for element in page.get("plotly_chart"))])


@pytest.mark.parametrize(
    "name", ["worklist", "review", "compare", "lesions", "trajectory", "cohort", "evidence", "quality"]
)
def test_no_page_tells_a_blind_reader_what_another_s_accepted_version_holds(name, accepted, opened):
    with open_store(accepted) as store:
        hidden = store.masks.version("ANNA", DAY, 2)
    resources.whole_store.clear()
    told = everything(opened(name, "ben"))
    for secret in (hidden.mask_id, f"{hidden.volume_mm3:.0f}", f"{hidden.volume_mm3 / 1000:.2f}"):
        assert secret not in told, secret
    if name in ("review", "compare", "lesions", "trajectory", "evidence"):
        assert f"{DAY} is read blind" in told.replace("\\", "").replace("\u2060", "")
    resources.whole_store().readings.finish("ANNA", DAY, "ben")
    if name == "trajectory":
        assert f"{hidden.volume_mm3 / 1000:.1f}" in everything(opened(name, "ben"))
