"""The read models that pages list from: as many queries for a thousand patients as for one.

A view gives rows; what follows from them is said in `core` (`core.review.worklist`, `core.review.blind_reading`,
`core.twin.outcomes`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from core.remembered.judged_versions import DoubtedVersion, JudgedSince
from core.remembered.links import LesionLink
from core.remembered.lists import (
    ClosedRow,
    CohortMask,
    CohortRow,
    CohortScan,
    QualityRow,
    VersionDecision,
    WorklistRow,
    WorklistVersion,
)
from core.remembered.rows import Event, MaskVerdict, ScanVerdict
from core.review.identity import ChangedIds, with_lesion_ids
from store import judged
from store.database.connection import Row
from store.ledger.stored_values import decision_of
from store.ledger.writing import LedgerBase, value_of
from store.records.links import Links
from store.records.masks import Masks
from store.records.measurements import Measurements
from store.records.protocols import Protocols
from store.records.readings import Readings
from store.records.transforms import Transforms
from store.records.verdicts import linked_verdict

_WORKLIST = """
SELECT t.patient_id, t.timepoint, m.mask_id, m.mask_sha256, m.version, m.method, m.status,
       d.verdict AS last_verdict, a.anomaly_id, a.person AS judged_by, a.created_at AS judged_at,
       a.result AS mask_result
FROM timepoints t
LEFT JOIN masks m ON m.patient_id = t.patient_id AND m.timepoint = t.timepoint
LEFT JOIN (SELECT mask_id, verdict, row_number() OVER (PARTITION BY mask_id
           ORDER BY seq DESC NULLS FIRST) AS newest FROM decisions WHERE lesion_id IS NULL) d
       ON d.mask_id = m.mask_id AND d.newest = 1
LEFT JOIN (SELECT *, row_number() OVER (PARTITION BY mask_id
           ORDER BY seq DESC NULLS FIRST) AS newest FROM mask_anomalies) a
       ON a.mask_id = m.mask_id AND a.newest = 1
ORDER BY t.patient_id, t.timepoint, m.version
"""

#: Decisions on versions of timepoints of which one person accepted a version.
_DECIDED_BESIDE = """
SELECT m.patient_id, m.timepoint, m.version, d.mask_id, d.verdict, d.reviewer, d.created_at
FROM decisions d JOIN masks m ON m.mask_id = d.mask_id
WHERE d.lesion_id IS NULL AND EXISTS (
    SELECT 1 FROM decisions o JOIN masks n ON n.mask_id = o.mask_id
    WHERE n.patient_id = m.patient_id AND n.timepoint = m.timepoint AND o.lesion_id IS NULL AND o.verdict = 'accept'
      AND o.reviewer = ?)
ORDER BY m.patient_id, m.timepoint, d.seq
"""

#: The database itself reads from JSON what a list asks for: in Python ten thousand verdicts take .5 s.
_QUALITY = """
SELECT m.mask_id, m.patient_id, m.timepoint, m.version, m.status, a.found.p_value AS p_value,
       a.found.flagged AS flagged, list_max([x.score for x in a.found.lesions]) AS score, a.result,
       a.found.judgement.verdict AS verdict
