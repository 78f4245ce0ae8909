"""Roles, and which of them may do what: one line for every action that the audit knows.

The store asks before every write (`store.ledger.actors`), pages ask to say beforehand what would be refused. Reading is
free to all until there is a sign-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VIEWER, REVIEWER, ADMINISTRATOR = "viewer", "reviewer", "administrator"
ROLES = (VIEWER, REVIEWER, ADMINISTRATOR)
#: The store itself, as the audit names it: what it did or found on its own. No person can have this name.
SYSTEM = "system"

_REVIEWERS = frozenset({REVIEWER, ADMINISTRATOR})
_ADMINISTRATORS = frozenset({ADMINISTRATOR})
_STORE_ALONE = frozenset({SYSTEM})
_REVIEWERS_AND_STORE = _REVIEWERS | _STORE_ALONE  # the mask gate is fitted anew without being asked

#: action -> roles that may do it. An action without a line is refused to everybody.
ACTIONS: Mapping[str, frozenset[str]] = {
    "person.added": _ADMINISTRATORS,
    "role.set": _ADMINISTRATORS,
    "person.disabled": _ADMINISTRATORS,
    "person.enabled": _ADMINISTRATORS,
    "person.identified": _ADMINISTRATORS,
    "scan.added": _REVIEWERS,
    "mask.added": _REVIEWERS,
    "mask.decided": _REVIEWERS,
    "mask.lost": _REVIEWERS,
    "mask.found": _REVIEWERS,
    "mask.scored": _REVIEWERS,
    "ood.scored": _REVIEWERS,
    "event.added": _REVIEWERS,
    "growth.fitted": _REVIEWERS,
    "model.used": _REVIEWERS,
    "reference_set.added": _REVIEWERS_AND_STORE,
    "vector.added": _REVIEWERS,
    "reading.set": _REVIEWERS,
    "reading.finished": _REVIEWERS,
    "job.created": _REVIEWERS_AND_STORE,
    "job.cancelled": _REVIEWERS,
    "job.updated": _STORE_ALONE,  # what a worker reports; who began or cancelled the job stands in their own entries
    "file.doubted": _STORE_ALONE,
    "file.cleared": _STORE_ALONE,
    "store.recovered": _STORE_ALONE,
    "scan.adopted": _STORE_ALONE,  # what a rebuild takes over on trust, and what it has to doubt
    "mask.adopted": _STORE_ALONE,
    "mask.unproven": _STORE_ALONE,
    "audit.signing": _ADMINISTRATORS,
    "draft.edited": _REVIEWERS,  # not in the audit: drafts are no part of the record (docs/adr/0007)
}


@dataclass(frozen=True)
class Identity:
    """Who somebody is, as an OpenID Connect provider vouches for it.

    Args:
        issuer: the provider, by its address (the claim `iss`).
        subject: the account, by what the provider never gives to another one (the claim `sub`).
        email: for people to read; nothing is decided by it, as it may pass to another account.
    """

    issuer: str
    subject: str
    email: str = ""


def may(role: str | None, action: str) -> bool:
    """Whether a role may do what the audit would call `action`.

    Args:
        role: one of `ROLES`, or `SYSTEM`; None, or a word that is no role, may do nothing.
        action: as "mask.decided".

    Returns:
        False also for an action that has no line in `ACTIONS`.
    """
    return role in ACTIONS.get(action, frozenset())


def roles_that_may(action: str) -> str:
    """The roles that may do it, in words: "reviewer or administrator"; "nobody" for an action without a line."""
    return " or ".join(role for role in ROLES if may(role, action)) or "nobody"
