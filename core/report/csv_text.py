"""Rows as CSV that a spreadsheet reads as text and numbers, never as formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from core.remembered.untyped import TableRow

#: What a formula begins with, in a spreadsheet of any language: also in full width, as some keyboards write them.
_FORMULA_BEGINS = tuple("=+-@\t\r\n＝＋－＠")


def csv_text(rows: Sequence[TableRow]) -> str:
    """Rows as a CSV file with a header of the first row's names; "" for no rows.

    Text is quoted, so that no separator in it makes two cells, and a text that a spreadsheet would compute begins with
    an apostrophe. Numbers are as they are, and None is an empty cell.
    """
    if not rows:
        return ""
    sink = io.StringIO()
    writer = csv.writer(sink, quoting=csv.QUOTE_NONNUMERIC)
    names = list(rows[0])
    writer.writerow([harmless(str(name)) for name in names])
    for row in rows:
        if not set(row) <= set(names):
            raise ValueError(f"Expected the columns of the first row, {names}, in every row, got {list(row)}.")
        writer.writerow([harmless(row.get(name)) for name in names])
    return sink.getvalue()


def harmless(value: Any) -> Any:
    """The value; a text that a spreadsheet would take for a formula begins with an apostrophe.

    Spaces before it and characters that are not shown do not help: spreadsheets pass over some of them.
    """
    if not isinstance(value, str):
        return value
    shown = value.lstrip(" \u00a0\u3000\ufeff\u200b\u2060\x00\"'")
    return f"'{value}" if value.startswith(_FORMULA_BEGINS) or shown.startswith(_FORMULA_BEGINS) else value
