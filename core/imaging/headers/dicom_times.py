"""Dates, times and offsets from UTC as DICOM writes them, and as it wrote them before version 3."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

_DATE = re.compile(r"(\d{4})([.-]?)(\d\d)\2(\d\d)")  # 20240305; ACR-NEMA had 2024.03.05
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.\d*)?)?)?(?:[+-]\d{4})?")  # 110000.00; ACR-NEMA had 11:00:00
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)$")


def moment(date: Any, time: Any) -> dt.datetime | None:
    """A DICOM DA and TM value (or the two parts of a DT) as a datetime without fractions or offset; None if either is
    missing or malformed."""
    day, clock = _DATE.fullmatch(str(date or "").strip()), _TIME.fullmatch(str(time or "").strip())
    if day is None or clock is None:
        return None
    try:
        of_day = dt.time(int(clock[1]), int(clock[2] or 0), int(clock[3] or 0))
        return dt.datetime.combine(dt.date(int(day[1]), int(day[3]), int(day[4])), of_day)
    except ValueError:
        return None


def zone(text: str) -> dt.timedelta | None:
    """The offset from UTC at the end of a DT value or in (0008,0201), "+0100"; None where there is none."""
    found = _OFFSET.search(text.strip())
    if found is None:
        return None
    offset = dt.timedelta(hours=int(found[2]), minutes=int(found[3]))
    return -offset if found[1] == "-" else offset
