"""Calendar dates on the time axis of every figure of the trajectory, and how long after baseline each of them is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from core.types import VolumePoint, parse_date


@dataclass(frozen=True)
class TimeAxis:
    """Days of a curve as dates.

    Args:
        zero: the date of day 0. baseline_days: the day that hovers count from.
        since: what that day is, in words.
    """

    zero: dt.date
    baseline_days: float = 0.0
    since: str = "the first visit"

    def date(self, days: float) -> str:
        """The date of a day as plotly reads it, with the time of day for a part of one."""
        moment = dt.datetime.combine(self.zero, dt.time()) + dt.timedelta(days=float(days))
        return moment.date().isoformat() if float(days).is_integer() else moment.isoformat(timespec="minutes")

    def dates(self, days: Iterable[float]) -> list[str]:
        """The dates of several days."""
        return [self.date(one) for one in days]

    def told(self, days: float) -> str:
        """A day for a hover: its date, and how long after baseline it is."""
        after = round(float(days) - self.baseline_days)
        where = f"{abs(after)} day{'' if abs(after) == 1 else 's'} {'before' if after < 0 else 'after'}"
        return f"{self.date(days)[:10]}, {where if after else 'at'} {self.since}"

    def all_told(self, days: Iterable[float]) -> list[str]:
        """`told` of several days."""
        return [self.told(one) for one in days]


def axis_of(points: Sequence[VolumePoint], baseline: str | None = None) -> TimeAxis | None:
    """The axis on which those points lie, counted from a baseline, or from day 0; None without a point."""
    if not points:
        return None
    zero = parse_date(points[0].timepoint) - dt.timedelta(days=points[0].days)
    if baseline is None:
        return TimeAxis(zero)
    return TimeAxis(zero, float((parse_date(baseline) - zero).days), "baseline")


def latest(figure: go.Figure) -> str:
    """The last date of all traces; "" without one."""
    return max((str(max(trace.x)) for trace in figure.data if trace.x is not None and len(trace.x)), default="")


def in_dates(figure: go.Figure) -> None:
    """The time axis in dates."""
    figure.update_xaxes(type="date", tickformat="%d %b %Y", nticks=9)
