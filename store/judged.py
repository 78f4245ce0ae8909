"""What was accepted, and what the gates have said of it since: read models of the worklist and of the gates' record."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from core.remembered.accepted import JudgedSince
from core.remembered.rows import MaskVerdict, ScanVerdict
from core.types import Decision
from store.database.connection import Reader, Row
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
    rows = db.query(_SINCE, [mask_id, mask_id])
    if not rows:
        return []
    masks, patients = [row["mask_id"] for row in rows], sorted({row["patient_id"] for row in rows})
    decisions = _grouped(db.query(_DECISIONS, [masks]), "mask_id")
    of_masks = _grouped(db.query(_OF_MASKS, [masks]), "mask_id")
    of_scans = _grouped(db.query(_OF_SCANS, [patients]), "patient_id", "timepoint")
    scans = _grouped(db.query(_SCANS, [patients]), "patient_id", "timepoint")
    found = []
    for row in rows:
        accepted_seq, place = row.pop("accepted_seq"), (row["patient_id"], row["timepoint"])
        said, seen = of_masks[(row["mask_id"],)], of_scans[place]
        newer = {str(one["anomaly_id"]) for one in said if (one["seq"] or 0) > accepted_seq}
        newer |= {str(one["score_id"]) for one in seen if (one["seq"] or 0) > accepted_seq}
        found.append(
            JudgedSince(
                **row,
                decisions=tuple(decision_of(one) for one in decisions[(row["mask_id"],)]),
                scan_sha256s=tuple(str(one["sha256"]) for one in scans[place]),
                scan_verdicts=tuple(value_of(ScanVerdict, one, decoded=["result"]) for one in seen),
                mask_verdicts=tuple(value_of(MaskVerdict, one, decoded=["result"]) for one in said),
                newer=frozenset(newer),
                scan_added=any((one["seq"] or 0) > accepted_seq for one in scans[place]),
            )
        )
    return found


def _grouped(rows: Sequence[Row], *names: str) -> defaultdict[tuple[str, ...], list[Row]]:
    found: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(str(row[name]) for name in names)].append(row)
    return found


def decision_of(row: Row) -> Decision:
    """A row of decisions, as a decision."""
    answered = tuple(json.loads(row.get("answered") or "[]"))
    return value_of(Decision, {**row, "answered": answered})
