"""Verify finds every kind of damage and names it; the audit shows every change; scores and jobs are remembered."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, StoreError
from core.imaging.volumes import write_nifti
from store import Store, open_store
from store.ledger.audit import GENESIS, check_chain, entry_hash, read_file
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan, busy_history, grid, labels, scan_result

MASKS = Path("processed/set/P1") / DAY1
LEDGER = "processed/set/P1/ledger.jsonl"


@pytest.fixture(scope="module")
def busy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a whole history, made once; tests work on copies."""
    root = tmp_path_factory.mktemp("busy") / "data"
    with open_store(root) as store:
        busy_history(store)
        assert store.verify() == []
    return root


@pytest.fixture
def busy(busy_folder: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(busy_folder, tmp_path / "copy", symlinks=True)
    with open_store(tmp_path / "copy") as store:
        yield store


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values, indent=2))


def relink(store: Store, target: str | None) -> None:
    (store.root / MASKS / "mask_final.nii.gz").unlink()
    if target:
        os.symlink(target, store.root / MASKS / "mask_final.nii.gz")


def swap_order(path: Path) -> None:
    values = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(values.items()))))


def overwrite_mask(path: Path) -> None:
    write_nifti(path, labels(1).array, grid(), overwrite=True)


def cut_audit_line(store: Store, number: int) -> None:
    lines = store.audit.path.read_bytes().splitlines(keepends=True)
    del lines[number]
    store.audit.path.write_bytes(b"".join(lines))


def edit_audit_line(store: Store) -> None:
    text = store.audit.path.read_text()
    store.audit.path.write_text(text.replace('"reason": "leak"', '"reason": "fine"'))


def forge_audit(store: Store) -> None:
    """Change a decision in table and file alike and mend its own hash, but not those that follow."""
    entry = next(e for e in store.audit.entries() if e["action"] == "mask.decided")
    forged = {**entry, "payload": {**entry["payload"], "forged": True}}
    forged["hash"] = entry_hash(forged)
    store.db.execute(
        "UPDATE audit SET payload = ?, hash = ? WHERE seq = ?",
        [json.dumps(forged["payload"]), forged["hash"], entry["seq"]],
    )
    lines = store.audit.path.read_text().splitlines()
    lines[entry["seq"] - 1] = json.dumps(forged)
    store.audit.path.write_text("\n".join(lines) + "\n")


