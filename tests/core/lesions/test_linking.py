"""Which lesion a label is, on phantoms whose answer is plain: blocks in a row, 12 mm wide and 12 mm deep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from core.errors import GeometryError, InputError
from core.lesions.linking import KnownLesions, propose_links
from core.remembered.links import LinkProposal
from core.types import Grid, LabelMap
from tests.mask_phantom import ball, grid_of

GRID = Grid((120, 30, 16), np.diag([1.0, 1.0, 2.0, 1.0]))
SAME = np.eye(4)
NOW = "2025-07-01"
#: Visits before, nearest last.
JAN, MAR, MAY = "2025-01-01", "2025-03-01", "2025-05-01"


def row(*blocks: tuple[int, int, int], grid: Grid = GRID) -> LabelMap:
    """(label, first i, last i): blocks of 12 x 6 voxels in j, k (12 x 12 mm)."""
    array = np.zeros(grid.shape, dtype=np.uint8)
    for label, first, last in blocks:
        array[first : last + 1, 9:21, 5:11] = label
    return LabelMap(array, grid)


def seen(day: str, labels: LabelMap, names: Mapping[int, str] | None = None, **said: Any) -> KnownLesions:
    """A known mask whose labels are L1, L2 … unless named; in the same frame, registered well."""
    options: dict[str, Any] = {"accepted": True, "to_here": SAME, "registration_state": "good"} | said
    names = {n: f"L{n}" for n in labels.labels} if names is None else names
    return KnownLesions(day, f"m-{day}", labels, names, transform_id=f"t-{day}", **options)


def proposed(now: LabelMap, *known: KnownLesions, free: int = 9) -> dict[int | str, LinkProposal]:
    """By label, or by lesion where there is none."""
    found = propose_links(now, known, NOW, free)
    return {one.label or str(one.lesion_id): one for one in found}


def told(found: Mapping[int | str, LinkProposal]) -> dict[int | str, tuple[str | None, str]]:
    return {key: (one.lesion_id, one.relation) for key, one in found.items()}


def test_labels_of_another_file_are_told_by_their_place_with_the_evidence():
    found = proposed(row((1, 60, 69), (2, 10, 19)), seen(MAY, row((1, 10, 19), (2, 60, 69))))
    assert told(found) == {1: ("L2", "stable"), 2: ("L1", "stable")}
    assert (found[1].confidence, found[1].doubts) == (1.0, ())
    assert found[1].evidence == {
        "from_timepoint": MAY,
        "from_mask_id": f"m-{MAY}",
        "overlap": 1.0,
        "surface_mm": 0.0,
        "transform_id": f"t-{MAY}",
        "registration_state": "good",
    }


def test_a_patient_who_lay_42_mm_away_and_turned_has_the_same_lesions():
    before_grid = grid_of((90, 60, 50))
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("z", 20, degrees=True).as_matrix()
    motion[:3, 3] = (42.0, -10.0, 0.0)
    back = np.linalg.inv(motion)
    centres = {1: (25.0, 30.0, 20.0), 2: (45.0, 30.0, 20.0), 3: (65.0, 30.0, 30.0)}
    before = np.zeros(before_grid.shape, np.uint8)
    for n, centre in centres.items():
        before += np.uint8(n) * ball(before_grid, centre, 6.0)
    here_grid = Grid((80, 80, 60), np.diag([1.5, 1.5, 1.5, 1.0]) + np.pad([[-80.0], [-30.0], [-5.0]], ((0, 1), (3, 0))))
    moved = {n: np.asarray(centre) @ back[:3, :3].T + back[:3, 3] for n, centre in centres.items()}
    now = np.zeros(here_grid.shape, np.uint8)
    for n, centre in moved.items():
        now += np.uint8(4 - n) * ball(here_grid, centre, 6.0)
    known = seen(MAY, LabelMap(before, before_grid), to_here=motion)
    found = proposed(LabelMap(now, here_grid), known)
    assert told(found) == {1: ("L3", "stable"), 2: ("L2", "stable"), 3: ("L1", "stable")}
    assert all(float(one.confidence or 0) > 0.8 and not one.doubts for one in found.values())


def test_a_lesion_is_told_whether_it_grew_or_shrank_to_an_eighth():
    before = row((1, 10, 25), (2, 60, 67))
    now = row((1, 17, 18), (2, 50, 80))
    found = proposed(now, seen(MAY, before))
    assert told(found) == {1: ("L1", "stable"), 2: ("L2", "stable")}
    assert [found[n].evidence["overlap"] for n in (1, 2)] == [1.0, 1.0]


def test_lesions_that_swap_their_sizes_stay_themselves():
    found = proposed(row((1, 28, 31), (2, 60, 79)), seen(MAY, row((1, 20, 39), (2, 68, 71))))
    assert told(found) == {1: ("L1", "stable"), 2: ("L2", "stable")}


def test_with_nothing_known_lesions_are_numbered_largest_first():
    found = proposed(row((1, 10, 12), (7, 40, 49)), free=1)
    assert told(found) == {1: ("L2", "new"), 7: ("L1", "new")}
    assert found[1].confidence is None
    assert found[1].evidence == {}
    assert proposed(row()) == {}


def test_a_lesion_that_appears_is_new_and_one_that_vanishes_is_gone():
    found = proposed(row((1, 10, 19), (2, 90, 99)), seen(MAY, row((1, 10, 19), (2, 50, 59))), free=256)
    assert told(found) == {1: ("L1", "stable"), 2: ("L256", "new"), "L2": ("L2", "gone")}
    assert [found[key].confidence for key in (2, "L2")] == [1.0, 1.0]
    assert [found[key].doubts for key in (2, "L2")] == [(), ()]
    assert told(proposed(row(), seen(MAY, row((1, 10, 19))))) == {"L1": ("L1", "gone")}


def test_a_new_lesion_beside_one_that_is_gone_is_a_doubt_of_both_up_to_15_mm():
    known = seen(MAY, row((1, 10, 12), (2, 100, 102)))
    found = proposed(row((1, 27, 29), (2, 100, 102)), known)
    assert told(found) == {1: ("L9", "new"), 2: ("L2", "stable"), "L1": ("L1", "gone")}
    assert found[1].doubts == ("L1, which is gone, lay 15 mm from it: it may be that one.",)
    assert found["L1"].doubts == ("L9, which is new, lies 15 mm from its place: it may be that one.",)
    assert found[1].confidence == 0.5
    far = proposed(row((1, 28, 30), (2, 100, 102)), known)
    assert (far[1].doubts, far["L1"].doubts) == ((), ())


def test_a_small_lesion_that_moved_is_told_by_distance_alone_with_a_doubt():
    found = proposed(row((1, 18, 21)), seen(MAY, row((1, 10, 13))))
    assert told(found) == {1: ("L1", "stable")}
    assert found[1].doubts[0].startswith("It overlaps no known lesion; L1 lies nearest, ")
    assert found[1].evidence["overlap"] == 0.0
    assert 0 < float(found[1].confidence or 0) < 0.3


def test_lesions_that_grew_together_are_one_label_of_the_largest_and_say_so():
    found = proposed(row((1, 10, 49)), seen(MAY, row((1, 10, 15), (2, 20, 39), (3, 44, 49))))
    assert told(found) == {1: ("L2", "merged"), "L1": ("L1", "merged into"), "L3": ("L3", "merged into")}
    assert found[1].into == ("L1", "L2", "L3")
    assert found["L1"].into == ("L2",)
    assert found["L1"].evidence["overlap"] == found["L1"].confidence == 1.0
    assert all(one.doubts for one in found.values())


def test_what_a_neighbour_grew_over_is_no_merge_while_a_label_continues_it():
    """L1 covers L2's whole place, as after a bad registration; label 2 lies beside it, and is what became of L2."""
    found = proposed(row((1, 10, 45), (2, 46, 50)), seen(MAY, row((1, 10, 36), (2, 41, 45))))
    assert told(found) == {1: ("L1", "stable"), 2: ("L2", "stable")}
    assert found[2].doubts


