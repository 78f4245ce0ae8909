"""With a key nobody who has not the key can write the chain anew; with a head kept elsewhere nobody can cut it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cli
from core.errors import InputError, StoreError
from store import Store, open_store, rebuild
from store.database.connection import StoreDamaged
from store.ledger import heads, journal, ledgers
from store.ledger.audit import Entry, make_entry, read_file
from tests.store_phantom import DAY1, add_mask, add_scan

KEY = "a key of a test, not of a clinic"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three entries without signatures, then four with."""
    monkeypatch.delenv("TWIN_AUDIT_KEY", raising=False)
    monkeypatch.delenv("TWIN_AUDIT_ANCHOR", raising=False)
    with open_store(tmp_path / "data") as store:
        add_scan(store)
        add_mask(store, 3, scans_pass=False)
    monkeypatch.setenv("TWIN_AUDIT_KEY", KEY)
    with open_store(tmp_path / "data") as store:
        store.ledger.begin_signing("demo")
        add_mask(store, 4, scans_pass=False)
        store.decisions.decide("P1", DAY1, 2, "reject", "demo", "leak")
        store.events.add("P1", DAY1, "steroids", "4 mg", "demo")
    return tmp_path / "data"


def problems(root: Path) -> list[str]:
    """What `verify` says, or why the store was not opened."""
    try:
        with open_store(root) as store:
            return store.verify()
    except StoreDamaged as error:
        return [str(error)]


