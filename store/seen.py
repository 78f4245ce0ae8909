"""The store as one person gets to see it: the only store that pages and routes are given.

What is kept from them (patients of data sets that were not granted, readings of a timepoint that they read blind) is
not there: it is missing from lists, and asking for it is answered as for what never was. Under their name alone
something is written, and only about what they see. The rules are `core.access`; the tables are narrowed by
`store.ledger.scope`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from core.access import Scope, datasets_of
from core.errors import StoreError
from core.remembered.lists import HasViews
from core.remembered.sources import HasJobs, HasMasks, HasPatients, HasReadings
from core.remembered.untyped import JsonObject
from core.review.blind_reading import Hidden
from core.types import Progress, no_progress
from store.database.connection import Connection, Row
from store.files.file_checks import StoredFile, StoredFiles
from store.ledger import putting_right
from store.ledger.actors import may_act, person_named
from store.ledger.audit import Entry
from store.ledger.base import Change, LedgerBase
from store.ledger.compound import STUDY
from store.ledger.scope import scoped
from store.ledger.writing import Ledger
from store.parts import Parts
from store.records.withdrawals import former_names, withdrawn_unread

#: What stands in an audit entry's place.
WITHHELD = "not shown: it is about what you do not see (a data set that was not granted, or a blind reading)"
ACCOUNT_WITHHELD = "not shown: accounts are for administrators"
CHECK_WITHHELD = "not shown: what a check of the whole store found is for administrators"
FLIPS_WITHHELD = "not shown: you read this patient blind"
#: Most jobs that are looked up to know what their entries are about.
_MOST_JOBS = 10_000


class WholeStore(HasPatients, HasMasks, HasReadings, HasJobs, HasViews, Protocol):
    """Parts of the whole store that views need (`store.store.Store`, which makes these views)."""

    @property
    def recovered(self) -> list[str]: ...
    @property
    def ledger(self) -> Ledger: ...
    def every_file(self) -> list[StoredFile]: ...
    def audit_log(self, limit: int = 100) -> list[Entry]: ...
    def verify(self, full: bool = False, progress: Progress = no_progress) -> list[str]: ...
    def remarks(self) -> list[str]: ...


class SeenTables:
    """The database's tables, narrowed to what a person sees."""

    def __init__(self, db: Connection, scope: Scope) -> None:
        self._db, self._scope = db, scope

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """`Connection.query` of what the person sees."""
        return self._db.query(*scoped(self._scope, sql, parameters))


class SeenLedger(LedgerBase):
    """A person's ledger."""

    def __init__(self, whole: Ledger, scope: Scope) -> None:
        self.root, self._whole, self._scope = whole.root, whole, scope
        self._tables = SeenTables(whole.db, scope)

    @property
    def db(self) -> SeenTables:
        """The tables, narrowed to what the person sees."""
        return self._tables

    @property
    def person(self) -> str:
        """The person whose ledger it is."""
        return self._scope.person

    @property
    def whole(self) -> Ledger:
        """The whole ledger."""
        return self._whole

    def sees_dataset(self, dataset: str) -> bool:
        """Whether that data set was granted to the person."""
        return self._scope.datasets is None or dataset in self._scope.datasets

    def write(self, action: str, person: str, build: Callable[[str], Change]) -> Entry:
        """`Ledger.write` under the person's own name, about what they see.

        Raises:
            StoreError: also under another name, or for a place that is not theirs.
        """
        if person != self.person:
            raise StoreError(
                f"Expected to record it under {self.person!r}, who asks for it, got another name. Nothing was recorded."
            )

        def build_within(at: str) -> Change:
            change = build(at)
            self._check_place(action, change.payload)
            return change

        return self._whole.write(action, person, build_within)

    def _check_place(self, action: str, payload: JsonObject) -> None:
        """Raise StoreError unless what is written is about what the person sees."""
        datasets = self._scope.datasets
        if action in ("scan.added", STUDY):
            if datasets is not None and payload["dataset"] not in datasets:
                raise StoreError(
                    f"Expected a data set that was granted to {self.person} ({', '.join(datasets) or 'none'}), got "
                    f"{payload['dataset']!r}. Nothing was recorded. An administrator gives grants on System, People."
                )
            return
        if action in putting_right.ACTIONS:  # of a patient who may be in no table any more, or not yet
            if not all(
                self.sees_dataset(str(payload.get(end, payload["dataset"]))) for end in ("dataset", "to_dataset")
            ):
                raise StoreError("Expected what was granted to you, at both ends. Nothing was recorded.")
            return
        patient_id = payload.get("patient_id") or payload.get("params", {}).get("patient_id")
        named = [event["patient_id"] for event in payload.get("events", ())]
        for one in dict.fromkeys([*named, *([] if patient_id is None else [patient_id])]):
            self.dataset_of(one)
        mask_id = payload.get("mask_id") or payload.get("decision", {}).get("mask_id")
        if mask_id is not None and action != "mask.added":
            self.mask_row(mask_id)


