"""Marks of found lesions as relevant or not: they stand until withdrawn, of two patients, and stay on record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.errors import InputError, StoreError
from core.remembered.evidence_sources import HasEvidenceQuestions, HasMarks
from core.remembered.marks import EvidenceQuestion, NewMark
from core.types import MaskRecord
from store import Store, open_store, rebuild
from store.ledger import replay
from store.ledger.audit import Entry
from store.ledger.batch import Batch
from store.seen import WITHHELD
from tests.store.recovery.test_store_rebuild import contents
from tests.store_phantom import DAY1, DAY2, DAY3, add_mark, add_mask, add_scan

WHY: dict[str, Any] = {"reason": "a slip", "person": "demo"}


@pytest.fixture
def clinic(store: Store) -> Store:
    """P1 on two days, P2 and P3 on one, X1 of another data set; a version with L1 and L2 each."""
    places = (("P1", DAY1, "set"), ("P1", DAY2, "set"), ("P2", DAY1, "set"), ("P3", DAY1, "set"), ("X1", DAY1, "other"))
    for seed, (patient, day, dataset) in enumerate(places):
        add_scan(store, patient, day, seed=seed, dataset=dataset)
        add_mask(store, 4, 2, patient=patient, day=day)
    store.people.add("ada", "adjudicator", by="demo")
    return store


def of(store: Store, patient: str, day: str = DAY1) -> MaskRecord:
    return store.masks.version(patient, day, 1)


def test_a_mark_comes_back_as_it_was_said_with_both_ends(clinic: Store) -> None:
    whole: HasMarks = clinic
    first, second = of(clinic, "P1"), of(clinic, "P2")
    said = NewMark(first.mask_id, "L1", second.mask_id, "L2", True, "both", 3, 0, "metric-1")
    made = whole.marks.add(said, "ann")
    assert (made.patient_id, made.timepoint, made.other_patient_id, made.other_timepoint) == ("P1", DAY1, "P2", DAY1)
    assert (made.lesion_id, made.other_lesion_id, made.relevant) == ("L1", "L2", True)
    assert (made.space, made.rank, made.distance, made.metric) == ("both", 3, 0.0, "metric-1")
    assert (made.person, made.stands, made.seq) == ("ann", True, clinic.audit.last()[0])
    assert whole.marks.all() == whole.marks.standing() == [made]
    assert whole.marks.standing(first.mask_id) == whole.marks.standing(first.mask_id, "L1") == [made]
    assert whole.marks.standing(first.mask_id, "L2") == whole.marks.standing(second.mask_id) == []


def test_what_is_no_mark_is_refused_and_nothing_is_recorded(clinic: Store) -> None:
    first, second = of(clinic, "P1").mask_id, of(clinic, "P2").mask_id
    before = clinic.audit.last()
    good = NewMark(first, "L1", second, "L1", True, "shape", 1, 0.5)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"relevant": 1}, "relevant or not"),
        ({"space": "colour"}, "space of shape, appearance, both"),
        ({"rank": 0}, "rank"),
        ({"rank": True}, "rank"),
        ({"distance": -0.1}, "distance"),
        ({"distance": float("nan")}, "distance"),
    ]
    for change, said in changes:
        with pytest.raises(InputError, match=said):
            replace(good, **change)
    for values, kind, said in (
        ((first, "L3", second, "L1"), StoreError, r"no lesion 'L3' in version 1 of P1 on 2020-01-01; there is L1, L2"),
        ((first, "L1", second, "L9"), StoreError, "no lesion 'L9' in version 1 of P2"),
        ((first, "L1", "none", "L1"), StoreError, "There is no mask 'none'"),
        (("none", "L1", second, "L1"), StoreError, "There is no mask 'none'"),
        ((first, "L1", of(clinic, "P1", DAY2).mask_id, "L1"), InputError, "two patients, got two of one"),
        ((first, "L1", first, "L2"), InputError, "two patients, got two of one"),
    ):
        with pytest.raises(kind, match=said):
            clinic.marks.add(NewMark(*values, True, "shape", 1, 0.5), "ann")
    assert clinic.audit.last() == before


def test_a_second_mark_of_the_same_pair_by_the_same_person_takes_the_first_back_in_one_write(clinic: Store) -> None:
    first, second, third = (of(clinic, patient) for patient in ("P1", "P2", "P3"))
    old = add_mark(clinic, first, second, "ann", relevant=True)
    others = [
        add_mark(clinic, first, second, "bob", relevant=True),
        add_mark(clinic, first, third, "ann"),
        add_mark(clinic, second, first, "ann"),
        add_mark(clinic, first, second, "ann", lesions=("L2", "L1")),
    ]
    seq = clinic.audit.last()[0]
    new = add_mark(clinic, first, second, "ann", relevant=False)
    assert clinic.audit.last()[0] == seq + 1, "one entry"
    assert clinic.marks.standing() == [*others, new]
    kept = clinic.marks.by_id(old.mark_id)
    assert (kept.stands, kept.relevant, kept.withdrawn_by, kept.withdrawn_at) == (False, True, "ann", new.created_at)
    assert len(clinic.marks.all()) == 6, "what was withdrawn stays on record"
    assert clinic.verify() == []


def test_only_ones_own_mark_is_withdrawn_unless_by_an_adjudicator_or_above(clinic: Store) -> None:
    first, second = of(clinic, "P1"), of(clinic, "P2")
    marks = [
        add_mark(clinic, first, second, "ann", lesions=pair) for pair in (("L1", "L1"), ("L1", "L2"), ("L2", "L1"))
    ]
    before = clinic.audit.last()
    with pytest.raises(StoreError, match="ann made this mark: they withdraw it, or an adjudicator"):
        clinic.marks.withdraw(marks[0].mark_id, "bob")
    with pytest.raises(StoreError, match="There is no mark 'none'"):
        clinic.marks.withdraw("none", "ann")
    assert clinic.audit.last() == before
    for mark, person in zip(marks, ("ann", "ada", "demo"), strict=True):
        clinic.marks.withdraw(mark.mark_id, person)
        kept = clinic.marks.by_id(mark.mark_id)
        assert (kept.stands, kept.withdrawn_by) == (False, person)
        with pytest.raises(StoreError, match=f"was withdrawn by {person} at 20"):
            clinic.marks.withdraw(mark.mark_id, "ann")
    assert clinic.marks.standing() == []
    again = add_mark(clinic, first, second, "ann")
    assert clinic.marks.standing() == [again]
    assert clinic.marks.by_id(marks[0].mark_id).withdrawn_at != again.created_at, "who withdrew it first stays"


def test_a_mark_is_of_the_lesion_that_its_label_is_linked_to(clinic: Store) -> None:
    first, second = of(clinic, "P1"), of(clinic, "P2")
    made = add_mark(clinic, first, second, "ann", lesions=("L1", "L2"))
    clinic.links.set(first.mask_id, 1, "L7", "ann", "seen before")
    clinic.links.set(second.mask_id, 2, None, "ann", "cannot be told")
    (mark,) = clinic.marks.standing(first.mask_id, "L7")
    assert (mark.mark_id, mark.lesion_id, mark.other_lesion_id) == (made.mark_id, "L7", "unlinked-2")
    again = clinic.marks.add(NewMark(first.mask_id, "L7", second.mask_id, "unlinked-2", False, "shape", 1, 0.5), "ann")
    assert clinic.marks.standing() == [again], "the same pair under its names of now"
    with pytest.raises(StoreError, match="there is L7, L2"):
        add_mark(clinic, first, second, "ann", lesions=("L1", "unlinked-2"))


def test_marks_are_seen_only_where_both_lesions_are(clinic: Store) -> None:
    first, second, other = (of(clinic, patient) for patient in ("P1", "P2", "X1"))
    drawn = add_mask(clinic, 5, day=DAY2, method="manual", author="ann", parent_version=1)
    seen = add_mark(clinic, first, second)
    kept = [add_mark(clinic, *ends) for ends in ((first, other), (other, first), (second, drawn), (drawn, second))]
    clinic.people.grant("bob", ["set"], by="demo")
    clinic.readings.set_blind("P1", DAY2, True, "demo")
    bob = clinic.seen_by("bob")
    assert bob.marks.all() == bob.marks.standing() == [seen]
    assert len(clinic.seen_by("demo").marks.all()) == 3, "demo reads blind as well"
    for mark in kept:
        with pytest.raises(StoreError, match="There is no mark"):
            bob.marks.withdraw(mark.mark_id, "bob")
    before = clinic.audit.last()
    for ends in ((first, other), (other, first), (second, drawn), (drawn, second)):
        with pytest.raises(StoreError, match="There is no mask"):
            add_mark(bob, *ends, person="bob")  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="another name"):
        add_mark(bob, first, second, person="ann")  # type: ignore[arg-type]
    assert clinic.audit.last() == before
    payloads = [entry["payload"] for entry in bob.audit_log(99) if entry["action"] == "mark.added"]
    assert payloads.count(WITHHELD) == 4
    for person in ("ann", "bob", "demo"):
        clinic.readings.finish("P1", DAY2, person)
    assert len(clinic.seen_by("bob").marks.all()) == 3


def test_marks_go_where_their_masks_go_and_count_no_more_where_both_are_of_one_patient(clinic: Store) -> None:
    first, second, third = (of(clinic, patient) for patient in ("P1", "P2", "P3"))
    made = add_mark(clinic, first, second)
    also = add_mark(clinic, third, second)
    clinic.corrections.move_timepoint("P2", DAY1, to_timepoint=DAY3, **WHY)
    assert [mark.other_timepoint for mark in clinic.marks.standing()] == [DAY3, DAY3]
    clinic.corrections.merge_patients("P2", "P1", **WHY)
    assert [(mark.mark_id, mark.other_patient_id) for mark in clinic.marks.standing()] == [(also.mark_id, "P1")]
    kept = clinic.marks.by_id(made.mark_id)
    assert (kept.patient_id, kept.other_patient_id, kept.stands, kept.withdrawn_at) == ("P1", "P1", False, None)
    assert clinic.verify() == []


def test_a_withdrawn_timepoint_takes_its_marks_along_at_either_end_and_brings_them_back(clinic: Store) -> None:
    first, second, third = (of(clinic, patient) for patient in ("P1", "P2", "P3"))
    marks = [add_mark(clinic, first, second), add_mark(clinic, second, third), add_mark(clinic, first, third)]
    gone = clinic.corrections.withdraw_timepoint("P2", DAY1, **WHY)
    assert clinic.marks.all() == [marks[2]]
    assert len(clinic.db.query("SELECT * FROM evidence_marks")) == 1
    away = clinic.corrections.withdraw_timepoint("P1", DAY1, **WHY)
    assert clinic.marks.all() == []
    clinic.corrections.restore(str(gone.withdrawal_id), **WHY)
    assert clinic.marks.all() == [marks[1]], "of the other nothing is seen until its own other end is back"
    clinic.corrections.restore(str(away.withdrawal_id), **WHY)
    assert [mark.mark_id for mark in clinic.marks.all()] == [mark.mark_id for mark in marks]
    assert clinic.verify() == []


def test_a_deleted_patients_marks_go_from_both_ends_also_of_what_is_withdrawn(clinic: Store) -> None:
    first, second, third = (of(clinic, patient) for patient in ("P1", "P2", "P3"))
    for ends in ((first, second), (second, first), (second, third), (of(clinic, "P1", DAY2), second)):
        add_mark(clinic, *ends)
    left = add_mark(clinic, first, third)
    gone = clinic.corrections.withdraw_timepoint("P1", DAY2, **WHY)
    clinic.corrections.delete_patient("P2", confirm="P2", **WHY)
    assert clinic.marks.all() == [left]
    clinic.corrections.restore(str(gone.withdrawal_id), **WHY)
    assert clinic.marks.all() == [left], "what was withdrawn does not bring back a mark of who was deleted"
    assert [row["mark_id"] for row in clinic.db.query("SELECT mark_id FROM evidence_marks")] == [left.mark_id]
    assert clinic.verify() == []


def test_a_patient_who_is_deleted_while_withdrawn_leaves_no_mark_either(clinic: Store) -> None:
    first, second = of(clinic, "P1"), of(clinic, "P2")
    add_mark(clinic, first, second)
    mine = clinic.corrections.withdraw_timepoint("P1", DAY1, **WHY)
    clinic.corrections.withdraw_timepoint("P2", DAY1, **WHY)
    clinic.corrections.restore(str(mine.withdrawal_id), **WHY)  # the mark is back, its other end is not
    assert len(clinic.db.query("SELECT * FROM evidence_marks")) == 1
    assert clinic.marks.all() == []
    clinic.corrections.delete_patient("P2", confirm="P2", **WHY)
    assert clinic.db.query("SELECT * FROM evidence_marks") == []
    assert clinic.verify() == []


def test_they_are_the_same_after_a_rebuild(clinic: Store) -> None:
    first, second, third = (of(clinic, patient) for patient in ("P1", "P2", "P3"))
    add_mark(clinic, first, second, relevant=False)
    add_mark(clinic, first, second)
    clinic.marks.withdraw(add_mark(clinic, second, third, "bob").mark_id, "ada")
    gone = clinic.corrections.withdraw_timepoint("P1", DAY1, **WHY)
    clinic.corrections.restore(str(gone.withdrawal_id), **WHY)
    clinic.corrections.delete_patient("P3", confirm="P3", **WHY)
    assert clinic.verify() == []
    before, root = contents(clinic), clinic.root
    clinic.close()
    rebuild(root)
    with open_store(root) as again:
        assert contents(again) == before
        assert again.verify() == []


def test_a_mark_that_the_audit_does_not_tell_is_named(clinic: Store) -> None:
    made = add_mark(clinic, of(clinic, "P1"), of(clinic, "P2"))
    clinic.db.execute("UPDATE evidence_marks SET relevant = false")
    (problem,) = clinic.verify()
    assert problem == f"The database and the audit disagree on relevant of evidence_marks row {made.mark_id}."


@pytest.mark.parametrize(
    "change",
    [{"relevant": "yes"}, {"space": "colour"}, {"rank": 0}, {"mask_id": "../x"}, {"other_lesion_id": "L1; --"}],
)
def test_an_entry_that_nobody_wrote_is_refused(clinic: Store, change: dict[str, Any]) -> None:
    add_mark(clinic, of(clinic, "P1"), of(clinic, "P2"))
    entry: Entry = clinic.audit_log(1)[0]
    replay.apply(Batch(), entry)
    entry["payload"] |= change
    with pytest.raises((StoreError, InputError)):
        replay.apply(Batch(), entry)


# ---------------------------------------------------------------- that a language model was asked


def test_that_a_model_was_asked_is_an_entry_with_neither_prompt_nor_key(clinic: Store) -> None:
    whole: HasEvidenceQuestions = clinic
    mask = of(clinic, "P1")
    clinic.links.set(mask.mask_id, 1, "L7", "ann", "seen before")
    whole.evidence_questions.record(EvidenceQuestion(mask.mask_id, "L7", "ab" * 32, "[::1]:8000", "medgemma-4b"), "ann")
    entry = clinic.audit_log(1)[0]
    assert (entry["action"], entry["person"]) == ("evidence.asked", "ann")
    assert entry["payload"] == {
        "mask_id": mask.mask_id,
        "lesion_id": "L1",
        "prompt_sha256": "ab" * 32,
        "endpoint_host": "[::1]:8000",
        "model": "medgemma-4b",
        "patient_id": "P1",
        "timepoint": DAY1,
    }
    assert clinic.verify() == []


def test_a_question_is_about_a_lesion_that_is_seen(clinic: Store) -> None:
    mask, hidden = of(clinic, "P1").mask_id, of(clinic, "X1").mask_id
    clinic.people.grant("bob", ["set"], by="demo")
    before = clinic.audit.last()
    with pytest.raises(StoreError, match="There is no mask"):
        clinic.seen_by("bob").evidence_questions.record(EvidenceQuestion(hidden, "L1", "ab" * 32, "host", "m"), "bob")
    with pytest.raises(StoreError, match="no lesion 'L3'"):
        clinic.evidence_questions.record(EvidenceQuestion(mask, "L3", "ab" * 32, "host", "m"), "bob")
    good = EvidenceQuestion(mask, "L1", "ab" * 32, "host", "m")
    for changes in (
        {"prompt_sha256": "ab"},
        {"endpoint_host": "https://host/path?key=1"},
        {"endpoint_host": "user:secret@host"},
        {"model": ""},
        {"model": "a\nb"},
    ):
        with pytest.raises(InputError):
            replace(good, **changes)
    assert clinic.audit.last() == before
