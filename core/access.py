"""Who may see and do what: roles, one line for every action that the audit knows, and grants per data set.

The store asks before every write (`store.ledger.actors`); pages ask to say beforehand what would be refused. What a
person gets to see is `Scope`, and `Store.seen_by` gives nothing beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VIEWER, READER, ADJUDICATOR, ADMINISTRATOR = "viewer", "reader", "adjudicator", "administrator"
ROLES = (VIEWER, READER, ADJUDICATOR, ADMINISTRATOR)
#: Words that stores of earlier versions hold, and what they mean now.
_EARLIER_ROLES = {"reviewer": READER}
#: The store itself, as the audit names it: what it did or found on its own. No person can have this name.
SYSTEM = "system"

#: To see the UIDs of the images that a scan came from.
IDENTIFIERS_READ = "identifiers.read"

_READERS = frozenset({READER, ADJUDICATOR, ADMINISTRATOR})
_ADJUDICATORS = frozenset({ADJUDICATOR, ADMINISTRATOR})
_ADMINISTRATORS = frozenset({ADMINISTRATOR})
_STORE_ALONE = frozenset({SYSTEM})
_READERS_AND_STORE = _READERS | _STORE_ALONE  # gates are fitted, and score again, without being asked

#: Who may withdraw what somebody else marked.
MARKS_OF_OTHERS = _ADJUDICATORS

#: action -> roles that may do it. An action without a line is refused to everybody.
ACTIONS: Mapping[str, frozenset[str]] = {
    "person.added": _ADMINISTRATORS,
    "role.set": _ADMINISTRATORS,
    "person.disabled": _ADMINISTRATORS,
    "person.enabled": _ADMINISTRATORS,
    "person.identified": _ADMINISTRATORS,
    "grant.set": _ADMINISTRATORS,
    "scan.added": _READERS,
    "mask.added": _READERS,
    "study.added": _READERS,  # scans and masks that came together, in one change
    "mask.decided": _READERS,
    "links.set": _READERS,
    "links.proposed": _READERS,
    "transform.added": _READERS,
    "transform.judged": _READERS,
    "mask.lost": _READERS,
    "mask.found": _READERS,
    "mask.scored": _READERS_AND_STORE,
    "ood.scored": _READERS_AND_STORE,
    "event.added": _READERS,
    "protocol.set": _READERS,
    "events.imported": _READERS,
    "event.corrected": _READERS,
    "event.withdrawn": _READERS,
    "measurement.added": _READERS,
    "measurement.withdrawn": _READERS,
    "growth.fitted": _READERS,
    "model.used": _READERS,
    "reference_set.added": _READERS_AND_STORE,
    "gate_reference.set": _ADJUDICATORS,  # by what scans are judged from then on
    "vector.added": _READERS_AND_STORE,
    "look.added": _READERS_AND_STORE,
    "mark.added": _READERS,
    "mark.withdrawn": _READERS,  # their own; others' an adjudicator (`MARKS_OF_OTHERS`)
    "evidence.asked": _READERS,
    "reading.set": _ADJUDICATORS,
    "reading.finished": _READERS,
    "job.created": _READERS_AND_STORE,
    "job.cancelled": _READERS,
    "job.updated": _STORE_ALONE,  # what a worker reports; who began or cancelled the job stands in their own entries
    "file.doubted": _STORE_ALONE,
    "file.cleared": _STORE_ALONE,
    "store.recovered": _STORE_ALONE,
    "scan.adopted": _STORE_ALONE,  # what a rebuild takes over on trust, and what it has to doubt
    "mask.adopted": _STORE_ALONE,
    "mask.unproven": _STORE_ALONE,
    # Putting right changes what others have decided about, and whose record it is: not a reader's, whose own it may be.
    # What erases for good is for those who answer for the installation.
    "timepoint.moved": _ADJUDICATORS,
    "scan.moved": _ADJUDICATORS,
    "timepoint.withdrawn": _ADJUDICATORS,
    "scan.withdrawn": _ADJUDICATORS,
    "timepoint.restored": _ADJUDICATORS,
    "scan.restored": _ADJUDICATORS,
    "patients.merged": _ADJUDICATORS,
    "patient.deleted": _ADMINISTRATORS,
    "audit.signing": _ADMINISTRATORS,
    # Not in the audit, as they change no record:
    "draft.edited": _READERS,  # docs/adr/0007
    "store.verified": _ADMINISTRATORS,  # its sentences name patients of every data set
    IDENTIFIERS_READ: _ADJUDICATORS,  # docs/adr/0028: who sends results back to the archive; reading needs no UID
}


#: Jobs about the installation that everybody sees the end of; others without a patient are their starter's and the
#: administrators'.
JOBS_OF_ALL = frozenset({"evaluate_ood", "fit_mask_gate", "rescore"})


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


@dataclass(frozen=True)
class Scope:
    """What of a store a person gets to see.

    Args:
        person: who looks.
        role: one of `ROLES`.
        datasets: names of the data sets that were granted to them; None: all.
        closed: timepoints (patient id, date) that they read blind and have not finished, or that an adjudicator is to
            read once every reader has finished. Of these they see what an engine made and what they drew themselves.
    """

    person: str
    role: str
    datasets: tuple[str, ...] | None
    closed: tuple[tuple[str, str], ...]

    @property
    def is_everything(self) -> bool:
        """Whether nothing is kept from them, also of the work on the installation itself."""
        return self.role == ADMINISTRATOR and not self.closed


def role_now(stored: str) -> str:
    """The role that a stored word means: "reviewer", as it was called before, is a reader."""
    return _EARLIER_ROLES.get(stored, stored)


def datasets_of(role: str, granted: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The data sets that somebody sees; None: all.

    Args:
        role: an administrator sees all, whatever was granted: who gives grants could give any to themselves.
        granted: names; None: nobody has said anything, so all, as in an installation of one team.
    """
    return None if role == ADMINISTRATOR else granted


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
    """The roles that may do it, in words: "adjudicator or administrator"; "nobody" for an action without a line."""
    return " or ".join(role for role in ROLES if may(role, action)) or "nobody"
