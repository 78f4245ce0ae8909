"""Files that only grow, and the longest whole history in a heap of entries."""

from __future__ import annotations

import os
import random
import stat
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StoreError
from store.ledger import histories, lines
from store.ledger.audit import GENESIS, Entry, make_entry, read_file


def chain(length: int, name: str = "a", start: list[Entry] | None = None) -> list[Entry]:
    """A chain of that length, from the end of another one on."""
    made = list(start or [])
    while len(made) < length:
        previous = made[-1]["hash"] if made else GENESIS
        made.append(make_entry(len(made) + 1, "2020", "demo", "event.added", {"name": name}, previous))
    return made


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3), min_size=1, max_size=6), st.data())
def test_a_line_is_added_once_whatever_a_crash_left_of_it(
    tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, int]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("lines") / "x.jsonl"
    whole = [lines.line_of({"n": number, **value}) for number, value in enumerate(values)]
    lines.append(path, whole[:-1])
    torn = data.draw(st.integers(0, len(whole[-1])))
    with open(path, "ab") as file:
        file.write(whole[-1][:torn])
    lines.append(path, [whole[-1]])
    lines.append(path, [whole[-1]])
    assert path.read_bytes() == b"".join(whole)
    assert lines.tail(path) == (lines.value_of(whole[-1]), whole[-1], b"")


def test_a_stranger_s_half_line_spoils_no_line_but_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"n": 1}\nrubbish')
    assert lines.tail(path) == ({"n": 1}, b'{"n": 1}\n', b"rubbish")
    lines.append(path, [lines.line_of({"n": 2})])
    assert path.read_bytes() == b'{"n": 1}\nrubbish\n{"n": 2}\n'


def test_the_end_of_a_long_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    long = lines.line_of({"text": "x" * 200_000})
    for content in (long, long + long, b'{"n": 1}\n' + long, long + b'{"n": 1}\n'):
        path.write_bytes(content)
        assert lines.tail(path).line == content.splitlines(keepends=True)[-1]
    path.write_bytes(b"")
    assert lines.tail(path) == (None, b"", b"")


def test_of_several_lines_only_what_a_crash_left_of_the_first_is_there_already(tmp_path: Path) -> None:
    first, second = b'{"n": 1}\n', b'{"x": 2}\n'
    for left in (b"", b'{"n"', first):
        path = tmp_path / f"{len(left)}.jsonl"
        path.write_bytes(b"0\n" + left)
        lines.append(path, [first, second])
        assert path.read_bytes() == b"0\n" + first + second
    lines.append(path, [second, first])
    assert path.read_bytes() == b"0\n" + first + second + first
    lines.append(path, [])
    assert path.read_bytes() == b"0\n" + first + second + first


def test_a_line_of_nothing_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for content, line in ((b'{"n": 1}\n\n', b"\n"), (b'\n{"n": 1}\n', b'{"n": 1}\n'), (b"\n", b"\n")):
        path.write_bytes(content)
        assert lines.tail(path) == (lines.value_of(line), line, b"")


def test_the_end_of_a_file_is_read_without_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with open(path, "wb") as file:
        file.truncate(1 << 24)
        file.seek(0, os.SEEK_END)
        file.write(b'\n{"n": 1}\n')
    tracemalloc.start()
    try:
        assert lines.tail(path).value == {"n": 1}
        assert tracemalloc.get_traced_memory()[1] < 1 << 20, "less than a MB of 16"
    finally:
        tracemalloc.stop()


def test_a_new_file_is_made_with_its_folders_and_its_name_outlives_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a" / "b" / "x.jsonl"
    assert (lines.content(path), lines.tail(path)) == (b"", (None, b"", b""))
    synced: list[Path] = []
    monkeypatch.setattr(lines, "fsync_dir", synced.append)
    umask = os.umask(0)
    try:
        lines.append(path, [b"1\n"])
    finally:
        os.umask(umask)
    assert synced == [path.parent]
    lines.append(path, [b"2\n"])
    assert lines.content(path) == b"1\n2\n"
    assert synced == [path.parent], "only what is new needs it"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666, "as the umask allows, and nobody runs it"


def test_a_link_a_folder_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"1\n")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "dangling", "folder", "pipe"):
        with pytest.raises(StoreError, match=f"{name} is a symbolic link or no file"):
            lines.content(tmp_path / name)
        for mode in ("rb", "ab"):
            with pytest.raises(StoreError, match=f"{name} is a symbolic link or no file"):
                lines.opened(tmp_path / name, mode)
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(FileNotFoundError):
        lines.opened(tmp_path / "nothing", "rb")


def test_a_line_is_a_json_object_or_is_no_value() -> None:
    assert lines.value_of(b'{"a": [1]}') == {"a": [1]}
    for line in (b"rubbish", b"[" * 100_000, b"[1]", b"3", b"", b"\xff"):
        assert lines.value_of(line) is None
    with pytest.raises(ValueError, match="not JSON compliant"):
        lines.line_of({"a": float("nan")})


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8), st.integers(0, 2**32))
def test_the_longest_whole_history_is_found_in_any_order_of_copies(a: int, b: int, shared: int, seed: int) -> None:
    common = chain(min(shared, a, b))
    first, second = chain(a, "a", common), chain(b, "b", common)
    heap = [*first, *second, *first]
    random.Random(seed).shuffle(heap)
    found = histories.history(heap)
    assert found.rest == []
    assert len(found.chain) == max(a, b)
    assert found.chain in (first, second)


@given(st.integers(2, 10), st.data())
def test_what_is_whole_behind_a_gap_is_told_apart_from_what_is_proven(length: int, data: st.DataObject) -> None:
    whole = chain(length)
    lost = data.draw(st.integers(0, length - 2))
    for heap in (
        [*whole[:lost], *whole[lost + 1 :]],
        [*whole[:lost], {**whole[lost], "person": "eve"}, *whole[lost + 1 :]],
    ):
        found = histories.history(heap)
        assert found.chain == whole[:lost]
        assert found.rest == whole[lost + 1 :]
        assert found.missing == 1
    assert histories.history([*whole, *whole[::2]]).chain == whole


def test_what_python_reads_and_json_does_not_know_is_no_entry(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    entry = lines.line_of(chain(1)[0]).replace(b'"a"', b"NaN")
    path.write_bytes(entry + b"[" * 100_000 + b"\n")
    entries, problems = read_file(path)
    assert entries == []
    assert [problem.split(":")[0] for problem in problems] == [
        "audit.jsonl line 1 is not JSON",
        "audit.jsonl line 2 is not JSON",
    ]
