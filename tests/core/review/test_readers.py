"""Readers of one timepoint on phantoms whose agreement can be counted by hand; STAPLE beside SimpleITK's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.errors import GeometryError, InputError
from core.jobs.stages.readers import add_consensus, readers_of_timepoint
from core.review import readers
from core.review.drawable import drawable_lesions
from core.review.readers import (
    MARGIN_VOXELS,
    Performance,
    agreement,
    masks_for_all_to_see,
    masks_visible_to,
    newest_by_reader,
    newest_visible_version,
    staple,
)
from core.types import Grid, LabelMap, MaskRecord
from store import Store
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan, labels

SIDE = 24
GRID = Grid((SIDE, SIDE, SIDE), np.diag([1.0, 2.0, 5.0, 1.0]))  # 10 mm3, 100 voxels a millilitre


def cube(start: int, stop: int, label: int = 1) -> NDArray[np.uint8]:
    array = np.zeros(GRID.shape, np.uint8)
    array[start:stop, start:stop, start:stop] = label
    return array


def mask(array: NDArray[np.uint8]) -> LabelMap:
    return LabelMap(array, GRID)


def direct(arrays: list[NDArray[Any]]) -> tuple[NDArray[np.bool_], tuple[float, ...], tuple[float, ...]]:
    """SimpleITK's filter by itself, on the whole image."""
    made = sitk.STAPLEImageFilter()
    made.SetForegroundValue(1.0)
    image = made.Execute([sitk.GetImageFromArray((a != 0).astype(np.uint8)) for a in arrays])
    return sitk.GetArrayFromImage(image) > 0.5, made.GetSensitivity(), made.GetSpecificity()


def version(number: int, author: str, method: str = "medsam", status: Any = "proposed") -> MaskRecord:
    blank: dict[str, Any] = dict.fromkeys(MaskRecord.__dataclass_fields__)
    made = MaskRecord(**{**blank, "prompts": (), "lesions": (), "software": {}})
    return replace(made, mask_id=f"m{number}", version=number, author=author, method=method, status=status)


def test_agreement_of_two_overlapping_cubes_is_what_counting_gives():
    # 4^3 = 64 and 5^3 = 125 voxels, 64 in both: Dice 128 / 189; difference 61 voxels = 0.61 mL, of a mean of 94.5
    pairs = agreement({"zoe": mask(cube(4, 9)), "ann": mask(cube(4, 8))})
    assert [(p.first, p.second, p.lesion) for p in pairs] == [("ann", "zoe", "L1"), ("ann", "zoe", "total")]
    for pair in pairs:
        assert pair.dice == pytest.approx(128 / 189)
        assert (pair.volume_first_mm3, pair.volume_second_mm3) == pytest.approx((640, 1250))
        assert pair.difference_ml == pytest.approx(0.61)
        assert pair.difference_percent == pytest.approx(100 * 61 / 94.5)


def test_what_each_of_two_readers_drew_beyond_the_other_counts_against_them_and_cancels_in_the_difference():
    # 64 voxels from 4 to 8 and 125 from 6 to 11, 2^3 = 8 in both: Dice 16 / 189; the difference as before
    pair = agreement({"ann": mask(cube(4, 8)), "zoe": mask(cube(6, 11))})[-1]
    assert pair.dice == pytest.approx(16 / 189)
    assert (pair.volume_first_mm3, pair.volume_second_mm3) == pytest.approx((640, 1250))
    assert pair.difference_ml == pytest.approx(0.61)
    assert pair.difference_percent == pytest.approx(100 * 61 / 94.5)


def test_a_lesion_that_one_reader_did_not_see_has_dice_0_there_and_none_where_neither_did():
    both = cube(2, 6)
    more = both | cube(10, 12, label=2)
    pairs = {(p.first, p.second, p.lesion): p for p in agreement({"a": mask(both), "b": mask(both), "c": mask(more)})}
    assert len(pairs) == 9
    assert pairs["a", "c", "L1"].dice == 1
    assert pairs["a", "c", "L2"].dice == 0
    assert pairs["a", "c", "L2"].difference_percent == 200
    assert pairs["a", "b", "L2"].dice == 1
    assert pairs["a", "b", "L2"].difference_percent is None
    assert pairs["a", "c", "total"].dice == pytest.approx(128 / (64 + 72))


def test_fewer_than_two_readers_agree_on_nothing_and_other_grids_are_refused():
    assert agreement({}) == agreement({"ann": mask(cube(1, 3))}) == []
    moved = LabelMap(cube(1, 3), Grid(GRID.shape, np.diag([1.0, 2.0, 4.0, 1.0])))
    with pytest.raises(GeometryError, match="zoe"):
        agreement({"ann": mask(cube(1, 3)), "zoe": moved})
    with pytest.raises(GeometryError, match="zoe"):
        staple({"ann": mask(cube(1, 3)), "zoe": moved}, GRID)


