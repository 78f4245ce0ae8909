"""One patient's timeline: every lesion at every timepoint in exactly one state, with where each number comes from.

Built once from stored rows, and frozen. What comes after it (curves, changes, response, cohort, evidence, exports)
reads it, and neither masks nor scans.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from core.remembered.hand_measurements import HandMeasurement
from core.remembered.links import (
    LesionLink,
    StoredTransform,
    by_mask,
    is_unlinked,
    lesion_order,
)
from core.review.decisions import counted_volume_mm3, rejected_lesion_ids, withdrawn_mask_ids
from core.twin.hand_diameters import with_hand_diameters
from core.twin.installation_noise import NoiseEstimate
from core.twin.measured_visits import MeasuredVisit, TracedMask, measured_visits
from core.twin.own_noise import KIND as OWN_NOISE
from core.twin.own_noise import own_noise_in_force
from core.twin.timeline_cells import Cell, Total, UnlinkedLabel
from core.twin.timeline_places import Fields, current_transforms
from core.twin.timeline_states import VisitRows, cell_of
from core.twin.timeline_store import TimelineStore
from core.types import TOTAL_LESION_ID, Decision, VolumePoint, parse_date


@dataclass(frozen=True)
class TimelineRows:
    """Stored rows of one patient.

    Args:
        timepoints: dates, ascending.
        visits: accepted masks that can be read, by timepoint; not_read: accepted ones that cannot be.
        why_open: timepoint without a visit -> why, in words.
        links: of the patient's masks. transforms: between scans that are there now.
        fields: where the scans lie in space.
        installation: this installation's own noise, where it was learned.
        by_hand: measurements that were kept, oldest first.
    """

    patient_id: str
    timepoints: tuple[str, ...]
    visits: Mapping[str, MeasuredVisit]
    not_read: Mapping[str, TracedMask]
    why_open: Mapping[str, str]
    links: Sequence[LesionLink]
    transforms: Sequence[StoredTransform]
    fields: Fields
    installation: tuple[NoiseEstimate, ...] = ()
    by_hand: Sequence[HandMeasurement] = ()


@dataclass(frozen=True)
class PatientTimeline:
    """What is known of every lesion of a patient at every timepoint.

    Args:
        timepoints: dates, ascending, with and without an accepted mask.
        lesions: those that an accepted mask has, by number.
        cells: of each lesion, one a timepoint; by lesion, then by time.
        totals: one an accepted mask that can be read, by time.
        unlinked: labels of which nobody can tell which lesion they are.
        visits: how each accepted mask was measured, by timepoint.
        not_read: accepted masks that cannot be read, and why_open why a timepoint has no visit; by timepoint.
        transforms: between scans that are there now.
        installation: this installation's own noise, where it was learned.
    """

    patient_id: str
    timepoints: tuple[str, ...]
    lesions: tuple[str, ...]
    cells: tuple[Cell, ...]
    totals: tuple[Total, ...]
    unlinked: tuple[UnlinkedLabel, ...]
    visits: Mapping[str, MeasuredVisit]
    not_read: Mapping[str, TracedMask]
    why_open: Mapping[str, str]
    transforms: tuple[StoredTransform, ...]
    installation: tuple[NoiseEstimate, ...] = ()

    def row(self, lesion_id: str) -> tuple[Cell, ...]:
        """The cells of a lesion by time; () for one that it has not."""
        if lesion_id not in self.lesions:
            return ()
        start = self.lesions.index(lesion_id) * len(self.timepoints)
        return self.cells[start : start + len(self.timepoints)]

    def cell(self, lesion_id: str, timepoint: str) -> Cell | None:
        """One cell; None for a lesion or a timepoint that it has not."""
        row = self.row(lesion_id)
        return row[self.timepoints.index(timepoint)] if row and timepoint in self.timepoints else None

    def column(self, timepoint: str) -> tuple[Cell, ...]:
        """The cells of all lesions at a timepoint; () for one that it has not."""
        if timepoint not in self.timepoints:
            return ()
        return self.cells[self.timepoints.index(timepoint) :: len(self.timepoints)]

    def unlinked_at(self, timepoint: str) -> tuple[UnlinkedLabel, ...]:
        """The labels there of which nobody can tell which lesion they are."""
        return tuple(label for label in self.unlinked if label.timepoint == timepoint)

    def total(self, timepoint: str) -> Total | None:
        """The total of a visit; None where there is no accepted mask that can be read."""
        return next((total for total in self.totals if total.timepoint == timepoint), None)

    def days(self, timepoint: str) -> float:
        """Since the first timepoint."""
        return float((parse_date(timepoint) - parse_date(self.timepoints[0])).days)

    @cached_property
    def followed(self) -> tuple[str, ...]:
        """Lesions that count somewhere; one that was rejected wherever it is has no curve."""
        seen = {cell.lesion_id for cell in self.cells if cell.state in ("measured", "too small to measure")}
        return tuple(lesion for lesion in self.lesions if lesion in seen)

    @property
    def points(self) -> list[VolumePoint]:
        """The volumes that may enter a curve: measured, and 0 where absent; by lesion and time, "total" last."""
        followed = frozenset(self.followed)
        found = [
            VolumePoint(c.timepoint, self.days(c.timepoint), c.volume_mm3, c.lesion_id, c.mask_id or "", c.version or 0)
            for c in self.cells
            if c.volume_mm3 is not None and c.lesion_id in followed
        ]
        return found + [
            VolumePoint(t.timepoint, self.days(t.timepoint), t.volume_mm3, TOTAL_LESION_ID, t.mask_id, t.version)
            for t in self.totals
            if t.volume_mm3 is not None
        ]

    def held_by(self, lesion_id: str, timepoint: str) -> frozenset[str]:
        """The other lesions that are part of that one's contour there, as they were merged into it."""
        merged = [cell for cell in self.column(timepoint) if cell.state == "merged into"]
        found: set[str] = set()
        size = -1 if merged else 0
        while size < len(found):  # what was merged into one of them is in it too
            size = len(found)
            within = {lesion_id, *found}
            found |= {cell.lesion_id for cell in merged if within & set(cell.into)} - {lesion_id}
        return frozenset(found)

    def parts_of(self, lesion_id: str, timepoint: str) -> tuple[Cell, ...]:
        """The cells of the lesions that it is split into there; () where it is not."""
        cell = self.cell(lesion_id, timepoint)
        if cell is None or cell.state != "split into":
            return ()
        return tuple(c for c in self.column(timepoint) if c.lesion_id in cell.into)

    def is_new(self, lesion_id: str, timepoint: str) -> bool:
        """Whether a lesion is first measured there, after a visit in which its place was in view and it was absent; a
        part of a lesion that was split is not new."""
        row = self.row(lesion_id)
        first = next((n for n, cell in enumerate(row) if cell.state == "measured"), None)
        if first is None or row[first].timepoint != timepoint:
            return False
        split = any(c.state == "split into" and lesion_id in c.into for c in self.column(timepoint))
        return not split and any(cell.state == "absent" for cell in row[:first])

    @property
    def new_lesions(self) -> dict[str, str]:
        """Lesion -> the timepoint at which it is new."""
        return {c.lesion_id: c.timepoint for c in self.cells if self.is_new(c.lesion_id, c.timepoint)}


