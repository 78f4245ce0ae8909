"""What an image can be by its values, where its file does not say: CT, PET, MR or a mask.

NIfTI, NRRD and MetaImage name no modality. What values show is told with its reason, and is certain only where
nothing else has such values: air and soft tissue in HU, and whole numbers that hold over whole regions. Uptake in SUV
looks like a normalised MR, and whole numbers from 0 like an MR or a CT without its intercept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.types import Volume

Kind = Literal["CT", "PET", "MR", "mask"]

#: About so many voxels are looked at, evenly spread; all of them where they are few.
_SAMPLE = 1_000_000
_AIR_HU = (-1100.0, -900.0)
_SOFT_HU = (-150.0, 150.0)
#: Least parts of a CT: measured on 26, of limbs and whole bodies, .07 to .60 are air and .23 to .85 soft tissue. An MR
#: of phases has 2 % and 4 % in these windows.
_LEAST_AIR, _LEAST_SOFT = 0.005, 0.08
#: A label is the same in neighbouring voxels; of neighbours in an MR of 8 bits less than a fifth are.
_LEAST_SAME = 0.8
_MOST_LABEL = 255
#: Of a CT without air or fat: at least so much is soft tissue, less than so much bone, and less its lowest value.
_MOSTLY, _BONE_HU, _MOST_BONE, _LEAST_BACKGROUND = 0.5, 300.0, 0.1, 0.05
#: Of what is judged; and of what is called PET, beyond which the unit is another.
_MOST_SUV, MOST_PET_SUV = 100.0, 1000.0


@dataclass(frozen=True)
class Judgement:
    """What an image can be.

    Args:
        modality: what its values look like; None where they show nothing.
        why: a sentence for people, with the values that it was judged by.
        certain: nothing else has such values.
    """

    modality: Kind | None
    why: str
    certain: bool


def judge(array: NDArray[np.float32], *, says_labels: bool = False) -> Judgement:
    """What an image can be by its values.

    Args:
        array: (I, J, K), scaled as the header says. Values that are not finite are left out.
        says_labels: the header calls the values labels (NIfTI intent 1002).

    Returns:
        The judgement; modality None, never certain, for an image without finite values or of one value.
    """
    seen = _sample(array)
    seen = seen[np.isfinite(seen)]
    if not seen.size or float(array.min()) == float(array.max()):
        return Judgement(None, "All voxels are the same, or none is a number.", False)
    low, high = float(np.nanmin(array)), float(np.nanmax(array))
    if labels := _labels(array, low, high):
        return Judgement("mask", f"Whole numbers that hold over regions, {labels}: labels.", True)
    if says_labels:
        return Judgement("mask", "The file calls its values labels.", False)
    air, soft = (float(np.mean((seen >= a) & (seen <= b))) for a, b in (_AIR_HU, _SOFT_HU))
    spread = f"{low:.4g} to {high:.4g}"
    if air >= _LEAST_AIR and soft >= _LEAST_SOFT and _is_padding(seen[seen < _AIR_HU[0]]):
        return Judgement("CT", f"Air ({air:.0%} near -1000) and soft tissue ({soft:.0%} near 0): HU.", True)
    if low < -50 and high > 50 and soft >= 0.3 and low >= _AIR_HU[0]:
        return Judgement("CT", f"Values of {spread}, {soft:.0%} near 0: perhaps HU of a part without air.", False)
    if low < -0.5:
        return Judgement(None, f"Values of {spread}: negative, and neither air nor soft tissue in HU.", False)
    if high <= 1:
        return Judgement(None, f"Values of {spread}: a map of probabilities, or a normalised image.", False)
    whole = bool((np.rint(seen) == seen).all())
    if not whole and high <= _MOST_SUV and float(np.median(seen)) < 2:
        return Judgement("PET", f"Values of {spread}, most of them low: as uptake in SUV has, or a scaled MR.", False)
    what = "an MR, or a CT without its intercept" if whole else "an MR, or a PET in Bq/mL"
    return Judgement(None, f"Values of {spread}, none negative: {what}.", False)


def contradiction(volume: Volume) -> str | None:
    """Why an image cannot be what it is offered as, and what to do: a sentence, or None where it can be.

    Args:
        volume: as it was read, with the modality that a person named.
    """
    found = judge(volume.array)
    low, high = float(volume.array.min()), float(volume.array.max())
    spread = f"values from {low:.4g} to {high:.4g}"
    if found.modality == "mask":
        return f"expected a {volume.modality} image, got a label map ({found.why}) Import it as a mask."
    if volume.modality != "CT" and found.modality == "CT" and found.certain:
        return f"expected a {volume.modality} image, got what looks like CT ({found.why}) Import it as CT."
    if volume.modality == "CT" and low >= -1 and high <= 1:
        return f"expected CT in HU, got {spread}: normalised. Import the original."
    if volume.modality == "CT" and low >= 0 and not _is_soft_tissue_alone(volume.array):
        return (
            f"expected CT in HU, got {spread}: neither air nor fat. If it is MR, say so; else import the DICOM series."
        )
    if volume.modality == "PET" and high > MOST_PET_SUV:
        return f"expected PET in SUV, got {spread}, perhaps Bq/mL. Import the DICOM series, which is converted."
    return None


def _is_soft_tissue_alone(array: NDArray[np.float32]) -> bool:
    """Whether values without any below 0 can be a part of a CT that holds neither air nor fat: mostly soft tissue, and
    no background of one value."""
    seen = _sample(array)
    soft = float(np.mean((seen >= _SOFT_HU[0]) & (seen <= _SOFT_HU[1])))
    bone = float(np.mean(seen > _BONE_HU))
    return soft >= _MOSTLY and bone < _MOST_BONE and float(np.mean(seen == seen.min())) < _LEAST_BACKGROUND


def doubts(volume: Volume) -> list[str]:
    """What is implausible about values whose modality is known: sentences for people, [] when nothing is."""
    low, high = float(volume.array.min()), float(volume.array.max())
    if volume.modality == "CT" and low >= -1 and high <= 1:
        return [f"CT values lie between {low:.3g} and {high:.3g}: normalised, not HU. Import the original."]
    if volume.modality == "CT" and low >= 0:
        return [
            f"No CT value is below 0 ({low:.4g} to {high:.4g}): neither air nor fat. Is the rescale intercept applied?"
        ]
    if volume.modality == "PET" and high > MOST_PET_SUV:
        return [f"PET reaches {high:.4g}: too high for SUV, perhaps Bq/mL. Import DICOM, which can be converted."]
    if volume.modality == "PET" and low < -1:
        return [f"PET goes down to {low:.3g} SUV; uptake is not negative. Check the reconstruction or the scale."]
    return []


def checked_by_values(name: str, volume: Volume, *, named_by_file: bool = False) -> list[str]:
    """The one question on the way in: can an image be what it is offered as?

    Args:
        named_by_file: the file itself names the modality (DICOM): what its values contradict is a doubt then.

    Returns:
        Sentences about what is implausible.

    Raises:
        InputError: a person named the modality, and the values cannot be that.
    """
    if not named_by_file and (problem := contradiction(volume)):
        raise InputError(f"{name}: {problem}")
    return doubts(volume)


def _sample(array: NDArray[np.float32]) -> NDArray[np.float32]:
    step = max(1, round((array.size / _SAMPLE) ** (1 / 3)))
    return np.asarray(array[::step, ::step, ::step]).ravel()


def _labels(array: NDArray[np.float32], low: float, high: float) -> str:
    """The labels in words, "" where the values are none: 0 and whole numbers to 255, neighbours mostly alike."""
    if not (low == 0 and 1 <= high <= _MOST_LABEL):
        return ""
    counts = np.zeros(_MOST_LABEL + 1, np.int64)
    pairs = same = 0
    for k in range(array.shape[2]):  # slice by slice: every voxel, without a second copy of the image
        plane = np.asarray(array[..., k])
        if not (np.rint(plane) == plane).all():
            return ""
        counts += np.bincount(plane.astype(np.uint8).ravel(), minlength=_MOST_LABEL + 1)
        inside = (plane[:-1] > 0) & (plane[1:] > 0)
        pairs += int(inside.sum())
        same += int(((plane[:-1] == plane[1:]) & inside).sum())
    found = np.flatnonzero(counts)
    if len(found) > 2 and (not pairs or same / pairs < _LEAST_SAME):
        return ""
    return ", ".join(map(str, found)) if len(found) <= 6 else f"{len(found)} of them up to {found[-1]}"


def _is_padding(below_air: NDArray[np.float32]) -> bool:
    """Whether what lies below air is one value or two, which a scanner writes outside its field of view."""
    return len(np.unique(below_air)) <= 2 or bool(below_air.min() >= _AIR_HU[0] - 200)
