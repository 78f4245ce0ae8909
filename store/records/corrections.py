"""Putting right what came in wrong: scans and timepoints moved, withdrawn and restored, patients merged and deleted.

Every action needs a reason, is one change, whole or not at all, and stays in the audit with who, when and why. Nothing
is ever overwritten: where a change would mix two readings, or leave masks on a scan that they were not drawn on, it is
refused in words before anything is done. Curves, growth and lists follow by themselves, as they read the rows.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple

from core.errors import InputError, StoreError
from core.imaging.scan_dates import check_scan_date
from core.remembered.rows import Correction
from core.remembered.untyped import JsonDict, JsonObject
from core.types import parse_date
from store.files.drafts import Drafts
from store.ledger import putting_right
from store.ledger.audit import Entry
from store.ledger.writing import Change, LedgerBase
from store.records.correction_plans import Place, Plans
from store.records.readings import Readings
from store.records.withdrawals import entries_of, former_dataset, marks_to_return, of_patient, open_withdrawals
from store.values import check_id, check_person, check_text

MAX_REASON = 500


class Corrections:
    """What puts right, and what was put right.

    All actions raise StoreError where they are refused, InputError for an argument that cannot be one, and give the
    entry as a `Correction`. A person needs the right (`core.access`) and must see what is changed, at both ends.
    """

    def __init__(self, ledger: LedgerBase, drafts: Drafts, readings: Readings) -> None:
        self._ledger, self._drafts, self._readings = ledger, drafts, readings

    def move_timepoint(
        self,
        patient_id: str,
        timepoint: str,
        *,
        to_patient_id: str | None = None,
        to_timepoint: str | None = None,
        reason: str,
        person: str,
    ) -> Correction:
        """Move a timepoint to another date, to another patient, or both: scans, masks with all versions, measurements
        and decisions, scan verdicts and readings go along.

        On another date of the same patient, decisions stand. With another patient who has masks, masks that were
        accepted are proposed until a person affirms them: a label is no identity, so L1 of the one is not L1 of the
        other. Stored forecasts that were made from the masks are set aside. An empty timepoint, and a patient without
        any, disappear; a patient who is not there yet is made, in the same data set.

        Args:
            to_patient_id: None: the same patient.
            to_timepoint: the right date, YYYY-MM-DD; None: the same date.
            reason: why, in 1 to 500 characters.

        Raises:
            StoreError: if both dates have masks, masks would lie on another scan than their own, a file is not as it
                was stored, somebody has an open draft there, a job is under way, or it is read blind by the person.
        """
        return self._move("timepoint.moved", (patient_id, timepoint), (to_patient_id, to_timepoint), reason, person)

    def move_scan(
        self,
        patient_id: str,
        timepoint: str,
        scan_id: str,
        *,
        to_patient_id: str | None = None,
        to_timepoint: str | None = None,
        reason: str,
        person: str,
    ) -> Correction:
        """Move one scan. Refused where masks of its timepoint lie on its grid: then the timepoint is what moves. What
        the scan gate said of either timepoint counts no longer, as it was said of other scans. Else `move_timepoint`.
        """
        check_id("scan id", scan_id)
        places = ((patient_id, timepoint), (to_patient_id, to_timepoint))
        return self._move("scan.moved", *places, reason, person, scan_id)

    def _move(
        self,
        action: str,
        source: tuple[str, str],
        target: tuple[str | None, str | None],
        reason: str,
        person: str,
        scan_id: str | None = None,
    ) -> Correction:
        to_patient_id = check_id("patient id", target[0] or source[0])
        to_timepoint = check_text("timepoint", target[1] or source[1])
        check_text("timepoint", source[1]), parse_date(source[1]), check_scan_date(to_timepoint)
        if (to_patient_id, to_timepoint) == source:
            raise InputError("Expected another date or another patient to move to, got the same. Nothing was changed.")

        def build(at: str) -> Change:
            here = Place(self._ledger.dataset_of(source[0]), *source)
            there = Place(self._dataset_at(to_patient_id, here.dataset), to_patient_id, to_timepoint)
            self._refuse_busy(person, here, there)
            plans = self._plans()
            move = plans.move(here, there, scan_id, {"reason": reason, "person": person, "moved_at": at})
            another = here.patient_id != there.patient_id
            rest = plans.leftovers(here.patient_id, [move], to_another=another)
            ends = {"patient_id": here.patient_id, "dataset": here.dataset, "timepoint": here.timepoint}
            ends |= {"to_patient_id": to_patient_id, "to_dataset": there.dataset, "to_timepoint": to_timepoint}
            what = {} if scan_id is None else {"scan": scan_id}
            return Change({**ends, **what, "reason": reason, "moves": [move.values], **rest})

        return self._write(action, person, reason, build)

    def merge_patients(self, patient_id: str, into_patient_id: str, *, reason: str, person: str) -> Correction:
        """Move all timepoints and events of one patient to another who is there; the emptied one disappears.

        The same rules as `move_timepoint`, date by date, and all dates that cannot be moved are named before anything
        is done. Stored forecasts of the emptied patient are set aside: they were said of a part of the curve.
        """
        check_id("patient id", into_patient_id)
        if patient_id == into_patient_id:
            raise InputError("Expected two patients to merge, got one. Nothing was changed.")

        def build(at: str) -> Change:
            dataset, to_dataset = self._ledger.dataset_of(patient_id), self._ledger.dataset_of(into_patient_id)
            plans, moves, refused = self._plans(), [], []
            sql = "SELECT timepoint FROM timepoints WHERE patient_id = ? ORDER BY timepoint"
            for row in self._ledger.whole.db.query(sql, [patient_id]):
                day = row["timepoint"]
                here, there = Place(dataset, patient_id, day), Place(to_dataset, into_patient_id, day)
                try:
                    self._refuse_busy(person, here, there)
                    said = {"reason": reason, "person": person, "moved_at": at}
                    moves.append(plans.move(here, there, None, said))
                except StoreError as error:
                    refused.append(f"{day}: {error}")
            if refused:
                raise StoreError(f"Nothing was merged. {' '.join(refused)}")
            ends = {"patient_id": patient_id, "dataset": dataset}
            ends |= {"to_patient_id": into_patient_id, "to_dataset": to_dataset}
            rest = plans.leftovers(patient_id, moves, to_another=True)
            return Change({**ends, "reason": reason, "moves": [move.values for move in moves], **rest})

        return self._write("patients.merged", person, reason, build)

    def withdraw_timepoint(self, patient_id: str, timepoint: str, *, reason: str, person: str) -> Correction:
        """Take a timepoint with all its scans and masks out of every list, curve, gate and cohort, for everybody.

        Its rows leave the tables and stay in the entry, its files lie in `withdrawn/`; `restore` puts both back. The
        same images can be imported again.
        """
        return self._withdraw("timepoint.withdrawn", patient_id, timepoint, None, reason, person)

    def withdraw_scan(self, patient_id: str, timepoint: str, scan_id: str, *, reason: str, person: str) -> Correction:
        """The same of one scan. Refused where masks lie on its grid; what the scan gate said of the timepoint, which
        had it, goes too. The last scan of a timepoint takes the timepoint along."""
        check_id("scan id", scan_id)
        return self._withdraw("scan.withdrawn", patient_id, timepoint, scan_id, reason, person)

    def _withdraw(
        self, action: str, patient_id: str, timepoint: str, scan_id: str | None, reason: str, person: str
    ) -> Correction:
        parse_date(check_text("timepoint", timepoint))

        def build(at: str) -> Change:
            place = Place(self._ledger.dataset_of(patient_id), patient_id, timepoint)
            self._refuse_busy(person, place)
            found = self._plans().withdrawal(place, scan_id)
            said = {"withdrawal_id": str(uuid.uuid4()), "reason": reason}
            what = {} if scan_id is None else {"scan": scan_id}
            return Change({**place._asdict(), **what, **said, **found})

        return self._write(action, person, reason, build)

    def restore(self, withdrawal_id: str, *, reason: str, person: str) -> Correction:
        """Put back what was withdrawn, as it was: rows, decisions and files. If the patient got other masks meanwhile,
        those that were accepted wait to be affirmed: their lesions were not known when others were numbered.

        Args:
            withdrawal_id: of a `Correction` that `withdrawn` lists.

        Raises:
            StoreError: if there is no such withdrawal that still stands, or something else has come in its place.
        """
        check_id("withdrawal id", withdrawal_id)

        def build(at: str) -> Change:
            entry = next((e for e in self._open() if e["payload"]["withdrawal_id"] == withdrawal_id), None)
            if entry is None:
                raise StoreError(
                    f"There is no withdrawal {withdrawal_id!r} that still stands. `withdrawn` lists those."
                )
            payload = entry["payload"]
            place = Place(payload["dataset"], payload["patient_id"], payload["timepoint"])
            self._plans().refuse_return(place, payload["rows"], "timepoints" in payload["rows"])
            doubted = self._plans().to_affirm(place.patient_id, payload["rows"], entry["created_at"])
            masks = [
                {**row, "status": "proposed"} if row["mask_id"] in doubted else row
                for row in payload["rows"].get("masks", ())
            ]
            marks = marks_to_return(self._ledger.whole.db, payload["rows"])
            rows = {**payload["rows"], "masks": masks, "evidence_marks": marks}
            rows = {table: own for table, own in rows.items() if own}
            kept = ("withdrawal_id", "files", "not_as_stored", *(("scan",) if "scan" in payload else ()))
            said = {"reason": reason, **{name: payload[name] for name in kept}, "rows": rows, "to_affirm": doubted}
            return Change({**place._asdict(), **said})

        entry = next((e for e in self._open() if e["payload"]["withdrawal_id"] == withdrawal_id), None)
        one_scan = entry is not None and entry["action"] == "scan.withdrawn"
        return self._write("scan.restored" if one_scan else "timepoint.restored", person, reason, build)

    def delete_patient(self, patient_id: str, *, confirm: str, reason: str, person: str) -> Correction:
        """Erase a patient for good: rows, files, drafts, jobs, what was withdrawn, and pictures of them.

        The audit stays provable: its entries about the patient stay, in `audit.jsonl`, the database and the patient's
        ledger, with pseudonym, dates and volumes. Copies of before (backups, `before-rebuild/`) are not touched.

        Args:
            confirm: the patient id once more.

        Raises:
            InputError: if `confirm` is another one.
            StoreError: if there is no such patient, or a job is under way.
        """
        if confirm != check_id("patient id", patient_id):
            raise InputError(
                f"Expected {patient_id!r} once more to confirm, got {str(confirm)[:64]!r}. Nothing is done."
            )

        def build(at: str) -> Change:
            db = self._ledger.whole.db
            dataset = former_dataset(db, patient_id)
            if dataset is None or not self._ledger.sees_dataset(dataset):
                self._ledger.dataset_of(patient_id)  # says so
            self._plans().refuse_under_way(Place(str(dataset), patient_id, ""))
            found = of_patient(db, self._ledger.root, patient_id, str(dataset))
            return Change({"patient_id": patient_id, "dataset": dataset, "reason": reason, **found})

        return self._write(putting_right.DELETED, person, reason, build)

    def history(self, patient_id: str | None = None) -> list[Correction]:
        """What was put right, oldest first: of a patient, at either end of a move; None: of all whom they see."""
        standing = self._standing()
        return [
            _correction(entry, standing)
            for entry in self._entries()
            if patient_id in (None, entry["payload"]["patient_id"], entry["payload"].get("to_patient_id"))
        ]

    def withdrawn(self) -> list[Correction]:
        """The withdrawals that still stand, and can be restored; oldest first."""
        standing = self._standing()
        return [_correction(entry, standing) for entry in self._open()]

    def _standing(self) -> frozenset[str]:
        return frozenset(entry["payload"]["withdrawal_id"] for entry in self._open())

    def _open(self) -> list[Entry]:
        return open_withdrawals(self._entries())

    def _entries(self) -> list[Entry]:
        """What was put right in data sets that the person sees, at both ends."""
        return [
            entry
            for entry in entries_of(self._ledger.db)
            if all(
                self._ledger.sees_dataset(str(entry["payload"].get(end, entry["payload"]["dataset"])))
                for end in ("dataset", "to_dataset")
            )
        ]

    def _plans(self) -> Plans:
        return Plans(self._ledger.whole.db, self._ledger.root)

    def _dataset_at(self, patient_id: str, otherwise: str) -> str:
        """The data set of the patient to move to, who need not be there yet. Raises StoreError for one who is there
        and not the person's to see, as an import does."""
        rows = self._ledger.whole.db.query("SELECT dataset FROM patients WHERE patient_id = ?", [patient_id])
        if rows and not self._ledger.sees_dataset(str(rows[0]["dataset"])):
            raise StoreError(f"Patient {patient_id} belongs to another dataset. Use another patient id.")
        return str(rows[0]["dataset"]) if rows else otherwise

    def _refuse_busy(self, person: str, *places: Place) -> None:
        """Refuse while something would be left behind: a draft, a job, a blind reading of the person's own."""
        for place in places:
            if self._ledger.person is not None and self._readings.is_closed(*place[1:], person):
                raise StoreError(
                    f"{place} is read blind and not finished, so {person} does not see all that would be changed. "
                    "Finish the reading first, or ask an adjudicator or administrator who does not read it."
                )
            drafts = self._drafts.everybodys(place.patient_id, place.timepoint)
            if drafts:
                names = ", ".join(sorted({draft.person for draft in drafts}))
                raise StoreError(
                    f"There is an open draft of {place} ({names}). Save or discard it first: it would be left without "
                    "its scan."
                )
            self._plans().refuse_under_way(place)

    def _write(self, action: str, person: str, reason: str, build: Callable[[str], Change]) -> Correction:
        check_person(person)
        if not check_text("reason", reason).strip() or len(reason) > MAX_REASON:
            raise InputError(f"Expected the reason in 1 to {MAX_REASON} characters: what was wrong.")
        with self._drafts.held():  # nobody begins a draft between the look and the change
            entry = self._ledger.write(action, person, build)
        return _correction(entry, self._standing())