def test_staple_is_simpleitks_own_filter_where_the_box_is_the_whole_image():
    low, high = MARGIN_VOXELS, SIDE - MARGIN_VOXELS
    drawn = {"a": cube(low, high), "b": cube(low + 1, high), "c": cube(low, high - 2)}
    consensus = staple({reader: mask(array) for reader, array in drawn.items()}, GRID)
    expected, sensitivity, specificity = direct(list(drawn.values()))
    assert np.array_equal(consensus.labels.array != 0, expected)
    for n, reader in enumerate("abc"):
        assert consensus.readers[reader][1].sensitivity == pytest.approx(sensitivity[n], abs=1e-6)
        assert consensus.readers[reader][1].specificity == pytest.approx(specificity[n], abs=1e-6)


def test_staple_on_the_box_gives_the_mask_of_the_filter_on_the_whole_image():
    drawn = {"a": cube(8, 13), "b": cube(9, 14), "c": cube(8, 14)}
    consensus = staple({reader: mask(array) for reader, array in drawn.items()}, GRID)
    assert np.array_equal(consensus.labels.array != 0, direct(list(drawn.values()))[0])
    of_c, of_a = (consensus.readers[reader][1].sensitivity for reader in "ca")
    assert of_c is not None
    assert of_a is not None
    assert of_c > of_a


def test_of_two_lesions_that_claim_a_voxel_with_one_probability_the_lower_number_gets_it(monkeypatch):
    def certain(drawn: Mapping[str, NDArray[np.bool_]]) -> Any:
        return np.full(next(iter(drawn.values())).shape, 0.8), dict.fromkeys(drawn, Performance(1.0, 1.0))

    monkeypatch.setattr(readers, "_estimate", certain)
    one, two = cube(4, 8), cube(8, 10, label=2)
    claimed = staple({"a": mask(one | two), "b": mask(one | two)}, GRID).labels.array
    assert set(np.unique(claimed[:13, :13, :13])) == {1}, "the first lesion's box and its margin"
    assert claimed[14, 14, 14] == 2


def test_a_rate_is_between_0_and_1_whatever_rounding_made_of_it_and_unknown_where_there_is_none():
    assert [readers._known(value) for value in (-1e-9, 0.25, 1 + 1e-9, math.nan)] == [0, 0.25, 1, None]


def test_staple_judges_each_lesion_in_the_box_around_it_and_five_voxels_of_background():
    """The prior is the share of lesion in the box, so the rates tell how large it was; at the border it is cut."""
    far = np.zeros(GRID.shape, np.uint8)
    far[20:22, 20:22, 20:22] = 2
    for low in (8, 3):
        drawn = {"a": cube(low, low + 5), "b": cube(low + 1, low + 6), "c": cube(low, low + 6)}
        consensus = staple({reader: mask(array | far) for reader, array in drawn.items()}, GRID)
        box = slice(max(low - 5, 0), low + 11)
        expected, sensitivity, specificity = direct([array[box, box, box] for array in drawn.values()])
        assert np.array_equal(consensus.labels.array[box, box, box] == 1, expected)
        for n, reader in enumerate("abc"):
            assert consensus.readers[reader][1].sensitivity == pytest.approx(sensitivity[n], abs=1e-6)
            assert consensus.readers[reader][1].specificity == pytest.approx(specificity[n], abs=1e-6)


def test_identical_masks_one_reader_and_empty_masks_have_the_documented_answers():
    same = staple({"a": mask(cube(3, 6)), "b": mask(cube(3, 6))}, GRID)
    assert np.array_equal(same.labels.array, cube(3, 6))
    assert (same.readers["a"][1].sensitivity, same.readers["a"][1].specificity) == (1, 1)
    alone = staple({"a": mask(cube(3, 6))}, GRID)
    assert np.array_equal(alone.labels.array, cube(3, 6))
    assert alone.readers["a"][1].sensitivity is None
    nothing = staple({"a": mask(cube(0, 0)), "b": mask(cube(0, 0))}, GRID)
    assert nothing.labels.labels == ()
    assert nothing.readers == {"a": {}, "b": {}}
    undecided = staple({"a": mask(cube(3, 6)), "b": mask(cube(0, 0))}, GRID)
    assert undecided.labels.labels == ()
    everything = staple({"a": mask(cube(0, SIDE)), "b": mask(cube(0, SIDE))}, GRID)
    assert np.array_equal(everything.labels.array, cube(0, SIDE))
    with pytest.raises(InputError, match="at least one reader"):
        staple({}, GRID)


