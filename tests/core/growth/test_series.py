"""The file of lesions, their histories, and the origins of the back-test."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.errors import InputError
from core.growth import learn
from core.growth.curves import FLOOR_MM3
from core.growth.series import FOLDS, Lesion, backtest_cases, fold_of, lesion_histories, padded_history, read_lesions


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
        ("Pt_hashID,T_days,Lesion_vol\na,soon,1\n", "row 2"),
        ("Pt_hashID,T_days,Lesion_vol\na,1,-5\n", "at least 0 mm3"),
    ],
)
def test_a_file_that_is_not_one_is_named(tmp_path, text, message):
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_lesions(path)


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


def test_a_patient_of_two_studies_is_in_one_fold():
    assert fold_of("0218075314855e6c-S1") == fold_of("0218075314855e6c-S4")
    assert {fold_of(f"{n}-S1") for n in range(60)} == set(range(FOLDS))
