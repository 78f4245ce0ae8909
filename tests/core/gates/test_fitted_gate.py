"""The mask gate is fitted after what is accepted has changed, stored, and only read when a mask is judged."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.gates.mask import conformal, fitted, fitting
from core.gates.mask.verdicts import NOT_ENOUGH, NOT_FITTED, score_mask
from core.jobs.jobs import run_inline
from core.jobs.stages.mask_gate import KIND, fit_if_outdated
from store import Store, open_store
from tests.store_phantom import ANSWER, DAY1, DAY2, add_mask, add_scan

N = 24


def _lesion(store: Store, patient: str, day: str, value: float) -> Any:
    if day not in store.patients.timepoints(patient):
        add_scan(store, patient, day, seed=int.from_bytes(hashlib.sha256(f"{patient}{day}".encode()).digest()[:4]))
    record = add_mask(store, 4, 0, patient, day)
    store.vectors.add(record.mask_id, "L1", patient, [value], ["size"], "demo")
    return record


def _accepted(store: Store, patient: str, day: str, value: float) -> None:
    record = _lesion(store, patient, day, value)
    store.decisions.decide(patient, day, record.version, "accept", "demo", *ANSWER)


@pytest.fixture(scope="module")
def of_24(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 patients with one accepted lesion each, of the values 0, 1 … 23; to be copied."""
    root = tmp_path_factory.mktemp("of-24") / "data"
    with open_store(root) as store:
        for number in range(N):
            _accepted(store, f"R{number:02d}", DAY1, float(number))
    return root


@pytest.fixture
def small(of_24: Path, tmp_path: Path) -> Iterator[Store]:
    """Those patients; they are few."""
    root = shutil.copytree(of_24, tmp_path / "few", symlinks=True)
    with open_store(root) as store:
        yield store


