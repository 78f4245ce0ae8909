"""The verbs that put right what came in wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cli
from store import open_store
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan, grid


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """P1 with a CT and PET and an accepted mask on DAY1; P2 with a CT on DAY2."""
    with open_store(tmp_path) as store:
        add_scan(store)
        add_scan(store, seed=2, modality="PET", where=grid((6, 5, 4)))
        add_mask(store, 4)
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
        add_scan(store, "P2", DAY2, seed=3)
    return tmp_path


def run(data: Path, capsys: Any, *words: str, status: int = 0) -> Any:
    """The verb's JSON answer; of one that is refused, its sentence."""
    assert cli.main([*words, "--data", str(data), "--json"]) == status
    answer = json.loads(capsys.readouterr().out)
    return answer["error"] if status else answer


def test_verbs_put_right_what_came_in_wrong_and_say_what_they_did(data: Path, capsys: Any) -> None:
    why = ("--reason", "a slip")
    moved = run(data, capsys, "timepoint", "move", "P1", DAY1, "--to-date", DAY3, *why)
    assert (moved["timepoints"], moved["to_timepoints"], moved["masks"]) == ([DAY1], [DAY3], 1)
    assert run(data, capsys, "scan", "move", "P1", DAY3, "PET", "--to-date", DAY1, *why)["scan_id"] == "PET"
    gone = run(data, capsys, "scan", "withdraw", "P1", DAY1, "PET", *why)
    assert [one["withdrawal_id"] for one in run(data, capsys, "timepoint", "withdrawn")] == [gone["withdrawal_id"]]
    assert run(data, capsys, "timepoint", "restore", gone["withdrawal_id"], *why)["action"] == "scan.restored"
    run(data, capsys, "timepoint", "withdraw", "P1", DAY1, *why)
    assert run(data, capsys, "patient", "merge", "P2", "P1", *why)["to_patient_id"] == "P1"
    told = [one["action"] for one in run(data, capsys, "patient", "history", "P1")]
    assert told == [
        "timepoint.moved",
        "scan.moved",
        "scan.withdrawn",
        "scan.restored",
        "timepoint.withdrawn",
        "patients.merged",
    ]
    assert run(data, capsys, "data", "verify")["clean"]
    assert run(data, capsys, "patient", "delete", "P1", "--confirm", "P1", *why)["action"] == "patient.deleted"
    assert run(data, capsys, "data", "verify")["clean"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("scan", "withdraw", "P1", DAY1, "CT"), "Move or withdraw the whole timepoint"),
        (("timepoint", "move", "P1", DAY1), "another date or another patient"),
        (("patient", "delete", "P1", "--confirm", "P2"), "once more to confirm"),
        (("patient", "merge", "P1", "P9"), "no patient 'P9'"),
    ],
)
def test_a_verb_that_is_refused_says_why_and_does_nothing(
    data: Path, capsys: Any, words: tuple[str, ...], said: str
) -> None:
    assert said in run(data, capsys, *words, "--reason", "a slip", status=1)
    assert run(data, capsys, "patient", "history", "P1") == []


def test_no_verb_puts_right_without_a_reason(data: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        cli.main(["timepoint", "withdraw", "P1", DAY1, "--data", str(data)])
    assert "--reason" in capsys.readouterr().err