def test_two_of_three_readers_outvote_the_one_who_saw_nothing():
    consensus = staple({"a": mask(cube(8, 13)), "b": mask(cube(8, 13)), "c": mask(cube(0, 0))}, GRID)
    assert np.array_equal(consensus.labels.array, cube(8, 13))
    assert consensus.readers["c"][1].sensitivity == pytest.approx(0, abs=1e-3)


def test_where_two_lesions_claim_a_voxel_the_more_probable_one_gets_it():
    # All but one draw the border slab as lesion 2; lesion 1 is drawn alike elsewhere.
    one, two = cube(4, 8), np.zeros(GRID.shape, np.uint8)
    two[8:12, 4:8, 4:8] = 2
    disputed = one | two
    disputed[8, 4:8, 4:8] = 1
    consensus = staple({"a": mask(one | two), "b": mask(one | two), "c": mask(disputed)}, GRID)
    assert (consensus.labels.array[8, 4:8, 4:8] == 2).all()
    assert np.array_equal(consensus.labels.array, one | two)


@given(st.permutations(["ann", "ben", "cara"]), st.integers(0, 2**31))
def test_permuting_the_readers_changes_nothing(order: list[str], seed: int):
    grid = Grid((10, 9, 8), np.eye(4))
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 3, grid.shape, dtype=np.uint8)
    arrays = [np.where(rng.random(grid.shape) < 0.15, rng.integers(0, 3), base).astype(np.uint8) for _ in range(3)]
    drawn = {reader: LabelMap(array, grid) for reader, array in zip(("ann", "ben", "cara"), arrays, strict=True)}
    other = {reader: drawn[reader] for reader in order}
    assert agreement(drawn) == agreement(other)
    renamed = {reader: LabelMap(array, grid) for reader, array in zip(order, arrays, strict=True)}
    first, second, third = (staple(masks, grid) for masks in (drawn, other, renamed))
    assert np.array_equal(first.labels.array, second.labels.array)
    assert np.array_equal(first.labels.array, third.labels.array)
    assert first.readers == second.readers
    for name, new in zip(("ann", "ben", "cara"), order, strict=True):
        assert first.readers[name] == third.readers[new]


def test_a_readers_branch_is_what_they_drew_themselves_newest_first():
    records = [
        version(1, "ann", "nnunet"),
        version(2, "ann"),
        version(3, "ben", "import"),
        version(4, "ann", "edit"),
        version(5, "ben", status="rejected"),
        version(6, "ann", "staple"),
    ]
    assert {reader: r.version for reader, r in newest_by_reader(records).items()} == {"ann": 4, "ben": 3}


def test_a_blind_reader_sees_automatic_versions_and_their_own_until_finished():
    records = [version(1, "ann", "nnunet"), version(2, "ann"), version(3, "ben"), version(4, "ben", "staple")]

    def seen(person: str, closed: bool) -> list[int]:
        return [r.version for r in masks_visible_to(records, person, closed)]

    assert seen("ann", True) == [1, 2]
    assert seen("ben", True) == [1, 3]
    assert seen("cara", True) == [1]
    assert seen("ann", False) == [1, 2, 3, 4]


def reading_store(
    drawn: Mapping[str, list[MaskRecord]], blind: Sequence[str] = (), closed: Sequence[str] = (), broken: str = ""
) -> Any:
    """A store of one patient's versions by timepoint: which are read blind, which are closed to whom is asking, and
    the id of one whose file is lost."""
    return SimpleNamespace(
        patients=SimpleNamespace(timepoints=lambda patient: list(drawn)),
        masks=SimpleNamespace(of=lambda patient, day: drawn[day], problems=lambda patient: {broken: "lost"}),
        readings=SimpleNamespace(
            is_blind=lambda patient, day: day in blind, is_closed=lambda patient, day, person: day in closed
        ),
    )


def test_an_automatic_version_of_a_blind_timepoint_is_made_of_what_everybody_may_see_there():
    """Of other blind timepoints also of what was accepted: that is in the curve."""
    drawn = [version(1, "ann", "nnunet"), version(2, "ann", status="accepted"), version(3, "ann")]

    def made_of(*blind: str) -> dict[str, list[int]]:
        found = masks_for_all_to_see(reading_store({DAY1: drawn, DAY2: drawn}, blind), "P1", DAY1, "ann")
        return {day: [record.version for record in records] for day, records in found.items()}

    assert made_of(DAY1, DAY2) == {DAY1: [1], DAY2: [1, 2]}
    assert made_of(DAY1) == {DAY1: [1], DAY2: [1, 2, 3]}
    assert made_of(DAY2) == made_of() == {DAY1: [1, 2, 3], DAY2: [1, 2, 3]}


