"""A version, its vectors and its verdict are one write; the newest is what the audit wrote last, not by the clock."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import InputError, StoreError
from core.gates.mask.verdicts import score_mask, vectors_of, verdict_on
from core.jobs.stages.common import add_version
from core.lesions.shape import VECTOR_NAMES
from core.remembered.judgements import DOUBTS, JUDGEMENT, Judgement
from core.review.decisions import withdrawn_mask_ids
from core.review.worklist import work_items
from core.twin.curve import accepted_by
from core.twin.curve_points import volume_points
from store import Store, open_store, rebuild
from store.database import migrations
from store.database.connection import Connection
from tests.store_phantom import (
    ANSWER,
    DAY1,
    DAY2,
    JUDGED,
    add_mask,
    add_scan,
    busy_history,
    folder,
    labels,
    scan_result,
)


def _save(store: Store, first: int, second: int = 2, parent: int | None = None) -> Any:
    return add_version(store, labels(first, second), "P1", DAY1, method="manual", author="demo", parent_version=parent)


def test_a_version_with_its_vectors_and_verdict_is_one_entry(store: Store):
    add_scan(store)
    before = len(store.audit.entries())
    record = _save(store, 4)
    (entry,) = store.audit.entries()[before:]
    assert (entry["action"], entry["person"]) == ("mask.added", "demo")
    rows = store.vectors.all()
    assert [(row.mask_id, row.lesion_id) for row in rows] == [(record.mask_id, "L1"), (record.mask_id, "L2")]
    count = len(VECTOR_NAMES)
    assert tuple(rows[0].names)[:count] == VECTOR_NAMES
    assert [tuple(row.vector)[:count] for row in rows] == [row.vector for row in vectors_of(labels(4, 2))]
    (said,) = store.verdicts.of_masks(mask_id=record.mask_id)
    assert (said.person, said.created_at) == ("demo", record.created_at)
    judgement = Judgement.from_json(said.result[JUDGEMENT])
    assert set(judgement.seen) == {record.scan_sha256, record.mask_sha256}
    assert {**said.result, JUDGEMENT: {}} == {**verdict_on(store, rows, "P1"), JUDGEMENT: {}}
    assert score_mask(store, "P1", DAY1, 1, "demo") == said.result
    assert "verdict" not in json.loads((folder(store) / "mask_v001.json").read_text()), "the sidecar is the record's"
    assert store.verify() == []
    store.close()
    rebuild(store.root)
    with open_store(store.root) as again:
        assert [row.vector for row in again.vectors.all()] == [row.vector for row in rows]
        assert again.verdicts.of_masks()[0].result == said.result


def test_vectors_of_another_mask_are_refused_with_the_version(store: Store):
    add_scan(store)
    whole = vectors_of(labels(4, 2))
    for vectors in (whole[:1], vectors_of(labels(4)) * 2, [replace(whole[0], vector=[float("nan")] * 12), whole[1]]):
        with pytest.raises(InputError):
            add_mask(store, 4, 2, vectors=vectors)
    with pytest.raises(InputError, match=r"finite|JSON"):
        add_mask(store, 4, 2, verdict={**JUDGED, "p_value": float("inf")})
    assert store.masks.of("P1") == []
    assert store.verify() == []


def test_a_version_that_no_gate_has_judged_is_a_doubt_and_is_not_accepted_as_good(store: Store):
    add_scan(store)
    add_mask(store, 4, 2, verdict=None)
    (item,) = work_items(store)
    assert item.urgency == 0
    assert "mask gate: cannot be judged" in item.reason
    with pytest.raises(
        StoreError, match=r"has not judged this mask.*Score the mask.*cli\.py gate score-mask P1 2020-01-01 1"
    ):
        store.decisions.decide("P1", DAY1, 1, "accept", "ann", "good")
    store.decisions.decide("P1", DAY1, 1, "reject", "ann", "not-a-lesion", lesion_id="L2")
    score_mask(store, "P1", DAY1, 1, "ann")
    assert {e["person"] for e in store.audit_log(3)} == {"ann"}
    assert "mask gate: cannot be judged" in work_items(store)[0].reason, "it has no reference"
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", *ANSWER)
    assert store.verify() == []


def _save_until_killed(root: str, ready: Any) -> None:
    with open_store(root) as store:
        opened: Any = store
        for number in range(10_000):
            add_version(
                opened,
                labels(1 + number % 9, number % 3),
                "P1",
                DAY1,
                method="manual",
                author="demo",
                parent_version=None,
            )
            ready.set()


@pytest.mark.parametrize("kills", [5, pytest.param(30, marks=pytest.mark.soak)])
def test_after_kills_while_versions_are_saved_every_version_has_its_verdict(tmp_path: Path, kills: int):
    with open_store(tmp_path) as store:
        add_scan(store)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["core.jobs.stages.common", "store", "tests.store_phantom"])
    when = random.Random(11)
    for _ in range(kills):
        ready = server.Event()
        writer = server.Process(target=_save_until_killed, args=(str(tmp_path), ready), daemon=True)
        writer.start()
        assert ready.wait(60)
        time.sleep(0.25 * when.random())
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    with open_store(tmp_path) as store:
        masks = {record.mask_id: len(record.lesions) for record in store.masks.of("P1")}
        assert len(masks) >= kills, "each of the writers saved at least one"
        assert {row.mask_id for row in store.verdicts.of_masks()} == set(masks)
        vectors = [row.mask_id for row in store.vectors.all()]
        assert {mask_id: vectors.count(mask_id) for mask_id in masks} == masks
        assert store.verify() == []


# ---------------------------------------------------------------- order


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the computer's clock to a day."""
    return lambda day: monkeypatch.setattr("store.ledger.writing.utc_now", lambda: f"{day}T12:00:00.000000Z")


