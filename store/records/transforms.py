"""Where one scan of a patient lies in another: computed once a pair, looked at by a person."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import replace

import numpy as np

from core.errors import StoreError
from core.remembered.links import Matrix, NewTransform, StoredTransform, transform_that_counts
from core.remembered.untyped import JsonDict
from store.database.connection import Row
from store.ledger.linking import TRANSFORM_VERDICTS, check_transform
from store.ledger.writing import Change, LedgerBase, where
from store.values import canonical, check_id, check_one_of, check_person, check_text, plain

#: Of one patient's two scans: one between scans of which one was moved to another patient is nobody's.
_ALL = """
SELECT t.*, a.patient_id, a.timepoint AS from_timepoint, b.timepoint AS to_timepoint FROM transforms t
JOIN scans a ON a.sha256 = t.from_scan_sha256
JOIN scans b ON b.sha256 = t.to_scan_sha256 AND b.patient_id = a.patient_id{0} ORDER BY t.seq
"""


class Transforms:
    """Transforms between a patient's scans; append-only, and of a pair the newest counts."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def of(self, patient_id: str) -> list[StoredTransform]:
        """All of a patient, oldest first."""
        return self._query(a__patient_id=patient_id)

    def by_patient(self) -> dict[str, list[StoredTransform]]:
        """Those of all patients, oldest first."""
        found: dict[str, list[StoredTransform]] = {}
        for one in self._query():
            found.setdefault(one.patient_id, []).append(one)
        return found

    def get(self, transform_id: str) -> StoredTransform:
        """One by its id. Raises StoreError if there is none."""
        found = self._query(t__transform_id=transform_id)
        if not found:
            raise StoreError(f"There is no transform {str(transform_id)[:40]!r}. `register` lists those of a patient.")
        return found[0]

    def between(self, patient_id: str, first: str, second: str) -> StoredTransform | None:
        """The one that counts between two timepoints, from the first to the second; turned round where it was made the
        other way. None where the pair was never registered.

        The newest counts, but what a person made or accepted before what was computed again later.
        """
        chosen = transform_that_counts(self.of(patient_id), first, second)
        return chosen if chosen is None or chosen.from_timepoint == first else inverse_of(chosen)

    def add(self, patient_id: str, transform: NewTransform, person: str) -> StoredTransform:
        """Remember where one scan lies in another. The same one again (scans, matrix, parameters) writes nothing.

        Raises:
            InputError: unless the matrix is 4 x 4 and finite, and state, method and overlap are what they may be.
            StoreError: if one of the scans is none of that patient's timepoint.
        """
        check_person(person)
        for timepoint, sha256 in (
            (transform.from_timepoint, transform.from_scan_sha256),
            (transform.to_timepoint, transform.to_scan_sha256),
        ):
            sql = "SELECT 1 FROM scans WHERE patient_id = ? AND timepoint = ? AND sha256 = ?"
            if not self._ledger.db.query(sql, [patient_id, timepoint, sha256]):
                raise StoreError(
                    f"A scan of {patient_id} on {timepoint} is not there as it was registered. Do it again."
                )
        values = _values(transform)
        values["sha256"] = hashlib.sha256(canonical(values).encode("ascii")).hexdigest()
        known = [one for one in self.of(patient_id) if one.sha256 == values["sha256"]]
        if known:
            return known[-1]
        transform_id = check_id("transform id", transform.transform_id or str(uuid.uuid4()))
        check_transform({**values, "transform_id": transform_id})
        days = {"timepoint": transform.from_timepoint, "to_timepoint": transform.to_timepoint}
        payload = {"transform_id": transform_id, "patient_id": patient_id, **days, **values}
        self._ledger.write("transform.added", person, lambda at: Change(payload))
        return self.get(transform_id)

    def judge(self, transform_id: str, verdict: str, person: str, reason: str) -> StoredTransform:
        """A person says that a registration is right ("accepted") or is not ("refused"); a change of mind is another
        entry, and the last counts.

        Raises:
            InputError: for another verdict, or a refusal without a reason.
            StoreError: if there is none of that id, or it is so judged already.
        """
        check_person(person), check_text("reason", reason)
        check_one_of("verdict on a registration", verdict, TRANSFORM_VERDICTS)
        known = self.get(transform_id)
        if known.verdict == verdict:
            raise StoreError(f"This registration was {verdict} by {known.judged_by} already. Nothing was changed.")
        days = {"timepoint": known.from_timepoint, "to_timepoint": known.to_timepoint}
        said = {"transform_id": transform_id, "verdict": verdict, "reason": reason}
        self._ledger.write(
            "transform.judged", person, lambda at: Change({"patient_id": known.patient_id, **days, **said})
        )
        return self.get(transform_id)

    def _query(self, **of: object) -> list[StoredTransform]:
        clause, values = where(**of)
        return [_transform(row) for row in self._ledger.db.query(_ALL.format(clause), values)]


def inverse_of(transform: StoredTransform) -> StoredTransform:
    """The same transform, from its second scan to its first."""
    matrix = np.linalg.inv(np.asarray(transform.matrix, dtype=float))
    return replace(
        transform,
        from_timepoint=transform.to_timepoint,
        to_timepoint=transform.from_timepoint,
        from_scan_sha256=transform.to_scan_sha256,
        to_scan_sha256=transform.from_scan_sha256,
        matrix=_rows(matrix.tolist()),
    )


def _rows(matrix: list[list[float]]) -> Matrix:
    return tuple(tuple(float(x) for x in row) for row in matrix)


def _values(transform: NewTransform) -> JsonDict:
    return {
        "from_scan_sha256": transform.from_scan_sha256,
        "to_scan_sha256": transform.to_scan_sha256,
        "matrix": plain([[float(x) for x in row] for row in transform.matrix], "matrix"),
        "state": transform.state,
        "method": transform.method,
        "overlap": None if transform.overlap is None else float(transform.overlap),
        "figures": plain(dict(transform.figures), "figures"),
        "parameters": plain(dict(transform.parameters), "parameters"),
        "message": check_text("message", transform.message),
    }


def _transform(row: Row) -> StoredTransform:
    values = {name: row[name] for name in StoredTransform.__dataclass_fields__}
    for name in ("figures", "parameters"):
        values[name] = json.loads(values[name])
    return StoredTransform(**{**values, "matrix": _rows(json.loads(row["matrix"]))})
