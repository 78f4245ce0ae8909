"""The read models that pages list from: as many queries for a thousand patients as for one.

A view gives rows; what follows from them is said in `core` (`core.review.worklist`, `core.review.blind_reading`,
`core.twin.outcomes`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from core.remembered.lists import ClosedRow, CohortMask, CohortRow, CohortScan, QualityRow, WorklistRow, WorklistVersion
from core.remembered.rows import Event
from store.database.connection import Row
from store.ledger.writing import LedgerBase, value_of
from store.records.masks import Masks
from store.records.readings import Readings

_WORKLIST = """
SELECT t.patient_id, t.timepoint, s.result AS scan_result, m.mask_id, m.version, m.method, m.status,
       d.verdict AS last_verdict, a.result AS mask_result
FROM timepoints t
LEFT JOIN masks m ON m.patient_id = t.patient_id AND m.timepoint = t.timepoint
LEFT JOIN (SELECT patient_id, timepoint, result, row_number() OVER (PARTITION BY patient_id, timepoint
           ORDER BY seq DESC NULLS FIRST) AS newest FROM ood_scores) s
       ON s.patient_id = t.patient_id AND s.timepoint = t.timepoint AND s.newest = 1
LEFT JOIN (SELECT mask_id, verdict, row_number() OVER (PARTITION BY mask_id
           ORDER BY seq DESC NULLS FIRST) AS newest FROM decisions WHERE lesion_id IS NULL) d
       ON d.mask_id = m.mask_id AND d.newest = 1
LEFT JOIN (SELECT mask_id, result, row_number() OVER (PARTITION BY mask_id
           ORDER BY seq DESC NULLS FIRST) AS newest FROM mask_anomalies) a
       ON a.mask_id = m.mask_id AND a.newest = 1
ORDER BY t.patient_id, t.timepoint, m.version
"""

#: The database itself reads from JSON what a list asks for: in Python ten thousand verdicts take .5 s.
_QUALITY = """
SELECT m.mask_id, m.patient_id, m.timepoint, m.version, m.status, a.found.p_value AS p_value,
       a.found.flagged AS flagged, list_max([x.score for x in a.found.lesions]) AS score, a.result
FROM masks m
JOIN (SELECT mask_id, result, min(seq) OVER (PARTITION BY mask_id) AS first_seq,
             json_transform(result,
                 '{"p_value": "DOUBLE", "flagged": "BOOLEAN", "lesions": [{"score": "DOUBLE"}]}') AS found,
             row_number() OVER (PARTITION BY mask_id ORDER BY seq DESC NULLS FIRST) AS newest
      FROM mask_anomalies) a ON a.mask_id = m.mask_id AND a.newest = 1
ORDER BY a.first_seq, m.mask_id
"""

_CLOSED = """
SELECT c.patient_id, c.timepoint, m.mask_id
FROM (SELECT unnest(?::VARCHAR[]) AS patient_id, unnest(?::VARCHAR[]) AS timepoint) c
LEFT JOIN masks m ON m.patient_id = c.patient_id AND m.timepoint = c.timepoint
ORDER BY c.patient_id, c.timepoint, m.version
"""

_ACCEPTED = """
SELECT patient_id, mask_id, timepoint, version, status, method, volume_mm3, json_transform(lesions,
    '[{"lesion_id": "VARCHAR", "label": "INTEGER", "volume_mm3": "DOUBLE", "longest_diameter_mm": "DOUBLE",
       "rejected": "BOOLEAN"}]') AS lesions
FROM masks WHERE status = 'accepted' ORDER BY timepoint, version
"""

_SCANS = """
SELECT patient_id, timepoint, modality,
       CASE WHEN position('"simulated"' IN metadata) > 0 THEN metadata ELSE '{}' END AS metadata
FROM scans ORDER BY timepoint, seq, scan_id
"""


class Views:
    """The lists."""

    def __init__(self, ledger: LedgerBase, masks: Masks, readings: Readings) -> None:
        self._db, self._masks, self._readings = ledger.db, masks, readings

    def worklist(self) -> list[WorklistRow]:
        """Every timepoint with its versions, by patient and timepoint."""
        found = []
        for (patient, day), rows in groupby(self._db.query(_WORKLIST), key=itemgetter("patient_id", "timepoint")):
            first, *others = rows
            versions = tuple(_version(row) for row in (first, *others) if row["mask_id"] is not None)
            found.append(WorklistRow(patient, day, first["scan_result"], versions))
        return found

    def quality(self) -> list[QualityRow]:
        """Every version that the mask gate scored, in the order in which they were scored first."""
        return [QualityRow(**row) for row in self._db.query(_QUALITY)]

    def closed_to(self, person: str) -> list[ClosedRow]:
        """The timepoints that are closed to this person (`Readings.closed_to`), one row a mask of theirs."""
        closed = self._readings.closed_to(person)
        if not closed:
            return []
        places = [[patient for patient, _ in closed], [day for _, day in closed]]
        return [ClosedRow(**row) for row in self._db.query(_CLOSED, places)]

    def cohort(self) -> list[CohortRow]:
        """Every patient by id, with what the cohort is made of."""
        masks, problems = self._accepted(), self._masks.problems()
        scans: dict[str, list[CohortScan]] = defaultdict(list)
        for row in self._db.query(_SCANS):
            scans[row["patient_id"]].append(_scan(row["timepoint"], row["modality"], row["metadata"]))
        events: dict[str, list[Event]] = defaultdict(list)
        for event in self._db.query("SELECT * FROM events ORDER BY date, seq"):
            events[event["patient_id"]].append(value_of(Event, event, decoded=["detail"]))
        dates: dict[str, list[str]] = defaultdict(list)
        for row in self._db.query("SELECT patient_id, timepoint FROM timepoints ORDER BY timepoint"):
            dates[row["patient_id"]].append(row["timepoint"])
        return [
            CohortRow(
                patient,
                tuple(dates[patient]),
                tuple(masks[patient]),
                tuple(scans[patient]),
                tuple(events[patient]),
                {m.mask_id: problems[m.mask_id] for m in masks[patient] if m.mask_id in problems} if problems else {},
            )
            for patient in (
                r["patient_id"] for r in self._db.query("SELECT patient_id FROM patients ORDER BY patient_id")
            )
        ]

    def _accepted(self) -> dict[str, list[CohortMask]]:
        masks: dict[str, list[CohortMask]] = defaultdict(list)
        for row in self._db.query(_ACCEPTED):
            masks[row.pop("patient_id")].append(CohortMask(**row))
        return masks


@lru_cache(maxsize=4096)
def _scan(timepoint: str, modality: str, metadata: str) -> CohortScan:
    return CohortScan(timepoint, modality, json.loads(metadata))


def _version(row: Row) -> WorklistVersion:
    return WorklistVersion(**{name: row[name] for name in WorklistVersion.__dataclass_fields__})
