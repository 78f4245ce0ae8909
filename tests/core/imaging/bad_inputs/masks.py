"""Masks that are refused, and what is not a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.errors import GeometryError
from core.imaging.volumes import write_nifti
from core.types import Grid, LabelMap, Volume, parse_date
from tests.core.imaging.bad_inputs.registry import bad, mask, nifti, scan


@bad("mask of probabilities", "got fractions such as 0.25", "threshold it first")
def _(folder: Path) -> LabelMap:
    array = np.zeros((4, 4, 4), np.float32)
    array[2, 2, 2] = 0.25
    return mask(folder, array)


@bad("mask with negative labels", "got -1 to 0", "Renumber the labels")
def _(folder: Path) -> LabelMap:
    array = np.zeros((4, 4, 4), np.int16)
    array[2, 2, 2] = -1
    return mask(folder, array)


@bad("mask with labels above 255", "got 0 to 256", "Renumber the labels")
def _(folder: Path) -> LabelMap:
    array = np.zeros((4, 4, 4), np.int16)
    array[2, 2, 2] = 256
    return mask(folder, array)


@bad("mask with NaN", "NaN or infinite", "Replace them")
def _(folder: Path) -> LabelMap:
    return mask(folder, np.full((4, 4, 4), np.nan, np.float32))


@bad("mask of another grid", "expected the scan's grid, 9x9x9 voxels of 1x1x1 mm RAS", "with resampling", GeometryError)
def _(folder: Path) -> LabelMap:
    return mask(folder, np.zeros((4, 4, 4), np.uint8), Grid((9, 9, 9), np.eye(4)))


@bad("mask moved by a tenth of a millimetre", "expected the scan's grid", "with resampling", GeometryError)
def _(folder: Path) -> LabelMap:
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[0, 3] = 0.1
    return mask(folder, np.zeros((4, 4, 4), np.uint8), Grid((4, 4, 4), affine))


@bad("unknown modality", "got 'US'", "CT, PET or MR")
def _(folder: Path) -> Volume:
    return scan(nifti(folder), modality="US")  # type: ignore[arg-type]


for _text in ("2024-13-01", "05.03.2024", "20240305", "2024-3-5", "1899-01-01", ""):

    @bad(f"date {_text!r}", f"got {_text!r}", "as YYYY-MM-DD")
    def _(folder: Path, text: str = _text) -> Any:
        return parse_date(text)


@bad("writing doubles", "got float64", "Convert them first")
def _(folder: Path) -> Any:
    return write_nifti(folder / "x.nii.gz", np.zeros((2, 2, 2)), Grid((2, 2, 2), np.eye(4)))


@bad("writing NaN", "NaN or infinite", "Replace them")
def _(folder: Path) -> Any:
    return write_nifti(folder / "x.nii.gz", np.full((2, 2, 2), np.nan, np.float32), Grid((2, 2, 2), np.eye(4)))


@bad("writing on another grid", "got (2, 2, 2)", "Pass the array's own", GeometryError)
def _(folder: Path) -> Any:
    return write_nifti(folder / "x.nii.gz", np.zeros((2, 2, 2), np.uint8), Grid((2, 2, 3), np.eye(4)))


@bad("writing into no folder", "No such file or directory", "Check that the folder exists")
def _(folder: Path) -> Any:
    return write_nifti(folder / "none" / "x.nii.gz", np.zeros((2, 2, 2), np.uint8), Grid((2, 2, 2), np.eye(4)))
