"""Packs the CTs that the registration is measured on, for a machine that only little can be carried to.

`python -m tests.bench.pack_scans FOLDER` writes every second patient's CT and contour to FOLDER/sts (12 of 24, 22 MB):
values in steps of 4 HU as 16-bit whole numbers, a deviation of 1.2 HU under the 15 HU of noise or more that the
measurement puts on. Whatever is measured on them says so.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from core.imaging.volumes import read_volume

STEP_HU = 4


def pack(source: Path, target: Path) -> None:
    """Every second patient's CT, in steps, and its contour as it is."""
    for home in sorted(source.glob("STS_*"))[1::2]:
        folder = target / home.name
        folder.mkdir(parents=True, exist_ok=True)
        scan = read_volume(home / "CT_image.nii.gz", "CT")
        values = (np.rint(scan.array / STEP_HU) * STEP_HU).astype(np.int16)
        nib.save(nib.Nifti1Image(values, scan.grid.affine), folder / "CT_image.nii.gz")
        shutil.copyfile(home / "CT_mask.nii.gz", folder / "CT_mask.nii.gz")


if __name__ == "__main__":
    shared = Path(os.environ.get("TWIN_SHARED", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
    pack(shared / "sts", Path(sys.argv[1]) / "sts")
