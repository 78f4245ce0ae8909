"""Which lesion of the patient each label of a mask is, and who says so."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from core.errors import InputError
from core.remembered.flips import Flip, flips_said
from core.remembered.links import LesionLink, LinkChange, LinkProposal, lesion_number
from core.review import identity
from core.review.identity import ChangedIds
from core.types import MaskRecord
from store.database.connection import Row
from store.ledger.linking import check_lesion_id, link_rows
from store.ledger.writing import Change, LedgerBase, mask_of, where
from store.values import check_person, check_text

_NEWEST = """
SELECT l.*, m.timepoint, m.version FROM (
    SELECT *, row_number() OVER (PARTITION BY mask_id, label, CASE WHEN label = 0 THEN lesion_id ELSE '' END
                                 ORDER BY seq DESC, place DESC) AS newest FROM lesion_links) l
JOIN masks m ON m.mask_id = l.mask_id{0} l.newest = 1 AND l.relation <> 'not said'
ORDER BY m.timepoint, m.version, l.label, l.lesion_id
"""
#: Only labels that are not the lesion of their number: seldom any.
_CHANGED = """
SELECT l.mask_id, l.label, l.lesion_id FROM (
    SELECT mask_id, label, lesion_id, row_number() OVER (PARTITION BY mask_id, label ORDER BY seq DESC, place DESC)
           AS newest FROM lesion_links WHERE label > 0) l
