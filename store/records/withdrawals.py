"""What the audit alone still knows: withdrawals that stand, and patients who are in no table any more."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from core.errors import StoreError
from core.remembered.untyped import JsonDict, JsonObject
from store.database.connection import Reader, Row
from store.files import drafts
from store.ledger import putting_right
from store.ledger.audit import Entry


def open_withdrawals(entries: Iterable[Entry]) -> list[Entry]:
    """The withdrawals that still stand, of entries of `putting_right.ACTIONS` in their order: not restored, and not of
    a patient who was deleted since."""
    standing: dict[str, Entry] = {}
    for entry in entries:
        payload = entry["payload"]
        if entry["action"] in putting_right.WITHDRAWN:
            standing[payload["withdrawal_id"]] = entry
        elif entry["action"] in putting_right.RESTORED:
            standing.pop(payload["withdrawal_id"], None)
        elif entry["action"] == putting_right.DELETED:
            own = [key for key, one in standing.items() if one["payload"]["patient_id"] == payload["patient_id"]]
            for key in own:
                del standing[key]
    return list(standing.values())


def entries_of(db: Reader) -> list[Entry]:
    """All entries by which something was put right, in their order."""
    actions = tuple(putting_right.ACTIONS)
    sql = f"SELECT * FROM audit WHERE action IN ({', '.join('?' * len(actions))}) ORDER BY seq"
    return [{**row, "payload": json.loads(row["payload"])} for row in db.query(sql, actions)]


def former_dataset(db: Reader, patient_id: str) -> str | None:
    """The data set of a patient who is there, or of whom something withdrawn is; None for one who is not."""
    rows = db.query("SELECT dataset FROM patients WHERE patient_id = ?", [patient_id])
    if rows:
        return str(rows[0]["dataset"])
    own = [e["payload"] for e in open_withdrawals(entries_of(db)) if e["payload"]["patient_id"] == patient_id]
    return str(own[-1]["dataset"]) if own else None


def former_names(db: Reader) -> list[tuple[str, str, tuple[str, ...]]]:
    """Patients who left the tables and masks that did, as entries name them: patient, data set, mask ids."""
    found = []
    for entry in entries_of(db):
        payload = entry["payload"]
        masks = [*(row["mask_id"] for row in putting_right.mask_rows(payload)), *payload.get("mask_ids", ())]
        found.append((str(payload["patient_id"]), str(payload["dataset"]), tuple(masks)))
    return found


def withdrawn_unread(db: Reader, person: str) -> list[str]:
    """The masks of withdrawn timepoints that are read blind and not finished by this person: they may come back."""
    found = []
    for entry in open_withdrawals(entries_of(db)):
        rows = entry["payload"]["rows"]
        blind = any(row["blind"] for row in rows.get("reading_settings", ()))
        if blind and person not in {row["person"] for row in rows.get("readings_finished", ())}:
            found += [str(row["mask_id"]) for row in rows.get("masks", ())]
    return found


def marks_at(db: Reader, mask_ids: Collection[str]) -> list[Row]:
    """The rows of marks that have one of these masks at either end, oldest first."""
    rows = db.query("SELECT * FROM evidence_marks ORDER BY seq")
    return [row for row in rows if not {row["mask_id"], row["other_mask_id"]}.isdisjoint(mask_ids)]


def marks_to_return(db: Reader, rows: JsonObject) -> list[Row]:
    """Of the marks among withdrawn rows those that come back with them: all but what has a mask at its other end of a
    patient who was deleted meanwhile. One whose other end is withdrawn itself is there again, and seen with it."""
    known = {row["mask_id"] for row in [*db.query("SELECT mask_id FROM masks"), *rows.get("masks", ())]}
    for entry in open_withdrawals(entries_of(db)):
        known |= {row["mask_id"] for row in putting_right.mask_rows(entry["payload"])}
    return [row for row in rows.get("evidence_marks", ()) if {row["mask_id"], row["other_mask_id"]} <= known]


def of_patient(db: Reader, root: Path, patient_id: str, dataset: str) -> JsonDict:
    """What is erased with a patient beside the rows that name them: masks, jobs, drafts, and what caches are of."""
    gone = [e["payload"]["rows"] for e in entries_of(db) if e["payload"]["patient_id"] == patient_id and _has_rows(e)]
    scans = db.query("SELECT sha256, content_sha256 FROM scans WHERE patient_id = ?", [patient_id])
    images = set(_distinct(scans, gone, "scans", "content_sha256"))
    # what was withdrawn here and came in again elsewhere is somebody else's now
    images -= {row["content_sha256"] for row in db.query("SELECT * FROM scans WHERE patient_id <> ?", [patient_id])}
    uids = [row for row in db.query("SELECT * FROM scan_identifiers") if row["content_sha256"] in images]
    masks = db.query("SELECT mask_id, mask_sha256 FROM masks WHERE patient_id = ? ORDER BY mask_id", [patient_id])
    away = [e["payload"] for e in open_withdrawals(entries_of(db)) if e["payload"]["patient_id"] == patient_id]
    ends = {row["mask_id"] for row in [*masks, *(row for one in away for row in putting_right.mask_rows(one))]}
    jobs = db.query("SELECT job_id, params FROM jobs ORDER BY job_id")
    states = db.query("SELECT path FROM file_states ORDER BY path")
    return {
        "mask_ids": [row["mask_id"] for row in masks],
        "mark_ids": [row["mark_id"] for row in marks_at(db, ends)],
        "job_ids": [row["job_id"] for row in jobs if json.loads(row["params"]).get("patient_id") == patient_id],
        "drafts": _drafts_of(root / "drafts", patient_id),
        "file_states": [row["path"] for row in states if row["path"].split("/")[1:3] == [dataset, patient_id]],
        "identifiers": {row["content_sha256"]: row["identifiers_sha256"] for row in uids},
        "scan_sha256": _distinct(scans, gone, "scans", "sha256"),
        "mask_sha256": _distinct(masks, gone, "masks", "mask_sha256"),
    }


def _has_rows(entry: Entry) -> bool:
    return "rows" in entry["payload"]


def _distinct(rows: Sequence[JsonDict], gone: Sequence[JsonDict], table: str, column: str) -> list[str]:
    withdrawn = [row for one in gone for row in one.get(table, ())]
    return sorted({row[column] for row in [*rows, *withdrawn]})


def _drafts_of(folder: Path, patient_id: str) -> list[str]:
    """The folders of a patient's drafts, open and discarded, below `drafts/`."""
    found = []
    for file in sorted([*folder.glob("*/draft.json"), *folder.glob("discarded/*/draft.json")]):
        try:
            draft = drafts._read(file.parent)
        except StoreError:
            continue
        if draft.patient_id == patient_id:
            found.append(file.parent.relative_to(folder).as_posix())
    return found
