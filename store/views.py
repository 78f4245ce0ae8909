"""The read models that pages list from: as many queries for a thousand patients as for one.

A view gives rows; what follows from them is said in `core` (`core.review.worklist`, `core.review.blind_reading`,
`core.twin.outcomes`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from core.remembered.lists import ClosedRow, CohortRow, QualityRow, WorklistRow, WorklistVersion
from core.remembered.rows import Event, MaskVerdict
from core.types import MaskRecord, Scan
from store.database.connection import Row
from store.ledger.writing import LedgerBase, mask_of, value_of
from store.records.masks import Masks
from store.records.readings import Readings
from store.records.scans import scan_of

P = TypeVar("P", MaskRecord, Scan)

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

_QUALITY = """
SELECT a.*, m.patient_id, m.timepoint, m.version, m.status
FROM masks m
JOIN (SELECT *, min(seq) OVER (PARTITION BY mask_id) AS first_seq,
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
        return [
            QualityRow(value_of(MaskVerdict, row, decoded=["result"]), row["status"])
            for row in self._db.query(_QUALITY)
        ]

    def closed_to(self, person: str) -> list[ClosedRow]:
        """The timepoints that are closed to this person (`Readings.closed_to`), one row a mask of theirs."""
        closed = self._readings.closed_to(person)
        if not closed:
            return []
        places = [[patient for patient, _ in closed], [day for _, day in closed]]
        return [ClosedRow(**row) for row in self._db.query(_CLOSED, places)]

    def cohort(self) -> list[CohortRow]:
        """Every patient by id, with what the cohort is made of."""
        accepted = self._db.query("SELECT * FROM masks WHERE status = 'accepted' ORDER BY timepoint, version")
        masks, problems = _by_patient(map(mask_of, accepted)), self._masks.problems()
        scans = _by_patient(map(scan_of, self._db.query("SELECT * FROM scans ORDER BY timepoint, seq, scan_id")))
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


def _version(row: Row) -> WorklistVersion:
    return WorklistVersion(**{name: row[name] for name in WorklistVersion.__dataclass_fields__})


def _by_patient(values: Iterable[P]) -> dict[str, list[P]]:
    found: dict[str, list[P]] = defaultdict(list)
    for value in values:
        found[value.patient_id].append(value)
    return found
