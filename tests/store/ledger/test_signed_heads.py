"""What one head, one key and one file of heads say of a chain, without a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import StoreError
from store.ledger import heads, lines
from store.ledger.audit import GENESIS, Entry, make_entry

KEY = heads.Key(b"a key of a test, not of a clinic", "ours")
OTHER = heads.Key(b"a key of another test", "theirs")


def _chain(*acts: tuple[str, dict[str, Any]]) -> list[Entry]:
    made: list[Entry] = []
    for seq, (action, payload) in enumerate(acts, start=1):
        made.append(make_entry(seq, "2020", "demo", action, payload, made[-1]["hash"] if made else GENESIS))
    return made


#: Four entries; the second says that signing begins.
CHAIN = _chain(("event.added", {}), (heads.SIGNING, {"key": "ours"}), ("event.added", {}), ("event.added", {"n": 2}))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The heads of entries 2 to 4."""
    heads.add(tmp_path / "heads.jsonl", KEY, CHAIN[1:])
    return tmp_path / "heads.jsonl"


def test_a_key_is_named_and_signs_the_same_in_every_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SHA-256 and HMAC-SHA256 by hand: what is in chains already has to hold."""
    monkeypatch.setenv("TWIN_AUDIT_KEY", "a key of a test, not of a clinic")
    key = heads.key_of(tmp_path)
    assert key == heads.Key(KEY.secret, "8e5263b7c793a035")
    assert KEY.sign(7, "ab" * 32) == "da8269f88356b9cd0774794bb805eba19d67ed0caeb86273a353d4a2f3b37eca"


def test_a_line_that_this_key_did_not_make_is_told_from_one_that_it_did() -> None:
    head = KEY.head(CHAIN[1])
    assert KEY.made(head)
    assert not OTHER.made(head)
    for change in (
        {"seq": 3},
        {"seq": True},
        {"seq": "2"},
        {"seq": None},
        {"hash": "0" * 64},
        {"hash": None, "signature": KEY.sign(2, str(None))},
        {"hash": "é"},
        {"signature": "0" * 64},
        {"signature": "é"},
        {"signature": None},
    ):
        assert not KEY.made({**head, **change}), change


def test_signing_begins_with_the_first_entry_that_says_so_of_this_key_and_is_not_void() -> None:
    chain = _chain(
        ("event.added", {"key": "ours"}),
        (heads.SIGNING, {"key": "ours", "void": True}),
        (heads.SIGNING, {"key": "theirs"}),
        (heads.SIGNING, {"key": "ours"}),
        (heads.SIGNING, {"key": "ours"}),
    )
    assert [heads.begun(chain, key) for key in (KEY, OTHER, None)] == [4, 3, 3]
    assert heads.begun(chain, heads.Key(b"x", "nobody's")) is None
    assert heads.begun(chain[:2], None) is None


def test_the_newest_head_is_the_last_line_if_this_key_made_it(file: Path) -> None:
    assert heads.newest(file) == heads.newest(file, KEY) == heads.anchored(file) == (4, CHAIN[3]["hash"])
    assert heads.newest(file, OTHER) == (0, "")
    assert heads.newest(file.with_name("nothing")) == (0, "")
    for line in (b'{"seq": "4", "hash": "x"}\n', b"rubbish\n", b"", b'{"seq": true}\n'):
        file.write_bytes(line)
        assert heads.newest(file) == (0, "")


def test_each_entry_from_the_first_signed_one_on_needs_its_head(file: Path) -> None:
    assert heads.verify(file, KEY, CHAIN) == []
    (never,) = heads.verify(file, OTHER, CHAIN)
    assert "signing was never begun" in never
    whole = lines.content(file).splitlines(keepends=True)
    for number, seq in enumerate((2, 3, 4)):
        file.write_bytes(b"".join(line for line in whole if line != whole[number]))
        assert heads.verify(file, KEY, CHAIN) == [f"Entry {seq} is not signed, though signing began with entry 2."]
    file.write_bytes(b"".join([whole[0], b"torn\n", *whole[1:]]))
    assert heads.verify(file, KEY, CHAIN) == ["heads.jsonl line 2 is no head: torn or altered."]
    assert heads.signed_seqs(file) == [2, 3, 4]


def test_a_head_of_what_came_before_signing_is_no_matter_and_one_of_what_is_gone_is(file: Path) -> None:
    heads.add(file, KEY, CHAIN[:1])
    assert heads.verify(file, KEY, CHAIN) == []
    assert heads.verify(file, KEY, CHAIN[:2]) == [
        "Entry 3 was signed and is not there any more.",
        "Entry 4 was signed and is not there any more.",
    ]


def test_the_file_outside_holds_every_head_and_ends_where_the_audit_does(tmp_path: Path) -> None:
    path = tmp_path / "anchor"
    assert "is not there" in heads.verify_anchor(path, CHAIN)[0]
    path.touch()
    assert heads.verify_anchor(path, []) == []
    assert heads.verify_anchor(path, CHAIN) == ["The file of TWIN_AUDIT_ANCHOR ends at entry 0, the audit at 4."]
    heads.anchor(path, CHAIN[:3])
    assert heads.verify_anchor(path, CHAIN) == ["The file of TWIN_AUDIT_ANCHOR ends at entry 3, the audit at 4."]
    heads.anchor(path, CHAIN[3:])
    assert heads.verify_anchor(path, CHAIN) == []


@pytest.mark.parametrize("line", [b'{"seq": 4}\n', b'{"seq": 4, "hash": 7}\n', b'{"hash": "x"}\n', b"[4]\n"])
def test_a_line_without_its_seq_or_hash_is_named_wherever_it_stands(tmp_path: Path, file: Path, line: bytes) -> None:
    anchor = tmp_path / "anchor"
    heads.anchor(anchor, CHAIN)
    for path in (anchor, file):
        with open(path, "ab") as end:
            end.write(line)
    assert heads.verify_anchor(anchor, CHAIN) == ["anchor line 5 is no head: torn or altered."]
    assert heads.verify(file, KEY, CHAIN) == ["heads.jsonl line 4 is no head: torn or altered."]


def test_what_cannot_be_read_is_said_and_ends_nothing(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder in the file's place, and a disk that refuses."""

    def refuses(*_: object) -> None:
        raise OSError(5, "Input/output error")

    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", file):
        if path == file:
            monkeypatch.setattr(lines, "opened", refuses)
        assert heads.anchored(path) == (0, "")
        caplog.clear()
        heads.anchor(path, CHAIN)
        assert "could not be added" in caplog.text
        assert heads.verify(path, KEY, CHAIN) == [
            f"{path.name} cannot be read, though signing began with entry 2: no entry is proven."
        ]
        (told,) = heads.verify_anchor(path, CHAIN)
        assert told.startswith("The file of TWIN_AUDIT_ANCHOR cannot be read")


def test_a_head_that_was_kept_elsewhere_is_in_the_chain_or_it_was_cut_or_written_anew() -> None:
    for entry in CHAIN:
        heads.check_head(CHAIN, entry["seq"], entry["hash"])
        with pytest.raises(StoreError, match=f"Entry {entry['seq']} is not the one .*written anew"):
            heads.check_head(CHAIN, entry["seq"], CHAIN[entry["seq"] % 4]["hash"])
    for seq in (-1, 0, 5):
        with pytest.raises(StoreError, match=rf"Entry {seq} was kept elsewhere .*which has 4 entries: it was cut"):
            heads.check_head(CHAIN, seq, CHAIN[3]["hash"])
