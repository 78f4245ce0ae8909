"""By which rules the response of patients is told: one a patient, else that of the data set; append-only."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.errors import InputError, StoreError
from core.remembered.flips import Flip, flips_of_patients_said
from core.remembered.protocols import ResponseProtocol, StoredProtocol
from core.remembered.untyped import JsonDict
from store.database.connection import Row
from store.ledger import putting_right
from store.ledger.writing import Change, LedgerBase
from store.values import check_id, check_person, check_text

_OF_PATIENT = "SELECT * FROM protocols WHERE patient_id = ? ORDER BY seq"
_OF_DATASET = "SELECT * FROM protocols WHERE patient_id IS NULL AND dataset = ? ORDER BY seq"


class Protocols:
    """Protocols of patients and of data sets; the newest counts, a patient's own before that of their data set."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def of(self, patient_id: str) -> StoredProtocol | None:
        """The one in force for a patient; None where none was set. Raises StoreError: the patient is not known."""
        rows = self._ledger.db.query(_OF_PATIENT, [patient_id])
        if rows:
            newest = rows[-1]
            return replace(_stored(newest), lesions_before=self._came_since(patient_id, int(newest["seq"])))
        of_dataset = self.of_dataset(self._ledger.dataset_of(patient_id))
        return of_dataset[-1] if of_dataset else None

    def _came_since(self, patient_id: str, seq: int) -> str:
        """Whose visits came to the patient after that entry: what is numbered L1 there may be another lesion."""
        marks = ", ".join("?" * len(putting_right.MOVED))
        sql = f"SELECT payload FROM audit WHERE action IN ({marks}) AND seq > ? ORDER BY seq"
        found = [json.loads(row["payload"]) for row in self._ledger.db.query(sql, [*putting_right.MOVED, seq])]
        others = [one["patient_id"] for one in found if one["to_patient_id"] == patient_id != one["patient_id"]]
        return f"visits of {', '.join(dict.fromkeys(others))} came to the patient since" if others else ""

    def history(self, patient_id: str) -> list[StoredProtocol]:
        """Those that were set for the patient, oldest first."""
        return [_stored(row) for row in self._ledger.db.query(_OF_PATIENT, [patient_id])]

    def of_dataset(self, dataset: str) -> list[StoredProtocol]:
        """Those that were set for a data set, oldest first."""
        return [_stored(row) for row in self._ledger.db.query(_OF_DATASET, [dataset])]

    def by_patient(self) -> dict[str, StoredProtocol]:
        """`of` every patient, without those of whom none was set."""
        own: dict[str | None, StoredProtocol] = {}
        of_datasets: dict[str | None, StoredProtocol] = {}
        for one in (_stored(row) for row in self._ledger.db.query("SELECT * FROM protocols ORDER BY seq")):
            if one.patient_id is None:
                of_datasets[one.dataset] = one
            else:
                own[one.patient_id] = one
        rows = self._ledger.db.query("SELECT patient_id, dataset FROM patients")
        found = {row["patient_id"]: own.get(row["patient_id"], of_datasets.get(row["dataset"])) for row in rows}
        return {patient: one for patient, one in found.items() if one is not None}

    def set(
        self,
        patient_id: str,
        protocol: ResponseProtocol,
        person: str,
        reason: str,
        flips: Sequence[Flip] = (),
        flips_told: str = "",
    ) -> StoredProtocol:
        """Remember by what a patient's response is told from now on.

        Args:
            reason: in words. flips: calls that it changes, as the person was told and confirmed.
            flips_told: how they were told; "" where there is none.

        Raises:
            InputError: without a reason. StoreError: the patient is not known.
        """
        self._ledger.dataset_of(patient_id)
        said = {"flips_told": flips_told} if flips_told else {}
        return self._set({"patient_id": patient_id}, protocol, person, reason, flips, said)

    def set_for_dataset(
        self,
        dataset: str,
        protocol: ResponseProtocol,
        person: str,
        reason: str,
        flips: Mapping[str, Sequence[Flip]] | None = None,
        flips_told: str = "",
    ) -> StoredProtocol:
        """Remember by what the response of all patients of a data set is told who have no protocol of their own.

        Args:
            flips: by patient, for the audit; these and `flips_told` as `set` has them.

        Raises:
            InputError: without a reason. StoreError: the person sees no patient of it.
            ValueError: with a baseline or targets, which are a patient's.
        """
        if protocol.baseline is not None or protocol.targets is not None:
            raise ValueError("A data set has neither a baseline nor targets. Set them for each patient.")
        sql = "SELECT 1 FROM patients WHERE dataset = ? LIMIT 1"  # of those that the person sees
        if not self._ledger.db.query(sql, [check_id("dataset", dataset)]):
            raise StoreError(f"There is no patient in a data set {dataset!r}. Nothing was recorded.")
        said = flips_of_patients_said(flips or {}, flips_told)
        return self._set({"dataset": dataset}, protocol, person, reason, (), said)

    def _set(
        self, of: JsonDict, protocol: ResponseProtocol, person: str, reason: str, flips: Sequence[Flip], said: JsonDict
    ) -> StoredProtocol:
        check_person(person), check_text("reason", reason)
        if not reason.strip():
            raise InputError("Expected a reason in words for the protocol, got none. Nothing was done.")
        values = {
            "protocol_id": str(uuid.uuid4()),
            "patient_id": None,
            "dataset": None,
            **of,
            "protocol": protocol.to_json(),
            "reason": reason,
            "flips": [vars(flip) for flip in flips],
            **said,
        }
        self._ledger.write("protocol.set", person, lambda at: Change(values))
        sql = "SELECT * FROM protocols WHERE protocol_id = ?"
        return _stored(self._ledger.db.query(sql, [values["protocol_id"]])[0])


def _stored(row: Row) -> StoredProtocol:
    return StoredProtocol(
        row["protocol_id"],
        ResponseProtocol.from_json(json.loads(row["protocol"])),
        row["patient_id"],
        row["dataset"],
        row["reason"],
        row["person"],
        row["created_at"],
        tuple(Flip(**flip) for flip in json.loads(row["flips"])),
    )
