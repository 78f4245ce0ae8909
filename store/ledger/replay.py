"""What each audit entry does to the tables: the only statements that change what is remembered.

`Store` writes by making an entry and applying it; `rebuild` applies the entries of audit.jsonl again; `verify` applies
them in memory and compares. So the database cannot hold anything that the audit does not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.errors import StoreError
from core.remembered.protocols import ResponseProtocol
from core.remembered.untyped import JsonDict
from core.types import MODALITIES, Decision, MaskRecord, Scan
from store.database.connection import Row, Writer
from store.files import identifier_files
from store.files.paths import mask_place, scan_place
from store.ledger import event_rows, evidence_rows, linking, measurement_rows, putting_right
from store.ledger.audit import Entry
from store.ledger.compound import STUDY, parts_of
from store.ledger.statements import insert
from store.values import check_id, check_text, to_text

Payload = JsonDict


MASK_COLUMNS = MaskRecord.stored_keys()
SCAN_COLUMNS = tuple(Scan.__dataclass_fields__)
_DECISION_COLUMNS = tuple(Decision.__dataclass_fields__)
#: What sidecars and entries of format 1 have not (`core.types.FORMAT_VERSION`).
SCAN_LATER, MASK_LATER = ("format_version", "software", "moved"), ("format_version", "model_files", "moved")


def _person_added(db: Writer, entry: Entry, payload: Payload) -> None:
    row = {"name": payload["name"], "role": payload["role"], "added_at": entry["created_at"]}
    row |= {"disabled": False, "changes": 0}  # as the table has them by itself; what is replayed is compared with it
    insert(db, "people", row, "ON CONFLICT (name) DO UPDATE SET role = excluded.role")


def _person_changed(*columns: str, disabled: bool | None = None) -> Callable[[Writer, Entry, Payload], None]:
    """Sets columns of a person from the payload, and whether they are disabled; counted, so that tokens end with it."""
    settings = [f"{name} = ?" for name in (*columns, *(() if disabled is None else ("disabled",)))]
    sql = f"UPDATE people SET {', '.join([*settings, 'changes = changes + 1'])} WHERE name = ?"

    def apply_change(db: Writer, entry: Entry, payload: Payload) -> None:
        values = [*(payload[name] for name in columns), *(() if disabled is None else (disabled,))]
        db.execute(sql, [*values, payload["name"]])

    return apply_change


_PERSON_COUNTED = _person_changed()


def _grant_set(db: Writer, entry: Entry, payload: Payload) -> None:
    """What was granted before is replaced, and the person's tokens end, as with any change of what they may do."""
    row = {"name": payload["name"], "datasets": payload["datasets"]}
    update = (
        "ON CONFLICT (name) DO UPDATE SET datasets = excluded.datasets, person = excluded.person, "
        "created_at = excluded.created_at"
    )
    insert(db, "grants", {**row, "person": entry["person"], "created_at": entry["created_at"]}, update)
    _PERSON_COUNTED(db, entry, payload)


def _scan_added(db: Writer, entry: Entry, payload: Payload) -> None:
    scan_place(payload)  # what a rebuild reads may be anybody's
    if payload["modality"] not in MODALITIES:
        raise StoreError(f"Expected the modality {', '.join(MODALITIES)}, got {str(payload['modality'])[:40]!r}.")
    at, patient_id, timepoint = entry["created_at"], payload["patient_id"], payload["timepoint"]
    nothing = "ON CONFLICT DO NOTHING"
    insert(db, "patients", {"patient_id": patient_id, "dataset": payload["dataset"], "added_at": at}, nothing)
    insert(db, "timepoints", {"patient_id": patient_id, "timepoint": timepoint, "added_at": at}, nothing)
    insert(db, "scans", {**_columns(payload, SCAN_COLUMNS, SCAN_LATER), "seq": entry["seq"]})
    if identifier_files.places_of(payload):  # refuses what is no hash
        # by the image: of several that come together, and wherever one of them is moved to, it stays the same
        named = {"content_sha256": payload["content_sha256"], identifier_files.SHA256: payload[identifier_files.SHA256]}
        update = (
            f"ON CONFLICT (content_sha256) DO UPDATE SET {identifier_files.SHA256} = excluded.{identifier_files.SHA256}"
        )
        insert(db, "scan_identifiers", named, update)


