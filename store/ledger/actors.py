"""The one who acts: nobody writes under a name that was not added, or beyond what its role allows."""

from __future__ import annotations

from core.access import ADMINISTRATOR, REVIEWER, SYSTEM, may, roles_that_may
from core.errors import StoreError
from store.database.connection import Connection


def role_of(db: Connection, person: str) -> str | None:
    """The role of a person, `SYSTEM` for the store itself; None for a name that nobody added."""
    if person == SYSTEM:
        return SYSTEM
    rows = db.query("SELECT role FROM people WHERE name = ?", [person])
    return str(rows[0]["role"]) if rows else None


def administrators(db: Connection) -> list[str]:
    """Names of the administrators, sorted; [] in a store of a time when roles meant nothing."""
    return [str(r["name"]) for r in db.query("SELECT name FROM people WHERE role = ? ORDER BY name", [ADMINISTRATOR])]


def may_act(db: Connection, action: str, person: str) -> bool:
    """Whether `person` may do what the audit calls `action` (`core.access`).

    Two exceptions, both for adding people: the first person of a store is added by that name itself, and where nobody
    is an administrator yet a reviewer may add people.
    """
    role = role_of(db, person)
    if action == "person.added" and not may(role, action):
        if role is None:
            return not db.query("SELECT 1 FROM people LIMIT 1")
        return role == REVIEWER and not administrators(db)
    return may(role, action)


def check_actor(db: Connection, action: str, person: str) -> None:
    """Refuse unless `person` is known and may do `action`; nothing is returned where it is allowed.

    Raises:
        StoreError: naming what is missing and who can help.
    """
    if may_act(db, action, person):
        return
    name = repr(str(person)[:64])
    if role_of(db, person) is None:
        raise StoreError(
            f"Nobody added {name} to this store, so nothing can be recorded under that name. An administrator adds a "
            "person on System, People, or by `python cli.py people add NAME --role ROLE`."
        )
    raise StoreError(
        f"Expected {roles_that_may(action)} for this ({action}), {name} is {role_of(db, person)}. "
        "Nothing was recorded. An administrator can change the role on System, People."
    )
