"""What became of many patients: best change, course and response of each, by one rule, from accepted masks alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.curve import Treatment, treatments
from core.response import DEFAULT_RULE, Category, Response, volumetric_response
from core.types import VolumePoint, parse_date

#: Best first; what is not evaluable is no response.
_BEST: tuple[Category, ...] = ("CR", "PR", "SD", "PD", "NE")


class OutcomeStore(Protocol):
    """What is read here."""

    def patients(self) -> list[dict[str, Any]]: ...
    def timepoints(self, patient_id: str) -> list[str]: ...
    def volume_points(self, patient_id: str) -> list[VolumePoint]: ...
    def events(self, patient_id: str) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class PatientOutcome:
    """One patient by one rule.

    Args:
        patient_id, dataset: who.
        responses: at every accepted timepoint, the baseline first.
        treatments: on the axis of days since the first timepoint.
        followed_days: from the first to the last timepoint, accepted or not.
    """

    patient_id: str
    dataset: str
    responses: tuple[Response, ...]
    treatments: tuple[Treatment, ...]
    followed_days: float

    @property
    def best(self) -> Category:
        """The best response after baseline."""
        return min((r.category for r in self.responses[1:]), key=_BEST.index)

    @property
    def best_change_percent(self) -> float | None:
        """The least change of the baseline lesions' volume from baseline; None where none could be measured."""
        known = [r.change_from_baseline_percent for r in self.responses[1:]]
        return min((change for change in known if change is not None), default=None)

    @property
    def progressed_days(self) -> float | None:
        """Days from baseline to the first progression; None without one."""
        return next((r.days - self.responses[0].days for r in self.responses[1:] if r.category == "PD"), None)


def outcome(
    patient_id: str, dataset: str, points: Sequence[VolumePoint], events: Sequence[Mapping[str, Any]],
    timepoints: Sequence[str], rule: str = DEFAULT_RULE,
) -> PatientOutcome | str:  # fmt: skip
    """One patient's outcome, or why there is none."""
    days = {p.timepoint for p in points}
    if len(days) < 2:
        return "no accepted timepoint" if not days else "one accepted timepoint; a change needs two"
    responses = volumetric_response(points, rule)
    if not responses[0].baseline_mm3 > 0:
        return "no lesion at the first accepted timepoint"
    followed = (parse_date(max(timepoints)) - parse_date(min(timepoints))).days
    return PatientOutcome(
        patient_id, dataset, tuple(responses), tuple(treatments(events, min(timepoints))), float(followed)
    )


def cohort(
    store: OutcomeStore, rule: str = DEFAULT_RULE, dataset: str | None = None
) -> tuple[list[PatientOutcome], dict[str, str]]:
    """Outcomes by patient id, and patient id -> why another has none; of one dataset only if so asked."""
    found, left_out = [], {}
    for row in store.patients():
        if dataset is not None and row["dataset"] != dataset:
            continue
        patient = str(row["patient_id"])
        one = outcome(
            patient, str(row["dataset"]), store.volume_points(patient), store.events(patient),
            store.timepoints(patient), rule,
        )  # fmt: skip
        if isinstance(one, str):
            left_out[patient] = one
        else:
            found.append(one)
    return found, left_out
