"""Rows of scans and masks as the values that they stand for, and as their sidecars have them."""

from __future__ import annotations

import json
from functools import lru_cache

from core.remembered.untyped import JsonDict
from core.types import Decision, MaskRecord, Scan
from store.database.connection import Row
from store.ledger.replay import MASK_COLUMNS, SCAN_COLUMNS


def scan_of(row: Row) -> Scan:
    """A row of `scans` as a value."""
    values = {name: row[name] for name in SCAN_COLUMNS if row[name] is not None}
    values |= {name: tuple(json.loads(row[name])) for name in ("shape", "spacing_mm")}
    values["metadata"] = json.loads(row["metadata"])
    values["moved"] = _moves(row)
    if row["software"] is not None:
        values["software"] = repeated_json(row["software"])
    return Scan(**values)


def scan_values(row: Row) -> JsonDict:
    """A row of `scans` as its sidecar has it."""
    return scan_of(row).to_json()


def _moves(row: Row) -> tuple[JsonDict, ...]:
    """Where a scan or mask was moved from; () for what was never moved."""
    return tuple(json.loads(row["moved"])) if row["moved"] else ()


#: Fields of a `MaskRecord`, each with the column that holds it.
_MASK_FIELDS = tuple((MaskRecord.field_of(column), column) for column in MASK_COLUMNS)


def mask_of(row: Row) -> MaskRecord:
    """A row of `masks` as a value."""
    values = {field: row[column] for field, column in _MASK_FIELDS}
    values["prompts"] = () if row["prompts"] == "[]" else tuple(json.loads(row["prompts"]))
    values["lesions"] = tuple(json.loads(row["lesions"]))
    values["software"] = repeated_json(row["software"])
    values["model_files"] = None if row["model_files"] is None else json.loads(row["model_files"])
    values["moved"] = _moves(row)
    values["format_version"] = row["format_version"] or 1
    return MaskRecord(**values)


@lru_cache(maxsize=256)
def _repeated_json(text: str) -> JsonDict:
    found: JsonDict = json.loads(text)
    return found


def repeated_json(text: str) -> JsonDict:
    """An object that many rows have in the same words, such as the versions of software; a copy, for the caller."""
    return dict(_repeated_json(text))


def decision_of(row: Row) -> Decision:
    """A row of `decisions` as a value."""
    values = {name: row[name] for name in Decision.__dataclass_fields__}
    return Decision(**{**values, "answered": tuple(json.loads(row["answered"] or "[]"))})


def mask_values(row: Row) -> JsonDict:
    """A row of `masks` as its sidecar has it."""
    return mask_of(row).to_json()
