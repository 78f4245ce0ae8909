"""What a person gets to see of the store: no more than was granted, nothing of what others read blind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.access import ADMINISTRATOR, Scope
from core.errors import StoreError
from core.remembered.rows import NewEvent
from core.review.blind_reading import Hidden
from core.twin.curve_points import volume_points
from core.twin.outcomes import cohort
from store import SeenStore, Store, open_store, rebuild
from store.ledger import scope as rules
from store.seen import WITHHELD
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan, busy_history, with_people

ROOT = Path(__file__).resolve().parents[2]
#: Of one whose grant names no data set at all.
NOTHING: Scope = Scope("ann", "reader", (), ())


def _two(store: Store) -> Store:
    busy_history(store)
    add_scan(store, "X1", DAY1, seed=90, dataset="other")
    add_mask(store, 3, patient="X1")
    store.decisions.decide("X1", DAY1, 1, "accept", "demo", "good")
    store.jobs.create("segment", {"patient_id": "X1", "timepoint": DAY1}, "demo")
    store.people.grant("bob", ["other"], by="demo")
    return store


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """P1 and P2 of data set "set" with every kind of record, X1 of "other"; bob sees "other" alone. Nothing of it is
    changed by a test."""
    with open_store(tmp_path_factory.mktemp("two") / "data") as store:
        yield _two(with_people(store, "ann", "bob"))


@pytest.fixture
def own_two(store: Store) -> Store:
    """The same, to be changed."""
    return _two(store)


#: part.method -> what it gives of everybody.
LISTS: dict[str, Callable[[SeenStore | Store], Any]] = {
    "patients.all": lambda s: s.patients.all(),
    "patients.datasets": lambda s: s.patients.datasets(),
    "masks.of_all": lambda s: s.masks.of_all(),
    "masks.files": lambda s: s.masks.files(),
    "masks.losses": lambda s: s.masks.losses(),
    "scans.files": lambda s: s.scans.files(),
    "vectors.all": lambda s: s.vectors.all(),
    "vectors.accepted": lambda s: s.vectors.all("accepted"),
    "looks.all": lambda s: s.looks.all(),
    "looks.accepted": lambda s: s.looks.all("accepted"),
    "looks.without": lambda s: [(s.masks.by_id(one).patient_id, one) for one in s.looks.without("other", 99)],
    "marks.all": lambda s: s.marks.all(),
    "marks.standing": lambda s: s.marks.standing(),
    "verdicts.of_scans": lambda s: s.verdicts.of_scans(),
    "verdicts.of_masks": lambda s: s.verdicts.of_masks(),
    "views.worklist": lambda s: s.views.worklist(),
    "views.quality": lambda s: s.views.quality(),
    "views.cohort": lambda s: s.views.cohort(),
    "jobs.newest": lambda s: s.jobs.newest(),
    "files.doubted": lambda s: s.files.doubted(),
    "drafts.of": lambda s: s.drafts.of(),
}
#: The same of one patient.
OF_PATIENT: dict[str, Callable[[SeenStore | Store, str], Any]] = {
    "patients.timepoints": lambda s, p: s.patients.timepoints(p),
    "scans.of": lambda s, p: s.scans.of(p),
    "scans.problems": lambda s, p: s.scans.problems(p),
    "masks.of": lambda s, p: s.masks.of(p),
    "masks.problems": lambda s, p: s.masks.problems(p),
    "masks.latest": lambda s, p: s.masks.latest(p, DAY1),
    "masks.accepted": lambda s, p: s.masks.accepted(p, DAY1),
    "decisions.of": lambda s, p: s.decisions.of(p),
    "verdicts.of_masks": lambda s, p: s.verdicts.of_masks(p),
    "events.of": lambda s, p: s.events.of(p),
    "events.history": lambda s, p: s.events.history(p),
    "forecasts.of": lambda s, p: s.forecasts.of(p),
    "readings.finished": lambda s, p: s.readings.finished(p, DAY1),
    "drafts.of": lambda s, p: s.drafts.of(p),
}


def test_every_table_has_a_rule_who_may_see_it(store: Store) -> None:
    tables = {row["table_name"] for row in store.db.query("SELECT table_name FROM duckdb_tables()")}
    assert tables == (set(rules.RULES) & tables) | rules.OPEN, "a new table: say in store.ledger.scope who sees it"
    assert not set(rules.RULES) & rules.OPEN


@pytest.mark.parametrize("sql", ["SELECT * FROM main.masks", "SELECT * FROM no_rule", "SELECT 1 FROM patients JOIN x"])
def test_a_table_without_a_rule_is_refused(sql: str) -> None:
    with pytest.raises(StoreError, match="Expected a table with a rule"):
        rules.scoped(NOTHING, sql)


def test_a_name_stands_after_those_that_it_reads() -> None:
    names = list(rules.RULES)
    for number, name in enumerate(names):
        assert rules._read_by(rules.RULES[name]) <= set(names[:number]), f"{name} would read a whole table"


def test_who_sees_everything_asks_just_what_was_asked() -> None:
    everything = Scope("demo", ADMINISTRATOR, None, ())
    assert rules.scoped(everything, "SELECT * FROM masks WHERE mask_id = ?", ["x"]) == (
        "SELECT * FROM masks WHERE mask_id = ?",
        ["x"],
    )


def test_work_on_the_installation_is_its_starters_and_the_administrators(store: Store) -> None:
    """What `verify` found names patients; how well the gate does is for all. So it is with every data set, with one
    alone, and while something is read blind."""
    jobs = {kind: store.jobs.create(kind, {}, "demo") for kind in ("verify", "evaluate_ood")}
    jobs["of ann"] = store.jobs.create("learn", {}, "ann")
    jobs["of bob"] = store.jobs.create("learn", {}, "bob")
    store.people.grant("bob", ["other"], by="demo")
    for _ in ("open", "blind"):
        for person, seen in (
            ("demo", set(jobs)),
            ("ann", {"evaluate_ood", "of ann"}),
            ("bob", {"evaluate_ood", "of bob"}),
        ):
            listed = {job.job_id for job in store.seen_by(person).jobs.newest()}
            assert {name for name, job_id in jobs.items() if job_id in listed} == seen
        with pytest.raises(StoreError, match="There is no job"):
            store.seen_by("ann").jobs.get(jobs["verify"])
        if not store.patients.all():
            add_scan(store)
            store.readings.set_blind("P1", DAY1, True, "demo")


@pytest.mark.parametrize("part", LISTS)
def test_of_a_data_set_that_was_not_granted_nothing_is_listed(part: str, two: Store) -> None:
    told = repr(LISTS[part](two.seen_by("bob")))
    assert not re.search(r"'P[12]'|/P[12]/|'set'", told)
    if LISTS[part](two) and "X1" in repr(LISTS[part](two)):
        assert "X1" in told, "what was granted is there"


@pytest.mark.parametrize("part", OF_PATIENT)
def test_a_patient_of_another_data_set_is_as_one_who_is_not_there(part: str, two: Store) -> None:
    asked, bob = OF_PATIENT[part], two.seen_by("bob")
    assert asked(bob, "P1") == asked(bob, "NOBODY")
    assert asked(bob, "X1") == asked(two, "X1")


def test_of_blind_reading_elsewhere_nothing_is_told(two: Store) -> None:
    assert two.readings.closed_to("bob") == [("P1", DAY2)]
    assert two.seen_by("bob").scope.closed == ()


def test_what_is_asked_by_id_is_not_there_either(two: Store) -> None:
    bob, mask = two.seen_by("bob"), two.masks.version("P1", DAY1, 2)
    job = two.jobs.newest()[-1].job_id
    for asked, unknown in (
        (lambda: bob.patients.require("P1"), lambda: bob.patients.require("NOBODY")),
        (lambda: bob.masks.by_id(mask.mask_id), lambda: bob.masks.by_id("0" * 8)),
        (lambda: bob.masks.version("P1", DAY1, 2), lambda: bob.masks.version("NOBODY", DAY1, 2)),
        (lambda: bob.scans.reference("P1", DAY1), lambda: bob.scans.reference("NOBODY", DAY1)),
        (lambda: bob.jobs.get(job), lambda: bob.jobs.get("0" * 32)),
    ):
        with pytest.raises(StoreError) as refused:
            asked()
        with pytest.raises(StoreError) as missing:
            unknown()
        words = re.compile(r"'[^']*'")
        assert words.sub("", str(refused.value)) == words.sub("", str(missing.value))


#: What bob tries on P1, whom he does not see.
WRITES: dict[str, Callable[[SeenStore], Any]] = {
    "mask": lambda s: add_mask(s, 4, author="bob", parent_version=None),  # type: ignore[arg-type]
    "decision": lambda s: s.decisions.decide("P1", DAY1, 3, "accept", "bob", "good"),
    "loss": lambda s: s.losses.mark_lost("P1", DAY1, 1, "gone", "bob"),
    "scan verdict": lambda s: s.verdicts.add_scan_verdict("P1", DAY1, {"state": "in distribution"}, "bob"),
    "event": lambda s: s.events.add("P1", DAY1, "steroids", "4 mg", "bob"),
    "events of several": lambda s: s.events.add_all([NewEvent(p, DAY1, "relapse", {}) for p in ("X1", "P1")], "bob"),
    "fit": lambda s: s.forecasts.add("P1", "L1", "gompertz", {}, "bob"),
    "job": lambda s: s.jobs.create("segment", {"patient_id": "P1", "timepoint": DAY1}, "bob"),
    "reading": lambda s: s.readings.finish("P1", DAY1, "bob"),
    "draft": lambda s: s.drafts.begin("P1", DAY1, 1, "bob"),
    "scan": lambda s: add_scan(s, "P1", DAY2, seed=7, person="bob", modality="MR"),  # type: ignore[arg-type]
    "scan of a new patient": lambda s: add_scan(s, "P9", seed=7, person="bob"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", WRITES)
def test_nothing_is_written_about_a_patient_who_is_not_seen(what: str, two: Store) -> None:
    before = two.audit.last()
    with pytest.raises(StoreError) as refused:
        WRITES[what](two.seen_by("bob"))
    assert two.audit.last() == before
    assert "P2" not in str(refused.value)


def test_an_image_that_is_there_already_is_refused_without_saying_whose_it_is(two: Store) -> None:
    bob = two.seen_by("bob")
    with pytest.raises(StoreError, match="already: in a data set that was not granted to you") as refused:
        add_scan(bob, "X2", DAY1, seed=1, dataset="other", person="bob")  # type: ignore[arg-type]
    assert "P1" not in str(refused.value)
    with pytest.raises(StoreError, match="belongs to another dataset, not other"):
        add_scan(bob, "P1", DAY1, seed=77, dataset="other", person="bob")  # type: ignore[arg-type]


def test_only_under_ones_own_name(two: Store) -> None:
    before = two.audit.last()
    with pytest.raises(StoreError, match="got another name"):
        two.seen_by("bob").events.add("X1", DAY1, "steroids", "4 mg", "demo")
    with pytest.raises(StoreError, match="got another name"):
        two.seen_by("demo").jobs.update(two.jobs.newest()[0].job_id, status="done")
    assert two.audit.last() == before


def test_strangers_and_who_is_disabled_see_nothing(own_two: Store) -> None:
    own_two.people.disable("bob", by="demo")
    for name, said in (("bob", "disabled"), ("nobody", "another name"), ("system", "another name")):
        with pytest.raises(StoreError, match=said):
            own_two.seen_by(name)


def test_the_audit_withholds_what_is_about_other_data_sets_and_verify_is_for_administrators(two: Store) -> None:
    bob = two.seen_by("bob")
    told = bob.audit_log(1000)
    assert len(told) == len(two.audit_log(1000)), "that something happened is no secret, what is"
    assert not re.search(r"\bP[12]\b", repr([entry["payload"] for entry in told]))
    assert any("X1" in repr(entry["payload"]) for entry in told)
    assert sum(entry["payload"] == WITHHELD for entry in told) > 20
    for refused in (bob.verify, bob.remarks):
        with pytest.raises(StoreError, match="Expected an administrator"):
            refused()
    assert two.seen_by("demo").verify() == two.verify()
    assert not Hidden.of(two, two.seen_by("demo").scope).patients


def test_a_grant_is_in_the_audit_ends_tokens_and_is_replayed(own_two: Store) -> None:
    before = own_two.people.named("bob")
    assert before is not None
    own_two.people.grant("bob", ["set", "other", "set"], by="demo")
    after = own_two.people.named("bob")
    assert after is not None
    assert (after.datasets, after.changes) == (("other", "set"), before.changes + 1)
    seq = own_two.audit.last()
    own_two.people.grant("bob", ["other", "set"], by="demo")
    assert own_two.audit.last() == seq, "the same again is no news"
    assert {patient.patient_id for patient in own_two.seen_by("bob").patients.all()} == {"P1", "P2", "X1"}
    own_two.people.grant("bob", [], by="demo")
    assert own_two.seen_by("bob").patients.all() == []
    own_two.people.grant("bob", None, by="demo")
    assert len(own_two.seen_by("bob").patients.all()) == 3
    own_two.people.grant("bob", ["other"], by="demo")
    known = own_two.people.named("bob")
    assert own_two.verify() == []
    own_two.close()
    rebuild(own_two.root)
    with open_store(own_two.root) as again:
        assert again.people.named("bob") == known


def test_an_administrator_sees_all_and_cannot_be_narrowed(own_two: Store) -> None:
    with pytest.raises(StoreError, match="sees every data set"):
        own_two.people.grant("demo", ["set"], by="demo")
    own_two.people.add("bob", "administrator", by="demo")
    assert len(own_two.seen_by("bob").patients.all()) == 3
    own_two.people.add("bob", "reader", by="demo")
    assert len(own_two.seen_by("bob").patients.all()) == 1, "what was granted is not forgotten meanwhile"


# ---------------------------------------------------------------- blind reading


@pytest.fixture
def blind(store: Store) -> Store:
    """P1: DAY1 is not read blind, v1 accepted. DAY2 is: v1 by the network, v2 by ann (accepted), v3 by bob; neither has
    finished. demo fitted the curve, and ann's job is in the list."""
    for day, seed in ((DAY1, 1), (DAY2, 2)):
        add_scan(store, "P1", day, seed)
        add_mask(store, 3, day=day)
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    store.people.add("ada", "adjudicator", by="demo")
    ann = add_mask(store, 7, day=DAY2, method="manual", author="ann", parent_version=1)
    store.vectors.add(ann.mask_id, "L1", "P1", [1.0], ["a"], "ann")
    add_mask(store, 5, day=DAY2, method="manual", author="bob", parent_version=1)
    store.decisions.decide("P1", DAY2, 2, "accept", "ann", "good")
    store.readings.set_blind("P1", DAY2, True, "ada")
    store.forecasts.add("P1", "L1", "gompertz", {"masks": [ann.mask_id], "volume_mm3": ann.volume_mm3}, "ann")
    store.jobs.create("refine", {"patient_id": "P1", "timepoint": DAY2}, "ann")
    return store