class SeenStore(Parts):
    """What `Store.seen_by` gives: the same parts as the store's. It lives as long as a request or a run of a page; who
    sees what is asked when it is made.

    Raises:
        StoreError: for a name that nobody added, or that is disabled.
    """

    def __init__(self, whole: WholeStore, person: str) -> None:
        known = person_named(whole.ledger.db, person)
        if known is None or known.disabled:
            raise StoreError(
                "Expected somebody whom an administrator added and who is let in, got "
                f"{'somebody who was disabled' if known else 'another name'}. An administrator helps on System, People."
            )
        datasets, closed = datasets_of(known.role, known.datasets), whole.readings.closed_to(person)
        if closed and datasets is not None:  # that somebody reads blind elsewhere is none of theirs
            rows = whole.ledger.db.query("SELECT patient_id, dataset FROM patients")
            theirs = {row["patient_id"] for row in rows if row["dataset"] in datasets}
            closed = [place for place in closed if place[0] in theirs]
        self._scope = Scope(person, known.role, datasets, tuple(closed))
        self._whole = whole
        self._ledger = SeenLedger(whole.ledger, self._scope)
        super().__init__(self._ledger, StoredFiles(self._ledger, whole.every_file))

    @property
    def person(self) -> str:
        """Who looks, and under whose name everything is recorded."""
        return self._scope.person

    @property
    def scope(self) -> Scope:
        """The scope: data sets and timepoints that the person sees."""
        return self._scope

    def audit_log(self, limit: int = 100) -> list[Entry]:
        """The newest `limit` audit entries, newest first; of what the person does not see, a sentence for the payload.

        Accounts are for whoever may give them names, and what a check found for whoever may check.
        """
        entries, hidden = self._whole.audit_log(limit), self._hidden()
        identifies = may_act(self._whole.ledger.db, "person.identified", self.person)
        checks = may_act(self._whole.ledger.db, "store.verified", self.person)
        blind = {patient_id for patient_id, _ in hidden.places}
        asked = {job.job_id: job.params for job in self._whole.jobs.newest(limit=_MOST_JOBS)} if hidden else {}
        for entry in entries:
            if hidden and _is_hidden(entry["payload"], hidden, asked):
                entry["payload"] = WITHHELD
            elif entry["action"] == "person.identified" and not identifies:
                entry["payload"] = ACCOUNT_WITHHELD
            elif not checks and _tells_of_a_check(entry["payload"]):
                entry["payload"] = CHECK_WITHHELD
            elif blind & (told := entry["payload"].get("flips_of_patients") or {}).keys():
                shown = {one: FLIPS_WITHHELD if one in blind else found for one, found in told.items()}
                entry["payload"] = {**entry["payload"], "flips_of_patients": shown}
            elif entry["payload"].get("flips") and entry["payload"].get("patient_id") in blind:
                entry["payload"] = {**entry["payload"], "flips": FLIPS_WITHHELD}  # calls come of hidden masks too
        return entries

    def _hidden(self) -> Hidden:
        """What is kept from the person, with patients and masks that left the tables: entries still name them."""
        hidden, seen = Hidden.of(self._whole, self._scope), {one.patient_id for one in self.patients.all()}
        former = [one for one in former_names(self._whole.ledger.db) if not self._ledger.sees_dataset(one[1])]
        return Hidden(
            hidden.patients | {patient_id for patient_id, _, _ in former if patient_id not in seen},
            hidden.places,
            hidden.mask_ids
            | {mask_id for _, _, masks in former for mask_id in masks}
            | frozenset(withdrawn_unread(self._whole.ledger.db, self.person)),
        )

    def verify(self, full: bool = False, progress: Progress = no_progress) -> list[str]:
        """`Store.verify`. Raises StoreError for who is no administrator: its sentences name patients."""
        self._refuse_unless_administrator()
        return self._whole.verify(full, progress)

    def remarks(self) -> list[str]:
        """`Store.remarks`, and what was mended at the last opening. Raises StoreError as `verify`."""
        self._refuse_unless_administrator()
        return [*self._whole.remarks(), *self._whole.recovered]

    def _refuse_unless_administrator(self) -> None:
        if not may_act(self._whole.ledger.db, "store.verified", self.person):
            raise StoreError(
                f"Expected an administrator for this, as it names patients of every data set; {self.person} is "
                f"{self._scope.role}. An administrator can change the role on System, People."
            )


def _is_hidden(payload: JsonObject, hidden: Hidden, asked: JsonObject) -> bool:
    """Whether an entry tells of what is hidden. Of a job's end it says not where it ran, so the job itself is asked:
    its params by id; of one that is not among them nothing is known."""
    job = [str(payload["job_id"])] if "job_id" in payload else []
    return not asked.keys() >= set(job) or hidden.is_named_in([payload, *(asked[job_id] for job_id in job)])


def _tells_of_a_check(payload: JsonObject) -> bool:
    """Whether an entry holds the sentences of a job that verified the store (`core.jobs.stages.verify`)."""
    result = payload.get("changes", {}).get("result") or {}
    return {"problems", "remarks"} <= result.keys()
