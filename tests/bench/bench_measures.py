"""Measures of a lesion against SimpleITK and pyradiomics on ten real masks, and against balls of known diameter.

Run: python -m tests.bench measures. pyradiomics does not go with this project's numpy: TWIN_RADIOMICS names the Python
of an environment that has it (`pip install 'numpy<2' SimpleITK pyradiomics`); without it its rows say so.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure
from scipy.ndimage import label as label_pieces
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from core.imaging.volumes import read_label_map, to_sitk
from core.lesions.diameters import Diameters, axial_axis, diameters, longest_without_excess_mm
from core.lesions.intensity import IntensityMeasure, intensity, suv_peak, uptake
from core.lesions.shape import axis_lengths_mm
from core.types import Grid, LabelMap, Modality, Volume

_ROOT = Path(__file__).resolve().parents[2]
_SHARED = Path(os.environ.get("TWIN_SHARED", _ROOT.parent / "shared" / "data"))
_RADIOMICS = os.environ.get("TWIN_RADIOMICS", "")

#: Ten patients; CT, PET and MR, small and large tumours, thin and thick slices.
CASES = (
    *("STS_001/CT", "STS_002/CT", "STS_010/CT", "STS_014/CT", "STS_003/PET", "STS_005/PET", "STS_008/PET"),
    *("STS_006/MR_T1", "STS_012/MR_T1", "STS_024/MR_T1"),
)
BALLS_MM = (5, 8, 10, 15, 20, 30, 40)
SPACINGS_MM = ((0.5, 0.5), (0.7, 1.25), (0.8, 3.0), (1.0, 1.0), (1.0, 3.0), (2.0, 2.0), (3.0, 3.0))

_THEIRS = """
import json, sys, logging
import SimpleITK as sitk
from radiomics import firstorder, shape, shape2D
logging.getLogger("radiomics").setLevel(logging.ERROR)
out = {}
for name, (image, mask) in json.load(sys.stdin).items():
    image, mask = sitk.ReadImage(image), sitk.ReadImage(mask)
    image.CopyInformation(mask)
    out[name] = {}
    for kind, module in (("shape", shape.RadiomicsShape), ("firstorder", firstorder.RadiomicsFirstOrder)):
        features = module(image, mask, label=1, voxelArrayShift=0)
        features.enableAllFeatures()
        out[name] |= {f"{kind}_{key}": float(value) for key, value in features.execute().items()}
json.dump(out, sys.stdout)
"""


def run() -> list[dict[str, Any]]:
    """One row a measure: the greatest difference over ten masks, and what it was; then one a ball diameter."""
    with tempfile.TemporaryDirectory(prefix="twin-measures-") as folder:
        there = [name for name in CASES if (_SHARED / "sts" / f"{name}_mask.nii.gz").exists()]
        cases = {name: _case(name, Path(folder)) for name in there}
        theirs = _radiomics({name: case["files"] for name, case in cases.items()})
    rows = _compared({name: (case["ours_itk"], case["itk"]) for name, case in cases.items()}, "SimpleITK")
    rows += _compared({name: (case["ours_peak"], case["peak"]) for name, case in cases.items()}, "IBSI's whole voxels")
    if theirs is None:
        rows.append({"against": "pyradiomics", "measure": "absent: TWIN_RADIOMICS names no Python that has it"})
    else:
        rows += _compared({name: (case["ours_radiomics"], theirs[name]) for name, case in cases.items()}, "pyradiomics")
    return rows + balls()


def _case(name: str, folder: Path) -> dict[str, Any]:
    """Our measures of a mask's largest piece, under the names that SimpleITK and pyradiomics have for them."""
    labels = read_label_map(_SHARED / "sts" / f"{name}_mask.nii.gz")
    array = nib.nifti1.load(_SHARED / "sts" / f"{name}_image.nii.gz").get_fdata(dtype=np.float32)
    modality: Modality = "CT" if "CT" in name else "PET" if "PET" in name else "MR"
    volume = Volume(array, labels.grid, modality)
    pieces, _ = label_pieces(labels.array > 0, generate_binary_structure(3, 3))
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    lesion = LabelMap(largest.astype(np.uint8), labels.grid)
    image, mask = to_sitk(volume.array, volume.grid), to_sitk(lesion.array, lesion.grid)
    files = [str(folder / f"{name.replace('/', '_')}_{part}.nii.gz") for part in ("image", "mask")]
    for part, file in zip((image, mask), files, strict=True):
        sitk.WriteImage(part, file)
    lengths, values = diameters(largest, labels.grid), intensity(volume, lesion, 1)
    assert lengths is not None
    peaks = [
        suv_peak(array, largest, labels.grid.spacing_mm, whole) if modality == "PET" else None
        for whole in (False, True)
    ]
    ours, theirs = ({"SUVpeak": peak[0]} if peak else {} for peak in peaks)
    both = {"ours_peak": ours, "peak": theirs}
    return {"files": files, "itk": _itk(image, mask, lesion), **both, **_ours(lesion, lengths, values, volume)}


