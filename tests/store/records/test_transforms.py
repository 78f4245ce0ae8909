"""Where one scan lies in another: which transform counts, either way round, and what a person said of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.errors import InputError, StoreError
from core.remembered.links import NewTransform
from store import Store, open_store, rebuild
from tests.store.recovery.test_store_rebuild import contents
from tests.store_phantom import DAY1, DAY2, add_scan

#: A quarter turn about z, then 10 mm along x.
TURNED = ((0.0, -1.0, 0.0, 10.0), (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
#: x' = -y + 10, y' = x, so x = y', y = 10 - x'.
TURNED_BACK = ((0.0, 1.0, 0.0, 0.0), (-1.0, 0.0, 0.0, 10.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


@pytest.fixture
def pair(store: Store) -> NewTransform:
    """A transform, not stored yet, between two scans of P1."""
    first, second = (add_scan(store, day=day, seed=seed).sha256 for seed, day in enumerate((DAY1, DAY2)))
    return NewTransform(DAY1, DAY2, first, second, TURNED, "good", overlap=0.9, message="found")


def made_with(transform: NewTransform, start: int) -> NewTransform:
    """The same pair, registered again from another start."""
    return replace(transform, parameters={"start": start})


def test_a_transform_is_given_either_way_round(store: Store, pair: NewTransform) -> None:
    added = store.transforms.add("P1", pair, "ann")
    assert store.transforms.between("P1", DAY1, DAY2) == added
    back = store.transforms.between("P1", DAY2, DAY1)
    assert back is not None
    assert (back.from_timepoint, back.to_timepoint) == (DAY2, DAY1)
    assert (back.from_scan_sha256, back.to_scan_sha256) == (pair.to_scan_sha256, pair.from_scan_sha256)
    assert np.allclose(back.matrix, TURNED_BACK, atol=1e-12)
    assert back.transform_id == added.transform_id
    assert store.transforms.between("P1", DAY1, DAY1) is None
    assert store.transforms.between("P1", DAY1, "2024-01-01") is None


def test_the_newest_counts_but_what_a_person_accepted_before_it(store: Store, pair: NewTransform) -> None:
    def counts() -> str:
        found = store.transforms.between("P1", DAY2, DAY1)
        assert found is not None
        return found.transform_id

    first, second = (store.transforms.add("P1", made_with(pair, n), "ann").transform_id for n in (1, 2))
    assert counts() == second
    store.transforms.judge(first, "accepted", "bob", "")
    assert counts() == first
    store.transforms.add("P1", made_with(pair, 3), "ann")
    assert counts() == first, "not undone by what is computed later"
    store.transforms.judge(first, "refused", "bob", "the spine is off by 5 mm")
    kept = store.transforms.get(first)
    assert (kept.registration_state, kept.numbers_lesions, kept.judged_by) == ("refused", False, "bob")
    assert kept.judged_reason == "the spine is off by 5 mm"
    assert counts() != first


def test_the_same_transform_again_writes_nothing(store: Store, pair: NewTransform) -> None:
    added = store.transforms.add("P1", pair, "ann")
    before = store.audit_log(1)
    assert store.transforms.add("P1", replace(pair, transform_id="another-id"), "bob") == added
    assert store.audit_log(1) == before
    store.transforms.judge(added.transform_id, "accepted", "bob", "")
    with pytest.raises(StoreError, match="was accepted by bob already"):
        store.transforms.judge(added.transform_id, "accepted", "ann", "")


def test_what_failed_numbers_nothing_until_a_person_accepts_it(store: Store, pair: NewTransform) -> None:
    failed = store.transforms.add("P1", replace(pair, state="failed"), "ann")
    assert not failed.numbers_lesions
    accepted = store.transforms.judge(failed.transform_id, "accepted", "ann", "looked at it")
    assert (accepted.registration_state, accepted.numbers_lesions) == ("accepted", True)


def test_no_transform_of_scans_that_are_not_there_or_of_no_matrix(store: Store, pair: NewTransform) -> None:
    before = store.audit_log(1)
    for wrong in (
        replace(pair, to_scan_sha256="0" * 64),
        replace(pair, from_timepoint=DAY2, to_timepoint=DAY1),
    ):
        with pytest.raises(StoreError, match="not there as it was registered"):
            store.transforms.add("P1", wrong, "ann")
    for matrix in (TURNED[:3], (*TURNED[:3], (0.0, 0.0, 1.0, 1.0)), (*TURNED[:2], (0.0, 0.0, float("nan"), 0.0))):
        with pytest.raises(InputError):
            store.transforms.add("P1", replace(pair, matrix=matrix), "ann")
    with pytest.raises(InputError, match="overlap of 0 to 1"):
        store.transforms.add("P1", replace(pair, overlap=1.2), "ann")
    assert store.audit_log(1) == before


def test_a_rebuild_gives_the_same_transforms_and_what_was_said_of_them(store: Store, pair: NewTransform) -> None:
    added = store.transforms.add("P1", pair, "ann")
    store.transforms.add("P1", made_with(pair, 2), "ann")
    judged = store.transforms.judge(added.transform_id, "accepted", "bob", "")
    before, root = contents(store), store.root
    assert len(before["transforms"]) == 2
    store.close()
    (root / "twin.duckdb").unlink()
    rebuild(root)
    with open_store(root) as again:
        assert contents(again) == before
        assert again.transforms.between("P1", DAY1, DAY2) == judged
        assert again.verify() == []


def test_a_transform_comes_back_with_its_timepoint_and_goes_with_its_patient(store: Store, pair: NewTransform) -> None:
    store.transforms.add("P1", pair, "ann")
    withdrawn = store.corrections.withdraw_timepoint("P1", DAY2, reason="wrong day", person="demo")
    assert store.transforms.of("P1") == []
    store.corrections.restore(str(withdrawn.withdrawal_id), reason="it was right", person="demo")
    assert len(store.transforms.of("P1")) == 1
    assert store.verify() == []
    store.corrections.delete_patient("P1", confirm="P1", reason="asked for it", person="demo")
    assert store.db.query("SELECT * FROM transforms") == []
    assert store.verify() == []


def test_a_transform_is_seen_by_who_sees_its_scans_and_judged_by_no_viewer(store: Store, pair: NewTransform) -> None:
    added = store.transforms.add("P1", pair, "ann")
    for name, datasets in (("vera", ["set"]), ("otto", ["other"])):
        store.people.add(name, "viewer", by="demo")
        store.people.grant(name, datasets, by="demo")
    assert store.seen_by("vera").transforms.of("P1") == [added]
    assert store.seen_by("otto").transforms.of("P1") == []
    with pytest.raises(StoreError, match=r"transform\.judged"):
        store.seen_by("vera").transforms.judge(added.transform_id, "accepted", "vera", "")
