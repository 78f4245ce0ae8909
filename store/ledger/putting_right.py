"""What putting right does to the tables: scans and timepoints moved, withdrawn, restored; patients merged and deleted.

An entry names every row that it is about, since it is replayed without a database to ask: what was looked up stands in
its payload (`store.records.correction_plans` makes them). The rows of what is withdrawn leave the tables and are kept
in the entry, so that whoever reads a table, by whatever path, finds nothing of them; restoring puts the same rows back.

    timepoint.moved, scan.moved, patients.merged
        patient_id, dataset, to_patient_id, to_dataset, reason
        moves         of each timepoint: timepoint, to_timepoint; scans [{scan_id, to_scan_id, moved}]; masks [{mask_id,
                      version, status, moved}]; score_ids that follow; stale_scores, of other scans than lie there now;
                      empties: whether nothing is left at the old date
        lesions       out: lesion ids that the patient has no more; first: lesion id -> its first mask now; in: rows of
                      the other patient's
        fits          stored forecasts and fits that were made from what was moved: set aside
        file_states   what was found of files at their old places
        gone          whether the patient has no timepoint left; then their events go along
    scan.withdrawn, timepoint.withdrawn, scan.restored, timepoint.restored
        patient_id, dataset, timepoint, withdrawal_id, reason; files at their places, those of them that were
        not_as_stored; rows by table; lesions, gone; to_affirm: of masks that come back, those that are accepted no more
    patient.deleted
        patient_id, dataset, reason; mask_ids, job_ids, drafts, file_states; mark_ids of marks that have one of the
        masks at either end, also a withdrawn one; identifiers (image -> file of its UIDs);
        scan_sha256, mask_sha256 for the caches
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from core.errors import StoreError
from core.remembered.untyped import JsonDict, JsonObject
from core.types import parse_date
from store.database.connection import Writer
from store.files.paths import mask_place
from store.ledger.audit import Entry
from store.ledger.batch import KEYS, TABLES
from store.ledger.statements import delete, insert, insert_stored, update
from store.values import check_id

MOVED = ("timepoint.moved", "scan.moved", "patients.merged")
WITHDRAWN = ("scan.withdrawn", "timepoint.withdrawn")
RESTORED = ("scan.restored", "timepoint.restored")
DELETED = "patient.deleted"
_NOTHING = "ON CONFLICT DO NOTHING"
#: Tables with a patient_id of which nothing is left when a patient is deleted.
_OF_PATIENT = (
    "patients",
    "timepoints",
    "scans",
    "masks",
    "lesions",
    "ood_scores",
    "events",
    "protocols",
    "growth_fits",
    "mask_vectors",
    "reading_settings",
    "readings_finished",
)
#: The same by mask_id: what goes and comes back with a mask.
OF_MASK = (
    "measurements",
    "decisions",
    "mask_anomalies",
    "mask_vectors",
    "mask_losses",
    "lesion_links",
    "lesion_looks",
)
_SHA256, _FOLDER = re.compile("[0-9a-f]{64}"), re.compile("(discarded/)?[0-9a-f-]{32,36}")
#: Of what comes back, rows of which the patient may have one already.
_SHARED = ("patients", "lesions", "file_states")


def check_places(payload: JsonObject) -> None:
    """Refuse ids and dates that can be no part of a path. Raises InputError; KeyError for what is missing."""
    for name in ("patient_id", "dataset", "to_patient_id", "to_dataset", "withdrawal_id"):
        if name in payload:
            check_id(name.replace("_", " "), payload[name])
    for one in (payload, *payload.get("moves", ())):
        for name in ("timepoint", "to_timepoint"):
            if name in one:
                parse_date(check_id("timepoint", one[name]))
        for scan in one.get("scans", ()):
            check_id("scan id", scan["scan_id"]), check_id("scan id", scan["to_scan_id"])
        for mask in one.get("masks", ()):
            check_id("mask id", mask["mask_id"])
            mask_place(payload["to_dataset"], payload["to_patient_id"], one["to_timepoint"], mask["version"])


def _moved(db: Writer, entry: Entry, payload: JsonDict) -> None:
    check_places(payload)
    at, to_patient_id = entry["created_at"], payload["to_patient_id"]
    row = {"patient_id": to_patient_id, "dataset": payload["to_dataset"], "added_at": at}
    insert(db, "patients", row, _NOTHING)
    for move in payload["moves"]:
        _move(db, at, payload, move)
    _lesions(db, at, payload)
    for fit_id in payload["fits"]:
        delete(db, "growth_fits", {"fit_id": fit_id})
    for path in payload["file_states"]:
        delete(db, "file_states", {"path": path})
    if payload["gone"]:
        for table in ("events", "protocols"):
            update(db, table, {"patient_id": to_patient_id}, {"patient_id": payload["patient_id"]})
        delete(db, "patients", {"patient_id": payload["patient_id"]})


def _move(db: Writer, at: str, payload: JsonObject, move: JsonObject) -> None:
    """One timepoint, or one scan of it."""
    source = {"patient_id": payload["patient_id"], "timepoint": move["timepoint"]}
    place = {"patient_id": payload["to_patient_id"], "timepoint": move["to_timepoint"]}
    insert(db, "timepoints", {**place, "added_at": at}, _NOTHING)
    folder = f"raw/{payload['to_dataset']}/{place['patient_id']}/{place['timepoint']}"
    for scan in move["scans"]:
        new = {"scan_id": scan["to_scan_id"], "dataset": payload["to_dataset"], **place}
        new |= {"path": f"{folder}/{scan['to_scan_id']}.nii.gz", "moved": scan["moved"]}
        update(db, "scans", new, {**source, "scan_id": scan["scan_id"]})
    for mask in move["masks"]:
        update(db, "masks", {**place, "status": mask["status"], "moved": mask["moved"]}, {"mask_id": mask["mask_id"]})
        if place["patient_id"] != source["patient_id"]:
            update(db, "mask_vectors", {"patient_id": place["patient_id"]}, {"mask_id": mask["mask_id"]})
    for score_id in move["score_ids"]:
        update(db, "ood_scores", place, {"score_id": score_id})
    for score_id in move["stale_scores"]:
        delete(db, "ood_scores", {"score_id": score_id})
    if move["empties"]:
        for table in ("reading_settings", "readings_finished"):
            update(db, table, place, source)
        delete(db, "timepoints", source)


def _lesions(db: Writer, at: str, payload: JsonObject) -> None:
    changes, patient_id = payload["lesions"], payload["patient_id"]
    for lesion_id in changes["out"]:
        delete(db, "lesions", {"patient_id": patient_id, "lesion_id": lesion_id})
    for lesion_id, mask_id in changes["first"].items():
        update(db, "lesions", {"first_mask_id": mask_id}, {"patient_id": patient_id, "lesion_id": lesion_id})
    for row in changes.get("in", ()):
        values = {name: row[name] for name in ("lesion_id", "label", "first_mask_id")}
        insert(db, "lesions", {"patient_id": payload["to_patient_id"], **values, "added_at": at}, _NOTHING)


def _rows(payload: JsonObject) -> list[tuple[str, JsonObject]]:
    """The rows that a payload holds, with their tables. Raises StoreError for a table that is none of ours."""
    rows = payload["rows"]
    strange = rows.keys() - TABLES.keys() | rows.keys() & {"people", "grants", "models", "reference_sets"}
    if strange:
        raise StoreError(f"Expected rows of a patient's tables, got {sorted(strange)[0][:40]!r}. Nothing was touched.")
    return [(table, row) for table, own in rows.items() for row in own]


def _withdrawn(db: Writer, entry: Entry, payload: JsonDict) -> None:
    check_places(payload)
    for table, row in _rows(payload):
        if table != "patients" or payload["gone"]:
            delete(db, table, {name: row[name] for name in KEYS[table]})
    _lesions(db, entry["created_at"], payload)


def _restored(db: Writer, entry: Entry, payload: JsonDict) -> None:
    check_places(payload)
    for table, row in _rows(payload):
        if table == "decisions":
            row = {"answered": "[]", **row}  # rows of before have none, and are replayed as the table then has them
        if table not in _SHARED:  # still there where the entry that withdrew it is lost
            delete(db, table, {name: row[name] for name in KEYS[table]})
        insert_stored(db, table, row, _NOTHING if table in _SHARED else "")
    # the patient may have gone after what was withdrawn
    patient = {"patient_id": payload["patient_id"], "dataset": payload["dataset"], "added_at": entry["created_at"]}
    insert(db, "patients", patient, _NOTHING)


def check_deleted(payload: JsonObject) -> None:
    """Refuse what names another file than one of the patient's. Raises StoreError; KeyError for what is missing."""
    check_places(payload)
    names = {
        _SHA256: [*payload["scan_sha256"], *payload["mask_sha256"], *payload["identifiers"].values()],
        _FOLDER: [*payload["drafts"], *payload["job_ids"]],
    }
    for pattern, given in names.items():
        for name in given:
            if not pattern.fullmatch(name):
                raise StoreError(f"Expected what is of a patient, got {str(name)[:40]!r}. Nothing was touched.")


