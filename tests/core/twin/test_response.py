"""Response tables, checked against sums done by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.twin.response import RULES, classify_recist, classify_volume, response_by_rule, volumetric_response
from core.types import VolumePoint


def table(**lesions):
    """Points of lesions given as one volume per timepoint, 50 days apart; None: no point."""
    return [
        VolumePoint(f"2024-01-{1 + i:02d}", 50.0 * i, float(v), name, f"{name}-{i}", 1)
        for name, volumes in lesions.items()
        for i, v in enumerate(volumes)
        if v is not None
    ]


def categories(rule="recist_sphere", **lesions):
    return [r.category for r in volumetric_response(table(**lesions), rule)]


def test_sphere_thresholds_are_the_cubes_of_the_diameter_thresholds():
    rule = RULES["recist_sphere"]
    assert rule.pr_percent == pytest.approx(100 * (0.7**3 - 1), abs=0.05)
    assert rule.pd_percent == pytest.approx(100 * (1.2**3 - 1), abs=0.05)
    bidimensional = RULES["macdonald_sphere"]
    assert bidimensional.pr_percent == pytest.approx(100 * (0.5**1.5 - 1), abs=0.5)
    assert bidimensional.pd_percent == pytest.approx(100 * (1.25**1.5 - 1), abs=0.5)


def test_what_was_not_reread_is_titled_assumed():
    assert RULES["rano2_volumetric"].title == "RANO 2.0 volumetric (assumed)"
    assert {name for name, rule in RULES.items() if "assumed" in rule.title} == {"rano2_volumetric"}


@pytest.mark.parametrize(
    ("rule", "volume", "category"),
    [
        *[(rule, *row) for rule in ("macdonald_sphere", "rano2_volumetric") for row in ((350, "PR"), (351, "SD"))],
        *[(rule, *row) for rule in ("macdonald_sphere", "rano2_volumetric") for row in ((1399, "SD"), (1400, "PD"))],
        *[("beaumont", *row) for row in ((650, "PR"), (651, "SD"), (1549, "SD"), (1550, "PD"))],
    ],
)
def test_each_rule_changes_its_answer_at_its_thresholds(rule, volume, category):
    """Of 1000 mm3: -65 % and +40 %; Beaumont's -35 % and +55 %."""
    assert classify_volume(1000, 1000, volume, rule) == category


@pytest.mark.parametrize(
    ("baseline", "nadir", "now", "category"),
    [
        (1000, 1000, 344, "SD"),
        (1000, 1000, 343, "PR"),
        (1000, 1000, 1727, "SD"),
        (1000, 1000, 1728, "PD"),
        (1000, 1000, 0, "CR"),
        (1000, 0, 0, "CR"),
        (1000, 0, 1, "PD"),
        (1000, 100, 172, "PR"),
        (1000, 1000, None, "NE"),
        (1000, 1000, math.nan, "NE"),
        (0, 0, 50, "NE"),
        (1000, 2000, 1728, "PD"),
    ],
)
def test_recist_sphere_table(baseline, nadir, now, category):
    assert classify_volume(baseline, nadir, now) == category


def test_progression_from_nadir_comes_before_response_from_baseline():
    # 200 is 80 % below baseline (PR) and 100 % above the nadir of 100 (PD).
    assert classify_volume(1000, 100, 200) == "PD"
    assert categories(L1=[1000, 100, 200]) == ["baseline", "PR", "PD"]


def test_rules_disagree_and_each_answer_names_its_own():
    answers = response_by_rule(table(L1=[1000, 600, 850]))
    assert {name: [r.category for r in rows] for name, rows in answers.items()} == {
        "recist_sphere": ["baseline", "SD", "SD"],  # -40 %, +41.7 % from nadir
        "macdonald_sphere": ["baseline", "SD", "PD"],
        "beaumont": ["baseline", "PR", "SD"],
        "rano2_volumetric": ["baseline", "SD", "PD"],
    }
    assert all(r.rule == name for name, rows in answers.items() for r in rows)


def test_changes_and_references_are_those_of_the_sum():
    third = volumetric_response(table(L1=[600, 200, 300], L2=[400, 300, 400]))[2]
    assert (third.volume_mm3, third.baseline_mm3, third.nadir_mm3) == (700, 1000, 500)
    assert third.change_from_baseline_percent == pytest.approx(-30)
    assert third.change_from_nadir_percent == pytest.approx(40)


def test_the_nadir_includes_the_baseline_and_not_the_timepoint_itself():
    rows = volumetric_response(table(L1=[1000, 1500, 1800]))
    assert [r.nadir_mm3 for r in rows] == [1000, 1000, 1000]
    assert [r.category for r in rows] == ["baseline", "SD", "PD"]


def test_a_new_lesion_is_progression_while_it_is_there_whatever_the_sum():
    rows = volumetric_response(table(L1=[1000, 100, 100, 100], L2=[0, 0, 50, 0]))
    assert [r.category for r in rows] == ["baseline", "PR", "PD", "PR"]
    assert rows[2].new_lesions == ("L2",)
    assert rows[2].new_volume_mm3 == 50
    assert rows[2].volume_mm3 == 100  # the sum stays that of the baseline lesions
    assert "New lesion L2" in rows[2].note


def test_a_new_lesion_may_be_as_small_as_half_a_cubic_millimetre_and_is_not_new_where_it_was_not_measured():
    assert categories(L1=[1000, 1000], L2=[0, 0.5]) == ["baseline", "PD"]
    rows = volumetric_response(table(L1=[1000, 1000, 1000], L2=[0, None, 50]))
    assert [(r.category, r.new_lesions, r.new_volume_mm3) for r in rows[1:]] == [("SD", (), 0), ("PD", ("L2",), 50)]


