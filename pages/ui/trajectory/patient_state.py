"""What the trajectory page shows of a patient, computed once for a state of what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

from core.errors import InputError
from core.growth.forecast import Forecast
from core.remembered.protocols import StoredProtocol
from core.remembered.rows import Event
from core.twin import curve, trajectory
from core.twin.patient_responses import PatientResponses, patient_responses
from core.twin.timeline import PatientTimeline, patient_timeline
from core.twin.timeline_changes import lesion_changes
from core.twin.trajectory import IntervalChange
from core.twin.visit_doubts import doubts_at
from core.types import MaskRecord, VolumePoint
from pages.ui.frame import resources
from store import SeenStore


@dataclass(frozen=True)
class PatientState:
    """A patient as one person sees them, at one position of the ledger. What is not stored is derived when it is first
    asked for, and kept.

    Args:
        position: of what is stored and for whom; whatever is kept of the page hangs on it.
        masks: every version that the person sees, and accepted the counting one of each timepoint.
        protocol: None where nobody set one. reviewers: mask id -> who accepted it.
        simulated: timepoints whose scans are simulated.
    """

    position: str
    timeline: PatientTimeline
    masks: tuple[MaskRecord, ...]
    accepted: Mapping[str, MaskRecord]
    reviewers: Mapping[str, str]
    events: tuple[Event, ...]
    protocol: StoredProtocol | None
    simulated: tuple[str, ...]
    _kept: dict[tuple[str, str], object] = field(default_factory=dict, repr=False, compare=False)

    @property
    def patient_id(self) -> str:
        """Whose state it is."""
        return self.timeline.patient_id

    @property
    def first(self) -> str:
        """The timepoint from which days are counted."""
        return self.timeline.timepoints[0]

    @cached_property
    def series(self) -> dict[str, list[VolumePoint]]:
        """Lesion -> its points by time, "total" last."""
        return trajectory.points_by_lesion(self.timeline.points)

    @cached_property
    def left_out(self) -> dict[str, str]:
        """`core.twin.curve.exclusions`."""
        return curve.exclusions(self.timeline)

    @cached_property
    def not_read(self) -> dict[str, str]:
        """`core.twin.trajectory.not_read_of`."""
        return trajectory.not_read_of(self.timeline)

    @cached_property
    def told(self) -> tuple[PatientResponses | None, str]:
        """The patient's calls; None without a visit, or where the protocol cannot be followed, and then why."""
        try:
            return patient_responses(self.timeline, self.protocol, self.events), ""
        except InputError as error:
            return None, str(error)

    @property
    def response(self) -> PatientResponses | None:
        """The calls of `told`."""
        return self.told[0]

    @property
    def baseline(self) -> str:
        """The timepoint of the protocol in force from which a response is told; without one the first."""
        return self.first if self.response is None else self.response.in_force.protocol.baseline

    def changes(self, lesion: str) -> list[IntervalChange]:
        """`core.twin.timeline_changes.lesion_changes`."""
        key = ("changes", lesion)
        if key not in self._kept:
            self._kept[key] = lesion_changes(self.timeline, lesion)
        found = self._kept[key]
        assert isinstance(found, list)
        return found

    def doubts(self, lesion: str) -> dict[str, tuple[str, ...]]:
        """Mask id -> what is doubted of the lesion's volume in it, or was, in sentences (`core.twin.visit_doubts`); and
        whether the change that led there has no verdict."""
        key = ("doubts", lesion)
        if key not in self._kept:
            visits = self.timeline.visits.items()
            told = {visit.record.mask_id: doubts_at(self.timeline, day, lesion) for day, visit in visits}
            for step in self.changes(lesion):
                if step.change.verdict == "unknown":
                    mask_id = step.change.mask_ids[1]
                    why = f"Whether the change since {step.from_timepoint} is real is not known: {step.change.rule}"
                    told[mask_id] = (*told.get(mask_id, ()), why)
            self._kept[key] = {mask_id: doubts for mask_id, doubts in told.items() if doubts}
        found = self._kept[key]
        assert isinstance(found, dict)
        return found

    def noise(self, lesion: str) -> dict[str, float]:
        """`core.twin.trajectory.noise_by_mask`."""
        key = ("noise", lesion)
        if key not in self._kept:
            self._kept[key] = trajectory.noise_by_mask(self.timeline.visits, lesion, self.timeline.installation)
        found = self._kept[key]
        assert isinstance(found, dict)
        return found

    def forecast(self, lesion: str, weeks: int) -> Forecast:
        """`core.twin.trajectory.forecast_lesion_or_total`, every week until then."""
        key = (f"forecast-{weeks}", lesion)
        if key not in self._kept:
            days = trajectory.weekly_days(weeks)
            self._kept[key] = resources.forecast(self.series, lesion, days, self.noise(lesion))
        found = self._kept[key]
        assert isinstance(found, Forecast)
        return found


@dataclass(frozen=True)
class Shown:
    """What the page shows.

    Args:
        lesion: one of the state's series. ahead: its forecast, and drawn what of it is in the chart.
        log: logarithmic volume axis.
    """

    store: SeenStore
    state: PatientState
    lesion: str
    ahead: Forecast
    drawn: Forecast | None
    log: bool

    @property
    def points(self) -> list[VolumePoint]:
        """The lesion's, by time."""
        return self.state.series[self.lesion]

    @property
    def changes(self) -> list[IntervalChange]:
        """The lesion's, by time."""
        return self.state.changes(self.lesion)

    @property
    def last(self) -> IntervalChange | None:
        """The newest change; None for a single point."""
        return self.changes[-1] if self.changes else None

    @property
    def made_from(self) -> str:
        """For `plotting.draw`."""
        weeks = 0 if self.drawn is None else len(self.drawn.fan.days)
        return f"{self.state.position}/{self.state.patient_id}/{self.lesion}/{self.log}/{weeks}"


def state_of(store: SeenStore, patient: str) -> PatientState:
    """The patient's state as it is now, as `store`'s person sees it."""
    position = resources.position(store)
    return resources.kept(f"{position}/state/{patient}", partial(_read, store, patient, position))


def _read(store: SeenStore, patient: str, position: str) -> PatientState:
    timeline, masks = patient_timeline(store, patient), tuple(store.masks.of(patient))
    simulated = [scan.timepoint for scan in store.scans.of(patient) if scan.metadata.get("simulated")]
    return PatientState(
        position,
        timeline,
        masks,
        {record.timepoint: record for record in masks if record.status == "accepted"},
        curve.accepted_by(store.decisions.of(patient)),
        tuple(store.events.of(patient)),
        store.protocols.of(patient),
        tuple(dict.fromkeys(simulated)),
    )