def test_the_newest_is_what_was_written_last_whatever_the_clock_said(store: Store, clock: Any):
    clock("2031-01-01")
    add_scan(store)
    record = add_mask(store, 4)
    store.verdicts.add_scan_verdict("P1", DAY1, {**scan_result(store, verdict=DOUBTS), "score": 0.9}, "demo")
    store.verdicts.add_mask_verdict(record.mask_id, {**JUDGED, "flagged": True, "p_value": 0.01}, "demo")
    store.reference_sets.add("growth", {"n": 1}, "demo")
    store.forecasts.add("P1", "L1", "kept", {"n": 1}, "demo")
    store.events.add("P1", DAY1, "steroids", "4 mg", "demo")
    clock("2030-01-01")
    store.verdicts.add_scan_verdict("P1", DAY1, {**scan_result(store), "score": 0.1}, "demo")
    store.verdicts.add_mask_verdict(record.mask_id, {**JUDGED, "flagged": False, "p_value": 0.9}, "demo")
    store.reference_sets.add("growth", {"n": 2}, "demo")
    store.forecasts.add("P1", "L1", "kept", {"n": 2}, "demo")
    store.events.add("P1", DAY1, "steroids", "8 mg", "demo")
    assert store.verdicts.of_scans("P1", DAY1)[-1].score == 0.1
    assert store.verdicts.of_masks("P1")[-1].p_value == 0.9
    assert store.reference_sets.all("growth")[-1].detail == {"n": 2}
    assert store.forecasts.of("P1")[-1].result["n"] == 2
    assert store.events.of("P1")[-1].detail == "8 mg"
    assert [(item.urgency, item.reason) for item in work_items(store)] == [(1, "version 1 (nnunet) is proposed")]
    assert store.verify() == []


def test_a_scan_imported_while_the_clock_is_behind_does_not_become_the_reference(store: Store, clock: Any):
    clock("2031-01-01")
    first = add_scan(store, modality="MR", sequence="T1")
    add_mask(store, 4)
    clock("2030-01-01")
    add_scan(store, modality="MR", sequence="T2", seed=5)
    assert store.scans.reference("P1", DAY1) == first
    assert store.verify() == []