def _deleted(db: Writer, entry: Entry, payload: JsonDict) -> None:
    check_deleted(payload)
    for mask_id in payload["mask_ids"]:
        for table in OF_MASK:
            delete(db, table, {"mask_id": mask_id})
    for mark_id in payload.get("mark_ids", ()):  # entries of before there were marks have none
        delete(db, "evidence_marks", {"mark_id": check_id("mark id", mark_id)})
    for table in _OF_PATIENT:
        delete(db, table, {"patient_id": payload["patient_id"]})
    for content in payload["identifiers"]:
        delete(db, "scan_identifiers", {"content_sha256": content})
    for sha256 in payload["scan_sha256"]:
        for end in ("from_scan_sha256", "to_scan_sha256"):
            delete(db, "transforms", {end: sha256})
        delete(db, "hand_measurements", {"scan_sha256": sha256})
    for job_id in payload["job_ids"]:
        delete(db, "jobs", {"job_id": job_id})
    for path in payload["file_states"]:
        delete(db, "file_states", {"path": path})


ACTIONS: Mapping[str, Callable[[Writer, Entry, JsonDict], None]] = {
    **dict.fromkeys(MOVED, _moved),
    **dict.fromkeys(WITHDRAWN, _withdrawn),
    **dict.fromkeys(RESTORED, _restored),
    DELETED: _deleted,
}


def mask_rows(payload: JsonObject) -> list[JsonObject]:
    """The rows of masks that an entry withdraws or restores."""
    rows: list[JsonObject] = payload.get("rows", {}).get("masks", [])
    return rows


def unproven(payload: JsonObject) -> list[str]:
    """The masks that a move to another patient, or coming back to other masks, leaves for a person to affirm."""
    moved = [mask["mask_id"] for move in payload.get("moves", ()) for mask in move["masks"] if mask.get("to_affirm")]
    return [*moved, *payload.get("to_affirm", ())]
