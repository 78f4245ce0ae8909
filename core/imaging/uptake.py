"""When a tracer was given and when PET was measured, as the headers say: the hours that it decayed in between."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from core.errors import InputError
from core.imaging.headers.dicom_times import moment, zone

#: After so many half-lives a thousandth is left, too little for an image.
_MOST_HALF_LIVES = 10.0
#: Without a date an injection later in the day than the scan was on the day before, if that is no longer ago than this.
_HALF_LIVES_OVER_MIDNIGHT = 4.0
_SAME_MINUTE_S = 60.0
_SHORTEST_H = 1.0  # of the shortest-lived, too
_LONGEST_FRAME_S = 4 * 3600.0


@dataclass(frozen=True)
class Injection:
    """When the tracer was given, on the clock of the series; `dated`: the header says the day, too. `by_clock` is what
    it says as a time of day alone."""

    time: dt.datetime
    dated: bool
    by_clock: dt.datetime | None = None

    @property
    def contradiction(self) -> str:
        """In words, where the two times of the header are more than a minute apart; else empty."""
        if self.by_clock is None:
            return ""
        apart = abs((self.time - self.by_clock).total_seconds()) % 86_400
        if min(apart, 86_400 - apart) <= _SAME_MINUTE_S:
            return ""
        return (
            f"The file has two times of injection, {self.time:%H:%M} with a date (0018,1078) and {self.by_clock:%H:%M} "
            "without (0018,1072); SUV is computed from the dated one."
        )


def injection(tracer: Dataset, first: Dataset, name: str) -> Injection | None:
    """When the tracer was given, by one item of the radiopharmaceutical sequence and the first slice's header; None
    where no time is readable.

    Raises:
        InputError: its time has an offset from UTC and nothing says what the scan's offset is.
    """
    whole = str(tracer.get("RadiopharmaceuticalStartDateTime") or "").strip()
    by_clock = moment(first.get("SeriesDate"), tracer.get("RadiopharmaceuticalStartTime"))
    dated = moment(whole[:8], whole[8:]) if len(whole) >= 12 else None
    if dated is None:
        return None if by_clock is None else Injection(by_clock, dated=False)
    own, of_series = zone(whole), zone(str(first.get("TimezoneOffsetFromUTC") or ""))
    if own is None or own == of_series:
        return Injection(dated, True, by_clock)
    if of_series is not None:
        return Injection(dated + of_series - own, True, by_clock)
    if by_clock is not None and by_clock.time() == dated.time():
        return Injection(dated, dated=True)  # both are on the same clock, whatever its offset
    raise InputError(
        f"{name}: expected TimezoneOffsetFromUTC (0008,0201), as RadiopharmaceuticalStartDateTime (0018,1078) has an "
        "offset from UTC and the scan's times have none. Export it with (0008,0201), or as SUV (GML)."
    )


def uptake_hours(injected: Injection, started: dt.datetime, half_life_h: float, name: str) -> float:
    """Hours from the injection to the moment that voxels are corrected to."""
    hours = (started - injected.time).total_seconds() / 3600.0
    longest = max(_HALF_LIVES_OVER_MIDNIGHT * half_life_h, _SHORTEST_H)
    if hours < 0 and not injected.dated and hours + 24.0 <= longest:
        hours += 24.0  # only the time of day is recorded: the injection was before midnight
    if hours < 0:
        raise InputError(
            f"{name}: expected the scan after its injection, got a scan {-hours * 60:.0f} min before it. "
            "Correct (0018,1072) or (0018,1078), or export the series as SUV (GML)."
        )
    if hours > _MOST_HALF_LIVES * half_life_h:
        raise InputError(
            f"{name}: expected the scan 0 to {_MOST_HALF_LIVES * half_life_h:.3g} h after injection (ten half-lives), "
            f"got {hours:.1f} h. Correct (0018,1072) or (0018,1078)."
        )
    return hours


def scan_start(slices: Sequence[Dataset]) -> tuple[dt.datetime | None, list[str]]:
    """The moment START-corrected voxels are corrected to: the series' start, unless that is after the acquisition."""
    series = moment(slices[0].get("SeriesDate"), slices[0].get("SeriesTime"))
    acquired = [moment(header.get("AcquisitionDate"), header.get("AcquisitionTime")) for header in slices]
    earliest = min((time for time in acquired if time), default=None)
    if series and earliest and series > earliest:
        return earliest, [
            "The PET series is dated after its acquisition; SUV is corrected to the first acquisition time."
        ]
    return series or earliest, []


@dataclass(frozen=True)
class Frame:
    """The measuring of a slice: when it began, and for how many seconds its voxels are a mean."""

    start: dt.datetime
    duration_s: float = 0.0

    def correction_to_start(self, half_life_s: float) -> float:
        """What turns the mean activity of the frame into the activity at its start; 1 for a duration of 0."""
        decays = math.log(2.0) * self.duration_s / half_life_s
        return decays / -math.expm1(-decays) if decays > 0 else 1.0


def frames_of(slices: Sequence[Dataset]) -> list[Frame] | None:
    """Each slice's own frame, of voxels that were not corrected for decay; None unless all have time and duration."""
    frames = []
    for header in slices:
        start = moment(header.get("AcquisitionDate") or header.get("SeriesDate"), header.get("AcquisitionTime"))
        try:
            duration_s = float(header.get("ActualFrameDuration") or 0.0) / 1000.0
        except (TypeError, ValueError):
            return None
        if start is None or not 0.0 < duration_s < _LONGEST_FRAME_S:
            return None
        frames.append(Frame(start, duration_s))
    return frames