def test_a_blind_reader_sees_neither_masks_nor_curve_nor_cohort_nor_fits_nor_jobs_of_others(blind: Store) -> None:
    bob, ann = blind.seen_by("bob"), blind.seen_by("ann")
    assert [record.version for record in bob.masks.of("P1", DAY2)] == [1, 3]
    assert [record.version for record in ann.masks.of("P1", DAY2)] == [1, 2]
    assert bob.masks.accepted("P1", DAY2) is None
    assert {point.timepoint for point in volume_points(bob, "P1")} == {DAY1}
    assert {point.timepoint for point in volume_points(ann, "P1")} == {DAY1, DAY2}
    accepted = [len(row.accepted) for row in (*bob.views.cohort(), *ann.views.cohort())]
    assert accepted == [1, 2]
    assert repr(cohort(bob)) != repr(cohort(ann))
    versions = [version.version for row in bob.views.worklist() if row.timepoint == DAY2 for version in row.versions]
    assert versions == [1, 3]
    assert (bob.forecasts.of("P1"), len(ann.forecasts.of("P1"))) == ([], 1)
    assert [job.kind for job in bob.jobs.newest()] == []
    assert [job.kind for job in ann.jobs.newest()] == ["refine"]
    assert (bob.vectors.all("accepted"), len(ann.vectors.all("accepted"))) == ([], 1)
    assert [decision.reviewer for decision in bob.decisions.of("P1", DAY2)] == []
    blind.readings.finish("P1", DAY2, "bob")
    assert [record.version for record in blind.seen_by("bob").masks.of("P1", DAY2)] == [1, 2, 3]
    assert len(blind.seen_by("bob").forecasts.of("P1")) == 1


