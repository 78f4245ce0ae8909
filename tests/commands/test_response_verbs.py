"""The verbs of response: what a visit is called, whose protocol, and a call that becomes another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cli
from core.types import LesionMeasure
from store import open_store
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan, with_people

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """P1: one lesion 32, 48 and 16 mm long; all accepted."""
    with open_store(tmp_path) as store:
        with_people(store, "ann")
        for seed, (day, voxels) in enumerate(((DAY1, 4), (DAY2, 6), (DAY3, 2))):
            add_scan(store, day=day, seed=seed)
            lesion = LesionMeasure(1, "L1", voxels * 1280.0, voxels, voxels * 8.0, (0.0, 0.0, 0.0))
            add_mask(store, voxels, day=day, lesions=[lesion])
            store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")

    def run(*words: str, fails: bool = False) -> Any:
        assert cli.main([*words, "--data", str(tmp_path), "--reviewer", "ann", "--json"]) == int(fails)
        told = json.loads(capsys.readouterr().out)
        return told["error"] if fails else told

    return run


def calls(shown: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["timepoint"], one["call"]) for one in shown["responses"]]


def test_it_shows_calls_with_reasons_and_what_they_rest_on(run: Run) -> None:
    shown = run("response", "show", "P1")
    assert [day for day, _ in calls(shown)] == [DAY1, DAY2, DAY3]
    assert calls(shown)[:2] == [(DAY1, "baseline"), (DAY2, "PD")]
    assert shown["protocol"]["set_by"] is None
    assert shown["protocol"]["baseline_why"].startswith("the first accepted visit")
    assert "limit +20 %" in shown["responses"][1]["sentence"]
    assert set(shown["other_criteria"]) >= {"irecist", "rano-bm", "volume-recist-sphere"}


def test_a_call_that_becomes_another_needs_a_word_and_is_in_the_audit_with_it(run: Run, tmp_path: Path) -> None:
    change = ("response", "protocol", "P1", "--baseline", DAY2, "--reason", "treatment began then")
    told = run(*change, fails=True)
    assert f"{DAY2} from PD to baseline" in told
    assert "--confirm" in told
    assert run("response", "show", "P1")["protocol"]["set_by"] is None, "nothing was done"
    done = run(*change, "--confirm")
    assert {"timepoint": DAY2, "before": "PD", "after": "baseline"} in done["flips"]
    shown = run("response", "show", "P1")
    assert calls(shown)[:2] == [(DAY1, "before baseline"), (DAY2, "baseline")]
    assert (shown["protocol"]["set_by"], shown["protocol"]["baseline_why"]) == ("ann", "set by ann")
    with open_store(tmp_path) as store:
        entry = store.audit.entries()[-1]
        assert (entry["action"], entry["person"]) == ("protocol.set", "ann")
        assert {"timepoint": DAY2, "before": "PD", "after": "baseline"} in entry["payload"]["flips"]
        assert store.verify() == []


def test_a_treatment_that_moves_the_proposed_baseline_says_which_calls_it_flipped(run: Run) -> None:
    told = run("event", "add", "P1", DAY2, "drug-start", "drug=doxorubicin")
    assert {"timepoint": DAY2, "before": "PD", "after": "baseline"} in told["flips"]
    back = run("event", "withdraw", "P1", told["event_id"], "--reason", "a slip")
    assert {"timepoint": DAY2, "before": "baseline", "after": "PD"} in back["flips"]
    assert run("event", "add", "P1", DAY2, "relapse")["flips"] == []


def test_what_is_not_given_stays_and_can_be_proposed_again(run: Run) -> None:
    say = ("response", "protocol", "P1", "--confirm", "--reason", "board")
    run(*say, "--baseline", DAY1, "--target", "L1:liver")
    kept = run(*say, "--criterion", "irecist")["protocol"]
    assert (kept["criterion"], kept["baseline"], kept["targets"]) == (
        "irecist",
        DAY1,
        [{"lesion_id": "L1", "organ": "liver", "is_node": False}],
    )
    again = run(*say, "--baseline", "proposed", "--propose-targets")["protocol"]
    assert again["targets_why"].startswith("proposed by size")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--criterion", "who"), "Expected a criterion of recist-1.1"),
        (("--baseline", "2019-01-01"), "has no accepted mask"),
        (("--target", "tumour"), "Expected a lesion as L1"),
        (("--target", "L1", "--propose-targets"), "got both"),
        (("--least-new-mm", "-1"), "from 0 to 100 mm"),
    ],
)
def test_what_is_no_protocol_is_refused_and_nothing_is_done(run: Run, words: tuple[str, ...], told: str) -> None:
    assert told in run("response", "protocol", "P1", "--reason", "x", *words, fails=True)
    assert run("response", "show", "P1")["protocol"]["set_by"] is None


def test_a_data_sets_protocol_is_that_of_its_patients(run: Run) -> None:
    change = (
        "response",
        "protocol-of-dataset",
        "set",
        "--criterion",
        "volume-recist-sphere",
        "--reason",
        "the trial's",
    )
    assert f"P1: {DAY2} from PD to SD" in run(*change, fails=True)
    assert run("response", "show", "P1")["protocol"]["set_by"] is None, "nothing was done"
    done = run(*change, "--confirm")
    assert {"timepoint": DAY2, "before": "PD", "after": "SD"} in done["flips"]["P1"]
    protocol = run("response", "show", "P1")["protocol"]
    assert (protocol["criterion"], protocol["set_for"]) == ("volume-recist-sphere", "data set set")
    assert run("patient", "timeline", "P1")["protocol"] == "volume-recist-sphere"
