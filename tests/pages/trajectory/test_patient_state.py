"""What the trajectory shows is computed once for a state of the store and a person; every edit makes another."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import pytest

from core.errors import StoreError
from core.remembered.protocols import ResponseProtocol
from pages.ui.frame import resources
from pages.ui.trajectory.patient_state import PatientState, state_of
from store import Store
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan, transform


@pytest.fixture
def clinic(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """P1: two lesions, two days accepted, a third with a proposal; a treatment."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        add_scan(store, day=day, seed=seed)
        add_mask(store, 4 + seed, 2, day=day)
        if day != DAY3:
            store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    store.events.add("P1", DAY1, "drug-start", {"drug": "pazopanib"}, "ann")
    return store


def seen(store: Store, person: str = "ann") -> PatientState:
    return state_of(store.seen_by(person), "P1")


def shown(state: PatientState) -> str:
    """All that the page draws from, in one text."""
    lesions = list(state.series)
    parts = [
        state.timeline.cells, state.timeline.totals, state.timeline.why_open, state.timeline.transforms,
        state.timeline.installation, state.timeline.not_read, [vars(visit) for visit in state.timeline.visits.values()],
        state.masks, state.reviewers, state.events, state.protocol, state.simulated, state.told, state.left_out,
        [state.changes(lesion) for lesion in lesions], [state.noise(lesion) for lesion in lesions],
    ]  # fmt: skip
    return "\n".join(map(repr, parts))


def event_of(store: Store) -> str:
    return store.events.of("P1")[0].event_id


def lost(store: Store) -> None:
    record = store.masks.version("P1", DAY2, 1)
    os.rename(store.masks.path(record), store.root / "away")
    with suppress(StoreError):
        store.masks.load(record)  # it is noticed as somebody reads it


def relinked(store: Store) -> None:
    store.links.set(store.masks.version("P1", DAY2, 1).mask_id, 2, "L7", "ann", "another one")


def moved(store: Store) -> None:
    store.transforms.add("P1", transform(store), "ann")


EDITS: dict[str, Callable[[Store], object]] = {
    "accepted": lambda s: s.decisions.decide("P1", DAY3, 1, "accept", "ann", "agrees"),
    "withdrawn": lambda s: s.decisions.decide("P1", DAY2, 1, "withdraw", "ann", "a-slip"),
    "rejected": lambda s: s.decisions.decide("P1", DAY3, 1, "reject", "ann", "leak"),
    "a lesion rejected": lambda s: s.decisions.decide("P1", DAY2, 1, "reject", "ann", "leak", lesion_id="L2"),
    "a new version": lambda s: add_mask(s, 7, day=DAY3),
    "relinked": relinked,
    "a transform": moved,
    "an event": lambda s: s.events.add("P1", DAY2, "relapse", {}, "ann"),
    "an event corrected": lambda s: s.events.correct(
        event_of(s), DAY2, "drug-start", {"drug": "pazopanib"}, "ann", "the date"
    ),
    "an event withdrawn": lambda s: s.events.withdraw(event_of(s), "ann", "of another patient"),
    "a protocol": lambda s: s.protocols.set("P1", ResponseProtocol("recist-1.1", DAY2), "ann", "treatment began"),
    "a protocol of the data set": lambda s: s.protocols.set_for_dataset(
        "set", ResponseProtocol("irecist"), "demo", "the trial's"
    ),
    "a scan judged": lambda s: s.verdicts.add_scan_verdict(
        "P1", DAY2, {"state": "out of distribution", "score": 9.0}, "demo"
    ),
    "a mask judged": lambda s: s.verdicts.add_mask_verdict(
        s.masks.version("P1", DAY2, 1).mask_id, {"verdict": "unusual", "flagged": True, "p_value": 0.01}, "demo"
    ),
    "a file lost": lost,
    "a scan of another day": lambda s: add_scan(s, day="2020-08-01", seed=9),
    "read blind": lambda s: s.readings.set_blind("P1", DAY3, True, "demo"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_after_every_edit_the_page_shows_what_is_stored_then(clinic: Store, edit: str) -> None:
    before = seen(clinic)
    text = shown(before)
    with suppress(StoreError):
        EDITS[edit](clinic)
    after = seen(clinic)
    assert shown(after) != text
    assert after is seen(clinic)
    resources.clear_caches()
    assert shown(seen(clinic)) == shown(after)


def test_without_a_write_it_is_the_same_and_each_person_has_their_own(clinic: Store) -> None:
    assert seen(clinic) is seen(clinic)
    assert seen(clinic) is not seen(clinic, "bob")
    assert seen(clinic).position != seen(clinic, "bob").position


def test_what_one_reads_blind_is_in_nobody_else_s_state_of_the_page(clinic: Store) -> None:
    """ann draws DAY3 while both read it blind: it is in her state and not in bob's, whoever opens the page first."""
    clinic.readings.set_blind("P1", DAY3, True, "demo")
    drawn = add_mask(clinic, 7, day=DAY3, method="manual", author="ann")
    for people in (("ann", "bob"), ("bob", "ann")):
        resources.clear_caches()
        found = {person: {record.mask_id for record in seen(clinic, person).masks} for person in people}
        assert drawn.mask_id in found["ann"]
        assert drawn.mask_id not in found["bob"]
