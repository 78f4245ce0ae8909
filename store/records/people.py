"""The people who may be named on a record: their roles, who signs in under which name, and who is kept out."""

from __future__ import annotations

from collections.abc import Sequence

from core.access import ADMINISTRATOR, READER, ROLES, SYSTEM, Identity, role_now
from core.errors import InputError, StoreError
from core.remembered.rows import Person
from store.ledger import actors
from store.ledger.writing import Change, LedgerBase
from store.values import check_id, check_person, check_text

#: Longest issuer, subject and address of an e-mail that are kept (OpenID Connect allows 255 for a subject).
_LONGEST_CLAIM = 255


class People:
    """Those who may be named on a record."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def add(self, name: str, role: str = READER, *, by: str) -> None:
        """Make a person known; of one who is known already the role is changed. The same again writes nothing.

        Args:
            role: one of `core.access.ROLES`.
            by: who adds: an administrator; where there is none yet, a reader may.

        Raises:
            InputError: for a name or role that cannot be one.
            StoreError: if `by` may not, or the last administrator would cease to be one.
        """
        check_person(name), check_person(by)
        if SYSTEM in (name.strip().casefold(), by.strip().casefold()):
            raise InputError(f"Expected the name of a person; {SYSTEM!r} is the store itself. Choose another.")
        role = role_now(role)
        if role not in ROLES:
            raise InputError(f"Expected a role of {', '.join(ROLES)}, got {str(role)[:40]!r}.")
        action = "role.set" if self.named(name) else "person.added"

        def build(at: str) -> Change:
            if role != ADMINISTRATOR:
                self._keep_an_administrator(name)
            return Change({"name": name, "role": role})

        if self.role_of(name) != role or not actors.may_act(self._ledger.db, action, by):
            self._ledger.write(action, by, build)

    def disable(self, name: str, *, by: str) -> None:
        """Keep a person out, pages and routes alike, from their next request on; their records stay as they are.

        Raises:
            StoreError: for a name that nobody added or that is disabled already, if `by` may not, or if no
                administrator would be left.
        """
        self._let_in(name, False, by)

    def enable(self, name: str, *, by: str) -> None:
        """Let a person in again. Raises StoreError for one who is not disabled, or if `by` may not."""
        self._let_in(name, True, by)

    def _let_in(self, name: str, enabled: bool, by: str) -> None:
        def build(at: str) -> Change:
            if self._known(name).disabled is not enabled:
                raise StoreError(f"{name!r} is {'not disabled' if enabled else 'disabled already'}.")
            if not enabled:
                self._keep_an_administrator(name)
            return Change({"name": name})

        self._ledger.write("person.enabled" if enabled else "person.disabled", by, build)

    def identify(self, name: str, identity: Identity | None, *, by: str) -> None:
        """Say who signs in under a name, in place of what was said before; None: nobody does. The same again writes
        nothing.

        Raises:
            InputError: for an issuer or subject that is none.
            StoreError: for a name that nobody added, an account that another name has, or if `by` may not.
        """
        claims = {"issuer": None, "subject": None, "email": None} if identity is None else _claims(identity)

        def build(at: str) -> Change:
            self._known(name)
            other = None if identity is None else self.with_identity(identity)
            if other is not None and other.name != name:
                raise StoreError(
                    f"This account signs in as {other.name!r} already. Take it from that name first, or give the role "
                    "to that name."
                )
            return Change({"name": name, **claims})

        found = self.named(name)
        if found is None or found.identity != identity or not self.may(by, "person.identified"):
            self._ledger.write("person.identified", by, build)

    def grant(self, name: str, datasets: Sequence[str] | None, *, by: str) -> None:
        """Say which data sets a person sees, in place of what was said before. The same again writes nothing.

        Args:
            datasets: names, also of data sets that are still to come; an empty list: no patient at all; None: all.

        Raises:
            InputError: for a name that can be no data set's.
            StoreError: for a person whom nobody added, for an administrator (who sees all), or if `by` may not.
        """
        granted = None if datasets is None else tuple(sorted({check_id("dataset", one) for one in datasets}))

        def build(at: str) -> Change:
            if self._known(name).role == ADMINISTRATOR and granted is not None:
                raise StoreError(
                    f"{name!r} is an administrator and sees every data set, since administrators give the grants. "
                    "Change the role first."
                )
            return Change({"name": name, "datasets": None if granted is None else list(granted)})

        found = self.named(name)
        if found is None or found.datasets != granted or not self.may(by, "grant.set"):
            self._ledger.write("grant.set", by, build)

    def _known(self, name: str) -> Person:
        found = self.named(name)
        if found is None:
            raise StoreError(f"Nobody added {str(name)[:64]!r} to this store. System, People lists those who were.")
        return found

    def _keep_an_administrator(self, name: str) -> None:
        if actors.administrators(self._ledger.db) == [name]:
            raise StoreError(
                f"{name!r} is the only administrator, and somebody must be one. Make another person an "
                "administrator first."
            )

    def all(self) -> list[Person]:
        """Those known, by name."""
        return actors.all_people(self._ledger.db)

    def named(self, name: str) -> Person | None:
        """The person of that name; None for a name that nobody added."""
        return actors.person_named(self._ledger.db, name)

    def with_identity(self, identity: Identity) -> Person | None:
        """Who signs in as this account; None for one that no administrator has given a name."""
        return actors.person_with(self._ledger.db, identity)

    def role_of(self, person: str) -> str | None:
        """The role of a person; None for a name that nobody added."""
        return None if person == SYSTEM else actors.role_of(self._ledger.db, person)

    def may(self, person: str, action: str) -> bool:
        """Whether the store would let this person do what the audit calls `action`."""
        return person != SYSTEM and actors.may_act(self._ledger.db, action, person)


def _claims(identity: Identity) -> dict[str, str | None]:
    """An identity as the audit has it. Raises InputError for what no provider says."""
    for what, value in (("issuer", identity.issuer), ("subject", identity.subject)):
        if not value or len(value) > _LONGEST_CLAIM or check_text(what, value) != value.strip():
            raise InputError(f"Expected the {what} of an account, 1 to {_LONGEST_CLAIM} letters, got {value[:80]!r}.")
    email = check_text("email", identity.email)[:_LONGEST_CLAIM]
    return {"issuer": identity.issuer, "subject": identity.subject, "email": email or None}