def test_what_is_made_from_a_timepoint_begins_with_the_newest_version_that_can_be_seen_and_read():
    drawn = {DAY1: [version(1, "ann", "nnunet"), version(2, "ben"), version(3, "ann")]}

    def newest(person: str, closed: Sequence[str] = (), broken: str = "") -> int | None:
        return newest_visible_version(reading_store(drawn, closed, closed, broken), "P1", DAY1, person)

    assert [newest("ben"), newest("ben", [DAY1]), newest("cara", [DAY1])] == [3, 2, 1]
    assert [newest("ben", broken="m3"), newest("cara", [DAY1], "m1")] == [2, None]


def test_a_new_lesions_number_follows_the_highest_that_its_reader_has_seen_at_any_timepoint():
    def with_lesions(record: MaskRecord, *numbers: int) -> MaskRecord:
        return replace(record, lesions=tuple({"label": n, "lesion_id": f"L{n}"} for n in numbers), timepoint=DAY1)

    drawn = {
        DAY1: [with_lesions(version(1, "ann", "nnunet"), 1, 4), with_lesions(version(2, "ann"), 7)],
        DAY2: [with_lesions(version(1, "ann", "nnunet"), 2), with_lesions(version(2, "ben"))],
    }

    def new_label(*seen: Any) -> int | None:
        return drawable_lesions(reading_store(*seen), "P1", "ben", None).new_label

    assert new_label(drawn) == 8
    assert new_label(drawn, [DAY1], [DAY1]) == 5
    assert new_label({DAY1: []}) == 1


def test_a_version_whose_parent_is_hidden_is_seen_as_one_that_was_drawn_from_nothing():
    changed: dict[str, Any] = {"dice_vs_previous_version": 0.5, "volume_delta_mm3": -4.0}
    voxels: dict[str, Any] = {"voxels_added": 3, "voxels_removed": 5, "voxels_unchanged": 7}
    child = replace(version(3, "ben"), **changed, **voxels)
    records = [version(1, "ann", "nnunet"), version(2, "ann")]
    hidden, seen = (replace(child, parent_version=parent) for parent in (2, 1))
    assert masks_visible_to([*records, seen], "ben", True)[-1] == seen
    shown = masks_visible_to([*records, hidden], "ben", True)[-1]
    assert (shown.parent_version, shown.dice_vs_previous_version, shown.volume_delta_mm3) == (None, None, None)
    assert (shown.voxels_added, shown.voxels_removed, shown.voxels_unchanged) == (10, 0, 0)
    assert masks_visible_to([*records, hidden], "ben", False)[-1] == hidden


def test_a_consensus_is_stored_with_the_versions_it_is_of_and_the_store_stays_clean(store: Store):
    store.people.add("ann", by="demo")
    add_scan(store)
    add_mask(store, 4, method="nnunet")
    add_mask(store, 5, method="medsam", author="ann", parent_version=1)
    with pytest.raises(InputError, match=r"at least two readers.*got 1 \(ann\)"):
        add_consensus(store, "P1", DAY1, "demo")
    add_mask(store, 5, 2, method="import", author="demo", parent_version=1)
    found = readers_of_timepoint(store, "P1", DAY1, "demo")
    assert found["readers"] == {"ann": 2, "demo": 3}
    record = add_consensus(store, "P1", DAY1, "demo")
    assert (record.version, record.method, record.author, record.parent_version) == (4, "staple", "demo", 3)
    assert record.prompts[0]["versions"] == [2, 3]
    assert np.array_equal(store.masks.load(record).array, labels(5).array)  # only one of two saw lesion 2
    assert store.verify() == []


def test_blind_reading_and_who_has_finished_are_remembered_and_audited_once(store: Store):
    store.people.add("ann", by="demo")
    add_scan(store)
    assert not store.readings.is_blind("P1", DAY1)
    for blind in (True, True, False, True):
        store.readings.set_blind("P1", DAY1, blind, "demo")
    for _ in range(2):
        store.readings.finish("P1", DAY1, "ann")
    assert store.readings.is_blind("P1", DAY1)
    assert [row.person for row in store.readings.finished("P1", DAY1)] == ["ann"]
    actions = [e["action"] for e in store.audit.entries()]
    assert (actions.count("reading.set"), actions.count("reading.finished")) == (3, 1)
    assert store.verify() == []


@pytest.mark.parametrize(("timepoint", "blind"), [(DAY2, True), (DAY1, "yes")])
def test_a_setting_that_makes_no_sense_is_refused_and_not_recorded(store: Store, timepoint: str, blind: Any):
    from core.errors import TwinReviewError

    add_scan(store)
    before = len(store.audit.entries())
    with pytest.raises(TwinReviewError):
        store.readings.set_blind("P1", timepoint, blind, "demo")
    assert len(store.audit.entries()) == before
