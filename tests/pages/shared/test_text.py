"""Text of files and people: for Markdown, for frames, for figures and for CSV files."""

from __future__ import annotations

import csv
import io
import math
import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.report.csv_text import csv_text, harmless
from pages.ui.shared.text import cells, figure_text, millilitres, plain

#: What a spreadsheet computes, in half and in full width; and what parts cells and rows.
FORMULA_BEGINS = "=+-@\t\r\n＝＋－＠"
anything = st.text(st.characters(exclude_categories=()), max_size=40)


def shown(markdown: str) -> str:
    """What escaped Markdown shows, read by CommonMark's rule that a backslash before ASCII punctuation is not seen."""
    return re.sub(rf"\\([{re.escape(string.punctuation)}])", r"\1", markdown).replace("\u2060", "")


@given(anything)
@example("![](http://127.0.0.1/x)")
@example(":red[x] :material/check: :smile: $x$ www.x.org a@b.org -> [^1]\n\n# head\n- item")
@example("back\\slash\\")
def test_every_mark_is_escaped_and_nothing_is_lost(text: str) -> None:
    told = plain(text)
    assert not re.search(rf"[{re.escape(string.punctuation)}]", re.sub(r"\\.", "", told, flags=re.DOTALL))
    assert not {"\n", "\r"} & set(told)
    visible = re.sub(r"[\u202a-\u202e\u2066-\u2069]", "\ufffd", text)
    if visible.isprintable():
        assert shown(told) == " ".join(visible.split()).replace("\u2060", "")


def test_a_sentence_is_one_line_and_easy_to_read() -> None:
    assert plain("The scan of\n\tDEMO-02  is doubtful.") == r"The scan of DEMO\-02 is doubtful\."
    assert plain("") == ""
    assert plain(ValueError("a*b")) == r"a\*b"
    assert plain("at 12:30:05") == r"at 12\:30\:05"
    assert plain(7) == "7"


def test_what_cannot_be_printed_is_seen_to_be_there() -> None:
    assert plain("a\x07b\udcffc\u202ed") == "a\ufffdb\ufffdc\ufffdd"
    assert cells([{"a": "a\x00b", "n": 3}]) == [{"a": "a\ufffdb", "n": 3}]
    assert figure_text("a\x1bb") == "a\ufffdb"


@given(anything)
@example("<img src=http://127.0.0.1/x> <b>%{x} &lt; $a$")
def test_no_figure_reads_a_mark_in_a_name(text: str) -> None:
    told = figure_text(text)
    assert not re.search(r"[<>$\n]|%\{|&(?!amp;|lt;|gt;|#123;|#36;)", told)


#: Text and numbers as rows have them.
values = st.one_of(anything, st.integers(), st.floats(allow_nan=False), st.none(), st.booleans())


@given(st.lists(st.fixed_dictionaries({"who": anything, "what": values, "=head": values}), min_size=1, max_size=5))
@example([{"who": '=HYPERLINK("http://x","y")', "what": -1.5, "=head": "\t@SUM(1)"}])
@example([{"who": " =1+1", "what": "a\n=1+1", "=head": 'x";"=1+1'}])
def test_no_cell_of_a_csv_file_is_a_formula_and_nothing_is_lost(rows: list[dict[str, object]]) -> None:
    read = list(csv.reader(io.StringIO(csv_text(rows), newline="")))
    assert read[0] == [harmless(name) for name in rows[0]]
    assert len(read) == len(rows) + 1
    for row, line in zip(rows, read[1:], strict=True):
        for value, cell in zip((row[name] for name in rows[0]), line, strict=True):
            if isinstance(value, str):
                assert cell in (value, f"'{value}")
                assert not cell.startswith(tuple(FORMULA_BEGINS))
                assert cell == value or not value[:1].isalnum()
            elif isinstance(value, float):
                assert float(cell) == value
            else:
                assert cell == ("" if value is None else str(value))


@pytest.mark.parametrize("begin", FORMULA_BEGINS)
def test_each_sign_that_begins_a_formula_is_kept_from_it(begin: str) -> None:
    for text in (f"{begin}1+1", f" {begin}1+1", f"\u00a0{begin}1+1", f"\ufeff{begin}1+1"):
        assert harmless(text) == f"'{text}"
        assert str(cells([{"a": text}])[0]["a"]).startswith("'")


def test_numbers_stay_numbers_and_usual_text_is_as_it_was() -> None:
    assert csv_text([{"patient": "P-1", "change": -12.5, "n": 3, "none": None}]) == (
        '"patient","change","n","none"\r\n"P-1",-12.5,3,""\r\n'
    )
    assert csv_text([]) == ""
    assert harmless(-3) == -3
    assert math.isnan(harmless(math.nan))
    for text in ("", "P-1", "–", "−0.5 mL", "a = b", "mask@v2"):
        assert harmless(text) == text


def test_a_row_with_a_column_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="columns"):
        csv_text([{"a": 1}, {"a": 1, "b": 2}])


@pytest.mark.parametrize(
    ("volume_mm3", "told"),
    [
        (0.0, "0.0"),
        (5.0, "<0.01"),
        (33.0, "0.03"),
        (81.0, "0.08"),
        (994.0, "0.99"),
        (999.0, "1.0"),
        (163_040.0, "163.0"),
    ],
)
def test_small_volumes_are_told_in_digits_that_count(volume_mm3: float, told: str) -> None:
    assert millilitres(volume_mm3) == told
