"""The mask gate counts patients: few give no verdict, and many visits, lesions or components no false alarms."""

from __future__ import annotations

import numpy as np
import pytest

from core.gates.mask.fitted import REAL, fit
from core.gates.mask.joint import joint
from core.gates.mask.judging import judged
from core.remembered.rows import LesionVector, ShapeVector

NAMES = (
    "size",
    "roundness",
    "contrast/PET/beyond/left_out",
    "contrast/PET/beyond/open_border",
    "contrast/CT/fat_inside",
)


def _patient(rng: np.random.Generator, lesions: int) -> np.ndarray:
    """Vectors that resemble each other, with tails longer than normal ones."""
    own = rng.standard_t(4, size=len(NAMES))
    return own + 0.3 * rng.standard_t(4, size=(lesions, len(NAMES)))


def _rows(rng: np.random.Generator, patients: int, visits: int, count: int) -> list[ShapeVector]:
    return [
        ShapeVector("L1", tuple(vector), NAMES[:count], f"{n}-{visit}", f"P{n}", f"d{visit}", 1, "accepted")
        for n in range(patients)
        for visit, vector in enumerate(_patient(rng, visits)[:, :count].tolist())
    ]


@pytest.mark.parametrize(
    ("patients", "visits", "lesions"), [(2, 12, 4), (3, 8, 1), (7, 5, 1), (19, 2, 1), (23, 1, 4), (40, 3, 1)]
)
def test_false_alarms_are_at_most_six_in_a_hundred_wherever_there_is_a_verdict(
    patients: int, visits: int, lesions: int
) -> None:
    """Scored by lesions they were .58 (2 x 12), .20 (3 x 8) and .15 (7 x 5)."""
    rng = np.random.default_rng(3)
    flagged, asked = 0, 0
    for _ in range(20):
        gate = fit(_rows(rng, patients, visits * lesions, len(NAMES)), 0)
        for _ in range(10):
            new = [LesionVector(f"L{n}", tuple(v), NAMES) for n, v in enumerate(_patient(rng, lesions).tolist())]
            said = judged(gate, REAL, new, "new")
            asked += said["p_value"] is not None
            flagged += said["judgement"]["verdict"] == "doubtful"
    if patients < 19:
        assert (asked, flagged) == (0, 0), "cannot be judged"
    else:
        assert asked == 200
        assert flagged <= 0.06 * 200 + 2 * np.sqrt(0.06 * 0.94 * 200), "within two standard errors of six in a hundred"


def test_two_odd_lesions_are_as_odd_as_one_and_more_lesions_do_not_thin_the_doubt() -> None:
    gate = fit(_rows(np.random.default_rng(1), 24, 1, 2), 0)
    odd, usual = LesionVector("L1", (60.0, 60.0), NAMES[:2]), LesionVector("L2", (0.0, 0.0), NAMES[:2])
    alone = judged(gate, REAL, [odd], "new")["p_value"]
    assert alone == pytest.approx(1 / 25)
    assert judged(gate, REAL, [odd, *[usual] * 20], "new")["p_value"] == alone, "Bonferroni made it 21/25"


def test_a_component_that_too_few_patients_have_is_left_out_and_said_so() -> None:
    rng = np.random.default_rng(2)
    rows = _rows(rng, 30, 1, 2)
    with_pet = _rows(rng, 5, 1, len(NAMES))
    gate = fit([*rows[5:], *with_pet], 0)
    said = judged(gate, REAL, [LesionVector("L1", (0.0, 0.0, 9.0, 9.0, 0.0), NAMES)], "new")
    assert said["judgement"]["verdict"] == "passes"
    assert "Not judged by statistics: contrast" in said["judgement"]["reason"]
    assert {one["component"] for one in said["components"] if one["excess"] is None} == {
        "contrast/PET/beyond",
        "contrast/CT",
    }


def test_by_hand() -> None:
    """19 others of 1 … 19 and a mask of 20: the rank is the first, p is 1/20; of 18 others nothing is said."""
    one, nineteen = ("a",), np.arange(1.0, 20.0)
    assert joint({one: 18.5}, {one: nineteen}, 0.05).p_value == pytest.approx(2 / 20)  # type: ignore[union-attr]
    found = joint({one: 20.0}, {one: nineteen}, 0.05)
    assert found is not None
    assert (found.p_value, found.odd, found.patients) == (pytest.approx(1 / 20), (one,), 19)
    assert joint({one: 20.0}, {one: nineteen[1:]}, 0.05) is None
    assert joint({}, {}, 0.05) is None


def test_what_no_tumour_can_be_is_no_reference_whoever_accepted_it() -> None:
    names = ("size", "bounds/of_scan", "bounds/of_body")
    whole = ShapeVector("L1", (9.0, 1.0, 1.0), names, "m", "P1", "d", 1, "accepted")
    tumour = ShapeVector("L1", (2.0, 0.1, 0.2), names, "n", "P2", "d", 1, "accepted")
    assert [lesion.patient_id for lesion in fit([whole, tumour], 0).lesions] == ["P2"]
