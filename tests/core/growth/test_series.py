"""The file of lesions, their histories, and the origins of the back-test."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from core.errors import InputError
from core.growth import learn
from core.growth.curves import FLOOR_MM3
from core.growth.series import (
    FOLDS,
    BacktestCases,
    Lesion,
    backtest_cases,
    fold_of,
    lesion_histories,
    padded_history,
    read_lesions,
)


def test_the_reader_handles_the_traps_of_the_file(tmp_path):
    lesion = [(60, 1e3), (-7, 9e2), (20, 0), (60, 2e3), (90, 5e2), (120, 30), (150, 70)]
    rows = ["Pt_hashID,T_days,Lesion_vol", *(f"a,{day},{volume}" for day, volume in lesion), "b,0,5", "b,9,6"]
    path = tmp_path / "f.csv"
    path.write_text("\n".join(rows), encoding="utf-8-sig")  # as spreadsheets save it
    (found,) = read_lesions(path)
    assert found.patient_id == "a"
    assert found.days.tolist() == [-7, 20, 60, 90, 120, 150]
    assert found.volumes_mm3 == pytest.approx([900, FLOOR_MM3, 2000, 500, FLOOR_MM3, 70])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1,2\n", "lacks the columns"),
        ("Pt_hashID,T_days,Lesion_vol\na,soon,1\n", "line 2"),
        ("Pt_hashID,T_days,Lesion_vol\na,1,-5\n", "at least 0 mm3"),
    ],
)
def test_a_file_that_is_not_one_is_named(tmp_path, text, message):
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_lesions(path)


def test_a_lesion_is_read_with_so_many_distinct_days_as_are_asked_for(tmp_path):
    rows = ["Pt_hashID,T_days,Lesion_vol", *(f"five,{day},500" for day in (0, 1, 2, 3, 4, 4))]
    rows += [f"six,{day},600" for day in range(6)]
    path = tmp_path / "f.csv"
    path.write_text("\n".join(rows))
    assert [lesion.patient_id for lesion in read_lesions(path)] == ["six"]
    assert [lesion.patient_id for lesion in read_lesions(path, 5)] == ["five", "six"]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"Cannot read .*absent\.csv"):
        read_lesions(tmp_path / "absent.csv")
    for content in (b"Pt_hashID,T_days,Lesion_vol\na,1\n", b"Pt_hashID,T_days,Lesion_vol\na,1,\xff\n"):
        (tmp_path / "f.csv").write_bytes(content)
        with pytest.raises(InputError, match="expected numbers"):
            read_lesions(tmp_path / "f.csv")
    (tmp_path / "f.csv").write_bytes(b"")
    with pytest.raises(InputError, match="lacks the columns Lesion_vol, Pt_hashID, T_days"):
        read_lesions(tmp_path / "f.csv")


def test_a_padded_history_holds_the_latest_eight_scans_from_the_first_day_on():
    days, volumes = np.array([5.0, 15, 45, 50, 60, 70, 80, 90, 100, 110]), np.exp(np.arange(10.0))
    padded, logs, seen = padded_history(days, volumes, 2)
    assert padded.tolist() == [0, 10, 40, 0, 0, 0, 0, 0]
    assert logs == pytest.approx([0, 1, 2, 0, 0, 0, 0, 0])
    assert seen.tolist() == [True] * 3 + [False] * 5
    for origin, first in ((7, 0), (8, 1), (9, 2)):
        padded, logs, seen = padded_history(days, volumes, origin)
        assert padded.tolist() == (days[first : origin + 1] - 5).tolist()
        assert logs == pytest.approx(np.arange(first, origin + 1.0))
        assert seen.all()


def test_a_history_at_the_floor_is_one_whose_last_volume_is_there_but_for_rounding():
    days = np.array([0.0, 40.0])
    rows = [(FLOOR_MM3, 500.0), (500.0, FLOOR_MM3), (500.0, FLOOR_MM3 * (1 + 1e-10)), (500.0, FLOOR_MM3 * 1.001)]
    past = lesion_histories([padded_history(days, np.array(volumes), 1) for volumes in rows], [2] * 4)
    assert past.floored.tolist() == [False, True, True, False]


def three_lesions() -> BacktestCases:
    """Of four, five and four points; each point in days and as a power of e its own."""
    lesions = [
        Lesion("a-1", np.array([0.0, 10, 30, 60]), np.exp([5.0, 6, 7, 9])),
        Lesion("b-1", np.array([0.0, 20, 50, 90, 140]), np.exp([5.0, 5, 8, 6, 7])),
        Lesion("c-1", np.array([0.0, 5, 7, 18]), np.exp([6.0, 6, 6, 6.5])),
    ]
    return backtest_cases(lesions)


def test_what_is_selected_keeps_its_own_targets_in_order():
    every = three_lesions()
    assert every.patients.tolist() == [0, 1, 1, 2]
    assert every.folds.tolist() == [fold_of(name) for name in ("a-1", "b-1", "b-1", "c-1")]
    some = every.select(np.array([False, True, False, True]))
    assert some.patients.tolist() == [1, 2]
    assert some.folds.tolist() == [fold_of("b-1"), fold_of("c-1")]
    assert (some.left.tolist(), some.target.tolist()) == ([2, 1], [0, 0, 1])
    assert some.horizon_days.tolist() == [40, 90, 11]
    assert some.outcome == pytest.approx([-2, -1, 0.5])
    assert (some.past.scans.tolist(), some.past.span.tolist()) == ([3, 3], [50, 7])
    assert some.past.last == pytest.approx([8, 6])


def test_the_noise_of_a_selected_history_is_selected_with_it():
    past = three_lesions().past
    keep = np.array([True, False, False, True])
    assert past.select(keep).noise_log_sd is None
    noisy = replace(past, noise_log_sd=np.arange(4.0)[:, None] * np.ones(8))
    kept = noisy.select(keep).noise_log_sd
    assert kept is not None
    assert kept[:, 0].tolist() == [0, 3]


def test_the_next_scan_is_the_first_target_of_a_row_and_the_last_one_has_none_after_it():
    o = three_lesions()
    assert o.target.tolist() == [0, 1, 1, 2, 3]
    horizon, column = o.grid()
    assert column.tolist() == [0, 0, 1, 0, 0]
    assert horizon.tolist() == [[30, 30], [40, 90], [50, 50], [11, 11]]
    found = o.next_scan()
    assert found["any"].tolist() == [True, True, False, True, True]
    assert found["the last"].tolist() == [True, False, False, True, True]
    assert found["not the last"].tolist() == [False, True, False, False, False]


def test_scans_within_a_day_are_apart_by_what_they_are():
    o = backtest_cases([Lesion("a-1", np.array([0.0, 1, 2, 2.25, 3]), np.full(5, 500.0))])
    assert o.grid()[0].tolist() == [[0.25, 1], [0.75, 0.75]]


def test_lesions_of_three_points_have_no_origin_with_a_scan_after_it():
    with pytest.raises(InputError, match="more than 3 points, got none"):
        backtest_cases([Lesion("a-1", np.array([0.0, 10, 20]), np.array([100.0, 200, 300]))])


def test_origins_start_at_the_third_scan_and_look_at_everything_later():
    o = backtest_cases([Lesion("a-1", np.array([-5.0, 10, 20, 50, 90]), np.array([100.0, 200, 400, 800, 200]))])
    assert o.left.tolist() == [2, 1]
    assert o.past.scans.tolist() == [3, 4]
    assert o.past.span.tolist() == [25, 55]
    assert o.target.tolist() == [0, 0, 1]
    assert o.horizon_days.tolist() == [30, 70, 40]
    assert o.outcome == pytest.approx(np.log([2, 0.5, 0.25]))
    assert o.select(np.array([False, True])).outcome == pytest.approx([math.log(0.25)])
    long = lesion_histories([padded_history(np.arange(12.0), np.arange(100.0, 112), 11)], [12])
    assert long.days[0].tolist() == [4, 5, 6, 7, 8, 9, 10, 11]
    assert long.last[0] == pytest.approx(math.log(111))


def test_a_next_scan_is_counted_by_whether_another_came_and_where_it_lay():
    days = np.array([0.0, 42, 84, 126, 168])
    lesions = [
        Lesion(f"{n}-1", days, np.array([1000.0, 1000, 1000, 1000 * fourth, 1000 * fourth * fifth]))
        for n, (fourth, fifth) in enumerate([(1.0, 3.0), (0.2, 1.0), (1.0, 1.0)])
    ]
    o = backtest_cases(lesions)
    # Everything from half to twice the last value is inside; the fifth scan seen from the third is no next scan.
    said = np.log(np.repeat([[0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0]], len(o.target), axis=0))
    found = learn.next_scan(o, said)
    assert found["not the last"] == {"forecasts": 3, "inside80": 0.6667, "above80": 0.0}
    assert found["the last"] == {"forecasts": 3, "inside80": 0.6667, "above80": 0.3333}
    assert found["any"] == {"forecasts": 6, "inside80": 0.6667, "above80": 0.1667}


def test_a_fold_is_the_first_four_bytes_of_the_ids_sha_256_modulo_five():
    # SHA-256 of "abc" begins with ba7816bf = 3128432319, of nothing with e3b0c442 = 3820012610 (FIPS 180-4).
    assert [fold_of(name) for name in ("abc", "abc-S1", "abc-S2", "-S1")] == [4, 4, 4, 0]
    assert fold_of("a-b-S1") == fold_of("a-b-S2")
    assert len({fold_of(f"a-{n}-S1") for n in range(60)}) == FOLDS, "what stands before an earlier hyphen is not all"


def test_a_patient_of_two_studies_is_in_one_fold():
    assert fold_of("0218075314855e6c-S1") == fold_of("0218075314855e6c-S4")
    assert {fold_of(f"{n}-S1") for n in range(60)} == set(range(FOLDS))
