"""Many threads at once, and histories that nobody thought of."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.errors import StoreError
from core.twin.curve_points import volume_points
from store import Store, open_store, rebuild
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan, with_people


def together(*tasks: Callable[[], Any]) -> list[Any]:
    """Run all at once, each in a thread of its own, and give their answers."""
    gate = threading.Barrier(len(tasks))

    def start(task: Callable[[], Any]) -> Any:
        gate.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(start, task) for task in tasks]]


def test_two_threads_that_add_a_mask_at_once_get_versions_2_and_3(store: Store) -> None:
    add_scan(store)
    add_mask(store, 3)
    records = together(*[lambda n=n: add_mask(store, n, parent_version=1) for n in (4, 5)])
    assert sorted((r.version, r.parent_version) for r in records) == [(2, 1), (3, 1)]
    assert store.verify() == []


def test_two_threads_that_import_the_same_image_at_once_import_it_once(store: Store) -> None:
    def attempt(patient: str) -> bool:
        try:
            add_scan(store, patient, seed=4)
        except StoreError:
            return False
        return True

    assert sorted(together(lambda: attempt("P1"), lambda: attempt("P2"))) == [False, True]
    assert store.verify() == []


def test_two_threads_that_decide_at_once_leave_one_accepted_version(store: Store) -> None:
    add_scan(store)
    add_mask(store, 3), add_mask(store, 4)
    together(*[lambda v=v: store.decisions.decide("P1", DAY1, v, "accept", "ann", "good") for v in (1, 2)])
    assert sorted(r.status for r in store.masks.of("P1")) == ["accepted", "superseded"]
    assert len(store.decisions.of("P1")) == 2
    assert store.verify() == []


def test_eight_threads_of_mixed_writes_lose_nothing(store: Store) -> None:
    for number in range(4):
        add_scan(store, f"P{number}", seed=number)
    jobs = [store.jobs.create("segment", {}, "demo") for _ in range(2)]

    def masks(patient: str) -> Callable[[], Any]:
        return lambda: [add_mask(store, n, patient=patient) for n in (2, 3, 4)]

    def progress(job: str) -> Callable[[], Any]:
        def report() -> None:
            for n in range(21):
                store.jobs.update(job, progress=n / 20, message=str(n))

        return report

    def reads() -> None:
        for _ in range(20):
            for record in store.masks.of("P0"):
                assert record.volume_mm3 > 0
            assert store.patients.all()

    together(
        masks("P0"),
        masks("P0"),
        masks("P1"),
        progress(jobs[0]),
        progress(jobs[1]),
        reads,
        lambda: [add_scan(store, "P2", DAY2, seed=20 + n) for n in range(4)],
        lambda: [store.events.add("P3", DAY1, "steroids", n, "ann") for n in range(6)],
    )
    assert [r.version for r in store.masks.of("P0")] == [1, 2, 3, 4, 5, 6]
    assert [r.version for r in store.masks.of("P1")] == [1, 2, 3]
    assert [s.scan_id for s in store.scans.of("P2", DAY2)] == ["CT", "CT-2", "CT-3", "CT-4"]
    assert sorted(e.detail for e in store.events.of("P3")) == list(range(6))
    assert [store.jobs.get(job).progress for job in jobs] == [1.0, 1.0]
    assert store.verify() == []


def test_two_stores_of_one_process_on_one_folder_do_not_get_in_each_other_s_way(store: Store) -> None:
    add_scan(store)
    with open_store(store.root) as other:
        together(*[lambda s=s: [add_mask(s, n) for n in (1, 2, 3)] for s in (store, other)])
        assert [r.version for r in other.masks.of("P1")] == [1, 2, 3, 4, 5, 6]
    assert store.verify() == []
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.masks.of("P1")


class Reviewing(RuleBasedStateMachine):
    """Any order of adding, deciding, reopening and rebuilding, against a model of what must be so."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.store = with_people(open_store(self.root), "ann")
        add_scan(self.store)
        self.status: dict[int, str] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.root)

    @rule(first=st.integers(0, 12), second=st.integers(0, 12))
    def add(self, first: int, second: int) -> None:
        record = add_mask(self.store, first, second)
        assert record.version == len(self.status) + 1
        self.status[record.version] = "proposed"

    @rule(pick=st.integers(1, 8), verdict=st.sampled_from(["accept", "reject"]))
    def decide(self, pick: int, verdict: str) -> None:
        status = self.status.get(pick)
        try:
            self.store.decisions.decide("P1", DAY1, pick, verdict, "ann", "code")
        except StoreError:
            assert status in (None, "rejected") or (status == "accepted" and verdict == "accept")
            return
        assert status is not None
        if verdict == "accept":
            others = {v: "superseded" for v, s in self.status.items() if s in ("proposed", "accepted")}
            self.status |= others
        self.status[pick] = f"{verdict}ed"

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = open_store(self.root)

    @rule()
    def lose_the_database(self) -> None:
        self.store.close()
        (self.root / "twin.duckdb").unlink()
        rebuild(self.root)
        self.store = open_store(self.root)

    @invariant()
    def everything_agrees(self) -> None:
        if not hasattr(self, "store"):
            return
        assert {r.version: r.status for r in self.store.masks.of("P1")} == self.status
        accepted = [v for v, s in self.status.items() if s == "accepted"]
        assert len(accepted) <= 1
        final = self.store.masks.accepted("P1", DAY1)
        assert (final.version if final else None) == (accepted[0] if accepted else None)
        assert bool(volume_points(self.store, "P1")) == bool(accepted)
        assert self.store.verify() == []


TestReviewing = Reviewing.TestCase
TestReviewing.settings = settings(max_examples=4, stateful_step_count=8, deadline=None)
