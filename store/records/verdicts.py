"""What the gates and models said, what happened to a patient, and the shape vectors of masks."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.review.decisions import REJECTED
from core.types import parse_date
from store.database.connection import Row
from store.files.vector_index import RowIndex
from store.ledger.writing import Change, where
from store.records.mask_losses import MaskLosses
from store.values import check_id, check_text, check_texts, plain, vector_values


def _opened(row: Row) -> Row:
    """A row with its result as a value, the result's own keys at the top too where they are free."""
    result = json.loads(row["result"])
    return {**result, **row, "result": result}


class ScoreRecords(MaskLosses):
    """The part of `Store` about scores, events, fits, models, reference sets and vectors."""

    def add_ood_score(self, patient_id: str, timepoint: str, result: Mapping[str, Any], person: str) -> str:
        """Remember what the scan gate said of a timepoint; returns the score's id. Numbers in it must be finite."""
        self.reference_scan(patient_id, timepoint)
        values = {
            "score_id": str(uuid.uuid4()),
            "patient_id": patient_id,
            "timepoint": timepoint,
            "result": plain(dict(result), "result"),
        }
        self._write("ood.scored", person, lambda at: Change(values))
        return str(values["score_id"])

    def ood_scores(self, patient_id: str | None = None, timepoint: str | None = None) -> list[Row]:
        """Scores, oldest first: score_id, patient_id, timepoint, result, person, created_at, and the result's keys."""
        clause, values = where(patient_id=patient_id, timepoint=timepoint)
        rows = self.db.query(f"SELECT * FROM ood_scores{clause} ORDER BY seq", values)
        return [_opened(row) for row in rows]

    def add_mask_anomaly(self, mask_id: str, result: Mapping[str, Any], person: str) -> str:
        """Remember what the mask gate said of a mask; returns the anomaly's id. Numbers in it must be finite."""
        self._mask_row(mask_id)
        values = {"anomaly_id": str(uuid.uuid4()), "mask_id": mask_id, "result": plain(dict(result), "result")}
        self._write("mask.scored", person, lambda at: Change(values))
        return values["anomaly_id"]

    def mask_anomalies(
        self, patient_id: str | None = None, timepoint: str | None = None, mask_id: str | None = None
    ) -> list[Row]:
        """What the mask gate said, oldest first: anomaly_id, mask_id, patient_id, timepoint, version, result, person,
        created_at, and the result's keys."""
        clause, values = where(m__patient_id=patient_id, m__timepoint=timepoint, a__mask_id=mask_id)
        rows = self.db.query(
            "SELECT a.*, m.patient_id, m.timepoint, m.version FROM mask_anomalies a "
            f"JOIN masks m ON m.mask_id = a.mask_id{clause} ORDER BY a.seq",
            values,
        )
        return [_opened(row) for row in rows]

    def add_event(self, patient_id: str, date: str, kind: str, detail: Any, person: str) -> str:
        """Remember a treatment, steroid dose or clinical status; `detail` is text or JSON values. Returns its id."""
        self._dataset(patient_id), check_text("date", date), parse_date(date)
        check_texts("detail", detail)
        values = {
            "event_id": str(uuid.uuid4()),
            "patient_id": patient_id,
            "date": date,
            "kind": check_id("kind", kind),
            "detail": plain(detail, "detail"),
        }
        self._write("event.added", person, lambda at: Change(values))
        return str(values["event_id"])

    def events(self, patient_id: str) -> list[Row]:
        """A patient's events by date: event_id, patient_id, date, kind, detail, person, created_at."""
        rows = self.db.query("SELECT * FROM events WHERE patient_id = ? ORDER BY date, seq", [patient_id])
        return [{**row, "detail": json.loads(row["detail"])} for row in rows]

    def add_growth_fit(
        self, patient_id: str, lesion_id: str, model: str, result: Mapping[str, Any], person: str
    ) -> str:
        """Remember a growth model's fit, with the mask ids it was made of in `result`; returns its id."""
        self._dataset(patient_id)
        values = {
            "fit_id": str(uuid.uuid4()),
            "patient_id": patient_id,
            "lesion_id": check_id("lesion id", lesion_id),
            "model": check_id("model", model),
            "result": plain(dict(result), "result"),
        }
        self._write("growth.fitted", person, lambda at: Change(values))
        return str(values["fit_id"])

    def growth_fits(self, patient_id: str, lesion_id: str | None = None) -> list[Row]:
        """A patient's fits, oldest first: fit_id, patient_id, lesion_id, model, result, person, created_at, and the
        result's keys."""
        clause, values = where(patient_id=patient_id, lesion_id=lesion_id)
        rows = self.db.query(f"SELECT * FROM growth_fits{clause} ORDER BY seq", values)
        return [_opened(row) for row in rows]

    def add_model(self, model_id: str, sha256: str, detail: Mapping[str, Any], person: str) -> None:
        """Remember a model that was used (source, licence, input ...); the same id and hash again change nothing."""
        known = self.db.query("SELECT 1 FROM models WHERE model_id = ? AND sha256 = ?", [model_id, sha256])
        if not known:
            values = {"model_id": check_id("model id", model_id), "sha256": check_id("sha256", sha256)}
            self._write("model.used", person, lambda at: Change({**values, "detail": plain(dict(detail), "detail")}))

    def models(self) -> list[Row]:
        """Models that were used, by id: model_id, sha256, detail, person, created_at."""
        rows = self.db.query("SELECT * FROM models ORDER BY model_id, created_at")
        return [{**row, "detail": json.loads(row["detail"])} for row in rows]

    def add_reference_set(self, kind: str, detail: Mapping[str, Any], person: str) -> str:
        """Remember what a gate was calibrated on (members, split, figures); returns the set's id."""
        values = {
            "set_id": str(uuid.uuid4()),
            "kind": check_id("kind", kind),
            "detail": plain(dict(detail), "detail"),
        }
        self._write("reference_set.added", person, lambda at: Change(values))
        return str(values["set_id"])

    def reference_sets(self, kind: str | None = None) -> list[Row]:
        """Reference sets, oldest first: set_id, kind, detail, person, created_at."""
        clause, values = where(kind=kind)
        rows = self.db.query(f"SELECT * FROM reference_sets{clause} ORDER BY seq", values)
        return [{**row, "detail": json.loads(row["detail"])} for row in rows]

    def add_mask_vector(
        self,
        mask_id: str,
        lesion_id: str,
        patient_id: str,
        vector: Sequence[float],
        names: Sequence[str],
        person: str,
    ) -> None:
        """Remember the shape vector of a lesion in a mask; a second one of the same lesion replaces the first.

        Raises:
            InputError: unless the vector is finite, of one dimension with as many numbers as names, and of the mask's
                own patient.
        """
        row = vector_values(lesion_id, vector, names)
        if self._mask_row(mask_id)["patient_id"] != patient_id:
            raise InputError("Expected the patient whose mask it is. Nearest masks never come from the same patient.")
        values = {"mask_id": mask_id, "patient_id": patient_id, **row}
        self._write("vector.added", person, lambda at: Change(values))

    def neighbour_index(self, vectors: NDArray[np.float64], patient_ids: Sequence[str]) -> RowIndex:
        """The hnswlib index that the mask gate searches: rows of (n, d) scaled vectors and whose they are."""
        return RowIndex(vectors, patient_ids)

    def mask_vectors(self, status: str | None = None) -> list[Row]:
        """Shape vectors by mask and lesion: mask_id, lesion_id, patient_id, vector (list of numbers), names, and of
        the mask timepoint, version, status. `status` "accepted" gives those of accepted masks alone, without the
        lesions that were rejected in them and without masks whose file is lost, altered or missing."""
        clause, values = where(m__status=status)
        rows = self.db.query(
            "SELECT v.*, m.timepoint, m.version, m.status, m.lesions FROM mask_vectors v "
            f"JOIN masks m ON m.mask_id = v.mask_id{clause} ORDER BY v.mask_id, v.lesion_id",
            values,
        )
        unreadable = self.mask_problems() if status == "accepted" else {}
        kept = [(row, json.loads(row.pop("lesions"))) for row in rows if row["mask_id"] not in unreadable]
        return [
            {**row, "vector": json.loads(row["vector"]), "names": json.loads(row["names"])}
            for row, lesions in kept
            if status != "accepted"
            or not any(lesion["lesion_id"] == row["lesion_id"] and lesion.get(REJECTED) for lesion in lesions)
        ]
