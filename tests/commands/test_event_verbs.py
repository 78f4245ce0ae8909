"""Events from the command line: what a person enters is what a list tells, and a table comes whole or not at all."""

from __future__ import annotations

import json

import pytest

import cli
from store import open_store
from tests.store_phantom import DAY1, DAY2, add_scan, with_people


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TWIN_PERSON", "ann")
    with open_store(tmp_path / "data") as store:
        with_people(store, "ann")
        for number, patient in enumerate(("P1", "P2")):
            add_scan(store, patient, seed=number)

    def run_verb(*words, status=0):
        assert cli.main(["event", *words, "--data", str(tmp_path / "data"), "--json"]) == status
        told = json.loads(capsys.readouterr().out)
        if isinstance(told, dict):
            assert not told.pop("flips", []), "no visit has a call"
        return told

    return run_verb


def test_an_event_is_entered_corrected_and_withdrawn_and_the_list_tells_what_stands(run):
    words = ("technique=vmat", "site=left hip", "dose-gy=50", "fractions=25")
    added = run("add", "P1", DAY1, "radiotherapy", *words)
    assert added["detail"] == {"technique": "vmat", "site": "left hip", "dose_gy": 50, "fractions": 25}
    assert (added["read_as"], added["entered_by"], added["stands"]) == ("radiotherapy", "ann", True)
    assert run("list", "P1") == [added]
    new = run("correct", "P1", added["event_id"], "dose_gy=60", "fractions=", "--date", DAY2, "--reason", "a slip")
    assert (new["date"], new["detail"]) == (DAY2, {"technique": "vmat", "site": "left hip", "dose_gy": 60})
    assert run("list", "P1") == [new]
    gone = run("withdraw", "P1", new["event_id"], "--reason", "of another patient")
    assert (gone["stands"], gone["withdrawn_by"], gone["reason"]) == (False, "ann", "of another patient")
    assert run("list", "P1") == []
    assert [one["replaced_by"] for one in run("list", "P1", "--withdrawn")] == [new["event_id"], None]
    (steroid,) = [run("add", "P1", DAY1, "steroid-dose", "drug=prednisone", "mg_per_day=40")]
    assert steroid["dexamethasone_mg_per_day"] == pytest.approx(6)


def test_what_is_no_event_is_refused_in_one_line(run):
    event = run("add", "P2", DAY1, "death")
    for words, said in (
        (("add", "P1", DAY1, "magic"), "Expected a kind of event of surgery"),
        (("add", "P1", DAY1, "surgery", "biopsy"), "Expected KEY=VALUE"),
        (("add", "P1", DAY1, "surgery", "site="), "Expected KEY=VALUE"),
        (("add", "P1", "2999-01-01", "death"), "that has been"),
        (("add", "P9", DAY1, "death"), "no patient 'P9'"),
        (("add", "P2", DAY2, "death"), "one death of P2"),
        (("list", "P9"), "P9"),
        (("withdraw", "P1", event["event_id"], "--reason", "x"), "an event of P1, got one of another"),
        (("correct", "P2", event["event_id"], "--reason", "x"), "the same death"),
    ):
        assert said in run(*words, status=1)["error"], words
    assert run("list", "P2") == [event]


def test_a_table_comes_whole_or_not_at_all_and_not_twice(run, tmp_path):
    table = tmp_path / "events.csv"
    table.write_text(f"patient,date,kind,drug,dose\nP1,{DAY1},drug-start,imatinib,400\nP2,{DAY1},relapse,,\n")
    assert "line 2: Expected a dose together with its unit" in run("import", str(table), status=1)["error"]
    assert run("list", "P2") == []
    table.write_text(table.read_text().replace(",400", ","))
    made = run("import", str(table))
    assert (made["imported"], made["patients"]) == (2, ["P1", "P2"])
    assert [one["event_id"] for patient in ("P1", "P2") for one in run("list", patient)] == made["event_ids"]
    assert "is on record already" in run("import", str(table), status=1)["error"]


def test_an_event_of_before_is_listed_with_what_no_rule_reads(run, tmp_path):
    with open_store(tmp_path / "data") as store:
        store.events.add("P1", DAY1, "treatment-start", "RT 60 Gy hip, Dr X", "ann")
    (old,) = run("list", "P1")
    assert (old["kind"], old["read_as"], old["not_recognised"]) == ("treatment-start", "radiotherapy", "Dr X")
    words = ("correct", "P1", old["event_id"], "--reason", "typed now")
    assert "only older events have" in run(*words, "technique=vmat", status=1)["error"]
    new = run(*words, "--kind", "radiotherapy", "technique=vmat")
    assert (new["kind"], new["detail"], new["corrects"]) == ("radiotherapy", {"technique": "vmat"}, old["event_id"])