def test_a_lesion_of_which_a_label_has_less_than_half_is_gone_with_a_doubt():
    found = proposed(row((1, 10, 43)), seen(MAY, row((1, 10, 36), (2, 40, 49))))
    assert told(found) == {1: ("L1", "stable"), "L2": ("L2", "gone")}
    assert found["L2"].doubts == ("40% of its place lies in L1: it may have merged into that.",)
    assert found["L2"].confidence == 0.6


def test_pieces_of_a_lesion_all_keep_its_name():
    found = proposed(row((4, 10, 24), (2, 30, 39)), seen(MAY, row((1, 10, 40))))
    assert told(found) == {2: ("L1", "split"), 4: ("L1", "split")}
    assert found[2].doubts == ()
    grown = proposed(row((4, 10, 24), (2, 35, 44)), seen(MAY, row((1, 10, 40))))
    assert told(grown)[2] == ("L1", "split")
    assert grown[2].doubts == ("Only 60% of it lies where L1 was: it may be no piece of that.",)


def test_what_only_touches_a_lesion_is_no_piece_of_it():
    found = proposed(row((1, 10, 29), (2, 38, 49)), seen(MAY, row((1, 10, 41))))
    assert told(found) == {1: ("L1", "stable"), 2: ("L9", "new")}
    assert found[2].doubts == (f"33% of it lies where L1 was on {MAY}: it may be that, or a part of it.",)


