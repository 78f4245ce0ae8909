"""What the scans of a timepoint show in each lesion of a mask: uptake on PET, statistics on CT and MR.

A scan on another grid than the mask's (the PET beside a CT) is measured on its own voxels: the lesion is carried onto
its grid by the rule by which masks from elsewhere come onto a scan (`core.imaging.masks.onto_grid`: where it lies in
space, with its volume kept), and the image is never interpolated, which would lower every peak. Two neighbours may then
share a voxel. The scans of a timepoint are taken to lie in one frame, as for a network's channels: nothing is
registered.

SULpeak is SUVpeak by lean mass instead of weight: times "lean_mass_ratio" of the PET (`core.imaging.body_size`:
Janmahasatian 2005, 10.2165/00003088-200544100-00004), which is known where its header had weight, height and sex.

What is not known is None, with a sentence in `why`, and never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from core.errors import InputError, TwinReviewError
from core.imaging.judging import MOST_PET_SUV
from core.imaging.masks.drawn import DrawnMask, DrawnSegment, part_of
from core.imaging.masks.onto_grid import onto_grid
from core.lesions.compartments import with_compartments
from core.lesions.intensity import IntensityMeasure, UptakeMeasure, intensity, uptake
from core.lesions.masks import measure
from core.lesions.metrics import bounding_box
from core.remembered.compartments import Compartments
from core.remembered.untyped import JsonDict
from core.types import MM3_PER_ML, UNITS, Grid, LabelMap, LesionMeasure, Scan, Volume

#: Of the way in which the stored numbers are computed; another one makes them others.
COMPUTED_BY = 1
#: Around a lesion so much of the image is looked at: the sphere of SUVpeak reaches 6.2 mm beyond it.
_AROUND_MM = 8.0
#: Above this share of the sphere that has values it counts as whole: the rest is rounding.
_WHOLE = 0.999
#: Of a lesion outside the scan, from which on its numbers are of a part.
_OUTSIDE = 0.01
#: A lesion of fewer voxels has no spread that means anything.
_FEWEST = 2
NO_LEAN_MASS = "No height, weight and sex are known with the PET: SUL is not known."

#: Where a lesion lies in an array.
Box = tuple["slice[int, int, None]", ...]


@dataclass(frozen=True, eq=False)
class LookedAt:
    """A scan to measure on; `volume` is None where it cannot be read, and `problem` says why."""

    scan: Scan
    volume: Volume | None
    problem: str = ""


def looked_at(scan: Scan, load: Callable[[Scan], Volume]) -> LookedAt:
    """The scan as it is read; one that cannot be read says why."""
    try:
        return LookedAt(scan, load(scan))
    except TwinReviewError as error:
        return LookedAt(scan, None, str(error))


@dataclass(frozen=True)
class ScanMeasure:
    """One lesion on one scan.

    Args:
        channel, scan_sha256: of the scan. unit: "HU", "SUV" or "a.u.".
        carried: whether the lesion was carried onto the scan's grid.
        seen: statistics and histogram; uptake: of a PET. Each None where nothing could be measured.
        suv_peak, sul_peak: of a PET whose sphere has values all over; else None.
        mtv_ml, tlg_g: of a PET that the whole lesion lies in; else None: of a part they are not the lesion's.
        why: what is not known or in doubt, in sentences.
    """

    label: int
    channel: str
    scan_sha256: str
    unit: str
    carried: bool
    seen: IntensityMeasure | None = None
    uptake: UptakeMeasure | None = None
    suv_peak: float | None = None
    sul_peak: float | None = None
    mtv_ml: float | None = None
    tlg_g: float | None = None
    why: tuple[str, ...] = ()

    @property
    def is_pet(self) -> bool:
        """Whether its unit is SUV."""
        return self.unit == UNITS["PET"]

    def to_json(self) -> JsonDict:
        """As a sidecar keeps it, without the histogram."""
        out: JsonDict = {name: getattr(self, name) for name in ("channel", "scan_sha256", "unit", "carried")}
        out |= {"computed_by": COMPUTED_BY, "why": list(self.why)}
        if self.seen is None:
            return out
        if self.uptake is not None:
            pet: JsonDict = {name: getattr(self.uptake, name) for name in ("suv_max", "suv_mean")}
            pet |= {name: getattr(self, name) for name in ("suv_peak", "mtv_ml", "tlg_g", "sul_peak")}
            return out | {"voxels": self.seen.voxels, **pet}
        names = ("voxels", "mean", "sd", "median", "least", "greatest", "p5", "p25", "p75", "p95")
        return out | {name: getattr(self.seen, name) for name in names}


def measured_lesions(
    labels: LabelMap, scans: Iterable[LookedAt] = (), compartments: Compartments | None = None
) -> tuple[LesionMeasure, ...]:
    """`core.lesions.masks.measure`, with what the scans show and the compartments: as a new mask is stored."""
    lesions = measure(labels)
    if compartments is not None:
        lesions = with_compartments(lesions, labels, compartments)
    if not lesions:
        return lesions
    found: dict[int, list[JsonDict]] = {one.label: [] for one in lesions}
    for scan in scans:
        for one in on_scan(labels, scan):
            found[one.label].append(one.to_json())
    return tuple(replace(one, intensities=tuple(found[one.label])) for one in lesions)


def on_scan(labels: LabelMap, looked_at: LookedAt) -> list[ScanMeasure]:
    """Every lesion of a mask on one scan, by label; nothing is raised for what cannot be measured: it says why."""
    volume, boxes = looked_at.volume, find_objects(labels.array)
    problem = looked_at.problem or (_other_unit(volume) if volume is not None else "")
    carried = volume is not None and not volume.grid.matches(labels.grid)
    out = []
    for label, box in enumerate(boxes, start=1):
        if box is None:
            continue
        empty = ScanMeasure(
            label, looked_at.scan.channel, looked_at.scan.sha256, UNITS[looked_at.scan.modality], carried
        )
        if volume is None or problem:
            out.append(replace(empty, why=(problem,)))
            continue
        try:
            mask, grid, why = _on_grid(labels, label, box, volume.grid, carried)
        except InputError as error:
            out.append(replace(empty, why=(f"It cannot be carried onto the {volume.channel}: {error}",)))
            continue
        out.append(_measured(empty, mask, grid, volume, looked_at.scan, why))
    return out


def _other_unit(volume: Volume) -> str:
    """Why a PET is not in SUV; "" where it may be."""
    high = float(volume.array.max()) if volume.modality == "PET" else 0.0
    if high <= MOST_PET_SUV:
        return ""
    return f"The PET reaches {high:.4g}: it is not in SUV. Import the DICOM series, which is converted."


def _on_grid(
    labels: LabelMap, label: int, box: Box, grid: Grid, carried: bool
) -> tuple[NDArray[np.bool_], Box, list[str]]:
    """The lesion on the scan's grid: its voxels in a box, that box, and what is to be said of the way."""
    mask = labels.array[box] == label
    if not carried:
        return mask, box, []
    segment = DrawnSegment(label, "", mask, part_of(labels.grid, box))
    placed = onto_grid(DrawnMask("label map", (segment,), labels.grid), grid)
    where = bounding_box(placed.labels.array)
    assert where is not None, "a lesion without a voxel was refused"
    (one,) = placed.segments
    why = []
    if one.outside_mm3 > _OUTSIDE * one.drawn_volume_mm3:
        share = one.outside_mm3 / one.drawn_volume_mm3
        why.append(f"{100 * share:.0f} % of it lies outside the scan: the numbers are of the rest.")
    return placed.labels.array[where] > 0, where, why