FROM masks m
JOIN (SELECT mask_id, result, min(seq) OVER (PARTITION BY mask_id) AS first_seq,
             json_transform(result,
                 '{"p_value": "DOUBLE", "flagged": "BOOLEAN", "lesions": [{"score": "DOUBLE"}],
                   "judgement": {"verdict": "VARCHAR"}}') AS found,
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

T = TypeVar("T")

#: Accepted masks, and of those that a person changed the versions that they may be drawn from.
_MASKS = """
SELECT m.patient_id, m.mask_id, m.mask_sha256, m.timepoint, m.version, m.parent_version, m.status, m.method,
       m.reviewer AS author, m.checkpoint_sha256, m.voxels_added, m.voxels_removed, m.scan_sha256, m.volume_mm3,
       json_transform(m.lesions,
    '[{"lesion_id": "VARCHAR", "label": "INTEGER", "voxels": "BIGINT", "volume_mm3": "DOUBLE",
       "longest_diameter_mm": "DOUBLE", "centroid_mm": ["DOUBLE"], "rejected": "BOOLEAN",
       "short_axis_mm": "DOUBLE", "longest_diameter_3d_mm": "DOUBLE", "slices": "INTEGER",
       "intensities": [{"unit": "VARCHAR", "voxels": "BIGINT", "why": ["VARCHAR"], "mean": "DOUBLE",
                        "suv_max": "DOUBLE", "suv_mean": "DOUBLE", "suv_peak": "DOUBLE", "mtv_ml": "DOUBLE",
                        "tlg_g": "DOUBLE", "sul_peak": "DOUBLE"}],
       "compartments": [{"name": "VARCHAR", "volume_mm3": "DOUBLE", "longest_diameter_mm": "DOUBLE",
                         "short_axis_mm": "DOUBLE"}]}]') AS lesions
FROM masks m
LEFT JOIN masks f ON f.patient_id = m.patient_id AND f.timepoint = m.timepoint AND f.status = 'accepted'
       AND f.method IN ('manual', 'medsam-manual') AND f.parent_version IS NOT NULL AND m.version < f.version
WHERE m.status = 'accepted' OR f.mask_id IS NOT NULL
ORDER BY m.timepoint, m.version
"""

_SCANS = """
SELECT patient_id, timepoint, modality, sequence, spacing_mm, sha256,
       CASE WHEN position('"simulated"' IN metadata) > 0 OR position('"slice_thickness_mm"' IN metadata) > 0
            THEN metadata ELSE '{}' END AS metadata
FROM scans ORDER BY timepoint, seq, scan_id
"""

_ACCEPTANCES = """
SELECT m.patient_id, d.* FROM decisions d JOIN masks m ON m.mask_id = d.mask_id
WHERE m.status = 'accepted' AND d.verdict = 'accept' AND d.lesion_id IS NULL ORDER BY d.seq
"""

_EVIDENCE_POSITION = """
SELECT seq, hash FROM audit
WHERE action NOT IN ('job.created', 'job.updated', 'job.cancelled', 'mark.added', 'mark.withdrawn', 'evidence.asked')
ORDER BY seq DESC LIMIT 1
"""

#: Of a verdict that passes what `core.review.doubts` reads of it: in Python ten thousand whole ones take .5 s.
_BRIEFLY = """
CASE WHEN json_extract_string(result, '$.judgement.verdict') = 'passes'
     THEN CAST(json_object('judgement', json_extract(result, '$.judgement'),
                           'anchor_mask_id', json_extract(result, '$.anchor_mask_id')) AS VARCHAR)
     ELSE result END AS result
"""

_MASK_VERDICTS = f"""
SELECT anomaly_id, mask_id, patient_id, timepoint, version, person, created_at, {_BRIEFLY} FROM (
    SELECT a.*, m.patient_id, m.timepoint, m.version,
           row_number() OVER (PARTITION BY a.mask_id ORDER BY a.seq DESC NULLS FIRST) AS newest
    FROM mask_anomalies a JOIN masks m ON m.mask_id = a.mask_id AND m.status = 'accepted')
WHERE newest = 1 ORDER BY timepoint
"""

#: Of a timepoint's scans, and of those with a mask as their anchor the newest of each.
_SCAN_VERDICTS = f"""
SELECT score_id, patient_id, timepoint, person, created_at, {_BRIEFLY} FROM (
    SELECT *, row_number() OVER (PARTITION BY patient_id, timepoint, json_extract_string(result, '$.anchor_mask_id')
                                 ORDER BY seq DESC NULLS FIRST) AS newest
    FROM ood_scores)
WHERE newest = 1 ORDER BY seq NULLS FIRST
"""


class Views:
    """The lists."""

    def __init__(
        self,
        ledger: LedgerBase,
        masks: Masks,
        readings: Readings,
        links: Links,
        transforms: Transforms,
        measurements: Measurements,
        protocols: Protocols,
    ) -> None:
        self._db, self._masks, self._readings = ledger.db, masks, readings
        self._links, self._transforms = links, transforms
        self._measurements, self._protocols = measurements, protocols

    def worklist(self) -> list[WorklistRow]:
        """Every timepoint with its versions, by patient and timepoint."""
        scans: dict[tuple[str, str], list[str]] = defaultdict(list)
        for row in self._db.query("SELECT patient_id, timepoint, sha256 FROM scans ORDER BY seq, scan_id"):
            scans[row["patient_id"], row["timepoint"]].append(row["sha256"])
        said: dict[tuple[str, str], list[ScanVerdict]] = defaultdict(list)
        for row in self._db.query(_SCAN_VERDICTS):
            said[row["patient_id"], row["timepoint"]].append(value_of(ScanVerdict, row, decoded=["result"]))
        found = []
        for place, rows in groupby(self._db.query(_WORKLIST), key=itemgetter("patient_id", "timepoint")):
            versions = tuple(_version(row) for row in rows if row["mask_id"] is not None)
            patient, day = place
            found.append(WorklistRow(patient, day, tuple(scans[place]), tuple(said[place]), versions))
        return found

    def judged_since(self, mask_id: str | None = None) -> list[JudgedSince]:
        """Accepted versions about which a gate has spoken, or a scan was added, after they were accepted last."""
        return judged.judged_since(self._db, mask_id)

    def doubted(self) -> list[DoubtedVersion]:
        """Versions whose doubts somebody answered, or that a gate may doubt now."""
        return judged.doubted(self._db)

    def decided_beside(self, person: str) -> list[VersionDecision]:
        """Decisions on whole versions of the timepoints of which this person accepted one, in order at each."""
        return [VersionDecision(**row) for row in self._db.query(_DECIDED_BESIDE, [person])]

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
        ids, problems = self._links.changed_ids(), self._masks.problems()
        masks = self._by_patient(_MASKS, lambda row: _mask(row, ids.get(row["mask_id"], {})))
        links: dict[str, list[LesionLink]] = defaultdict(list)
        for patient_id, link in self._links.of_all():
            links[patient_id].append(link)
        transforms, by_hand = self._transforms.by_patient(), self._measurements.of_all()
        protocols = self._protocols.by_patient()
        scans = self._by_patient(_SCANS, _scan_of)
        events = self._values(
            "SELECT * FROM events WHERE withdrawn_at IS NULL ORDER BY date, seq, place", Event, "detail"
        )
        dates = self._by_patient(
            "SELECT patient_id, timepoint FROM timepoints ORDER BY timepoint", lambda row: str(row["timepoint"])
        )
        acceptances = self._by_patient(_ACCEPTANCES, decision_of)
        of_masks = self._values(_MASK_VERDICTS, MaskVerdict, "result")
        of_scans = self._values(_SCAN_VERDICTS, ScanVerdict, "result")
        return [
            CohortRow(
                patient,
                tuple(dates[patient]),
                tuple(masks[patient]),
                tuple(scans[patient]),
                tuple(events[patient]),
                {m.mask_id: problems[m.mask_id] for m in masks[patient] if m.mask_id in problems} if problems else {},
                tuple(acceptances[patient]),
                tuple(linked_verdict(verdict, ids.get(verdict.mask_id, {})) for verdict in of_masks[patient]),
                tuple(of_scans[patient]),
                tuple(links[patient]),
                tuple(transforms.get(patient, ())),
                tuple(by_hand.get(patient, ())),
                protocols.get(patient),
            )
            for patient in (
                r["patient_id"] for r in self._db.query("SELECT patient_id FROM patients ORDER BY patient_id")
            )
        ]

    def evidence_position(self) -> tuple[int, str]:
        """The newest audit entry after which `cohort`, vectors or looks may be others, and its hash, which is another
        one in another store; 0 and "" where there is none.

        Jobs, and what was asked of evidence or marked in it, change none of them.
        """
        rows = self._db.query(_EVIDENCE_POSITION)
        return (int(rows[0]["seq"]), str(rows[0]["hash"])) if rows else (0, "")

    def _by_patient(self, sql: str, made: Callable[[Row], T]) -> dict[str, list[T]]:
        """What is made of the rows, by their patient_id."""
        found: dict[str, list[T]] = defaultdict(list)
        for row in self._db.query(sql):
            found[row["patient_id"]].append(made(row))
        return found

    def _values(self, sql: str, kind: type[T], *decoded: str) -> dict[str, list[T]]:
        """Records of one kind by patient."""
        found: dict[str, list[T]] = defaultdict(list)
        for row in self._db.query(sql):
            found[row["patient_id"]].append(value_of(kind, row, decoded=list(decoded)))
        return found


def _mask(row: Row, ids: ChangedIds) -> CohortMask:
    return CohortMask(**(row if not ids else {**row, "lesions": list(with_lesion_ids(row["lesions"], ids))}))


def _scan_of(row: Row) -> CohortScan:
    return _scan(*(row[name] for name in ("timepoint", "modality", "sequence", "spacing_mm", "sha256", "metadata")))


@lru_cache(maxsize=4096)
def _scan(timepoint: str, modality: str, sequence: str, spacing_mm: str, sha256: str, metadata: str) -> CohortScan:
    i, j, k = json.loads(spacing_mm)
    return CohortScan(timepoint, modality, sequence, (float(i), float(j), float(k)), sha256, json.loads(metadata))


def _version(row: Row) -> WorklistVersion:
    return WorklistVersion(**{name: row[name] for name in WorklistVersion.__dataclass_fields__})