def test_a_version_number_is_free_also_where_others_are_hidden(blind: Store) -> None:
    bob = blind.seen_by("bob")
    made = add_mask(bob, 6, day=DAY2, method="manual", author="bob", parent_version=3)  # type: ignore[arg-type]
    assert made.version == 4
    with pytest.raises(StoreError, match=r"There is no mask version 2 .*; there is 1, 3, 4"):
        bob.decisions.decide("P1", DAY2, 2, "reject", "bob", "leak")


def test_one_version_is_accepted_once_nobody_is_blind_to_the_other(blind: Store) -> None:
    for person in ("ann", "bob"):
        with pytest.raises(StoreError, match="is read blind"):
            blind.seen_by("bob").decisions.decide("P1", DAY2, 3, "accept", "bob", "good")
        blind.readings.finish("P1", DAY2, person)
    blind.seen_by("bob").decisions.decide("P1", DAY2, 3, "accept", "bob", "good")
    assert [(r.version, r.status) for r in blind.masks.of("P1", DAY2)] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "accepted"),
    ]


def test_an_adjudicator_sees_the_readings_once_every_reader_has_finished(blind: Store) -> None:
    def seen() -> list[int]:
        return [record.version for record in blind.seen_by("ada").masks.of("P1", DAY2)]

    assert seen() == [1]
    blind.readings.finish("P1", DAY2, "ann")
    assert seen() == [1], "bob has not"
    blind.readings.finish("P1", DAY2, "bob")
    assert seen() == [1, 2, 3]
    add_mask(blind, 2, day=DAY2, method="manual", author="ada", parent_version=1)
    assert seen() == [1, 4], "who draws is a reader"
    blind.readings.finish("P1", DAY2, "ada")
    assert seen() == [1, 2, 3, 4]


