"""Held-out figures of the shipped network beside "41 % of SUVmax".

`python -m weights.recipes.sts_ctpet.evaluate --sts DIR`

Writes evaluation.json beside the checkpoint and prints the model card's table. The baseline takes every voxel of the
crop at or above 41 % of the crop's highest SUV, on the PET's own grid, resampled to the CT (Boellaard 2015,
doi 10.1007/s00259-014-2961-x, for the threshold); it sees the same crop as the network.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from core.imaging.volumes import read_label_map, read_volume, resample
from core.lesions.metrics import dice, surface_distances
from core.types import Volume
from weights.recipes.sts_ctpet.prepare import split
from weights.recipes.sts_ctpet.simulated import tumour_free_phantom, without_tumour

#: Phantom anatomies from here on are evaluated on; training takes others.
FREE_ANATOMY = 980


def suv41(pet: Volume, ct: Volume) -> np.ndarray:
    """(I, J, K) bool on the CT's grid: at least 41 % of the highest SUV."""
    return resample(pet.array, pet.grid, ct.grid, "linear") >= 0.41 * pet.array.max()


def evaluate(sts: Path, model_id: str, patients: list[str], mirroring: bool) -> list[dict[str, float | str]]:
    """One row a patient: Dice, HD95 and mean surface distance in millimetres of network and baseline, and seconds."""
    from core.engines.auto.nnunet import load_segmenter

    segmenter = load_segmenter(model_id, mirroring)
    rows: list[dict[str, float | str]] = []
    for patient in patients:
        ct = read_volume(sts / patient / "CT_image.nii.gz", "CT")
        pet = read_volume(sts / patient / "PET_image.nii.gz", "PET")
        truth = read_label_map(sts / patient / "CT_mask.nii.gz", ct.grid).array > 0
        started = time.perf_counter()
        network = segmenter.segment([ct, pet]).labels.array > 0
        seconds = time.perf_counter() - started
        row: dict[str, float | str] = {"patient": patient, "mL": truth.sum() * ct.grid.voxel_volume_mm3 / 1000}
        for name, mask in (("network", network), ("suv41", suv41(pet, ct))):
            distance = surface_distances(mask, truth, ct.grid.spacing_mm)
            row[f"{name}_dice"] = dice(mask, truth)
            row[f"{name}_hd95_mm"] = distance.hausdorff95_mm
            row[f"{name}_mean_surface_mm"] = distance.mean_mm
        row["seconds"] = seconds
        rows.append({key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()})
    return rows


def tumour_free(sts: Path, model_id: str, patients: list[str]) -> list[dict[str, float | str]]:
    """One row a scan in which nothing is left to find: the mL that the network finds all the same.

    The patients' own scans with the tumour painted over, and six phantoms of anatomies that nothing was trained on.
    """
    from core.engines.auto.nnunet import load_segmenter

    segmenter = load_segmenter(model_id)
    scans = {f"{patient}, painted over": without_tumour(sts / patient, 100 + n) for n, patient in enumerate(patients)}
    scans |= {f"phantom {n}": tumour_free_phantom(n) for n in range(FREE_ANATOMY, FREE_ANATOMY + 6)}
    rows: list[dict[str, float | str]] = []
    for name, scan in scans.items():
        labels = segmenter.segment([scan.ct, scan.pet]).labels
        rows.append({"patient": name, "found_mL": round(labels.volume_mm3 / 1000, 1)})
    return rows


def table(rows: list[dict[str, float | str]]) -> str:
    """Markdown, with a line of means."""
    keys = list(rows[0])
    mean = {k: round(float(np.mean([float(r[k]) for r in rows])), 3) for k in keys if k != "patient"}
    means: dict[str, float | str] = {"patient": "mean", **mean}
    lines = ["| " + " | ".join(keys) + " |", "|" + " --- |" * len(keys)]
    lines += ["| " + " | ".join(str(row[k]) for k in keys) + " |" for row in [*rows, means]]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sts", type=Path, required=True)
    parser.add_argument("--model", default="sts-ctpet-small")
    parser.add_argument("--to", type=Path, default=Path("weights/sts_ctpet_small/evaluation.json"))
    arguments = parser.parse_args()
    training, held_out = split(arguments.sts)
    result = {
        "held out": evaluate(arguments.sts, arguments.model, held_out, False),
        "held out, mirrored": evaluate(arguments.sts, arguments.model, held_out, True),
        "tumour-free": tumour_free(arguments.sts, arguments.model, held_out),
        "training": evaluate(arguments.sts, arguments.model, training, False),
    }
    arguments.to.write_text(json.dumps(result, indent=1))
    for name, rows in result.items():
        print(f"\n{name}\n\n{table(rows)}")
