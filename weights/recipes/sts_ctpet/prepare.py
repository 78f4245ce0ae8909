"""Lay the soft-tissue sarcoma scans out as an nnU-Net v2 raw dataset, plan it, preprocess it, and fix the split.

Run by `train.py`; alone: `python -m weights.recipes.sts_ctpet.prepare --sts DIR --work DIR`.
Source: Vallieres 2015, doi 10.7937/K9/TCIA.2015.7GO2GSKS, as packed by IBSI (CC BY 3.0).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from core.imaging.volumes import write_nifti
from weights.recipes.sts_ctpet.simulated import simulated_cases

DATASET_ID = 501
DATASET = f"Dataset{DATASET_ID}_STS"
PLANS = "nnUNetPlansSmall"
#: millimetres along (k, j, i): the scans' own slice distance, and nearly that in plane; a tumour of 17 mL is ten
#: voxels wide.
SPACING_MM = (3.27, 3.3, 3.3)
PATCH = (48, 48, 48)
FEATURES = (16, 32, 64, 128)


def set_environment(work: Path) -> None:
    """nnunetv2 reads its three folders from the environment when it is imported: call this before."""
    for name, folder in (("nnUNet_raw", "raw"), ("nnUNet_preprocessed", "preprocessed"), ("nnUNet_results", "results")):
        (work / folder).mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(work / folder)
    os.environ["nnUNet_n_proc_DA"] = "1"  # noqa: SIM112  # nnU-Net's own name; the planner refuses 0
    os.environ["nnUNet_compile"] = "f"  # noqa: SIM112


def split(sts: Path) -> tuple[list[str], list[str]]:
    """(training, held-out) patients: ordered by tumour volume, every fourth from the second is held out.

    So the hold-out spans the range of sizes, and nobody chose its members.
    """
    volumes = {}
    for folder in sorted(sts.glob("STS_*")):
        mask = sitk.ReadImage(str(folder / "CT_mask.nii.gz"))
        volumes[folder.name] = np.count_nonzero(sitk.GetArrayViewFromImage(mask)) * np.prod(mask.GetSpacing())
    ordered = sorted(volumes, key=lambda name: volumes[name])
    held_out = sorted(ordered[1::4])
    return sorted(set(ordered) - set(held_out)), held_out


def write_case(target: Path, name: str, ct: sitk.Image, pet: sitk.Image, mask: sitk.Image) -> None:
    """CT as it is, PET resampled linearly onto the CT grid, the contour as label 1."""
    mask = mask > 0
    mask.CopyInformation(ct)
    sitk.WriteImage(ct, str(target / "imagesTr" / f"{name}_0000.nii.gz"))
    on_ct = sitk.Resample(pet, ct, sitk.Transform(), sitk.sitkLinear, 0.0)
    sitk.WriteImage(on_ct, str(target / "imagesTr" / f"{name}_0001.nii.gz"))
    sitk.WriteImage(mask, str(target / "labelsTr" / f"{name}.nii.gz"))


def write_raw(sts: Path, target: Path) -> None:
    """The real patients."""
    (target / "imagesTr").mkdir(parents=True, exist_ok=True)
    (target / "labelsTr").mkdir(parents=True, exist_ok=True)
    for folder in sorted(sts.glob("STS_*")):
        ct = sitk.ReadImage(str(folder / "CT_image.nii.gz"), sitk.sitkFloat32)
        pet = sitk.ReadImage(str(folder / "PET_image.nii.gz"), sitk.sitkFloat32)
        write_case(target, folder.name, ct, pet, sitk.ReadImage(str(folder / "CT_mask.nii.gz")))
    write_dataset_json(target)


def write_simulated(sts: Path, target: Path, training: list[str]) -> list[str]:
    """The cases of `simulated.py`; returns their names."""
    names = []
    for name, case in simulated_cases(sts, training):
        with tempfile.TemporaryDirectory() as folder:
            images = []
            for part, array, grid in (
                ("ct", case.ct.array, case.ct.grid),
                ("pet", case.pet.array, case.pet.grid),
                ("mask", case.truth.array, case.truth.grid),
            ):
                write_nifti(Path(folder) / f"{part}.nii.gz", array, grid)
                images.append(sitk.ReadImage(str(Path(folder) / f"{part}.nii.gz")))
        write_case(target, name, *images)
        names.append(name)
    write_dataset_json(target)
    return names


def write_dataset_json(target: Path) -> None:
    """What nnU-Net wants to know of the cases that are there."""
    cases = len(list((target / "labelsTr").glob("*.nii.gz")))
    (target / "dataset.json").write_text(
        json.dumps(
            {
                "channel_names": {"0": "CT", "1": "PET"},
                "labels": {"background": 0, "tumour": 1},
                "numTraining": cases,
                "file_ending": ".nii.gz",
            },
            indent=2,
        )
    )


def plan(work: Path) -> None:
    """nnU-Net's fingerprint and planner, then our smaller network, spacing and patch written into its plans."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        plan_experiment_dataset,
    )

    extract_fingerprint_dataset(DATASET_ID, num_processes=2, show_progress_bar=False)
    plan_experiment_dataset(DATASET_ID, overwrite_target_spacing=SPACING_MM, overwrite_plans_name=PLANS)
    path = work / "preprocessed" / DATASET / f"{PLANS}.json"
    plans = json.loads(path.read_text())
    full = plans["configurations"]["3d_fullres"]
    full.update(batch_size=2, patch_size=list(PATCH), spacing=list(SPACING_MM))
    # SUV has a meaning of its own: scale it by the training tumours' statistics as CT is, not by each scan's spread,
    # which depends on how much of the body the scan shows.
    full["normalization_schemes"] = ["CTNormalization", "CTNormalization"]
    stages = len(FEATURES)
    full["architecture"]["arch_kwargs"].update(
        n_stages=stages,
        features_per_stage=list(FEATURES),
        kernel_sizes=[[3, 3, 3]] * stages,
        strides=[[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        n_conv_per_stage=[2] * stages,
        n_conv_per_stage_decoder=[2] * (stages - 1),
    )
    plans["configurations"] = {"3d_fullres": full}
    path.write_text(json.dumps(plans, indent=2))


def prepare(sts: Path, work: Path) -> tuple[list[str], list[str]]:
    """Everything before training; a second call finds it done. Returns the (training, held-out) patients.

    The plans are made from the real patients alone. Fold 0 trains on them; fold 1 on each of them twice and on the
    simulated cases once.
    """
    set_environment(work)
    training, held_out = split(sts)
    splits = work / "preprocessed" / DATASET / "splits_final.json"
    if not splits.exists():
        write_raw(sts, work / "raw" / DATASET)
        plan(work)
        simulated = write_simulated(sts, work / "raw" / DATASET, training)
        preprocess()
        folds = [{"train": training, "val": held_out}, {"train": 2 * training + simulated, "val": held_out}]
        splits.write_text(json.dumps(folds, indent=2))
    return training, held_out


def preprocess() -> None:
    """nnU-Net's own, of every case that is there."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset

    preprocess_dataset(DATASET_ID, PLANS, ("3d_fullres",), (2,), show_progress_bar=False)


if __name__ == "__main__":  # nnU-Net's preprocessing spawns processes that import this file again
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sts", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    print(prepare(arguments.sts, arguments.work))
