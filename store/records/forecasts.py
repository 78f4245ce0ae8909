"""Growth models that were fitted and forecasts that were stored, with the mask ids they were made of."""

from __future__ import annotations

import uuid

from core.remembered.rows import GrowthFit
from core.remembered.untyped import JsonObject
from store.ledger.writing import Change, LedgerBase, value_of, where
from store.values import check_id, plain


class Forecasts:
    """Fits and stored forecasts of patients, oldest first."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def add(self, patient_id: str, lesion_id: str, model: str, result: JsonObject, person: str) -> str:
        """Remember a growth model's fit, with the mask ids it was made of in `result`; returns its id."""
        self._ledger.dataset_of(patient_id)
        values = {
            "fit_id": str(uuid.uuid4()),
            "patient_id": patient_id,
            "lesion_id": check_id("lesion id", lesion_id),
            "model": check_id("model", model),
            "result": plain(dict(result), "result"),
        }
        self._ledger.write("growth.fitted", person, lambda at: Change(values))
        return str(values["fit_id"])

    def of(self, patient_id: str, lesion_id: str | None = None) -> list[GrowthFit]:
        """A patient's fits and stored forecasts, oldest first."""
        clause, values = where(patient_id=patient_id, lesion_id=lesion_id)
        rows = self._ledger.db.query(f"SELECT * FROM growth_fits{clause} ORDER BY seq", values)
        return [value_of(GrowthFit, row, decoded=["result"]) for row in rows]
