"""The plans of the network: the first shipped network's, with another patch, width and scaling of the values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from weights.recipes.sts_wide_view.cases import WINDOWS

#: Spacing, axes and resampling are these plans'; they were made by nnU-Net's own planner.
FIRST = Path(__file__).resolve().parents[2] / "sts_ctpet_small" / "plans.json"
NAME = "nnUNetPlansWideView"
#: As in `network.FEATURES` and `crops.PATCH`, which this file does not import: it must load where torch is not.
FEATURES = (24, 48, 96, 192)
PATCH = 64


def plans(window: str) -> dict[str, Any]:
    """plans.json's content; `window` is a key of `cases.WINDOWS`."""
    content: dict[str, Any] = json.loads(FIRST.read_text())
    content["plans_name"] = NAME
    full = content["configurations"]["3d_fullres"]
    full.update(data_identifier=f"{NAME}_3d_fullres", patch_size=[PATCH] * 3, batch_size=6)
    full["architecture"]["arch_kwargs"]["features_per_stage"] = list(FEATURES)
    for channel, scaling in enumerate(WINDOWS[window]):
        # nnU-Net's "CTNormalization": (clip(value, percentile_00_5, percentile_99_5) - mean) / std.
        content["foreground_intensity_properties_per_channel"][str(channel)] = {
            "max": scaling.high,
            "mean": scaling.low,
            "median": scaling.low,
            "min": scaling.low,
            "percentile_00_5": scaling.low,
            "percentile_99_5": scaling.high,
            "std": scaling.scale,
        }
    return content


def dataset(cases: int) -> dict[str, Any]:
    """dataset.json's content."""
    return {
        "channel_names": {"0": "CT", "1": "PET"},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
