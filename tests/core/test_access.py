"""Who may write what: names that were added, roles that mean something, and the audit names the one who acted."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cli
from core import access
from core.errors import InputError, StoreError
from core.remembered.links import LinkProposal, NewTransform
from core.remembered.marks import EvidenceQuestion
from core.remembered.protocols import ResponseProtocol
from core.remembered.rows import NewEvent
from store import Store, open_store, rebuild
from store.files.drafts import pack_edit
from store.ledger import heads, replay
from store.ledger.actors import check_actor
from store.values import check_person, check_text, check_texts
from tests.store_phantom import (
    DAY1,
    DAY2,
    DAY3,
    SHAPE,
    add_length,
    add_mark,
    add_mask,
    add_scan,
    add_study,
    labels,
    looks_of,
)

BOB = access.Identity("https://id.example.org", "account-7", "bob@example.org")


def _gone(store: Store, version: int) -> None:
    """The file of a version is moved away."""
    os.rename(store.root / f"processed/set/P1/{DAY1}/mask_v00{version}.nii.gz", store.root / f"away-{version}")


#: Patients with a scan each, of whom something is put right; of P10 and P11 something is withdrawn already.
PUT_RIGHT = ("P5", "P6", "P7", "P8", "P10", "P11", "P12", "P13")


@pytest.fixture
def room(store: Store) -> Store:
    """P1 with three versions: the file of the second is gone, that of the third was marked lost and is back."""
    add_scan(store)
    add_scan(store, day=DAY3, seed=60)
    store.transforms.add("P1", _transform(store, "the room"), "demo")
    store.events.add("P1", DAY1, "steroids", "2 mg", "demo")
    add_length(store, "demo")
    for first in (3, 4, 5):
        add_mask(store, first, parent_version=None)
    for version in (2, 3):
        _gone(store, version)
    store.losses.mark_lost("P1", DAY1, 3, "a disk broke", "demo")
    os.rename(store.root / "away-3", store.root / f"processed/set/P1/{DAY1}/mask_v003.nii.gz")
    for number, patient in enumerate(PUT_RIGHT):
        add_scan(store, patient, DAY2, seed=20 + number)
    add_scan(store, "P11", DAY2, seed=40, modality="PET")
    store.corrections.withdraw_timepoint("P10", DAY2, reason="nobody's", person="demo")
    store.corrections.withdraw_scan("P11", DAY2, "PET", reason="nobody's", person="demo")
    add_scan(store, "P14", DAY1, seed=50)
    add_mark(store, store.masks.version("P1", DAY1, 3), add_mask(store, 4, patient="P14"), "bob")
    store.people.add("vic", "viewer", by="demo")
    store.people.add("eve", "reader", by="demo")
    store.people.disable("eve", by="demo")
    return store


def _transform(store: Store, made_with: str) -> NewTransform:
    """Between the two scans of P1, which lie in one place."""
    first, second = (store.scans.reference("P1", day).sha256 for day in (DAY1, DAY3))
    same = tuple(tuple(float(i == j) for j in range(4)) for i in range(4))
    return NewTransform(DAY1, DAY3, first, second, same, "good", parameters={"by": made_with})


def _mask_id(store: Store) -> str:
    return store.masks.version("P1", DAY1, 1).mask_id


#: action of the audit -> a write of that kind under a name.
def _sign(store: Store, who: str) -> Any:
    store.ledger.signing_key = heads.Key(b"a key of this test", "test")
    try:
        return store.ledger.begin_signing(who)
    except BaseException:
        store.ledger.signing_key = None
        raise


def _restore(store: Store, patient: str, who: str) -> Any:
    (one,) = [c for c in store.corrections.withdrawn() if c.patient_id == patient and c.person == "demo"]
    return store.corrections.restore(str(one.withdrawal_id), reason="it was right", person=who)


WRITES: dict[str, Callable[[Store, str], Any]] = {
    "person.added": lambda s, who: s.people.add("new", "reader", by=who),
    "role.set": lambda s, who: s.people.add("bob", "viewer", by=who),
    "person.disabled": lambda s, who: s.people.disable("bob", by=who),
    "person.enabled": lambda s, who: s.people.enable("eve", by=who),
    "person.identified": lambda s, who: s.people.identify("bob", BOB, by=who),
    "grant.set": lambda s, who: s.people.grant("bob", ["set"], by=who),
    "scan.added": lambda s, who: add_scan(s, "P9", seed=9, person=who),
    "mask.added": lambda s, who: add_mask(s, 6, parent_version=1, author=who),
    "study.added": lambda s, who: add_study(s, "P9", person=who),
    "mask.decided": lambda s, who: s.decisions.decide("P1", DAY1, 1, "accept", who, "good"),
    "links.set": lambda s, who: s.links.set(_mask_id(s), 1, "L3", who, "the same place"),
    "links.proposed": lambda s, who: s.links.propose(_mask_id(s), [LinkProposal(1, "L1", "new")], who),
    "transform.added": lambda s, who: s.transforms.add("P1", _transform(s, who), who),
    "transform.judged": lambda s, who: s.transforms.judge(s.transforms.of("P1")[0].transform_id, "accepted", who, ""),
    "mask.lost": lambda s, who: s.losses.mark_lost("P1", DAY1, 2, "a disk broke", who),
    "mask.found": lambda s, who: s.losses.mark_found("P1", DAY1, 3, who),
    "mask.scored": lambda s, who: s.verdicts.add_mask_verdict(_mask_id(s), {"verdict": "usual"}, who),
    "ood.scored": lambda s, who: s.verdicts.add_scan_verdict(
        "P1", DAY1, {"state": "in distribution", "score": 0.5}, who
    ),
    "event.added": lambda s, who: s.events.add("P1", DAY1, "steroids", "4 mg", who),
    "protocol.set": lambda s, who: s.protocols.set("P1", ResponseProtocol("recist-1.1"), who, "the trial's"),
    "events.imported": lambda s, who: s.events.add_all([NewEvent("P1", DAY1, "relapse", {})], who),
    "event.corrected": lambda s, who: s.events.correct(
        s.events.of("P1")[0].event_id, DAY1, "steroids", who, who, "a slip"
    ),
    "event.withdrawn": lambda s, who: s.events.withdraw(s.events.of("P1")[0].event_id, who, "a slip"),
    "measurement.added": lambda s, who: add_length(s, who),
    "measurement.withdrawn": lambda s, who: s.measurements.withdraw(
        s.measurements.of("P1")[0].measurement_id, who, "a slip"
    ),
    "growth.fitted": lambda s, who: s.forecasts.add("P1", "L1", "gompertz", {"rate": 0.1}, who),
    "model.used": lambda s, who: s.models.add("lite", "ab" * 32, {}, who),
    "reference_set.added": lambda s, who: s.reference_sets.add("mask-gate", {}, who),
    "gate_reference.set": lambda s, who: s.reference_sets.add("scan-gate-in-force", {}, who),
    "vector.added": lambda s, who: s.vectors.add(_mask_id(s), "L1", "P1", [1.0], ["a"], who),
    "look.added": lambda s, who: s.looks.add(_mask_id(s), looks_of(s, s.masks.version("P1", DAY1, 1)), who),
    "mark.added": lambda s, who: add_mark(s, s.masks.version("P1", DAY1, 3), s.masks.of("P14")[0], who),
    "mark.withdrawn": lambda s, who: s.marks.withdraw(
        min(s.marks.standing(), key=lambda mark: mark.person != who).mark_id, who
    ),
    "evidence.asked": lambda s, who: s.evidence_questions.record(
        EvidenceQuestion(s.masks.version("P1", DAY1, 3).mask_id, "L1", "ab" * 32, "localhost:8000", "small"), who
    ),
    "reading.set": lambda s, who: s.readings.set_blind("P1", DAY1, True, who),
    "reading.finished": lambda s, who: s.readings.finish("P1", DAY1, who),
    "job.created": lambda s, who: s.jobs.create("segment", {}, who),
    "timepoint.moved": lambda s, who: s.corrections.move_timepoint(
        "P5", DAY2, to_timepoint=DAY3, reason="a slip", person=who
    ),
    "scan.moved": lambda s, who: s.corrections.move_scan(
        "P6", DAY2, "CT", to_timepoint=DAY3, reason="a slip", person=who
    ),
    "timepoint.withdrawn": lambda s, who: s.corrections.withdraw_timepoint("P7", DAY2, reason="a slip", person=who),
    "scan.withdrawn": lambda s, who: s.corrections.withdraw_scan("P8", DAY2, "CT", reason="a slip", person=who),
    "timepoint.restored": lambda s, who: _restore(s, "P10", who),
    "scan.restored": lambda s, who: _restore(s, "P11", who),
    "patients.merged": lambda s, who: s.corrections.merge_patients("P12", "P1", reason="one person", person=who),
    "patient.deleted": lambda s, who: s.corrections.delete_patient("P13", confirm="P13", reason="asked", person=who),
    "audit.signing": lambda s, who: _sign(s, who),
    "job.cancelled": lambda s, who: s.jobs.update(s.jobs.create("segment", {}, "demo"), status="cancelled", person=who),
}
STORE_ALONE = {action for action, roles in access.ACTIONS.items() if roles == {access.SYSTEM}}


@pytest.mark.parametrize(
    ("role", "closed", "everything"),
    [
        ("administrator", (), True),
        ("administrator", (("P1", DAY1),), False),
        ("adjudicator", (), False),
        ("reader", (), False),
        ("viewer", (("P1", DAY1),), False),
    ],
)
def test_nothing_is_kept_from_an_administrator_who_reads_nothing_blind(
    role: str, closed: tuple[tuple[str, str], ...], everything: bool
):
    assert access.Scope("ann", role, None, closed).is_everything is everything


def test_a_grant_narrows_everybody_but_administrators():
    for role in access.ROLES:
        assert access.datasets_of(role, None) is None, "nobody has said anything"
        for granted in ((), ("set",), ("other", "set")):
            assert access.datasets_of(role, granted) == (None if role == "administrator" else granted)


def test_every_action_of_the_audit_has_its_line_and_its_write_here():
    assert set(replay.ACTIONS) == set(access.ACTIONS) - {"draft.edited", "store.verified", "identifiers.read"}
    assert set(WRITES) == set(replay.ACTIONS) - STORE_ALONE
    for action in access.ACTIONS:
        assert not access.may(access.VIEWER, action), "a viewer changes nothing"
        assert access.may(access.READER, action) <= access.may(access.ADJUDICATOR, action)
        assert not access.may(None, action)
        assert not access.may("admin", action), "a word that is no role may nothing"
    assert not access.may(access.ADMINISTRATOR, "no.such.action")


@pytest.mark.parametrize("who", ["vic", "nobody", "system", "eve"])
def test_a_viewer_a_stranger_the_stores_own_name_and_who_is_disabled_can_write_nothing(room: Store, who: str):
    said = {"vic": "is viewer", "nobody": "Nobody added 'nobody'", "system": "", "eve": "was disabled"}[who]
    for action, write in WRITES.items():
        if who == access.SYSTEM and access.may(who, action):
            continue  # what the store does by itself
        before = room.audit.entries()
        with pytest.raises((StoreError, InputError)) as caught:
            write(room, who)
        assert said in str(caught.value)
        made = room.audit.entries()[len(before) :]
        assert {(e["action"], e["person"]) for e in made} <= {("job.created", "demo")}, (
            "the job that is to be cancelled"
        )
    assert all("is missing" in problem or "is lost" in problem for problem in room.verify())


def test_a_reader_may_do_all_but_what_is_for_others_and_the_audit_names_them(room: Store):
    room.people.add("cy", "administrator", by="demo")
    for action, write in WRITES.items():
        who = "ann" if access.may(access.READER, action) else "cy"
        write(room, who)
        assert next(e for e in room.audit_log(9) if e["action"] == action)["person"] == who


def test_a_person_is_added_by_an_administrator_whom_the_audit_names(store: Store):
    with pytest.raises(StoreError, match=r"Expected administrator for this .*'ann' is reader"):
        store.people.add("cy", by="ann")
    store.people.add("cy", "viewer", by="demo")
    (entry,) = store.audit_log(1)
    assert (entry["person"], entry["payload"]) == ("demo", {"name": "cy", "role": "viewer"})
    store.people.add("cy", "viewer", by="demo")
    assert store.audit_log(1) == [entry], "the same again is no news"
    with pytest.raises(InputError, match="viewer, reader, adjudicator, administrator, got 'admin'"):
        store.people.add("cy", "admin", by="demo")


def test_the_last_administrator_stays_one(store: Store):
    with pytest.raises(StoreError, match="only administrator"):
        store.people.add("demo", "reader", by="demo")
    store.people.add("ann", "administrator", by="demo")
    store.people.add("demo", "viewer", by="ann")
    assert store.people.role_of("demo") == "viewer"
    with pytest.raises(StoreError, match="only administrator"):
        store.people.add("ann", "viewer", by="ann")


def test_where_nobody_is_administrator_a_reviewer_makes_one_and_a_viewer_does_not(store: Store):
    store.db.execute("UPDATE people SET role = 'reviewer' WHERE name = 'demo'")  # a store of before roles
    store.db.execute("UPDATE people SET role = 'viewer' WHERE name = 'bob'")
    with pytest.raises(StoreError, match="'bob' is viewer"):
        store.people.add("bob", "administrator", by="bob")
    store.people.add("ann", "administrator", by="ann")
    with pytest.raises(StoreError, match="'demo' is reader"):
        store.people.add("demo", "administrator", by="demo")


def test_the_last_administrator_who_is_let_in_is_not_disabled(store: Store):
    with pytest.raises(StoreError, match="only administrator"):
        store.people.disable("demo", by="demo")
    store.people.add("ann", "administrator", by="demo")
    store.people.disable("demo", by="ann")
    with pytest.raises(StoreError, match="only administrator"):
        store.people.disable("ann", by="ann")
    with pytest.raises(StoreError, match="only administrator"):
        store.people.add("ann", "viewer", by="ann")
    with pytest.raises(StoreError, match="'demo' was disabled"):
        store.people.enable("demo", by="demo")
    store.people.enable("demo", by="ann")
    assert store.people.may("demo", "person.disabled")


def test_a_change_of_what_somebody_may_is_in_the_audit_and_replayed(store: Store):
    store.people.identify("ann", BOB, by="demo")
    store.people.disable("ann", by="demo")
    store.people.add("ann", "viewer", by="demo")
    said = [(entry["action"], entry["payload"]) for entry in reversed(store.audit_log(3))]
    assert said == [
        ("person.identified", {"name": "ann", "issuer": BOB.issuer, "subject": BOB.subject, "email": BOB.email}),
        ("person.disabled", {"name": "ann"}),
        ("role.set", {"name": "ann", "role": "viewer"}),
    ]
    assert store.people.with_identity(BOB) == store.people.named("ann")
    ann = store.people.named("ann")
    assert ann is not None
    assert (ann.role, ann.identity, ann.disabled, ann.changes) == ("viewer", BOB, True, 3)
    assert store.verify() == []
    store.close()
    rebuild(store.root)
    with open_store(store.root) as again:
        assert again.people.named("ann") == ann


def test_an_account_is_one_person_s_alone_and_may_be_taken_back(store: Store):
    store.people.identify("ann", BOB, by="demo")
    before = store.audit_log(1)
    store.people.identify("ann", BOB, by="demo")
    assert store.audit_log(1) == before, "the same again is no news"
    with pytest.raises(StoreError, match="signs in as 'ann' already"):
        store.people.identify("bob", BOB, by="demo")
    with pytest.raises(StoreError, match="Nobody added 'cy'"):
        store.people.identify("cy", BOB, by="demo")
    store.people.identify("ann", None, by="demo")
    assert store.people.with_identity(BOB) is None
    store.people.identify("bob", BOB, by="demo")
    assert store.people.with_identity(BOB) == store.people.named("bob")
    for issuer, subject in (("", "x"), ("x", ""), ("x", "y" * 256), ("x\x00", "y"), (" x", "y")):
        with pytest.raises(InputError, match="Expected the"):
            store.people.identify("bob", access.Identity(issuer, subject), by="demo")


def test_a_new_store_knows_one_administrator(tmp_path):
    with open_store(tmp_path / "data") as store:
        assert [(p.name, p.role) for p in store.people.all()] == [("demo", "administrator")]


def test_a_viewer_opens_edits_and_discards_no_draft(room: Store):
    with pytest.raises(StoreError, match="'vic' is viewer"):
        room.drafts.begin("P1", DAY1, 1, "vic")
    draft = room.drafts.begin("P1", DAY1, 1, "ann")
    edit = pack_edit({2: labels(3).array[:, :, 2]}, None, "brush")
    assert room.drafts.edit(draft.draft_id, 0, edit) == 1
    room.people.add("ann", "viewer", by="demo")  # while she draws
    with pytest.raises(StoreError, match="'ann' is viewer"):
        room.drafts.edit(draft.draft_id, 1, edit)
    with pytest.raises(StoreError, match="'ann' is viewer"):
        room.drafts.discard(draft.draft_id)
    assert room.drafts.get(draft.draft_id).revision == 1
    assert room.drafts.get(draft.draft_id).shape == SHAPE


def test_who_cancels_a_job_is_named_and_what_the_job_reports_is_the_stores_own(room: Store):
    job = room.jobs.create("segment", {}, "ann")
    room.jobs.update(job, status="running")
    room.jobs.update(job, message="Cancelling", person="bob")
    room.jobs.update(job, status="cancelled", message="stopped")
    said = [(e["action"], e["person"]) for e in reversed(room.audit_log(4))]
    assert said == [
        ("job.created", "ann"),
        ("job.updated", "system"),
        ("job.cancelled", "bob"),
        ("job.updated", "system"),
    ]
    assert room.jobs.get(job).person == "ann"


def test_people_are_listed_and_added_by_a_verb(store: Store, capsys: Any):
    root = str(store.root)
    store.close()
    verb = ["person", "add", "cy", "--role", "viewer", "--data", root, "--reviewer", "demo", "--json"]
    assert cli.main(verb) == 0
    assert {p["name"]: p["role"] for p in json.loads(capsys.readouterr().out)}["cy"] == "viewer"
    assert cli.main(["person", "add", "dee", "--data", root, "--reviewer", "cy"]) == 1
    assert "'cy' is viewer" in capsys.readouterr().err
    assert cli.main(["person", "list", "--data", root, "--json"]) == 0
    assert "dee" not in capsys.readouterr().out
    assert cli.main(["person", "add", "--data", root, "--reviewer", "demo"]) == 1


@given(st.text(max_size=70))
def test_a_name_is_printable_and_begins_with_a_letter_or_digit(name: str):
    try:
        check_person(name)
    except InputError:
        return
    assert 1 <= len(name) <= 64
    assert name[0].isalnum()
    assert name == name.strip()
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in name)
    json.dumps(name).encode("ascii")
    name.encode("utf-8")


def test_names_that_a_table_or_a_page_would_misread_are_refused(store: Store):
    for name in ("=HYPERLINK(1)", "+1", "-x", "@x", " ann", "ann ", "a\u202eb", "a\nb", "a" * 65, ""):
        with pytest.raises(InputError, match="name of a person"):
            store.people.add(name, by="demo")
    for name in ("system", "System"):
        with pytest.raises(InputError, match="the store itself"):
            store.people.add(name, by="demo")


def test_unseen_characters_are_refused_in_every_text_however_deep(store: Store):
    add_scan(store)
    for bad in ("\x00", "\x1b[31m", "\x85", "\u202e", "\u2066", "\u200f", "\u2028", "\ud800", "\ufeff"):
        for detail in (f"x{bad}", {"drug": f"x{bad}"}, {f"x{bad}": 1}, [{"a": ["b", f"x{bad}"]}]):
            with pytest.raises(InputError, match="plain text"):
                store.events.add("P1", DAY1, "steroids", detail, "demo")
        with pytest.raises(InputError, match="plain text"):
            check_text("comment", bad)
    assert store.events.of("P1") == []
    assert check_texts("detail", {"a": ["two\nlines\tand é", 1, None]})


def test_pages_are_told_beforehand_what_the_store_would_refuse(store: Store):
    store.people.add("vic", "viewer", by="demo")
    for action in access.ACTIONS:
        for name, role in (("demo", "administrator"), ("ann", "reader"), ("vic", "viewer"), ("nobody", None)):
            assert store.people.may(name, action) == access.may(role, action)
            if not access.may(role, action):
                with pytest.raises(StoreError):
                    check_actor(store.db, action, name)
    assert not store.people.may("system", "store.recovered"), "no person is the store"