def rewrite(root: Path, change: Callable[[list[Entry]], list[Entry]]) -> None:
    """Write the whole history anew, in table, mirror and ledgers: what somebody can who may write to the folder."""
    with open_store(root) as store:
        entries = store.audit.entries()
    made: list[Entry] = []
    for seq, old in enumerate(change(entries), start=1):
        previous = made[-1]["hash"] if made else "0" * 64
        made.append(make_entry(seq, old["created_at"], old["person"], old["action"], old["payload"], previous))
    (root / "audit.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in made))
    for place in list(ledgers.there(root)):
        (root / place).unlink()
    (root / "twin.duckdb").unlink()
    rebuild(root)


def softened(entries: list[Entry]) -> list[Entry]:
    changed: list[Entry] = json.loads(json.dumps(entries).replace('"leak"', '"fine"'))
    return changed


def test_signing_begins_by_an_act_of_its_own_and_every_write_after_it_is_signed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(root) as store:
        assert store.verify() == []
        assert [e["action"] for e in store.audit.entries()][3] == "audit.signing"
        assert heads.signed_seqs(root / "heads.jsonl") == [4, 5, 6, 7]
        assert store.remarks() == ["4 of 7 audit entries are signed."]
        with pytest.raises(StoreError, match="begun already"):
            store.ledger.begin_signing("demo")
    assert KEY not in (root / "heads.jsonl").read_text() + (root / "audit.jsonl").read_text()
    monkeypatch.delenv("TWIN_AUDIT_KEY")
    with open_store(root) as store:
        assert store.verify() == []
        assert "were not checked" in store.remarks()[0]
        with pytest.raises(StoreError, match="Set TWIN_AUDIT_KEY first"):
            store.ledger.begin_signing("demo")


def test_without_a_key_a_chain_written_anew_is_believed_and_with_one_it_is_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last but one step says plainly what the chain alone does not prove."""
    rewrite(root, softened)
    for key in (KEY, ""):
        monkeypatch.setenv("TWIN_AUDIT_KEY", key)
        with pytest.raises(StoreDamaged, match=r"Entry 7 .* is not the one in heads\.jsonl: it was written anew"):
            open_store(root)
    (root / "heads.jsonl").unlink()
    assert problems(root) == []
    monkeypatch.setenv("TWIN_AUDIT_KEY", KEY)
    assert problems(root) == ["heads.jsonl is missing, though signing began with entry 4: no entry is proven."]


def test_every_signed_entry_that_was_written_anew_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(root) as store:
        signed = store.audit.entries()
    key = heads.key_of(root)
    assert key is not None
    anew = [{**entry, "hash": f"{entry['seq']:064d}"} if entry["seq"] > 5 else entry for entry in signed]
    assert heads.verify(root / "heads.jsonl", key, anew) == [
        f"Entry {seq} is not the one that was signed: the chain was written anew." for seq in (6, 7)
    ]
    assert heads.verify(root / "heads.jsonl", key, signed[:6]) == ["Entry 7 was signed and is not there any more."]


def edit_heads(root: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    values = [json.loads(line) for line in (root / "heads.jsonl").read_text().splitlines()]
    change(values)
    (root / "heads.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))


ATTACKS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "the heads are gone": (lambda r: (r / "heads.jsonl").unlink(), "heads.jsonl is missing, though signing began"),
    "the heads are emptied": (lambda r: (r / "heads.jsonl").write_text(""), "Entry 4 is not signed"),
    "one head is taken out": (lambda r: edit_heads(r, lambda v: v.pop(1)), "Entry 5 is not signed"),
    "a head of another": (lambda r: edit_heads(r, lambda v: v[2].update(hash="ab" * 32)), "Entry 6 is signed wrongly"),
    "a forged signature": (lambda r: edit_heads(r, lambda v: v[2].update(signature="0" * 64)), "Entry 6 is signed wro"),
    "a signature of another entry": (
        lambda r: edit_heads(r, lambda v: v[2].update(signature=v[1]["signature"])),
        "Entry 6 is signed wrongly",
    ),
    "no line": (lambda r: (r / "heads.jsonl").write_text("x\n"), "heads.jsonl line 1 is no head"),
    "the end is cut off": (lambda r: rewrite(r, lambda e: e[:-1]), "ends with entry 6, heads.jsonl knows entry 7"),
    # a mask of which no entry tells any more makes it another chain for `rebuild`, which puts heads.jsonl aside
    "signing never was": (lambda r: rewrite(r, lambda e: e[:3]), "signing was never begun in this chain with that key"),
    "signing is declared void": (
        lambda r: rewrite(r, lambda e: [{**x, "payload": {**x["payload"], "void": True}} for x in e]),
        "Entry 7 of the history here is not the one in heads.jsonl",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_on_the_signed_chain_is_named(root: Path, attack: str) -> None:
    do, sentence = ATTACKS[attack]
    do(root)
    told = problems(root)
    assert any(sentence in text for text in told), told


def test_opening_a_signed_store_without_its_key_says_that_nothing_will_be_signed(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("", KEY + " of another clinic"):
        monkeypatch.setenv("TWIN_AUDIT_KEY", key)
        caplog.clear()
        for _ in range(2):
            with open_store(root) as store:
                assert store.recovered == [heads.UNSIGNED]
                assert len(store.audit.entries()) == 7, "saying so is no entry, which would be unsigned itself"
        assert caplog.text.count("stays unsigned") == 2
        with open_store(root, read_only=True) as store:
            assert store.recovered == []
    monkeypatch.setenv("TWIN_AUDIT_KEY", KEY)
    with open_store(root) as store:
        assert store.recovered == []
    rewrite(root, lambda e: [{**x, "payload": {**x["payload"], "void": True}} for x in e])
    (root / "heads.jsonl").unlink()
    monkeypatch.delenv("TWIN_AUDIT_KEY")
    with open_store(root) as store:
        assert store.recovered == [], "a chain whose signatures are void is not signed"


def test_what_was_written_without_the_key_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWIN_AUDIT_KEY")
    with open_store(root) as store:
        store.events.add("P1", DAY1, "steroids", "8 mg", "demo")
    monkeypatch.setenv("TWIN_AUDIT_KEY", KEY)
    assert problems(root) == ["Entry 8 is not signed, though signing began with entry 4."]
    with open_store(root) as store:
        store.events.add("P1", DAY1, "steroids", "2 mg", "demo")
    assert problems(root) == ["Entry 8 is not signed, though signing began with entry 4."]
    monkeypatch.setenv("TWIN_AUDIT_KEY", KEY + " of another clinic")
    assert ["never begun" in text for text in problems(root)] == [True]


def test_a_write_that_dies_before_its_head_is_signed_is_signed_at_the_next_opening(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def dies(*_: Any) -> None:
        raise Crash

    store = open_store(root)
    with monkeypatch.context() as patch:
        patch.setattr(heads, "add", dies)
        with pytest.raises(Crash):
            store.events.add("P1", DAY1, "steroids", "8 mg", "demo")
    store.close()
    assert journal.pending(root) is not None
    assert problems(root) == []
    assert heads.signed_seqs(root / "heads.jsonl") == [4, 5, 6, 7, 8]


def test_the_key_may_lie_in_a_file_outside_of_the_data_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key_of(value: str) -> heads.Key | None:
        monkeypatch.setenv("TWIN_AUDIT_KEY", value)
        return heads.key_of(tmp_path / "data")

    (tmp_path / "data").mkdir()
    for place in (tmp_path / "key", tmp_path / "data" / "key"):
        place.write_text(KEY + "\n")
    key = key_of(str(tmp_path / "key"))
    assert key is not None
    assert key == key_of(KEY)
    assert key_of("") is None
    for value, sentence in (
        (str(tmp_path / "data" / "key"), "inside of the data folder"),
        (str(tmp_path / "nothing"), "cannot be read"),
        ("short", "at least 16 characters"),
    ):
        with pytest.raises(InputError, match=sentence):
            key_of(value)
    monkeypatch.delenv("TWIN_AUDIT_KEY")
    monkeypatch.setenv("TWIN_AUDIT_ANCHOR", str(tmp_path / "data" / "x"))
    with pytest.raises(InputError, match="TWIN_AUDIT_ANCHOR names a file inside"):
        heads.anchor_of(tmp_path / "data")


def test_a_file_outside_shows_that_the_end_was_cut_off_with_its_signatures(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    anchor = tmp_path / "elsewhere" / "heads"
    anchor.parent.mkdir()
    monkeypatch.setenv("TWIN_AUDIT_ANCHOR", str(anchor))
    with open_store(root) as store:
        store.events.add("P1", DAY1, "steroids", "8 mg", "demo")
        assert store.verify() == []
    assert [json.loads(line)["seq"] for line in anchor.read_text().splitlines()] == [7, 8]
    anchor.rename(anchor.with_name("away"))
    anchor.mkdir()  # cannot be written for a while: logged, and made good later
    with caplog.at_level(logging.WARNING), open_store(root) as store:
        store.events.add("P1", DAY1, "steroids", "2 mg", "demo")
        assert "could not be added" in caplog.text
        anchor.rmdir()
        anchor.with_name("away").rename(anchor)
        assert any("ends at entry 8, the audit at 9" in text for text in store.verify())
        store.events.add("P1", DAY1, "steroids", "1 mg", "demo")
        assert store.verify() == []
    edit_heads(root, lambda values: values.__delitem__(slice(-2, None)))
    rewrite(root, lambda entries: entries[:8])
    before = anchor.read_bytes()
    with pytest.raises(StoreDamaged, match=r"ends with entry 8, the file of TWIN_AUDIT_ANCHOR knows entry 10.*rename"):
        open_store(root)
    assert anchor.read_bytes() == before
    told = heads.verify_anchor(anchor, read_file(root / "audit.jsonl")[0])
    assert len(told) == 2
    assert all("was kept elsewhere and is not in the audit, which has 8 entries: it was cut" in text for text in told)
    anchor.rename(anchor.with_name("heads of what is lost"))
    assert problems(root) == []


def test_a_chain_made_anew_after_a_loss_is_unsigned_says_so_and_can_be_signed(root: Path) -> None:
    (root / "twin.duckdb").unlink()
    for path in root.glob("processed/**/ledger.jsonl"):
        path.unlink()
    lines = (root / "audit.jsonl").read_text().splitlines(keepends=True)
    (root / "audit.jsonl").write_text("".join([*lines[:5], *lines[6:]]))
    old = (root / "heads.jsonl").read_bytes()
    assert rebuild(root)["gaps"] == 1
    assert [p.read_bytes() for p in (root / "before-rebuild").glob("*/heads.jsonl")] == [old]
    with open_store(root) as store:
        assert ["never begun" in text for text in store.verify()] == [True]
        store.ledger.begin_signing("demo")
        assert store.verify() == []


def test_the_command_line_prints_a_head_checks_one_and_begins_signing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.delenv("TWIN_AUDIT_KEY", raising=False)
    with open_store(tmp_path / "data") as store:
        add_scan(store)

    def run(*arguments: str, status: int = 0) -> Any:
        assert cli.main(["audit", *arguments, "--data", str(tmp_path / "data"), "--json"]) == status
        out, err = capsys.readouterr()
        return err if status else json.loads(out)

    head = run("head")
    assert head["seq"] == 2
    assert "Set TWIN_AUDIT_KEY" in run("sign", status=1)
    monkeypatch.setenv("TWIN_AUDIT_KEY", KEY)
    assert run("sign")["seq"] == 3
    assert run("check", "2", head["hash"])["held"]
    assert "was written anew" in run("check", "2", "0" * 64, status=1)
    assert "it was cut" in run("check", "9", head["hash"], status=1)
    assert "audit check SEQ HASH" in run("check", status=1)
    assert problems(tmp_path / "data") == []


def test_leftovers_are_remarks_and_damaged_drafts_are_problems(store: Store) -> None:
    add_scan(store)
    add_mask(store, 3, scans_pass=False)
    draft = store.drafts.begin("P1", DAY1, 1, "demo")
    job = store.jobs.create("segment", {}, "demo")
    (store.root / "jobs" / job).mkdir(parents=True)
    (store.root / "cache" / "thumbnails").mkdir(parents=True)
    record = store.masks.version("P1", DAY1, 1)
    (store.root / "cache" / "thumbnails" / f"{record.mask_sha256}-{record.scan_sha256[:16]}.png").write_bytes(b"x")
    scan = store.scans.of("P1")[0]
    (store.root / "cache" / "embeddings" / "model" / scan.sha256).mkdir(parents=True)
    assert (store.verify(), store.remarks()) == ([], [])

    folder = store.root / "drafts" / draft.draft_id
    (folder / "000001.edit").write_bytes(b"no edit")
    assert store.verify() == [
        f"drafts/{draft.draft_id}/000001.edit cannot be read: what it changed is not in the draft."
    ]
    (folder / "000001.edit").rename(folder / "000002.edit")
    assert f"drafts/{draft.draft_id}/000001.edit is missing: what it changed is not in the draft." in store.verify()
    (folder / "000002.edit").unlink()
    whole = (folder / "draft.json").read_text()
    (folder / "draft.json").write_text("{")
    assert store.verify() == [
        f"drafts/{draft.draft_id}/draft.json cannot be read: this draft is lost, unless a backup has it."
    ]
    (folder / "draft.json").write_text(whole.replace(record.mask_id, "gone"))
    (folder / "notes.txt").write_text("x")
    store.jobs.update(job, status="done")
    (store.root / "jobs" / "nobody").mkdir()
    (store.root / "drafts" / "x").mkdir()
    (store.root / "cache" / "thumbnails" / "other.png").write_bytes(b"x")
    (store.root / "cache" / "embeddings" / "model" / ("ab" * 32)).mkdir()
    assert store.verify() == []
    assert sorted(store.remarks()) == sorted(
        [
            f"drafts/{draft.draft_id} is of a mask version that is not there.",
            f"drafts/{draft.draft_id}/notes.txt belongs to no draft.",
            "drafts/x is no draft.",
            f"jobs/{job} was left by a job that is done.",
            "jobs/nobody belongs to no job.",
            "cache/thumbnails/other.png is the picture of no stored mask.",
            f"cache/embeddings/model/{'ab' * 32} is of no stored scan.",
        ]
    )
