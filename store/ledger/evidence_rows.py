"""What looks of lesions, marks and questions to a language model are in an audit entry, and in the tables.

    look.added        mask_id, with patient, timepoint and version by then; looks [{lesion_id, encoder, modality,
                      scan_sha256, vector, why}], all that their encoders say of the mask; gone: keys of what these
                      said of it before and say no more
    mark.added        the row (`MARK_COLUMNS`), with patients and timepoints of both lesions by then; replaces: ids of
                      marks of the same person on the same pair, which stand no more
    mark.withdrawn    mark_id, and both ends again
    evidence.asked    mask_id, lesion_id, patient and timepoint by then, prompt_sha256, endpoint_host, model; no table
                      has it, the entry is the record

Lesions are named by their labels' numbers, as the files number them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core.remembered.looks import LesionLook, check_label_number, pack_look, unpack_look
from core.remembered.marks import EvidenceQuestion, NewMark
from core.remembered.untyped import JsonDict, JsonObject
from store.database.connection import Writer
from store.ledger.audit import Entry
from store.ledger.statements import delete, insert, update
from store.values import check_id, check_text

LOOK_KEY = ("mask_id", "lesion_id", "encoder", "modality")
#: Columns of a look that are its fields as they stand.
LOOK_TEXTS = ("lesion_id", "encoder", "modality", "scan_sha256", "why")
MARK_COLUMNS = ("mark_id", *NewMark.__dataclass_fields__)
QUESTION_COLUMNS = tuple(EvidenceQuestion.__dataclass_fields__)
_REPLACE_LOOK = (
    "ON CONFLICT (mask_id, lesion_id, encoder, modality) DO UPDATE SET scan_sha256 = excluded.scan_sha256, "
    "vector = excluded.vector, why = excluded.why, person = excluded.person, created_at = excluded.created_at"
)


def look_values(look: LesionLook) -> JsonDict:
    """A look as an entry has it. Raises InputError for a vector that cannot be stored."""
    return {
        "lesion_id": check_label_number(look.lesion_id),
        "encoder": look.encoder,
        "modality": look.modality,
        "scan_sha256": look.scan_sha256,
        "vector": pack_look(look.vector) if look.is_told else "",
        "why": check_text("reason why there is no look", look.why),
    }


def look_of(values: JsonObject) -> LesionLook:
    """A look of `look_values`. Raises InputError or StoreError for what is none."""
    return LesionLook(**{name: values[name] for name in LOOK_TEXTS}, vector=unpack_look(values["vector"]))


def _look_added(db: Writer, entry: Entry, payload: JsonDict) -> None:
    mask_id, said = check_id("mask id", payload["mask_id"]), {n: entry[n] for n in ("person", "created_at")}
    for key in payload["gone"]:
        delete(db, "lesion_looks", {"mask_id": mask_id, **{name: key[name] for name in LOOK_KEY[1:]}})
    for values in payload["looks"]:
        insert(db, "lesion_looks", {"mask_id": mask_id, **look_values(look_of(values)), **said}, _REPLACE_LOOK)


def _mark_added(db: Writer, entry: Entry, payload: JsonDict) -> None:
    for name in ("mark_id", "mask_id", "other_mask_id"):
        check_id(name.replace("_", " "), payload[name])
    for name in ("lesion_id", "other_lesion_id"):
        check_label_number(payload[name])
    NewMark(**{name: payload[name] for name in NewMark.__dataclass_fields__})  # refuses what is none
    for mark_id in payload["replaces"]:
        _withdraw(db, entry, mark_id)
    row = {name: payload[name] for name in MARK_COLUMNS}
    row |= {name: entry[name] for name in ("person", "created_at", "seq")}
    insert(db, "evidence_marks", row | {"withdrawn_by": None, "withdrawn_at": None})


def _mark_withdrawn(db: Writer, entry: Entry, payload: JsonDict) -> None:
    _withdraw(db, entry, payload["mark_id"])


def _withdraw(db: Writer, entry: Entry, mark_id: str) -> None:
    said = {"withdrawn_by": entry["person"], "withdrawn_at": entry["created_at"]}
    update(db, "evidence_marks", said, {"mark_id": check_id("mark id", mark_id)})


def _asked(db: Writer, entry: Entry, payload: JsonDict) -> None:
    check_id("mask id", payload["mask_id"]), check_label_number(payload["lesion_id"])
    EvidenceQuestion(**{name: payload[name] for name in QUESTION_COLUMNS})  # refuses what is none


ACTIONS: Mapping[str, Callable[[Writer, Entry, JsonDict], None]] = {
    "look.added": _look_added,
    "mark.added": _mark_added,
    "mark.withdrawn": _mark_withdrawn,
    "evidence.asked": _asked,
}
