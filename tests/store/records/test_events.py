"""Events are entered through checks, corrected and withdrawn with a reason, and all of it stays on record."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InputError, StoreError
from core.remembered.rows import NewEvent
from core.twin.cohort_records import CohortRecords
from store import Store, open_store, rebuild
from store.database.migrations import MIGRATIONS, migrate
from tests.store.recovery.test_store_rebuild import contents
from tests.store_phantom import DAY1, DAY2, DAY3, add_scan

HIP: dict[str, Any] = {"technique": "vmat", "site": "left hip", "dose_gy": 50, "fractions": 25, "end_date": DAY2}
WHO: dict[str, Any] = {"person": "ann", "reason": "the letter says otherwise"}


@pytest.fixture
def events(store: Store) -> Store:
    add_scan(store)
    add_scan(store, "P2", DAY2, seed=2)
    return store


def test_what_was_corrected_or_withdrawn_is_told_no_more_and_stays_with_who_and_why(events: Store) -> None:
    first = events.events.add("P1", DAY1, "radiotherapy", HIP, "demo")
    second = events.events.correct(first, DAY1, "radiotherapy", HIP | {"dose_gy": 60}, **WHO)
    gone = events.events.add("P1", DAY2, "relapse", {}, "demo")
    events.events.withdraw(gone, **WHO)
    (now,) = events.events.of("P1")
    assert (now.event_id, now.detail["dose_gy"], now.person) == (second, 60, "ann")
    told = [
        (e.event_id, e.stands, e.corrects, e.replaced_by, e.withdrawn_by, e.withdrawn_reason)
        for e in events.events.history("P1")
    ]
    why = WHO["reason"]
    assert told == [
        (first, False, None, second, "ann", why),
        (second, True, first, None, None, None),
        (gone, False, None, None, "ann", why),
    ]
    assert [e["action"] for e in events.audit_log(4)] == [
        "event.withdrawn",
        "event.added",
        "event.corrected",
        "event.added",
    ]
    (row,) = (one for one in events.views.cohort() if one.patient_id == "P1")
    assert [e.event_id for e in row.events] == [second]
    records = CohortRecords(events.views.cohort(), events.scans, events.reference_sets)
    assert records.events.of("P1") == events.events.of("P1")


def test_a_rebuilt_database_has_the_same_events_and_verify_finds_every_change_of_them(events: Store) -> None:
    first = events.events.add("P1", DAY1, "drug-start", {"drug": "doxorubicin", "dose": 75, "unit": "mg/m2"}, "demo")
    events.events.correct(first, DAY2, "drug-start", {"drug": "doxorubicin"}, **WHO)
    both = [NewEvent("P1", DAY2, "drug-stop", {"drug": "doxorubicin"}), NewEvent("P2", DAY2, "surgery", {})]
    events.events.withdraw(events.events.add_all(both, "ann")[1], **WHO)
    events.corrections.merge_patients("P2", "P1", reason="one person", person="demo")
    assert events.verify() == []
    before, history = contents(events), events.events.history("P1")
    assert len(history) == 4
    events.close()
    rebuild(events.root)
    with open_store(events.root) as again:
        assert contents(again) == before
        assert again.events.history("P1") == history
        again.db.execute("UPDATE events SET withdrawn_at = NULL, withdrawn_by = NULL WHERE event_id = ?", [first])
        assert any("events row" in problem for problem in again.verify())


def test_events_go_with_a_patient_who_is_withdrawn_and_come_back_as_they_were(events: Store) -> None:
    kept = events.events.add("P2", DAY1, "steroids", "4 mg", "demo")
    gone = events.events.add("P2", DAY1, "surgery", {"procedure": "biopsy"}, "demo")
    events.events.withdraw(gone, **WHO)
    history = events.events.history("P2")
    events.corrections.withdraw_timepoint("P2", DAY2, reason="nobody's", person="demo")
    assert events.events.history("P2") == []
    with pytest.raises(StoreError, match="no event"):
        events.events.withdraw(kept, **WHO)
    (one,) = events.corrections.withdrawn()
    events.corrections.restore(str(one.withdrawal_id), reason="it was right", person="demo")
    assert events.events.history("P2") == history
    assert events.verify() == []
    events.corrections.delete_patient("P2", confirm="P2", reason="asked", person="demo")
    assert events.db.query("SELECT * FROM events") == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s, e: s.events.withdraw(e, "ann", "  "), "a reason in words"),
        (lambda s, e: s.events.withdraw("no-such-event", "ann", "x"), "no event 'no-such-event'"),
        (lambda s, e: s.events.correct(e, DAY1, "radiotherapy", HIP, "ann", "x"), "something else than what stands"),
        (
            lambda s, e: s.events.correct(e, DAY1, "radiotherapy", {"technique": "magic"}, "ann", "x"),
            "technique as one",
        ),
        (lambda s, e: s.events.add("P1", DAY1, "radiotherapy", HIP | {"dose_gy": 5000}, "ann"), "0.1 to 200"),
        (lambda s, e: s.events.add("P1", DAY1, "drug-start", {"drug": "x", "brand": "y"}, "ann"), "got brand"),
        (lambda s, e: s.events.add("P9", DAY1, "relapse", {}, "ann"), "no patient 'P9'"),
        (lambda s, e: s.events.add_all([], "ann"), "at least one"),
        (
            lambda s, e: s.events.add_all(
                [NewEvent("P1", DAY1, "relapse", {}), NewEvent("P9", DAY1, "death", {})], "ann"
            ),
            "no patient 'P9'",
        ),
        (lambda s, e: s.events.add_all([NewEvent("P1", d, "death", {}) for d in (DAY1, DAY2)], "ann"), "one death"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_recorded(events: Store, change: Any, said: str) -> None:
    event = events.events.add("P1", DAY1, "radiotherapy", HIP, "demo")
    before = events.audit.last()
    with pytest.raises((InputError, StoreError), match=said):
        change(events, event)
    assert events.audit.last() == before
    assert [one.event_id for one in events.events.history("P1")] == [event]


def test_nobody_dies_twice_but_a_death_can_be_corrected_and_taken_back(events: Store) -> None:
    death = events.events.add("P1", DAY2, "death", {"cause": "of disease"}, "demo")
    events.events.add("P2", DAY2, "death", {}, "demo")
    with pytest.raises(InputError, match=f"one death of P1, got that of {DAY3} beside the one of {DAY2}"):
        events.events.add("P1", DAY3, "death", {}, "demo")
    later = events.events.correct(death, DAY3, "death", {"cause": "of disease"}, **WHO)
    with pytest.raises(StoreError, match=f"was corrected by ann .*{later} stands in its place"):
        events.events.withdraw(death, **WHO)
    events.events.withdraw(later, **WHO)
    assert events.events.add("P1", DAY1, "death", {}, "demo")


def test_free_text_and_other_kinds_are_kept_as_they_come(events: Store) -> None:
    for kind, detail in (("treatment-start", "doxorubicin"), ("radiotherapy", "50 Gy"), ("house", {"any": [1, "x"]})):
        events.events.add("P1", DAY1, kind, detail, "demo")
    assert [(e.kind, e.detail) for e in events.events.of("P1")] == [
        ("treatment-start", "doxorubicin"),
        ("radiotherapy", "50 Gy"),
        ("house", {"any": [1, "x"]}),
    ]


def test_a_store_of_before_keeps_its_events_and_they_stand(store: Store) -> None:
    add_scan(store)
    event = store.events.add("P1", DAY1, "steroids", "4 mg", "demo")
    number = next(n for n, one in enumerate(MIGRATIONS) if "events corrected" in one.name) + 1
    for column in ("place", "corrects", "replaced_by", "withdrawn_by", "withdrawn_at", "withdrawn_reason"):
        store.db.execute(f"ALTER TABLE events DROP COLUMN {column}")
    for later in ("protocols", "hand_measurements", "lesion_looks", "evidence_marks"):
        store.db.execute(f"DROP TABLE {later}")
    store.db.execute("ALTER TABLE decisions DROP COLUMN answered")
    store.db.execute("DELETE FROM schema_version WHERE version >= ?", [number])
    migrate(store.db)
    assert [one.event_id for one in store.events.of("P1")] == [event]
    assert store.events.history("P1")[0].stands
    assert store.verify() == []