JOIN masks m ON m.mask_id = l.mask_id{0} l.newest = 1 AND (l.lesion_id IS NULL OR l.lesion_id <> 'L' || l.label)
"""


class Links:
    """Links of masks' labels to lesions: append-only, the newest counts."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def of(self, patient_id: str, timepoint: str | None = None) -> list[LesionLink]:
        """What is said now of a patient's masks, by timepoint, version and label; a lesion without one comes first.

        Of masks that nothing was said of (those of before there were links) there is none: their labels are the lesions
        that they are numbered as.
        """
        return self._query(_NEWEST, m__patient_id=patient_id, m__timepoint=timepoint)

    def of_mask(self, mask_id: str) -> list[LesionLink]:
        """What is said now of one mask."""
        return self._query(_NEWEST, l__mask_id=mask_id)

    def of_all(self) -> list[tuple[str, LesionLink]]:
        """What is said now of every mask, with the patient's id."""
        rows = self._ledger.db.query("SELECT mask_id, patient_id FROM masks")
        patients = {row["mask_id"]: str(row["patient_id"]) for row in rows}
        return [(patients[link.mask_id], link) for link in self._query(_NEWEST)]

    def history(self, mask_id: str) -> list[LesionLink]:
        """Everything that was ever said of one mask, oldest first."""
        sql = (
            "SELECT l.*, m.timepoint, m.version FROM lesion_links l JOIN masks m ON m.mask_id = l.mask_id "
            "WHERE l.mask_id = ? ORDER BY l.seq, l.place"
        )
        return [_link(row) for row in self._ledger.db.query(sql, [mask_id])]

    def changed_ids(self, *, whole: bool = False, **of: object) -> Mapping[str, ChangedIds]:
        """Of masks the labels that are not the lesion of their number, with what they are; by mask id.

        Args:
            whole: also of masks that whoever asks may not see. of: patient_id, timepoint or mask_id, to ask for fewer.
        """
        clause, values = where(**{f"m__{name}": value for name, value in of.items()})
        db = self._ledger.whole.db if whole else self._ledger.db
        found: dict[str, dict[int, str]] = defaultdict(dict)
        for row in db.query(_CHANGED.format(f"{clause} AND" if clause else " WHERE"), values):
            label = int(row["label"])
            found[row["mask_id"]][label] = identity.changed_id(label, row["lesion_id"])
        return found

    def set(self, mask_id: str, label: int, lesion_id: str | None, person: str, reason: str) -> LesionLink:
        """A person says which lesion a label is.

        Args:
            lesion_id: "L2"; of a lesion that the patient has not had yet too. None: it cannot be told.
            reason: in words.

        Raises:
            InputError: for a label that the mask has not, or what is no lesion.
            StoreError: if there is no such mask.
        """
        self.change(mask_id, [LinkChange(label, lesion_id)], person, reason)
        return next(link for link in self.of_mask(mask_id) if link.label == label)

    def change(
        self,
        mask_id: str,
        changes: Sequence[LinkChange],
        person: str,
        reason: str,
        flips: Sequence[Flip] = (),
        flips_told: str = "",
    ) -> list[LesionLink]:
        """A person says several things of one version's labels and missing lesions, in one entry; as `set`.

        Args:
            flips, flips_told: as `Decisions.decide` takes them.
        """
        check_person(person), check_text("reason", reason)
        if not reason.strip():
            raise InputError("Expected a reason in words: why these are the same lesion, or are not.")
        for change in changes:
            if change.lesion_id is not None:
                check_lesion_id(change.lesion_id)

        def build(at: str) -> Change:
            row = self._ledger.mask_row(mask_id)
            record, before = self.linked(row), self.standing(row)
            after = identity.links_after(before, changes, self.known_elsewhere(record))
            labels = [int(lesion["label"]) for lesion in record.lesions]
            links = link_rows(identity.said_by(before, after, changes), labels, person)
            place = {"patient_id": record.patient_id, "timepoint": record.timepoint, "version": record.version}
            said = flips_said(flips, flips_told)
            return Change({"mask_id": mask_id, **place, "reason": reason, "links": links, **said})

        self._ledger.write("links.set", person, build)
        return self.of_mask(mask_id)

    def propose(self, mask_id: str, links: Sequence[LinkProposal], person: str) -> list[LesionLink]:
        """Matching says anew what a version's labels are; what a person confirmed or said stays as it is.

        Raises:
            InputError: for a link that does not fit the mask.
            StoreError: if there is no such mask.
        """

        def build(at: str) -> Change:
            row, standing = self._ledger.mask_row(mask_id), self.of_mask(mask_id)
            said = {(link.label, link.label or link.lesion_id) for link in standing if link.confirmed_by}
            new = [link for link in links if (link.label, link.label or link.lesion_id) not in said]
            labels = [int(lesion["label"]) for lesion in json.loads(row["lesions"])]
            named = {link.lesion_id for link in new if link.label is None}
            left = [link.lesion_id for link in standing if link.label is None and not link.confirmed_by]
            new += [LinkProposal(None, name, "not said") for name in left if name not in named]
            place = {name: row[name] for name in ("patient_id", "timepoint", "version")}
            return Change({"mask_id": mask_id, **place, "reason": "", "links": link_rows(new, labels)})

        self._ledger.write("links.proposed", person, build)
        return self.of_mask(mask_id)

    def why_outdated(self, mask_id: str) -> str:
        """Why the proposed links of a version say too little, in words: masks of other timepoints were accepted, or
        taken back, since, or were not looked at. "" where they do not, and where nothing was proposed."""
        sql = (
            "SELECT max(d.seq) AS seq FROM decisions d JOIN masks m ON m.mask_id = d.mask_id JOIN masks o "
            "ON o.patient_id = m.patient_id AND o.timepoint <> m.timepoint "
            "WHERE o.mask_id = ? AND d.lesion_id IS NULL AND d.verdict <> 'reject'"
        )
        decided = self._ledger.db.query(sql, [mask_id])[0]["seq"] or 0
        open_rows = (
            "SELECT min(seq) AS seq FROM (SELECT *, row_number() OVER (PARTITION BY label, CASE WHEN label = 0 THEN "
            "lesion_id ELSE '' END ORDER BY seq DESC, place DESC) AS newest FROM lesion_links WHERE mask_id = ?) "
            "WHERE newest = 1 AND confirmed_by IS NULL AND relation <> 'not said'"
        )
        proposed = self._ledger.db.query(open_rows, [mask_id])[0]["seq"]
        if proposed is None:
            return ""
        if decided > proposed:
            return "masks of other timepoints were accepted or taken back since its lesions were told"
        pending = {day for link in self.of_mask(mask_id) for day in link.evidence.get("pending", ())}
        return f"its lesions were not looked for on {', '.join(sorted(pending))} yet" if pending else ""

    def linked(self, row: Row) -> MaskRecord:
        """A row of `masks` as records are given out."""
        return identity.linked_record(mask_of(row), self.changed_ids(mask_id=row["mask_id"]).get(row["mask_id"], {}))

    def standing(self, row: Row) -> list[LinkProposal]:
        """What is said of every label of a mask, and of lesions that it has not."""
        record = self.linked(row)
        return identity.standing_links(record, self.of_mask(record.mask_id), self.known_elsewhere(record))

    def known_elsewhere(self, record: MaskRecord) -> frozenset[str]:
        """Lesions in the patient's masks of other timepoints that were not rejected."""
        sql = "SELECT * FROM masks WHERE patient_id = ? AND timepoint <> ? AND status <> 'rejected'"
        ids = self.changed_ids(patient_id=record.patient_id)
        names: set[str] = set()
        for row in self._ledger.db.query(sql, [record.patient_id, record.timepoint]):
            lesions = identity.with_lesion_ids(json.loads(row["lesions"]), ids.get(row["mask_id"], {}))
            names |= {str(lesion["lesion_id"]) for lesion in lesions}
        return frozenset(name for name in names if lesion_number(name))

    def _query(self, sql: str, **of: object) -> list[LesionLink]:
        clause, values = where(**of)
        return [
            _link(row) for row in self._ledger.db.query(sql.format(f"{clause} AND" if clause else " WHERE"), values)
        ]


def _link(row: Row) -> LesionLink:
    return LesionLink(
        label=int(row["label"]) or None,
        lesion_id=row["lesion_id"],
        relation=row["relation"],
        confidence=row["confidence"],
        into=tuple(json.loads(row["into_lesions"])),
        evidence=json.loads(row["evidence"]),
        mask_id=row["mask_id"],
        timepoint=row["timepoint"],
        version=int(row["version"]),
        confirmed_by=row["confirmed_by"],
        reason=row["reason"],
        person=row["person"],
        created_at=row["created_at"],
    )
