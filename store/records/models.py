"""Models that were used, and what gates were calibrated on."""

from __future__ import annotations

import uuid

from core.remembered.rows import ReferenceSet, UsedModel
from core.remembered.untyped import JsonObject
from core.remembered.vocabulary import SCAN_GATE_SETS
from store.ledger.writing import Change, LedgerBase, value_of, where
from store.values import check_id, plain


class Models:
    """Models that were used, by id."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def add(self, model_id: str, sha256: str, detail: JsonObject, person: str) -> None:
        """Remember a model that was used (source, licence, input ...); the same id and hash again change nothing."""
        known = self._ledger.db.query("SELECT 1 FROM models WHERE model_id = ? AND sha256 = ?", [model_id, sha256])
        if not known:
            values = {"model_id": check_id("model id", model_id), "sha256": check_id("sha256", sha256)}
            self._ledger.write(
                "model.used", person, lambda at: Change({**values, "detail": plain(dict(detail), "detail")})
            )

    def all(self) -> list[UsedModel]:
        """Models that were used, by id."""
        rows = self._ledger.db.query("SELECT * FROM models ORDER BY model_id, created_at")
        return [value_of(UsedModel, row, decoded=["detail"]) for row in rows]


class ReferenceSets:
    """Reference sets of gates, oldest first."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def add(self, kind: str, detail: JsonObject, person: str) -> str:
        """Remember what a gate was calibrated on (members, split, figures); returns the set's id. By what scans are
        judged is for adjudicators and administrators."""
        values = {
            "set_id": str(uuid.uuid4()),
            "kind": check_id("kind", kind),
            "detail": plain(dict(detail), "detail"),
        }
        action = "gate_reference.set" if kind in SCAN_GATE_SETS else "reference_set.added"
        self._ledger.write(action, person, lambda at: Change(values))
        return str(values["set_id"])

    def newest(self, kind: str) -> ReferenceSet | None:
        """The newest set of a kind; None where there is none."""
        sql = "SELECT * FROM reference_sets WHERE kind = ? ORDER BY seq DESC LIMIT 1"
        rows = self._ledger.db.query(sql, [kind])
        return value_of(ReferenceSet, rows[0], decoded=["detail"]) if rows else None

    def all(self, kind: str | None = None) -> list[ReferenceSet]:
        """Reference sets, oldest first."""
        clause, values = where(kind=kind)
        rows = self._ledger.db.query(f"SELECT * FROM reference_sets{clause} ORDER BY seq", values)
        return [value_of(ReferenceSet, row, decoded=["detail"]) for row in rows]