def test_a_new_lesion_up_to_5_mm_from_a_place_may_be_a_piece_and_a_gone_one_may_have_merged():
    known = seen(MAY, row((1, 10, 39)))
    found = proposed(row((1, 10, 39), (2, 44, 49)), known)
    assert told(found) == {1: ("L1", "stable"), 2: ("L9", "new")}
    assert found[2].doubts == ("L1 lay 5 mm from it: it may be a piece of that.",)
    assert found[1].doubts == ("L9, which is new, lies 5 mm from its place: it may be a piece of it.",)
    assert proposed(row((1, 10, 39), (2, 45, 50)), known)[2].doubts == ()
    beside = seen(MAY, row((1, 10, 39), (2, 50, 54)))
    found = proposed(row((1, 10, 45)), beside)
    assert told(found) == {1: ("L1", "stable"), "L2": ("L2", "gone")}
    assert found[1].doubts == ("L2, which is gone, lay 5 mm from it: it may have merged into this.",)
    assert found["L2"].doubts == ("L1 lies 5 mm from its place: it may have merged into that.",)
    assert proposed(row((1, 10, 44)), beside)[1].doubts == ()


def test_a_lesion_that_comes_back_after_two_visits_is_itself_again():
    only_one = row((1, 10, 19))
    known = [seen(JAN, row((1, 10, 19), (2, 60, 69))), seen(MAR, only_one), seen(MAY, only_one)]
    found = proposed(row((1, 60, 66), (2, 10, 19)), *known)
    assert told(found) == {1: ("L2", "reappeared"), 2: ("L1", "stable")}
    assert (found[1].evidence["from_timepoint"], found[2].evidence["from_timepoint"]) == (JAN, MAY)
    # What was gone before, and still is, is not said again.
    assert told(proposed(only_one, *known)) == {1: ("L1", "stable")}
    # A reader's word that it is gone counts where the place could not be looked up.
    blind: dict[str, Any] = {"to_here": None, "registration_state": "failed"}
    found = proposed(row((1, 60, 66)), known[0], seen(MAY, only_one, gone=frozenset({"L2"}), **blind))
    assert told(found)[1] == ("L2", "reappeared")
    assert told(proposed(row((1, 60, 66)), known[0], seen(MAY, only_one, **blind)))[1] == ("L2", "stable")


def test_a_lesion_outside_of_the_scan_is_not_in_view_and_never_gone():
    before = row((1, 10, 19), (2, 60, 69), (3, 100, 109))
    short = Grid((65, 30, 16), GRID.affine)
    found = proposed(row((1, 10, 19), grid=short), seen(MAY, before))
    # 5 of the 10 slices of L2 are left: half of its place is in view.
    assert told(found) == {1: ("L1", "stable"), "L2": ("L2", "gone"), "L3": ("L3", "not in view")}
    assert found["L2"].doubts == ("Only 50% of its place lies in this scan.",)
    assert found["L3"].confidence == 1.0
    shorter = Grid((64, 30, 16), GRID.affine)
    assert told(proposed(row((1, 10, 19), grid=shorter), seen(MAY, before)))["L2"] == ("L2", "not in view")


def test_a_visit_that_did_not_reach_a_lesion_does_not_make_it_absent():
    short = Grid((50, 30, 16), GRID.affine)
    known = [seen(MAR, row((1, 10, 19), (2, 60, 69))), seen(MAY, row((1, 10, 19), grid=short))]
    assert told(proposed(row((1, 10, 19), (2, 60, 69)), *known))[2] == ("L2", "stable")
    assert told(proposed(row((1, 10, 19)), *known))["L2"] == ("L2", "gone")