class _Counts(NamedTuple):
    scans: int
    masks: int
    to_affirm: int
    forecasts: int


def _counts(payload: JsonObject) -> _Counts:
    moves, rows = payload.get("moves", ()), payload.get("rows", {})
    scans = sum(len(move["scans"]) for move in moves) + len(rows.get("scans", ())) + len(payload.get("scan_sha256", ()))
    masks = sum(len(move["masks"]) for move in moves) + len(rows.get("masks", ())) + len(payload.get("mask_ids", ()))
    forecasts = len(payload.get("fits", ())) + len(rows.get("growth_fits", ()))
    return _Counts(scans, masks, len(putting_right.unproven(payload)), forecasts)


def _correction(entry: Entry, standing: frozenset[str]) -> Correction:
    payload: JsonDict = entry["payload"]
    withdrawal_id = payload.get("withdrawal_id")
    moves = payload.get("moves", ())
    return Correction(
        seq=entry["seq"],
        created_at=entry["created_at"],
        person=entry["person"],
        action=entry["action"],
        reason=payload["reason"],
        patient_id=payload["patient_id"],
        to_patient_id=payload.get("to_patient_id"),
        timepoints=tuple(m["timepoint"] for m in moves) or tuple(filter(None, [payload.get("timepoint")])),
        to_timepoints=tuple(m["to_timepoint"] for m in moves),
        scan_id=payload.get("scan"),
        **_counts(payload)._asdict(),
        withdrawal_id=withdrawal_id,
        can_be_restored=withdrawal_id in standing and entry["action"] in putting_right.WITHDRAWN,
    )
