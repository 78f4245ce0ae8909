"""What the property graph holds, and its rows made of what evidence knows of patients.

(:Patient)-[:HAS]->(:Lesion)-[:SEEN_AS]->(:Observation)-[:AT]->(:Visit)
(:Observation)-[:FOLLOWED_BY]->(:Observation)     to the next visit at which the lesion's volume is a number
(:Observation)-[:BEFORE]->(:Event)                events on that day and up to a year after
(:Patient)-[:UNDERWENT]->(:Event)
(:Lesion)-[:MERGED_INTO]->(:Lesion), (:Lesion)-[:SPLIT_INTO]->(:Lesion)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.errors import InputError
from core.evidence.cases import EventFact, LesionCase, PatientEvidence
from core.types import parse_date

#: Events so long after an observation are joined to it.
DAYS_AFTER = 365
#: What a cell of a row may hold.
Value = str | int | float | bool | list[str] | None
Rows = dict[str, list[dict[str, Value]]]

#: label -> its properties and their types; the first is what a node is found by.
NODES: dict[str, dict[str, str]] = {
    "Patient": {
        "patient_id": "STRING",
        "dataset": "STRING",
        "simulated": "BOOL",
        "best_response": "STRING",
        "criterion": "STRING",
        "ended": "STRING",
    },
    "Lesion": {"id": "STRING", "patient_id": "STRING", "lesion_id": "STRING", "organ": "STRING"},
    "Observation": {
        "id": "STRING",
        "mask_id": "STRING",
        "lesion_id": "STRING",
        "patient_id": "STRING",
        "timepoint": "STRING",
        "volume_mm3": "DOUBLE",
        "modality": "STRING",
        "version": "INT64",
        "on_treatment": "STRING[]",
        "later": "INT64",
        "percent_to_last": "DOUBLE",
        "verdict_to_last": "STRING",
        "response_after": "STRING",
    },
    "Visit": {"id": "STRING", "patient_id": "STRING", "timepoint": "STRING", "category": "STRING"},
    "Event": {
        "id": "STRING",
        "patient_id": "STRING",
        "event_id": "STRING",
        "date": "STRING",
        "kind": "STRING",
        "therapy": "STRING",
        "words": "STRING",
    },
}
#: type -> the labels that it leads from and to, and its properties.
RELATIONS: dict[str, tuple[str, str, dict[str, str]]] = {
    "HAS": ("Patient", "Lesion", {}),
    "SEEN_AS": ("Lesion", "Observation", {}),
    "AT": ("Observation", "Visit", {}),
    "FOLLOWED_BY": ("Observation", "Observation", {"days": "DOUBLE", "percent": "DOUBLE", "verdict": "STRING"}),
    "UNDERWENT": ("Patient", "Event", {}),
    "BEFORE": ("Observation", "Event", {"days": "INT64"}),
    "MERGED_INTO": ("Lesion", "Lesion", {"timepoint": "STRING"}),
    "SPLIT_INTO": ("Lesion", "Lesion", {"timepoint": "STRING"}),
}


def statements() -> Iterator[str]:
    """What makes the empty graph, a statement a label or type."""
    for label, properties in NODES.items():
        columns = ", ".join(f"{name} {kind}" for name, kind in properties.items())
        yield f"CREATE NODE TABLE {label}({columns}, PRIMARY KEY ({next(iter(properties))}))"
    for kind, (start, end, properties) in RELATIONS.items():
        columns = "".join(f", {name} {of}" for name, of in properties.items())
        yield f"CREATE REL TABLE {kind}(FROM {start} TO {end}{columns})"


def described() -> str:
    """The labels, types and properties in words, for messages and for whoever writes a query."""
    nodes = "; ".join(f"{label} ({', '.join(properties)})" for label, properties in NODES.items())
    relations = "; ".join(f"{start} {kind} {end}" for kind, (start, end, _) in RELATIONS.items())
    return f"Nodes: {nodes}. Relations: {relations}."


def days_until(timepoint: str, date: str) -> int | None:
    """Days from a visit to a date; None where one of the two is no date."""
    try:
        return (parse_date(date) - parse_date(timepoint)).days
    except InputError:
        return None


def events_after(timepoint: str, events: Sequence[EventFact]) -> list[tuple[EventFact, int]]:
    """The events on the day of a visit and up to `DAYS_AFTER` days after, each with these days."""
    told = [(event, days_until(timepoint, event.date)) for event in events]
    return [(event, days) for event, days in told if days is not None and 0 <= days <= DAYS_AFTER]


def rows_of(patients: Sequence[PatientEvidence]) -> Rows:
    """Label or type -> its rows; of relations with the ends' keys as `start` and `end`.

    An end of a step that is no case (the lesion was gone, or its mask has no case) is an observation without a mask.

    Raises:
        InputError: a patient, or a lesion of one mask, that is there twice.
    """
    rows: Rows = {name: [] for name in (*NODES, *RELATIONS)}
    for patient in patients:
        _add_patient(rows, patient)
    for label, properties in NODES.items():
        key = next(iter(properties))
        found = [row[key] for row in rows[label]]
        if len(set(found)) < len(found):
            raise InputError(
                f"Expected each {label.lower()} once in the graph, got one twice. Gather each patient's evidence once."
            )
    return rows


def _add_patient(rows: Rows, patient: PatientEvidence) -> None:
    own = patient.patient_id
    rows["Patient"].append({name: getattr(patient, name) for name in NODES["Patient"]})
    for event in {event.event_id: event for event in patient.events}.values():
        key = f"{own}/{event.event_id}"
        row: dict[str, Value] = {"id": key, "patient_id": own, **{n: getattr(event, n) for n in _OF_AN_EVENT}}
        rows["Event"].append(row | {"therapy": event.therapy or ""})
        rows["UNDERWENT"].append({"start": own, "end": key})
    _add_lesions(rows, patient)
    observed = {(case.lesion_id, case.timepoint): _of_case(case, patient) for case in patient.cases}
    if len(observed) < len(patient.cases):
        raise InputError(
            "Expected each lesion once at a visit in the graph, got one twice. Gather each patient's evidence once."
        )
    for step in patient.steps:
        for timepoint in (step.timepoint, step.to_timepoint):
            observed.setdefault((step.lesion_id, timepoint), _without_mask(patient, step.lesion_id, timepoint))
        ends = {
            "start": observed[step.lesion_id, step.timepoint]["id"],
            "end": observed[step.lesion_id, step.to_timepoint]["id"],
        }
        rows["FOLLOWED_BY"].append({**ends, "days": step.days, "percent": step.percent, "verdict": step.verdict})
    rows["Observation"] += observed.values()
    _add_visits(rows, patient, list(observed))
    for (lesion_id, timepoint), row in observed.items():
        rows["SEEN_AS"].append({"start": f"{own}/{lesion_id}", "end": row["id"]})
        rows["AT"].append({"start": row["id"], "end": f"{own}/{timepoint}"})
        rows["BEFORE"] += [
            {"start": row["id"], "end": f"{own}/{event.event_id}", "days": days}
            for event, days in events_after(timepoint, patient.events)
        ]


_OF_AN_EVENT = ("event_id", "date", "kind", "words")


def _add_lesions(rows: Rows, patient: PatientEvidence) -> None:
    """Every lesion that anything names, with the organ that somebody named for it."""
    own = patient.patient_id
    names = [case.lesion_id for case in patient.cases] + list(patient.courses) + [s.lesion_id for s in patient.steps]
    names += [name for relation in patient.relations for name in (relation.lesion_id, relation.into)]
    organs = {case.lesion_id: case.organ for case in patient.cases if case.organ}
    for name in dict.fromkeys(names):
        key = f"{own}/{name}"
        rows["Lesion"].append({"id": key, "patient_id": own, "lesion_id": name, "organ": organs.get(name, "")})
        rows["HAS"].append({"start": own, "end": key})
    for relation in patient.relations:
        kind = "MERGED_INTO" if relation.relation == "merged into" else "SPLIT_INTO"
        ends: dict[str, Value] = {"start": f"{own}/{relation.lesion_id}", "end": f"{own}/{relation.into}"}
        rows[kind].append({**ends, "timepoint": relation.timepoint})


def _add_visits(rows: Rows, patient: PatientEvidence, observed: Sequence[tuple[str, str]]) -> None:
    """Every visit that was called or at which something was seen; its category "" where it was not called."""
    called = {one.timepoint: one.category for one in patient.calls}
    for timepoint in dict.fromkeys([*called, *(timepoint for _, timepoint in observed)]):
        key, own = f"{patient.patient_id}/{timepoint}", patient.patient_id
        visit: dict[str, Value] = {"id": key, "patient_id": own, "timepoint": timepoint}
        rows["Visit"].append({**visit, "category": called.get(timepoint, "")})


def _of_case(case: LesionCase, patient: PatientEvidence) -> dict[str, Value]:
    row: dict[str, Value] = {name: getattr(case, name) for name in _OF_A_CASE}
    return row | {
        "id": f"{case.mask_id}/{case.lesion_id}",
        "on_treatment": list(case.therapies),
        "response_after": patient.response_after(case.timepoint),
    }


_OF_A_CASE = tuple(name for name in NODES["Observation"] if name not in ("id", "on_treatment", "response_after"))


def _without_mask(patient: PatientEvidence, lesion_id: str, timepoint: str) -> dict[str, Value]:
    """An observation that is no case: its volume by the lesion's course, and nothing else is known of it."""
    course = patient.courses.get(lesion_id, ())
    volume = next((point.volume_mm3 for point in course if point.timepoint == timepoint), None)
    row: dict[str, Value] = dict.fromkeys(NODES["Observation"])
    return row | {
        "id": f"{patient.patient_id}/{lesion_id}/{timepoint}",
        "mask_id": "",
        "lesion_id": lesion_id,
        "patient_id": patient.patient_id,
        "timepoint": timepoint,
        "volume_mm3": volume,
        "on_treatment": [],
        "response_after": patient.response_after(timepoint),
    }