def patient_timeline(store: TimelineStore, patient_id: str) -> PatientTimeline:
    """The timeline of a patient; without cells for one who is not known or has no accepted mask with a lesion."""
    return build_timeline(timeline_rows(store, patient_id))


def timeline_rows(store: TimelineStore, patient_id: str) -> TimelineRows:
    """What a timeline is built from. Only rows that the store gives out: of what somebody reads blind there is nothing.

    Masks from before there were links have none; their labels are lesions of that number.
    """
    versions, problems = store.masks.of(patient_id), store.masks.problems(patient_id)
    measured = measured_visits(store, patient_id)
    scans: dict[str, set[str]] = {}
    for scan in store.scans.of(patient_id):
        scans.setdefault(scan.timepoint, set()).add(scan.sha256)
    timepoints = tuple(sorted(store.patients.timepoints(patient_id)))
    return TimelineRows(
        patient_id,
        timepoints,
        {day: visit for day, visit in measured.items() if visit.record.mask_id not in problems},
        {day: visit.record for day, visit in measured.items() if visit.record.mask_id in problems},
        _why_open(store, patient_id, timepoints, versions, problems),
        store.links.of(patient_id),
        current_transforms(store.transforms.of(patient_id), scans),
        Fields(lambda day: store.scans.reference_grid(patient_id, day)),
        own_noise_in_force(store.reference_sets.all(OWN_NOISE)),
        store.measurements.of(patient_id),
    )


def _why_open(
    store: TimelineStore,
    patient_id: str,
    timepoints: Sequence[str],
    versions: Sequence[TracedMask],
    problems: Mapping[str, str],
) -> dict[str, str]:
    decisions: Sequence[Decision] = store.decisions.of(patient_id)
    back, unproven = withdrawn_mask_ids(decisions), store.decisions.to_affirm()
    found = {}
    for day in timepoints:
        why = why_no_visit([v for v in versions if v.timepoint == day], problems, back, unproven)
        if why and store.readings.is_blind(patient_id, day):
            why += "; it is read blind, and what others drew there is not shown"
        if why:
            found[day] = why
    return found


