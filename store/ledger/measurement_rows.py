"""What measurements that persons drew are in an audit entry, and in the table.

    measurement.added        the row (`MEASUREMENT_COLUMNS`), with patient and timepoint of the scan by then, and
                             what flips by it, as the person was told
    measurement.withdrawn    measurement_id, reason, and again these

One that was withdrawn keeps its row, with who, when and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core.remembered.hand_measurements import Drawn
from core.remembered.untyped import JsonDict
from store.database.connection import Writer
from store.ledger.audit import Entry
from store.ledger.statements import insert, update
from store.values import check_id, check_text

MEASUREMENT_COLUMNS = (
    "measurement_id",
    "of_patient",
    "scan_sha256",
    "kind",
    "plane",
    "points_mm",
    "value",
    "unit",
    "statistics",
    "lesion_id",
    "sets",
)


def _added(db: Writer, entry: Entry, payload: JsonDict) -> None:
    check_id("measurement id", payload["measurement_id"]), check_id("patient id", payload["of_patient"])
    Drawn(**{name: payload[name] for name in Drawn.__dataclass_fields__})  # refuses what is none
    row = {name: payload[name] for name in MEASUREMENT_COLUMNS}
    insert(db, "hand_measurements", row | {name: entry[name] for name in ("person", "created_at", "seq")})


def _withdrawn(db: Writer, entry: Entry, payload: JsonDict) -> None:
    said = {"withdrawn_by": entry["person"], "withdrawn_at": entry["created_at"]}
    said |= {"withdrawn_reason": check_text("reason", payload["reason"])}
    update(db, "hand_measurements", said, {"measurement_id": check_id("measurement id", payload["measurement_id"])})


ACTIONS: Mapping[str, Callable[[Writer, Entry, JsonDict], None]] = {
    "measurement.added": _added,
    "measurement.withdrawn": _withdrawn,
}
