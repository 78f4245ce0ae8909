"""Files that are not what they should be: how a case is registered, and what several cases are made of."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from core.errors import InputError
from core.imaging.open_scan import open_scan
from core.imaging.volumes import read_label_map
from core.types import Grid, LabelMap, Modality, Volume

GOOD = np.random.default_rng(3).normal(size=(6, 7, 8)).astype(np.float32)
NRRD = (
    "NRRD0004\ntype: {type}\ndimension: {dim}\nspace: left-posterior-superior\nsizes: {sizes}\n{more}endian: little\n"
)

Build = Callable[[Path], Any]
CASES: list[tuple[str, Build, type[InputError], str, str]] = []


def bad(kind: str, problem: str, remedy: str, error: type[InputError] = InputError) -> Callable[[Build], Build]:
    """Register a case: opening what the builder makes raises `error` that names the problem and the remedy."""

    def register(build: Build) -> Build:
        CASES.append((kind, build, error, problem, remedy))
        return build

    return register


def scan(*paths: Path, modality: Modality = "CT") -> Volume:
    return open_scan(paths, modality, scratch=paths[0].parent if paths else None)[0]


def nifti(folder: Path, array: np.ndarray = GOOD, affine: Any = None, **fields: Any) -> Path:
    """A NIfTI file, its header fields overwritten at the end: nibabel would not write such."""
    path = folder / "scan.nii.gz"
    image = nib.Nifti1Image(array, np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else np.asarray(affine, float))
    raw = bytearray(image.to_bytes())
    header = np.ndarray((), nib.Nifti1Header.template_dtype, buffer=raw)
    for key, value in fields.items():
        header[key] = value
    path.write_bytes(gzip.compress(bytes(raw)))
    return path


def zipped(folder: Path, *members: tuple[str, bytes]) -> Path:
    path = folder / "scan.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def mask(folder: Path, array: np.ndarray, grid: Grid | None = None) -> LabelMap:
    return read_label_map(nifti(folder, array), grid)
