"""The audit as one person sees it, and the writes that their ledger lets through."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from core.access import Identity
from core.errors import StoreError
from store import SeenStore, Store
from store.ledger.base import Change
from store.seen import ACCOUNT_WITHHELD, CHECK_WITHHELD, WITHHELD
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan


@pytest.fixture
def two(store: Store) -> Store:
    """P1 of "set", X1 of "other"; bob sees "other" alone, ann everything."""
    add_scan(store, "P1", DAY1, seed=1)
    add_scan(store, "X1", DAY1, seed=2, dataset="other")
    store.people.grant("bob", ["other"], by="demo")
    return store


def _change(payload: dict[str, Any], _: str) -> Change:
    return Change(payload)


def _payloads(view: SeenStore | Store, action: str) -> list[Any]:
    return [entry["payload"] for entry in view.audit_log(1000) if entry["action"] == action]


def test_of_entries_only_those_about_other_data_sets_are_withheld_also_before_there_is_a_job(two: Store) -> None:
    newest, older = _payloads(two.seen_by("bob"), "scan.added")
    assert (newest["patient_id"], older) == ("X1", WITHHELD)
    for name in ("ann", "demo"):
        assert two.seen_by(name).audit_log(1000) == two.audit_log(1000)


def test_of_a_job_the_entries_are_shown_to_whom_its_patient_is(two: Store) -> None:
    for patient in ("X1", "P1"):
        job = two.jobs.create("segment", {"patient_id": patient, "timepoint": DAY1}, "demo")
        two.jobs.update(job, status="done", result={"version": 1})
    for action in ("job.created", "job.updated"):
        whole = _payloads(two, action)
        assert _payloads(two.seen_by("bob"), action) == [WITHHELD, whole[1]]
        assert _payloads(two.seen_by("ann"), action) == whole


def test_accounts_are_told_to_whom_gives_them_names_alone(two: Store) -> None:
    two.people.identify("ann", Identity("https://id.example.org", "account-7", "ann@example.org"), by="demo")
    for name in ("ann", "bob"):
        assert _payloads(two.seen_by(name), "person.identified") == [ACCOUNT_WITHHELD]
        assert ACCOUNT_WITHHELD not in _payloads(two.seen_by(name), "person.added")
    assert two.seen_by("demo").audit_log(1000) == two.audit_log(1000)


def test_what_a_check_found_is_told_to_whom_may_check_alone(two: Store) -> None:
    job = two.jobs.create("verify", {}, "demo")
    two.jobs.update(job, status="done", result={"problems": [], "remarks": ["1 of 9 audit entries are signed."]})
    other = two.jobs.create("evaluate_ood", {}, "demo")
    two.jobs.update(other, status="failed", message="stopped")
    two.jobs.update(other, status="done", result={"problems": 3})
    whole = _payloads(two, "job.updated")
    assert _payloads(two.seen_by("ann"), "job.updated") == [*whole[:2], CHECK_WITHHELD]
    assert _payloads(two.seen_by("demo"), "job.updated") == whole


def test_what_is_read_blind_is_closed_where_the_person_sees_the_data_set(two: Store) -> None:
    add_scan(two, "X1", DAY2, seed=3, dataset="other")
    for patient, day in (("P1", DAY1), ("X1", DAY2)):
        two.readings.set_blind(patient, day, True, "demo")
    assert two.seen_by("bob").scope.closed == (("X1", DAY2),)
    assert sorted(two.seen_by("ann").scope.closed) == [("P1", DAY1), ("X1", DAY2)]


def test_nothing_is_recorded_about_what_is_not_seen_whatever_names_it(two: Store) -> None:
    """The last guard, behind the parts, which do not find it."""
    hidden, own = (add_mask(two, 3, patient=patient).mask_id for patient in ("P1", "X1"))
    bob = two.seen_by("bob")
    before = two.audit.last()
    about: tuple[tuple[str, dict[str, Any]], ...] = (
        ("event.added", {"patient_id": "P1"}),
        ("job.created", {"params": {"patient_id": "P1"}}),
        ("mask.scored", {"mask_id": hidden}),
        ("mask.decided", {"decision": {"mask_id": hidden}}),
        ("scan.added", {"dataset": "set", "patient_id": "P9"}),
    )
    for action, payload in about:
        with pytest.raises(StoreError):
            bob._ledger.write(action, "bob", partial(_change, payload))
    assert two.audit.last() == before
    let_through: tuple[tuple[str, dict[str, Any]], ...] = (
        ("event.added", {"patient_id": "X1"}),
        ("job.created", {"params": {}}),
        ("mask.scored", {"mask_id": own}),
        ("mask.added", {"patient_id": "X1", "mask_id": "one that is made by it"}),
        ("scan.added", {"dataset": "other", "patient_id": "a new one"}),
    )
    for action, payload in let_through:
        bob._ledger._check_place(action, payload)
    two.seen_by("ann")._ledger._check_place("scan.added", {"dataset": "a new one", "patient_id": "a new one"})
