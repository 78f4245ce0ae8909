"""How lesions look, as it is stored: one vector a lesion, encoder and modality, or why there is none."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.errors import InputError, StoreError
from core.remembered.evidence_sources import HasLooks
from core.remembered.looks import MAX_NUMBERS, LesionLook, StoredLook, no_look, pack_look, unpack_look
from core.types import MaskRecord
from store import Store, open_store, rebuild
from store.ledger.audit import Entry
from store.seen import WITHHELD
from tests.store.recovery.test_store_rebuild import contents
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan, grid, looks_of


def told(looks: list[StoredLook]) -> list[tuple[str, str, list[float], str]]:
    return [(one.lesion_id, one.encoder, one.vector.tolist(), one.why) for one in looks]


@pytest.fixture
def clinic(store: Store) -> Store:
    """P1 on two days, of which the first has an accepted version; P2 with a proposed one."""
    for seed, (patient, day) in enumerate((("P1", DAY1), ("P1", DAY2), ("P2", DAY1))):
        add_scan(store, patient, day, seed=seed)
        add_mask(store, 4, 2, patient=patient, day=day)
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "good")
    return store


@pytest.fixture
def mask(clinic: Store) -> MaskRecord:
    return clinic.masks.version("P1", DAY1, 1)


# ---------------------------------------------------------------- vectors as text


def test_a_vector_is_base64_of_little_endian_float16() -> None:
    """1.0 is 0x3C00, -2.0 is 0xC000, 65504 is 0x7BFF."""
    text = pack_look(np.array([1.0, -2.0, 65504.0]))
    assert base64.b64decode(text) == bytes.fromhex("003c00c0ff7b")
    back = unpack_look(text)
    assert back.dtype == np.float32
    assert back.tolist() == [1.0, -2.0, 65504.0]
    assert unpack_look("").shape == (0,)


@given(st.lists(st.floats(-65504, 65504), min_size=1, max_size=40))
def test_what_comes_back_is_the_same_to_half_a_step_of_float16_and_then_stays(numbers: list[float]) -> None:
    vector = np.array(numbers)
    if np.abs(vector).max() < 2.0**-24 and vector.any():  # float16's smallest number
        return
    text = pack_look(vector)
    back = unpack_look(text)
    assert np.all(np.abs(back - vector) <= np.maximum(np.abs(vector) * 2.0**-11, 2.0**-25) * (1 + 1e-9))
    assert pack_look(back) == text


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (np.zeros(0), r"1 to 4096 numbers in one dimension, got the shape \(0,\)"),
        (np.zeros((2, 3)), r"got the shape \(2, 3\)"),
        (np.float64(1.0), r"got the shape \(\)"),
        (np.zeros(MAX_NUMBERS + 1), r"got the shape \(4097,\)"),
        (np.array([1.0, np.nan, np.inf]), "got 2 of 3 that are not"),
        (np.array([1.0, -70000.0]), r"up to 65504 .* float16, got 7e\+04.*Divide the vector by its length"),
        (np.array([1e-9, -1e-12]), "tell from 0 .* Divide the vector by its length"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_words(vector: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        pack_look(vector)


@pytest.mark.parametrize("text", ["?", "AA", "AAA=" * 5000, "AHw=", "AH4=", "é"])
def test_other_text_is_no_vector(text: str) -> None:
    """AHw= is infinity, AH4= is no number; AA has no padding."""
    with pytest.raises(StoreError, match="look"):
        unpack_look(text)


def test_a_look_has_either_a_vector_or_a_reason_and_names_its_scan() -> None:
    vector: NDArray[np.float32] = np.ones(2, np.float32)
    empty: NDArray[np.float32] = np.zeros(0, np.float32)
    sha256 = "ab" * 32
    assert LesionLook("L1", "tiny", "CT", sha256, vector).is_told
    for why_not in (no_look("L1", "tiny", "no MR"), no_look("L1", "tiny", "too small", "MR", sha256)):
        assert not why_not.is_told
    for values, said in (
        (("CT", sha256, vector, "but"), "got both"),
        (("CT", sha256, empty, " "), "got neither"),
        (("", "", vector, ""), "modality"),
        (("US", sha256, vector, ""), "modality"),
        (("CT", "ab", vector, ""), "SHA-256"),
        (("CT", sha256, vector.reshape(1, 2), ""), "one dimension"),
    ):
        with pytest.raises(InputError, match=said):
            LesionLook("L1", "tiny", *values)
    for encoder in ("", "a b", "../x", "x" * 65):
        with pytest.raises(InputError, match="name of an encoder"):
            no_look("L1", encoder, "no MR")


# ---------------------------------------------------------------- the part of the store


def test_looks_come_back_with_their_mask_and_a_lesion_without_one_with_its_reason(
    clinic: Store, mask: MaskRecord
) -> None:
    whole: HasLooks = clinic
    whole.looks.add(mask.mask_id, looks_of(clinic, mask, L1=[0.1, 2.0], L2=[]), "system")
    first, second = whole.looks.of(mask.mask_id)
    assert (first.lesion_id, first.encoder, first.modality, first.why) == ("L1", "tiny", "CT", "")
    assert first.vector.tolist() == [float(np.float16(0.1)), 2.0]
    assert first.scan_sha256 == clinic.scans.reference("P1", DAY1).sha256
    assert (first.patient_id, first.timepoint, first.version, first.status) == ("P1", DAY1, 1, "accepted")
    assert (second.is_told, second.why, second.person) == (False, "too small to be looked at", "system")
    entries = [e for e in clinic.audit_log(9) if e["action"] == "look.added"]
    assert len(entries) == 1, "one entry a mask"
    assert clinic.vectors.last_change()[0] < entries[0]["seq"], "the mask gate is none the wiser"


def test_what_an_encoder_says_replaces_all_that_it_said_of_the_mask_before(clinic: Store, mask: MaskRecord) -> None:
    add_scan(clinic, "P1", DAY1, seed=9, modality="PET", where=grid((6, 5, 4)))
    pet = next(scan for scan in clinic.scans.of("P1", DAY1) if scan.modality == "PET")
    ones: NDArray[np.float32] = np.ones(2, np.float32)
    both = [LesionLook(name, "tiny", "PET", pet.sha256, ones) for name in ("L1", "L2")]
    clinic.looks.add(mask.mask_id, [*looks_of(clinic, mask), *both], "ann")
    clinic.looks.add(mask.mask_id, looks_of(clinic, mask, "other", L1=[7.0]), "ann")
    assert len(clinic.looks.of(mask.mask_id)) == 6
    clinic.looks.add(mask.mask_id, looks_of(clinic, mask, L1=[3.0], L2=[]), "bob")
    assert told(clinic.looks.of(mask.mask_id)) == [
        ("L1", "other", [7.0], ""),
        ("L1", "tiny", [3.0], ""),
        ("L2", "other", [1.0, 2.0], ""),
        ("L2", "tiny", [], "too small to be looked at"),
    ]
    assert clinic.verify() == []


def test_a_look_is_of_every_lesion_of_the_mask_on_a_scan_of_its_own_day(clinic: Store, mask: MaskRecord) -> None:
    first, second = looks_of(clinic, mask)
    strange = looks_of(clinic, clinic.masks.version("P1", DAY2, 1))
    before = clinic.audit.last()
    for looks, said in (
        ([], "got nothing"),
        ([first], r"each of the mask's lesions \(L1, L2\), got them of L1"),
        ([first, second, no_look("L3", "tiny", "x")], "got them of L1, L2, L3"),
        ([first, second, second], "got two"),
        ([first, second, no_look("L1", "other", "x")], "Expected a look by other"),
        (strange, f"Expected a look at a scan of P1 on {DAY1}"),
        ([first, no_look("unlinked-2", "tiny", "x")], "as its file numbers it"),
    ):
        with pytest.raises(InputError, match=said):
            clinic.looks.add(mask.mask_id, looks, "ann")
    with pytest.raises(StoreError, match="There is no mask"):
        clinic.looks.add("none", [first, second], "ann")
    assert clinic.audit.last() == before


def test_of_accepted_masks_neither_rejected_lesions_nor_files_that_cannot_be_read_are_given(
    clinic: Store, mask: MaskRecord
) -> None:
    proposed = clinic.masks.version("P2", DAY1, 1)
    for record in (mask, proposed):
        clinic.looks.add(record.mask_id, looks_of(clinic, record), "system")
        clinic.looks.add(record.mask_id, looks_of(clinic, record, "other"), "system")
    assert len(clinic.looks.all()) == 8
    assert {one.encoder for one in clinic.looks.all(encoder="tiny")} == {"tiny"}
    assert len(clinic.looks.all("proposed", "other")) == 2
    assert len(clinic.looks.all("accepted")) == 4
    clinic.links.set(mask.mask_id, 1, "L7", "ann", "seen before")
    clinic.decisions.decide("P1", DAY1, 1, "reject", "ann", "leak", lesion_id="L7")
    assert told(clinic.looks.all("accepted", "tiny")) == [("L2", "tiny", [1.0, 2.0], "")]
    image = clinic.masks.path(mask)
    image.rename(clinic.root / "away")
    clinic.files.check()
    assert clinic.looks.all("accepted") == []
    assert len(clinic.looks.of(mask.mask_id)) == 4, "what was looked at is kept"


def test_a_look_is_of_the_lesion_that_its_label_is_linked_to(clinic: Store, mask: MaskRecord) -> None:
    clinic.looks.add(mask.mask_id, looks_of(clinic, mask), "system")
    clinic.links.set(mask.mask_id, 2, "L7", "ann", "seen before")
    clinic.links.set(mask.mask_id, 1, None, "ann", "cannot be told")
    assert told(clinic.looks.of(mask.mask_id)) == [
        ("unlinked-1", "tiny", [1.0, 1.0], ""),
        ("L7", "tiny", [1.0, 2.0], ""),
    ]
    assert told(clinic.looks.all("accepted")) == told(clinic.looks.of(mask.mask_id))


def test_the_masks_that_were_not_looked_at_come_accepted_first_and_newest_first(clinic: Store) -> None:
    add_mask(clinic, 5, patient="P2")
    clinic.decisions.decide("P2", DAY1, 2, "accept", "ann", "good")  # version 1 is superseded
    third = add_mask(clinic, 6, patient="P2")
    fourth = add_mask(clinic, 7, patient="P2")
    ids = {(p, v): clinic.masks.version(p, d, v).mask_id for p, d, v in (("P1", DAY1, 1), ("P2", DAY1, 2))}
    proposed = clinic.masks.version("P1", DAY2, 1).mask_id
    wanted = [ids["P2", 2], ids["P1", 1], fourth.mask_id, proposed]
    assert clinic.looks.without("tiny", 99) == wanted
    assert clinic.looks.without("tiny", 2) == wanted[:2]
    assert clinic.looks.without("tiny", 0) == []
    clinic.looks.add(ids["P2", 2], looks_of(clinic, clinic.masks.by_id(ids["P2", 2]), L1=[]), "system")
    assert clinic.looks.without("tiny", 99) == wanted[1:], "why there is none is an answer"
    assert clinic.looks.without("other", 99) == wanted
    clinic.decisions.decide("P2", DAY1, 4, "reject", "ann", "leak")
    assert clinic.looks.without("tiny", 99) == [wanted[1], third.mask_id, proposed]
    add_mask(clinic, 0, patient="P2")
    assert clinic.looks.without("tiny", 99) == [wanted[1], proposed], "the newest has no lesion to look at"
    clinic.masks.path(clinic.masks.by_id(proposed)).rename(clinic.root / "away")
    clinic.files.check()
    assert clinic.looks.without("tiny", 99) == [wanted[1]], "what cannot be read is not tried for ever"


def test_a_look_at_a_scan_that_was_withdrawn_is_not_given_until_it_is_back(clinic: Store, mask: MaskRecord) -> None:
    add_scan(clinic, "P1", DAY1, seed=9, modality="PET", where=grid((6, 5, 4)))
    pet = next(scan for scan in clinic.scans.of("P1", DAY1) if scan.modality == "PET")
    ones: NDArray[np.float32] = np.ones(2, np.float32)
    looks = [LesionLook(name, "tiny", "PET", pet.sha256, ones) for name in ("L1", "L2")]
    clinic.looks.add(mask.mask_id, looks, "ann")
    assert mask.mask_id not in clinic.looks.without("tiny", 99)
    gone = clinic.corrections.withdraw_scan("P1", DAY1, "PET", reason="of another", person="demo")
    assert clinic.looks.of(mask.mask_id) == clinic.looks.all() == []
    assert mask.mask_id in clinic.looks.without("tiny", 99), "it is to be looked at without it"
    clinic.corrections.restore(str(gone.withdrawal_id), reason="it was right", person="demo")
    assert len(clinic.looks.of(mask.mask_id)) == 2
    assert clinic.verify() == []


def test_looks_go_where_their_mask_goes_and_with_a_deleted_patient(clinic: Store, mask: MaskRecord) -> None:
    add_mask(clinic, 3, 2, patient="P2")
    clinic.looks.add(mask.mask_id, looks_of(clinic, mask), "system")
    before = told(clinic.looks.all())
    clinic.corrections.move_timepoint("P1", DAY1, to_timepoint=DAY3, reason="a slip", person="demo")
    assert [(one.timepoint, one.patient_id) for one in clinic.looks.all()] == [(DAY3, "P1")] * 2
    gone = clinic.corrections.withdraw_timepoint("P1", DAY3, reason="a slip", person="demo")
    assert clinic.looks.all() == []
    assert clinic.db.query("SELECT * FROM lesion_looks") == []
    clinic.corrections.restore(str(gone.withdrawal_id), reason="it was right", person="demo")
    assert told(clinic.looks.all()) == before
    clinic.corrections.merge_patients("P1", "P2", reason="one person", person="demo")
    assert [(one.timepoint, one.patient_id) for one in clinic.looks.all()] == [(DAY3, "P2")] * 2
    assert clinic.verify() == []
    clinic.corrections.delete_patient("P2", confirm="P2", reason="asked", person="demo")
    assert clinic.db.query("SELECT * FROM lesion_looks") == []
    assert clinic.verify() == []


def test_they_are_the_same_after_a_rebuild(clinic: Store, mask: MaskRecord) -> None:
    clinic.looks.add(mask.mask_id, looks_of(clinic, mask, L2=[]), "system")
    clinic.looks.add(mask.mask_id, looks_of(clinic, mask, L1=[0.3, -0.7]), "ann")
    assert clinic.verify() == []
    before, root = contents(clinic), clinic.root
    clinic.close()
    rebuild(root)
    with open_store(root) as again:
        assert contents(again) == before
        assert again.verify() == []


def test_a_table_that_does_not_hold_what_the_audit_tells_is_named(clinic: Store, mask: MaskRecord) -> None:
    clinic.looks.add(mask.mask_id, looks_of(clinic, mask), "system")
    clinic.db.execute("UPDATE lesion_looks SET vector = ? WHERE lesion_id = 'L2'", [pack_look(np.ones(2))])
    (problem,) = clinic.verify()
    assert "disagree on vector of lesion_looks row" in problem


@pytest.mark.parametrize(
    "change",
    [
        {"vector": "AHw="},
        {"vector": "?"},
        {"why": "x"},
        {"encoder": "../x"},
        {"lesion_id": "L1; --"},
        {"modality": "US"},
    ],
)
def test_an_entry_that_nobody_wrote_is_refused(clinic: Store, mask: MaskRecord, change: dict[str, str]) -> None:
    from store.ledger import replay
    from store.ledger.batch import Batch

    clinic.looks.add(mask.mask_id, looks_of(clinic, mask), "system")
    entry: Entry = clinic.audit_log(1)[0]
    replay.apply(Batch(), entry)
    entry["payload"]["looks"][0] |= change
    with pytest.raises((StoreError, InputError)):
        replay.apply(Batch(), entry)


def test_a_reader_sees_and_adds_looks_of_what_they_see_alone(clinic: Store, mask: MaskRecord) -> None:
    add_scan(clinic, "X1", DAY1, seed=70, dataset="other")
    hidden = add_mask(clinic, 3, patient="X1")
    drawn = add_mask(clinic, 5, day=DAY2, method="manual", author="ann", parent_version=1)
    for record in (mask, hidden, drawn):
        clinic.looks.add(record.mask_id, looks_of(clinic, record), "system")
    clinic.people.grant("bob", ["set"], by="demo")
    clinic.readings.set_blind("P1", DAY2, True, "demo")
    bob = clinic.seen_by("bob")
    assert {one.mask_id for one in bob.looks.all()} == {mask.mask_id}
    assert bob.looks.of(hidden.mask_id) == bob.looks.of(drawn.mask_id) == []
    network = clinic.masks.version("P1", DAY2, 1).mask_id
    assert set(bob.looks.without("tiny", 99)) == {network, clinic.masks.version("P2", DAY1, 1).mask_id}
    for record in (hidden, drawn):
        with pytest.raises(StoreError, match="There is no mask"):
            bob.looks.add(record.mask_id, looks_of(clinic, record), "bob")
    payloads = [entry["payload"] for entry in bob.audit_log(99) if entry["action"] == "look.added"]
    assert payloads.count(WITHHELD) == 2
    bob.looks.add(mask.mask_id, looks_of(clinic, mask, L1=[5.0]), "bob")
    assert clinic.looks.of(mask.mask_id)[0].person == "bob"
