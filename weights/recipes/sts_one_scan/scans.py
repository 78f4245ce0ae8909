"""The scans that a network of one channel learns from: CT alone, or T1 MR alone, each at the network's spacing.

CT is kept as `sts_wide_view` keeps it. MR has no unit: each scan is scaled to 0..1 (nnU-Net's
"RescaleTo01Normalization") and kept in the place of CT's range, so that cutting, turning and changing of values are the
same code. The second channel of a case is empty and never shown to a network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.imaging.volumes import read_label_map, read_volume
from core.types import LabelMap, Modality, Volume
from weights.recipes.sts_wide_view.cases import CT_HU, Case, encode
from weights.recipes.sts_wide_view.painting import CT_MARGIN, WAYS, fill
from weights.recipes.sts_wide_view.plans import plans as two_channel_plans


@dataclass(frozen=True)
class Kind:
    """Which scan a network reads.

    Args:
        model_id, folder: of the network that comes out.
        image, mask: files in a patient's folder.
        modality, sequence: of the scan.
        channel: its name in dataset.json, by which the product finds the scan.
        scheme: nnU-Net's normalisation.
        patch: voxels along each side of a patch; what a CPU can train on in an hour.
    """

    model_id: str
    folder: str
    image: str
    mask: str
    modality: Modality
    sequence: str
    channel: str
    scheme: str
    patch: int


KINDS = {
    "CT": Kind("sts-ct", "sts_ct", "CT_image.nii.gz", "CT_mask.nii.gz", "CT", "", "CT", "CTNormalization", 40),
    "MR": Kind(
        "sts-mr-t1",
        "sts_mr_t1",
        "MR_T1_image.nii.gz",
        "MR_T1_mask.nii.gz",
        "MR",
        "T1",
        "T1",
        "RescaleTo01Normalization",
        40,
    ),
}
#: About the network's spacing.
SPACING_MM = 3.3
#: How often each way of painting is used on a patient.
TIMES = 2


def plans(kind: Kind) -> dict[str, Any]:
    """plans.json's content: the wide-view network's with one channel."""
    content = two_channel_plans("wide")
    name = f"nnUNetPlansOneScan{kind.modality}"
    content["plans_name"] = name
    full = content["configurations"]["3d_fullres"]
    full.update(
        data_identifier=f"{name}_3d_fullres",
        patch_size=[kind.patch] * 3,
        batch_size=1,
        normalization_schemes=[kind.scheme],
        use_mask_for_norm=[False],
    )
    channels = content["foreground_intensity_properties_per_channel"]
    content["foreground_intensity_properties_per_channel"] = {"0": channels["0"]}
    return content


def dataset(kind: Kind, cases: int) -> dict[str, Any]:
    """dataset.json's content."""
    return {
        "channel_names": {"0": kind.channel},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }


def read(sts: Path, patient: str, kind: Kind) -> tuple[Volume, LabelMap] | None:
    """The scan and its contour; None for a patient without such a scan."""
    if not (sts / patient / kind.image).exists():
        return None
    scan = read_volume(sts / patient / kind.image, kind.modality, kind.sequence)
    contour = read_label_map(sts / patient / kind.mask, scan.grid)
    return scan, LabelMap((contour.array > 0).astype(np.uint8), scan.grid)


class Preprocessor:
    """nnU-Net's own preprocessing by the network's plans; CT's values are left in HU, MR's are 0..1."""

    def __init__(self, kind: Kind) -> None:
        from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        content = json.loads(json.dumps(plans(kind)))
        content["foreground_intensity_properties_per_channel"]["0"].update(
            mean=0.0, std=1.0, percentile_00_5=CT_HU[0], percentile_99_5=CT_HU[1]
        )
        self.kind = kind
        self.plans: Any = PlansManager(content)
        self.configuration: Any = self.plans.get_configuration("3d_fullres")
        self.preprocessor: Any = DefaultPreprocessor(verbose=False)

    def __call__(self, scan: Volume, truth: LabelMap) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(X, Y, Z) in HU, MR in the place of HU; and the tumour; at the network's spacing and in its axes."""
        data = scan.array.transpose(2, 1, 0)[None].astype(np.float32)
        mask = (truth.array > 0).transpose(2, 1, 0)[None].astype(np.int16)
        properties = {"spacing": list(scan.grid.spacing_mm[::-1])}
        out, seg, _ = self.preprocessor.run_case_npy(
            data, mask, properties, self.plans, self.configuration, dataset(self.kind, 0)
        )
        values = np.asarray(out[0], np.float32)
        if self.kind.modality == "MR":
            values = CT_HU[0] + (CT_HU[1] - CT_HU[0]) * np.clip(values, 0, 1)
        return values, np.asarray(seg[0] > 0)


def cases(sts: Path, patients: Sequence[str], kind: Kind) -> Iterator[Case]:
    """Of each patient who has such a scan: the scan, then the same with the tumour painted out in each way."""
    preprocess = Preprocessor(kind)
    for number, patient in enumerate(patients):
        pair = read(sts, patient, kind)
        if pair is None:
            continue
        values, tumour = preprocess(*pair)
        nothing = np.zeros_like(values)
        yield Case(patient, patient, "real", "", encode(values, nothing), tumour)
        for way_number, way in enumerate(WAYS):
            for time in range(TIMES):
                rng = np.random.default_rng([number, way_number, time, 5])
                painted = paint(values, tumour, way, rng)
                yield Case(
                    f"{patient} {way} {time}",
                    patient,
                    "free",
                    way,
                    encode(painted, nothing),
                    np.zeros_like(tumour),
                )


def paint(
    values: NDArray[np.float32], tumour: NDArray[np.bool_], way: str, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The tumour painted over by one of `painting.WAYS`, with values of what lies around it."""
    distance = np.asarray(ndimage.distance_transform_edt(~tumour), dtype=np.float32)
    around = values[(distance > CT_MARGIN[1]) & (distance < 10) & (values > CT_HU[0] + 20)]
    low, high = (float(v) for v in np.percentile(around, (5, 95))) if around.size else (-20.0, 110.0)
    hole = distance <= rng.uniform(*CT_MARGIN)
    return fill(values, hole, tumour, way, rng, low=low, high=high)


def paint_volume(scan: Volume, truth: LabelMap, way: str, rng: np.random.Generator) -> Volume:
    """The scan with the tumour painted over on its own grid: at the network's spacing, and put back where it was."""
    step = tuple(max(round(SPACING_MM / mm), 1) for mm in scan.grid.spacing_mm)
    low = float(scan.array.min())
    scale = (CT_HU[1] - CT_HU[0]) / max(float(scan.array.max()) - low, 1e-6) if scan.modality == "MR" else 1.0
    values = (scan.array - low) * scale + CT_HU[0] if scan.modality == "MR" else scan.array
    coarse = tuple(slice(None, None, n) for n in step)
    tumour = np.asarray(ndimage.maximum_filter(truth.array, size=step) > 0)[coarse]
    painted = paint(values[coarse].astype(np.float32), tumour, way, rng)
    changed = np.asarray(ndimage.distance_transform_edt(~tumour) <= CT_MARGIN[1])
    for axis, n in enumerate(step):
        painted, changed = np.repeat(painted, n, axis), np.repeat(changed, n, axis)
    inside = tuple(slice(0, n) for n in scan.grid.shape)
    array = np.where(changed[inside], painted[inside], values)
    array = (array - CT_HU[0]) / scale + low if scan.modality == "MR" else array
    return replace(scan, array=array.astype(np.float32))
