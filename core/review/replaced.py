"""What became of a person's acceptance by another person's decision: both are told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from core.remembered.lists import HasViews, VersionDecision
from core.types import Decision, MaskRecord

_DONE = {"accept": "replaced", "withdraw": "withdrawn", "reject": "rejected"}


@dataclass(frozen=True)
class EndedAcceptance:
    """An acceptance of one person that another one ended.

    Args:
        was: the acceptance; by: the decision that ended it.
    """

    was: VersionDecision
    by: VersionDecision

    @property
    def words(self) -> str:
        """A sentence for whose acceptance it was, without its full stop."""
        now = f", who accepted v{self.by.version}" if self.by.verdict == "accept" else ""
        return f"your acceptance of v{self.was.version} was {_DONE[self.by.verdict]} by {self.by.reviewer}{now}"


def ended_acceptances(store: HasViews, person: str) -> list[EndedAcceptance]:
    """Acceptances of this person that others ended, by patient and date; not where the person decided since."""
    rows = store.views.decided_beside(person)
    found = (
        ended_at(list(decisions), person)
        for _, decisions in groupby(rows, key=lambda row: (row.patient_id, row.timepoint))
    )
    return [one for one in found if one is not None]


def ended_at(decisions: Sequence[VersionDecision], person: str) -> EndedAcceptance | None:
    """The same of one timepoint; decisions oldest first. None where nobody else ended theirs, or they decided since."""
    standing: VersionDecision | None = None
    ended: EndedAcceptance | None = None
    for row in decisions:
        ends = standing is not None and (row.verdict == "accept" or row.mask_id == standing.mask_id)
        if row.reviewer == person:
            ended = None
        elif ends and standing is not None and standing.reviewer == person:
            ended = EndedAcceptance(standing, row)
        if row.verdict == "accept":
            standing = row
        elif ends:
            standing = None
    return ended


def standing_acceptance(
    records: Iterable[MaskRecord], decisions: Iterable[Decision]
) -> tuple[MaskRecord, Decision] | None:
    """The accepted version of a timepoint and the decision that accepted it; None where there is none.

    Args:
        records: versions of one timepoint; decisions: about them, oldest first.
    """
    record = next((one for one in records if one.status == "accepted"), None)
    if record is None:
        return None
    own = [d for d in decisions if d.mask_id == record.mask_id and d.lesion_id is None and d.verdict == "accept"]
    return (record, own[-1]) if own else None