def _ours(lesion: LabelMap, lengths: Diameters, values: IntensityMeasure, volume: Volume) -> dict[str, Any]:
    major, minor, least = axis_lengths_mm(lesion.array > 0, lesion.grid.spacing_mm, ddof=0)
    volume_mm3 = values.voxels * lesion.grid.voxel_volume_mm3
    shared: dict[str, Any] = {}
    if volume.modality == "PET":
        found = uptake(volume, lesion, 1)
        shared = {"SUVmax": found.suv_max, "SUVmean": found.suv_mean, "MTV mL": found.mtv_ml, "TLG g": found.tlg_g}
    sample_sd = None if values.sd is None else values.sd * np.sqrt(values.voxels / (values.voxels - 1))
    itk = {
        "volume mm3": volume_mm3,
        "3-D longest, centre to centre, mm": _centre_to_centre(lengths, lesion),
        "3-D longest, mm (theirs centre to centre)": lengths.longest_3d_mm,
        "longest in-plane, mm (theirs centre to centre)": lengths.longest_mm,
        "mean": values.mean,
        "sd (n - 1)": sample_sd,
        "median (theirs of a histogram of 128 bins)": values.median,
        "least": values.least,
        "greatest": values.greatest,
        **shared,
    }
    radiomics = {
        "shape_VoxelVolume": volume_mm3,
        "shape_Maximum3DDiameter": lengths.longest_3d_mm,
        f"shape_Maximum2DDiameter{('Row', 'Column', 'Slice')[lengths.axial_axis]}": lengths.longest_mm,
        "shape_MajorAxisLength": major,
        "shape_MinorAxisLength": minor,
        "shape_LeastAxisLength": least,
        "firstorder_Mean": values.mean,
        "firstorder_Variance": None if values.sd is None else values.sd**2,
        "firstorder_Median": values.median,
        "firstorder_Minimum": values.least,
        "firstorder_Maximum": values.greatest,
        "firstorder_InterquartileRange": (values.p75 or 0.0) - (values.p25 or 0.0),
    }
    return {"ours_itk": itk, "ours_radiomics": radiomics}


def _centre_to_centre(lengths: Diameters, lesion: LabelMap) -> float:
    """What ours would be if it ran between voxel centres, as SimpleITK's: all pairs of border voxels."""
    points = np.argwhere(lesion.array > 0) * np.asarray(lesion.grid.spacing_mm)
    return float(pdist(points[ConvexHull(points).vertices]).max())


def _itk(image: sitk.Image, mask: sitk.Image, lesion: LabelMap) -> dict[str, Any]:
    shape, values = sitk.LabelShapeStatisticsImageFilter(), sitk.LabelIntensityStatisticsImageFilter()
    shape.ComputeFeretDiameterOn()
    shape.Execute(mask)
    values.Execute(mask, image)
    plain = sitk.LabelStatisticsImageFilter()
    plain.Execute(image, mask)
    array, axis = lesion.array, axial_axis(lesion.grid)
    planes = []
    for number in np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis))).tolist():
        plane = array.copy()
        plane[tuple(slice(None) if a != axis else np.arange(array.shape[axis]) != number for a in range(3))] = 0
        shape2 = sitk.LabelShapeStatisticsImageFilter()
        shape2.ComputeFeretDiameterOn()
        shape2.Execute(to_sitk(plane, lesion.grid))
        planes.append(shape2.GetFeretDiameter(1))
    volume_ml = shape.GetPhysicalSize(1) / 1000
    return {
        "volume mm3": shape.GetPhysicalSize(1),
        "3-D longest, centre to centre, mm": shape.GetFeretDiameter(1),
        "3-D longest, mm (theirs centre to centre)": shape.GetFeretDiameter(1),
        "longest in-plane, mm (theirs centre to centre)": max(planes),
        "mean": values.GetMean(1),
        "sd (n - 1)": plain.GetSigma(1),
        "median (theirs of a histogram of 128 bins)": values.GetMedian(1),
        "least": values.GetMinimum(1),
        "greatest": values.GetMaximum(1),
        "SUVmax": values.GetMaximum(1),
        "SUVmean": values.GetMean(1),
        "MTV mL": volume_ml,
        "TLG g": values.GetMean(1) * volume_ml,
    }


