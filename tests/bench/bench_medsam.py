"""LiteMedSAM on real tumours: a box on every slice against one box and propagation.

Dice against the reference contour, in 2-D on its largest slice and in 3-D; boxes are the contour's own bounding boxes,
so a person's looser box may do better or worse. Seconds a slice: embedding and one box, nothing kept from before.
MEDSAM_PATIENTS="STS_008" and MEDSAM_SCANS="CT" shorten it. Data: CC BY 3.0, 10.7937/K9/TCIA.2015.7GO2GSKS.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.medsam import load_prompt_segmenter
from core.engines.prompting import overlap
from core.engines.propagation import refine
from core.types import Modality, Prompt, Volume
from core.volumes import read_label_map, read_volume
from tests.bench import shared_data

PATIENTS = "STS_003 STS_008 STS_010 STS_026 STS_029 STS_034"


def box_of(mask: NDArray[np.bool_], k: int, scan: str) -> Prompt:
    """The bounding box of one slice of the reference contour."""
    i, j = np.flatnonzero(mask[:, :, k].any(axis=1)), np.flatnonzero(mask[:, :, k].any(axis=0))
    return Prompt("box", k, (float(i[0]), float(j[0]), float(i[-1]), float(j[-1])), scan=scan)


def measure(volume: Volume, truth: NDArray[np.bool_], name: str) -> dict[str, Any]:
    """One row: Dice of both ways, and where propagation stopped."""
    segmenter = load_prompt_segmenter()
    slices = np.flatnonzero(truth.any(axis=(0, 1)))
    began, worked = time.perf_counter(), time.process_time()
    every = refine(volume, [box_of(truth, int(k), volume.modality) for k in slices], segmenter, propagate=False)
    seconds, worked = (time.perf_counter() - began) / len(slices), (time.process_time() - worked) / len(slices)
    largest = int(truth.sum(axis=(0, 1)).argmax())
    one = refine(volume, [box_of(truth, largest, volume.modality)], segmenter, propagate=True)
    return {
        "scan": name, "slices": len(slices),
        "2-D, largest slice": overlap(one.mask[:, :, largest], truth[:, :, largest]),
        "3-D, box on every slice": overlap(every.mask, truth), "3-D, one box, propagated": overlap(one.mask, truth),
        "s/slice": seconds, "CPU s/slice": worked,
        "stopped (truth)": "; ".join(f"{s.slice} {s.rule}" for s in one.stops) + f" ({slices[0]}..{slices[-1]})",
    }  # fmt: skip


def run() -> list[dict[str, Any]]:
    """One row a scan, and the means."""
    scans: dict[str, Modality] = {"CT": "CT", "PET": "PET"}
    rows: list[dict[str, Any]] = []
    for scan in os.environ.get("MEDSAM_SCANS", "CT PET").split():
        part = []
        for patient in os.environ.get("MEDSAM_PATIENTS", PATIENTS).split():
            folder = shared_data() / "sts" / patient
            volume = read_volume(folder / f"{scan}_image.nii.gz", scans[scan])
            truth = read_label_map(folder / f"{scan}_mask.nii.gz").array > 0
            part.append(measure(volume, truth, f"{patient} {scan}"))
        numbers = [key for key, value in part[0].items() if isinstance(value, float)]
        rows += [
            *part,
            {"scan": f"mean {scan}", **{key: float(np.mean([row[key] for row in part])) for key in numbers}},
        ]
    return rows
