"""The small data root that attacks are made on: one patient, two visits, an accepted mask on each."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import nibabel as nib
import numpy as np

from tests.attack.door import Ran, cli
from tests.store_phantom import ANSWERED

PATIENT, FIRST, SECOND = "P1", "2024-01-10", "2024-03-06"
SHAPE = (40, 36, 20)
SPACING_MM = (2.0, 2.0, 3.0)


def image(path: Path, seed: int) -> Path:
    """A CT-like NIfTI file of noise."""
    voxels = np.random.default_rng(seed).normal(20, 200, SHAPE).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([*SPACING_MM, 1.0])), path)
    return path


def ball(path: Path, radius_voxels: float) -> Path:
    """A mask of one lesion in the middle."""
    steps = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    inside = sum(step**2 for step in steps) < radius_voxels**2
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), np.diag([*SPACING_MM, 1.0])), path)
    return path


def import_scan(root: Path, file: Path, *more: str, day: str = FIRST, patient: str = PATIENT) -> Ran:
    """`cli.py import` of a file as a CT of the patient; see `cli` for the rest."""
    place = ("--dataset", "clinic", "--patient", patient, "--date", day, "--modality", "CT")
    return cli(root, "import", str(file), *place, *more)


@cache
def _scene() -> Path:
    folder = Path(mkdtemp(prefix="twin-attack-"))
    root = folder / "data"
    for number, day in enumerate((FIRST, SECOND)):
        done = import_scan(root, image(folder / f"ct{number}.nii.gz", number), day=day)
        assert done.status == 0, done.text
        cli(root, "import-mask", PATIENT, day, str(ball(folder / f"mask{number}.nii.gz", 6 + number)), status=0)
        cli(root, "accept", PATIENT, day, "1", *ANSWERED, status=0)
    return root


def copy_of_scene(folder: Path) -> Path:
    """A copy of the data root, made once, in `folder`."""
    root = folder / "data"
    shutil.copytree(_scene(), root, symlinks=True)
    return root


def forget_scene() -> None:
    """Removes what `copy_of_scene` copied from."""
    if _scene.cache_info().currsize:
        shutil.rmtree(_scene().parent, ignore_errors=True)
        _scene.cache_clear()


def mask_file(root: Path, day: str = SECOND, version: int = 1) -> Path:
    return root / "processed" / "clinic" / PATIENT / day / f"mask_v{version:03d}.nii.gz"


def points(root: Path) -> list[tuple[str, float]]:
    """(timepoint, mm3) of the volumes that the curve of the total counts now."""
    lesions = json.loads(cli(root, "growth", PATIENT, "--json", status=0).out)["lesions"]
    rows = lesions.get("total", {}).get("points", [])
    return [(str(row["timepoint"]), float(row["volume_mm3"])) for row in rows if row["volume_mm3"] is not None]


def statuses(root: Path) -> dict[str, str]:
    """ "timepoint vN" -> status of the patient's masks."""
    values = json.loads(cli(root, "masks", PATIENT, "--json", status=0).out)
    return {f"{mask['timepoint']} v{mask['version']}": str(mask["status"]) for mask in values}
