"""The evidence panel as a bundle in the shape of HL7 FHIR R4.

It is like FHIR and no more: a `Bundle` of type "collection" whose resources have the structure of R4B (4.3.0), and that
follows no profile. Codes are of a system of our own (`SYSTEM`), since there is none for most of what is said; units are
UCUM's, the labels of pseudonyms and of test data HL7's. It has a `Patient` for each patient; a `BodyStructure` for each
lesion; an `Observation` for each volume of a course, relative change, outcome, response, progression, end of follow-up,
therapy and likeness; a `Provenance` for each mask, recorded when the panel was made; and a `List` of the lesions in
their order, with the limits. It is evidence to look at: nothing in it is a finding about the patient asked about.

Source: HL7 FHIR R4B, https://hl7.org/fhir/R4B/.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.evidence.formats import panel_json
from core.evidence.outcome import FATE_WORDS, LesionOutcome
from core.evidence.outcome_words import fate_sentence
from core.evidence.panel import ALIKE, EvidencePanel, LesionFacts, Neighbour, Sources
from core.evidence.telling import printable
from core.remembered.untyped import JsonDict
from core.types import MM3_PER_ML

SYSTEM = "urn:twinreview:evidence"
UCUM = "http://unitsofmeasure.org"
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_AGENTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_ORDER = "http://terminology.hl7.org/CodeSystem/list-order"
_PSEUDONYMS = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "PSEUDED"}
_TEST_DATA = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}
_NAMESPACE = uuid.UUID("5d0b7a4e-6f0c-5c1e-9a55-2f4f3c1f7f3b")
_SHA256, _MASK = "urn:twinreview:sha256", "urn:twinreview:mask"


@dataclass
class _Entries:
    """The resources so far, by addresses that follow from the panel: the same panel gives the same bundle."""

    digest: str
    labels: list[JsonDict]
    found: list[JsonDict] = field(default_factory=list)

    def add(self, path: str, resource: JsonDict, simulated: bool | None = False) -> JsonDict:
        """A reference to the resource, which is put in."""
        address = uuid.uuid5(_NAMESPACE, f"{self.digest}/{path}")
        labels = [*self.labels, *([_TEST_DATA] if simulated else [])]
        meta = {"meta": {"security": labels}} if labels else {}
        full = {"resourceType": resource["resourceType"], "id": str(address), **meta, **resource}
        self.found.append({"fullUrl": address.urn, "resource": full})
        return {"reference": address.urn}


def to_fhir(panel: EvidencePanel) -> str:
    """The bundle as JSON text, UTF-8; what is not known has a reason why it is absent and no value."""
    return json.dumps(fhir_bundle(panel), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def fhir_bundle(panel: EvidencePanel) -> JsonDict:
    """The bundle as plain JSON values."""
    text = json.dumps(panel_json(panel), sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
    entries = _Entries(digest, [_PSEUDONYMS] if panel.names == "pseudonyms" else [])
    patients: dict[str, JsonDict] = {}
    for lesion in (panel.question, *(one.lesion for one in panel.neighbours)):
        if lesion.patient not in patients:
            patients[lesion.patient] = entries.add(f"patient/{len(patients)}", _patient(lesion), lesion.simulated)
    asked, _ = _lesion(entries, "asked", panel.question, patients, panel)
    structures = [_neighbour(entries, one, patients, asked, panel) for one in panel.neighbours]
    entries.add("list", _list(panel, patients[panel.question.patient], structures))
    return {
        "resourceType": "Bundle",
        "identifier": {"system": SYSTEM, "value": digest},
        "type": "collection",
        "timestamp": panel.made_at,
        "entry": entries.found,
    }


def _patient(lesion: LesionFacts) -> JsonDict:
    return {"resourceType": "Patient", "identifier": [{"system": f"{SYSTEM}:patient", "value": _text(lesion.patient)}]}


def _lesion(
    entries: _Entries, path: str, lesion: LesionFacts, patients: dict[str, JsonDict], panel: EvidencePanel
) -> tuple[JsonDict, JsonDict]:
    """References to the lesion, and to its volume at the compared visit, with where that comes from."""
    patient = patients[lesion.patient]
    named = [{"system": f"{SYSTEM}:lesion", "value": _text(lesion.lesion_id)}] if lesion.lesion_id else []
    body = {
        "resourceType": "BodyStructure",
        **({"identifier": named} if named else {}),
        "morphology": _concept("lesion"),
        **({"location": {"text": _text(lesion.organ)}} if lesion.organ else {}),
        "patient": patient,
    }
    structure = entries.add(f"{path}/structure", body, lesion.simulated)
    values = {"valueQuantity": _quantity(lesion.volume_mm3 / MM3_PER_ML, "mL")}
    volume = _observation("lesion-volume", patient, structure, values, 0.0, lesion.timepoint)
    if lesion.sources is not None and lesion.sources.doubted:
        doubts = lesion.sources.doubts or (f"{lesion.sources.doubted}, left out",)
        volume["note"] = [{"text": f"Doubted: {_text(doubt)}"} for doubt in doubts]
    reference = entries.add(f"{path}/volume", volume, lesion.simulated)
    for at, therapy in enumerate(lesion.therapies):
        given = _observation(
            "therapy-on-that-day", patient, structure, {"valueCodeableConcept": _concept(therapy)}, 0.0
        )
        entries.add(f"{path}/therapy/{at}", given, lesion.simulated)
    if lesion.sources is not None:
        entries.add(f"{path}/provenance", _provenance(lesion.sources, reference, panel), lesion.simulated)
    return structure, reference


def _neighbour(
    entries: _Entries, one: Neighbour, patients: dict[str, JsonDict], asked: JsonDict, panel: EvidencePanel
) -> JsonDict:
    path, simulated, patient = f"row/{one.row}", one.lesion.simulated, patients[one.lesion.patient]
    structure, at_zero = _lesion(entries, path, one.lesion, patients, panel)
    last = at_zero
    for at, point in enumerate(point for point in one.outcome.course if point.days > 0):
        known = point.volume_mm3 is not None
        value = _value_or_absent(point.volume_mm3, "mL", point.state)
        volume = _observation("lesion-volume", patient, structure, value, point.days, point.timepoint)
        volume["note"] = [{"text": _text(point.state)}]
        reference = entries.add(f"{path}/course/{at}", volume, simulated)
        last = reference if known else last
    for name, observation in _outcome_observations(one.outcome, patient, structure, at_zero, last):
        entries.add(f"{path}/{name}", observation, simulated)
    alike = {"valueQuantity": _quantity(one.percentile, "%")} if one.percentile is not None else _absent("not known")
    likeness = _observation("likeness-percentile", patient, structure, alike)
    likeness["focus"] = [structure, asked]
    if one.marked is not None:
        likeness["note"] = [{"text": "marked relevant" if one.marked else "marked not relevant"}]
    if one.distance is not None:
        distance = {"code": _concept("distance"), "valueQuantity": _quantity(one.distance, "1")}
        likeness["component"] = [distance]
    entries.add(f"{path}/likeness", likeness, simulated)
    return {**structure, "display": f"Row {one.row}: {_text(one.lesion.patient)}"}


def _outcome_observations(
    outcome: LesionOutcome, patient: JsonDict, structure: JsonDict, at_zero: JsonDict, last: JsonDict
) -> list[tuple[str, JsonDict]]:
    about = [("lesion-outcome", FATE_WORDS[outcome.fate], outcome.days)]
    about += [("patient-response-after", outcome.response, None)]
    if outcome.progressed:
        about += [("progression", "progression", outcome.progressed_days)]
    if outcome.ended:
        about += [("end-of-follow-up", outcome.ended, outcome.ended_days)]
    about += [("therapy-begun-after", one.therapy, one.days) for one in outcome.begun]
    found = []
    for at, (code, word, days) in enumerate(about):
        value = {"valueCodeableConcept": _concept(word)} if word else _absent("no later call")
        found.append((f"{code}/{at}", _observation(code, patient, structure, value, days)))
    found[0][1]["note"] = [{"text": _text(fate_sentence(outcome))}]
    if outcome.criterion:
        found[1][1]["method"] = {"text": _text(outcome.criterion)}
    if outcome.later:
        change = _observation(
            "relative-change", patient, structure, _value_or_absent(outcome.percent, "%", "not known"), outcome.days
        )
        change["derivedFrom"] = [at_zero] if last == at_zero else [at_zero, last]
        change["interpretation"] = [_concept(outcome.verdict or "unknown")]
        if outcome.rule:
            change["method"] = {"text": _text(outcome.rule)}
        found.append(("relative-change", change))
    return found


def _observation(
    code: str,
    patient: JsonDict,
    structure: JsonDict,
    value: JsonDict,
    days: float | None = None,
    date: str = "",
) -> JsonDict:
    """Of the lesion (`focus`); its day relative to the compared visit is a component."""
    found = {
        "resourceType": "Observation",
        "status": "final",
        "code": _concept(code),
        "subject": patient,
        "focus": [structure],
        **({"effectiveDateTime": date} if date else {}),
        **value,
    }
    if days is not None:
        found["component"] = [{"code": _concept("days-from-compared-visit"), "valueQuantity": _quantity(days, "d")}]
    return found


def _provenance(sources: Sources, target: JsonDict, panel: EvidencePanel) -> JsonDict:
    agents = [("author", sources.made_by), ("verifier", sources.accepted_by)]
    found = [{"type": _coded(_AGENTS, kind), "who": {"display": _text(who)}} for kind, who in agents]
    found.append({"type": _coded(_AGENTS, "assembler"), "who": {"display": f"TwinReview {_text(panel.twinreview)}"}})
    entities = [
        ("mask", _MASK, sources.mask_id),
        ("mask file", _SHA256, sources.mask_sha256),
        ("scan file", _SHA256, sources.scan_sha256),
        ("network's weights", _SHA256, sources.checkpoint_sha256),
    ]
    return {
        "resourceType": "Provenance",
        "target": [target],
        "recorded": panel.made_at,
        "activity": {"text": f"mask version {sources.version}, made by {_text(sources.method)}"},
        "agent": found,
        "entity": [
            {"role": "source", "what": {"identifier": {"system": system, "value": _text(value)}, "display": name}}
            for name, system, value in entities
            if value
        ],
    }


def _list(panel: EvidencePanel, patient: JsonDict, structures: Sequence[JsonDict]) -> JsonDict:
    searched = (
        f"Compared by {ALIKE[panel.space]}, {panel.metric or 'no learned metric'}; {panel.searched} lesions of "
        f"{panel.patients} patients searched, {panel.not_compared} not compared; as of audit entry {panel.as_of}."
    )
    notes = [*panel.limits, panel.tally.words, searched, *(f"Filter: {words}" for words in panel.filters)]
    return {
        "resourceType": "List",
        "status": "current",
        "mode": "snapshot",
        "title": "Lesions like the one asked about, the nearest first",
        "code": _concept("similar-lesions"),
        "subject": patient,
        "date": panel.made_at,
        "orderedBy": _coded(_ORDER, "priority"),
        "note": [{"text": _text(words)} for words in notes],
        **({"entry": [{"item": structure} for structure in structures]} if structures else _NOTHING_FOUND),
    }


def _text(value: str) -> str:
    """Text that is not empty, on one line."""
    return printable(value) or "not on record"


def _coded(system: str, code: str) -> JsonDict:
    return {"coding": [{"system": system, "code": code}]}


_NOTHING_FOUND: JsonDict = {
    "emptyReason": _coded("http://terminology.hl7.org/CodeSystem/list-empty-reason", "nilknown")
}


def _concept(word: str) -> JsonDict:
    return {**_coded(SYSTEM, _text(word)), "text": _text(word)}


def _quantity(value: float, unit: str) -> JsonDict:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def _value_or_absent(value: float | None, unit: str, why: str) -> JsonDict:
    """A quantity (a volume from mm3 in mL), or why there is none."""
    if value is None:
        return _absent(why)
    return {"valueQuantity": _quantity(value / MM3_PER_ML if unit == "mL" else value, unit)}


def _absent(why: str) -> JsonDict:
    return {"dataAbsentReason": {**_coded(_ABSENT, "unknown"), "text": _text(why)}}
