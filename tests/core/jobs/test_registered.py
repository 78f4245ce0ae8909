"""The one way to where a patient's two timepoints lie in one another: which scans, stored once, the same for all."""

from __future__ import annotations

import numpy as np
import pytest

from core.imaging.registration.transform import RigidTransform
from core.jobs.stages.linking import pair_to_register
from core.jobs.stages.relinking import computed, registered
from core.types import Scan
from store import Store
from tests.store_phantom import DAY1, DAY2, add_scan

CT, T1, T2, PET = ("CT", ""), ("MR", "T1"), ("MR", "T2"), ("PET", "")


@pytest.mark.parametrize(
    ("here", "there", "chosen"),
    [
        ([CT], [CT], (0, 0)),
        ([CT, T1], [T1], (1, 0)),  # not the reference scans, of two modalities
        ([T2, T1], [CT, T1], (1, 1)),  # a sequence that both have
        ([T2], [CT, T1], (0, 1)),  # else a modality
        ([CT, PET], [T1, PET], (0, 0)),  # a PET shows too little
        ([CT], [T1, T2], (0, 0)),
    ],
)
def test_scans_of_one_modality_and_sequence_are_registered_before_the_reference_scans(here, there, chosen):
    assert pair_to_register(here, there) == chosen


class _Aligned:
    """Stands in for the seconds of a registration, and remembers of which scans it was asked for."""

    def __init__(self, meanwhile=lambda: None) -> None:
        self.asked: list[tuple[str, str]] = []
        self.meanwhile = meanwhile

    def __call__(self, first: Scan, second: Scan) -> RigidTransform:
        self.asked.append((first.scan_id, second.scan_id))
        self.meanwhile()
        return RigidTransform(np.eye(4), 1.2, "good", 0.0, "converged", overlap=1.0)


def test_a_pair_is_computed_once_of_the_scans_of_one_modality_and_is_the_same_for_all(store: Store):
    add_scan(store, day=DAY1, seed=1)
    mr = add_scan(store, day=DAY1, seed=2, modality="MR", sequence="T1")
    later = add_scan(store, day=DAY2, seed=3, modality="MR", sequence="T1")
    assert store.scans.reference("P1", DAY1).modality == "CT"
    align = _Aligned()
    found = registered(store, "P1", DAY1, DAY2, "demo", align=align)
    assert align.asked == [(mr.scan_id, later.scan_id)]
    assert (found.from_scan_sha256, found.to_scan_sha256) == (mr.sha256, later.sha256)
    assert registered(store, "P1", DAY1, DAY2, "ben", align=align) == found
    back = registered(store, "P1", DAY2, DAY1, "ben", align=align)
    assert (back.transform_id, back.from_timepoint) == (found.transform_id, DAY2)
    assert len(align.asked) == 1


def test_what_another_stored_while_it_was_computed_counts_and_is_stored_once(store: Store):
    for seed, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=seed)
    first: list[str] = []

    def meanwhile() -> None:
        first.append(registered(store, "P1", DAY1, DAY2, "ann", align=_Aligned()).transform_id)

    found = registered(store, "P1", DAY1, DAY2, "ben", align=_Aligned(meanwhile))
    assert [found.transform_id] == first == [one.transform_id for one in store.transforms.of("P1")]


def test_what_is_computed_to_be_looked_at_is_not_stored(store: Store):
    for seed, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=seed)
    assert computed(store, "P1", DAY1, DAY2, _Aligned()).state == "good"
    assert store.transforms.of("P1") == []
