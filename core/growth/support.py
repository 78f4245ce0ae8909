"""What a forecast needs of what was observed: for how long, how far ahead that reaches, and a last value to believe.

The figures are of the 1,016 lesions in the development file of Laleh et al. 2022 (10.1371/journal.pcbi.1009822);
`make bench ARGS=forecast_support` prints them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.growth.curves import FLOOR_MM3

Floats = NDArray[np.float64]

#: Fewer measurable volumes than this and nothing is forecast.
MIN_POINTS = 3
#: Nor from fewer days than this between the first scan and the last. Of 2,765 histories that forecasts were learned
#: from, one was shorter (33 days), and two were shorter than eight weeks: of less, nothing was learned.
MIN_SPAN_DAYS = 42.0
#: A forecast reaches so many times as far ahead as the lesion was observed. Beyond, the 80 % bands held for .73.
MOST_SPANS = 2.0
#: From so many times the time observed on, a note says that it looks further ahead than back.
WARNED_SPANS = 1.0
#: ln(volume / the one before), as over six weeks (time counts by its root, from two weeks on), beyond which the last
#: volume is asked about: of 4,796 steps from one scan to the next 99.9 % were below the first, and 99.9 % above the
#: second. 13-fold and 1/220 in six weeks.
STEEPEST_RISE, STEEPEST_FALL = 2.56, -5.40
STEP_DAYS, SHORTEST_STEP_DAYS = 42.0, 14.0


def why_no_forecast(volumes_mm3: Floats, days: Floats) -> str | None:
    """Why no forecast can be made from these volumes (n,) at these days (n,), ascending; or None."""
    measurable = int((volumes_mm3 > FLOOR_MM3).sum())
    if measurable < MIN_POINTS:
        return (
            f"A forecast needs at least {MIN_POINTS} accepted masks at different dates in which the lesion is larger "
            f"than 5 mm across; there {'is' if measurable == 1 else 'are'} {measurable or 'none'}. "
            "Accept more timepoints."
        )
    span = float(days[-1] - days[0])
    if span >= MIN_SPAN_DAYS:
        return None
    return (
        f"A forecast needs accepted masks over at least {MIN_SPAN_DAYS:.0f} days; the first and the last are "
        f"{_days(span)} apart, and no lesion that forecasts were learned from was observed for so short a time. "
        "Accept an earlier or a later timepoint."
    )


def end_days(span_days: float, max_days: float) -> float:
    """How far ahead a lesion observed for `span_days` is forecast, days: `MOST_SPANS` times as long, and no further
    than other lesions were followed (`max_days`)."""
    return min(MOST_SPANS * span_days, max_days)


def why_it_ends(span_days: float, max_days: float, asked_days: Floats) -> str | None:
    """Where a forecast that was asked for at `asked_days` (h,) after the last scan ends and why, if that is sooner."""
    end = end_days(span_days, max_days)
    if asked_days.max(initial=0.0) <= end:
        return None
    why = (
        f"twice the {_days(span_days)} observed" if end < max_days else "no further were enough other lesions followed"
    )
    return f"It ends after {_weeks(end)}: {why}."


def why_doubt_reach(span_days: float, max_days: float, asked_days: Floats) -> str | None:
    """From where on it looks further ahead than the lesion was observed, if it does."""
    furthest = min(float(asked_days.max(initial=0.0)), end_days(span_days, max_days))
    if furthest <= WARNED_SPANS * span_days:
        return None
    return f"Beyond {_weeks(span_days)} it looks further ahead than the lesion was observed: believe that part less."


def why_doubt_last(days: Floats, volumes_mm3: Floats, when: str = "") -> str | None:
    """Whether the last of these volumes (n,), floored, at these days (n,) is plausible after the one before: the
    question with its numbers, or None.

    Args:
        when: what the last timepoint is called, for the sentence.
    """
    if days.size < 2:
        return None
    gap = float(days[-1] - days[-2])
    before, last = float(volumes_mm3[-2]), float(volumes_mm3[-1])
    root = math.sqrt(max(gap, SHORTEST_STEP_DAYS) / STEP_DAYS)
    step = math.log(last / before)
    if STEEPEST_FALL * root <= step <= STEEPEST_RISE * root:
        return None
    rose = step > 0
    times = last / before if rose else before / last
    most = math.exp((STEEPEST_RISE if rose else -STEEPEST_FALL) * root)
    return (
        f"Is the last value plausible? {_ml(last)}{f' on {when}' if when else ''} after {_ml(before)} {_days(gap)} "
        f"before: {'×' if rose else '÷'}{times:,.0f}. Of 4,796 published steps from one scan to the next, 99.9 % "
        f"{'rose' if rose else 'fell'} by less than {'×' if rose else '÷'}{most:,.0f} over so long. "
        "Look at the mask before trusting what follows."
    )


def _ml(volume_mm3: float) -> str:
    """ "0.12 mL", "1,200 mL"; what is at the floor is at most that."""
    if volume_mm3 <= FLOOR_MM3:
        return "at most 0.07 mL (5 mm across)"
    ml = volume_mm3 / 1000.0
    return f"{ml:,.0f} mL" if ml >= 100 else f"{ml:.3g} mL"


def _days(days: float) -> str:
    return "1 day" if round(days) == 1 else f"{days:.0f} days"


def _weeks(days: float) -> str:
    weeks = round(days / 7)
    return "1 week" if weeks == 1 else f"{weeks} weeks"
