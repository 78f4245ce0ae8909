"""Evidence whose every distance is known: lesions on a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.evidence.base import EvidenceBase
from core.evidence.cases import CaseKey, CoursePoint, LesionCase, PatientEvidence
from core.evidence.retrieval import Question
from core.lesions.shape import VECTOR_NAMES


@dataclass(frozen=True)
class Lesion:
    """A lesion at one visit: where it lies on the line of shapes, and on that of looks (None: nobody looked)."""

    patient: str
    shape: float
    day: str = "2024-01-01"
    lesion: str = "L1"
    later: int = 1
    look: float | None = None
    more: Any = None


def case_of(one: Lesion) -> LesionCase:
    """Its case."""
    number = f"{one.patient}-{one.day}-{one.lesion}"
    made = ("a" * 64, "b" * 64, "nnunet", None, "ann", "ben")
    place = (one.patient, "set", one.day, one.lesion, f"mask-{number}", 1)
    known = LesionCase(*place, *made, False, "CT", 1000.0, later=one.later)
    return replace(known, **(one.more or {}))


def vector(value: float) -> np.ndarray:
    """A shape vector that differs from others in its first number alone."""
    return np.array([value] + [0.0] * (len(VECTOR_NAMES) - 1), np.float32)


def base_of(lesions: Sequence[Lesion]) -> EvidenceBase:
    """The base of some lesions."""
    cases = tuple(case_of(one) for one in lesions)
    patients = {}
    for case in cases:
        own = tuple(one for one in cases if one.patient_id == case.patient_id)
        course = {one.lesion_id: (CoursePoint(one.timepoint, 0.0, "measured", one.volume_mm3),) for one in own}
        patients[case.patient_id] = PatientEvidence(case.patient_id, "set", case.simulated, own, course)
    looks = np.array([[np.nan if one.look is None else one.look, 0.0] for one in lesions], np.float32)
    looks[np.isnan(looks[:, 0])] = np.nan
    return EvidenceBase(7, patients, cases, np.stack([vector(one.shape) for one in lesions]), looks, "eyes")


def question(shape: float | None, look: float | None = None, patient: str = "asking", **more: Any) -> Question:
    """A lesion of a patient that the base has not."""
    asked = Question(
        CaseKey("mask-asked", "L1"),
        patient,
        "2024-06-01",
        1000.0,
        "CT",
        False,
        None if shape is None else vector(shape),
        None if look is None else np.array([look, 0.0], np.float32),
    )
    return replace(asked, **more)
