"""What of each table a person gets to see, as SQL: every query of theirs reads these instead of the tables.

A query `SELECT … FROM masks` becomes `WITH masks AS (SELECT … FROM main.masks WHERE …) SELECT … FROM masks`. So whoever
asks need not remember who asks, and none can forget it. A table without a rule is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from core.access import ADMINISTRATOR, IDENTIFIERS_READ, JOBS_OF_ALL, Scope, may
from core.errors import StoreError
from core.remembered.vocabulary import EventKind, MaskMethod
from core.review.readers import AUTOMATIC_METHODS

_OF_PATIENT = "SELECT * FROM main.{0} WHERE patient_id IN (SELECT patient_id FROM patients)"
_OF_MASK = "SELECT * FROM main.{0} WHERE mask_id IN (SELECT mask_id FROM masks)"


def _words(values: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


#: name -> what stands for it, each after those that it reads: a name that comes later would be the table itself.
RULES: Mapping[str, str] = {
    "datasets_seen": "SELECT unnest($datasets::VARCHAR[]) AS dataset",
    "closed": "SELECT unnest($closed_patients::VARCHAR[]) AS patient_id, unnest($closed_days::VARCHAR[]) AS timepoint",
    "patients": "SELECT * FROM main.patients WHERE $everywhere OR dataset IN (SELECT dataset FROM datasets_seen)",
    **{name: _OF_PATIENT.format(name) for name in ("timepoints", "scans")},
    **{name: _OF_PATIENT.format(name) for name in ("reading_settings", "readings_finished")},
    # What another reader saw on a scan that this person reads blind.
    "events": f"""
        SELECT e.* FROM main.events e
        LEFT JOIN closed c ON c.patient_id = e.patient_id AND c.timepoint = e.date
        WHERE e.patient_id IN (SELECT patient_id FROM patients)
          AND (c.patient_id IS NULL OR e.kind <> '{EventKind.ASSESSMENT.value}' OR e.person = $person)""",
    # A UID leads back to the archive, where it names a person: reading needs none.
    "scan_identifiers": """
        SELECT * FROM main.scan_identifiers
        WHERE $identified AND content_sha256 IN (SELECT content_sha256 FROM scans)""",
    # Of a closed timepoint what an engine made and the person's own readings: `core.review.readers.masks_visible_to`.
    "masks_seen": f"""
        SELECT m.*, c.patient_id IS NOT NULL AS is_closed FROM main.masks m
        LEFT JOIN closed c ON c.patient_id = m.patient_id AND c.timepoint = m.timepoint
        WHERE m.patient_id IN (SELECT patient_id FROM patients)
          AND (c.patient_id IS NULL OR m.method IN ({_words(AUTOMATIC_METHODS)})
               OR (m.method <> '{MaskMethod.STAPLE.value}' AND m.reviewer = $person))""",
    # A version whose parent is hidden comes as one without a parent: its Dice and differences are of the hidden mask.
    "masks": """
        SELECT m.* EXCLUDE (is_closed, orphan) REPLACE (
            CASE WHEN orphan THEN NULL ELSE parent_version END AS parent_version,
            CASE WHEN orphan THEN NULL ELSE dice_vs_previous_version END AS dice_vs_previous_version,
            CASE WHEN orphan THEN NULL ELSE volume_delta_mm3 END AS volume_delta_mm3,
            CASE WHEN orphan THEN voxels_added + voxels_unchanged ELSE voxels_added END AS voxels_added,
            CASE WHEN orphan THEN 0 ELSE voxels_removed END AS voxels_removed,
            CASE WHEN orphan THEN 0 ELSE voxels_unchanged END AS voxels_unchanged)
        FROM (SELECT s.*, s.is_closed AND s.parent_version IS NOT NULL AND NOT EXISTS (
                         SELECT 1 FROM masks_seen p WHERE p.patient_id = s.patient_id AND p.timepoint = s.timepoint
                                                      AND p.version = s.parent_version) AS orphan
              FROM masks_seen s) m""",
    # What the scan gate said around a mask that is hidden tells where that is.
    "ood_scores": """
        SELECT * FROM main.ood_scores WHERE patient_id IN (SELECT patient_id FROM patients)
          AND (json_extract_string(result, '$.anchor_mask_id') IS NULL
               OR json_extract_string(result, '$.anchor_mask_id') IN (SELECT mask_id FROM masks))""",
    **{name: _OF_MASK.format(name) for name in ("decisions", "mask_anomalies", "mask_vectors", "mask_losses")},
    "measurements": _OF_MASK.format("measurements"),
    "lesion_links": _OF_MASK.format("lesion_links"),
    "lesion_looks": _OF_MASK.format("lesion_looks"),
    # Of two lesions: who does not see both is not told that one was found for the other.
    "evidence_marks": """
        SELECT * FROM main.evidence_marks
        WHERE mask_id IN (SELECT mask_id FROM masks) AND other_mask_id IN (SELECT mask_id FROM masks)""",
    # What a change of protocol flipped tells of masks that are hidden.
    "protocols": """
        SELECT * REPLACE (
            CASE WHEN patient_id IN (SELECT patient_id FROM closed) THEN '[]' ELSE flips END AS flips)
        FROM main.protocols
        WHERE CASE WHEN patient_id IS NULL THEN $everywhere OR dataset IN (SELECT dataset FROM datasets_seen)
                   ELSE patient_id IN (SELECT patient_id FROM patients) END""",
    # What another reader drew on a scan that this person reads blind.
    "hand_measurements": """
        SELECT h.* FROM main.hand_measurements h JOIN scans s ON s.sha256 = h.scan_sha256
        LEFT JOIN closed c ON c.patient_id = s.patient_id AND c.timepoint = s.timepoint
        WHERE c.patient_id IS NULL OR h.person = $person""",
    "transforms": """
        SELECT * FROM main.transforms
        WHERE from_scan_sha256 IN (SELECT sha256 FROM scans) AND to_scan_sha256 IN (SELECT sha256 FROM scans)""",
    "lesions": "SELECT * FROM main.lesions WHERE first_mask_id IN (SELECT mask_id FROM masks)",
    # Somebody else's fit may hold the volume of a mask that is hidden.
    "growth_fits": """
        SELECT * FROM main.growth_fits WHERE patient_id IN (SELECT patient_id FROM patients)
          AND (person = $person OR patient_id NOT IN (SELECT patient_id FROM closed))""",
    # Work on a patient is asked for with patient_id and timepoint; other work is about the installation.
    "jobs": f"""
        SELECT j.* FROM main.jobs j
        LEFT JOIN closed c ON c.patient_id = json_extract_string(j.params, '$.patient_id')
                          AND c.timepoint = json_extract_string(j.params, '$.timepoint')
        WHERE CASE WHEN json_extract_string(j.params, '$.patient_id') IS NULL
                   THEN $administers OR j.person = $person OR j.kind IN ({_words(JOBS_OF_ALL)})
                   ELSE json_extract_string(j.params, '$.patient_id') IN (SELECT patient_id FROM patients)
                        AND (c.patient_id IS NULL OR j.person = $person) END""",
    "file_states": """
        SELECT * FROM main.file_states
        WHERE $everywhere OR split_part(path, '/', 2) IN (SELECT dataset FROM datasets_seen)""",
}
#: The same for who reads nothing blind: `masks` need not look for hidden parents.
_NOTHING_CLOSED = {**RULES, **{name: _OF_PATIENT.format(name) for name in ("masks", "ood_scores")}}
#: The same for who sees every data set: only UIDs, and work on the installation, may not be theirs.
_EVERY_PATIENT = {
    "scan_identifiers": "SELECT * FROM main.scan_identifiers WHERE $identified",
    "jobs": f"""
        SELECT * FROM main.jobs WHERE json_extract_string(params, '$.patient_id') IS NOT NULL
            OR person = $person OR kind IN ({_words(JOBS_OF_ALL)})""",
}
#: Tables that hold nothing of a patient. The audit does: its payloads leave the store by `SeenStore.audit_log` alone,
#: and by `Decisions.to_affirm`, which asks `masks` as well.
OPEN = frozenset({"people", "grants", "models", "reference_sets", "schema_version", "audit"})

_TABLE = re.compile(r"\b(?:FROM|JOIN)\s+([A-Za-z_][\w.]*)(\s*\()?", re.IGNORECASE)
_NAMED = re.compile(r"\b(" + "|".join(RULES) + r")\b")
_MARK = re.compile(r"(?<!')\$([a-z_]+)")


def scoped(scope: Scope, sql: str, parameters: Sequence[object] = ()) -> tuple[str, list[object]]:
    """A query as that person may ask it, with its parameters.

    Raises:
        StoreError: if it reads a table for which nothing is said.
    """
    if scope.is_everything:
        return sql, list(parameters)
    text, marks = _with_rules(sql, bool(scope.closed), scope.datasets is not None)
    values = _values(scope)
    return text, [*(values[mark] for mark in marks), *parameters]


def _values(scope: Scope) -> dict[str, object]:
    return {
        "person": scope.person,
        "administers": scope.role == ADMINISTRATOR,
        "identified": may(scope.role, IDENTIFIERS_READ),
        "everywhere": scope.datasets is None,
        "datasets": list(scope.datasets or ()),
        "closed_patients": [patient_id for patient_id, _ in scope.closed],
        "closed_days": [timepoint for _, timepoint in scope.closed],
    }


@lru_cache(maxsize=1024)
def _with_rules(sql: str, some_closed: bool, narrowed: bool) -> tuple[str, tuple[str, ...]]:
    """The query below the rules that it needs, and the names of their parameters in order."""
    body = sql.strip()
    first, own = ("", body)
    if body[:5].upper() == "WITH ":
        first, own = "own", body[5:]
    made_here = set(re.findall(r"(?:\bWITH\b|,)\s*(\w+)\s+AS\s+\(", body, re.IGNORECASE))
    for name, is_function in _TABLE.findall(body):
        if not is_function and name not in RULES and name not in OPEN and name not in made_here:
            raise StoreError(f"Expected a table with a rule who may see it (store.ledger.scope), got {name[:64]!r}.")
    rules_of_all = RULES if some_closed else _NOTHING_CLOSED if narrowed else _EVERY_PATIENT
    needed = _needed((set(_NAMED.findall(body)) - made_here) & set(rules_of_all), rules_of_all)
    rules = [(name, rule) for name, rule in rules_of_all.items() if name in needed]
    if not rules:
        return sql, ()
    marks = tuple(mark for _, rule in rules for mark in _MARK.findall(rule))
    tables = ", ".join(f"{name} AS ({_MARK.sub('?', rule)})" for name, rule in rules)
    return f"WITH {tables}{', ' if first else ' '}{own}", marks


def _needed(names: set[str], rules: Mapping[str, str]) -> set[str]:
    """Those rules and all that they stand on."""
    found = set(names)
    while more := {other for name in found for other in _read_by(rules[name])} - found:
        found |= more
    return found


def _read_by(rule: str) -> set[str]:
    return {other for other, _ in _TABLE.findall(rule) if other in RULES}
