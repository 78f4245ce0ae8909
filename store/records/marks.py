"""What people say of lesions that were found for others, and that a language model was asked about one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from core.access import MARKS_OF_OTHERS
from core.errors import InputError, StoreError
from core.remembered.marks import EvidenceMark, EvidenceQuestion, NewMark
from core.remembered.untyped import JsonDict
from store.database.connection import Row
from store.ledger.actors import role_of
from store.ledger.evidence_rows import QUESTION_COLUMNS
from store.ledger.writing import Change, LedgerBase, value_of
from store.records.lesion_rows import linked_lesion, numbered_lesion
from store.records.links import Links
from store.values import check_person

_ALL = (
    "SELECT k.*, m.patient_id, m.timepoint, o.patient_id AS other_patient_id, o.timepoint AS other_timepoint "
    "FROM evidence_marks k JOIN masks m ON m.mask_id = k.mask_id JOIN masks o ON o.mask_id = k.other_mask_id"
)
_SAME_PAIR = """
SELECT mark_id FROM evidence_marks
WHERE mask_id = ? AND lesion_id = ? AND other_mask_id = ? AND other_lesion_id = ? AND person = ?
  AND withdrawn_at IS NULL
ORDER BY seq
"""


class Marks:
    """Marks of found lesions as relevant or not. What was marked stays on record: it is withdrawn, or marked anew."""

    def __init__(self, ledger: LedgerBase, links: Links) -> None:
        self._ledger, self._links = ledger, links

    def add(self, mark: NewMark, person: str) -> EvidenceMark:
        """Record a mark. One that the same person made of the same two lesions before, and that stands, is withdrawn in
        the same write.

        Raises:
            InputError: for two lesions of one patient.
            StoreError: for a mask that is not there, or a lesion that it has not.
        """
        mark_id = str(uuid.uuid4())

        def build(at: str) -> Change:
            mask, other = self._ledger.mask_row(mark.mask_id), self._ledger.mask_row(mark.other_mask_id)
            if mask["patient_id"] == other["patient_id"]:
                raise InputError("Expected lesions of two patients, got two of one. Nothing was recorded.")
            named: JsonDict = {
                "mark_id": mark_id,
                **vars(mark),
                "lesion_id": numbered_lesion(self._links, mask, mark.lesion_id),
                "other_lesion_id": numbered_lesion(self._links, other, mark.other_lesion_id),
                "distance": float(mark.distance),
            }
            pair = [named[name] for name in ("mask_id", "lesion_id", "other_mask_id", "other_lesion_id")]
            before = self._ledger.db.query(_SAME_PAIR, [*pair, person])
            return Change({**named, **_ends(mask, other), "replaces": [row["mark_id"] for row in before]})

        self._ledger.write("mark.added", person, build)
        return self.by_id(mark_id)

    def withdraw(self, mark_id: str, person: str) -> None:
        """Take a mark back; it stays on record, with who and when.

        Raises:
            StoreError: if there is no such mark, it was withdrawn before, or somebody else made it and the person is
                neither adjudicator nor administrator.
        """
        check_person(person)

        def build(at: str) -> Change:
            found = self.by_id(mark_id)
            if found.withdrawn_at is not None:
                raise StoreError(
                    f"The mark was withdrawn by {found.withdrawn_by} at {found.withdrawn_at}. Nothing was recorded."
                )
            if found.person != person and role_of(self._ledger.db, person) not in MARKS_OF_OTHERS:
                raise StoreError(
                    f"{found.person} made this mark: they withdraw it, or an adjudicator or administrator does. "
                    "Nothing was recorded."
                )
            mask, other = self._ledger.mask_row(found.mask_id), self._ledger.mask_row(found.other_mask_id)
            ids = {"mask_id": found.mask_id, "other_mask_id": found.other_mask_id}
            return Change({"mark_id": mark_id, **ids, **_ends(mask, other)})

        self._ledger.write("mark.withdrawn", person, build)

    def standing(self, mask_id: str | None = None, lesion_id: str | None = None) -> list[EvidenceMark]:
        """The marks that count, oldest first: not withdrawn, and of two patients, who may have been merged since.

        Args:
            mask_id, lesion_id: of the lesion that was asked about; None: of all.
        """
        marks = self._query(" WHERE k.mask_id = ?", [mask_id]) if mask_id is not None else self.all()
        return [mark for mark in marks if mark.stands and lesion_id in (None, mark.lesion_id)]

    def all(self) -> list[EvidenceMark]:
        """Every mark on record, oldest first, whether it stands or not; none of masks that were withdrawn."""
        return self._query("", [])

    def by_id(self, mark_id: str) -> EvidenceMark:
        """One mark, whether it stands or not. Raises StoreError if there is none of that id."""
        found = self._query(" WHERE k.mark_id = ?", [mark_id])
        if not found:
            raise StoreError(f"There is no mark {str(mark_id)[:80]!r}. Reload the page. Nothing was recorded.")
        return found[0]

    def _query(self, clause: str, values: Sequence[object]) -> list[EvidenceMark]:
        rows = self._ledger.db.query(f"{_ALL}{clause} ORDER BY k.seq", values)
        ids = self._links.changed_ids() if rows else {}
        return [
            value_of(
                EvidenceMark,
                {
                    **row,
                    "lesion_id": linked_lesion(ids, row["mask_id"], row["lesion_id"]),
                    "other_lesion_id": linked_lesion(ids, row["other_mask_id"], row["other_lesion_id"]),
                },
            )
            for row in rows
        ]


class EvidenceQuestions:
    """That a language model was asked about a lesion: the audit's entry is the record, no table has it."""

    def __init__(self, ledger: LedgerBase, links: Links) -> None:
        self._ledger, self._links = ledger, links

    def record(self, question: EvidenceQuestion, person: str) -> None:
        """Record that a question was sent, before it is.

        Raises:
            StoreError: for a mask that is not there, or a lesion that it has not.
        """

        def build(at: str) -> Change:
            mask = self._ledger.mask_row(question.mask_id)
            said = {name: getattr(question, name) for name in QUESTION_COLUMNS}
            said |= {"lesion_id": numbered_lesion(self._links, mask, question.lesion_id)}
            return Change({**said, "patient_id": mask["patient_id"], "timepoint": mask["timepoint"]})

        self._ledger.write("evidence.asked", person, build)


def _ends(mask: Row, other: Row) -> JsonDict:
    """Whose lesions they are now: what an entry is found, and kept from others, by."""
    return {
        "patient_id": mask["patient_id"],
        "timepoint": mask["timepoint"],
        "other_patient_id": other["patient_id"],
        "other_timepoint": other["timepoint"],
    }
