"""The figures of the card, of one network or several beside one another, by the engine that the product uses.

`python -m weights.recipes.sts_wide_view.evaluate --sts DIR --models sts-ctpet-wide-view sts-ctpet-small --to FILE`

Of each network: Dice of every patient (of those held out also mirrored), lesions found and found falsely; what it finds
in scans whose tumour is painted out (`painted_out.py`, and `follow_up`, which training used); Dice lost by a field of
view moved by 42 mm. Half an hour on two idle cores; a second call goes on where one stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.engines.auto.nnunet import NnUNetSegmenter, load_segmenter
from core.imaging.volumes import resample
from core.lesions.matching import components
from core.lesions.metrics import dice
from core.simulation.demo_timepoints import real_scan
from core.types import Grid, LabelMap, Volume
from weights.recipes.sts_ctpet.prepare import split
from weights.recipes.sts_ctpet.simulated import without_tumour
from weights.recipes.sts_wide_view.painted_out import NEAR_MM, WAYS, painted_out, read_scan

MOVED_MM = 42.0
#: Of figures; those of whole scans are kept apart by what the network has learned from.
KINDS = ("held out", "painted out", "moved", "cut", "mirrored", "training")
Row = dict[str, str | float]
Figures = dict[str, list[Row]]


def whole_scan(segmenter: NnUNetSegmenter, sts: Path, patient: str) -> list[Row]:
    """Dice, mL and seconds; lesions found, and found falsely: components of 30 mm3 that touch no contour."""
    real = real_scan(sts / patient)
    truth, grid = real.truth.array > 0, real.ct.grid
    began = time.perf_counter()
    found = segmenter.segment([real.ct, real.pet]).labels
    seconds = time.perf_counter() - began
    lesions = components(truth, grid)
    row: Row = {
        "patient": patient,
        "mL": round(real.truth.volume_mm3 / 1000, 1),
        "dice": round(dice(found.array > 0, truth), 3),
        "found_mL": round(found.volume_mm3 / 1000, 1),
        "lesions": int(lesions.max()),
        "lesions_found": len({int(n) for n in np.unique(lesions[found.array > 0])} - {0}),
        "false_lesions": _false(found, truth),
        "seconds": round(seconds, 2),
    }
    return [row]


def mirrored(segmenter: NnUNetSegmenter, sts: Path, patient: str) -> list[Row]:
    """Dice and false lesions where the segmenter mirrors."""
    real = real_scan(sts / patient)
    truth, found = real.truth.array > 0, segmenter.segment([real.ct, real.pet]).labels
    return [{"patient": patient, "dice": round(dice(found.array > 0, truth), 3), "false_lesions": _false(found, truth)}]


def _false(found: LabelMap, truth: NDArray[np.bool_]) -> int:
    lesions = components(found.array > 0, found.grid)
    return int(lesions.max()) - len({int(n) for n in np.unique(lesions[truth])} - {0})


def painted(segmenter: NnUNetSegmenter, sts: Path, patient: str) -> list[Row]:
    """A row a way of painting the tumour out: the mL found all the same, and how much of it where the tumour was.

    What is found elsewhere (a bladder) has nothing to do with the painting.
    """
    everybody = sorted(folder.name for folder in sts.glob("STS_*"))
    number = everybody.index(patient)
    donors = [sts / everybody[(number + n) % len(everybody)] for n in range(7, 7 + len(everybody) - 8)]
    near = read_scan(sts / patient).distance <= NEAR_MM
    gone = without_tumour(sts / patient, 100 + number)
    scans = {way: painted_out(sts / patient, way, donors, number) for way in WAYS}
    scans["follow-up"] = (gone.ct, gone.pet)
    rows: list[Row] = []
    for way, volumes in scans.items():
        if volumes is None:
            continue
        found = segmenter.segment(volumes).labels
        there = float((found.array[near] > 0).sum()) * found.grid.voxel_volume_mm3 / 1000
        rows.append(
            {
                "patient": patient,
                "way": way,
                "found_mL": round(found.volume_mm3 / 1000, 2),
                "where_it_was_mL": round(there, 2),
            }
        )
    return rows


def fields_of_view(truth: LabelMap, by_mm: float = MOVED_MM) -> Iterator[tuple[str, int, int, int]]:
    """(which, axis, voxels cut at its start, at its end) of those moves that leave the whole tumour in sight."""
    voxels = np.argwhere(truth.array)
    for axis, name in enumerate("ijk"):
        by = round(by_mm / truth.grid.spacing_mm[axis])
        if voxels[:, axis].min() >= by:
            yield f"{name} start", axis, by, 0
        if voxels[:, axis].max() < truth.grid.shape[axis] - by:
            yield f"{name} end", axis, 0, by


def seen_part(volume: Volume, axis: int, start: int, end: int, air: float | None) -> Volume:
    """The volume without `start` and `end` voxels along an axis; with `air` moved instead: what is cut at one end is
    added at the other, of that value, so that the scan keeps its size.
    """
    array = np.take(volume.array, np.arange(start, volume.array.shape[axis] - end), axis)
    first = start
    if air is not None:
        pads = [(0, 0)] * 3
        pads[axis] = (end, start)
        array = np.pad(array, pads, constant_values=air)
        first = start - end
    affine = volume.grid.affine.copy()
    affine[:3, 3] += affine[:3, axis] * first
    return replace(volume, array=array, grid=Grid(array.shape, affine))


def narrowed(segmenter: NnUNetSegmenter, sts: Path, patient: str, with_air: bool) -> list[Row]:
    """A row a side: Dice of the whole scan and of the part that is seen; the tumour is whole in both."""
    real = real_scan(sts / patient)
    on_ct = resample(real.pet.array, real.pet.grid, real.ct.grid, "linear")
    pet = replace(real.pet, array=on_ct, grid=real.ct.grid)
    truth = Volume(real.truth.array.astype(np.float32), real.ct.grid, "CT")
    full = dice(segmenter.segment([real.ct, pet]).labels.array > 0, real.truth.array > 0)
    rows: list[Row] = []
    for which, axis, start, end in fields_of_view(real.truth):
        hu, nothing = (-1024.0, 0.0) if with_air else (None, None)
        scans = [seen_part(real.ct, axis, start, end, hu), seen_part(pet, axis, start, end, nothing)]
        mask = seen_part(truth, axis, start, end, nothing).array > 0
        seen = dice(segmenter.segment(scans).labels.array > 0, mask)
        rows.append({"patient": patient, "side": which, "whole": round(full, 3), "seen": round(seen, 3)})
    return rows


def mean(rows: Sequence[Row], key: str) -> float:
    """NaN without rows."""
    values = [float(row[key]) for row in rows if key in row]
    return round(float(np.mean(values)), 3) if values else float("nan")


def summary(figures: Figures) -> dict[str, str | float]:
    """The figures that the goals are set in, those of patients held out first; what was not measured is left out."""
    held, training = figures["held out"], figures["training"]
    out: dict[str, str | float] = {}
    patients = {str(row["patient"]) for row in held}
    for name, of in (("held out", True), ("training patients", False)):
        rows = [row for row in figures["painted out"] if (row["patient"] in patients) == of]
        for way in (*WAYS, "follow-up"):
            if some := [row for row in rows if row["way"] == way]:
                anywhere = sum(float(row["found_mL"]) > 0 for row in some)
                there = sum(float(row["where_it_was_mL"]) > 0 for row in some)
                out[f"painted out ({way}), {name}"] = (
                    f"{anywhere} of {len(some)} get a tumour, {there} where it was (mean {mean(some, 'found_mL'):g} mL)"
                )
        for how in ("moved", "cut"):
            if part := [row for row in figures[how] if (row["patient"] in patients) == of]:
                whole, seen = mean(part, "whole"), mean(part, "seen")
                out[f"field of view {how} by 42 mm, {name}"] = (
                    f"{whole - seen:.3f} lost ({whole:.3f} to {seen:.3f}, {len(part)} moves)"
                )
    for name, rows in (
        ("held out", held),
        ("held out, mirrored", figures["mirrored"]),
        ("training patients", training),
    ):
        if rows:
            out[f"Dice, {name}"] = mean(rows, "dice")
            out[f"false lesions a scan, {name}"] = mean(rows, "false_lesions")
    return out


def evaluate(model: str, sts: Path, to: Path, name: str, patients: Sequence[str]) -> None:
    """One kind of figures of a registered network, written after every patient; what is there is not made again."""
    ways: dict[str, Callable[[NnUNetSegmenter, Path, str], list[Row]]] = {
        "painted out": painted,
        "moved": partial(narrowed, with_air=True),
        "cut": partial(narrowed, with_air=False),
        "mirrored": mirrored,
    }
    make = ways.get(name, whole_scan)
    segmenter = load_segmenter(model, name == "mirrored")
    kept: dict[str, Figures] = json.loads(to.read_text()) if to.exists() else {}
    figures = kept.setdefault(model, {key: [] for key in KINDS})
    for patient in patients:
        if all(row["patient"] != patient for row in figures[name]):
            figures[name] += make(segmenter, sts, patient)
            to.write_text(json.dumps(kept, indent=1))
            print(f"{model}: {name}: {figures[name][-1]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sts", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["sts-ctpet-wide-view", "sts-ctpet-small"])
    parser.add_argument("--to", type=Path, default=Path("weights/sts_ctpet_wide_view/evaluation.json"))
    arguments = parser.parse_args()
    training, held_out = split(arguments.sts)
    work = [(name, held_out) for name in ("held out", "painted out", "moved")]
    work += [("painted out", training), ("cut", held_out), ("mirrored", held_out), ("training", training)]
    work += [(name, training) for name in ("moved", "cut")]
    for name, patients in work:
        for model in arguments.models:
            evaluate(model, arguments.sts, arguments.to, name, patients)
    for model, figures in json.loads(arguments.to.read_text()).items():
        for key, value in summary(figures).items():
            print(f"{model}: {key}: {value}")


if __name__ == "__main__":
    main()
