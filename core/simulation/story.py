"""What one patient of the demo cohort is made from: lesions over time, visits, events, what becomes of each mask."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.simulation.simulate import LesionSpec, SimulatedTimepoint
from core.types import LabelMap

#: What becomes of a timepoint's mask in the demo:
#: "accept"    the demo reviewer accepts the network's mask;
#: "correct"   nothing is left of the tumour: where the network finds some all the same, the reviewer hands in the empty
#:             `DemoTimepoint.mask`; the newest is accepted;
#: "open"      left for the visitor to review;
#: "arrived"   the scans alone: the visitor runs the network;
#: "ood"       the scan is out of distribution; its mask stays proposed;
#: "bad_mask"  `DemoTimepoint.mask` was handed in and went wrong; it stays proposed.
MaskFate = Literal["accept", "correct", "open", "arrived", "ood", "bad_mask"]


@dataclass(frozen=True)
class DemoEvent:
    """Something in the patient's history: `date` YYYY-MM-DD, `kind` and `detail` as `core.review.events` has them."""

    date: str
    kind: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class DemoTimepoint:
    """One visit of one demo patient.

    Args:
        patient_id, dataset, date: where it is stored; the date (YYYY-MM-DD) names the timepoint.
        story: one line for people; the same at all of the patient's timepoints.
        scan: CT, PET, truth, true volumes and true motion.
        fate: of its mask, see `MaskFate`.
        events: since the visit before.
        mask: the mask that is handed in, for "bad_mask" and "correct"; else None.
    """

    patient_id: str
    dataset: str
    date: str
    story: str
    scan: SimulatedTimepoint
    fate: MaskFate
    events: tuple[DemoEvent, ...] = ()
    mask: LabelMap | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What each of the scans is stored with; "simulated" is always True."""
        return {**self.scan.metadata, "simulated": True, "story": self.story}


@dataclass(frozen=True)
class LesionScript:
    """One lesion over time: its volume in mL at each visit (0 = not there), and what it looks like."""

    volumes_ml: tuple[float, ...]
    suv: float | tuple[float, ...] = 6.0
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    hu: float = 36.0
    necrosis: float = 0.0
    elongation: float = 1.25
    shape_seed: int = 0

    def at(self, visit: int, label: int) -> LesionSpec:
        """The lesion as asked for at a visit."""
        suv = self.suv if isinstance(self.suv, float | int) else self.suv[visit]
        return LesionSpec(
            label,
            1e3 * self.volumes_ml[visit],
            self.centre_mm,
            suv,
            self.hu,
            self.necrosis,
            self.elongation,
            self.shape_seed,
        )


@dataclass(frozen=True)
class Story:
    """One patient of the demo.

    Args:
        patient_id: unique in an installation.
        text: one line for people.
        start: date of the first visit; `weeks` counts the others' from it.
        courses: the lesions; the first is label 1.
        anatomy, leg_mm, shape: the phantom's body and scan; not used for a real scan.
        warped: later visits are the first one warped, not drawn anew.
        fates: visit -> what becomes of its mask; absent: "accept".
        fault: kind of the out-of-distribution scan or of the bad mask, where `what` says so.
        events: (week, kind, detail).
        source: the folder of the real scan that the patient is made from, "" for a phantom.
    """

    patient_id: str
    text: str
    start: str
    weeks: tuple[int, ...]
    courses: tuple[LesionScript, ...]
    anatomy: int = 0
    leg_mm: tuple[float, float] = (18.0, 6.0)
    shape: tuple[int, int, int] = (152, 152, 52)
    pet_spacing_mm: float = 5.47
    warped: bool = False
    fates: Mapping[int, MaskFate] = field(default_factory=dict)
    fault: str = ""
    events: tuple[tuple[int, str, Mapping[str, Any]], ...] = ()
    source: str = ""

    def date(self, week: int) -> str:
        """The day, YYYY-MM-DD, that many weeks after the first visit."""
        return (dt.date.fromisoformat(self.start) + dt.timedelta(weeks=week)).isoformat()
