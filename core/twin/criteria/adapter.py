"""A patient's timeline as the visits that the criteria judge, with what persons said beside it.

RECIST 1.1 (4.3.5, not re-read) calls a lesion new, and PD, where its place was not scanned at baseline; here a person
must say so, as the timeline cannot tell a new lesion there from an old one.

A mask from before short axes and PET were measured with it has none: nodes and SULpeak are then not known, which the
criteria say (NE).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from core.errors import InputError
from core.lesions.compartments import NOT_TOLD
from core.twin.cell_measures import CellMeasures
from core.twin.criteria.values import (
    ClinicalStatus,
    Enhancing,
    Measurement,
    NewLesion,
    NontargetStatus,
    Protocol,
    UptakeChange,
    Visit,
)
from core.twin.timeline import PatientTimeline
from core.twin.timeline_cells import Cell

_THERE = ("measured", "too small to measure")


@dataclass(frozen=True)
class SteroidDose:
    """A corticosteroid dose a day from a date on, as dexamethasone (mg); 0: none; None: not known."""

    date: str
    dexamethasone_mg: float | None


@dataclass(frozen=True)
class ClinicalWord:
    """A person's word on the clinical status on a date, against baseline."""

    date: str
    status: ClinicalStatus


@dataclass(frozen=True)
class VisitWord:
    """What a person said of one visit; what nobody said is None.

    Args:
        new_lesions: lesion -> whether it is unequivocally new.
        Others: as in `Visit`.
    """

    timepoint: str
    nontarget: NontargetStatus | None = None
    nontarget_grew: bool | None = None
    new_lesions: Mapping[str, bool] = field(default_factory=dict)
    deauville: int | None = None
    uptake_change: UptakeChange | None = None
    uptake_like_background: bool | None = None
    liver_sul_mean: float | None = None
    liver_sul_sd: float | None = None
    tlg_ml: float | None = None


def from_timeline(
    timeline: PatientTimeline,
    protocol: Protocol,
    steroids: Iterable[SteroidDose] = (),
    clinical: Iterable[ClinicalWord] = (),
    words: Iterable[VisitWord] = (),
    nodes: frozenset[str] = frozenset(),
    sul_peaks: Mapping[tuple[str, str], float] | None = None,
) -> tuple[Visit, ...]:
    """One visit for every timepoint with an accepted mask, in order of time; () for none.

    Args:
        steroids: a dose goes on until the next; before the first it is not known.
        clinical: a word counts at the first visit on or after its day, and at no later one.
        nodes: lesions that are lymph nodes and that the protocol does not name.
        sul_peaks: (lesion, timepoint) -> SULpeak, instead of what was stored with the masks.

    Raises:
        InputError: a word on a timepoint that is no visit, or two on one.
    """
    days = [day for day in timeline.timepoints if day in timeline.visits or day in timeline.not_read]
    spoken = tuple(words)
    said = {word.timepoint: word for word in spoken}
    if len(said) != len(spoken) or not set(said) <= set(days):
        raise InputError("Expected at most one word on each visit, and none on another day. Enter each once.")
    peaks, doses, status = sul_peaks or {}, sorted(steroids, key=lambda d: d.date), tuple(clinical)
    is_node = nodes | {t.lesion_id for t in (*protocol.targets, *protocol.nontargets) if t.is_node}
    found = []
    for before, day in zip(["", *days], days, strict=False):
        word = said.get(day, VisitWord(day))
        found.append(
            Visit(
                day,
                timeline.days(day),
                tuple(measurement_of(cell, peaks.get((cell.lesion_id, day))) for cell in timeline.column(day)),
                word.nontarget,
                word.nontarget_grew,
                _new_lesions(timeline, protocol, day, word.new_lesions, is_node),
                _dose_on(doses, day),
                _status_on(status, before, day),
                word.deauville,
                word.uptake_change,
                word.uptake_like_background,
                word.liver_sul_mean,
                word.liver_sul_sd,
                word.tlg_ml,
            )
        )
    return tuple(found)


