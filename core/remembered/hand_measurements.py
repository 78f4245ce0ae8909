"""Measurements that a person drew on an image and kept: a length, an angle, the values within an ellipse.

They lie on a scan, in millimetres, and go wherever that scan is moved to. What was kept stands until somebody withdraws
it with a reason, and stays on record.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from core.errors import InputError
from core.remembered.links import lesion_number
from core.remembered.untyped import JsonDict, JsonObject

Kind = Literal["length", "angle", "roi"]
PlaneName = Literal["axial", "coronal", "sagittal"]
#: What a length is of a lesion at its visit, where a person says so.
Sets = Literal["longest diameter", "short axis"]
Point = tuple[float, float, float]

KINDS: tuple[Kind, ...] = get_args(Kind)
PLANE_NAMES: tuple[PlaneName, ...] = get_args(PlaneName)
SETS: tuple[Sets, ...] = get_args(Sets)
#: A length: its two ends. An angle: an end, the vertex, the other end. A ROI, which is an ellipse: its centre and the
#: end of one radius and of another one.
POINTS = {"length": 2, "angle": 3, "roi": 3}
#: No scanner's frame reaches further.
_FARTHEST_MM = 10_000.0


@dataclass(frozen=True)
class Drawn:
    """What a person drew on a scan.

    Args:
        scan_sha256: of the scan whose frame the points lie in, and whose values a ROI has.
        plane: as the viewer called it.
        points_mm: RAS+ millimetres, as many as `POINTS` says.
        lesion_id: the lesion that it is of; None: of none in particular.
        sets: the diameter of that lesion that it sets by hand; None: it is a measurement beside it.

    Raises:
        InputError: for what is none of these.
    """

    scan_sha256: str
    kind: Kind
    plane: PlaneName
    points_mm: tuple[Point, ...]
    lesion_id: str | None = None
    sets: Sets | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.plane not in PLANE_NAMES or self.sets not in (None, *SETS):
            raise InputError(f"Expected a measurement of {', '.join(KINDS)} on a plane, got {str(self.kind)[:40]!r}.")
        points = [tuple(point) for point in self.points_mm]
        if len(points) != POINTS[self.kind] or any(len(point) != 3 for point in points):
            raise InputError(f"Expected {POINTS[self.kind]} places for a measurement of {self.kind}.")
        if not all(math.isfinite(x) and abs(x) <= _FARTHEST_MM for point in points for x in point):
            raise InputError(f"Expected places within {_FARTHEST_MM:.0f} mm of the frame's origin.")
        if self.lesion_id is not None and not lesion_number(self.lesion_id):
            raise InputError(f"Expected a lesion as L1, L2 …, got {str(self.lesion_id)[:40]!r}.")
        if self.sets is not None and (self.kind != "length" or self.lesion_id is None):
            raise InputError("Expected a length and a lesion for a diameter that is set by hand. Choose the lesion.")


@dataclass(frozen=True)
class Measured:
    """What a drawing measures.

    Args:
        value: of a length mm, of an angle degrees (0..180), of a ROI the mean in the image's unit; None where no voxel
            within has a value.
        statistics: of a ROI: mean, sd, least, greatest (each None where not known), voxels, voxels_without_value,
            area_mm2; else None.
    """

    value: float | None
    unit: str
    statistics: JsonObject | None = None


@dataclass(frozen=True)
class HandMeasurement:
    """A kept measurement.

    Args:
        patient_id, timepoint, scan_id: whose and of which day the scan is now.
        of_patient: whose it was when it was drawn: of another one's lesions nothing is said by it.
        value, unit, statistics: as `Measured`. Others: as `Drawn`.
        withdrawn_by, withdrawn_at, withdrawn_reason: None where it stands.
    """

    measurement_id: str
    patient_id: str
    timepoint: str
    scan_id: str
    of_patient: str
    scan_sha256: str
    kind: Kind
    plane: PlaneName
    points_mm: tuple[Point, ...]
    value: float | None
    unit: str
    statistics: JsonObject | None
    lesion_id: str | None
    sets: Sets | None
    person: str
    created_at: str
    withdrawn_by: str | None = None
    withdrawn_at: str | None = None
    withdrawn_reason: str | None = None

    @property
    def stands(self) -> bool:
        """Whether it was not withdrawn."""
        return self.withdrawn_at is None

    @property
    def sets_diameter(self) -> bool:
        """Whether it stands and sets a diameter of one of the patient's lesions."""
        return self.stands and self.sets is not None and self.of_patient == self.patient_id and self.value is not None

    @property
    def words(self) -> str:
        """What it measures, as people read it: "31.2 mm", "47°", "mean 41.2 HU, SD 9.1, 3 to 70, …"."""
        if self.value is None:
            return "no value"
        if self.kind != "roi" or self.statistics is None:
            return f"{self.value:.1f}{'' if self.unit == '°' else ' '}{self.unit}"
        found = self.statistics
        sd = "" if found["sd"] is None else f", SD {found['sd']:.4g}"
        return (
            f"mean {self.value:.4g} {self.unit}{sd}, {found['least']:.4g} to {found['greatest']:.4g}, "
            f"{found['voxels']} voxels, {found['area_mm2']:.0f} mm²"
        )

    def to_json(self) -> JsonDict:
        """Plain JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"points_mm": [list(point) for point in self.points_mm], "stands": self.stands}


class HandMeasurementSource(Protocol):
    """Kept measurements of a patient that stand, oldest first."""

    def of(self, patient_id: str) -> Sequence[HandMeasurement]: ...


class HasHandMeasurements(Protocol):
    """A store of measurements."""

    @property
    def measurements(self) -> HandMeasurementSource: ...
