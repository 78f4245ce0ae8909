"""When a version is not accepted: others read blind, it has no lesion after a tumour and no word, or was told early."""

from __future__ import annotations

import pytest

from core.errors import InputError, StoreError
from core.jobs.stages import relinking
from core.remembered.links import LinkChange, LinkProposal
from store import Store
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan

OPEN = "is read blind, and not every reader has said to have finished"


@pytest.fixture
def read(store: Store) -> Store:
    """Two days; ann drew on the first, which is read blind."""
    for n, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=n)
    add_mask(store, 3)
    add_mask(store, 4, 2, method="manual", author="ann")
    store.readings.set_blind("P1", DAY1, True, "demo")
    return store


def accept(store: Store, version: int, day: str = DAY1, comment: str = "", by: str = "bob") -> None:
    store.decisions.decide("P1", day, version, "accept", by, "agrees", comment)


def test_nobody_accepts_while_who_drew_has_not_finished_whoever_else_has(read: Store) -> None:
    for person in ("bob", "ann", "demo"):
        with pytest.raises(StoreError, match=OPEN):
            accept(read, 1, by=person)
    read.readings.finish("P1", DAY1, "bob")
    with pytest.raises(StoreError, match="Readers say so on Compare, Readers") as caught:
        accept(read, 1)
    assert "ann" not in str(caught.value), "who draws there is not told"
    read.readings.finish("P1", DAY1, "ann")
    with pytest.raises(StoreError, match="you among them"):
        accept(read, 2, by="demo")  # who may not see all of it would replace what they do not see
    accept(read, 2)
    assert read.masks.version("P1", DAY1, 2).status == "accepted"


def test_who_sees_nothing_of_the_other_s_mask_is_refused_all_the_same(read: Store) -> None:
    blind = read.seen_by("bob")
    assert [one.version for one in blind.masks.of("P1", DAY1)] == [1]
    with pytest.raises(StoreError, match=OPEN):
        blind.decisions.decide("P1", DAY1, 1, "accept", "bob", "agrees")


def test_where_nobody_drew_somebody_has_to_have_finished_and_a_rejected_reading_is_none(store: Store) -> None:
    add_scan(store)
    add_mask(store, 3)
    drawn = add_mask(store, 4, method="manual", author="ann")
    store.readings.set_blind("P1", DAY1, True, "demo")
    store.decisions.decide("P1", DAY1, drawn.version, "reject", "ann", "leak")
    with pytest.raises(StoreError, match=OPEN):
        accept(store, 1)
    store.readings.finish("P1", DAY1, "bob")
    accept(store, 1)


def test_once_it_is_not_read_blind_any_more_it_is_accepted(read: Store) -> None:
    read.readings.set_blind("P1", DAY1, False, "demo")
    accept(read, 1)


def test_an_empty_mask_after_a_tumour_needs_a_word(store: Store) -> None:
    for n, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=n)
    add_mask(store, 0, day=DAY2)
    add_mask(store, 3)
    accept(store, 1)
    for comment in ("", " x "):
        with pytest.raises(StoreError, match=f"has no lesion, .* accepted mask of {DAY1} has. Say in the comment"):
            accept(store, 1, DAY2, comment)
    accept(store, 1, DAY2, "resected")


def test_an_empty_mask_of_who_never_had_a_lesion_needs_none(store: Store) -> None:
    for n, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=n)
        add_mask(store, 0, day=day)
        accept(store, 1, day)


def split(store: Store) -> int:
    """Both labels are L1, the second by mistake."""
    add_scan(store)
    links = [LinkProposal(1, "L1", "split"), LinkProposal(2, "L1", "split")]
    return add_mask(store, 4, 2, links=links).version


def test_a_part_that_is_no_lesion_leaves_the_lesion_s_other_part(store: Store) -> None:
    version = split(store)
    relinking.accept(store, "P1", DAY1, version, "bob", "agrees", not_lesions=[2])
    record = store.masks.version("P1", DAY1, version)
    assert record.status == "accepted"
    told = [(x["label"], x["lesion_id"], bool(x.get("rejected"))) for x in record.lesions]
    assert told == [(1, "L1", False), (2, "unlinked-2", True)]


def test_what_another_label_becomes_is_not_rejected_with_the_one_that_was_it(store: Store) -> None:
    add_scan(store)
    version = add_mask(store, 4, 2).version
    relinking.accept(store, "P1", DAY1, version, "bob", "agrees", links=[LinkChange(1, "L2")], not_lesions=[2])
    told = [(x["lesion_id"], bool(x.get("rejected"))) for x in store.masks.version("P1", DAY1, version).lesions]
    assert told == [("L2", False), ("unlinked-2", True)]


def test_nothing_is_rejected_where_the_version_is_then_not_accepted(store: Store) -> None:
    version = split(store)
    with pytest.raises(InputError, match="Reject the version instead"):
        relinking.accept(store, "P1", DAY1, version, "bob", "agrees", not_lesions=[1, 2])
    store.readings.set_blind("P1", DAY1, True, "demo")
    with pytest.raises(StoreError, match=OPEN):
        relinking.accept(store, "P1", DAY1, version, "bob", "agrees", not_lesions=[2])
    assert not any(x.get("rejected") for x in store.masks.version("P1", DAY1, version).lesions)
    assert store.decisions.of("P1") == []
