"""Events from a table: CSV with the columns patient, date, kind, and one for each key of a detail.

A cell that is empty is not given. All lines are read before anything is said, so that a person sees every problem at
once, by its line.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from core.errors import InputError
from core.remembered.rows import NewEvent
from core.remembered.sources import EventRecordSource
from core.review.events import FIELDS, checked_event

NEEDED = ("patient", "date", "kind")
#: Columns that a table may have.
COLUMNS = (*NEEDED, *dict.fromkeys(field.key for fields in FIELDS.values() for field in fields))
MAX_BYTES, MAX_EVENTS, MOST_PROBLEMS = 5_000_000, 20_000, 20


def events_of_table(path: Path, patients: Sequence[str], today: dt.date) -> list[NewEvent]:
    """The events of a table, each as `checked_event` gives it.

    Args:
        path: a CSV file in UTF-8, with commas or semicolons, its first line the columns' names.
        patients: ids that are there.

    Raises:
        InputError: for anything in it that is no event of one of these patients; names every such line.
    """
    lines = _lines(path)
    (_, head), *rows = lines
    columns = [name.strip().lower() for name in head]
    _check_columns(columns)
    events: list[NewEvent] = []
    problems: list[str] = []
    first: dict[str, int] = {}
    for number, cells in rows:
        try:
            event = _event(columns, cells, patients, today)
            same = first.setdefault(repr(event), number)
            if same != number:
                raise InputError(f"the same event as line {same}")
            events.append(event)
        except InputError as error:
            problems.append(f"line {number}: {error}")
    if not rows:
        raise InputError(f"Expected at least one event in {path.name}, got its column names alone.")
    if problems:
        more = f" … and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise InputError(
            f"{len(problems)} of {len(rows)} lines of {path.name} are no events; nothing was imported. "
            f"{'; '.join(problems[:MOST_PROBLEMS])}{more}"
        )
    return events


def refuse_known(stored: EventRecordSource, new: Sequence[NewEvent], name: str) -> None:
    """Raises InputError where an event of a table of that name is on record already."""
    for patient in dict.fromkeys(one.patient_id for one in new):
        there = [(old.date, old.kind, old.detail) for old in stored.of(patient)]
        again = [one for one in new if one.patient_id == patient and (one.date, one.kind, one.detail) in there]
        if again:
            raise InputError(
                f"The {again[0].kind} of {patient} on {again[0].date} is on record already, with {len(again)} such in "
                f"{name}. Nothing was imported: take out what is there."
            )


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """The lines that hold anything, with their numbers in the file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"Expected a table of at most {MAX_BYTES:,} bytes, got {path.stat().st_size:,}. Split it.")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"Expected {path.name} as text in UTF-8. Save it as “CSV UTF-8”.") from None
    first = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter=";" if first.count(";") > first.count(",") else ",", strict=True)
    found = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((reader.line_num, cells))
    except csv.Error as error:
        raise InputError(
            f"Expected {path.name} as CSV, got something else in line {reader.line_num}: {error}."
        ) from None
    if not found or len(found) > MAX_EVENTS + 1:
        raise InputError(
            f"Expected column names and up to {MAX_EVENTS:,} events in {path.name}, got {len(found)} lines."
        )
    return found


def _check_columns(columns: Sequence[str]) -> None:
    lacking = [name for name in NEEDED if name not in columns]
    strange = [name for name in columns if name not in COLUMNS]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    for names, what in ((lacking, "lacks"), (strange, "has"), (twice, "has twice")):
        if names:
            shown = ", ".join(name or "(no name)" for name in names)[:200]
            raise InputError(
                f"The table {what} the column {shown}. Expected of {', '.join(COLUMNS)}; the first 3 always."
            )


def _event(columns: Sequence[str], cells: Sequence[str], patients: Sequence[str], today: dt.date) -> NewEvent:
    if len(cells) > len(columns):
        raise InputError(f"it has {len(cells)} cells below {len(columns)} columns")
    given = {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if cell.strip()}
    lacking = [name for name in NEEDED if name not in given]
    if lacking:
        raise InputError(f"it lacks {', '.join(lacking)}")
    patient, date, kind = (given.pop(name) for name in NEEDED)
    if patient not in patients:
        raise InputError(f"there is no patient {patient[:64]!r} that you see. Import a scan of this patient first.")
    event = checked_event(kind, date, given, today)
    return NewEvent(patient, event.date, str(event.kind), event.detail)
