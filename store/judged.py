"""What was accepted, and what the gates have said of it since: read models of the worklist and of the gates' record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.remembered.judged_versions import DoubtedVersion, JudgedSince
from core.remembered.rows import MaskVerdict, ScanVerdict
from core.remembered.untyped import JsonDict
from store.database.connection import Reader, Row
from store.ledger.stored_values import decision_of
from store.ledger.writing import value_of

#: Accepted versions of which something is newer than their last acceptance: a verdict, or a scan.
_SINCE = """
SELECT m.patient_id, m.timepoint, m.version, m.mask_id, m.mask_sha256, d.seq AS accepted_seq
FROM masks m
JOIN (SELECT mask_id, max(seq) AS seq FROM decisions WHERE lesion_id IS NULL AND verdict = 'accept' GROUP BY mask_id) d
  ON d.mask_id = m.mask_id
LEFT JOIN (SELECT mask_id, max(seq) AS seq FROM mask_anomalies GROUP BY mask_id) a ON a.mask_id = m.mask_id
LEFT JOIN (SELECT patient_id, timepoint, max(seq) AS seq FROM ood_scores GROUP BY patient_id, timepoint) o
  ON o.patient_id = m.patient_id AND o.timepoint = m.timepoint
LEFT JOIN (SELECT patient_id, timepoint, max(seq) AS seq FROM scans GROUP BY patient_id, timepoint) c
  ON c.patient_id = m.patient_id AND c.timepoint = m.timepoint
WHERE m.status = 'accepted' AND greatest(coalesce(a.seq, 0), coalesce(o.seq, 0), coalesce(c.seq, 0)) > d.seq
  AND (?::VARCHAR IS NULL OR m.mask_id = ?)
ORDER BY m.patient_id, m.timepoint
"""
#: Whose doubts were answered, or whose newest verdicts may be doubts: what they are is not for SQL to say.
_DOUBTED = """
SELECT m.patient_id, m.timepoint, m.version, m.mask_id, m.mask_sha256, m.status
FROM masks m
LEFT JOIN (SELECT mask_id, bool_or(answered <> '[]') AS answered FROM decisions WHERE lesion_id IS NULL
           GROUP BY mask_id) d ON d.mask_id = m.mask_id
LEFT JOIN (SELECT mask_id, arg_max(result, coalesce(seq, 0)) AS result FROM mask_anomalies GROUP BY mask_id) a
  ON a.mask_id = m.mask_id
LEFT JOIN (SELECT patient_id, timepoint, arg_max(result, coalesce(seq, 0)) AS result FROM ood_scores
           GROUP BY patient_id, timepoint) o ON o.patient_id = m.patient_id AND o.timepoint = m.timepoint
WHERE d.answered OR position('"doubtful"' IN a.result) > 0 OR position('"unusual"' IN a.result) > 0
   OR (m.status IN ('proposed', 'accepted')
       AND (position('"doubtful"' IN o.result) > 0 OR position('"out of distribution"' IN o.result) > 0))
ORDER BY m.patient_id, m.timepoint, m.version
"""
_PARENTS = """
SELECT patient_id, timepoint, version, parent_version, status FROM masks
WHERE patient_id IN (SELECT unnest(?::VARCHAR[]))
"""
_DECISIONS = """
SELECT * FROM decisions WHERE lesion_id IS NULL AND mask_id IN (SELECT unnest(?::VARCHAR[])) ORDER BY seq
"""
_OF_MASKS = """
SELECT a.*, m.patient_id, m.timepoint, m.version FROM mask_anomalies a JOIN masks m ON m.mask_id = a.mask_id
WHERE a.mask_id IN (SELECT unnest(?::VARCHAR[])) ORDER BY a.seq
"""
_OF_SCANS = """
SELECT * FROM ood_scores WHERE patient_id IN (SELECT unnest(?::VARCHAR[])) ORDER BY seq
"""
_SCANS = """
SELECT patient_id, timepoint, sha256, seq FROM scans WHERE patient_id IN (SELECT unnest(?::VARCHAR[]))
"""


def judged_since(db: Reader, mask_id: str | None = None) -> list[JudgedSince]:
    """Accepted versions about which a gate has spoken, or a scan was added, after they were accepted last; in five
    queries, however many there are."""
    found = []
    for row, said, scans in _with_verdicts(db, db.query(_SINCE, [mask_id, mask_id])):
        accepted_seq = row.pop("accepted_seq")
        newer = {str(one["anomaly_id"]) for one in said.masks if (one["seq"] or 0) > accepted_seq}
        newer |= {str(one["score_id"]) for one in said.scans if (one["seq"] or 0) > accepted_seq}
        scan_added = any((one["seq"] or 0) > accepted_seq for one in scans)
        found.append(JudgedSince(**row, **said.values(scans), newer=frozenset(newer), scan_added=scan_added))
    return found


def doubted(db: Reader) -> list[DoubtedVersion]:
    """Versions whose doubts somebody answered, or that a gate may doubt now (`core.review.doubts` says whether)."""
    rows = db.query(_DOUBTED)
    patients = sorted({row["patient_id"] for row in rows})
    places = _grouped(db.query(_PARENTS, [patients]) if patients else [], "patient_id", "timepoint")
    found = []
    for row, said, scans in _with_verdicts(db, rows):
        corrected = row["version"] in _drawn_from(places[(row["patient_id"], row["timepoint"])])
        found.append(DoubtedVersion(**row, corrected=corrected, **said.values(scans)))
    return found


@dataclass(frozen=True)
class _Said:
    decisions: Sequence[Row]
    masks: Sequence[Row]
    scans: Sequence[Row]

    def values(self, scans: Sequence[Row]) -> JsonDict:
        return {
            "decisions": tuple(decision_of(one) for one in self.decisions),
            "scan_sha256s": tuple(str(one["sha256"]) for one in scans),
            "scan_verdicts": tuple(value_of(ScanVerdict, one, decoded=["result"]) for one in self.scans),
            "mask_verdicts": tuple(value_of(MaskVerdict, one, decoded=["result"]) for one in self.masks),
        }


def _with_verdicts(db: Reader, rows: Sequence[Row]) -> Iterator[tuple[Row, _Said, list[Row]]]:
    """Rows of versions, each with what was decided and said of it, and with its timepoint's scans."""
    if not rows:
        return
    masks, patients = [row["mask_id"] for row in rows], sorted({row["patient_id"] for row in rows})
    decisions = _grouped(db.query(_DECISIONS, [masks]), "mask_id")
    of_masks = _grouped(db.query(_OF_MASKS, [masks]), "mask_id")
    of_scans = _grouped(db.query(_OF_SCANS, [patients]), "patient_id", "timepoint")
    scans = _grouped(db.query(_SCANS, [patients]), "patient_id", "timepoint")
    for row in rows:
        mask, place = (row["mask_id"],), (row["patient_id"], row["timepoint"])
        yield row, _Said(decisions[mask], of_masks[mask], of_scans[place]), scans[place]


def _drawn_from(versions: Sequence[Row]) -> set[int]:
    """The numbers of the versions of a timepoint that its accepted one was drawn from; it not among them."""
    parents = {row["version"]: row["parent_version"] for row in versions}
    found: set[int] = set()
    at = next((parents[row["version"]] for row in versions if row["status"] == "accepted"), None)
    while at is not None and at not in found:
        found.add(at)
        at = parents.get(at)
    return found


def _grouped(rows: Sequence[Row], *names: str) -> defaultdict[tuple[str, ...], list[Row]]:
    found: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(str(row[name]) for name in names)].append(row)
    return found
