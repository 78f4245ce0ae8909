"""Who acts is asked at every write, by the role that they have then."""

from __future__ import annotations

import pytest

from core.access import Identity
from core.errors import StoreError
from store import Store
from store.ledger.actors import administrators, check_actor, may_act, person_named, person_with, role_of
from tests.store_phantom import DAY1, add_mask, add_scan


def test_a_role_that_is_taken_away_or_given_counts_from_the_next_write(store: Store) -> None:
    add_scan(store, person="ann")
    store.people.add("ann", "viewer", by="demo")
    with pytest.raises(
        StoreError, match=r"Expected reader or adjudicator or administrator .*\(mask.added\), 'ann' is viewer"
    ):
        add_mask(store, 3, author="ann")
    assert store.masks.of("P1") == []
    store.people.add("ann", "reader", by="demo")
    assert add_mask(store, 3, author="ann").author == "ann"
    with pytest.raises(StoreError, match=r"Expected administrator for this \(person.added\), 'ann' is reader"):
        store.people.add("cy", by="ann")
    store.people.add("ann", "administrator", by="demo")
    store.people.add("cy", by="ann")
    store.people.add("demo", "viewer", by="ann")
    with pytest.raises(StoreError, match="'demo' is viewer"):
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    assert [entry["person"] for entry in store.audit_log(3)] == ["ann", "ann", "demo"]


def test_the_role_of_a_person_is_the_last_one_given(store: Store) -> None:
    assert [role_of(store.db, name) for name in ("demo", "ann", "nobody", "system")] == [
        "administrator",
        "reader",
        None,
        "system",
    ]
    assert administrators(store.db) == ["demo"]
    for name in ("bob", "ann"):
        store.people.add(name, "administrator", by="demo")
    assert administrators(store.db) == ["ann", "bob", "demo"]
    store.people.add("ann", "viewer", by="bob")
    assert role_of(store.db, "ann") == "viewer"
    assert administrators(store.db) == ["bob", "demo"]


def test_adding_people_is_for_administrators_but_for_the_first_person_and_where_there_is_no_administrator(
    store: Store,
) -> None:
    store.people.add("vic", "viewer", by="demo")

    def may_add() -> list[bool]:
        return [may_act(store.db, "person.added", name) for name in ("demo", "ann", "vic", "nobody", "system")]

    assert may_add() == [True, False, False, False, False]
    store.db.execute("UPDATE people SET role = 'reviewer' WHERE name = 'demo'")  # a store of before roles
    assert may_add() == [True, True, False, False, False]
    assert not may_act(store.db, "audit.signing", "demo"), "the exception is for adding people alone"
    store.db.execute("DELETE FROM people")
    assert may_add() == [True, True, True, True, False]
    assert not may_act(store.db, "scan.added", "demo")


def test_what_is_refused_is_said_with_at_most_64_characters_of_the_name(store: Store) -> None:
    with pytest.raises(StoreError, match=rf"Nobody added '{'x' * 64}' to this store"):
        check_actor(store.db, "scan.added", "x" * 70)
    check_actor(store.db, "scan.added", "ann")
    check_actor(store.db, "store.recovered", "system")


def test_who_is_disabled_may_do_nothing_and_is_told_so(store: Store) -> None:
    store.people.add("ann", "administrator", by="demo")
    store.people.disable("ann", by="demo")
    assert not any(may_act(store.db, action, "ann") for action in ("person.added", "scan.added", "store.verified"))
    with pytest.raises(StoreError, match="'ann' was disabled by an administrator"):
        check_actor(store.db, "scan.added", "ann")
    store.people.enable("ann", by="demo")
    check_actor(store.db, "scan.added", "ann")


def test_who_signs_in_is_found_by_account_and_an_account_is_whole_or_none(store: Store) -> None:
    account = Identity("https://id.example.org", "account-7", "ann@example.org")
    plain = person_named(store.db, "ann")
    assert plain is not None
    assert (plain.identity, plain.changes, plain.disabled) == (None, 0, False)
    assert person_with(store.db, account) is None
    store.people.identify("ann", account, by="demo")
    store.people.disable("ann", by="demo")
    found = person_with(store.db, account)
    assert found is not None
    assert (found.name, found.identity, found.changes, found.disabled) == ("ann", account, 2, True)
    assert person_with(store.db, Identity(account.issuer, "account-8")) is None
    for column in ("issuer", "subject"):
        store.db.execute("UPDATE people SET issuer = 'x', subject = 'y' WHERE name = 'ann'")
        store.db.execute(f"UPDATE people SET {column} = NULL WHERE name = 'ann'")
        half = person_named(store.db, "ann")
        assert half is not None
        assert half.identity is None, "half an account is nobody's"
