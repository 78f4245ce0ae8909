"""Our warm, in-process nnU-Net against the `nnUNetv2_predict` command line: same model, same scan, same settings."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from core.imaging.volumes import read_label_map, read_volume, resample, write_nifti
from core.lesions.metrics import dice
from tests.bench import shared_data

MODEL = "sts-ctpet-small"
PATIENT = "STS_003"
FOLDER = "Dataset501_STS/nnUNetTrainer__nnUNetPlansSmall__3d_fullres"


def _command_line(scans: Path, out: Path, results: Path, mirroring: bool) -> float:
    """Seconds of one run, start of the process included."""
    environment = {
        **os.environ,
        "nnUNet_results": str(results),
        "nnUNet_raw": str(scans),
        "nnUNet_preprocessed": str(scans),
    }
    command = [
        str(Path(sys.executable).with_name("nnUNetv2_predict")),
        "-i",
        str(scans),
        "-o",
        str(out),
        "-d",
        "501",
        "-c",
        "3d_fullres",
        "-p",
        "nnUNetPlansSmall",
        "-f",
        "0",
        "-device",
        "cpu",
        "-npp",
        "1",
        "-nps",
        "1",
    ]
    started = time.perf_counter()
    subprocess.run(
        command + ([] if mirroring else ["--disable_tta"]),
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def _cold(scan: Path, pet: Path, mirroring: bool) -> float:
    """Seconds of a fresh Python that imports, loads the model and segments once, with our engine."""
    code = (
        "import sys; from pathlib import Path; from core.imaging.volumes import read_volume;"
        "from core.engines.auto.nnunet import load_segmenter;"
        f"load_segmenter({MODEL!r}, {mirroring}).segment("
        "[read_volume(Path(sys.argv[1]), 'CT'), read_volume(Path(sys.argv[2]), 'PET')])"
    )
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, str(scan), str(pet)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def run() -> list[dict[str, Any]]:
    """One row for each setting: seconds cold and warm, the command line's, the ratios, and the agreement."""
    from core.engines.auto.nnunet import load_segmenter
    from weights import registry

    source = shared_data() / "sts" / PATIENT
    ct, pet = read_volume(source / "CT_image.nii.gz", "CT"), read_volume(source / "PET_image.nii.gz", "PET")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for folder in ("scans", "results"):
            (work / folder).mkdir()
        write_nifti(work / "scans/case_0000.nii.gz", ct.array, ct.grid)
        write_nifti(work / "scans/case_0001.nii.gz", resample(pet.array, pet.grid, ct.grid, "linear"), ct.grid)
        model = work / "results" / FOLDER
        model.parent.mkdir(parents=True)
        model.symlink_to(registry.verify(registry.find(MODEL)))
        for mirroring in (False, True):
            out = work / f"out{mirroring}"
            upstream_s = _command_line(work / "scans", out, work / "results", mirroring)
            cold_s = _cold(source / "CT_image.nii.gz", source / "PET_image.nii.gz", mirroring)
            segmenter = load_segmenter(MODEL, mirroring)
            segmenter.segment([ct, pet])
            started = time.perf_counter()
            ours = segmenter.segment([ct, pet]).labels
            warm_s = time.perf_counter() - started
            theirs = read_label_map(out / "case.nii.gz", ct.grid)
            rows.append(
                {
                    "scan": PATIENT,
                    "mirroring": mirroring,
                    "nnUNetv2_predict s": upstream_s,
                    "ours cold s": cold_s,
                    "ours warm s": warm_s,
                    "cold ratio": upstream_s / cold_s,
                    "warm ratio": upstream_s / warm_s,
                    "Dice of labels": dice(ours.array > 0, theirs.array > 0),
                    "voxels that differ": int(np.count_nonzero(ours.array != theirs.array)),
                }
            )
    return rows


if __name__ == "__main__":
    print(sitk.Version_VersionString(), *run(), sep="\n")