@pytest.fixture
def large(small: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The same patients, which count as many here."""
    monkeypatch.setattr(fitting, "SMALL", 10)
    return small


def _judged(store: Store, patient: str, value: float) -> dict[str, Any]:
    record = _lesion(store, patient, DAY2, value)
    return score_mask(store, patient, DAY2, record.version, "demo")


def test_until_the_gate_of_a_large_reference_is_fitted_no_mask_is_judged(large: Store) -> None:
    result = _judged(large, "new", 11.2)
    assert (result["verdict"], result["flagged"], result["gate"]) == (NOT_FITTED, None, None)
    large.decisions.decide("new", DAY2, 1, "accept", "demo", *ANSWER)  # a person decides, as for any mask not judged


def test_a_small_reference_without_a_gate_is_unknown_too_and_too_few_lesions_are_too_few(store: Store) -> None:
    for number in range(18):
        _accepted(store, f"R{number:02d}", DAY1, float(number))
    assert _judged(store, "new", 11.2)["verdict"] == NOT_ENOUGH, "whatever the gate says of 18, there are 19 to come"
    _accepted(store, "R18", DAY1, 18.0)
    assert _judged(store, "new", 11.2)["verdict"] == NOT_FITTED
    assert fitting.fit_small(store)
    assert _judged(store, "new", 11.2)["verdict"] == "usual"
    assert store.verify() == []


def test_a_small_and_a_large_reference_say_the_same(small: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fitting.fit_small(small)
    assert not small.jobs.newest(10), "some milliseconds need no row in the list of jobs"
    by_small = [_judged(small, "new", 11.2), _judged(small, "odd", 500.0)]
    assert [row["verdict"] for row in by_small] == ["usual", "unusual"]
    monkeypatch.setattr(fitting, "SMALL", 10)
    small.decisions.decide("R00", DAY1, 1, "withdraw", "demo", "second-look")
    small.decisions.decide("R00", DAY1, 1, "accept", "demo", *ANSWER)
    assert not fitting.fit_small(small), "a large one is for the job"
    assert fit_if_outdated(small)
    assert [job.kind for job in small.jobs.newest(10)] == [fitting.JOB]
    assert [_judged(small, "new", 11.2), _judged(small, "odd", 500.0)] == by_small


def test_a_small_reference_is_fitted_as_soon_as_it_changes_and_only_then(small: Store) -> None:
    assert fitting.is_due(small, dt.datetime.now(dt.UTC))
    assert fitting.fit_small(small)
    assert not fitting.fit_small(small)
    _accepted(small, "R99", DAY1, 30.0)
    assert fitting.is_due(small, dt.datetime.now(dt.UTC)), "nobody waits until people pause"
    assert fitting.fit_small(small)
    assert _judged(small, "new", 11.2)["n_reference"] == N + 1


def test_a_save_fits_nothing(large: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fit_if_outdated(large)
    monkeypatch.setattr(conformal.MaskGate, "fit", lambda *_, **__: pytest.fail("the gate was fitted at a save"))
    assert _judged(large, "new", 11.2)["verdict"] == "usual"


def test_a_patients_own_lesions_are_no_neighbours_of_a_stored_gate_and_carry_no_score(large: Store) -> None:
    for number in range(4):
        _accepted(large, "own", f"2022-0{number + 1}-01", 11.2)
    fit_if_outdated(large)
    result = _judged(large, "own", 11.2)
    (lesion,) = result["lesions"]
    assert {owner for _, _, owner, _ in lesion["nearest"]} == {"R09", "R10", "R11", "R12", "R13"}
    assert (result["n_reference"], result["patients"]) == (N, N)
    gate = fitted.stored_gate(large)
    assert gate is not None
    fitted_to = gate.sets["real"].parts[("size",)].gate
    assert isinstance(fitted_to, conformal.MaskGate)
    scores = fitted_to.calibration_without("own")
    alone = conformal.MaskGate.fit(np.arange(24.0)[:, None], [f"R{n:02d}" for n in range(N)], k=5)
    scale = alone.spread[0] / gate.sets["real"].parts[("size",)].gate.spread[0]
    assert sorted(scores) == pytest.approx(sorted(alone.calibration * scale))


def test_a_verdict_names_the_gate_that_made_it_and_a_new_gate_has_another_name(large: Store) -> None:
    fit_if_outdated(large)
    assert not fitting.is_outdated(large)
    first = _judged(large, "new", 11.2)["gate"]
    _accepted(large, "R99", DAY1, 30.0)
    assert fitting.is_outdated(large)
    assert _judged(large, "new", 11.2)["gate"] == first, "the older one judges until the next is there"
    assert fit_if_outdated(large)
    second = _judged(large, "new", 11.2)
    assert second["gate"] != first
    assert second["n_reference"] == N + 1
    assert len(list((large.root / "cache" / "gates").iterdir())) == 1


@pytest.mark.parametrize("harm", ["altered", "gone"])
def test_a_gate_file_that_is_not_the_one_that_was_fitted_is_not_used_and_is_made_again(large: Store, harm: str) -> None:
    fit_if_outdated(large)
    fitted._loaded.clear()
    (path,) = (large.root / "cache" / "gates").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"x") if harm == "altered" else path.unlink()
    assert _judged(large, "new", 11.2)["verdict"] == NOT_FITTED
    assert fit_if_outdated(large)
    assert _judged(large, "new", 11.2)["verdict"] == "usual"


def test_what_was_decided_while_a_gate_was_fitted_asks_for_another_fit(large: Store, tmp_path: Path) -> None:
    params = fitting.prepare_fit(large, {}, "demo")
    _accepted(large, "R99", DAY1, 30.0)
    result = fitting.compute_fit(params, tmp_path, lambda *_: None)
    fitting.record_fit(large, params, result, tmp_path, "demo")
    assert fitting.is_outdated(large)


def test_a_fit_waits_until_people_pause_but_not_for_ever(large: Store) -> None:
    now = dt.datetime.now(dt.UTC)
    assert fitting.is_due(large, now), "without any gate no mask can be judged, so it does not wait"
    fit_if_outdated(large)
    assert not fitting.is_due(large, now)
    _accepted(large, "R99", DAY1, 30.0)
    assert not fitting.is_due(large, dt.datetime.now(dt.UTC))
    assert fitting.is_due(large, dt.datetime.now(dt.UTC) + dt.timedelta(seconds=fitting.QUIET_S))
    large.jobs.create(fitting.JOB, {}, "system")
    assert not fitting.is_due(large, dt.datetime.now(dt.UTC) + dt.timedelta(seconds=fitting.QUIET_S)), (
        "one is under way"
    )


def test_proposals_ask_for_no_fit(large: Store) -> None:
    fit_if_outdated(large)
    add_scan(large, "new", DAY1, seed=77)
    add_mask(large, 3, patient="new")
    assert not fitting.is_outdated(large)


def test_the_thread_submits_a_fit_once_it_is_due_and_ends_with_the_store(
    large: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "LOOK_S", 0.01)
    submitted: list[Any] = []
    ended = iter([False, False, True])
    fitting.keep_fitted(large, lambda *job: submitted.append(job), lambda: bool(submitted) or next(ended))
    assert submitted == [(fitting.JOB, {}, "system")]


def test_the_thread_fits_a_small_reference_itself(small: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "LOOK_S", 0.01)
    ended = lambda: fitted.stored_gate(small) is not None  # noqa: E731
    fitting.keep_fitted(small, lambda *job: pytest.fail(f"submitted {job}"), ended)
    assert not fitting.is_outdated(small)


def test_vectors_of_other_features_are_compared_among_themselves(large: Store) -> None:
    record = add_mask(large, 4, 0, "R00", DAY1)
    large.vectors.add(record.mask_id, "L1", "R00", [1.0, 2.0], ["size", "roundness"], "demo")
    large.decisions.decide("R00", DAY1, record.version, "accept", "demo", *ANSWER)
    run_inline(large, KIND, {}, "demo")
    gate = fitted.stored_gate(large)
    assert gate is not None
    assert {names: len(part.lesions) for names, part in gate.sets["real"].parts.items()} == {
        ("size",): N - 1,
        ("size", "roundness"): 1,
    }
    other = add_mask(large, 4, 0, "R01", DAY1)
    large.vectors.add(other.mask_id, "L1", "R01", [1.0, 2.0], ["size", "roundness"], "demo")
    assert score_mask(large, "R01", DAY1, other.version, "demo")["verdict"] == NOT_ENOUGH
    assert large.verify() == []