def why_no_visit(
    versions: Sequence[TracedMask],
    problems: Mapping[str, str],
    withdrawn: Collection[str],
    unproven: Mapping[str, str],
) -> str:
    """Why the versions of a timepoint give no visit; "" where one of them is accepted and can be read."""
    final = next((version for version in versions if version.status == "accepted"), None)
    if final is not None:
        lost = problems.get(final.mask_id)
        return f"{lost}: accepted version {final.version}, whose volume is unknown now" if lost else ""
    if not versions:
        return "no mask yet"
    proposed = [version for version in versions if version.status == "proposed"]
    if not proposed:
        return "every version was rejected"
    newest = proposed[-1].mask_id
    if newest in unproven:
        open_for = f"and waits to be affirmed: {unproven[newest]}"
    else:
        open_for = "its acceptance was withdrawn" if newest in withdrawn else "nobody has decided"
    return f"version {proposed[-1].version} is proposed, {open_for}"


def build_timeline(rows: TimelineRows) -> PatientTimeline:
    """The timeline of those rows."""
    accepted = [*(visit.record for visit in rows.visits.values()), *rows.not_read.values()]
    names = {str(lesion["lesion_id"]) for record in accepted for lesion in record.lesions}
    lesions = tuple(sorted((name for name in names if not is_unlinked(name)), key=lesion_order))
    links, visits = by_mask(rows.links), {}
    for day, visit in rows.visits.items():
        visits[day] = VisitRows(visit, tuple(links.get(visit.record.mask_id, ())))
    cells = itertools.chain.from_iterable(_row(rows, visits, lesion) for lesion in lesions)
    timeline = PatientTimeline(
        rows.patient_id,
        rows.timepoints,
        lesions,
        tuple(with_hand_diameters(cells, rows.by_hand)),
        (),
        tuple(unlinked for visit in visits.values() for unlinked in visit.unlinked),
        rows.visits,
        rows.not_read,
        rows.why_open,
        tuple(rows.transforms),
        rows.installation,
    )
    return replace(timeline, totals=tuple(_total(timeline, visit) for visit in visits.values()))


def _row(rows: TimelineRows, visits: Mapping[str, VisitRows], lesion_id: str) -> list[Cell]:
    """The cells of a lesion by time. What was merged or split stays so until it is seen again or said to be gone."""
    found: list[Cell] = []
    standing: Cell | None = None
    for day in rows.timepoints:
        if day not in visits:
            why = rows.why_open.get(day, "no accepted mask")
            found.append(Cell(lesion_id, day, "not assessed", f"{why[:1].upper()}{why[1:]}."))
            continue
        cell = cell_of(visits, lesion_id, day, standing, rows.fields, rows.transforms)
        if cell.state in ("merged into", "split into"):
            standing = cell
        elif cell.state not in ("not assessed", "not in view"):
            standing = None
        found.append(cell)
    return found


def _total(timeline: PatientTimeline, rows: VisitRows) -> Total:
    """A number where every lesion's cell is one, or is merged into one that is, or split into such.

    One that a person rejected there is no lesion there: it is in no total, and changes between totals of different
    lesions have no verdict. A label that nobody could link may be any of them, so there is no total beside it.
    """
    record = rows.visit.record
    missing, counted = [], []
    for cell in timeline.column(record.timepoint):
        if cell.lesion_id not in timeline.followed or cell.state == "rejected":
            continue
        if cell.state == "measured":
            counted.append(cell.lesion_id)
        elif not is_accounted_for(timeline, cell):
            missing.append(f"{cell.lesion_id} {cell.state}")
    missing += [f"{label.lesion_id} is no known lesion" for label in rows.unlinked]
    volume = None if missing else counted_volume_mm3(record)
    why = f"No total: {', '.join(missing)}." if missing else ""
    return Total(record.timepoint, record.mask_id, record.version, volume, tuple(counted), why)


def is_accounted_for(timeline: PatientTimeline, cell: Cell, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a lesion's volume is in the total, as its own number or in the lesions that it became."""
    if cell.is_number:
        return True
    if cell.state not in ("merged into", "split into") or cell.lesion_id in seen:
        return False
    became = [timeline.cell(lesion, cell.timepoint) for lesion in cell.into]
    seen |= {cell.lesion_id}
    return bool(became) and all(other is not None and is_accounted_for(timeline, other, seen) for other in became)


def rejected_at(timeline: PatientTimeline, timepoint: str) -> tuple[str, ...]:
    """Lesions of the accepted mask there that were rejected."""
    visit = timeline.visits.get(timepoint)
    return () if visit is None else tuple(sorted(rejected_lesion_ids(visit.record)))
