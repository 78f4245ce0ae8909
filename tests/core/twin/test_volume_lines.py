"""The lines of a chart of volumes: whose limits, from which baseline, and when no height in it is one."""

from __future__ import annotations

import math

import pytest

from core.remembered.protocols import FollowedLesion, ResponseProtocol, StoredProtocol
from core.twin.patient_responses import PatientResponses, patient_responses
from core.twin.volume_lines import VolumeLines, volume_lines
from tests.core.twin.timeline_phantom import DAYS, lesion, mask, timeline


def sphere(mm: float) -> float:
    return math.pi / 6 * mm**3


def responses(*diameters: float, **protocol) -> PatientResponses:
    said = ResponseProtocol(**{"criterion": "recist-1.1", **protocol})
    masks = [
        mask(day, {**lesion("L1", mm), "volume_mm3": sphere(mm)}) for day, mm in zip(DAYS, diameters, strict=False)
    ]
    found = patient_responses(timeline(*masks), StoredProtocol("", said, "P1", None, "why", "ann", ""))
    assert found is not None
    return found


def lines(found: PatientResponses, shown_mm: float = 40.0) -> VolumeLines:
    made = volume_lines(found, sphere(shown_mm))
    assert made is not None
    return made


def test_under_recist_the_lines_are_the_arithmetic_of_spheres_and_say_so():
    made = lines(responses(40, 30, 32))
    assert (made.days, made.nadir_days) == (0, 59)
    assert (made.baseline_mm3, made.nadir_mm3) == pytest.approx((sphere(40), sphere(30)))
    assert (made.pr_percent, made.pd_percent) == (-65.7, 72.8)
    assert made.words == "RECIST 1.1 on spheres (arithmetic)"


def test_a_volume_criterion_gives_its_own_limits_from_the_patients_baseline():
    made = lines(responses(20, 40, 36, criterion="volume-beaumont", baseline=DAYS[1]))
    assert (made.days, made.baseline_mm3) == (59, pytest.approx(sphere(40)))
    assert (made.pr_percent, made.pd_percent) == (-35, 55)
    assert made.words == "Noise band, lung CT (Beaumont 2015)"


def test_the_nadir_stops_at_progression():
    assert lines(responses(40, 30, 60, 20)).nadir_mm3 == pytest.approx(sphere(30))


def test_a_chart_of_other_lesions_than_the_targets_has_no_lines():
    assert volume_lines(responses(40, 30), sphere(41)) is None
    assert volume_lines(responses(40, 30), None) is None
    assert volume_lines(None, 1.0) is None
    nothing = responses(40, 30, targets=(), nontargets=(FollowedLesion("L1"),))
    assert volume_lines(nothing, sphere(40)) is None
