"""SUV from what headers say: computed by hand where it is possible, refused in words where it is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from core.errors import InputError
from core.imaging.headers.dicom_times import moment, zone
from core.imaging.nuclides import HALF_LIFE_S, nuclide
from core.imaging.suv import PHILIPS_ACTIVITY_FACTOR, PHILIPS_SUV_FACTOR, SuvScale, suv_scale
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import activity_tags

F18_S = 6586.2


def header(**changes: Any) -> Dataset:
    """70 kg, 350 MBq of F-18 at 11:00, scan at 12:00 on 2024-03-05; `scan` names another date and time."""
    dataset = Dataset()
    date, time = changes.pop("scan", ("20240305", "120000"))
    offset, meaning = changes.pop("offset", None), changes.pop("meaning", None)
    for key, value in activity_tags(**changes).items():
        setattr(dataset, key, value)
    dataset.SeriesDate = dataset.AcquisitionDate = date
    dataset.SeriesTime = dataset.AcquisitionTime = time
    if offset is not None:
        dataset.TimezoneOffsetFromUTC = offset
    if meaning is not None:
        code = Dataset()
        code.CodeMeaning = meaning
        dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideCodeSequence = [code]
    return dataset


def scale(**changes: Any) -> SuvScale:
    return suv_scale([header(**changes)], "pet")


def after_hours(hours: float) -> float:
    return 70e3 / (350e6 * 2 ** (-hours * 3600 / F18_S))


def test_what_it_was_computed_from_is_told_with_the_factor():
    found = scale()
    assert found.factor == pytest.approx(after_hours(1), rel=1e-12)
    assert dict(found.facts) == {"suv_factor": found.factor, "weight_kg": 70.0, "injected_mbq": 350.0, "uptake_h": 1.0}
    assert found.warnings == ()


@pytest.mark.parametrize("weight", [2.0, 3.4, 300.0])
def test_suv_is_proportional_to_a_possible_weight(weight: float):
    assert scale(PatientWeight=weight).factor == pytest.approx(scale().factor * weight / 70)


@shows("PET to SUV", "weight below 2 or above 300 kg", "refused", "with the weight")
@pytest.mark.parametrize("weight", [0.07, 1, 1.99, 300.1, 70_000])
def test_an_impossible_weight_is_refused_with_its_value(weight: float):
    with pytest.raises(InputError, match=rf"2 to 300 kg, got {weight:g} kg.*0010,1030"):
        scale(PatientWeight=weight)


@shows("PET to SUV", "dose 0, in MBq, or above 10,000 MBq", "refused", "with the dose")
@pytest.mark.parametrize(("dose", "says"), [(0, "lacks RadionuclideTotalDose"), (350, "MBq"), (3.5e11, "350,000 MBq")])
def test_an_impossible_dose_is_refused(dose: float, says: str):
    with pytest.raises(InputError, match=says):
        scale(RadionuclideTotalDose=dose)


@shows("PET to SUV", "slices that disagree on weight, dose or injection", "refused")
@pytest.mark.parametrize(
    "change", [{"PatientWeight": 71}, {"RadionuclideTotalDose": 351e6}, {"RadiopharmaceuticalStartTime": "110100"}]
)
def test_the_first_slice_does_not_speak_for_others_that_say_something_else(change: dict[str, Any]):
    with pytest.raises(InputError, match="the slices have several"):
        suv_scale([header(), header(**change)], "pet")


@shows("PET to SUV", "several tracers", "refused")
def test_of_two_tracers_none_is_chosen():
    both = header()
    both.RadiopharmaceuticalInformationSequence = [*both.RadiopharmaceuticalInformationSequence, Dataset()]
    with pytest.raises(InputError, match="expected one tracer"):
        suv_scale([both], "pet")


# --- when it was injected ---


@shows("PET to SUV", "an injection before midnight without a date", "read", "within four half-lives")
@pytest.mark.parametrize(
    ("injected", "scan", "hours"),
    [
        ("110000", ("20240305", "120000"), 1.0),
        ("11:00:00", ("20240305", "120000"), 1.0),  # as before DICOM 3
        ("110000", ("2024.03.05", "12:00:00.00"), 1.0),
        ("1100", ("20240305", "120000.123"), 1.0),
        ("233000", ("20240305", "003000"), 1.0),  # before midnight
        ("180000", ("20240305", "010000"), 7.0),
    ],
)
def test_a_time_of_day_is_of_the_scans_day_or_the_evening_before(injected: str, scan: tuple[str, str], hours: float):
    found = scale(RadiopharmaceuticalStartTime=injected, scan=scan)
    assert dict(found.facts)["uptake_h"] == pytest.approx(hours)
    assert found.factor == pytest.approx(after_hours(hours))


@shows("PET to SUV", "a scan before its injection", "refused", "with the minutes")
@pytest.mark.parametrize(("injected", "minutes"), [("121000", 10), ("120001", 0), ("180000", 360)])
def test_a_scan_before_its_injection_is_refused_and_not_taken_for_the_next_day(injected: str, minutes: int):
    with pytest.raises(InputError, match=f"got a scan {minutes} min before it"):
        scale(RadiopharmaceuticalStartTime=injected)


def test_a_dated_injection_is_never_moved_to_another_day():
    with pytest.raises(InputError, match="got a scan 1410 min before it"):
        scale(RadiopharmaceuticalStartDateTime="20240305233000", scan=("20240305", "000000"))
    night = scale(RadiopharmaceuticalStartDateTime="20240304233000", scan=("20240305", "003000"))
    assert night.factor == pytest.approx(after_hours(1))


@shows(
    "PET to SUV", "offset from UTC in the injection's time", "read", "refused where the scan has none to set it against"
)
@pytest.mark.parametrize(
    ("injected", "offset", "hours"),
    [
        ("20240305110000.00+0100", "+0100", 1.0),
        ("20240305100000+0000", "+0100", 1.0),  # 11:00 where it was scanned
        ("20240305050000-0500", "+0100", 1.0),
        ("20240305163000+0530", "+0000", 1.0),
        ("20240305110000+0100", None, 1.0),  # the time of day says the same: one clock
    ],
)
def test_an_offset_from_utc_counts(injected: str, offset: str | None, hours: float):
    found = scale(RadiopharmaceuticalStartDateTime=injected, offset=offset)
    assert dict(found.facts)["uptake_h"] == pytest.approx(hours)


def test_an_offset_that_nothing_can_be_set_against_is_refused():
    for clock in ("110000", None):
        with pytest.raises(InputError, match=r"TimezoneOffsetFromUTC \(0008,0201\)"):
            scale(RadiopharmaceuticalStartDateTime="20240305100000+0000", RadiopharmaceuticalStartTime=clock)


def test_a_scan_more_than_ten_half_lives_after_the_injection_is_refused():
    with pytest.raises(InputError, match=r"got 24\.0 h"):
        scale(RadiopharmaceuticalStartDateTime="20240304120000")
    days = scale(RadiopharmaceuticalStartDateTime="20240301120000", RadionuclideHalfLife=HALF_LIFE_S["Zr-89"])
    assert dict(days.facts)["uptake_h"] == 96.0, "zirconium is imaged days after"


@given(hours=st.floats(0, 18), weight=st.floats(2, 300), dose=st.floats(1e5, 1e10))
def test_every_possible_header_gives_weight_by_what_is_left_of_the_dose(hours: float, weight: float, dose: float):
    started = 86_400 + round(hours * 3600)
    day, second = divmod(started, 86_400)
    clock = f"{second // 3600:02d}{second % 3600 // 60:02d}{second % 60:02d}"
    found = scale(
        RadiopharmaceuticalStartDateTime="20240304000000",
        scan=(f"202403{3 + day:02d}", clock),
        PatientWeight=weight,
        RadionuclideTotalDose=dose,
    )
    left = dose * 2 ** -(round(hours * 3600) / F18_S)
    assert found.factor == pytest.approx(weight * 1000 / left, rel=1e-9)


# --- nuclides and counts ---


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("^18^Fluorine", "F-18"),
        ("Fluorine F^18^", "F-18"),
        ("18F-FDG", "F-18"),
        ("F-18", "F-18"),
        ("[11C]methionine", "C-11"),
        ("PSMA-11 Ga-68", "Ga-68"),
        ("^89^Zirconium", "Zr-89"),
        ("FDG -- fluorodeoxyglucose", None),
        ("F-18 or C-11", None),
        ("F-19", None),
        ("", None),
    ],
)
def test_a_nuclide_is_known_by_any_of_its_names(text: str, found: str | None):
    assert nuclide(text) == found


@pytest.mark.parametrize(("meaning", "half_life"), [("^18^Fluorine", 6586.2), ("^68^Gallium", 4057.74), (None, 6588)])
def test_the_half_life_of_the_nuclide_is_used(meaning: str | None, half_life: float):
    assert scale(meaning=meaning, RadionuclideHalfLife=half_life).warnings == ()


@shows("PET to SUV", "half-life of another nuclide than the one named", "refused")
@pytest.mark.parametrize(
    ("meaning", "half_life", "says"),
    [
        ("^18^Fluorine", 109.77, r"half-life of F-18, 6,584 s, got 109\.8 s"),  # minutes
        ("^68^Gallium", 6586.2, "half-life of Ga-68"),
        ("^18^Fluorine", 4057.0, "half-life of F-18"),
    ],
)
def test_the_half_life_of_another_nuclide_is_refused(meaning: str, half_life: float, says: str):
    with pytest.raises(InputError, match=says):
        scale(meaning=meaning, RadionuclideHalfLife=half_life)


def test_a_half_life_of_no_known_nuclide_is_a_doubt_where_none_is_named():
    (warning,) = scale(RadionuclideHalfLife=9000).warnings
    assert "9,000 s is the half-life of none" in warning


def counts(suv: Any, activity: Any) -> Dataset:
    dataset = header(Units="CNTS")
    for tag, value in ((PHILIPS_SUV_FACTOR, suv), (PHILIPS_ACTIVITY_FACTOR, activity)):
        if value is not None:
            dataset.add_new(tag, "DS", value)
    return dataset


@shows("PET to SUV", "CNTS with Philips' factor to SUV or to Bq/mL", "read", "without either it is refused")
def test_counts_become_suv_by_the_factor_of_philips_or_by_activity():
    assert suv_scale([counts("0.001", "1.75")], "pet").factor == 0.001
    for absent in ("0", None):
        found = suv_scale([counts(absent, "1.75")], "pet")
        assert found.factor == pytest.approx(1.75 * after_hours(1))
        assert dict(found.facts)["suv_factor"] == found.factor
    with pytest.raises(InputError, match="counts without an SUV factor"):
        suv_scale([counts("0", "0")], "pet")
    with pytest.raises(InputError, match="expected one factor from counts"):
        suv_scale([counts("0.001", None), counts("0.002", None)], "pet")


# --- dates and times ---


@pytest.mark.parametrize("time", ["", None, "25", "1161", "9:30", "noon", "110000x", "11 00"])
def test_a_malformed_time_is_none(time: Any):
    assert moment("20240305", time) is None


@pytest.mark.parametrize("date", ["", None, "20240230", "2024", "05.03.2024", "2024.0305", "20240305x"])
def test_a_malformed_date_is_none(date: Any):
    assert moment(date, "110000") is None


def test_offsets_have_a_sign():
    assert [zone(text) for text in ("20240305110000-0130", "+0545", "20240305110000", "")] == [
        zone("-0130"),
        zone("+0545"),
        None,
        None,
    ]
    assert zone("-0130") == -(zone("+0130") or 0)


@shows("PET to SUV", "two times of injection that contradict each other", "read and said", "the dated one is used")
@pytest.mark.parametrize(
    ("dated", "clock", "said"),
    [
        ("20240305113000", "110000", True),
        ("20240305110030", "110000", False),
        ("20240304235930", "000000", False),  # a minute apart over midnight
        ("20240305113000", None, False),
    ],
)
def test_a_time_with_a_date_counts_and_another_one_is_told(dated: str, clock: str | None, said: bool):
    found = scale(
        RadiopharmaceuticalStartDateTime=dated, RadiopharmaceuticalStartTime=clock, RadionuclideHalfLife=6586.2
    )
    assert [("two times of injection" in warning) for warning in found.warnings] == [True] * said
    if said:
        assert "11:30 with a date (0018,1078) and 11:00 without" in found.warnings[0]
        assert found.factor == pytest.approx(after_hours(0.5))
