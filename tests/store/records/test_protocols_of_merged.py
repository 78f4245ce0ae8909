"""Lesions that a protocol names may be others once another patient's visits came to the patient: they are proposed."""

from __future__ import annotations

import pytest

from core.remembered.protocols import FollowedLesion, ResponseProtocol
from core.twin.patient_responses import responses_of
from store import Store
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan

CHOSEN = ResponseProtocol("recist-1.1", DAY1, (FollowedLesion("L1"),), ())


@pytest.fixture
def two(store: Store) -> Store:
    """P1 and P2 with an accepted mask each."""
    for seed, (patient, day) in enumerate((("P1", DAY1), ("P2", DAY2))):
        add_scan(store, patient, day, seed)
        add_mask(store, 4, patient=patient, day=day)
        store.decisions.decide(patient, day, 1, "accept", "demo", "good")
    return store


@pytest.mark.parametrize("whose", ["P1", "P2"])
def test_lesions_chosen_before_a_merge_count_no_more_until_they_are_chosen_anew(two: Store, whose: str) -> None:
    protocol = CHOSEN if whose == "P1" else ResponseProtocol("recist-1.1", None, CHOSEN.targets, ())
    two.protocols.set(whose, protocol, "ann", "the board's")
    before = responses_of(two, whose)
    assert before is not None
    assert before.in_force.targets_why == "chosen by ann"
    two.corrections.merge_patients("P2", "P1", reason="one person", person="demo")
    found = responses_of(two, "P1")
    assert found is not None
    why = "those that ann chose count no more, as visits of P2 came to the patient since"
    assert found.in_force.targets_why == f"proposed by size; {why}"
    two.protocols.set("P1", CHOSEN, "ann", "looked again")
    again = responses_of(two, "P1")
    assert again is not None
    assert again.in_force.targets_why == "chosen by ann"