DAMAGE: dict[str, tuple[Callable[[Store], Any], str]] = {
    "mask changed": (lambda s: overwrite_mask(s.root / MASKS / "mask_v001.nii.gz"), "mask_v001.nii.gz is not the file"),
    "mask gone": (lambda s: (s.root / MASKS / "mask_v003.nii.gz").unlink(), "mask_v003.nii.gz is missing"),
    "sidecar gone": (lambda s: (s.root / MASKS / "mask_v003.json").unlink(), "mask_v003.json is missing"),
    "sidecar torn": (lambda s: (s.root / MASKS / "mask_v001.json").write_text("{"), "mask_v001.json is not readable"),
    "status edited": (
        lambda s: edit(s.root / MASKS / "mask_v003.json", lambda v: v.update(status="accepted")),
        "mask_v003.json and the database disagree on status",
    ),
    "key lost": (lambda s: edit(s.root / MASKS / "mask_v001.json", lambda v: v.pop("reviewer")), "lacks reviewer"),
    "key added": (lambda s: edit(s.root / MASKS / "mask_v001.json", lambda v: v.update(x=1)), "has x, which"),
    "keys reordered": (lambda s: swap_order(s.root / MASKS / "mask_v001.json"), "another order"),
    "final gone": (lambda s: relink(s, None), "mask_final.nii.gz is missing"),
    "final elsewhere": (lambda s: relink(s, "mask_v001.nii.gz"), "points at mask_v001.nii.gz, but version 2"),
    "final too many": (
        lambda s: os.symlink("mask_v001.nii.gz", s.root / "processed/set/P2" / DAY1 / "mask_final.nii.gz"),
        f"processed/set/P2/{DAY1}/mask_final.nii.gz belongs to no record",
    ),
    "stray mask": (
        lambda s: shutil.copy(s.root / MASKS / "mask_v001.nii.gz", s.root / MASKS / "mask_v009.nii.gz"),
        "mask_v009.nii.gz belongs to no record",
    ),
    "stray temporary file": (lambda s: (s.root / MASKS / ".x.tmp").write_text(""), ".x.tmp belongs to no record"),
    "scan changed": (
        lambda s: (s.root / "raw/set/P2" / DAY1 / "CT.nii.gz").write_bytes(b"x"),
        f"raw/set/P2/{DAY1}/CT.nii.gz is not the file",
    ),
    "scan sidecar edited": (
        lambda s: edit(s.root / "raw/set/P2" / DAY1 / "CT.json", lambda v: v.update(modality="MR")),
        "CT.json and the database disagree on modality",
    ),
    "row status": (
        lambda s: s.db.execute("UPDATE masks SET status = 'accepted' WHERE patient_id = 'P2'"),
        "the audit disagree on status of masks row",
    ),
    "row volume": (
        lambda s: s.db.execute("UPDATE masks SET volume_mm3 = 1.0 WHERE patient_id = 'P2'"),
        "volumes do not add up",
    ),
    "row voxels": (
        lambda s: s.db.execute("UPDATE masks SET voxels_added = 1 WHERE patient_id = 'P2'"),
        "voxels are not those added",
    ),
    "row measurement": (
        lambda s: s.db.execute("UPDATE measurements SET volume_mm3 = 1.0 WHERE label = 2"),
        "measurements in the database are not its lesions",
    ),
    "row reference": (
        lambda s: s.db.execute("UPDATE masks SET scan_sha256 = 'no' WHERE patient_id = 'P2'"),
        "not drawn on the timepoint's reference scan",
    ),
    "decision edited": (
        lambda s: s.db.execute("UPDATE decisions SET reviewer = 'bob' WHERE reason = 'leak'"),
        "disagree on reviewer of decisions row",
    ),
    "decision deleted": (lambda s: s.db.execute("DELETE FROM decisions WHERE reason = 'leak'"), "lacks decisions row"),
    "score slipped in": (
        lambda s: s.db.execute("INSERT INTO ood_scores VALUES ('x', 'P1', 't', '{}', 'ann', 'now', 9)"),
        "has ood_scores row x, of which the audit knows nothing",
    ),
    "audit line edited": (edit_audit_line, "file audit.jsonl is broken"),
    "audit line cut": (lambda s: cut_audit_line(s, 4), "entry 5 is missing"),
    "ledger gone": (lambda s: (s.root / LEDGER).unlink(), "Ledgers were completed from the database"),
    "ledger line edited": (
        lambda s: (s.root / LEDGER).write_text((s.root / LEDGER).read_text().replace("leak", "fine")),
        f"{LEDGER} (",
    ),
    "ledger line is none": (
        lambda s: (s.root / LEDGER).write_text("{}\n" + (s.root / LEDGER).read_text()),
        "ledger.jsonl line 1 is not an audit entry",
    ),
    "ledger of nobody": (
        lambda s: shutil.copytree(s.root / "processed/set/P2", s.root / "processed/set/P7"),
        "P7/ledger.jsonl (",
    ),
    "accepted by nobody": (
        lambda s: s.db.execute("DELETE FROM decisions WHERE reason = 'good-boundary'"),
        "Version 2 of P1 on 2020-01-01 is accepted, but nobody accepted it",
    ),
    "decided by a stranger": (
        lambda s: s.db.execute("DELETE FROM people WHERE name = 'ann'"),
        "decisions were made by 'ann', whom nobody added",
    ),
    "path outside the data": (
        lambda s: s.db.execute("UPDATE scans SET path = '../../etc/passwd' WHERE patient_id = 'P2'"),
        "Expected a file of this data folder, below raw or processed, got '../../etc/passwd'",
    ),
    "audit forged": (forge_audit, "does not follow from the one before"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_also_after_the_store_was_opened_again(busy: Store, name: str) -> None:
    damage, sentence = DAMAGE[name]
    damage(busy)
    busy.close()
    with open_store(busy.root) as again:  # opening completes what lacks lines, says so, and mends nothing else
        problems = [*again.verify(), *again.recovered]
    assert any(sentence in problem for problem in problems), problems


def test_every_write_is_in_the_audit_once_with_its_person(store: Store) -> None:
    busy_history(store)
    entries = store.audit.entries()
    assert [e["seq"] for e in entries] == list(range(1, len(entries) + 1))
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry["action"]] = counts.get(entry["action"], 0) + 1
    assert counts == {
        "person.added": 4,
        "grant.set": 1,
        "role.set": 1,
        "scan.added": 6,
        "mask.added": 5,
        "mask.decided": 4,
        "ood.scored": 4,
        "mask.scored": 1,
        "event.added": 2,
        "protocol.set": 1,
        "measurement.added": 2,
        "measurement.withdrawn": 1,
        "growth.fitted": 1,
        "model.used": 1,
        "reference_set.added": 1,
        "gate_reference.set": 1,
        "vector.added": 2,
        "look.added": 1,
        "mark.added": 3,
        "mark.withdrawn": 1,
        "evidence.asked": 1,
        "job.created": 2,
        "job.updated": 2,
        "reading.set": 3,
        "reading.finished": 1,
        "file.doubted": 1,
        "mask.lost": 1,
        "mask.found": 1,
        "file.cleared": 1,
        "links.set": 1,
        "transform.added": 1,
        "transform.judged": 1,
    }
    rejected = next(e for e in entries if e["action"] == "mask.decided")
    assert (rejected["person"], rejected["payload"]["decision"]["reason"]) == ("ann", "leak")
    assert entries[0]["prev_hash"] == GENESIS
    assert read_file(store.audit.path) == (entries, [])
    assert [e["seq"] for e in store.audit_log(3)] == [len(entries) - n for n in range(3)]
    assert store.verify() == []


def test_any_one_changed_byte_of_any_entry_breaks_the_chain(store: Store) -> None:
    add_scan(store)
    add_mask(store, 2)
    entries = store.audit.entries()
    assert check_chain(entries, "x") == []
    for position, entry in enumerate(entries):
        for key in entry:
            value = entry[key] + 1 if isinstance(entry[key], int) else f"{entry[key]}x"
            changed = [*entries[:position], {**entry, key: value}, *entries[position + 1 :]]
            assert check_chain(changed, "x"), key


def test_a_refused_write_leaves_no_trace(store: Store) -> None:
    add_scan(store)
    before = store.audit.entries()
    with pytest.raises(StoreError):
        add_scan(store)
    with pytest.raises(InputError):
        store.verdicts.add_scan_verdict("P1", DAY1, {"state": "in distribution", "score": float("inf")}, "demo")
    with pytest.raises(StoreError):
        store.verdicts.add_scan_verdict("P1", DAY2, {}, "demo")
    with pytest.raises(StoreError):
        store.verdicts.add_mask_verdict("no-such-mask", {}, "demo")
    with pytest.raises(InputError):
        store.events.add("P1", "someday", "steroids", "x", "demo")
    with pytest.raises(StoreError):
        store.events.add("P9", DAY1, "steroids", "x", "demo")
    assert store.audit.entries() == before
    assert store.verify() == []


def test_what_was_said_is_remembered(busy: Store) -> None:
    score = busy.verdicts.of_scans("P1", DAY1)[-1]
    assert score.result == scan_result(busy)
    assert (score.score, score.person, score.patient_id) == (0.125, "demo", "P1")
    assert [row.timepoint for row in busy.verdicts.of_scans("P2")] == [DAY1]
    anomaly = busy.verdicts.of_masks("P1")[-1]
    assert (anomaly.version, anomaly.p_value) == (2, 0.5)
    assert [row.verdict for row in busy.verdicts.of_masks(mask_id=anomaly.mask_id)] == [
        "usual",
        "usual",
    ]
    assert [(e.date, e.detail) for e in busy.events.of("P1")] == [
        (DAY1, "started"),
        (DAY2, {"dexamethasone_mg": 4}),
    ]
    assert busy.forecasts.of("P1", "L1")[0].result["rate"] == 0.01
    assert busy.models.all()[0].detail == {"licence": "Apache-2.0"}
    assert busy.reference_sets.all("mask-gate")[0].detail["members"] == [anomaly.mask_id]
    assert [(p.name, p.role) for p in busy.people.all()] == [
        ("ann", "administrator"),
        ("cleo", "viewer"),
        ("demo", "administrator"),
    ]
    assert busy.patients.datasets() == ["set"]
    first, second = busy.patients.all()
    assert (first.patient_id, first.timepoints, first.scans, first.masks) == ("P1", 2, 4, 4)
    assert (first.accepted, first.proposed, second.proposed) == (1, 0, 1)
    assert (first.first_timepoint, first.last_timepoint) == (DAY1, DAY2)


def test_a_vector_replaces_that_of_the_same_lesion_and_must_be_finite(busy: Store) -> None:
    rows = busy.vectors.all()
    assert [(r.lesion_id, r.vector, r.status) for r in rows] == [
        ("L1", [1.0, -2.5, 1e-9], "accepted"),
        ("L2", [1.0, -2.5, 1e-9], "accepted"),
    ]
    mask_id = rows[0].mask_id
    busy.vectors.add(mask_id, "L1", "P1", [4.0], ["a"], "demo")
    assert busy.vectors.all("accepted")[0].vector == [4.0]
    assert busy.vectors.all("proposed") == []
    for vector, names, patient in (([float("nan")], ["a"], "P1"), ([1.0], ["a", "b"], "P1"), ([1.0], ["a"], "P2")):
        with pytest.raises(InputError):
            busy.vectors.add(mask_id, "L1", patient, vector, names, "demo")
    assert busy.verify() == []


def test_a_job_goes_from_queued_to_done(store: Store) -> None:
    job_id = store.jobs.create("segment", {"patient_id": "P1"}, "demo")
    assert {
        k: getattr(store.jobs.get(job_id), k) for k in ("kind", "params", "person", "status", "progress", "result")
    } == {
        "kind": "segment",
        "params": {"patient_id": "P1"},
        "person": "demo",
        "status": "queued",
        "progress": 0.0,
        "result": None,
    }
    store.jobs.update(job_id, status="running")
    audited = len(store.audit.entries())
    store.jobs.update(job_id, progress=0.5, message="slice 3")
    assert len(store.audit.entries()) == audited
    assert (store.jobs.get(job_id).status, store.jobs.get(job_id).message) == ("running", "slice 3")
    store.jobs.update(job_id, status="done", progress=1, result={"version": 1})
    assert store.jobs.get(job_id).result == {"version": 1}
    newer = store.jobs.create("propagate", {}, "ann")
    assert [j.job_id for j in store.jobs.newest()] == [newer, job_id]
    assert [j.job_id for j in store.jobs.newest(status="done")] == [job_id]
    assert len(store.jobs.newest(limit=1)) == 1
    for change in ({"status": "paused"}, {"progress": 1.5}, {"progress": float("nan")}, {"result": {"x": object()}}):
        with pytest.raises(InputError):
            store.jobs.update(job_id, **change)
    with pytest.raises(StoreError, match="no job"):
        store.jobs.update("nobody", progress=0.1)
    assert store.verify() == []