def test_only_adjudicators_and_administrators_set_blind_reading(blind: Store) -> None:
    with pytest.raises(StoreError, match=r"Expected adjudicator or administrator for this \(reading.set\)"):
        blind.seen_by("ann").readings.set_blind("P1", DAY1, True, "ann")
    blind.seen_by("ada").readings.set_blind("P1", DAY1, True, "ada")
    assert blind.readings.is_blind("P1", DAY1)


def test_a_draft_is_its_drawers_alone(blind: Store) -> None:
    draft = blind.seen_by("ann").drafts.begin("P1", DAY2, 2, "ann")
    for other in ("bob", "demo"):
        view = blind.seen_by(other)
        assert view.drafts.of("P1") == []
        for touch in (view.drafts.get, view.drafts.discard, lambda i, v=view: v.drafts.edit(i, 0, b"")):
            with pytest.raises(StoreError, match="saved or discarded meanwhile"):
                touch(draft.draft_id)
    assert blind.seen_by("ann").drafts.of("P1") == [draft]


def test_few_places_ask_about_what_the_person_may_not_see() -> None:
    """Each is named here, with what it does with the answer."""
    asked = {
        "store/files/drafts.py": 1,  # that somebody draws there: what is put right would leave their draft behind
        "store/files/file_checks.py": 7,  # whether a file is as it was stored is nobody's secret, and not told
        "store/records/corrections.py": 5,  # what goes along, and what would be mixed; both ends are theirs to see
        "store/records/decisions.py": 1,  # whether somebody still reads blind there; the sentence names nobody
        "store/records/jobs.py": 2,  # how far a job is, of the job itself
        "store/records/links.py": 1,  # which lesions the labels are of every version that a decision may supersede
        "store/records/masks.py": 1,  # which number is free, which version was accepted before
        "store/records/readings.py": 2,  # who has finished decides what is closed
        "store/records/scans.py": 4,  # an image, an id that is taken, UIDs a mask names; the sentence names nothing
    }
    found = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("_ledger.whole")
        for folder in ("store/records", "store/files")
        for path in (ROOT / folder).glob("*.py")
    }
    assert {name: n for name, n in found.items() if n} == {name: n for name, n in asked.items() if n}
