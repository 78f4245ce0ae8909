"""What made a mask, on grids small enough to count: which voxels the server's answers explain, and which none does."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lesions.mask_bits import pack
from core.review.model_answers import Answer, AnswerBook, AskedPrompt, newest_of_each_place
from core.review.provenance import Provenance, explain
from core.types import Grid

SHAPE = (8, 7, 6)
GRID = Grid(SHAPE, np.diag([1.0, 1.0, 2.0, 1.0]))
SCAN = "a" * 64
BOX = {"type": "box", "slice": 3, "coords": [1.0, 1.0, 5.0, 4.0], "lesion": 1}


def answer(mask: np.ndarray, k: int = 3, number: int = 1, **changes: Any) -> Answer:
    values = {
        **pack(mask),
        "answer_id": f"{number:032x}",
        "scan_sha256": SCAN,
        "scan": "CT",
        "axis": 2,
        "slice": k,
        "lesion": 1,
        "prompts": [BOX],
        "model_id": "litemedsam",
        "checkpoint_sha256": "c" * 64,
        **changes,
    }
    return Answer.model_validate(values)


def square(low: int, high: int) -> np.ndarray:
    mask = np.zeros(SHAPE[:2], bool)
    mask[low:high, low:high] = True
    return mask


def empty() -> np.ndarray:
    return np.zeros(SHAPE, np.uint8)


def explained(before: Any, after: Any, *answers: Answer, grids: Any = None) -> Provenance:
    return explain(before, after, GRID, answers, {SCAN: GRID} if grids is None else grids)


def kept(before: np.ndarray, given: Answer) -> np.ndarray:
    """What the viewer makes of a mask when an answer is kept (`keep` in prompts.js)."""
    after, mask = before.copy(), given.bits(SHAPE[:2])
    plane = after[:, :, given.slice]
    plane[(plane == given.lesion) & ~mask] = 0
    plane[mask & (plane == 0)] = given.lesion
    return after


def test_an_answer_that_was_kept_as_it_is_explains_all_that_changed():
    before = empty()
    before[0:3, 0:3, 3] = 1
    before[4, 4, 3] = 2  # another lesion, which the answer covers and never overwrites
    given = answer(square(2, 6))
    found = explained(before, kept(before, given), given)
    assert (found.method, found.changed, found.answered, found.by_hand) == ("medsam", 15 - 1 + 8, 22, 0)
    assert found.answers == (given,)
    assert found.prompts() == [
        {**BOX, "axis": 2, "positive": True, "scan": "CT", "model_id": "litemedsam", "checkpoint_sha256": "c" * 64}
    ]


def test_where_nothing_is_or_was_nothing_changed():
    assert explained(empty(), empty()) == explained(None, empty()) == Provenance(0, 0, 0, ())


def test_one_voxel_more_or_less_than_the_answer_is_by_hand():
    given = answer(square(2, 5))
    whole = kept(empty(), given)
    for voxel, value in (((7, 6, 3), 1), ((3, 3, 3), 0), ((3, 3, 4), 1), ((0, 0, 0), 5), ((3, 3, 3), 2)):
        after = whole.copy()
        after[voxel] = value
        found = explained(None, after, given)
        assert (found.method, found.by_hand) == ("medsam-manual", 1), voxel


def test_what_an_answer_took_away_and_a_person_put_back_is_by_hand():
    before = empty()
    before[:, :, 3] = 1
    given = answer(square(2, 5))
    after = kept(before, given)
    assert explained(before, after, given).method == "medsam"
    after[0, 0, 3] = 1
    found = explained(before, after, given)
    assert (found.method, found.by_hand) == ("medsam-manual", 1)


@pytest.mark.parametrize(
    ("why", "cited"),
    [
        ("no answer", []),
        ("of another slice", [answer(square(2, 5), k=2)]),
        ("for another lesion", [answer(square(2, 5), lesion=2)]),
        ("for no lesion", [answer(square(2, 5), lesion=None)]),
        ("of another scan", [answer(square(2, 5), scan_sha256="b" * 64)]),
        ("across another axis", [answer(np.ones((7, 6), bool), axis=0, k=7)]),
    ],
)
def test_an_answer_to_something_else_explains_nothing(why: str, cited: list[Answer]):
    after = kept(empty(), answer(square(2, 5)))
    found = explained(None, after, *cited)
    assert (found.method, found.answered, found.answers, found.prompts()) == ("manual", 0, (), []), why


def test_the_newest_answer_of_a_place_counts_alone():
    first, second = answer(square(1, 6), number=1), answer(square(2, 4), number=2)
    assert newest_of_each_place([first, second, first]) == [first]
    assert explained(None, kept(empty(), second), first, second).answers == (second,)
    assert explained(None, kept(empty(), first), first, second).method == "medsam-manual"


def test_answers_across_two_axes_may_cross():
    flat, upright = answer(square(2, 6)), answer(np.ones((7, 6), bool), axis=0, k=4, number=2)
    after = kept(empty(), flat)
    after[4, :, :] = 1
    assert explained(None, after, flat, upright).method == "medsam"


def test_what_one_answer_added_and_a_crossing_one_took_away_is_not_by_hand():
    """The second takes away what stood out at the side, so that no lesion is or was near it."""
    row, end = np.zeros(SHAPE[:2], bool), np.zeros((7, 6), bool)
    row[2:6, 2] = row[5, 5] = end[2, 3] = True
    flat, upright = answer(row), answer(end, axis=0, k=5, number=2)
    after = kept(empty(), flat)
    after[5, 5, 3] = 0
    alone, crossed = explained(None, after, flat), explained(None, after, flat, upright)
    assert (alone.method, alone.by_hand) == ("medsam-manual", 1)
    assert (crossed.method, crossed.by_hand) == ("medsam", 0)


def test_an_answer_on_a_coarser_scan_is_laid_on_the_grid_as_the_viewer_lays_it():
    """The scan's voxels are 2 x 2 x 4 mm; of the reference's slices 2 and 3 its slice 1 is the nearest one."""
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    affine[:3, 3] = (0.5, 0.5, 1.0)
    coarse = Grid((4, 3, 3), affine)
    mask = np.zeros((4, 3), bool)
    mask[1, 1] = True
    given = answer(mask, k=1)
    after = empty()
    after[2:4, 2:4, 2:4] = 1
    assert explained(None, after, given, grids={SCAN: coarse}).method == "medsam"
    after[2, 2, 4] = 1
    assert explained(None, after, given, grids={SCAN: coarse}).by_hand == 1


def test_a_tie_between_two_slices_may_be_taken_either_way():
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    affine[2, 3] = 2.0  # its slices at 2, 6, 10 mm: the reference's slice 2, at 4 mm, is as near to 0 as to 1
    thick = Grid((8, 7, 3), affine)
    for k in (0, 1):
        after = empty()
        after[2:5, 2:5, [2, 1 if k == 0 else 3]] = 1
        after[2:5, 2:5, 0 if k == 0 else 3] = 1
        assert explained(None, after, answer(square(2, 5), k=k), grids={SCAN: thick}).by_hand == 0


def test_a_propagation_names_its_prompts_once_and_the_mask_it_went_on_from():
    began = {"slice": 2, "origin": [1, 1], "shape": [3, 2]}
    steps = [answer(square(2, 5), k=k, number=k + 1, propagated=True, began=began, prompts=[]) for k in range(3, 6)]
    after = empty()
    for step in steps:
        after = kept(after, step)
    found = explained(None, after, *steps)
    assert found.method == "medsam"
    assert found.prompts() == [
        {
            "type": "mask",
            "axis": 2,
            "slice": 2,
            "coords": [1.0, 1.0, 3.0, 2.0],
            "positive": True,
            "scan": "CT",
            "lesion": 1,
            "propagate": True,
            "model_id": "litemedsam",
            "checkpoint_sha256": "c" * 64,
        }
    ]


masks = st.integers(0, 2**31).map(lambda seed: np.random.default_rng(seed).random(SHAPE[:2]) < 0.4)


@given(
    st.lists(st.tuples(masks, st.integers(0, 5), st.integers(1, 3)), min_size=1, max_size=5),
    st.integers(0, 2**31),
    st.integers(0, 6),
)
def test_answers_as_kept_are_never_by_hand_and_every_other_voxel_is(drawn: Any, seed: int, strokes: int):
    rng = np.random.default_rng(seed)
    before = rng.integers(0, 4, SHAPE).astype(np.uint8)
    given = [answer(mask, k=k, lesion=lesion, number=n) for n, (mask, k, lesion) in enumerate(drawn)]
    given = [one for one in newest_of_each_place(given)]
    places = {(one.slice) for one in given}
    given = [next(one for one in given if one.slice == k) for k in places]  # one lesion a slice: nothing overlaps
    after = before.copy()
    for one in given:
        after = kept(after, one)
    clean = explained(before, after, *given)
    assert clean.by_hand == 0
    assert clean.answered == clean.changed == int((before != after).sum())
    others = [k for k in range(SHAPE[2]) if k not in places]
    changed = 0
    for _ in range(strokes if others else 0):
        voxel = (*(int(rng.integers(0, n)) for n in SHAPE[:2]), others[int(rng.integers(0, len(others)))])
        after[voxel] = (before[voxel] + 1) % 4
    changed = int((before != after)[:, :, others].sum()) if others else 0
    found = explained(before, after, *given)
    assert found.by_hand == changed
    assert found.answered == clean.answered


LAID_ON = Grid((5, 4, 3), np.diag([1.0, 1.0, 2.0, 1.0]))


def placed(shape: tuple[int, int, int], axes: Any, offset: Any) -> Grid:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, offset
    return Grid(shape, affine)


#: Scans whose voxels are LAID_ON's, between them, of several, along other axes, askew, and in the middle alone.
GRIDS = {
    "a" * 64: LAID_ON,
    "b" * 64: placed((5, 4, 3), np.diag([1.0, 1.0, 2.0]), (0.5, 0.0, 1.0)),
    "c" * 64: placed((3, 4, 2), np.diag([2.0, 1.0, 4.0]), (0.5, 0.0, 2.0)),
    "d" * 64: placed((4, 5, 3), [[0, 0, 2], [1, 0, 0], [0, -1, 0]], (0.0, 0.0, 4.0)),
    "e" * 64: placed((4, 5, 3), [[1.2, -0.5, 0.0], [0.5, 1.2, 0.0], [0.0, 0.0, 1.7]], (0.3, -0.4, 0.2)),
    "f" * 64: placed((2, 2, 2), np.diag([1.0, 1.0, 2.0]), (1.0, 1.0, 2.0)),
}


def said_of(voxel: tuple[int, ...], one: Answer, scan: Grid) -> set[bool | None]:
    """What an answer may say of a voxel, by each of its scan's voxels that are as near as any other: the lesion, not
    the lesion, or (None) nothing; empty where it says nothing in any case."""
    where = (np.linalg.inv(scan.affine) @ LAID_ON.affine @ [*voxel, 1.0])[:3]
    nearest = [{int(np.floor(x + 0.5 - 1e-6)), int(np.floor(x + 0.5 + 1e-6))} for x in where]
    first, second = (n for n in range(3) if n != one.axis)
    bits, found = one.bits((scan.shape[first], scan.shape[second])), set()
    for place in product(*nearest):
        on = place[one.axis] == one.slice and all(0 <= p < n for p, n in zip(place, scan.shape, strict=True))
        found.add(bool(bits[place[first], place[second]]) if on else None)
    return found - {None} if len(found) == 1 else found


def by_voxel(before: np.ndarray, after: np.ndarray, answers: list[Answer]) -> tuple[int, int, int, list[str]]:
    """Changed, answered and by hand, and the answers that explain something: the rule, a voxel at a time."""
    changed = answered = by_hand = 0
    used = set()
    for voxel in product(*map(range, LAID_ON.shape)):
        old, new = int(before[voxel]), int(after[voxel])
        said = [(one, said_of(voxel, one, GRIDS[one.scan_sha256])) for one in answers]
        of = {n: set().union(*(words for one, words in said if one.lesion == n)) for n in {old, new, 1, 2, 3} - {0}}
        explained = old != new and (not new or True in of[new]) and (not old or False in of[old])
        undone = any((of[n] == {True} and not new) or (of[n] == {False} and new == n) for n in of)
        changed, answered = changed + (old != new), answered + explained
        by_hand += undone or (old != new and not explained)
        if explained:
            used |= {
                one.answer_id
                for one, words in said
                if (True in words and one.lesion == new) or (False in words and one.lesion == old)
            }
    return changed, answered, by_hand, [one.answer_id for one in answers if one.answer_id in used]


def drawn_on(shape: tuple[int, int], rng: np.random.Generator, few: bool) -> np.ndarray:
    """A mask of scattered pixels in a corner, or a small rectangle anywhere."""
    mask = np.zeros(shape, bool)
    if few:
        a, b = (int(rng.integers(0, n)) for n in shape)
        mask[a : a + int(rng.integers(1, 4)), b : b + int(rng.integers(1, 4))] = True
        return mask
    mask = rng.random(shape) < rng.random()
    mask[: int(rng.integers(0, shape[0]))] = mask[:, : int(rng.integers(0, shape[1]))] = False
    mask[-1, -1] |= not mask.any()
    return mask


# Where little is drawn, nothing but the answer itself tells where to look.
@pytest.mark.parametrize(("few", "rounds"), [(False, 40), (True, 60)], ids=["much", "little"])
@pytest.mark.parametrize("scans", [*GRIDS, "all"], ids=lambda name: name[:3])
def test_each_voxel_is_explained_by_what_answers_say_of_it_on_whatever_scan_they_lie(
    scans: str, few: bool, rounds: int
):
    rng = np.random.default_rng(7)
    names = list(GRIDS) if scans == "all" else [scans]
    methods = set()
    for _ in range(rounds):
        density = 0.02 if few else rng.random()
        before = (rng.integers(0, 4, LAID_ON.shape) * (rng.random(LAID_ON.shape) < density)).astype(np.uint8)
        given = []
        for number in range(int(rng.integers(1, 4))):
            name, axis = names[int(rng.integers(0, len(names)))], int(rng.integers(0, 3))
            first, second = (n for n in range(3) if n != axis)
            shape = (GRIDS[name].shape[first], GRIDS[name].shape[second])
            mask = drawn_on(shape, rng, few)
            k, lesion = int(rng.integers(0, GRIDS[name].shape[axis])), int(rng.integers(1, 4))
            given.append(answer(mask, k, number, axis=axis, lesion=lesion, scan_sha256=name))
        given, after = newest_of_each_place(given), before.copy()
        for voxel in product(*map(range, LAID_ON.shape)):
            for one in given:
                said = said_of(voxel, one, GRIDS[one.scan_sha256])
                if True in said and after[voxel] == 0:
                    after[voxel] = one.lesion or 0
                elif False in said and after[voxel] == one.lesion:
                    after[voxel] = 0
        if few and rng.random() < 0.5:  # the draft has no more than a part of what was answered
            axis = int(rng.integers(0, 3))
            side = slice(int(rng.integers(0, LAID_ON.shape[axis])), None, 1 if rng.random() < 0.5 else -1)
            np.moveaxis(after, axis, 0)[side] = 0
        for _ in range(int(rng.integers(0, 2 if few else 9))):
            after[tuple(int(rng.integers(0, n)) for n in LAID_ON.shape)] = rng.integers(0, 4)
        found = explain(before, after, LAID_ON, given, GRIDS)
        used = [one.answer_id for one in found.answers]
        assert (found.changed, found.answered, found.by_hand, used) == by_voxel(before, after, given)
        methods.add(found.method)
    assert methods >= {"medsam", "medsam-manual"}


def test_the_book_of_answers_is_each_persons_own_and_bounded():
    book = AnswerBook(most_answers=3, most_bytes=10**6, most_people=2)
    for n in range(5):
        book.remember("demo", "P1", "2020-01-01", answer(square(1, 3), number=n))
    ids = [f"{n:032x}" for n in range(5)]
    assert [one.answer_id for one in book.recall("demo", "P1", "2020-01-01", ids)] == ids[2:]
    for person, patient, day in (
        ("ann", "P1", "2020-01-01"),
        ("demo", "P2", "2020-01-01"),
        ("demo", "P1", "2020-03-01"),
    ):
        assert book.recall(person, patient, day, ids) == []
    small = AnswerBook(most_bytes=3000)
    for n in range(9):
        small.remember("demo", "P1", "2020-01-01", answer(square(1, 3), number=n))
    assert len(small) == 3
    for person in ("ann", "ben"):
        book.remember(person, "P1", "2020-01-01", answer(square(1, 3)))
    assert book.recall("demo", "P1", "2020-01-01", ids) == [], "who asked longest ago goes first"
    book.forget("ann", "P1", "2020-01-01")
    assert len(book) == 1


def test_a_box_or_point_that_a_browser_sends_without_a_sign_asks_for_what_is_there():
    assert AskedPrompt(type="point", slice=2, coords=[3, 4]).prompt().positive
    assert not AskedPrompt(type="point", slice=2, coords=[3, 4], positive=False).prompt().positive
