"""The people who may be named on a record, and their roles."""

from __future__ import annotations

from core.access import ADMINISTRATOR, REVIEWER, ROLES, SYSTEM
from core.errors import InputError, StoreError
from core.remembered.rows import Person
from store.ledger import actors
from store.ledger.writing import Change, Ledger, value_of
from store.values import check_person


class People:
    """Those who may be named on a record, and their roles."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(self, name: str, role: str = REVIEWER, *, by: str) -> None:
        """Make a person known; of one who is known already the role is changed. The same again writes nothing.

        Args:
            role: one of `core.access.ROLES`.
            by: who adds: an administrator; where there is none yet, a reviewer may.

        Raises:
            InputError: for a name or role that cannot be one.
            StoreError: if `by` may not, or the last administrator would cease to be one.
        """
        check_person(name), check_person(by)
        if SYSTEM in (name.strip().casefold(), by.strip().casefold()):
            raise InputError(f"Expected the name of a person; {SYSTEM!r} is the store itself. Choose another.")
        if role not in ROLES:
            raise InputError(f"Expected a role of {', '.join(ROLES)}, got {str(role)[:40]!r}.")

        def build(at: str) -> Change:
            if role != ADMINISTRATOR and actors.administrators(self._ledger.db) == [name]:
                raise StoreError(
                    f"{name!r} is the only administrator, and somebody must be one. Make another person an "
                    "administrator first."
                )
            return Change({"name": name, "role": role})

        if actors.role_of(self._ledger.db, name) != role or not actors.may_act(self._ledger.db, "person.added", by):
            self._ledger.write("person.added", by, build)

    def all(self) -> list[Person]:
        """Those known, by name."""
        rows = self._ledger.db.query("SELECT name, role, added_at FROM people ORDER BY name")
        return [value_of(Person, row) for row in rows]

    def role_of(self, person: str) -> str | None:
        """The role of a person; None for a name that nobody added."""
        return None if person == SYSTEM else actors.role_of(self._ledger.db, person)

    def may(self, person: str, action: str) -> bool:
        """Whether the store would let this person do what the audit calls `action`."""
        return person != SYSTEM and actors.may_act(self._ledger.db, action, person)
