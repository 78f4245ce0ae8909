"""After radiotherapy a growing lesion may be necrosis: a state of its own, neither response nor progression.

Radiation of another place does not count; of a place that is not known it does, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.remembered.rows import Event
from core.remembered.vocabulary import EventKind
from core.review.body_sites import BodySite, apart, read_site
from core.review.event_words import read_events
from core.types import parse_date

CANNOT_TELL = "necrosis or recurrence cannot be told apart"
#: Growth within this many days of radiotherapy may be radiation necrosis: mostly within two years (assumed).
WINDOW_DAYS = 730
#: Techniques that say where, for who did not.
_SITE_OF_TECHNIQUE = {"whole-brain": "brain", "gamma-knife": "head and neck", "total-body": "whole body"}


@dataclass(frozen=True)
class RadiotherapyCourse:
    """A course of radiotherapy.

    Args:
        date: its first day. end_date: its last; None where it is not known.
        site: where; without names where it is not given, with `unread` where it is not understood.
        site_text: as it was written, "" where it is not given.
    """

    date: str
    end_date: str | None
    technique: str
    site: BodySite
    site_text: str

    @property
    def days_text(self) -> str:
        """Its days, as sentences name them."""
        return self.date if self.end_date in (None, self.date) else f"{self.date} to {self.end_date}"


def radiotherapy_courses(events: Iterable[Event]) -> list[RadiotherapyCourse]:
    """Courses by date: entered as such, or named in the free text of an event of any kind but a stop."""
    found = []
    for one in read_events(events):
        if one.kind is not EventKind.RADIOTHERAPY:
            continue
        technique, text = str(one.detail["technique"]), str(one.detail.get("site", ""))
        if one.radiation is not None:
            site = BodySite(one.radiation.site.names, one.radiation.site.side, one.not_recognised)
        else:
            site = read_site(text)
        if not text and technique in _SITE_OF_TECHNIQUE and not site.names:
            text = _SITE_OF_TECHNIQUE[technique]
            site = BodySite(read_site(text).names, None, site.unread)
        end = one.detail.get("end_date")
        found.append(RadiotherapyCourse(str(one.event.date), None if end is None else str(end), technique, site, text))
    return sorted(found, key=lambda course: course.date)


def radiotherapy_dates(events: Iterable[Event]) -> list[str]:
    """First days of the courses of radiotherapy, in order."""
    return [course.date for course in radiotherapy_courses(events)]


def cannot_tell(
    events: Iterable[Event], timepoint: str, percent_change: float | None, lesion_site: str | None = None
) -> str | None:
    """The state's name and the course it rests on, for a lesion that has grown within two years of radiotherapy.

    Args:
        timepoint: date of the later scan; percent_change: of the volume since the scan before, None for a new lesion.
        lesion_site: where the lesion lies, in words; None: nobody said, so that every course counts.

    Returns:
        None when it has not grown, or no radiotherapy of its site, or of one that is not known, came before within
        `WINDOW_DAYS` of its last known day.
    """
    if percent_change is not None and percent_change <= 0:
        return None
    day, own = parse_date(timepoint), read_site(lesion_site or "")
    before = [course for course in radiotherapy_courses(events) if _counts(course, day.toordinal())]
    here = [course for course in before if not apart(course.site, own)]
    if not here:
        return None
    last = here[-1]
    return f"{CANNOT_TELL} (radiotherapy {last.days_text}, {_where(last, lesion_site, own)})"


def _counts(course: RadiotherapyCourse, day: int) -> bool:
    first = parse_date(course.date).toordinal()
    last = first if course.end_date is None else parse_date(course.end_date).toordinal()
    return first <= day <= last + WINDOW_DAYS


def _where(course: RadiotherapyCourse, lesion_site: str | None, own: BodySite) -> str:
    """Where, and why it counts where that is not certain."""
    if not course.site_text:
        return "site not given"
    if not course.site.is_read:
        return f"site {course.site_text!r} not understood in full"
    if lesion_site is None:
        return f"of the {course.site_text}; where the lesion lies is not given"
    if not own.is_read:
        return f"of the {course.site_text}; where the lesion lies, {lesion_site!r}, is not understood in full"
    return f"of the {course.site_text}"
