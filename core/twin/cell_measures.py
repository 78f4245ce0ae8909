"""What a cell of the timeline says besides its size: uptake, density and compartments, from the stored lesions.

Nothing is measured here: a mask from before scans were measured with it has none of this, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.lesions.compartments import is_enhancing
from core.remembered.untyped import JsonDict, JsonObject
from core.review.scan_measures import NO_LEAN_MASS
from core.types import UNITS

NO_PET = "No PET was measured with this mask."
NO_SUV_PEAK = "SUVpeak is not known"


@dataclass(frozen=True)
class CellMeasures:
    """Of all labels of a lesion together; None where it is not known of one of them.

    Args:
        suv_max, suv_peak, sul_peak: the highest. suv_mean, hu_mean: by voxel. mtv_ml, tlg_g: added up.
        sul_why: why SULpeak is not known, a sentence; "" where it is.
        compartments_mm3: compartment -> volume; None where no network told any.
        enhancing_mm3, enhancing_mm, enhancing_short_axis_mm: volume, longest diameter and perpendicular of the
            enhancing compartment, added up; None where there is none by name.
    """

    suv_max: float | None = None
    suv_peak: float | None = None
    suv_mean: float | None = None
    mtv_ml: float | None = None
    tlg_g: float | None = None
    sul_peak: float | None = None
    sul_why: str = NO_PET
    hu_mean: float | None = None
    compartments_mm3: JsonDict | None = None
    enhancing_mm3: float | None = None
    enhancing_mm: float | None = None
    enhancing_short_axis_mm: float | None = None


def cell_measures(lesions: Sequence[JsonObject]) -> CellMeasures:
    """Of the stored lesions of one cell, at least one."""
    pets, cts = (_of_unit(lesions, UNITS[modality]) for modality in ("PET", "CT"))
    parts = [list(lesion.get("compartments") or ()) for lesion in lesions]
    told = all(parts)
    enhancing = [[part for part in one if is_enhancing(str(part["name"]))] for one in parts]
    known = told and all(enhancing)
    flat = [part for one in enhancing for part in one] if known else []
    return CellMeasures(
        suv_max=_highest(pets, "suv_max"),
        suv_peak=_highest(pets, "suv_peak"),
        suv_mean=_by_voxel(pets, "suv_mean"),
        mtv_ml=_sum(pets, "mtv_ml"),
        tlg_g=_sum(pets, "tlg_g"),
        sul_peak=_highest(pets, "sul_peak"),
        sul_why=_why_no_sul(pets),
        hu_mean=_by_voxel(cts, "mean"),
        compartments_mm3=_volumes(parts) if told else None,
        enhancing_mm3=_sum(flat, "volume_mm3"),
        enhancing_mm=_sum(flat, "longest_diameter_mm"),
        enhancing_short_axis_mm=_sum(flat, "short_axis_mm"),
    )


def _of_unit(lesions: Sequence[JsonObject], unit: str) -> list[JsonObject]:
    """Each lesion's measure on the first scan of that unit that could be measured; [] where one of them has none."""
    found = []
    for lesion in lesions:
        mine = [one for one in lesion.get("intensities") or () if one["unit"] == unit]
        found.append(next((one for one in mine if one.get("voxels")), mine[0] if mine else None))
    return [one for one in found if one is not None] if None not in found else []


def _values(of: Sequence[JsonObject], name: str) -> list[float] | None:
    values = [one.get(name) for one in of]
    return None if not values or None in values else [float(value) for value in values if value is not None]


def _highest(of: Sequence[JsonObject], name: str) -> float | None:
    values = _values(of, name)
    return None if values is None else max(values)


def _sum(of: Sequence[JsonObject], name: str) -> float | None:
    values = _values(of, name)
    return None if values is None else math.fsum(values)


def _by_voxel(of: Sequence[JsonObject], name: str) -> float | None:
    values, voxels = _values(of, name), _values(of, "voxels")
    if values is None or not voxels or not sum(voxels):
        return None
    return math.fsum(value * n for value, n in zip(values, voxels, strict=True)) / sum(voxels)


def _why_no_sul(pets: Sequence[JsonObject]) -> str:
    if not pets:
        return NO_PET
    if _highest(pets, "sul_peak") is not None:
        return ""
    said = [str(word) for one in pets if one.get("sul_peak") is None for word in one.get("why") or ()]
    if _highest(pets, "suv_peak") is not None:
        return NO_LEAN_MASS
    return " ".join(dict.fromkeys(word for word in said if word != NO_LEAN_MASS)) or f"{NO_SUV_PEAK}."


def _volumes(parts: Sequence[Sequence[JsonObject]]) -> JsonDict:
    out: JsonDict = {}
    for part in (one for lesion in parts for one in lesion):
        out[str(part["name"])] = float(out.get(str(part["name"]), 0.0)) + float(part["volume_mm3"])
    return out