def measurement_of(cell: Cell, sul_peak: float | None = None) -> Measurement:
    """A cell as criteria take it: with the diameters that a person set by hand, where one did."""
    if cell.state not in _THERE:
        return Measurement(cell.lesion_id, cell.state, into=cell.into)
    found = cell.measures or CellMeasures()
    peak = found.sul_peak if sul_peak is None else sul_peak
    return Measurement(
        cell.lesion_id,
        cell.state,
        cell.longest_in_force_mm,
        cell.short_axis_in_force_mm,
        cell.volume_mm3,
        peak if cell.state == "measured" else None,
        cell.into,
        found.sul_why if peak is None else "",
        _enhancing(cell, found) if cell.state == "measured" else None,
        cell.slices,
    )


def _enhancing(cell: Cell, found: CellMeasures) -> Enhancing | None:
    """Of what enhances; a diameter that a person set by hand is what they mean, there too."""
    by_hand = (cell.hand_longest_diameter_mm, cell.hand_short_axis_mm)
    longest, short = (
        one if hand is None else hand
        for one, hand in zip((found.enhancing_mm, found.enhancing_short_axis_mm), by_hand, strict=True)
    )
    volume = found.enhancing_mm3
    if longest is None or short is None or volume is None:
        return None
    return Enhancing(longest, short, volume, float((found.compartments_mm3 or {}).get(NOT_TOLD, 0.0)))


def _new_lesions(
    timeline: PatientTimeline, protocol: Protocol, day: str, words: Mapping[str, bool], nodes: frozenset[str]
) -> tuple[NewLesion, ...]:
    """The lesions that are there and were not at baseline, and labels of which nobody can tell which lesion they are.

    Those whose place was not in view at baseline, and such labels, count only by a person's word. That word stands at
    the visit at which it was said, and a lesion's size at the others.
    """
    if day <= protocol.baseline:
        return ()
    named = {t.lesion_id for t in (*protocol.targets, *protocol.nontargets)}
    found = []
    for cell in timeline.column(day):
        lesion = cell.lesion_id
        if lesion in named or cell.state not in _THERE or not is_new_since(timeline, lesion, day, protocol.baseline):
            continue
        at_baseline = timeline.cell(lesion, protocol.baseline)
        sure = at_baseline is not None and at_baseline.state == "absent"
        size = cell.short_axis_in_force_mm if lesion in nodes else cell.longest_in_force_mm
        found.append(NewLesion(lesion, size, lesion in nodes, words.get(lesion, None if sure else False)))
    found += [
        NewLesion(label.lesion_id, None, False, words.get(label.lesion_id, False))
        for label in timeline.unlinked_at(day)
    ]
    return tuple(found)


def is_new_since(timeline: PatientTimeline, lesion_id: str, timepoint: str, baseline: str) -> bool:
    """Whether a lesion was absent or not in view at baseline, was not there before, and is no piece of a split one."""
    row = timeline.row(lesion_id)
    at_baseline = timeline.cell(lesion_id, baseline)
    if at_baseline is None or at_baseline.state not in ("absent", "not in view"):
        return False
    if any(cell.state in _THERE for cell in row if cell.timepoint <= baseline):
        return False
    days = [cell.timepoint for cell in row if baseline < cell.timepoint <= timepoint]
    return not any(
        cell.state == "split into" and lesion_id in cell.into for day in days for cell in timeline.column(day)
    )


def _dose_on(doses: Sequence[SteroidDose], day: str) -> float | None:
    """The dose that was entered last up to that day; None before the first."""
    return next((dose.dexamethasone_mg for dose in reversed(doses) if dose.date <= day), None)


def _status_on(words: Sequence[ClinicalWord], before: str, day: str) -> ClinicalStatus:
    """The last word after the visit before and up to this one."""
    fitting = [word for word in words if before < word.date <= day]
    return max(fitting, key=lambda word: word.date).status if fitting else "unknown"
