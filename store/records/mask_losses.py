"""Mask files that are gone for good: said by a person with a reason, so that work goes on without them."""

from __future__ import annotations

from core.errors import InputError, StoreError
from core.types import MaskRecord
from store.files.file_checks import file_hash
from store.ledger.writing import Change, LedgerBase
from store.records.masks import Masks
from store.values import check_person, check_text

MAX_REASON = 500


class Losses:
    """Lost mask files, and those that came back."""

    def __init__(self, ledger: LedgerBase, masks: Masks) -> None:
        self._ledger, self._masks = ledger, masks

    def mark_lost(self, patient_id: str, timepoint: str, version: int, reason: str, person: str) -> None:
        """Say that the file of a version is lost: nothing reads it, nothing is made from it, its volume is unknown.

        The version and all that was decided about it stay on record.

        Raises:
            InputError: without a reason.
            StoreError: if there is no such version, it is marked already, or its file is there as it was stored.
        """
        check_person(person)
        if not check_text("reason", reason).strip() or len(reason) > MAX_REASON:
            raise InputError(f"Expected the reason in 1 to {MAX_REASON} characters: what became of the file.")

        def build(at: str) -> Change:
            record = self._masks.version(patient_id, timepoint, version)
            self._masks.refuse_lost(record)
            if self._is_there(record):
                raise StoreError(
                    f"The file of version {version} of {patient_id} on {timepoint} is there, as it was stored. It is "
                    "not lost; reject the version if it is not wanted."
                )
            return Change({"mask_id": record.mask_id, **_place(record), "reason": reason.strip()})

        self._ledger.write("mask.lost", person, build)

    def mark_found(self, patient_id: str, timepoint: str, version: int, person: str) -> None:
        """Say that a lost file is back, as it was stored; the version is as it was before the loss.

        Raises:
            StoreError: if there is no such version, it is not marked lost, or the file is not the one that was stored.
        """
        check_person(person)

        def build(at: str) -> Change:
            record = self._masks.version(patient_id, timepoint, version)
            if record.mask_id not in self._masks.losses(patient_id):
                raise StoreError(f"Version {version} of {patient_id} on {timepoint} is not marked lost.")
            if not self._is_there(record):
                raise StoreError(
                    f"The file of version {version} of {patient_id} on {timepoint} is missing, or not the one that was "
                    "stored. Restore it from a backup first."
                )
            return Change({"mask_id": record.mask_id, **_place(record), "reason": "the file is back as it was stored"})

        self._ledger.write("mask.found", person, build)
        self._masks.path(
            self._masks.version(patient_id, timepoint, version)
        )  # which records that the file is no longer doubted

    def _is_there(self, record: MaskRecord) -> bool:
        try:
            return file_hash(self._ledger.root / self._masks.file_of(record).name, fresh=True) == record.mask_sha256
        except OSError as error:
            raise StoreError(
                f"The file cannot be read ({error.strerror}), so it is not certain to be lost. Mend its rights."
            ) from None


def _place(record: MaskRecord) -> dict[str, object]:
    return {"patient_id": record.patient_id, "timepoint": record.timepoint, "version": record.version}
