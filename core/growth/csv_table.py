"""CSV files as spreadsheets of any country write them: separators, decimal marks, encodings; a wrong line is named.

What a file means is decided for all of it: one separator (comma, semicolon or tab), one decimal mark (point or comma).
Where a number could be two, as "1,234", and nothing else in the file decides, it is refused.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from core.errors import InputError

SEPARATORS: Mapping[str, str] = {",": "commas", ";": "semicolons", "\t": "tabs"}
_MARKS = ("utf-8-sig", b"\xef\xbb\xbf"), ("utf-16", b"\xff\xfe"), ("utf-16", b"\xfe\xff")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
#: "1.234" and "12,500": one mark with three digits behind, which some write between thousands.
_TWO_WAYS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_GROUPED = {"point": re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+\.\d+", re.ASCII)}
_GROUPED["comma"] = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+,\d+", re.ASCII)
_LONGEST_QUOTE = 40


@dataclass(frozen=True)
class CsvRow:
    """One line of a table: its number in the file (from 1, the heading is the first), and its values by column."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True)
class CsvTable:
    """A file as it was read.

    Args:
        name: of the file, for messages.
        rows: without empty lines.
        separator: one of `SEPARATORS`.
        decimal: "." or ",".
        encoding: "UTF-8" or "UTF-16".
    """

    name: str
    rows: tuple[CsvRow, ...]
    separator: str
    decimal: str
    encoding: str

    @property
    def read_as(self) -> str:
        """What was taken for what, in words: "UTF-16, tabs between columns, decimal point"."""
        mark = "point" if self.decimal == "." else "comma"
        return f"{self.encoding}, {SEPARATORS[self.separator]} between columns, decimal {mark}"

    def number(self, row: CsvRow, column: str, whose: str) -> float:
        """A finite number of a row. Raises InputError that names the line and whose it is."""
        text = row.values[column]
        plain = text
        if _GROUPED["point" if self.decimal == "." else "comma"].fullmatch(text):
            plain = text.replace("," if self.decimal == "." else ".", "")
        plain = plain.replace(",", ".") if self.decimal == "," and "." not in plain else plain
        found = float(plain) if _NUMBER.fullmatch(plain) else math.nan
        if not math.isfinite(found):
            got = f"got {text[:_LONGEST_QUOTE]!r}" if text else "got nothing"
            self.refuse(row.line, f"({whose}): expected numbers, {got} in {column}. Give the number, or leave it out")
        return found

    def refuse(self, line: int, why: str) -> NoReturn:
        """Raises InputError about a line."""
        raise InputError(f"{self.name}, line {line} {why}.")


def read_csv(path: Path, columns: Sequence[str], numbers: Sequence[str]) -> CsvTable:
    """Read a table with a heading.

    Args:
        path: the file.
        columns: those that it must have; others are kept.
        numbers: those of them that hold numbers, by which the decimal mark is found.

    Raises:
        InputError: the file cannot be read, lacks a column or has it twice, is not UTF-8 or UTF-16, has a line with
            another number of values, or a number that can be read in two ways. Lines are named.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    text, encoding = _decoded(data, path.name)
    separator, lines = _split(text, columns, path.name)
    heading, *rest = lines
    rows = tuple(_row(found, heading[1], line, path.name, separator) for line, found in rest)
    decimal = _decimal_mark(rows, numbers, separator, path.name)
    return CsvTable(path.name, rows, separator, decimal, encoding)


def _decoded(data: bytes, name: str) -> tuple[str, str]:
    """The text without a byte order mark, and "UTF-8" or "UTF-16"."""
    codec = next((codec for codec, mark in _MARKS if data.startswith(mark)), "utf-8")
    if codec == "utf-8" and b"\0" in data[:4]:  # "Unicode text" without its mark
        codec = "utf-16-be" if data[0] == 0 else "utf-16-le"
    try:
        return data.decode(codec), "UTF-16" if codec.startswith("utf-16") else "UTF-8"
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{name}, line {line}: expected numbers and names in UTF-8 or UTF-16, got another encoding. Save it as "
            '"CSV UTF-8".'
        ) from None


def _split(text: str, columns: Sequence[str], name: str) -> tuple[str, list[tuple[int, list[str]]]]:
    """The separator, and the lines in values with their numbers; the heading, which has all `columns`, first."""
    told = re.match(r"sep=(.)\r?\n", text)  # Excel's own way to say it
    skipped = 1 if told else 0
    body = text[told.end() :] if told else text
    lacking: dict[str, list[str]] = {}
    for separator in [told[1]] if told and told[1] in SEPARATORS else SEPARATORS:
        first = next(_lines(body, separator, name, skipped), (0, []))[1]
        lacking[separator] = sorted(set(columns) - set(first))
        if not lacking[separator]:
            twice = [column for column in columns if first.count(column) > 1]
            if twice:
                raise InputError(f"{name} has the column {twice[0]} twice. Leave one of them out.")
            return separator, list(_lines(body, separator, name, skipped))
    fewest = min(lacking.values(), key=len)
    raise InputError(
        f"{name} lacks the columns {', '.join(fewest)}. They must stand in the first line, between commas, semicolons "
        "or tabs."
    )


def _lines(text: str, separator: str, name: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Those that hold anything, with their numbers; blanks around values taken away."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for found in reader:
            values = [value.strip() for value in found]
            if any(values):
                yield reader.line_num + skipped, values
    except csv.Error:
        raise InputError(
            f"{name}, line {reader.line_num + skipped}: expected values between separators, got a quotation mark that "
            "does not end, or something else that no CSV has. Save it again."
        ) from None


def _row(values: list[str], heading: list[str], line: int, name: str, separator: str) -> CsvRow:
    while len(values) > len(heading) and not values[-1]:
        values = values[:-1]
    if len(values) != len(heading):
        why = " A decimal comma between commas? Save it with semicolons." if separator == "," else ""
        raise InputError(
            f"{name}, line {line}: expected numbers and names in {len(heading)} columns, got {len(values)} values.{why}"
        )
    return CsvRow(line, dict(zip(heading, values, strict=True)))


def _decimal_mark(rows: Sequence[CsvRow], numbers: Sequence[str], separator: str, name: str) -> str:
    """The one that the numbers of the file have; "." where they have none, and as ever between commas.

    Raises:
        InputError: some have a point and others a comma, or one could be meant in two ways.
    """
    two_ways: tuple[CsvRow, str] | None = None
    proven = ""
    for row, text in ((row, row.values[column]) for row in rows for column in numbers):
        mark = _mark_of(text)
        if not mark:
            continue
        if _TWO_WAYS.fullmatch(text) and not (separator == "," and mark == "."):
            two_ways = two_ways or (row, text)
        elif proven not in ("", mark):
            raise InputError(
                f"{name}, line {row.line}: expected one decimal mark in all lines, got {text[:_LONGEST_QUOTE]!r} after "
                f"numbers with a decimal {'comma' if proven == ',' else 'point'}. Write them all in one way."
            )
        else:
            proven = mark
    if two_ways and proven != _mark_of(two_ways[1]):
        row, text = two_ways
        raise InputError(
            f"{name}, line {row.line}: {text!r} can be {float(text.replace(',', '.')):g} or "
            f"{float(re.sub('[.,]', '', text)):,.0f}, and nothing in the file says which. Write numbers without marks "
            "between thousands, and with a decimal point."
        )
    return proven or "."


def _mark_of(text: str) -> str:
    """The mark that would be the decimal one of this text: the only one in it, or the last of two kinds."""
    last = max(text.rfind("."), text.rfind(","))
    return "" if last < 0 else text[last]
