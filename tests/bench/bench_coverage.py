"""What a network's mask keeps when the PET covers only a part of the CT, and what 24 patients' PETs cover.

Sarcoma scans (10.7937/K9/TCIA.2015.7GO2GSKS); of eight of them the PET is cut to a share of its slices from either end.
`core.imaging.coverage` takes its two limits from here. The worst comes first.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.engines.auto.nnunet import NnUNetSegmenter, load_segmenter
from core.imaging import coverage
from core.imaging.volumes import read_volume
from core.lesions.metrics import dice
from core.types import Grid, Volume

MODEL = "sts-ctpet-small"
CUT = ("STS_003", "STS_008", "STS_014", "STS_019", "STS_023", "STS_029", "STS_032", "STS_036")
SHARES = (0.3, 0.5, 0.7, 0.9)


def run() -> list[dict[str, Any]]:
    """Rows of cut PETs by share, then the whole PETs' coverage, least first."""
    folder = Path(os.environ.get("TWIN_SHARED", Path(__file__).resolve().parents[3] / "shared" / "data")) / "sts"
    pairs = {
        p.name: (read_volume(p / "CT_image.nii.gz", "CT"), read_volume(p / "PET_image.nii.gz", "PET"))
        for p in sorted(folder.glob("STS_*"))
    }
    segmenter, kept = load_segmenter(MODEL), dict[float, list[float]]()
    for name in CUT:
        ct, pet = pairs[name]
        whole = _mask(segmenter, ct, pet)
        for share in SHARES:
            for top in (False, True):
                kept.setdefault(share, []).append(dice(_mask(segmenter, ct, cut(pet, share, top)), whole))
    rows: list[dict[str, Any]] = [
        {"scans": f"PET cut to {share:.0%} of its slices", "worst Dice": min(found), "median Dice": np.median(found)}
        for share, found in sorted(kept.items())
    ]
    covered = {name: coverage.coverage(*pair) for name, pair in pairs.items()}
    return rows + [
        {"scans": name, "field covered": one.field, "body covered": one.body}
        for name, one in sorted(covered.items(), key=lambda item: item[1].share)
    ]


def cut(pet: Volume, share: float, top: bool) -> Volume:
    """The PET's lowest slices, or its highest, so that `share` of them is left."""
    slices = pet.grid.shape[2]
    kept = round(share * slices)
    first = slices - kept if top else 0
    affine = pet.grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] * first
    array = pet.array[:, :, first : first + kept]
    return replace(pet, array=array, grid=Grid((*pet.grid.shape[:2], kept), affine))


def _mask(segmenter: NnUNetSegmenter, ct: Volume, pet: Volume) -> np.ndarray:
    """What the network finds, also where it is asked about too little of a PET."""
    least, coverage.LEAST_SHARE = coverage.LEAST_SHARE, 0.0
    try:
        return segmenter.segment([ct, pet]).labels.array > 0
    finally:
        coverage.LEAST_SHARE = least
