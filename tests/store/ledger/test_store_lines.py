"""Files that only grow, and the longest whole history in a heap of entries."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
