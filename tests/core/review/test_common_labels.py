"""Readers who number the same lesions otherwise: compared lesion by lesion, by what the links say."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import InputError
from core.jobs.stages.readers import add_consensus, readers_of_timepoint
from core.remembered.links import LinkChange
from core.review.common_labels import common_labels
from core.review.readers import agreement
from core.types import Grid, LabelMap
from store import Store
from tests.store_phantom import DAY1, add_mask, add_scan, labels, measures

GRID = Grid((12, 6, 6), np.eye(4))


def mask(**blocks: tuple[int, int]) -> LabelMap:
    """Blocks along i: label (after an underscore) -> from, to."""
    array = np.zeros(GRID.shape, np.uint8)
    for name, (start, stop) in blocks.items():
        array[start:stop, 1:5, 1:5] = int(name[1:])
    return LabelMap(array, GRID)


def test_lesions_are_compared_by_their_links_and_not_by_the_numbers_in_the_files():
    masks = {"ann": mask(_1=(0, 4), _2=(6, 8)), "ben": mask(_2=(0, 4), _1=(6, 8))}
    common = common_labels(masks, {"ann": {1: "L1", 2: "L2"}, "ben": {2: "L1", 1: "L2"}})
    pairs = {pair.lesion: pair.dice for pair in agreement(common.masks, common.lesion_of)}
    assert pairs == {"L1": 1.0, "L2": 1.0, "total": 1.0}


def test_pieces_of_one_lesion_come_together_and_a_number_above_255_has_a_free_label():
    masks = {"ann": mask(_1=(0, 2), _2=(4, 6)), "ben": mask(_1=(0, 6))}
    common = common_labels(masks, {"ann": {1: "L300", 2: "L300"}, "ben": {1: "L300"}})
    assert common.lesion_of == {255: "L300"}
    first, _total = agreement(common.masks, common.lesion_of)
    assert (first.lesion, first.volume_first_mm3, first.volume_second_mm3) == ("L300", 64, 96)


def test_what_nobody_could_link_is_told_by_place_and_never_by_its_label():
    """Both label 1, at two places; ann's second touches ben's: two lesions in all, and none of them is L1."""
    masks = {"ann": mask(_1=(0, 2), _2=(8, 10)), "ben": mask(_1=(9, 11))}
    linked = {"ann": {1: "unlinked-1", 2: "unlinked-2"}, "ben": {1: "unlinked-1"}}
    common = common_labels(masks, linked)
    volumes = sorted((p.volume_first_mm3, p.volume_second_mm3) for p in agreement(common.masks, common.lesion_of)[:-1])
    assert volumes == [(32, 0), (32, 32)]
    assert all(name == f"unlinked-{label}" for label, name in common.lesion_of.items())


def test_more_lesions_than_there_are_labels_are_refused_in_words():
    array = np.zeros((256, 1, 1), np.uint8)
    array[:255, 0, 0] = np.arange(1, 256)
    one = LabelMap(array, Grid(array.shape, np.eye(4)))
    names = [{n: f"L{n + shift}" for n in range(1, 256)} for shift in (0, 255)]
    with pytest.raises(InputError, match=r"at most 255 lesions.*got 510"):
        common_labels({"a": one, "b": one}, dict(zip("ab", names, strict=True)))


def test_a_consensus_has_the_lesions_that_its_readers_have_said(store: Store):
    """ann's label 1 is L2 and her label 2 is L1; demo's are as numbered. Both drew the same two blocks."""
    store.people.add("ann", by="demo")
    add_scan(store)
    swapped = LabelMap(np.array([0, 2, 1], np.uint8)[labels(5, 3).array], labels(5, 3).grid)
    of_ann = add_mask(store, 5, 3, method="manual", author="ann", parent_version=None)
    changes = [LinkChange(1, "L2"), LinkChange(2, "L1")]
    store.links.change(of_ann.mask_id, changes, "ann", "numbered otherwise")
    store.masks.add(
        swapped,
        patient_id="P1",
        timepoint=DAY1,
        method="manual",
        author="demo",
        lesions=measures(swapped),
        parent_version=None,
    )
    found = readers_of_timepoint(store, "P1", DAY1, "demo")
    assert {pair["lesion"]: pair["dice"] for pair in found["agreement"]} == {"L1": 1.0, "L2": 1.0, "total": 1.0}
    assert set(found["staple"]["readers"]["ann"]) == {"L1", "L2"}
    record = add_consensus(store, "P1", DAY1, "demo")
    volumes = {str(one["lesion_id"]): one["voxels"] for one in record.lesions}
    assert volumes == {"L2": 5, "L1": 3}
    assert {link.lesion_id for link in store.links.of_mask(record.mask_id)} == {"L1", "L2"}
    assert store.verify() == []
