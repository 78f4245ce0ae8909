"""What the mask gate measures of a mask: a vector a lesion, which is stored with it, so that it is judged again without
an image when the gate changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.gates.mask.bounds import body_of, bounds_of
from core.gates.mask.components import BOUNDS, CONTRAST, HISTORY, POSITION
from core.gates.mask.contrast import contrast_of
from core.gates.mask.local import around
from core.gates.mask.past import PastLesion, history_of, position_of
from core.imaging.orienting import canonical
from core.lesions.shape import shape_vector
from core.remembered.rows import LesionVector
from core.types import LabelMap, Volume


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a mask is looked at with.

    Args:
        scans: of its timepoint that could be read. hashes: SHA-256 of their files, as the verdict names them.
        past: lesion -> as the last accepted mask that may be seen has it; {} for a patient without any.
        lesion_of: label -> lesion of the patient; a label that it does not name is "L<label>".
        problems: why something could not be looked at, in sentences.
        timepoint_before: of that last accepted mask; "" without any.
    """

    scans: tuple[Volume, ...] = ()
    hashes: tuple[str, ...] = ()
    past: Mapping[str, PastLesion] = field(default_factory=dict)
    lesion_of: Mapping[int, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    timepoint_before: str = ""

    def lesion(self, label: int) -> str:
        """Which lesion of the patient a label is."""
        return self.lesion_of.get(label, f"L{label}")


NOTHING = Surroundings()


def vectors_of(labels: LabelMap, seen: Surroundings = NOTHING) -> list[LesionVector]:
    """The vectors of a mask's lesions, stored or not; [] for an empty mask.

    They are the same however the mask's axes are stored. Without `seen`, they are the shape alone.
    """
    labels = canonical(labels)
    scans = tuple(canonical(scan) for scan in seen.scans)
    body = body_of(labels, scans) if scans and labels.labels else None
    out = []
    for label in labels.labels:
        names, vector = shape_vector(labels.array == label, labels.grid.spacing_mm)
        found = dict(zip(names, (float(v) for v in vector), strict=True))
        if seen is not NOTHING:
            found |= _looked_at(labels, label, scans, seen)
            if body is not None:
                found |= _named(BOUNDS, bounds_of(labels, label, body))
        out.append(LesionVector(f"L{label}", tuple(found.values()), tuple(found)))
    return out


def _looked_at(labels: LabelMap, label: int, scans: Sequence[Volume], seen: Surroundings) -> dict[str, float]:
    found: dict[str, float] = {}
    local = around(labels, label, scans)
    if local is not None:
        for channel in local.channels:
            found |= _named(f"{CONTRAST}/{channel}", contrast_of(local, channel))
    past = seen.past.get(seen.lesion(label))
    if past is not None:
        alike = [one for one in labels.labels if seen.lesion(one) == seen.lesion(label)]
        voxels = sum(int((labels.array == one).sum()) for one in alike)
        found |= _named(HISTORY, history_of(voxels * labels.grid.voxel_volume_mm3, past))
        if len(alike) == 1:  # a lesion in two pieces is compared by its volume alone
            found |= _named(POSITION, position_of(labels, label, past))
    return found


def _named(component: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{component}/{name}": float(value) for name, value in values.items()}
