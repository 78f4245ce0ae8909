"""One write: what is refused, what is undone, what is made good later, what is signed; and rows as values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.errors import StoreError
from core.types import Prompt
from store import Store, open_store
from store.database.connection import times_open_here
from store.ledger import heads, ledgers
from store.ledger.writing import Ledger, mask_of, value_of, where
from tests.store_phantom import DAY1, add_mask, add_scan

KEY = "a key of a test, not of a clinic"


def _event(store: Store) -> None:
    store.events.add("P1", DAY1, "steroids", "4 mg", "demo")


def test_a_ledger_is_made_in_an_empty_folder_for_writing_and_knows_one_person(tmp_path: Path) -> None:
    with Ledger(tmp_path / "data") as ledger:
        assert not ledger.read_only
        (entry,) = ledger.audit.entries()
        assert (entry["action"], entry["payload"]) == ("person.added", {"name": "demo", "role": "administrator"})
    with Ledger(tmp_path / "data") as ledger:
        assert len(ledger.audit.entries()) == 1, "once"


def test_a_store_that_is_not_opened_is_let_go_of(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    (tmp_path / "journal.json").write_text("{}")
    with pytest.raises(StoreError, match="is not a write of this store"):
        open_store(tmp_path)
    assert times_open_here(tmp_path / "twin.duckdb") == 0


def test_nothing_is_written_over_a_file_that_is_there(store: Store) -> None:
    add_scan(store)
    place = f"raw/set/P1/{DAY1}/PET.nii.gz"
    (store.root / place).write_bytes(b"theirs")
    before = store.audit.last()
    with pytest.raises(StoreError, match=f"The file {place} is there already and is never overwritten"):
        add_scan(store, seed=2, modality="PET")
    assert (store.root / place).read_bytes() == b"theirs"
    assert not (store.root / f"raw/set/P1/{DAY1}/PET.json").exists()
    assert store.audit.last() == before


@pytest.mark.parametrize(
    ("refusal", "why"), [(OSError(28, "No space left"), "No space left"), (StoreError("A link."), "A link.")]
)
def test_what_is_recorded_and_cannot_be_followed_is_completed_by_the_next_write(
    store: Store, monkeypatch: pytest.MonkeyPatch, refusal: Exception, why: str
) -> None:
    add_scan(store)
    add_mask(store, 3)

    def refuses(*_: object) -> None:
        raise refusal

    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "append", refuses)
        with pytest.raises(StoreError, match=rf"recorded, but the data folder refused to follow \({why}\)"):
            store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    assert (store.root / "journal.json").exists()
    _event(store)
    assert not (store.root / "journal.json").exists()
    assert store.verify() == []
    assert [entry["action"] for entry in store.audit_log(2)] == ["event.added", "mask.decided"]


def test_what_the_journal_explains_is_no_difference_at_the_next_opening(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_scan(store)

    def refuses(*_: object) -> None:
        raise StoreError("A link.")

    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "append", refuses)
        with pytest.raises(StoreError, match="The change is recorded"):
            _event(store)
    store.close()
    with open_store(store.root) as again:
        assert again.recovered == []
        assert again.audit_log(1)[0]["action"] == "event.added"
        assert again.verify() == []


def test_an_entry_goes_to_the_ledger_of_its_patient_also_if_it_names_a_mask_alone(store: Store) -> None:
    add_scan(store)
    made = add_mask(store, 3)
    store.verdicts.add_mask_verdict(made.mask_id, {"verdict": "usual"}, "demo")
    store.models.add("lite", "ab" * 32, {}, "demo")
    last = {name: (store.root / name).read_text().splitlines()[-1] for name in ledgers.there(store.root)}
    assert {name: json.loads(line)["action"] for name, line in last.items()} == {
        "processed/set/P1/ledger.jsonl": "mask.scored",
        "processed/ledger.jsonl": "model.used",
    }


def test_nothing_is_signed_before_signing_begins_nor_after_it_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWIN_AUDIT_KEY", KEY)
    file = tmp_path / "heads.jsonl"
    with open_store(tmp_path) as store:
        add_scan(store)
        store.people.add("ann", "reader", by="demo")
        with pytest.raises(StoreError, match="'ann' is reader"):
            store.ledger.begin_signing("ann")
        _event(store)
        assert not file.exists()
    with open_store(tmp_path, read_only=True) as store, pytest.raises(StoreError, match="open for looking only"):
        store.ledger.begin_signing("demo")
    with open_store(tmp_path) as store:
        assert store.ledger.verify_heads(store.audit.entries()) != [], "a key is set, and nothing is signed"
        first = store.ledger.begin_signing("demo")["seq"]
        _event(store)
        assert store.ledger.verify_heads(store.audit.entries()) == []
    with open_store(tmp_path) as store:
        _event(store)
        assert heads.signed_seqs(file) == [first, first + 1, first + 2]
        with pytest.raises(StoreError, match="begun already"):
            store.ledger.begin_signing("demo")


@pytest.mark.parametrize(
    ("known", "after"), [([], [3]), ([1], [1, 2, 3]), ([1, 2], [1, 2, 3]), ([2], [2, 3]), ([1, 2, 3], [1, 2, 3])]
)
def test_the_file_outside_gets_the_heads_that_it_lacks_in_order_and_a_new_one_begins_with_the_newest(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: list[int], after: list[int]
) -> None:
    entries, path = store.audit.entries(), tmp_path / "anchor"
    assert len(entries) == 3
    heads.anchor(path, [entries[seq - 1] for seq in known])
    store.close()
    monkeypatch.setenv("TWIN_AUDIT_ANCHOR", str(path))
    with open_store(store.root):
        assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == after


def test_opening_sweeps_files_and_links_as_well_and_follows_none(tmp_path: Path) -> None:
    open_store(tmp_path / "data").close()
    incoming, away = tmp_path / "data" / "incoming", tmp_path / "away"
    incoming.mkdir(exist_ok=True)
    away.mkdir()
    (away / "keep").touch()
    (incoming / "dead-1").mkdir()
    (incoming / "dead-2").touch()
    (incoming / "dead-3").symlink_to(away)
    open_store(tmp_path / "data").close()
    assert list(incoming.iterdir()) == []
    assert (away / "keep").exists()


def test_a_row_of_masks_is_the_record_that_was_added(store: Store) -> None:
    add_scan(store)
    made = add_mask(
        store, 4, 2, method="medsam", prompts=[Prompt("box", 2, (1, 1, 4, 4))], model_files={"lite": "ab" * 32}
    )
    plain = add_mask(store, 5)
    first, second = store.db.query("SELECT * FROM masks ORDER BY version")
    assert (mask_of(first), mask_of(second)) == (made, plain)
    assert (len(made.prompts), made.model_files, plain.prompts, plain.model_files) == (1, {"lite": "ab" * 32}, (), None)
    assert mask_of({**first, "format_version": None}).format_version == 1, "a row of before formats had numbers"
    assert mask_of({**first, "format_version": 7}).format_version == 7


@dataclass(frozen=True)
class _Row:
    name: str
    detail: object


def test_a_row_is_a_value_whose_json_is_decoded_where_that_is_asked() -> None:
    row = {"name": "[1]", "detail": '{"a": 1}', "beside": 3}
    assert value_of(_Row, row) == _Row("[1]", '{"a": 1}')
    assert value_of(_Row, row, decoded=["detail"]) == _Row("[1]", {"a": 1})
    assert value_of(_Row, {**row, "detail": None}, decoded=["detail"]) == _Row("[1]", None)


def test_a_clause_has_the_conditions_that_are_given() -> None:
    assert where(a=None) == where() == ("", [])
    assert where(m__a=1, b=None, c="x") == (" WHERE m.a = ? AND c = ?", [1, "x"])
