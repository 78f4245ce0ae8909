"""How lesions look to image encoders."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import InputError
from core.remembered.looks import LesionLook, StoredLook, unpack_look
from core.remembered.untyped import JsonDict
from store.database.connection import Row
from store.ledger.evidence_rows import LOOK_KEY, LOOK_TEXTS, look_values
from store.ledger.stored_values import mask_of
from store.ledger.writing import Change, LedgerBase
from store.records.lesion_rows import of_readable_lesions, with_linked_lesions
from store.records.links import Links
from store.records.masks import Masks

#: Of masks at whose timepoint the scan still lies that was looked at: it may have been withdrawn, or moved alone.
_HERE = (
    "FROM lesion_looks l JOIN masks m ON m.mask_id = l.mask_id LEFT JOIN scans s ON s.sha256 = l.scan_sha256 "
    "AND s.patient_id = m.patient_id AND s.timepoint = m.timepoint WHERE (l.scan_sha256 = '' OR s.sha256 IS NOT NULL)"
)
_LOOKS = f"SELECT l.*, m.patient_id, m.timepoint, m.version, m.status, m.lesions {_HERE}"
_WITHOUT = f"""
SELECT m.mask_id FROM masks m
LEFT JOIN (SELECT patient_id, timepoint, max(version) AS newest FROM masks WHERE status = 'proposed'
           GROUP BY patient_id, timepoint) p ON p.patient_id = m.patient_id AND p.timepoint = m.timepoint
WHERE m.lesions <> '[]' AND (m.status = 'accepted' OR (m.status = 'proposed' AND m.version = p.newest))
  AND m.mask_id NOT IN (SELECT l.mask_id {_HERE} AND l.encoder = ?)
ORDER BY m.status = 'accepted' DESC, m.created_at DESC, m.mask_id
"""
_KEYS = "SELECT lesion_id, encoder, modality FROM lesion_looks WHERE mask_id = ? ORDER BY lesion_id, encoder, modality"
_WHOSE = ("mask_id", "patient_id", "timepoint", "version", "status", "person", "created_at")


class Looks:
    """One look a lesion of a mask, encoder and modality; where there can be none, why."""

    def __init__(self, ledger: LedgerBase, masks: Masks, links: Links) -> None:
        self._ledger, self._masks, self._links = ledger, masks, links

    def add(self, mask_id: str, looks: Sequence[LesionLook], person: str) -> None:
        """Remember how the lesions of a mask look, in one entry.

        Args:
            looks: all that their encoders have to say of this mask: of every lesion a look, or why there is none
                (`core.remembered.looks.no_look`). Lesions by their labels' numbers. What these encoders said of the
                mask before is replaced.

        Raises:
            InputError: without any look, for a lesion without one or that the mask has not, for two of one lesion,
                encoder and modality, a vector that cannot be stored, or a scan of another timepoint.
            StoreError: if there is no such mask.
        """
        rows: list[JsonDict] = [look_values(look) for look in looks]

        def build(at: str) -> Change:
            mask = self._ledger.mask_row(mask_id)
            _refuse_gaps(rows, [str(lesion["lesion_id"]) for lesion in mask_of(mask).lesions])
            self._refuse_other_scans(rows, mask)
            new = {tuple(row[name] for name in LOOK_KEY[1:]) for row in rows}
            encoders = {row["encoder"] for row in rows}
            before = [row for row in self._ledger.db.query(_KEYS, [mask_id]) if row["encoder"] in encoders]
            gone = [row for row in before if tuple(row[name] for name in LOOK_KEY[1:]) not in new]
            place = {name: mask[name] for name in ("patient_id", "timepoint", "version")}
            return Change({"mask_id": mask_id, **place, "looks": rows, "gone": gone})

        self._ledger.write("look.added", person, build)

    def of(self, mask_id: str) -> list[StoredLook]:
        """The looks of one mask, by lesion, encoder and modality; also of lesions without a vector."""
        rows = self._ledger.db.query(
            f"{_LOOKS} AND l.mask_id = ? ORDER BY l.lesion_id, l.encoder, l.modality", [mask_id]
        )
        return self._linked(rows, mask_id=mask_id)

    def all(self, status: str | None = None, encoder: str | None = None) -> list[StoredLook]:
        """Looks by mask, lesion, encoder and modality; also of lesions without a vector.

        Args:
            status: "accepted" gives those of accepted masks alone, without the lesions that were rejected in them and
                without masks whose file is lost, altered or missing; as `Vectors.all`.
            encoder: only what this one says.
        """
        asked = {"m.status": status, "l.encoder": encoder}
        used = {name: value for name, value in asked.items() if value is not None}
        clause = "".join(f" AND {name} = ?" for name in used)
        order = " ORDER BY l.mask_id, l.lesion_id, l.encoder, l.modality"
        rows = self._ledger.db.query(_LOOKS + clause + order, list(used.values()))
        return self._linked(of_readable_lesions(rows, self._masks) if status == "accepted" else rows)

    def without(self, encoder: str, limit: int) -> list[str]:
        """Mask ids of versions with lesions of which this encoder said nothing, also not why it cannot.

        Of a timepoint the accepted version and the newest proposed one are asked for, no others; none whose file cannot
        be read.

        Args:
            limit: most that are given, >= 0.

        Returns:
            Accepted ones first, then proposed ones, each newest first.
        """
        unreadable = self._masks.problems()
        found = [str(row["mask_id"]) for row in self._ledger.db.query(_WITHOUT, [encoder])]
        return [mask_id for mask_id in found if mask_id not in unreadable][:limit]

    def _refuse_other_scans(self, rows: Sequence[JsonDict], mask: Row) -> None:
        sql = "SELECT sha256, modality FROM scans WHERE patient_id = ? AND timepoint = ?"
        scans = self._ledger.db.query(sql, [mask["patient_id"], mask["timepoint"]])
        there = {(row["sha256"], row["modality"]) for row in scans}
        for row in rows:
            if row["scan_sha256"] and (row["scan_sha256"], row["modality"]) not in there:
                raise InputError(
                    f"Expected a look at a scan of {mask['patient_id']} on {mask['timepoint']}, got another "
                    f"{row['modality']}. It may have been moved meanwhile: look at the mask again."
                )

    def _linked(self, rows: Sequence[Row], mask_id: str | None = None) -> list[StoredLook]:
        ids = self._links.changed_ids(mask_id=mask_id) if rows else {}
        return [_stored(row) for row in with_linked_lesions(rows, ids)]


def _refuse_gaps(rows: Sequence[JsonDict], lesion_ids: Sequence[str]) -> None:
    """Raise InputError unless each encoder says something of every lesion of the mask, and nothing twice."""
    if not rows:
        raise InputError("Expected a look at every lesion of the mask, or why there is none, got nothing.")
    keys = [tuple(row[name] for name in LOOK_KEY[1:]) for row in rows]
    if len(set(keys)) != len(keys):
        raise InputError("Expected one look of a lesion, encoder and modality, got two.")
    for encoder in sorted({row["encoder"] for row in rows}):
        told = {row["lesion_id"] for row in rows if row["encoder"] == encoder}
        if told != set(lesion_ids):
            raise InputError(
                f"Expected a look by {encoder}, or why there is none, of each of the mask's lesions "
                f"({', '.join(lesion_ids) or 'it has none'}), got them of {', '.join(sorted(told))}."
            )


def _stored(row: Row) -> StoredLook:
    values = {name: row[name] for name in (*LOOK_TEXTS, *_WHOSE)}
    return StoredLook(**values, vector=unpack_look(row["vector"]))
