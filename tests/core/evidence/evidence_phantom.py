"""Patients whose evidence can be checked by hand, and random ones."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

from hypothesis import strategies as st

from core.evidence.cases import (
    CoursePoint,
    EventFact,
    LesionCase,
    PatientEvidence,
    Relation,
    Step,
    Therapy,
    VisitCall,
)

THERAPIES: tuple[Therapy, ...] = ("chemotherapy", "radiotherapy", "immunotherapy", "drug of no known class")
KINDS = ("surgery", "radiotherapy", "drug-start", "death")


def case(
    patient_id: str,
    timepoint: str,
    lesion_id: str,
    volume_mm3: float,
    organ: str = "",
    therapies: tuple[Therapy, ...] = (),
    later: int = 0,
    modality: str = "CT",
    dataset: str = "made",
) -> LesionCase:
    """A lesion of a mask that is named after its patient and visit."""
    return LesionCase(
        patient_id=patient_id,
        dataset=dataset,
        timepoint=timepoint,
        lesion_id=lesion_id,
        mask_id=f"mask-{patient_id}-{timepoint}",
        version=1,
        mask_sha256="a" * 64,
        scan_sha256="b" * 64,
        method="manual",
        checkpoint_sha256=None,
        made_by="ann",
        accepted_by="ben",
        simulated=False,
        modality=modality,
        volume_mm3=volume_mm3,
        organ=organ,
        therapies=therapies,
        later=later,
        percent_to_last=-50.0 if later else None,
        verdict_to_last="real" if later else "",
    )


def three_patients() -> list[PatientEvidence]:
    """Ann's liver lesion halves under chemotherapy after radiotherapy and responds; Bo's grows by a quarter after it;
    Cy has two lesions that merge, none of a named organ, nothing on record."""
    ann = PatientEvidence(
        "ANN",
        "made",
        False,
        (
            case("ANN", "2024-01-01", "L1", 1000.0, "liver", ("chemotherapy",), later=2),
            case("ANN", "2024-03-01", "L1", 500.0, "liver", ("chemotherapy", "radiotherapy"), later=1),
            case("ANN", "2024-01-01", "L2", 9000.0, "lung", ("chemotherapy",), later=1),
        ),
        {"L1": (CoursePoint("2024-01-01", 0, "measured", 1000.0), CoursePoint("2024-06-01", 152, "absent", 0.0))},
        steps=(
            Step("L1", "2024-01-01", "2024-03-01", 60.0, -50.0, "real"),
            Step("L1", "2024-03-01", "2024-06-01", 92.0, -100.0, "real"),
        ),
        events=(
            EventFact("e1", "2024-01-31", "radiotherapy", "radiotherapy", "radiotherapy, 60 Gy"),
            EventFact("e2", "2023-12-01", "drug-start", "chemotherapy", "cisplatin begun"),
        ),
        calls=(VisitCall("2024-01-01", "baseline", "baseline"), VisitCall("2024-03-01", "PR", "partial response")),
        criterion="RECIST",
        best_response="PR",
    )
    bo = PatientEvidence(
        "BO",
        "made",
        False,
        (
            case("BO", "2024-02-01", "L1", 800.0, "liver", ("chemotherapy",), later=1),
            case("BO", "2024-04-01", "L1", 1000.0, "liver", (), later=0),
        ),
        {"L1": ()},
        steps=(Step("L1", "2024-02-01", "2024-04-01", 60.0, 25.0, "within noise"),),
        events=(EventFact("e1", "2024-02-11", "radiotherapy", "radiotherapy", "radiotherapy, 20 Gy"),),
        calls=(VisitCall("2024-02-01", "baseline", "baseline"), VisitCall("2024-04-01", "SD", "stable disease")),
        best_response="SD",
        ended="death",
    )
    cy = PatientEvidence(
        "CY",
        "other",
        True,
        (case("CY", "2024-05-01", "L1", 1100.0, dataset="other", modality="MR"),),
        {"L1": (), "L2": ()},
        relations=(Relation("L2", "L1", "2024-05-01", "merged into"), Relation("L1", "L3", "2024-07-01", "split into")),
    )
    return [ann, bo, cy]


def _day(number: int) -> str:
    return (dt.date(2024, 1, 1) + dt.timedelta(days=number)).isoformat()


@st.composite
def patients(draw: st.DrawFn, most: int = 5) -> list[PatientEvidence]:
    """Patients of up to three lesions at up to three visits, with events, calls and treatments by chance."""
    made = []
    for number in range(draw(st.integers(0, most))):
        name, dataset = f"P{number}", draw(st.sampled_from(["made", "other"]))
        visits = sorted(draw(st.sets(st.integers(0, 500), min_size=1, max_size=3)))
        lesions = [f"L{n}" for n in range(draw(st.integers(1, 3)))]
        organs = {lesion: draw(st.sampled_from(["", "liver", "lung", "it's \\ `odd` ‘ö’"])) for lesion in lesions}
        therapies = st.lists(st.sampled_from(THERAPIES), max_size=2, unique=True).map(tuple)
        cases = tuple(
            case(
                name,
                _day(visit),
                lesion,
                draw(st.one_of(st.sampled_from([50.0, 100.0, 200.0]), st.floats(1.0, 1e4))),
                organs[lesion],
                draw(therapies),
                draw(st.integers(0, 2)),
                draw(st.sampled_from(["CT", "MR"])),
                dataset,
            )
            for visit in visits
            for lesion in lesions
            if draw(st.booleans())
        )
        events = tuple(
            EventFact(
                f"e{n}",
                draw(st.one_of(st.integers(-50, 900).map(_day), st.just("2024"), st.just(""))),
                draw(st.sampled_from(KINDS)),
                draw(st.one_of(st.none(), st.sampled_from(THERAPIES))),
                "words",
            )
            for n in range(draw(st.integers(0, 3)))
        )
        calls = tuple(
            VisitCall(
                _day(visit), draw(st.sampled_from(["CR", "PR", "SD", "non-CR/non-PD", "PD", "NE", "baseline"])), ""
            )
            for visit in visits
        )
        steps = tuple(
            Step(lesion, _day(a), _day(b), float(b - a), draw(st.one_of(st.none(), st.floats(-100, 900))), "unknown")
            for lesion in lesions
            for a, b in pairwise(visits)
        )
        courses: dict[str, tuple[CoursePoint, ...]] = dict.fromkeys(lesions, ())
        made.append(PatientEvidence(name, dataset, False, cases, courses, steps=steps, events=events, calls=calls))
    return made
