"""Growth models that were fitted and forecasts that were stored, with the mask ids they were made of."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from store.database.connection import Row
from store.ledger.writing import Change, Ledger, where
from store.records.verdicts import decode_result
from store.values import check_id, plain


class Forecasts:
    """Fits and stored forecasts of patients, oldest first."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(self, patient_id: str, lesion_id: str, model: str, result: Mapping[str, Any], person: str) -> str:
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

    def of(self, patient_id: str, lesion_id: str | None = None) -> list[Row]:
        """A patient's fits, oldest first: fit_id, patient_id, lesion_id, model, result, person, created_at, and the
        result's keys."""
        clause, values = where(patient_id=patient_id, lesion_id=lesion_id)
        rows = self._ledger.db.query(f"SELECT * FROM growth_fits{clause} ORDER BY seq", values)
        return [decode_result(row) for row in rows]
