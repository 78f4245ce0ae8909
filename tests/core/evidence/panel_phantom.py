"""Answers of a search with known outcomes, for the tests of the panel and of what is made of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.evidence.cases import (
    CaseKey,
    CoursePoint,
    EventFact,
    LesionCase,
    PatientEvidence,
    Similar,
    SimilarLesions,
    VisitCall,
)

SHA = {name: f"{at:x}" * 64 for at, name in enumerate(("mask", "scan", "weights"), start=10)}
MADE_AT = "2031-05-06T07:08:09Z"


def case(patient_id: str = "STS-004", **more: Any) -> LesionCase:
    """L1 of 10 mL at 2024-03-01, seen once more after 90 days at 6 mL, really."""
    values: dict[str, Any] = {
        "dataset": "sarcoma-site-7",
        "timepoint": "2024-03-01",
        "lesion_id": "L1",
        "mask_id": f"mask-of-{patient_id}",
        "version": 2,
        "mask_sha256": SHA["mask"],
        "scan_sha256": SHA["scan"],
        "method": "nnunet",
        "checkpoint_sha256": SHA["weights"],
        "made_by": "nnU-Net job",
        "accepted_by": "Dr. Miriam Adler",
        "simulated": False,
        "modality": "CT",
        "volume_mm3": 10_000.0,
        "organ": "left lung",
        "therapies": ("chemotherapy",),
        "drugs": ("doxorubicin",),
        "later": 1,
        "last_timepoint": "2024-05-30",
        "days_to_last": 90.0,
        "volume_at_last_mm3": 6_000.0,
        "percent_to_last": -40.0,
        "verdict_to_last": "real",
        "rule_to_last": "QIBA CT volume",
    }
    return LesionCase(patient_id=patient_id, **{**values, **more})


NO_LATER: dict[str, Any] = {
    "later": 0,
    "last_timepoint": "",
    "days_to_last": None,
    "volume_at_last_mm3": None,
    "percent_to_last": None,
    "verdict_to_last": "",
    "rule_to_last": "",
}
COURSE = (
    CoursePoint("2024-01-01", 0.0, "measured", 12_000.0),
    CoursePoint("2024-03-01", 60.0, "measured", 10_000.0),
    CoursePoint("2024-05-30", 150.0, "measured", 6_000.0),
)
EVENTS = (
    EventFact("ev-1", "2024-01-05", "drug-start", "chemotherapy", "doxorubicin 75 mg/m2, Dr. Weiss"),
    EventFact("ev-2", "2024-03-01", "drug-start", "immunotherapy", "pembrolizumab, the same day"),
    EventFact("ev-3", "2024-04-10", "radiotherapy", "radiotherapy", "hip, 50 Gy, at Sankt Anna"),
    EventFact("ev-4", "2024-04-01", "surgery", None, "resection by Dr. Okafor"),
    EventFact("ev-5", "2024-04-15", "drug-stop", "chemotherapy", "doxorubicin stopped"),
    EventFact("ev-6", "2024-04-20", "other", None, "moved to Bremen"),
)
CALLS = (
    VisitCall("2024-01-01", "baseline", "baseline"),
    VisitCall("2024-02-01", "CR", "CR"),
    VisitCall("2024-03-01", "CR", "CR"),
    VisitCall("2024-05-30", "SD", "SD"),
    VisitCall("2024-08-30", "PD", "PD"),
)


def similar(one: LesionCase, rank: int = 1, **of_patient: Any) -> Similar:
    """A similar lesion, of a patient with that one case."""
    values: dict[str, Any] = {
        "courses": {one.lesion_id: COURSE},
        "events": EVENTS,
        "calls": CALLS,
        "criterion": "recist-1.1",
        "best_response": "CR",
        "progressed_on": "2024-08-30",
        "ended": "death",
        "ended_on": "2025-03-01",
    }
    patient = PatientEvidence(
        patient_id=one.patient_id,
        dataset=one.dataset,
        simulated=one.simulated,
        cases=(one,),
        **{**values, **of_patient},
    )
    return Similar(one, patient, rank, 0.25 * rank, 99.97 - rank)


def answer(*found: Similar, **more: Any) -> SimilarLesions:
    """What a search for a lesion of HN-017 found."""
    values: dict[str, Any] = {
        "space": "both",
        "metric": "",
        "searched": 1234,
        "patients": 321,
        "not_compared": 5,
        "filters": ("data set sarcoma-site-7", "organ: left lung"),
        "as_of": 4711,
    }
    return SimilarLesions(
        of=CaseKey("mask-asked", "L3"),
        patient_id="HN-017",
        timepoint="2023-11-11",
        volume_mm3=9_000.0,
        modality="CT",
        found=found,
        **{**values, **more},
    )


def five() -> SimilarLesions:
    """Two shrank really, one within noise, one unknown, one without a later visit; of four patients, one simulated."""
    nothing_later = COURSE[:2]
    cases = (
        case("STS-004"),
        case("STS-009", lesion_id="L2", volume_at_last_mm3=8_000.0, percent_to_last=-20.0, simulated=True),
        case("STS-004", lesion_id="L2", verdict_to_last="within noise", percent_to_last=2.0),
        case("STS-011", verdict_to_last="unknown", rule_to_last="no rule for two modalities", doubts=("Seen by Ada.",)),
        case("STS-012", **NO_LATER),
    )
    found = [similar(one, rank) for rank, one in enumerate(cases, start=1)]
    found[1] = replace(found[1], marked=True)
    last = similar(
        cases[4], 5, courses={"L1": nothing_later}, calls=(), criterion="", progressed_on=None, ended="", ended_on=None
    )
    return answer(*found[:4], last)