@pytest.mark.parametrize("state", ["failed", "refused", None])
def test_without_a_registration_no_label_is_told_and_no_lesion_is_gone(state):
    matrix = SAME if state else None  # a matrix of a failed registration is not looked at
    found = proposed(
        row((1, 10, 19), (2, 60, 69)), seen(MAY, row((3, 10, 19)), to_here=matrix, registration_state=state)
    )
    assert told(found) == {1: (None, "unlinked"), 2: (None, "unlinked"), "L3": ("L3", "not assessed")}
    assert f"({MAY}: {state or 'none'})" in found[1].doubts[0]
    assert {one.confidence for one in found.values()} == {None}


def test_one_failed_registration_is_named_where_something_is_new_or_gone():
    failed = seen(MAY, row((1, 10, 19), (4, 60, 69)), to_here=None, registration_state="failed")
    found = proposed(row((1, 10, 19), (2, 60, 69)), failed, seen(MAR, row((1, 10, 19), (2, 90, 99))))
    assert told(found) == {
        1: ("L1", "stable"),
        2: ("L9", "new"),
        "L2": ("L2", "gone"),
        "L4": ("L4", "not assessed"),
    }
    assert found[1].doubts == ()
    assert f"The scan of {MAY} could not be aligned" in found[2].doubts[0]
    assert f"The scan of {MAY} could not be aligned" in found["L2"].doubts[0]


def test_a_doubtful_registration_is_a_doubt_and_halves_the_confidence():
    found = proposed(row((1, 10, 19)), seen(MAY, row((1, 10, 19)), registration_state="doubtful"))
    assert found[1].confidence == 0.5
    assert found[1].doubts == (f"The registration with the scan of {MAY} is doubtful.",)


def test_a_mask_that_nobody_accepted_counts_after_accepted_ones_and_is_a_doubt():
    near, far = seen(MAY, row((2, 10, 19)), accepted=False), seen(JAN, row((1, 10, 19)))
    found = proposed(row((1, 10, 19)), near, far)
    assert found[1].lesion_id == "L1"
    # L1 and L2 were never seen as two, so nothing merged.
    assert told(found)["L2"] == ("L2", "gone")
    assert "100% of its place lies in L1" in found["L2"].doubts[0]
    assert "is not accepted" in proposed(row((1, 10, 19)), near)[1].doubts[0]


def test_the_nearest_visit_decides_between_two_and_a_clear_overlap_anywhere_beats_none():
    both = [seen(MAY, row((1, 10, 19))), seen(JAN, row((2, 10, 19)))]
    found = proposed(row((1, 10, 19)), *both)
    assert (found[1].lesion_id, found[1].doubts) == ("L1", ())
    found = proposed(row((1, 10, 19), (2, 60, 69)), *both, seen(MAR, row((3, 60, 69))))
    assert told(found)[2] == ("L3", "reappeared")


def test_all_lesions_are_told_together_where_each_alone_would_take_its_neighbours():
    """All lie 6 mm further than the registration says: each label overlaps the next lesion more than its own."""
    before = row((1, 10, 19), (2, 21, 30), (3, 32, 41))
    found = proposed(row((1, 16, 25), (2, 27, 36), (3, 38, 47)), seen(MAY, before))
    assert told(found) == {n: (f"L{n}", "stable") for n in (1, 2, 3)}
    assert found[1].doubts == (
        "Only 40% of the smaller of it and L1 overlap.",
        "L2 fits better.",
        f"All lesions lie some 6 mm to one side of where they were on {MAY}: the scans may not be aligned well.",
    )
    assert found[1].confidence == 0.0


def test_a_registration_by_which_nothing_is_found_again_is_a_doubt_of_all():
    found = proposed(row((1, 60, 69)), seen(MAY, row((1, 10, 19))))
    assert told(found) == {1: ("L9", "new"), "L1": ("L1", "gone")}
    assert "0 are found again, 1 are gone, and 1 are new" in found[1].doubts[0]
    assert found[1].doubts == found["L1"].doubts


def test_another_version_of_the_visit_names_its_new_lesion():
    known = [seen(NOW, row((1, 10, 19), (2, 60, 69), (3, 90, 99))), seen(MAY, row((1, 10, 19)))]
    found = proposed(row((1, 10, 19), (2, 60, 69)), *known)
    assert told(found) == {1: ("L1", "stable"), 2: ("L2", "new"), "L3": ("L3", "gone")}
    assert found["L3"].doubts == ("Another version of this visit has it.",)