def _study_added(db: Writer, entry: Entry, payload: Payload) -> None:
    for action, part in parts_of(entry["action"], payload):
        if (part["patient_id"], part["timepoint"]) != (payload["patient_id"], payload["timepoint"]):
            raise StoreError("It tells of a study of one patient and day, and holds a scan or mask of another.")
        ACTIONS[action](db, entry, dict(part))


def _columns(payload: Payload, names: Sequence[str], later: Sequence[str]) -> Row:
    """The table's columns from the payload; None for what an entry of format 1 does not have."""
    return {name: payload.get(name) if name in later else payload[name] for name in names}


def _mask_added(db: Writer, entry: Entry, payload: Payload) -> None:
    mask_place("any", payload["patient_id"], payload["timepoint"], payload["version"])  # refuses what is no place
    check_id("mask id", payload["mask_id"])
    insert(db, "masks", _columns(payload, MASK_COLUMNS, MASK_LATER))
    for lesion in payload["lesions"]:
        identity = {
            "patient_id": payload["patient_id"],
            "lesion_id": lesion["lesion_id"],
            "label": lesion["label"],
            "first_mask_id": payload["mask_id"],
            "added_at": entry["created_at"],
        }
        insert(db, "lesions", identity, "ON CONFLICT DO NOTHING")
        measured = {
            "mask_id": payload["mask_id"],
            "label": lesion["label"],
            "lesion_id": lesion["lesion_id"],
            "volume_mm3": lesion["volume_mm3"],
            "voxels": lesion["voxels"],
            "longest_diameter_mm": lesion["longest_diameter_mm"],
            "centroid_mm": to_text(lesion["centroid_mm"]),
        }
        insert(db, "measurements", measured)
    for vector in payload.get("vectors", ()):
        _insert_vector(db, {**vector, "mask_id": payload["mask_id"], "patient_id": payload["patient_id"]})
    if "verdict" in payload:
        said = {**payload["verdict"], "mask_id": payload["mask_id"]}
        ACTIONS["mask.scored"](db, entry, said)
    linking.insert_links(db, entry, payload["mask_id"], payload.get("links", ()))


def _mask_adopted(db: Writer, entry: Entry, payload: Payload) -> None:
    """What a sidecar claims is kept, but never believed."""
    if payload["status"] == "accepted" or "claimed_status" not in payload:
        raise StoreError("It adopts a mask as accepted, which only a person's decision makes it.")
    _mask_added(db, entry, payload)


def _mask_decided(db: Writer, entry: Entry, payload: Payload) -> None:
    check_id("mask id", payload["decision"]["mask_id"]), check_id("patient id", payload["patient_id"])
    # by name: an entry may be anybody's, and a column is part of a statement
    decision = {name: payload["decision"][name] for name in _DECISION_COLUMNS if name in payload["decision"]}
    decision["answered"] = [dict(doubt) for doubt in payload.get("answered", ())]  # entries of before have none
    insert(db, "decisions", {**decision, "seq": entry["seq"]})
    for mask_id, status in payload["statuses"].items():
        db.execute("UPDATE masks SET status = ? WHERE mask_id = ?", [status, mask_id])
    if "lesions" in payload:  # one of them was accepted or rejected
        mask_id = payload["decision"]["mask_id"]
        db.execute("UPDATE masks SET lesions = ? WHERE mask_id = ?", [to_text(payload["lesions"]), mask_id])
    linking.insert_links(db, entry, payload["decision"]["mask_id"], payload.get("links", ()))