def test_the_decision_made_last_counts_whatever_the_clock_said_and_that_clocks_disagree_is_told(
    store: Store, clock: Any, caplog: pytest.LogCaptureFixture
):
    """A clock that was years ahead once must not block its timepoint for years; one set back turns nothing about."""
    for seed, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=seed)
        for first in (3, 4):
            add_mask(store, first, day=day)
    clock("2031-01-01")
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    clock("2030-01-01")
    store.decisions.decide("P1", DAY2, 1, "accept", "demo", "good")
    assert store.remarks() == [], "another timepoint: nothing is turned about"
    caplog.clear()
    store.decisions.decide("P1", DAY1, 2, "accept", "ann", "good")
    assert "2030-01-01" in caplog.text
    assert "2031-01-01" in caplog.text

    def check(opened: Any, years: list[str], final: int | None, back: set[int]) -> None:
        assert [d.created_at[:4] for d in opened.decisions.of("P1", DAY1)] == years, "in the order of the audit"
        assert (opened.masks.accepted("P1", DAY1) or SimpleNamespace(version=None)).version == final
        assert {p.version for p in volume_points(opened, "P1") if p.timepoint == DAY1} == ({final} - {None})
        by_id = {m.mask_id: m.version for m in opened.masks.of("P1", DAY1)}
        assert {by_id[mask_id] for mask_id in withdrawn_mask_ids(opened.decisions.of("P1", DAY1))} == back
        assert opened.verify() == []
        (said,) = opened.remarks()
        assert f"The times of {len(years) - 1} of the decisions about P1 on {DAY1}" in said

    check(store, ["2031", "2030"], 2, set())
    assert accepted_by(store.decisions.of("P1", DAY1))[store.masks.version("P1", DAY1, 2).mask_id] == "ann"
    clock("2029-01-01")
    store.decisions.decide("P1", DAY1, 2, "withdraw", "demo", "second-look")
    check(store, ["2031", "2030", "2029"], None, {2})
    assert any(item.timepoint == DAY1 and "withdrawn" in item.reason for item in work_items(store))
    store.close()
    for lost in ((), ("audit.jsonl",)):
        for name in ("twin.duckdb", *lost):
            (store.root / name).unlink()
        rebuild(store.root)
        with open_store(store.root) as again:
            check(again, ["2031", "2030", "2029"], None, {2})


def test_rows_of_an_older_store_get_the_number_of_their_entry(tmp_path: Path):
    with open_store(tmp_path / "data") as store:
        busy_history(store)
        tables = ("decisions", "ood_scores", "mask_anomalies", "events", "growth_fits", "reference_sets", "scans")
        entries = store.db.query("SELECT * FROM audit ORDER BY seq")
        new = {table: store.db.query(f"SELECT * FROM {table} ORDER BY seq") for table in tables}
    older = next(n for n, step in enumerate(migrations.MIGRATIONS) if step.sql is migrations.AUDIT_ORDER)
    with Connection(None) as db:
        migrations.migrate(db, migrations.MIGRATIONS[:older])
        for row in entries:
            db.execute(f"INSERT INTO audit ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
        for table, rows in new.items():
            known = [c["name"] for c in db.query(f"SELECT name FROM pragma_table_info('{table}')")]
            for row in rows:
                values = [row[name] for name in known]
                db.execute(f"INSERT INTO {table} ({', '.join(known)}) VALUES ({', '.join('?' * len(known))})", values)
        migrations.migrate(db)
        later = {row["seq"] for row in entries if row["action"] == "gate_reference.set"}  # no older store has such
        for table, rows in new.items():
            rows = [r for r in rows if r["seq"] not in later]
            of_entry = [r["seq"] for r in rows if not (table == "mask_anomalies" and _came_with_its_mask(entries, r))]
            found = [r["seq"] for r in db.query(f"SELECT seq FROM {table} WHERE seq IS NOT NULL ORDER BY seq")]
            assert found == of_entry, table
            assert of_entry


def _came_with_its_mask(entries: list[Any], row: Any) -> bool:
    """A verdict of the new kind, which no older store has."""
    return any(e["seq"] == row["seq"] and e["action"] == "mask.added" for e in entries)
