"""Which words of a person are a change of links: hand-made tables."""

from __future__ import annotations

from core.remembered.links import LinkChange, LinkProposal
from core.review.link_choices import CANNOT_TELL, NEW, NOT_A_LESION, NOT_SAID, link_table
from store import Store
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan


def table(store: Store, **choices: str):
    record = store.masks.latest("P1", DAY2)
    assert record is not None
    chosen = {name.removeprefix("label"): word for name, word in choices.items()}
    return link_table(record, store.masks.of("P1"), store.links.of_mask(record.mask_id), chosen)


def visits(store: Store) -> None:
    """L1 and L2 accepted on the first day, L1 and L7 on the third; on the second label 1 is L1, label 2 a new L8."""
    for n, day in enumerate((DAY1, DAY2, DAY3)):
        add_scan(store, day=day, seed=n)
    for day, second in ((DAY1, "L2"), (DAY3, "L7")):
        links = [LinkProposal(1, "L1", "stable"), LinkProposal(2, second, "new")]
        add_mask(store, 4, 2, day=day, links=links)
        store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    links = [LinkProposal(1, "L1", "stable"), LinkProposal(2, "L8", "new"), LinkProposal(None, "L2", "gone")]
    add_mask(store, 3, 3, day=DAY2, links=links)


def test_without_a_word_nothing_changes_and_what_is_not_there_has_a_row(store: Store) -> None:
    visits(store)
    found = table(store)
    assert [(row.label, row.chosen) for row in found.labels] == [(1, "L1"), (2, "L8")]
    assert [(row.lesion_id, row.standing) for row in found.missing] == [("L2", "gone"), ("L7", NOT_SAID)]
    assert (found.lesions, found.next_number, found.here) == (("L1", "L2", "L7", "L8"), 9, ("L1", "L8"))
    assert found.changes == found.not_lesions == ()
    assert found.before(found.labels[0]).record.timepoint == DAY1, "59 days before, not 90 after"
    assert found.before(found.labels[1]) is None


def test_words_that_differ_from_what_stands_are_changes_and_two_new_ones_have_two_numbers(store: Store) -> None:
    visits(store)
    assert table(store, label1="L1", label2=NEW, L2="gone").changes == ()
    assert table(store, label1=NEW).changes == (LinkChange(1, "L9"),)
    assert table(store, label2=CANNOT_TELL).changes == (LinkChange(2, None),)
    merged = table(store, label2="L7", L2="merged into L7")
    assert merged.changes == (LinkChange(2, "L7"), LinkChange(None, "L2", "merged into", ("L7",)))
    assert [row.lesion_id for row in merged.missing] == ["L2"], "L7 is there"
    none = table(store, label2=NOT_A_LESION)
    assert (none.changes, none.not_lesions, none.here) == ((), (2,), ("L1",))


def test_a_lesion_that_its_label_was_taken_from_gets_a_row(store: Store) -> None:
    visits(store)
    assert [row.lesion_id for row in table(store, label1="L2").missing] == ["L1", "L7"]
