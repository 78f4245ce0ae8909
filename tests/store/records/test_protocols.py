"""By which rules responses are told: set by a person for a patient or a data set, kept, moved and rebuilt."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError, StoreError
from core.remembered.protocols import Flip, FollowedLesion, ResponseProtocol
from store import Store, open_store, rebuild
from tests.store.recovery.test_store_rebuild import contents
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan

RECIST = ResponseProtocol("recist-1.1")
TARGETS = (FollowedLesion("L1", "liver"), FollowedLesion("L2", "lymph node", is_node=True))


@pytest.fixture
def clinic(store: Store) -> Store:
    """P1 and P2 of one data set, P3 of another."""
    for seed, (patient, dataset) in enumerate((("P1", "set"), ("P2", "set"), ("P3", "other"))):
        add_scan(store, patient, seed=seed, dataset=dataset)
    return store


def test_a_patients_own_protocol_counts_before_that_of_the_data_set_and_the_newest_of_each(clinic: Store) -> None:
    assert clinic.protocols.of("P1") is None
    clinic.protocols.set_for_dataset("set", RECIST, "ann", "the trial's")
    assert [clinic.protocols.of(name) is not None for name in ("P1", "P2", "P3")] == [True, True, False]
    own = ResponseProtocol("rano-bm", DAY1, TARGETS, (), 5.0)
    flips = [Flip(DAY2, "SD", "PD")]
    clinic.protocols.set("P1", RECIST, "ann", "as all")
    said = clinic.protocols.set("P1", own, "bob", "a brain metastasis", flips)
    assert clinic.protocols.of("P1") == said
    assert (said.protocol, said.person, said.reason, said.flips) == (own, "bob", "a brain metastasis", tuple(flips))
    assert [one.protocol.criterion for one in clinic.protocols.history("P1")] == ["recist-1.1", "rano-bm"]
    clinic.protocols.set_for_dataset("set", ResponseProtocol("volumetric"), "ann", "volumes alone")
    found = clinic.protocols.of("P2")
    assert found is not None
    assert (found.protocol.criterion, found.dataset, found.patient_id) == ("volumetric", "set", None)
    assert clinic.protocols.of("P1") == said


def test_it_is_the_same_after_a_rebuild_and_checked_by_verify(clinic: Store, tmp_path: Path) -> None:
    clinic.protocols.set(
        "P1", ResponseProtocol("recist-1.1", DAY1, TARGETS, (FollowedLesion("L3"),)), "ann", "signed at the board"
    )
    clinic.protocols.set_for_dataset("set", RECIST, "ann", "the trial's")
    assert clinic.verify() == []
    before, root = contents(clinic), clinic.root
    clinic.close()
    rebuild(root)
    with open_store(root) as again:
        assert contents(again) == before
        again.protocols.set("P2", RECIST, "ann", "as P1")
        assert again.verify() == []


@pytest.mark.parametrize("reason", ["", "  "])
def test_it_needs_a_reason_a_patient_and_a_person(clinic: Store, reason: str) -> None:
    entries = len(clinic.audit.entries())
    with pytest.raises(InputError):
        clinic.protocols.set("P1", RECIST, "ann", reason)
    with pytest.raises(StoreError):
        clinic.protocols.set("P9", RECIST, "ann", "why")
    with pytest.raises((InputError, StoreError)):
        clinic.protocols.set("P1", RECIST, "nobody at all", "why")
    with pytest.raises(ValueError, match="neither a baseline nor targets"):
        clinic.protocols.set_for_dataset("set", ResponseProtocol("recist-1.1", DAY1), "ann", "why")
    assert len(clinic.audit.entries()) == entries


@pytest.mark.parametrize(
    "values",
    [
        {"criterion": "RECIST 1.1"},
        {"criterion": ""},
        {"baseline": "soon"},
        {"targets": ()},
        {"targets": (), "nontargets": (FollowedLesion("L1", is_node="no"),)},  # type: ignore[arg-type]
        {"targets": (FollowedLesion("total"),), "nontargets": ()},
        {"targets": (FollowedLesion("L1"),), "nontargets": (FollowedLesion("L1", "liver"),)},
        {"targets": (FollowedLesion("L1", "li\nver"),), "nontargets": ()},
        {"least_new_mm": -1.0},
        {"least_new_node_mm": float("nan")},
    ],
)
def test_what_is_no_protocol_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError):
        ResponseProtocol(**{"criterion": "recist-1.1", **values})  # type: ignore[arg-type]


@given(
    st.sampled_from([None, ()]) | st.lists(st.integers(1, 999), min_size=1, max_size=8, unique=True),
    st.booleans(),
    st.floats(0, 100),
)
def test_a_protocol_comes_back_from_json_as_it_was(numbers: list[int] | None, is_node: bool, least: float) -> None:
    targets = tuple(FollowedLesion(f"L{n}", "liver", is_node) for n in numbers) if numbers else None
    protocol = ResponseProtocol("recist-1.1", DAY1, targets, None if targets is None else (), least)
    assert ResponseProtocol.from_json(protocol.to_json()) == protocol


def test_it_goes_along_when_patients_are_merged_and_comes_back_with_what_was_withdrawn(clinic: Store) -> None:
    clinic.protocols.set("P2", ResponseProtocol("recist-1.1", DAY1), "ann", "the board's")
    add_mask(clinic, 4, patient="P1")
    withdrawn = clinic.corrections.withdraw_timepoint("P2", DAY1, reason="a slip", person="demo")
    assert clinic.protocols.history("P2") == []
    clinic.corrections.restore(withdrawn.withdrawal_id or "", person="demo", reason="it was right")
    assert [one.reason for one in clinic.protocols.history("P2")] == ["the board's"]
    assert clinic.verify() == []


def test_who_may_not_see_a_data_set_sees_none_of_its_protocols(clinic: Store) -> None:
    clinic.people.add("dan", "reader", by="demo")
    clinic.people.grant("dan", ["other"], by="demo")
    clinic.protocols.set("P1", RECIST, "ann", "the trial's")
    clinic.protocols.set_for_dataset("set", RECIST, "ann", "the trial's")
    clinic.protocols.set_for_dataset("other", RECIST, "ann", "the trial's")
    seen = clinic.seen_by("dan")
    assert seen.protocols.history("P1") == []
    assert seen.protocols.of_dataset("set") == []
    assert len(seen.protocols.of_dataset("other")) == 1
    for dataset in ("set", "elsewhere"):
        with pytest.raises(StoreError, match="no patient in a data set"):
            seen.protocols.set_for_dataset(dataset, RECIST, "dan", "mine")


def test_a_blind_reader_is_not_told_what_a_change_of_protocol_flipped(clinic: Store) -> None:
    clinic.people.add("bea", "reader", by="demo")
    clinic.protocols.set("P1", RECIST, "ann", "the trial's", [Flip(DAY1, "SD", "PD")])
    clinic.readings.set_blind("P1", DAY1, True, "demo")
    found = clinic.seen_by("bea").protocols.of("P1")
    assert found is not None
    assert found.flips == ()
    assert clinic.protocols.of("P1").flips == (Flip(DAY1, "SD", "PD"),)  # type: ignore[union-attr]
