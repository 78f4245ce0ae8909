"""The panel as a file: JSON with all of it, Markdown whose text is text, a bundle with the structure of FHIR R4B."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from core.evidence.fhir import SYSTEM, UCUM, fhir_bundle, to_fhir
from core.evidence.formats import panel_json, to_json, to_markdown
from core.evidence.panel import EvidencePanel
from core.evidence.pseudonyms import panel_of
from tests.core.evidence.panel_phantom import COURSE, MADE_AT, NO_LATER, answer, case, five, similar

QUERY = case("HN-017", mask_id="mask-asked", lesion_id="L3", timepoint="2023-11-11", volume_mm3=9_000.0)
HOSTILE = "<img src=x onerror=alert(1)> | ![p](http://evil.example/p) `x`\n# head"


def own() -> EvidencePanel:
    return panel_of(five(), QUERY, made_at=MADE_AT)


def nameless() -> EvidencePanel:
    return panel_of(five(), QUERY, "pseudonyms", MADE_AT)


# --- JSON ---


def test_json_has_every_field_with_its_unit_and_none_for_what_is_not_known():
    values = json.loads(to_json(own()))
    assert (values["format"], values["format_version"], values["names"]) == ("twinreview-evidence-panel", 1, "own")
    assert values == json.loads(json.dumps(panel_json(own())))
    first, last = values["neighbours"][0], values["neighbours"][4]
    assert (first["lesion"]["volume_mm3"], first["outcome"]["percent"]) == (10_000.0, -40.0)
    assert first["outcome"]["course"][1] == {
        "timepoint": "2024-05-30",
        "days": 90.0,
        "state": "measured",
        "volume_mm3": 6_000.0,
    }
    assert last["outcome"]["fate"] == "no later visit"
    assert last["outcome"]["percent"] is last["outcome"]["volume_mm3"] is last["outcome"]["days"] is None


# --- Markdown ---


def test_markdown_is_read_by_a_clinician_with_its_units_limits_and_sources():
    text = to_markdown(own())
    for words in (
        "a starting point for a look",
        "| 10 mL, CT |",
        "Shrank really: -40 % by day +90, to 6 mL (rule: QIBA CT volume).",
        "closer than 99 % of pairs; distance 0.25",
        "1,234 lesions of 321 patients",
        "mask-of-STS-004, version 2",
        "Dr. Miriam Adler",
        "nnunet, weights " + "c" * 64,
        "audit entry 4,711",
    ):
        assert words in text, words
    assert text.index("starting point") < text.index("STS"), "limits come first"


def test_every_table_of_markdown_has_as_many_cells_in_each_line():
    lines = to_markdown(own()).splitlines()
    tables = 0
    for at, line in enumerate(lines):
        if line.startswith("|"):
            cells = line.replace("\\|", "").count("|")
            if not lines[at - 1].startswith("|"):
                tables, wanted = tables + 1, cells
            assert cells == wanted, line
    assert tables == 9, "asked about, the neighbours, five courses, the search, sources"


def test_text_from_outside_is_no_markup_in_markdown():
    one = case(HOSTILE, organ=HOSTILE, drugs=(HOSTILE,), accepted_by=HOSTILE, doubts=(HOSTILE,), rule_to_last=HOSTILE)
    text = to_markdown(panel_of(answer(similar(one), filters=(HOSTILE,), metric=HOSTILE), None, made_at=MADE_AT))
    assert text.count("img src") == text.count("\\<img src") == 10
    assert re.search(r"(?<!\\)[<>`!\[\]]|http://|\n# head", text) is None


def test_markdown_tells_what_is_left_out_and_what_is_not_on_record():
    text = to_markdown(nameless())
    assert "left out" in text
    assert "withheld" in text
    course_unknown = panel_of(answer(similar(case(**NO_LATER), courses={})), None)
    assert "- Its course is not on record." in to_markdown(course_unknown)
    assert "not known" in to_markdown(course_unknown), "the sources of the lesion asked about"


# --- FHIR ---


def resources(panel: EvidencePanel, kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in fhir_bundle(panel)["entry"] if entry["resource"]["resourceType"] == kind]


def of_code(panel: EvidencePanel, code: str) -> list[dict[str, Any]]:
    return [one for one in resources(panel, "Observation") if one["code"]["coding"][0]["code"] == code]


@pytest.mark.parametrize("panel", [own(), nameless(), panel_of(answer(), None), panel_of(five(), None, "pseudonyms")])
def test_the_bundle_has_the_structure_of_fhir(panel):
    """Each resource of the bundle is read by `fhir.resources` as the kind it says it is."""
    bundle = Bundle.model_validate_json(to_fhir(panel))
    assert bundle.type == "collection"
    kinds = Counter(type(entry.resource).__name__ for entry in bundle.entry or ())
    assert kinds["List"] == 1
    assert kinds["BodyStructure"] == 1 + len(panel.neighbours)


def test_the_structure_is_checked_at_all():
    values = fhir_bundle(own())
    values["entry"][0]["resource"]["surname"] = "Adler"
    with pytest.raises(ValueError, match="surname"):
        Bundle.model_validate(values)


@pytest.mark.parametrize("panel", [own(), nameless()])
def test_every_reference_leads_to_a_resource_of_the_bundle_and_no_address_is_twice(panel):
    bundle = fhir_bundle(panel)
    addresses = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(addresses) == len(set(addresses))

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            here = [value["reference"]] if "reference" in value else []
            return here + [one for each in value.values() for one in references(each)]
        return [one for each in value for one in references(each)] if isinstance(value, list) else []

    assert set(references(bundle)) <= set(addresses)
    assert all(entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}" for entry in bundle["entry"])
    assert fhir_bundle(panel) == bundle, "the same panel gives the same bundle"


def test_volumes_are_quantities_in_ucum_on_their_day():
    volumes = of_code(own(), "lesion-volume")
    assert len(volumes) == 1 + 5 + 4, "the lesion asked about, each neighbour, and four at a later visit"
    later = next(one for one in volumes if one.get("effectiveDateTime") == "2024-05-30")
    assert later["valueQuantity"] == {"value": 6.0, "unit": "mL", "system": UCUM, "code": "mL"}
    assert later["component"][0]["valueQuantity"] == {"value": 90.0, "unit": "d", "system": UCUM, "code": "d"}
    assert all("effectiveDateTime" not in one for one in of_code(nameless(), "lesion-volume"))


def test_what_is_not_known_is_absent_with_a_reason_and_gone_is_a_number():
    course = (*COURSE, replace(COURSE[2], days=300.0, state="not in view", volume_mm3=None))
    gone = case(volume_at_last_mm3=0.0, percent_to_last=None, verdict_to_last="")
    panel = panel_of(answer(similar(gone, courses={"L1": course}, calls=())), None)
    absent = [one for one in of_code(panel, "lesion-volume") if "dataAbsentReason" in one]
    assert [one["dataAbsentReason"]["text"] for one in absent] == ["not in view"]
    assert "valueQuantity" not in absent[0]
    change = of_code(panel, "relative-change")[0]
    assert "valueQuantity" not in change
    assert change["interpretation"][0]["text"] == "unknown"
    assert "dataAbsentReason" in of_code(panel, "patient-response-after")[0]


def test_a_change_is_derived_from_its_two_volumes_and_says_its_verdict_and_rule():
    bundle = {entry["fullUrl"]: entry["resource"] for entry in fhir_bundle(own())["entry"]}
    change = of_code(own(), "relative-change")[0]
    ends = [bundle[one["reference"]]["valueQuantity"]["value"] for one in change["derivedFrom"]]
    assert ends == [10.0, 6.0]
    assert change["valueQuantity"] == {"value": -40.0, "unit": "%", "system": UCUM, "code": "%"}
    assert (change["interpretation"][0]["text"], change["method"]["text"]) == ("real", "QIBA CT volume")


def test_provenance_names_mask_scan_weights_and_who_made_and_accepted_it():
    found = resources(own(), "Provenance")[1]
    values = {one["what"]["display"]: one["what"]["identifier"]["value"] for one in found["entity"]}
    assert values == {
        "mask": "mask-of-STS-004",
        "mask file": "a" * 64,
        "scan file": "b" * 64,
        "network's weights": "c" * 64,
    }
    people = {one["type"]["coding"][0]["code"]: one["who"]["display"] for one in found["agent"]}
    assert (people["author"], people["verifier"]) == ("nnU-Net job", "Dr. Miriam Adler")
    assert people["assembler"].startswith("TwinReview ")
    by_hand = panel_of(answer(similar(case(checkpoint_sha256=None, made_by=""))), None)
    found = resources(by_hand, "Provenance")[0]
    assert "network's weights" not in {one["what"]["display"] for one in found["entity"]}
    assert found["agent"][0]["who"]["display"] == "not on record"


def test_pseudonyms_and_simulated_patients_are_labelled():
    labels = {
        one["identifier"][0]["value"]: [label["code"] for label in one["meta"]["security"]]
        for one in resources(nameless(), "Patient")
    }
    assert labels["patient A"] == ["PSEUDED"]
    assert labels["patient B"] == ["PSEUDED", "HTEST"]
    assert "meta" not in resources(own(), "Patient")[0]
    assert resources(own(), "Patient")[0]["identifier"] == [{"system": f"{SYSTEM}:patient", "value": "HN-017"}]


def test_the_list_has_the_lesions_in_order_and_the_limits():
    found = resources(own(), "List")[0]
    assert [one["item"]["display"] for one in found["entry"]] == [
        "Row A1: STS-004",
        "Row B: STS-009",
        "Row A2: STS-004",
        "Row C: STS-011",
        "Row D: STS-012",
    ]
    notes = [one["text"] for one in found["note"]]
    assert set(own().limits) <= set(notes)
    assert own().tally.words in notes
    assert "Filter: organ: left lung" in notes
    assert "entry" not in resources(panel_of(answer(), None), "List")[0]
