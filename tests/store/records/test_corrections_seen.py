"""Who may put right what: nobody moves what they do not see, and what left the tables is told to nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.errors import StoreError
from store import SeenStore, Store
from store.seen import WITHHELD
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan


@pytest.fixture
def two(store: Store) -> Store:
    """P1 and P2 of data set "set", X1 of "other", each with an accepted mask. bob adjudicates "other", ada all."""
    for patient, day, dataset, seed in (("P1", DAY1, "set", 1), ("P2", DAY2, "set", 2), ("X1", DAY3, "other", 3)):
        add_scan(store, patient, day, seed, dataset=dataset)
        add_mask(store, 3, patient=patient, day=day)
        store.decisions.decide(patient, day, 1, "accept", "demo", "good")
    store.people.add("bob", "adjudicator", by="demo")
    store.people.add("ada", "adjudicator", by="demo")
    store.people.grant("bob", ["other"], by="demo")
    return store


def _why(person: str) -> dict[str, Any]:
    return {"reason": "a slip", "person": person}


#: What bob asks for of P1, whom he does not see; it is answered as for who never was.
UNSEEN: dict[str, Callable[[SeenStore, str], Any]] = {
    "move": lambda s, p: s.corrections.move_timepoint(p, DAY1, to_timepoint=DAY2, **_why("bob")),
    "move a scan": lambda s, p: s.corrections.move_scan(p, DAY1, "CT", to_timepoint=DAY2, **_why("bob")),
    "withdraw": lambda s, p: s.corrections.withdraw_timepoint(p, DAY1, **_why("bob")),
    "withdraw a scan": lambda s, p: s.corrections.withdraw_scan(p, DAY1, "CT", **_why("bob")),
    "merge away": lambda s, p: s.corrections.merge_patients(p, "X1", **_why("bob")),
    "merge into": lambda s, p: s.corrections.merge_patients("X1", p, **_why("bob")),
}


@pytest.mark.parametrize("what", UNSEEN)
def test_what_a_person_does_not_see_they_cannot_put_right_and_hear_nothing_of(two: Store, what: str) -> None:
    said = []
    for patient in ("P1", "P9"):
        with pytest.raises(StoreError) as caught:
            UNSEEN[what](two.seen_by("bob"), patient)
        said.append(str(caught.value).replace(patient, "…"))
    assert said[0] == said[1]
    assert two.patients.timepoints("P1") == [DAY1]


def test_nothing_moves_to_a_patient_whom_the_person_does_not_see(two: Store) -> None:
    with pytest.raises(StoreError, match="P1 belongs to another dataset"):
        two.seen_by("bob").corrections.move_timepoint("X1", DAY3, to_patient_id="P1", **_why("bob"))
    assert two.patients.timepoints("X1") == [DAY3]


def test_who_sees_both_data_sets_moves_from_one_to_the_other(two: Store) -> None:
    made = two.seen_by("ada").corrections.move_timepoint("P1", DAY1, to_patient_id="X1", **_why("ada"))
    assert made.to_affirm == 1
    (scan,) = two.scans.of("X1", DAY1)
    assert (scan.dataset, scan.path) == ("other", f"raw/other/X1/{DAY1}/CT.nii.gz")
    assert two.scans.load(scan).array.size
    assert [p.patient_id for p in two.seen_by("bob").patients.all()] == ["X1"]
    assert two.seen_by("bob").masks.of("X1", DAY1)[0].status == "proposed"
    assert two.verify(full=True) == []


def test_a_name_of_another_person_is_refused(two: Store) -> None:
    with pytest.raises(StoreError, match="under 'ada', who asks"):
        two.seen_by("ada").corrections.withdraw_timepoint("P1", DAY1, **_why("demo"))


def test_an_administrator_deletes_and_an_adjudicator_does_not(two: Store) -> None:
    with pytest.raises(StoreError, match="Expected administrator for this"):
        two.seen_by("ada").corrections.delete_patient("P1", confirm="P1", **_why("ada"))
    two.seen_by("demo").corrections.delete_patient("P1", confirm="P1", **_why("demo"))


def test_what_is_withdrawn_elsewhere_is_in_no_list_and_cannot_be_restored(two: Store) -> None:
    made = two.corrections.withdraw_timepoint("P1", DAY1, **_why("demo"))
    bob, ada = two.seen_by("bob"), two.seen_by("ada")
    assert (bob.corrections.withdrawn(), bob.corrections.history()) == ([], [])
    with pytest.raises(StoreError, match="There is no withdrawal"):
        bob.corrections.restore(str(made.withdrawal_id), **_why("bob"))
    assert [c.patient_id for c in ada.corrections.withdrawn()] == ["P1"], "though no table has P1"
    ada.corrections.restore(str(made.withdrawal_id), **_why("ada"))
    assert two.masks.accepted("P1", DAY1) is not None


@pytest.mark.parametrize("how", ["withdrawn", "deleted", "merged"])
def test_entries_about_a_patient_in_no_table_stay_hidden_from_who_never_saw_them(two: Store, how: str) -> None:
    about = [e["seq"] for e in two.audit.entries() if "P1" in str(e["payload"]) or "P2" in str(e["payload"])]
    for patient, day in (("P1", DAY1), ("P2", DAY2)):
        if how == "withdrawn":
            two.corrections.withdraw_timepoint(patient, day, **_why("demo"))
        elif how == "deleted":
            two.corrections.delete_patient(patient, confirm=patient, **_why("demo"))
    if how == "merged":
        two.corrections.merge_patients("P1", "P2", **_why("demo"))
        two.corrections.delete_patient("P2", confirm="P2", **_why("demo"))
    shown = {e["seq"]: e["payload"] for e in two.seen_by("bob").audit_log(100)}
    assert len(about) >= 6
    assert {str(shown[seq]) for seq in about} == {WITHHELD}
    assert all(e["payload"] == WITHHELD for e in two.seen_by("bob").audit_log(2))
    assert WITHHELD not in [e["payload"] for e in two.seen_by("ada").audit_log(100)]


def test_what_is_read_blind_and_not_finished_is_moved_by_nobody_who_reads_it(two: Store) -> None:
    two.people.add("eve", "reader", by="demo")
    two.readings.set_blind("P1", DAY1, True, "ada")
    add_mask(two, 5, method="manual", author="eve", parent_version=None)
    for act in (
        lambda s: s.corrections.move_timepoint("P1", DAY1, to_timepoint=DAY2, **_why("ada")),
        lambda s: s.corrections.withdraw_timepoint("P1", DAY1, **_why("ada")),
    ):
        with pytest.raises(StoreError, match="read blind and not finished"):
            act(two.seen_by("ada"))
    two.readings.finish("P1", DAY1, "eve")
    two.seen_by("ada").corrections.move_timepoint("P1", DAY1, to_timepoint=DAY2, **_why("ada"))
    assert two.readings.is_blind("P1", DAY2)
    assert [f.person for f in two.readings.finished("P1", DAY2)] == ["eve"]
    assert two.verify() == []


def test_of_a_blind_reading_that_is_withdrawn_the_audit_tells_a_reader_as_little_as_before(two: Store) -> None:
    for name in ("eve", "ann"):
        two.people.add(name, "reader", by="demo")
    two.readings.set_blind("P1", DAY1, True, "ada")
    record = add_mask(two, 5, method="manual", author="eve", parent_version=None)
    for name in ("eve", "demo"):
        two.readings.finish("P1", DAY1, name)
    two.corrections.withdraw_timepoint("P1", DAY1, **_why("demo"))
    for name, sees in (("ann", False), ("eve", True)):
        about = [e for e in two.seen_by(name).audit_log(100) if record.mask_id in str(e["payload"])]
        assert bool(about) is sees, name