def _measured(
    empty: ScanMeasure, mask: NDArray[np.bool_], box: Box, volume: Volume, scan: Scan, why: list[str]
) -> ScanMeasure:
    part, inside = _around(mask, box, volume)
    seen = intensity(part, inside, 1)
    cut = any("outside the scan" in one for one in why)
    if seen.voxels_without_value:
        why = [*why, f"{seen.voxels_without_value} of its voxels have no value."]
    if seen.voxels < _FEWEST:
        why = [*why, f"{seen.voxels} voxel of the {volume.channel}: its spread is not known."]
    if volume.modality != "PET":
        return replace(empty, seen=seen, why=tuple(why))
    found = uptake(part, inside, 1)
    peak, words = _peak(found, int(np.count_nonzero(mask)) * volume.grid.voxel_volume_mm3)
    ratio = scan.metadata.get("lean_mass_ratio")
    sul = None if peak is None or ratio is None else peak * float(ratio)
    words += [] if ratio is not None else [NO_LEAN_MASS]
    measured = replace(empty, seen=seen, uptake=found, suv_peak=peak, sul_peak=sul, why=(*why, *words))
    return measured if cut else replace(measured, mtv_ml=found.mtv_ml, tlg_g=found.tlg_g)


def _peak(found: UptakeMeasure, volume_mm3: float) -> tuple[float | None, list[str]]:
    if found.suv_peak is None or found.peak_share is None:
        return None, ["No voxel of it has a value: SUVpeak is not known."]
    if found.peak_share < _WHOLE:
        return None, [f"{100 * (1 - found.peak_share):.0f} % of the sphere of SUVpeak lies outside the scan."]
    small = (
        f"It is smaller than the sphere of SUVpeak ({volume_mm3 / MM3_PER_ML:.2g} of 1 mL), which holds what is around."
    )
    return found.suv_peak, [small] if volume_mm3 < MM3_PER_ML else []


def _around(mask: NDArray[np.bool_], box: Box, volume: Volume) -> tuple[Volume, LabelMap]:
    """The image around the lesion, and the lesion in it as label 1."""
    margins = [math.ceil(_AROUND_MM / mm) + 1 for mm in volume.grid.spacing_mm]
    wide = tuple(
        slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(box, margins, volume.array.shape, strict=True)
    )
    grid = part_of(volume.grid, wide)
    array = np.zeros(grid.shape, np.uint8)
    array[tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(box, wide, strict=True))] = mask
    return Volume(volume.array[wide], grid, volume.modality, volume.sequence), LabelMap(array, grid)


@dataclass(frozen=True)
class VersionMeasures:
    """All that is measured of a mask version: its lesions, and each of them on each scan of its timepoint."""

    lesions: tuple[LesionMeasure, ...]
    scans: tuple[ScanMeasure, ...]

    def on(self, label: int) -> tuple[ScanMeasure, ...]:
        """One lesion on each scan, in the order of the scans."""
        return tuple(one for one in self.scans if one.label == label)


def measured_version(labels: LabelMap, scans: Iterable[LookedAt], compartments: Compartments | None) -> VersionMeasures:
    """Everything anew, with histograms: also of a version that was stored before its scans were measured with it."""
    return VersionMeasures(
        measured_lesions(labels, (), compartments), tuple(one for scan in scans for one in on_scan(labels, scan))
    )
