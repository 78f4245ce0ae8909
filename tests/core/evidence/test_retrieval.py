from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.evidence.cases import SimilarLesions
from core.evidence.filters import LesionFilter
from core.evidence.retrieval import similar_lesions
from tests.core.evidence.lesions_on_a_line import Lesion, base_of, question

#: Whose, where on the line, and whether it has a later visit.
LESIONS = st.tuples(st.integers(0, 6), st.integers(-50, 50), st.integers(0, 1))
LINE = [Lesion(f"R{number:02d}", float(number)) for number in range(24)]


def patients(found: SimilarLesions) -> list[str]:
    return [one.case.patient_id for one in found.found]


def test_the_most_alike_come_first_with_their_distance_and_what_it_is_among_all_pairs():
    found = similar_lesions(base_of(LINE), question(11.2), "shape", 3)
    assert patients(found) == ["R11", "R12", "R10"]
    assert [one.rank for one in found.found] == [1, 2, 3]
    away = [one.distance for one in found.found]
    assert [value / away[0] for value in away] == pytest.approx([1, 4, 6], rel=1e-4), ".2, .8 and 1.2 on the line"
    # of 276 pairs of two lesions on the line 23 are one apart, and no two are nearer
    assert [one.percentile for one in found.found] == pytest.approx([100, 100, 92], abs=1.5)
    assert (found.searched, found.patients, found.not_compared, found.as_of) == (24, 24, 0, 7)


def test_no_lesion_of_the_same_patient_comes_back_unless_it_is_asked_for():
    base = base_of([*LINE, Lesion("asking", 11.2, day="2023-01-01")])
    assert "asking" not in patients(similar_lesions(base, question(11.2), "shape", 25))
    own = similar_lesions(base, question(11.2), "shape", 1, own_patient=True)
    assert patients(own) == ["asking"]


def test_a_lesion_counts_once_as_it_was_when_it_was_most_alike():
    days = [Lesion("R0", value, day=f"2024-0{n}-01") for n, value in enumerate((1.0, 1.5, 1.8, 2.4), 1)]
    found = similar_lesions(base_of([*days, Lesion("R1", 9.0)]), question(1.9), "shape", 2)
    assert [(one.case.patient_id, one.case.timepoint) for one in found.found] == [
        ("R0", "2024-03-01"),
        ("R1", "2024-01-01"),
    ]


def test_a_visit_that_has_a_later_one_is_preferred_and_one_without_any_still_counts():
    lesions = [Lesion("R0", 5.0), Lesion("R0", 2.0, day="2024-02-01", later=0), Lesion("R1", 9.0, later=0)]
    found = similar_lesions(base_of(lesions), question(2.0), "shape", 2)
    assert [(one.case.patient_id, one.case.later) for one in found.found] == [("R0", 1), ("R1", 0)]


def test_simulated_patients_are_no_evidence_for_real_ones_nor_the_other_way_round():
    base = base_of([*LINE, *(Lesion(f"S{n}", 11.0 + n, more={"simulated": True}) for n in range(3))])
    assert not any(name.startswith("S") for name in patients(similar_lesions(base, question(11.0), "shape", 30)))
    simulated = similar_lesions(base, question(11.0, simulated=True), "shape", 30)
    assert patients(simulated) == ["S0", "S1", "S2"]


def test_what_an_encoder_has_not_seen_is_counted_and_compared_by_shape_alone():
    base = base_of([*LINE[:20], *(Lesion(f"L{n:02d}", 0.0, look=float(n)) for n in range(12))])
    by_look = similar_lesions(base, question(0.0, look=7.1), "appearance", 2)
    assert patients(by_look) == ["L07", "L08"]
    assert (by_look.searched, by_look.not_compared) == (12, 20)
    with pytest.raises(InputError, match="no encoder has looked at it"):
        similar_lesions(base, question(0.0), "appearance")
    with pytest.raises(InputError, match="shape of this lesion is not stored"):
        similar_lesions(base, question(None, look=1.0), "both")


def test_a_lesion_that_was_looked_at_on_its_last_visit_alone_is_not_lost_to_its_other_visits():
    followed = [Lesion("R0", 1.0), Lesion("R0", 2.0, "2024-02-01", later=0, look=7.0)]
    base = base_of([*followed, *(Lesion(f"L{n:02d}", 0.0, look=float(n)) for n in range(6))])
    found = similar_lesions(base, question(0.0, look=7.1), "appearance", 1)
    assert [(one.case.patient_id, one.case.timepoint) for one in found.found] == [("R0", "2024-02-01")]
    assert (found.searched, found.not_compared) == (7, 0), "lesions are counted, not visits"


def test_looks_on_another_modality_are_not_compared():
    base = base_of([Lesion(f"L{n:02d}", 0.0, look=float(n), more={"modality": "PET"}) for n in range(12)])
    found = similar_lesions(base, question(0.0, look=7.1), "appearance")
    assert (patients(found), found.searched, found.not_compared) == ([], 0, 12)


def test_the_filter_comes_first_and_no_neighbour_is_lost_by_it():
    far = [Lesion(f"F{n}", 500.0 + n, more={"organ": "lung"}) for n in range(3)]
    found = similar_lesions(base_of([*LINE, *far]), question(0.0), "shape", 5, wanted=LesionFilter(organ="lung"))
    assert patients(found) == ["F0", "F1", "F2"]
    assert (found.searched, found.patients) == (3, 3)
    assert any("24" in words for words in found.filters), "how many are left out as nobody named their organ"


def test_marks_change_the_order_at_once_and_taking_them_back_restores_it():
    base, asked = base_of(LINE), question(11.2)
    before = similar_lesions(base, asked, "shape", 24)
    marks = {("R14", "L1"): True, ("R11", "L1"): False}
    after = similar_lesions(base, asked, "shape", 24, marks=marks)
    assert patients(after)[0] == "R14"
    assert patients(after)[-1] == "R11"
    assert [one.marked for one in after.found if one.case.patient_id in ("R14", "R11")] == [True, False]
    assert patients(similar_lesions(base, asked, "shape", 24)) == patients(before)


def test_nobody_else_is_an_empty_answer_and_no_error():
    found = similar_lesions(base_of([Lesion("R0", 1.0)]), question(1.0), "shape")
    assert (found.found, found.searched, found.patients) == ((), 0, 0)
    with pytest.raises(InputError, match="k of at least 1, got 0"):
        similar_lesions(base_of(LINE), question(1.0), "shape", 0)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(-50, 50), st.integers(0, 1)), min_size=3, max_size=40),
    st.integers(1, 9),
)
def test_the_answer_is_that_of_comparing_with_every_lesion(lesions, k):
    made = [
        Lesion(
            f"R{who}", float(value), day=f"2024-01-{number % 28 + 1:02d}", lesion=f"L{number // 28 + 1}", later=later
        )
        for number, (who, value, later) in enumerate(lesions)
    ]
    base, found = base_of(made), similar_lesions(base_of(made), question(0.0), "shape", k)
    followed = {(one.patient, one.lesion) for one in made if one.later}
    best: dict[tuple[str, str], float] = {}
    for one in made:
        if one.later or (one.patient, one.lesion) not in followed:
            key = (one.patient, one.lesion)
            best[key] = min(best.get(key, 1e9), abs(one.shape))
    assert [abs(base.shape[base.rows[one.case.key]][0]) for one in found.found] == sorted(best.values())[:k]