def _radiomics(files: dict[str, list[str]]) -> dict[str, dict[str, float]] | None:
    if not _RADIOMICS:
        return None
    given = json.dumps(files)
    done = subprocess.run([_RADIOMICS, "-c", _THEIRS], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{_RADIOMICS} failed: {done.stderr[-2000:]}")
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def _compared(pairs: dict[str, tuple[dict[str, Any], dict[str, Any]]], against: str) -> list[dict[str, Any]]:
    rows = []
    for measure in dict.fromkeys(name for ours, _ in pairs.values() for name in ours):
        both = {
            case: (ours[measure], theirs[measure])
            for case, (ours, theirs) in pairs.items()
            if ours.get(measure) is not None and measure in theirs
        }
        apart = {case: mine - other for case, (mine, other) in both.items()}
        if not apart:
            continue
        worst = max(apart, key=lambda case: abs(apart[case]))
        rows.append(
            {
                "against": against,
                "measure": measure,
                "masks": len(apart),
                "median difference": float(np.median(list(apart.values()))),
                "greatest difference": float(apart[worst]),
                "of": worst,
                "ours": float(both[worst][0]),
                "theirs": float(both[worst][1]),
            }
        )
    return rows


def balls(repeats: int = 12, seed: int = 17) -> list[dict[str, Any]]:
    """Edge-to-edge diameters of digitised balls at random places, less the true one, by pixel and slice."""
    rng = np.random.default_rng(seed)
    rows = []
    for pixel_mm, slice_mm in SPACINGS_MM:
        for diameter_mm in BALLS_MM:
            found = [_ball(rng, diameter_mm, pixel_mm, slice_mm) for _ in range(repeats)]
            off = np.array([[f.longest_mm, f.perpendicular_mm, f.longest_3d_mm] for f in found]) - diameter_mm
            longest, short, solid = off.mean(axis=0)
            where = Grid((1, 1, 1), np.diag([pixel_mm, pixel_mm, slice_mm, 1.0]))
            corrected = [length for f in found if (length := longest_without_excess_mm(f, where)) is not None]
            rows.append(
                {
                    "against": f"ball of {diameter_mm} mm",
                    "measure": f"pixel {pixel_mm} mm, slice {slice_mm} mm",
                    "masks": len(off),
                    "longest: too long, mm": float(longest),
                    "pixels": float(longest / pixel_mm),
                    "sd, mm": float(off[:, 0].std()),
                    "corrected, mm": float(np.mean(corrected) - diameter_mm) if len(corrected) == len(off) else None,
                    "perpendicular, mm": float(short),
                    "3-D, mm": float(solid),
                }
            )
    return rows


def _ball(rng: np.random.Generator, diameter_mm: float, pixel_mm: float, slice_mm: float) -> Diameters:
    spacing: NDArray[np.float64] = np.array([pixel_mm, pixel_mm, slice_mm])
    shape = tuple(int(n) for n in np.ceil(diameter_mm / spacing) + 4)
    centre = (np.array(shape) / 2 + rng.uniform(-0.5, 0.5, 3)) * spacing
    axes = [np.arange(n) * mm - c for n, mm, c in zip(shape, spacing, centre, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    mask = x**2 + y**2 + z**2 <= diameter_mm**2 / 4
    found = diameters(mask, Grid((shape[0], shape[1], shape[2]), np.diag([*spacing, 1.0])))
    assert found is not None
    return found