def _mask_unproven(db: Writer, entry: Entry, payload: Payload) -> None:
    """What a rebuild over a history with gaps says of accepted masks: they wait for a person to affirm them."""
    for mask_id in payload["mask_ids"]:
        check_id("mask id", mask_id)
        db.execute("UPDATE masks SET status = ? WHERE mask_id = ?", ["proposed", mask_id])


def _job_updated(db: Writer, entry: Entry, payload: Payload) -> None:
    update_job(db, payload["job_id"], payload["changes"], entry["created_at"])


def update_job(db: Writer, job_id: str, changes: Payload, at: str) -> None:
    """Set columns of a job; `changes` may hold status, progress, message and result."""
    names = [name for name in ("status", "progress", "message", "result") if name in changes]
    values = [to_text(changes[name]) if name == "result" else changes[name] for name in names]
    settings = "".join(f"{name} = ?, " for name in names)
    db.execute(f"UPDATE jobs SET {settings}updated_at = ? WHERE job_id = ?", [*values, at, job_id])


def _row_of(
    table: str, columns: Sequence[str], on_conflict: str = "", seq: bool = True
) -> Callable[[Writer, Entry, Payload], None]:
    """The plain case: the payload is the row, with who and when (and with `seq` the entry's number) from the entry."""

    def apply_row(db: Writer, entry: Entry, payload: Payload) -> None:
        row = {name: payload[name] for name in columns}
        row |= {"person": entry["person"], "created_at": entry["created_at"]} | ({"seq": entry["seq"]} if seq else {})
        insert(db, table, row, on_conflict)

    return apply_row


def _vector_added(db: Writer, entry: Entry, payload: Payload) -> None:
    _insert_vector(db, payload)


def _insert_vector(db: Writer, payload: Payload) -> None:
    row = {name: payload[name] for name in ("mask_id", "lesion_id", "patient_id")}
    row |= {"vector": to_text(payload["vector"]), "names": to_text(payload["names"])}
    update = "ON CONFLICT (mask_id, lesion_id) DO UPDATE SET vector = excluded.vector, names = excluded.names"
    insert(db, "mask_vectors", row, update)


def _job_created(db: Writer, entry: Entry, payload: Payload) -> None:
    at = entry["created_at"]
    row = {
        "job_id": payload["job_id"],
        "kind": payload["kind"],
        "params": payload["params"],
        "person": entry["person"],
        "status": "queued",
        "progress": 0.0,
        "message": "",
        "created_at": at,
        "updated_at": at,
    }
    insert(db, "jobs", row)


def _file_state(db: Writer, entry: Entry, payload: Payload) -> None:
    row = {name: payload[name] for name in ("path", "state", "found_sha256")} | {"created_at": entry["created_at"]}
    update = (
        "ON CONFLICT (path) DO UPDATE SET state = excluded.state, found_sha256 = excluded.found_sha256, "
        "created_at = excluded.created_at"
    )
    insert(db, "file_states", row, update)


def _mask_loss(lost: bool) -> Callable[[Writer, Entry, Payload], None]:
    update = (
        "ON CONFLICT (mask_id) DO UPDATE SET lost = excluded.lost, reason = excluded.reason, "
        "person = excluded.person, created_at = excluded.created_at"
    )

    def apply_loss(db: Writer, entry: Entry, payload: Payload) -> None:
        row = {"mask_id": payload["mask_id"], "lost": lost, "reason": payload["reason"]}
        insert(db, "mask_losses", {**row, "person": entry["person"], "created_at": entry["created_at"]}, update)

    return apply_loss


_protocol_row = _row_of("protocols", ("protocol_id", "patient_id", "dataset", "protocol", "reason", "flips"))


