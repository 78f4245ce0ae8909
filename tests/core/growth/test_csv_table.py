"""Tables as spreadsheets save them: read as what they mean, or refused with the line, never as another number."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.growth import effects
from core.growth.backtest import backtest_file
from core.growth.csv_table import read_csv
from core.growth.series import read_lesions

HEAD = ("Pt_hashID", "T_days", "Lesion_vol")
VOLUMES = [500.0, 674.93, 911.06, 1229.8, 1660.06, 2240.84, 3024.82]
CASES = Path(os.environ.get("TWIN_SHARED", Path(__file__).resolve().parents[4] / "shared" / "data")).parent / "cases"


def _write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def _table(separator: str, decimal: str, end: str = "\n", first: str = "") -> str:
    rows = [[f"P{n % 2}", str(7 * n), f"{VOLUMES[n]:.2f}".replace(".", decimal)] for n in range(7)]
    quoted = separator == decimal
    out = io.StringIO()
    writer = csv.writer(
        out, delimiter=separator, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, lineterminator=end
    )
    writer.writerows([HEAD, *rows])
    return first + out.getvalue()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_dialect_gives_the_same_numbers_and_is_named(tmp_path, separator, decimal, encoding, end) -> None:
    path = _write(tmp_path / "x.csv", _table(separator, decimal, end), encoding)
    table = read_csv(path, HEAD, HEAD[1:])
    assert [table.number(row, "Lesion_vol", "x") for row in table.rows] == VOLUMES
    assert [table.number(row, "T_days", "x") for row in table.rows] == [7.0 * n for n in range(7)]
    assert [row.line for row in table.rows] == list(range(2, 9))
    between = {",": "commas", ";": "semicolons", "\t": "tabs"}[separator]
    mark = {".": "point", ",": "comma"}[decimal]
    assert table.read_as == f"UTF-{8 if '8' in encoding else 16}, {between} between columns, decimal {mark}"


def test_what_excel_adds_is_passed_over(tmp_path: Path) -> None:
    text = "sep=;\r\nT_days;Note;Lesion_vol;Pt_hashID;;\r\n0;x;1.234,50;P1;;\r\n;;;;;\r\n30;;2,5;P1;;\r\n"
    table = read_csv(_write(tmp_path / "x.csv", text), HEAD, HEAD[1:])
    assert [(row.line, table.number(row, "Lesion_vol", "P1")) for row in table.rows] == [(3, 1234.5), (5, 2.5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("P1,0,500.0\nP1,30,nan", r"line 3 \(P1\): expected numbers, got 'nan' in Lesion_vol"),
        ("P1,0,500.0\n\nP1,30,", r"line 4 \(P1\): expected numbers, got nothing in Lesion_vol"),
        ("P1,0,inf", r"line 2 \(P1\): expected numbers, got 'inf'"),
        ("P1,0,1e999", r"line 2 \(P1\): expected numbers, got '1e999'"),
        ("P1,0,1_000", r"line 2 \(P1\): expected numbers, got '1_000'"),
        ("P1,0,\u0661\u0662", r"line 2 \(P1\): expected numbers"),
        ("P1,0,5 000", r"line 2 \(P1\): expected numbers"),
        ("P1,0,500 mm3", r"line 2 \(P1\): expected numbers"),
        ("P1,soon,500", r"line 2 \(P1\): expected numbers, got 'soon' in T_days"),
        ("P1,0,-5", r"line 2 \(P1\): expected a volume of at least 0 mm3, got -5"),
        (",0,500", r"line 2 has no Pt_hashID"),
        (
            "P1,0,500,00",
            r"line 2: expected numbers and names in 3 columns, got 4 values. A decimal comma between commas",
        ),
        ("P1,0", r"line 2: expected numbers and names in 3 columns, got 2 values"),
        ('P1,0,"1,234"', r"line 2: '1,234' can be 1\.234 or 1,234, and nothing in the file says which"),
        ('P1,0,5.5\nP1,1,"1,234"', r"line 3: '1,234' can be 1\.234 or 1,234"),
        ('P1,0,5.5\nP1,1,"5,5"', r"line 3: expected one decimal mark in all lines, got '5,5' after .* decimal point"),
        ('P1,0,"50', r"line 2: expected values between separators, got a quotation mark that does not end"),
        ("P1,0,5\0", r"line 2"),
    ],
)
def test_a_line_that_is_none_is_named_and_whose_it_is(tmp_path: Path, text: str, message: str) -> None:
    path = _write(tmp_path / "x.csv", "Pt_hashID,T_days,Lesion_vol\n" + text + "\n")
    with pytest.raises(InputError, match=message):
        read_lesions(path, 1)


@pytest.mark.parametrize(
    ("volumes", "read"),
    [
        (["1.234", "12,5"], None),  # a German file with a point between thousands, or a mix
        (["1.234", "911.060"], None),
        (["1,234", "911,060"], None),
        (["1,234", "1234,5"], [1.234, 1234.5]),  # the second can only be a decimal comma
        (["1.234", "0.5"], [1.234, 0.5]),
        (["0,234", "0,500"], [0.234, 0.5]),  # nobody writes 0 thousand
        (["1.234,5", "12,345"], [1234.5, 12.345]),
        (["1,234.5", "12.345"], [1234.5, 12.345]),
        (["1,234.5", "12,345"], None),
        (["12.34.5", "1"], None),
        (["1", "2"], [1.0, 2.0]),
    ],
)
@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_mark_means_one_thing_in_a_file_or_the_file_is_refused(tmp_path: Path, volumes, read, separator) -> None:
    rows = [HEAD, *(("P1", str(n), volume) for n, volume in enumerate(volumes))]
    path = _write(tmp_path / "x.csv", "\n".join(map(separator.join, rows)))
    if read is None:
        with pytest.raises(InputError, match=r"line [23]"):
            read_lesions(path, 1)
        return
    table = read_csv(path, HEAD, HEAD[1:])
    assert [table.number(row, "Lesion_vol", "P1") for row in table.rows] == read


@pytest.mark.parametrize(
    "text", ["Pt_hashID|T_days|Lesion_vol\nP1|0|5\n", "", "\n\n", "sep=|\nPt_hashID|T_days|Lesion_vol\n"]
)
def test_another_separator_or_nothing_says_where_the_columns_must_be(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        InputError, match=r"lacks the columns Lesion_vol, Pt_hashID, T_days.*commas, semicolons or tabs"
    ):
        read_lesions(_write(tmp_path / "x.csv", text))


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.csv", "Pt_hashID,T_days,Lesion_vol,Lesion_vol\nP1,0,5,6\n")
    with pytest.raises(InputError, match="column Lesion_vol twice"):
        read_lesions(path)


@pytest.mark.parametrize(("data", "line"), [(b"Pt_hashID,T_days,Lesion_vol\nM\xfcller,0,5\n", 2), (b"\xff\xfeP\0x", 1)])
def test_another_encoding_is_named_with_its_line(tmp_path: Path, data: bytes, line: int) -> None:
    (tmp_path / "x.csv").write_bytes(data)
    with pytest.raises(InputError, match=f"line {line}: .*another encoding"):
        read_lesions(tmp_path / "x.csv")


def test_the_answer_of_the_command_says_how_the_file_was_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.csv", "\n".join([";".join(HEAD), *(f"P1;{7 * n};{500 + n},5" for n in range(7))]))
    assert backtest_file(path, fits=False)["read_as"] == "UTF-8, semicolons between columns, decimal comma"


def test_study_arms_are_read_from_such_a_file_too(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.csv", "Pt_hashID;T_days;Lesion_vol;Study_Arm\nP1;0;5,5;A\n", "utf-16")
    assert effects.learn(path) == []
    with pytest.raises(InputError, match="lacks the columns Study_Arm"):
        effects.learn(_write(path, "Pt_hashID;T_days;Lesion_vol\nP1;0;5,5\n"))


@pytest.mark.parametrize("name", ["csv-of-a-german-excel/growth.csv", "csv-of-a-german-excel/utf16.csv"])
def test_the_cases_of_other_countries_are_read(name: str) -> None:
    if not CASES.is_dir():
        pytest.skip("needs ../shared/cases")
    (lesion,) = read_lesions(CASES / "intake" / name)
    assert lesion.volumes_mm3.tolist() == VOLUMES


def test_the_case_of_a_missing_volume_is_named() -> None:
    if not CASES.is_dir():
        pytest.skip("needs ../shared/cases")
    with pytest.raises(InputError, match=r"line 4 \(P1-S\): expected numbers, got 'nan' in Lesion_vol"):
        read_lesions(CASES / "intake" / "csv-nan-without-row" / "growth.csv")


@given(
    st.binary(max_size=400) | st.text(max_size=200).map(lambda text: ("Pt_hashID;T_days;Lesion_vol\n" + text).encode())
)
def test_any_bytes_are_numbers_or_a_sentence(tmp_path_factory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    try:
        lesions = read_lesions(path, 1)
    except InputError:
        return
    assert all(math.isfinite(v) and v > 0 for lesion in lesions for v in lesion.volumes_mm3)
