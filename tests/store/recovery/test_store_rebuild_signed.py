"""Rebuilds of a history that is signed: what stands behind its signed end waits for a person."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.twin.curve_points import volume_points
from store import open_store, rebuild
from tests.store.recovery.damage import KEY, P1, acceptance, append, end_of, lose, waiting
from tests.store_phantom import ANSWER, DAY1, add_mask, add_scan

pytestmark = pytest.mark.usefixtures("no_key")


@pytest.fixture
def signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed history whose one mask was accepted, and that acceptance withdrawn."""
    monkeypatch.setenv("TWIN_AUDIT_KEY", KEY)
    with open_store(tmp_path / "data") as store:
        store.ledger.begin_signing("demo")
        add_scan(store)
        add_mask(store, 4, scans_pass=False)
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
        store.decisions.decide("P1", DAY1, 1, "withdraw", "demo", "second-look")
    return tmp_path / "data"


def test_an_unsigned_acceptance_behind_the_signed_end_waits_for_a_person(signed: Path) -> None:
    with open_store(signed) as store:
        payload = acceptance(store)
    append(signed, "mask.decided", payload)
    counts = rebuild(signed)
    assert (counts["gaps"], counts["to_affirm"]) == (0, 1)
    with open_store(signed) as store:
        assert volume_points(store, "P1") == []
        assert store.verify() == ["Entry 7 is not signed, though signing began with entry 2."]
        assert list(store.decisions.to_affirm().values()) == ["it was accepted, but its acceptance is not signed"]
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
    assert rebuild(signed)["to_affirm"] == 0
    with open_store(signed) as store:
        assert volume_points(store, "P1")


def test_without_the_key_the_longest_history_counts(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ADR 12 says of a chain without a key, so that the test above shows what the key does."""
    with open_store(signed) as store:
        payload = acceptance(store)
    append(signed, "mask.decided", payload)
    monkeypatch.delenv("TWIN_AUDIT_KEY")
    assert rebuild(signed)["to_affirm"] == 0


def test_a_longer_history_that_parts_from_the_signed_one_does_not_displace_it(signed: Path) -> None:
    """The withdrawal, entry 6, is left out and three others follow: longer by two than what was signed."""
    path = signed / "audit.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(True)[:5]))
    for number in range(3):
        payload = {"event_id": f"e{number}", "patient_id": "P1", "date": DAY1, "kind": "x", "detail": ""}
        append(signed, "event.added", payload)
    lose(signed, "twin.duckdb")
    rebuild(signed)
    assert path.read_bytes() == whole
    assert waiting(signed) == []


def test_a_signed_history_goes_on_signed_where_only_scans_and_masks_were_unknown(signed: Path) -> None:
    folder = signed / f"processed/set/P1/{DAY1}"
    values = json.loads((folder / "mask_v001.json").read_text())
    values.update(mask_id="00000000-0000-4000-8000-000000000000", version=2, status="accepted")
    (folder / "mask_v002.json").write_text(json.dumps(values))
    shutil.copy(folder / "mask_v001.nii.gz", folder / "mask_v002.nii.gz")
    lose(signed, "twin.duckdb")
    assert rebuild(signed)["adopted"] == 1
    assert len(waiting(signed)) == 1


def test_a_signed_history_without_its_signed_end_is_another_chain_and_says_so(signed: Path) -> None:
    lose(signed, "twin.duckdb", "audit.jsonl")
    end_of(signed, P1, "torn")
    assert rebuild(signed)["to_affirm"] == 1
    assert not (signed / "heads.jsonl").exists()
    with open_store(signed) as store:
        assert volume_points(store, "P1") == []
        assert ["never begun" in text for text in store.verify()] == [True]
        store.ledger.begin_signing("demo")
        assert store.verify() == []
