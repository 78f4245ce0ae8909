"""Which lesion a label is: proposed, confirmed by who accepts, changed with a reason; and what is told of it then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import InputError, StoreError
from core.remembered.links import LinkChange, LinkProposal
from core.twin.timeline import patient_timeline
from core.types import MaskRecord
from store import Store, open_store, rebuild
from tests.store.recovery.test_store_rebuild import contents
from tests.store_phantom import DAY1, DAY2, VOXEL_MM3, add_mask, add_scan

#: The second file has the numbers the other way round: its label 1 is L2, its label 2 is L1.
SWAPPED = (LinkProposal(1, "L2", "stable", 0.9), LinkProposal(2, "L1", "stable", 0.8, evidence={"doubts": ["Little."]}))
WHO: dict[str, Any] = {"person": "ann", "reason": "seen beside the first scan"}


def linked(store: Store, *links: LinkProposal, voxels: tuple[int, int] = (7, 3)) -> MaskRecord:
    """P1 with an accepted mask of L1 (4 voxels) and L2 (2) on DAY1; the version of DAY2 with these links."""
    for seed, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=seed)
    add_mask(store, 4, 2)
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "good")
    return add_mask(store, *voxels, day=DAY2, links=links)


def accept(store: Store, version: int = 1, changes: tuple[LinkChange, ...] = ()) -> None:
    store.decisions.decide("P1", DAY2, version, "accept", "ann", "good", links=changes)


def voxels(store: Store, day: str = DAY2) -> dict[str, int]:
    """What is on the curves on a day, in voxels."""
    cells = patient_timeline(store, "P1").column(day)
    return {cell.lesion_id: round(cell.volume_mm3 / VOXEL_MM3) for cell in cells if cell.volume_mm3 is not None}


def said(store: Store, mask_id: str) -> dict[int | None, tuple[str | None, str, str | None]]:
    return {x.label: (x.lesion_id, x.relation, x.confirmed_by) for x in store.links.of_mask(mask_id)}


def test_a_link_is_proposed_then_confirmed_by_who_accepts_then_changed_and_all_of_it_stays(store: Store) -> None:
    mask_id = linked(store, *SWAPPED).mask_id
    assert said(store, mask_id) == {1: ("L2", "stable", None), 2: ("L1", "stable", None)}
    accept(store)
    assert said(store, mask_id) == {1: ("L2", "stable", "ann"), 2: ("L1", "stable", "ann")}
    changed = store.links.set(mask_id, 1, "L3", "bob", "it lies elsewhere")
    assert (changed.relation, changed.confirmed_by, changed.reason) == ("new", "bob", "it lies elsewhere")
    assert changed.evidence["was"] == "L2"
    assert [(x.label, x.lesion_id, x.person) for x in store.links.history(mask_id)] == [
        (1, "L2", "demo"),
        (2, "L1", "demo"),
        (1, "L2", "ann"),
        (2, "L1", "ann"),
        (1, "L3", "bob"),
        (None, "L2", "bob"),
    ]
    entry = store.audit_log(1)[0]
    assert (entry["action"], entry["person"], entry["payload"]["reason"]) == ("links.set", "bob", "it lies elsewhere")
    assert store.verify() == []


def test_record_vectors_verdict_curve_and_cohort_call_a_label_by_the_lesion_that_it_is_linked_to(store: Store) -> None:
    verdict = {"verdict": "usual", "lesions": [{"lesion_id": "L1", "p_value": 0.4}, {"lesion_id": "L2"}]}
    mask_id = linked(store, *SWAPPED).mask_id
    store.verdicts.add_mask_verdict(mask_id, verdict, "demo")
    for lesion in ("L1", "L2"):
        store.vectors.add(mask_id, lesion, "P1", [1.0], ["a"], "demo")
    accept(store)
    assert voxels(store) == {"L2": 7, "L1": 3}
    store.links.set(mask_id, 1, "L5", **WHO)
    record = store.masks.by_id(mask_id)
    assert [(x["label"], x["lesion_id"], x["voxels"]) for x in record.lesions] == [(1, "L5", 7), (2, "L1", 3)]
    assert store.masks.accepted("P1", DAY2) == store.masks.of("P1", DAY2)[0] == record
    assert sorted(vector.lesion_id for vector in store.vectors.of(mask_id)) == ["L1", "L5"]
    assert [x["lesion_id"] for x in store.verdicts.of_masks(mask_id=mask_id)[-1].lesions] == ["L5", "L1"]
    (row,) = store.views.cohort()
    assert [x["lesion_id"] for x in row.masks[-1].lesions] == ["L5", "L1"]
    assert [(x.label, x.lesion_id) for x in row.links if x.mask_id == mask_id and x.label] == [(1, "L5"), (2, "L1")]
    assert voxels(store) == {"L5": 7, "L1": 3}
    sidecar = json.loads(store.masks.path(record).with_name("mask_v001.json").read_text())
    assert [x["lesion_id"] for x in sidecar["lesions"]] == ["L1", "L2"], "the file says what it said: label numbers"


def test_who_accepts_may_say_which_lesions_they_are(store: Store) -> None:
    mask_id = linked(store, SWAPPED[0], LinkProposal(2, None, "unlinked"), LinkProposal(None, "L1", "gone")).mask_id
    assert store.masks.by_id(mask_id).lesions[1]["lesion_id"] == "unlinked-2"
    accept(store, changes=(LinkChange(2, "L1"),))
    assert said(store, mask_id) == {1: ("L2", "stable", "ann"), 2: ("L1", "stable", "ann")}, "and L1 is not gone"


def test_what_nobody_could_link_is_confirmed_by_nobody_and_on_no_curve(store: Store) -> None:
    mask_id = linked(store, LinkProposal(1, None, "unlinked"), LinkProposal(2, "L1", "stable")).mask_id
    accept(store)
    assert said(store, mask_id) == {1: (None, "unlinked", None), 2: ("L1", "stable", "ann")}
    assert [x["lesion_id"] for x in store.masks.by_id(mask_id).lesions] == ["unlinked-1", "L1"]
    assert voxels(store) == {"L1": 3}, "L2, which it may be, is not gone"


def test_masks_of_before_there_were_links_are_numbered_as_their_labels(store: Store) -> None:
    record = linked(store)
    assert store.links.of("P1", DAY2) == []
    assert [x["lesion_id"] for x in record.lesions] == ["L1", "L2"]
    accept(store)
    assert said(store, record.mask_id) == {1: ("L1", "stable", "ann"), 2: ("L2", "stable", "ann")}


@pytest.mark.parametrize(
    ("label", "lesion", "reason", "message"),
    [
        (3, "L1", "why", r"one of this version's labels \(1, 2\), got 3"),
        (1, "total", "why", "a lesion as L1, L2"),
        (1, "unlinked-1", "why", "a lesion as L1, L2"),
        (1, "L0", "why", "a lesion as L1, L2"),
        (1, "L1", "  ", "a reason in words"),
    ],
)
def test_no_link_without_a_label_a_lesion_and_a_reason(
    store: Store, label: int, lesion: str, reason: str, message: str
) -> None:
    mask_id = linked(store, *SWAPPED).mask_id
    before = store.audit_log(1)
    with pytest.raises(InputError, match=message):
        store.links.set(mask_id, label, lesion, "ann", reason)
    assert store.audit_log(1) == before


def test_what_a_person_said_stays_when_matching_says_something_else(store: Store) -> None:
    mask_id = linked(store, *SWAPPED).mask_id
    store.links.set(mask_id, 1, "L7", **WHO)
    store.links.propose(mask_id, [LinkProposal(1, "L1", "stable"), LinkProposal(2, "L2", "stable")], "demo")
    assert said(store, mask_id) == {1: ("L7", "new", "ann"), 2: ("L2", "stable", None)}


def test_nothing_is_accepted_whose_lesions_were_told_before_another_timepoint_was_accepted(store: Store) -> None:
    for seed, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=seed)
    add_mask(store, 4)
    mask_id = add_mask(store, 5, day=DAY2, links=(LinkProposal(1, "L1", "new"),)).mask_id
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "good")
    with pytest.raises(StoreError, match="cannot be accepted yet: masks of other timepoints were accepted"):
        accept(store)
    store.links.propose(mask_id, [LinkProposal(1, "L1", "stable")], "ann")
    accept(store)
    assert said(store, mask_id) == {1: ("L1", "stable", "ann")}


@pytest.mark.parametrize("lost", ["the database", "database and audit"])
def test_a_rebuild_gives_the_same_links(store: Store, lost: str) -> None:
    mask_id = linked(store, *SWAPPED).mask_id
    accept(store)
    store.links.set(mask_id, 2, None, "bob", "cannot be told")
    before, root = contents(store), store.root
    assert len(before["lesion_links"]) == 2 + 2 + 2 + 2, (
        "of DAY1's acceptance, proposed, confirmed, changed and what lost its label"
    )
    store.close()
    for name in ("twin.duckdb", *(["audit.jsonl"] if "audit" in lost else [])):
        (root / name).unlink()
    rebuild(root)
    with open_store(root) as again:
        assert contents(again) == before
        assert again.verify() == []
        assert [x["lesion_id"] for x in again.masks.by_id(mask_id).lesions] == ["L2", "unlinked-2"]


def test_links_come_back_with_a_withdrawn_timepoint_and_go_with_a_deleted_patient(store: Store) -> None:
    mask_id = linked(store, *SWAPPED).mask_id
    accept(store)
    before = store.links.of("P1")
    withdrawn = store.corrections.withdraw_timepoint("P1", DAY2, reason="wrong day", person="demo")
    assert {link.timepoint for link in store.links.of("P1")} == {DAY1}
    assert store.db.query("SELECT 1 FROM lesion_links WHERE mask_id = ?", [mask_id]) == []
    store.corrections.restore(str(withdrawn.withdrawal_id), reason="it was right", person="demo")
    assert store.links.of("P1") == before
    assert voxels(store) == {"L2": 7, "L1": 3}
    assert store.verify() == []
    store.corrections.delete_patient("P1", confirm="P1", reason="asked for it", person="demo")
    assert store.db.query("SELECT * FROM lesion_links") == []
    assert store.verify() == []


def test_who_reads_blind_sees_no_link_of_a_hidden_mask(store: Store) -> None:
    for seed, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=seed)
    of_ann = (LinkProposal(1, "L9", "new"),)
    mask_id = add_mask(store, 4, method="manual", author="ann", links=of_ann).mask_id
    own = add_mask(store, 5, method="manual", author="bob", parent_version=None, links=(LinkProposal(1, "L1", "new"),))
    store.readings.set_blind("P1", DAY1, True, "demo")
    view = store.seen_by("bob")
    assert [link.mask_id for link in view.links.of("P1")] == [own.mask_id]
    assert view.links.of_mask(mask_id) == view.links.history(mask_id) == []
    assert mask_id not in view.links.changed_ids()
    (row,) = view.views.cohort()
    assert "L9" not in repr(row)
    assert view.links.known_elsewhere(own) == frozenset()
    for change in (
        lambda: view.links.set(mask_id, 1, "L1", "bob", "the same"),
        lambda: view.links.propose(mask_id, [], "bob"),
    ):
        with pytest.raises(StoreError, match="There is no mask"):
            change()
    assert [link.lesion_id for link in store.seen_by("ann").links.of("P1")] == ["L9"]


def test_a_viewer_sets_no_links(store: Store) -> None:
    mask_id = linked(store, *SWAPPED).mask_id
    store.people.add("vera", "viewer", by="demo")
    store.people.grant("vera", ["set"], by="demo")
    view = store.seen_by("vera")
    assert [link.lesion_id for link in view.links.of_mask(mask_id)] == ["L2", "L1"]
    with pytest.raises(StoreError, match=r"links\.set"):
        view.links.set(mask_id, 1, "L1", "vera", "the same")
    with pytest.raises(StoreError, match=r"links\.proposed"):
        view.links.propose(mask_id, list(SWAPPED), "vera")


def test_a_lesion_whose_only_label_is_said_to_be_another_is_not_assessed_and_not_gone(store: Store) -> None:
    """That label 2 is a piece of L1 is no look at L2: its volume there is unknown, and not 0."""
    mask_id = linked(store).mask_id
    accept(store)
    store.links.set(mask_id, 2, "L1", **WHO)
    cell = patient_timeline(store, "P1").cell("L2", DAY2)
    assert cell is not None
    assert (cell.state, cell.volume_mm3) == ("not assessed", None)
    store.links.set(mask_id, 2, "L2", **WHO)
    again = patient_timeline(store, "P1").cell("L2", DAY2)
    assert again is not None
    assert again.state == "measured"
    assert [link.relation for link in store.links.of_mask(mask_id) if link.label is None] == []
