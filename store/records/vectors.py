"""The shape vectors of masks."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import InputError
from core.remembered.rows import ShapeVector
from store.database.connection import Row
from store.ledger import putting_right
from store.ledger.writing import Change, LedgerBase, value_of, where
from store.records.lesion_rows import of_readable_lesions, with_linked_lesions
from store.records.links import Links
from store.records.masks import Masks
from store.values import vector_values

#: What changes which vectors `Vectors.all("accepted")` gives.
_CHANGES = (
    "mask.decided",
    "links.set",
    "links.proposed",
    "mask.unproven",
    "mask.adopted",
    "mask.lost",
    "mask.found",
    "file.doubted",
    "file.cleared",
    "vector.added",
    *putting_right.ACTIONS,
)


class Vectors:
    """One shape vector a lesion of a mask."""

    def __init__(self, ledger: LedgerBase, masks: Masks, links: Links) -> None:
        self._ledger, self._masks, self._links = ledger, masks, links

    def add(
        self,
        mask_id: str,
        lesion_id: str,
        patient_id: str,
        vector: Sequence[float],
        names: Sequence[str],
        person: str,
    ) -> None:
        """Remember the shape vector of a lesion in a mask; a second one of the same lesion replaces the first.

        Raises:
            InputError: unless the vector is finite, of one dimension with as many numbers as names, and of the mask's
                own patient.
        """
        row = vector_values(lesion_id, vector, names)
        if self._ledger.mask_row(mask_id)["patient_id"] != patient_id:
            raise InputError("Expected the patient whose mask it is. Nearest masks never come from the same patient.")
        values = {"mask_id": mask_id, "patient_id": patient_id, **row}
        self._ledger.write("vector.added", person, lambda at: Change(values))

    def of(self, mask_id: str) -> list[ShapeVector]:
        """The shape vectors of one mask, by lesion."""
        rows = self._ledger.db.query(
            "SELECT v.*, m.timepoint, m.version, m.status FROM mask_vectors v JOIN masks m ON m.mask_id = v.mask_id "
            "WHERE v.mask_id = ? ORDER BY v.lesion_id",
            [mask_id],
        )
        return self._linked(rows, mask_id=mask_id)

    def accepted_count(self) -> int:
        """How many vectors accepted masks have, those of rejected lesions and unreadable files too."""
        sql = (
            "SELECT count(*) AS n FROM mask_vectors v JOIN masks m ON m.mask_id = v.mask_id WHERE m.status = 'accepted'"
        )
        return int(self._ledger.db.query(sql)[0]["n"])

    def accepted_mask_ids(self) -> frozenset[str]:
        """The ids of accepted masks."""
        rows = self._ledger.db.query("SELECT mask_id FROM masks WHERE status = 'accepted'")
        return frozenset(row["mask_id"] for row in rows)

    def last_change(self) -> tuple[int, str]:
        """The newest audit entry that may have changed the vectors of accepted masks: its seq and when it was made;
        (0, "") where there is none."""
        marks = ", ".join("?" * len(_CHANGES))
        sql = f"SELECT max(seq) AS seq, max(created_at) AS at FROM audit WHERE action IN ({marks})"
        row = self._ledger.db.query(sql, _CHANGES)[0]
        return int(row["seq"] or 0), str(row["at"] or "")

    def all(self, status: str | None = None) -> list[ShapeVector]:
        """Shape vectors by mask and lesion. `status` "accepted" gives those of accepted masks alone, without the
        lesions that were rejected in them and without masks whose file is lost, altered or missing."""
        clause, values = where(m__status=status)
        rows = self._ledger.db.query(
            "SELECT v.*, m.timepoint, m.version, m.status, m.lesions FROM mask_vectors v "
            f"JOIN masks m ON m.mask_id = v.mask_id{clause} ORDER BY v.mask_id, v.lesion_id",
            values,
        )
        return self._linked(of_readable_lesions(rows, self._masks) if status == "accepted" else rows)

    def _linked(self, rows: Sequence[Row], mask_id: str | None = None) -> list[ShapeVector]:
        """The vectors under the lesions that their labels are linked to; they are stored under the label's number."""
        linked = with_linked_lesions(rows, self._links.changed_ids(mask_id=mask_id))
        return [value_of(ShapeVector, row, decoded=["vector", "names"]) for row in linked]
