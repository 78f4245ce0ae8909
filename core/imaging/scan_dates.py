"""The day on which a scan was made: which attribute of its file says it, and which days it cannot be."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from pydicom import Dataset

from core.errors import InputError
from core.imaging.headers.dicom_times import moment
from core.types import parse_date

#: The attributes that say a day, the one that counts first. A study's date is what its report and its request carry.
KEYWORDS = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
#: A contour is drawn, and a series made anew, long after; only these tell when the patient lay in the scanner.
_OF_THE_SCAN = ("StudyDate", "AcquisitionDate")
#: Characters of a reason.
MAX_REASON = 500
#: An examination may go on over midnight.
_SAME_VISIT_DAYS = 1


class DateFound(NamedTuple):
    """A day that a header says, as YYYY-MM-DD, the attribute that says it, and attributes that say another day."""

    date: str | None
    source: str | None
    others: tuple[tuple[str, str], ...] = ()


def date_of(header: Dataset) -> DateFound:
    """The day that a header says; without any, three times nothing."""
    days = {name: found.date() for name in KEYWORDS if (found := moment(header.get(name), "000000"))}
    if not days:
        return DateFound(None, None)
    source = next(iter(days))
    others = tuple(
        (name, day.isoformat())
        for name, day in days.items()
        if name in _OF_THE_SCAN and abs((day - days[source]).days) > _SAME_VISIT_DAYS
    )
    return DateFound(days[source].isoformat(), source, others)


def birth_year_of(header: Dataset) -> int | None:
    """The year of birth that a header says; None where it says none, or one that anonymisers write for none."""
    found = moment(header.get("PatientBirthDate"), "000000")
    return found.year if found is not None and found.year > 1900 else None


def check_scan_date(date: str, birth_year: int | None = None, today: dt.date | None = None) -> dt.date:
    """The date of a timepoint, if a scan can have been made then.

    Args:
        date: YYYY-MM-DD.
        birth_year: of the patient, where it is known.
        today: by default the latest day that it is anywhere on earth.

    Raises:
        InputError: no date, before 1970, in the future, or before the year of birth.
    """
    day = parse_date(date)
    latest = today or (dt.datetime.now(dt.UTC) + dt.timedelta(hours=14)).date()
    if day > latest:
        raise InputError(
            f"Expected the date of a scan that was made, got {date}, which is in the future. Correct the date."
        )
    if birth_year is not None and day.year < birth_year:
        raise InputError(
            f"Expected a date in the patient's life, got {date}, before the year of birth that the files say "
            f"({birth_year}). Correct the date, or check whose files these are."
        )
    return day


def differs_from_file(date: str, of_file: DateFound, reason: str) -> bool:
    """Whether a person's date is another than the file's, for which they gave a reason.

    Args:
        date: what the person says.
        reason: why it is another than the file's; "" where they did not say.

    Raises:
        InputError: the dates differ and there is no reason (names both), or it is too long or no plain text.
    """
    if of_file.date is None or of_file.date == date:
        return False
    if not reason.strip():
        raise InputError(
            f"The file says {of_file.date} ({of_file.source}), you say {date}. Nothing was stored. Take the file's "
            "date, or say why it is another one (on the page by its box, on the command line with "
            "--date-differs REASON)."
        )
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise InputError(f"Expected the reason of another date in at most {MAX_REASON} printable characters.")
    return True