def test_a_change_from_less_than_one_cubic_millimetre_has_a_percentage():
    assert volumetric_response(table(L1=[0.5, 1.0]))[1].change_from_baseline_percent == 100


def test_complete_response_and_relapse():
    rows = volumetric_response(table(L1=[1000, 0, 30]))
    assert [r.category for r in rows] == ["baseline", "CR", "PD"]
    assert rows[2].change_from_nadir_percent is None
    assert "Back after complete response" in rows[2].note
    assert rows[1].note == ""
    assert volumetric_response(table(L1=[1000, 0, 0]))[2].note == ""
    assert "Back after complete response" in volumetric_response(table(L1=[1000, 0, 0.5]))[2].note


def test_a_missing_lesion_cannot_be_evaluated_unless_the_rest_has_progressed():
    rows = volumetric_response(table(L1=[1000, None, 400], L2=[500, 500, 500]))
    assert [r.category for r in rows] == ["baseline", "NE", "SD"]
    assert "Not measured: L1" in rows[1].note
    assert rows[1].change_from_baseline_percent is None
    assert rows[2].nadir_mm3 == 1500
    assert categories(L1=[1000, None], L2=[500, 3000]) == ["baseline", "PD"]
    assert categories(L1=[1000, math.nan]) == ["baseline", "NE"]


def test_a_lesion_without_a_point_at_baseline_is_not_new_later():
    rows = volumetric_response(table(L1=[1000, 1000, 1000], L2=[None, 500, 0]))
    assert [r.category for r in rows] == ["baseline", "NE", "NE"]
    assert rows[1].new_lesions == ()
    assert "Not measured at baseline: L2" in rows[1].note


def test_total_is_ignored_and_no_points_give_no_answers():
    assert categories(L1=[1000, 300], total=[1000, 9000]) == ["baseline", "PR"]
    assert volumetric_response([]) == []
    assert volumetric_response(table(total=[1, 2])) == []


def test_no_lesion_at_baseline_has_no_response_until_one_comes():
    assert categories(L1=[0, 0, 100]) == ["baseline", "NE", "PD"]


def test_where_nothing_is_known_nothing_is_evaluated():
    assert classify_volume(math.nan, math.nan, None) == "NE"


def test_unknown_rules_and_negative_volumes_are_errors():
    with pytest.raises(InputError, match="'who'"):
        classify_volume(1, 1, 1, "who")
    with pytest.raises(InputError, match="at least 0"):
        classify_volume(1, 1, -1)


@given(
    st.lists(st.floats(1, 1e5), min_size=2, max_size=6),
    st.sampled_from(sorted(RULES)),
    st.floats(0.01, 100),
    st.floats(-1000, 1000),
)
def test_response_ignores_the_unit_of_volume_and_the_origin_of_time(volumes, rule, factor, shift):
    points = table(L1=volumes)
    moved = [
        VolumePoint(p.timepoint, p.days + shift, p.volume_mm3 * factor, p.lesion_id, p.mask_id, p.version)
        for p in points
    ]
    one, two = volumetric_response(points, rule), volumetric_response(moved, rule)
    near = any(
        abs(r.volume_mm3 / edge - 1) < 1e-9
        for r in one
        for edge in (
            r.baseline_mm3 * (1 + RULES[rule].pr_percent / 100),
            r.nadir_mm3 * (1 + RULES[rule].pd_percent / 100),
        )
    )
    assert near or [r.category for r in one] == [r.category for r in two]


@pytest.mark.parametrize(
    ("baseline", "nadir", "now", "more", "category"),
    [
        (100, 100, 71, {}, "SD"),
        (100, 100, 70, {}, "PR"),
        (100, 100, 119, {}, "SD"),
        (100, 100, 120, {}, "PD"),
        (100, 40, 60, {}, "PD"),  # PR by baseline, PD by nadir: PD
        (40, 15, 19, {}, "PR"),  # +27 % but only 4 mm: no PD
        (40, 15, 20, {}, "PD"),
        (100, 150, 120, {}, "PD"),
        (100, 100, None, {}, "NE"),
        (0, 0, 10, {}, "NE"),
        (100, 100, None, {"new_lesion": True}, "PD"),
        (100, 50, 50, {"nontarget_progression": True}, "PD"),
        (100, 50, 0, {}, "CR"),
        (100, 50, 0, {"nontarget_complete": False}, "PR"),
        (100, 50, 1, {}, "PR"),  # a millimetre left is not gone
        (100, 50, 9, {"node_short_axes_mm": (9.0,)}, "CR"),  # the sum need not be 0
        (100, 50, 10, {"node_short_axes_mm": (10.0,)}, "PR"),
        (100, 50, 15, {"node_short_axes_mm": (9.0,)}, "PR"),  # 6 mm of non-nodal disease left
        (100, 50, 18, {"node_short_axes_mm": (9.0, 9.0), "non_nodal_sum_mm": 0.0}, "CR"),
    ],
)
def test_recist_1_1_table(baseline, nadir, now, more, category):
    assert classify_recist(baseline, nadir, now, **more) == category


def test_the_three_sums_can_be_given_by_their_names():
    assert classify_recist(baseline_sum_mm=100, nadir_sum_mm=40, sum_mm=60) == "PD"


def test_recist_refuses_negative_lengths():
    with pytest.raises(InputError, match="at least 0 mm"):
        classify_recist(10, 10, -1)
