"""SUV by lean mass and body surface, and PET that the scanner did not correct for decay: all become SUV by weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from core.errors import InputError
from core.imaging.body_size import BodySize, body_size
from core.imaging.dicom import read_series
from core.imaging.scanner_facts import permitted_facts, suv_in_words
from core.imaging.suv import SuvScale, suv_scale
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import activity_tags, write_series

MAN = {"PatientWeight": 70, "PatientSize": 1.75, "PatientSex": "M"}
WOMAN = {"PatientWeight": 60, "PatientSize": 1.6, "PatientSex": "F"}
F18_S = 6586.2


def ready_made(units: str, kind: str | None, **person: Any) -> SuvScale:
    header = Dataset()
    header.Units = units
    if kind is not None:
        header.SUVType = kind
    for keyword, value in person.items():
        setattr(header, keyword, value)
    return suv_scale([header], "pet")


@pytest.mark.parametrize(
    ("body", "lean", "james", "surface"),
    [
        # 9270 x 70 / (6680 + 216 x 70 / 1.75^2); 1.10 x 70 - 128 x (70 / 175)^2; 0.007184 x 70^0.425 x 175^0.725
        (BodySize(70, 1.75, "M"), 55.857, 56.520, 1.8481),
        # 9270 x 60 / (8780 + 244 x 60 / 1.6^2); 1.07 x 60 - 148 x (60 / 160)^2; 0.007184 x 60^0.425 x 160^0.725
        (BodySize(60, 1.6, "F"), 38.362, 43.388, 1.6221),
    ],
)
def test_lean_mass_and_surface_are_those_computed_by_hand(body: BodySize, lean: float, james: float, surface: float):
    assert body.lean_mass_kg == pytest.approx(lean, abs=1e-3)
    assert body.lean_mass_james_kg == pytest.approx(james, abs=1e-3)
    assert body.surface_m2 == pytest.approx(surface, abs=2e-4)


@shows(
    "PET to SUV",
    "GML by lean mass (LBMJANMA, LBMJAMES128), CM2ML by body surface",
    "read and said",
    "converted to SUV by body weight; refused without possible weight, height and sex",
)
@pytest.mark.parametrize(
    ("units", "kind", "person", "factor"),
    [
        ("GML", "LBMJANMA", MAN, 70 / 55.857),
        ("GML", "LBMJAMES128", MAN, 70 / 56.520),
        ("GML", "LBMJANMA", WOMAN, 60 / 38.362),
        ("CM2ML", "BSA", MAN, 70_000 / 18_481),
        ("CM2ML", None, WOMAN, 60_000 / 16_221),
    ],
)
def test_suv_of_another_kind_become_suv_by_weight(units: str, kind: str | None, person: dict[str, Any], factor: float):
    found = ready_made(units, kind, **person)
    assert found.factor == pytest.approx(factor, rel=2e-4)
    assert "converted to SUV by body weight" in found.warnings[0]


@shows("PET to SUV", "SUV by a lean mass whose formula is not said (LBM), or by ideal weight", "refused")
@pytest.mark.parametrize("kind", ["LBM", "IBW", "SOMETHING"])
def test_suv_by_an_unknown_formula_are_refused(kind: str):
    with pytest.raises(InputError, match=rf"got {kind}, which does not say"):
        ready_made("GML", kind, **MAN)


@pytest.mark.parametrize(
    "changes", [{"PatientSize": None}, {"PatientSize": 175}, {"PatientSex": "O"}, {"PatientWeight": 0.07}]
)
def test_suv_by_lean_mass_of_an_impossible_person_are_refused(changes: dict[str, Any]):
    with pytest.raises(InputError, match=r"0010,1030.*0010,1020.*0010,0040"):
        ready_made("GML", "LBMJANMA", **(MAN | changes))


def test_a_lean_mass_that_nobody_has_is_refused():
    with pytest.raises(InputError, match="expected a lean mass of 20% to 100%"):
        ready_made("GML", "LBMJAMES128", PatientWeight=250, PatientSize=1.2, PatientSex="F")


@pytest.mark.parametrize(("units", "kind"), [("GML", "BSA"), ("CM2ML", "BW"), ("CM2ML", "LBMJANMA")])
def test_a_kind_in_the_unit_of_another_is_refused(units: str, kind: str):
    with pytest.raises(InputError, match=f"got {kind} in {units}"):
        ready_made(units, kind, **MAN)


def test_what_lean_mass_and_surface_take_is_kept_and_size_and_sex_are_not():
    header = Dataset()
    for keyword, value in (activity_tags() | MAN | {"SeriesDate": "20240305", "SeriesTime": "120000"}).items():
        setattr(header, keyword, value)
    facts = dict(suv_scale([header], "pet").facts)
    assert facts["lean_mass_ratio"] == pytest.approx(55.857 / 70, rel=1e-4)
    assert facts["surface_ratio"] == pytest.approx(18_481 / 70_000, rel=1e-4)
    kept = permitted_facts(facts, "2024-03-05")
    assert kept == facts
    assert "by lean mass (SUL): SUV x 0.798, by body surface: SUV x 0.264 cm2/g" in suv_in_words(kept)


@given(st.sampled_from("FM"), st.floats(2, 300), st.floats(0.3, 2.5))
def test_every_possible_person_has_a_lean_mass_below_the_weight(sex: str, weight: float, height: float):
    body = BodySize(weight, height, sex)
    assert 0 < body.lean_mass_ratio < 1.4
    assert 0 < body.surface_ratio_cm2_per_g < 10


def test_a_size_that_is_no_number_is_none():
    header = Dataset()
    header.PatientWeight, header.PatientSex = 70, "M"
    assert body_size(header) is None


# ---- not corrected for decay ---------------------------------------------------------------------------------------
def frames(*starts_s: float, duration_s: float = 180.0, half_life: float = F18_S, **changes: Any) -> list[Dataset]:
    """Slices that began so many seconds after 12:00; 350 MBq at 11:00, 70 kg."""
    headers = []
    for start in starts_s:
        header = Dataset()
        tags = activity_tags(DecayCorrection="NONE", RadionuclideHalfLife=half_life, **changes)
        for keyword, value in tags.items():
            setattr(header, keyword, value)
        header.SeriesDate = header.AcquisitionDate = "20240305"
        header.SeriesTime = "120000"
        header.AcquisitionTime = f"{12 + int(start // 3600):02d}{int(start % 3600 // 60):02d}{int(start % 60):02d}"
        header.ActualFrameDuration = duration_s * 1000
        headers.append(header)
    return headers


def mean_activity(start_s: float, duration_s: float, half_life: float) -> float:
    """What is measured of 1 Bq/mL at the injection, 3600 s before 12:00: the mean over the frame, summed up."""
    times = np.linspace(start_s, start_s + duration_s, 20_001) + 3600.0
    return float(np.trapezoid(2.0 ** (-times / half_life), times) / duration_s)


@shows(
    "PET to SUV",
    "BQML that is not corrected for decay (NONE)",
    "read and said",
    "each slice corrected to its own frame's start; refused without its time and duration",
)
@given(st.lists(st.integers(0, 5400), min_size=1, max_size=6), st.floats(20, 1800), st.sampled_from([F18_S, 4057.74]))
def test_what_has_decayed_is_put_back_slice_by_slice(starts: list[int], duration_s: float, half_life: float):
    found = suv_scale(frames(*starts, duration_s=duration_s, half_life=half_life), "pet")
    measured = np.array([mean_activity(start, duration_s, half_life) for start in starts])
    # a tissue that holds its tracer has one SUV in every slice: 70,000 g / 350 MBq for 1 Bq/mL at the injection
    np.testing.assert_allclose(measured * found.factors, 70e3 / 350e6, rtol=1e-6)
    assert "did not correct" in found.warnings[0]
    facts = dict(found.facts)
    assert facts["suv_factor"] == min(found.factors)
    assert facts.get("suv_factor_highest", facts["suv_factor"]) == max(found.factors)


def test_a_series_without_decay_correction_is_read_to_one_suv(tmp_path: Path):
    starts = np.array([0.0, 240.0, 480.0, 720.0])
    slopes = [100.0 * mean_activity(start, 180.0, F18_S) for start in starts]

    def timed(dataset: Dataset, n: int) -> None:
        dataset.AcquisitionTime, dataset.ActualFrameDuration = f"12{int(starts[n] // 60):02d}00", 180_000
        dataset.RescaleSlope = f"{slopes[n]:.10g}"

    stored = np.full((4, 6, 5), 500, np.int16)
    stored[:, 0] = 0  # air
    tags = activity_tags(DecayCorrection="NONE", CorrectedImage=["ATTN"])
    write_series(tmp_path, "PT", stored=stored, edit=timed, **tags)
    volume, facts = read_series(tmp_path, "PET")
    np.testing.assert_allclose(volume.array[:, 1:], 500 * 100 * 70e3 / 350e6, rtol=1e-5)
    assert facts["suv_factor_highest"] / facts["suv_factor"] == pytest.approx(2 ** (720 / F18_S), rel=1e-6)
    assert "slice by slice" in suv_in_words(facts)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("AcquisitionTime", None), ("AcquisitionTime", "noon"), ("ActualFrameDuration", None), ("ActualFrameDuration", 0)],
)
def test_one_slice_without_time_or_duration_is_enough_to_refuse(keyword: str, value: Any):
    slices = frames(0, 240, 480)
    del slices[1][keyword]
    if value is not None:
        setattr(slices[1], keyword, value)
    with pytest.raises(InputError, match=r"ActualFrameDuration .* of every slice"):
        suv_scale(slices, "pet")


def test_a_slice_before_the_injection_is_refused():
    slices = frames(0, 240)
    slices[1].AcquisitionTime = "105500"
    slices[1].RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime = "20240305110000"
    slices[0].RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime = "20240305110000"
    with pytest.raises(InputError, match="scan 5 min before"):
        suv_scale(slices, "pet")
