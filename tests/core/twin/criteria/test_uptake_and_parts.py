"""PERCIST from stored uptake, and RANO by the enhancing part: each says why it knows nothing."""

from __future__ import annotations

from core.lesions.compartments import NOT_TOLD
from core.review.scan_measures import NO_LEAN_MASS
from core.twin.cell_measures import NO_PET, cell_measures
from core.twin.criteria.adapter import measurement_of
from core.twin.criteria.percist import CRITERION
from core.twin.criteria.table import calls_of
from core.twin.criteria.values import Enhancing, FollowedLesion, Measurement, Protocol, Visit
from core.twin.timeline_cells import Cell

DAYS = ("2025-01-01", "2025-03-01")


def pet(**values: object) -> dict[str, object]:
    known = {"suv_max": 9.0, "suv_peak": 8.0, "suv_mean": 5.0, "mtv_ml": 10.0, "tlg_g": 50.0, "sul_peak": 6.0}
    return {"unit": "SUV", "voxels": 100, "why": [], **known, **values}


def test_labels_of_one_lesion_give_the_highest_peak_and_the_sum_of_volumes():
    found = cell_measures(
        [{"intensities": [pet()]}, {"intensities": [pet(suv_peak=12.0, sul_peak=9.0, suv_mean=2.0, voxels=300)]}]
    )
    assert (found.suv_peak, found.sul_peak, found.mtv_ml, found.tlg_g) == (12.0, 9.0, 20.0, 100.0)
    assert found.suv_mean == (5.0 * 100 + 2.0 * 300) / 400
    assert found.sul_why == ""


def test_what_one_label_has_not_the_lesion_has_not():
    found = cell_measures([{"intensities": [pet()]}, {"intensities": []}])
    assert (found.suv_max, found.mtv_ml, found.sul_why) == (None, None, NO_PET)
    no_height = cell_measures([{"intensities": [pet(sul_peak=None, why=[NO_LEAN_MASS])]}])
    assert (no_height.suv_peak, no_height.sul_peak, no_height.sul_why) == (8.0, None, NO_LEAN_MASS)
    cut = ["12 % of the sphere of SUVpeak lies outside the scan.", NO_LEAN_MASS]
    assert cell_measures([{"intensities": [pet(sul_peak=None, suv_peak=None, why=cut)]}]).sul_why == cut[0]


def percist_visits(*peaks: float | None, why: str = "") -> list[Visit]:
    return [
        Visit(day, 60.0 * n, (Measurement("L1", volume_mm3=1000.0, sul_peak=peak, no_sul=why if peak is None else ""),),
              liver_sul_mean=1.5, liver_sul_sd=0.2)
        for n, (day, peak) in enumerate(zip(DAYS, peaks, strict=True))
    ]  # fmt: skip


def test_percist_answers_from_stored_peaks_and_says_ne_with_the_reason_where_one_is_missing():
    protocol = Protocol(CRITERION, DAYS[0])
    assert calls_of(percist_visits(8.0, 4.0), protocol)[1].call == "PMR"
    missing = calls_of(percist_visits(8.0, None, why=NO_LEAN_MASS), protocol)[1]
    assert missing.call == "NE"
    assert "L1: No height, weight and sex are known" in missing.sentence


def test_a_cell_hands_its_stored_peak_to_the_criteria():
    measures = cell_measures([{"intensities": [pet()]}])
    cell = Cell("L1", DAYS[0], "measured", "", volume_mm3=1000.0, longest_diameter_mm=12.0, measures=measures)
    assert measurement_of(cell).sul_peak == 6.0
    assert measurement_of(cell, 7.0).sul_peak == 7.0, "what was given goes before what was stored"
    old = Cell("L1", DAYS[0], "measured", "", volume_mm3=1000.0, longest_diameter_mm=12.0)
    assert (measurement_of(old).sul_peak, measurement_of(old).no_sul) == (None, NO_PET)


def rano_visits(*parts: Enhancing | None) -> list[Visit]:
    """The whole lesion grows from 40 to 60 mm."""
    return [
        Visit(day, 60.0 * n, (Measurement("L1", "measured", 40.0 + 20 * n, 30.0, 30000.0, enhancing=part),),
              dexamethasone_mg=0.0, clinical="stable")
        for n, (day, part) in enumerate(zip(DAYS, parts, strict=True))
    ]  # fmt: skip


RANO = Protocol("rano-bm", DAYS[0], (FollowedLesion("L1", "brain", False),))


def test_rano_measures_the_enhancing_part_and_says_so():
    whole = calls_of(rano_visits(None, None), RANO)[1]
    assert (whole.call, whole.value) == ("PD", 60.0)
    by_part = calls_of(rano_visits(Enhancing(30, 20, 9000), Enhancing(15, 10, 1500, 500)), RANO)[1]
    assert (by_part.call, by_part.value, by_part.baseline) == ("PR", 15.0, 30.0)
    notes = " ".join(by_part.notes)
    assert "L1 by its enhancing part, 1.5 of 30 mL" in notes
    assert "0.5 mL that a person drew are in no part" in notes


def test_rano_does_not_compare_the_whole_with_an_enhancing_part():
    mixed = calls_of(rano_visits(Enhancing(30, 20, 9000), None), RANO)[1]
    assert mixed.call == "NE"
    assert "The enhancing part of L1 is not known here" in " ".join(mixed.notes)


def test_recist_keeps_the_whole_lesion():
    protocol = Protocol("recist-1.1", DAYS[0], RANO.targets)
    assert calls_of(rano_visits(Enhancing(30, 20, 9000), Enhancing(15, 10, 1500)), protocol)[1].value == 60.0


def test_enhancing_is_summed_over_labels_and_the_untold_kept_apart():
    parts = [
        {"name": "enhancing tumour", "volume_mm3": 100.0, "longest_diameter_mm": 6.0, "short_axis_mm": 4.0},
        {"name": NOT_TOLD, "volume_mm3": 40.0},
    ]
    found = cell_measures([{"compartments": parts}, {"compartments": parts[:1]}])
    assert (found.enhancing_mm3, found.enhancing_mm, found.enhancing_short_axis_mm) == (200.0, 12.0, 8.0)
    assert found.compartments_mm3 == {"enhancing tumour": 200.0, NOT_TOLD: 40.0}
    assert cell_measures([{"compartments": parts}, {}]).enhancing_mm is None