def test_an_older_scan_that_comes_later_takes_names_from_later_visits_and_misses_nothing():
    found = proposed(row((1, 10, 19)), seen("2025-09-01", row((2, 10, 19), (3, 60, 69))))
    assert told(found) == {1: ("L2", "stable")}


def test_a_label_in_the_place_of_an_unlinked_one_is_new_with_a_doubt():
    found = proposed(row((1, 10, 19), (2, 60, 69)), seen(MAY, row((1, 10, 19), (5, 60, 69)), {1: "L1"}))
    assert told(found) == {1: ("L1", "stable"), 2: ("L9", "new")}
    assert len(found[2].doubts) == 1
    assert f"100% of it lies where label 5, which is not linked, was on {MAY}" in found[2].doubts[0]
    assert found[2].confidence == 0.0


def test_what_cannot_be_told_by_is_refused():
    known = seen(MAY, row((4, 10, 19)))
    with pytest.raises(InputError, match="above 4"):
        propose_links(row(), [known], NOW, 4)
    with pytest.raises(InputError, match="YYYY-MM-DD"):
        propose_links(row(), [known], "in July", 5)
    with pytest.raises(GeometryError, match="Register"):
        propose_links(row(), [seen(MAY, row((1, 1, 2)), to_here=np.diag([1.0, 1.0, 0.0, 1.0]))], NOW, 5)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(2, 9)), min_size=1, max_size=6, unique_by=lambda b: b[0]),
    st.lists(st.tuples(st.integers(0, 9), st.integers(2, 9)), min_size=1, max_size=6, unique_by=lambda b: b[0]),
    st.permutations(range(1, 11)),
)
def test_neither_label_numbers_nor_the_order_of_visits_change_what_is_told(before, now, numbers):
    """Each label is told once, and a lesion is told of once unless it split."""
    old = row(*((place + 1, 12 * place, 12 * place + width) for place, width in before))
    known = [seen(MAY, old), seen(JAN, row((1, 0, 20), (2, 60, 80)))]
    plain = row(*((place + 1, 12 * place, 12 * place + width) for place, width in now))
    lookup = np.array([0, *numbers], dtype=np.uint8)
    first = propose_links(plain, known, NOW, 11)
    other = propose_links(LabelMap(lookup[plain.array], GRID), known[::-1], NOW, 11)
    assert [one.label for one in first if one.label] == list(plain.labels)
    missing = [one.lesion_id for one in first if one.label is None]
    assert len(set(missing)) == len(missing)
    assert not set(missing) & {one.lesion_id for one in first if one.label}
    renamed = {(int(lookup[one.label]) if one.label else None, one.lesion_id): one for one in first}
    assert {(one.label, one.lesion_id): (one.relation, one.confidence, one.into) for one in other} == {
        key: (one.relation, one.confidence, one.into) for key, one in renamed.items()
    }


def test_255_lesions_at_five_visits_are_all_told_in_seconds():
    grid = Grid((150, 150, 60), np.diag([1.0, 1.0, 2.0, 1.0]))
    places = [(i, j, k) for i in range(8) for j in range(8) for k in range(4)][:255]

    def visit(order: np.ndarray, shift: int) -> LabelMap:
        array = np.zeros(grid.shape, dtype=np.uint8)
        for number, place in zip(order, places, strict=True):
            i, j, k = (18 * place[0] + 4 + shift, 18 * place[1] + 4, 14 * place[2] + 2)
            array[i : i + 7, j : j + 7, k : k + 5] = number
        return LabelMap(array, grid)

    straight = np.arange(1, 256)
    known = [seen(f"2025-0{month}-01", visit(straight, 0)) for month in range(2, 7)]
    found = proposed(visit(straight[::-1], 1), *known, free=256)
    assert told(found) == {n: (f"L{256 - n}", "stable") for n in range(1, 256)}


def test_a_small_label_in_a_large_lesions_place_is_doubted_where_one_of_its_size_is_gone_beside_it():
    """A tumour 81 mm long goes, and what lay 20 mm beside it comes to lie where it was."""
    found = proposed(row((1, 70, 74)), seen(MAY, row((1, 0, 80), (2, 101, 105))))
    assert told(found) == {1: ("L1", "stable"), "L2": ("L2", "gone")}
    assert any("L2, which is gone" in doubt for doubt in found[1].doubts)
    assert any("has about its size" in doubt for doubt in found["L2"].doubts)