def _protocol_set(db: Writer, entry: Entry, payload: Payload) -> None:
    ResponseProtocol.from_json(payload["protocol"])
    check_text("reason", payload["reason"])
    if [payload["patient_id"], payload["dataset"]].count(None) != 1 or not payload["reason"].strip():
        raise StoreError("It sets a protocol that is neither a patient's nor a data set's, or without a reason.")
    _protocol_row(db, entry, payload)


def _nothing(db: Writer, entry: Entry, payload: Payload) -> None:
    """For entries that say what happened to files and change no table."""


ACTIONS: dict[str, Callable[[Writer, Entry, Payload], None]] = {
    "person.added": _person_added,
    "role.set": _person_changed("role"),
    "person.disabled": _person_changed(disabled=True),
    "person.enabled": _person_changed(disabled=False),
    "person.identified": _person_changed("issuer", "subject", "email"),
    "grant.set": _grant_set,
    "scan.added": _scan_added,
    "mask.added": _mask_added,
    STUDY: _study_added,
    "mask.decided": _mask_decided,
    **linking.ACTIONS,
    "ood.scored": _row_of("ood_scores", ("score_id", "patient_id", "timepoint", "result")),
    "mask.scored": _row_of("mask_anomalies", ("anomaly_id", "mask_id", "result")),
    "protocol.set": _protocol_set,
    **event_rows.ACTIONS,
    **measurement_rows.ACTIONS,
    "growth.fitted": _row_of("growth_fits", ("fit_id", "patient_id", "lesion_id", "model", "result")),
    "model.used": _row_of("models", ("model_id", "sha256", "detail"), "ON CONFLICT DO NOTHING", seq=False),
    **dict.fromkeys(
        ("reference_set.added", "gate_reference.set"), _row_of("reference_sets", ("set_id", "kind", "detail"))
    ),
    "vector.added": _vector_added,
    **evidence_rows.ACTIONS,
    "reading.set": _row_of(
        "reading_settings",
        ("patient_id", "timepoint", "blind"),
        "ON CONFLICT (patient_id, timepoint) DO UPDATE SET blind = excluded.blind, person = excluded.person, "
        "created_at = excluded.created_at",
        seq=False,
    ),
    "reading.finished": _row_of("readings_finished", ("patient_id", "timepoint"), "ON CONFLICT DO NOTHING", seq=False),
    "job.created": _job_created,
    "job.updated": _job_updated,
    "job.cancelled": _job_updated,
    "mask.lost": _mask_loss(True),
    "mask.found": _mask_loss(False),
    "file.doubted": _file_state,
    "file.cleared": _file_state,
    "store.recovered": _nothing,
    "scan.adopted": _scan_added,
    "mask.adopted": _mask_adopted,
    "mask.unproven": _mask_unproven,
    **putting_right.ACTIONS,
    "audit.signing": _nothing,
}


#: What to do about an entry that nobody's TwinReview wrote, though its hash is right.
FOREIGN = (
    "Its hash is right, but no TwinReview writes such an entry. Put its file back from a backup, or take its line out "
    "of audit.jsonl and of the ledger, and rebuild."
)


def in_words(entry: Entry) -> str:
    """An entry as sentences name it."""
    return f"Entry {entry['seq']} of the audit ({str(entry['action'])[:40]})"


def apply(db: Writer, entry: Entry) -> None:
    """Do to the tables what the entry says; part of the caller's transaction.

    Raises:
        StoreError: if the entry is of a kind that this TwinReview does not know, or does not hold what its kind must.
    """
    action = ACTIONS.get(entry["action"])
    if action is None:
        raise StoreError(f"The audit has an entry {entry['action'][:40]!r} of a newer TwinReview. Update TwinReview.")
    try:
        action(db, entry, entry["payload"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        lacks = f"it lacks {error}" if isinstance(error, KeyError) else "a value in it is of another kind than expected"
        raise StoreError(f"{in_words(entry)} cannot be replayed: {lacks}. {FOREIGN}") from error
