"""The one who acts: nobody writes under a name that was not added, or beyond what its role allows."""

from __future__ import annotations

import json

from core.access import ADJUDICATOR, ADMINISTRATOR, READER, SYSTEM, Identity, may, role_now, roles_that_may
from core.errors import StoreError
from core.remembered.rows import Person
from store.database.connection import Reader, Row

#: What a store needs before anybody is an administrator of it.
_FIRST_STEPS = frozenset({"person.added", "role.set"})
_PERSON = (
    "SELECT p.name, p.role, p.added_at, p.issuer, p.subject, p.email, p.disabled, p.changes, g.datasets "
    "FROM people p LEFT JOIN grants g ON g.name = p.name"
)


def _person_of(row: Row) -> Person:
    known = row["issuer"] is not None and row["subject"] is not None
    identity = Identity(str(row["issuer"]), str(row["subject"]), str(row["email"] or "")) if known else None
    return Person(
        name=str(row["name"]),
        role=role_now(str(row["role"])),
        added_at=str(row["added_at"]),
        identity=identity,
        disabled=bool(row["disabled"]),
        changes=int(row["changes"] or 0),
        datasets=None if row["datasets"] is None else tuple(json.loads(row["datasets"])),
    )


def all_people(db: Reader) -> list[Person]:
    """Those known, by name."""
    return [_person_of(row) for row in db.query(f"{_PERSON} ORDER BY p.name")]


def person_named(db: Reader, name: str) -> Person | None:
    """The person of that name; None for a name that nobody added, and for the store's own."""
    rows = [] if name == SYSTEM else db.query(f"{_PERSON} WHERE p.name = ?", [name])
    return _person_of(rows[0]) if rows else None


def person_with(db: Reader, identity: Identity) -> Person | None:
    """Who signs in as this account; None for one that no administrator has given a name."""
    rows = db.query(f"{_PERSON} WHERE p.issuer = ? AND p.subject = ?", [identity.issuer, identity.subject])
    return _person_of(rows[0]) if rows else None


def role_of(db: Reader, person: str) -> str | None:
    """The role of a person, `SYSTEM` for the store itself; None for a name that nobody added."""
    if person == SYSTEM:
        return SYSTEM
    found = person_named(db, person)
    return found.role if found else None


def administrators(db: Reader) -> list[str]:
    """Names of the administrators who are let in, sorted; [] in a store of a time when roles meant nothing."""
    return [one.name for one in all_people(db) if one.role == ADMINISTRATOR and not one.disabled]


def may_act(db: Reader, action: str, person: str) -> bool:
    """Whether `person` may do what the audit calls `action` (`core.access`). Who is disabled may do nothing.

    Two exceptions, both for adding people: the first person of a store is added by that name itself, and where nobody
    is an administrator yet a reader may add people and give roles.
    """
    if person == SYSTEM:
        return may(SYSTEM, action)
    found = person_named(db, person)
    if found is None:
        return action == "person.added" and not db.query("SELECT 1 FROM people LIMIT 1")
    if found.disabled:
        return False
    first = action in _FIRST_STEPS and found.role in (READER, ADJUDICATOR)
    return may(found.role, action) or (first and not administrators(db))


def check_actor(db: Reader, action: str, person: str) -> None:
    """Refuse unless `person` is known and may do `action`; nothing is returned where it is allowed.

    Raises:
        StoreError: naming what is missing and who can help.
    """
    if may_act(db, action, person):
        return
    name, found = repr(str(person)[:64]), person_named(db, person)
    if found is None and person != SYSTEM:
        raise StoreError(
            f"Nobody added {name} to this store, so nothing can be recorded under that name. An administrator adds a "
            "person on System, People, or by `python cli.py people add NAME --role ROLE`."
        )
    if found is not None and found.disabled:
        raise StoreError(
            f"{name} was disabled by an administrator, so nothing is recorded under that name. An administrator can "
            "enable it again on System, People."
        )
    raise StoreError(
        f"Expected {roles_that_may(action)} for this ({action}), {name} is {role_of(db, person)}. "
        "Nothing was recorded. An administrator can change the role on System, People."
    )
