"""The graph of 10,000 lesions at visits: how long it takes to make and to ask, one thread.

Made patients: three lesions at up to five visits, an event between two visits, half of them under chemotherapy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from core.evidence.cases import EventFact, LesionCase, PatientEvidence, Relation, Step, VisitCall
from core.evidence.filters import LesionFilter, selected
from core.evidence.graph import EvidenceGraph
from tests.bench.neighbour_backends import resident_mb

OBSERVATIONS, LESIONS, VISITS, TIMES = 10_000, 3, 5, 15
DAYS = ("2024-01-01", "2024-03-01", "2024-05-01", "2024-07-01", "2024-09-01")
BETWEEN = ("2024-02-01", "2024-04-01", "2024-06-01", "2024-08-01")
ORGANS = ("liver", "lung", "bone", "")
CALLS = ("CR", "PR", "SD", "PD")

FILTER = LesionFilter(organ="liver", volume_factor=2.0, therapy="chemotherapy", response="responded")
AFTER = LesionFilter(organ="liver", event_after="radiotherapy", within_days=60, with_later=True)
FOLLOWED = """
MATCH (l:Lesion)-[:SEEN_AS]->(o:Observation)-[b:BEFORE]->(e:Event), (o)-[f:FOLLOWED_BY]->(:Observation)
WHERE l.organ = 'liver' AND o.volume_mm3 > 500 AND o.volume_mm3 < 2000 AND e.kind = 'radiotherapy' AND b.days <= 60
RETURN count(*), avg(f.percent)
"""
BY_RESPONSE = """
MATCH (p:Patient)-[:HAS]->(:Lesion)-[:SEEN_AS]->(o:Observation)
RETURN p.best_response, count(DISTINCT p.patient_id), avg(o.volume_mm3)
"""
MERGED = "MATCH (a:Lesion)-[m:MERGED_INTO]->(b:Lesion) RETURN a.patient_id, a.lesion_id, b.lesion_id, m.timepoint"


def made_patients(observations: int = OBSERVATIONS) -> list[PatientEvidence]:
    """As many patients as it takes for so many observations."""
    random = np.random.default_rng(5)
    return [_patient(f"P{number:05d}", random) for number in range(-(-observations // (LESIONS * VISITS)))]


def _patient(name: str, random: np.random.Generator) -> PatientEvidence:
    lesions = [f"L{n + 1}" for n in range(LESIONS)]
    volumes = np.exp(random.normal(7.0, 1.0, (LESIONS, VISITS)))
    organs = random.choice(ORGANS, LESIONS)
    chemotherapy = bool(random.random() < 0.5)
    cases = tuple(
        LesionCase(
            name,
            "made",
            day,
            lesion,
            f"{name}-{day}",
            1,
            "a" * 64,
            "b" * 64,
            "manual",
            None,
            "ann",
            "ben",
            False,
            "CT",
            float(volumes[n, v]),
            str(organs[n]),
            ("chemotherapy",) if chemotherapy else (),
            later=VISITS - 1 - v,
        )
        for n, lesion in enumerate(lesions)
        for v, day in enumerate(DAYS)
    )
    steps = tuple(
        Step(lesion, DAYS[v], DAYS[v + 1], 60.0, float(100 * volumes[n, v + 1] / volumes[n, v] - 100), "real")
        for n, lesion in enumerate(lesions)
        for v in range(VISITS - 1)
    )
    events = tuple(
        EventFact(f"e{n}", day, kind, "radiotherapy" if kind == "radiotherapy" else None, kind)
        for n, (day, kind) in enumerate(zip(BETWEEN, random.choice(["radiotherapy", "surgery"], 4), strict=True))
    )
    calls = tuple(VisitCall(day, str(random.choice(CALLS)), "") for day in DAYS)
    merged = (Relation("L2", "L1", DAYS[3], "merged into"),) if random.random() < 0.1 else ()
    best = min((call.category for call in calls), key=CALLS.index)
    courses = dict.fromkeys(lesions, ())
    return PatientEvidence(
        name, "made", False, cases, courses, steps, merged, events, calls, "RECIST 1.1", best_response=best
    )


def run(observations: int = OBSERVATIONS) -> list[dict[str, Any]]:
    """One row for the making (s, MB of its process), and one a question (ms, median of 15)."""
    patients = made_patients(observations)
    began = time.perf_counter()
    graph = EvidenceGraph.of(patients)
    seconds = time.perf_counter() - began
    assert graph._process is not None
    grown = resident_mb(graph._process.pid)
    rows: list[dict[str, Any]] = [{"what": f"made of {observations:,} observations", "s": seconds, "MB": grown}]
    text, parameters = FILTER.cypher(1000.0)
    after, when = AFTER.cypher()
    asked: dict[str, Callable[[], Any]] = {
        "same organ, alike, on chemotherapy, responded": partial(graph.observation_keys, text, parameters),
        "the same by the cases": lambda: selected(FILTER, patients, 1000.0).keys,
        "radiotherapy within 60 days after": partial(graph.observation_keys, after, when),
        "the same, by the cases": lambda: selected(AFTER, patients, 1000.0).keys,
        "what followed lesions like this after radiotherapy": lambda: graph.ask(FOLLOWED).rows,
        "patients and volumes by response": lambda: graph.ask(BY_RESPONSE).rows,
        "lesions that were merged": lambda: graph.ask(MERGED, limit=1_000).rows,
        "all observations": partial(graph.observation_keys, "MATCH (o:Observation) RETURN o.mask_id, o.lesion_id"),
    }
    return rows + [{"what": what, "rows": len(work()), "ms": _milliseconds(work)} for what, work in asked.items()]


def _milliseconds(work: Callable[[], Any]) -> float:
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return 1e3 * statistics.median(taken)
