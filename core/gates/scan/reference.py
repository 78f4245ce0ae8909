"""The reference of the scan gate: what scans look like that the networks were made for, and shifted ones to measure on.

Plain arrays in an .npz, nothing pickled. Axis 0 is the scan; what a scan does not have is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ModelError
from core.gates.scan.looks import FIT
from core.gates.scan.plain_arrays import packed, unpacked

IN_DISTRIBUTION = "in distribution"
#: Whose scans these are. Phantoms judge phantoms alone, and are measured apart.
REAL, PHANTOM = "real", "phantom"
#: What a look is of.
MODALITIES = ("CT", "PET", "MR")
#: What a network made of a scan; nothing of it is needed to judge.
DEEP = ("rows", "logits", "centre", "anchor_shape", "dice", "slices", "cubes")
#: What LiteMedSAM's encoder sees of an MR; a reference that was fitted before it was asked has none.
SEEN = "MR seen"
_FLOATS = ("CT", "PET", "MR", FIT, SEEN, "histogram", "geometry", *DEEP, "crossfit")
#: A reference that was fitted before these were thought of lacks them, and judges without them.
LATER = (*DEEP, SEEN)
_TEXTS = ("kind", "domain", "group")
ARRAYS = (*_FLOATS, *_TEXTS, "content", "levels")


@dataclass(frozen=True, eq=False)
class Reference:
    """Reference scans.

    Args:
        arrays: by the names of `ARRAYS`. "CT", "PET", "MR": (scans, features) float32 of `looks.look_at`; "MR seen":
            (scans, slices, features) of `seeing.slices_of`; "fit": (scans, 3); "histogram", "geometry", "rows" (with
            crops), "logits", "centre", "anchor_shape": what the baselines see, NaN where it was not computed;
            "slices": (scans, slices, features) of LiteMedSAM's encoder, CT beside PET; "cubes": (scans, cubes,
            features) of ASTRA's encoder around the tumour on the CT; "dice" of the network's mask with the truth;
            "crossfit": the gate's score when the patient was held out, NaN for what it does not judge. "kind": "in
            distribution" or the shift's name; "domain": "real" or "phantom"; "group": the patient; "content": of the
            scan's voxels, hex digits, one text. "levels": (levels,) how many features each level of "rows" has.
        provenance: what, how many, by which command.
    """

    arrays: Mapping[str, NDArray[Any]]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        missing = [name for name in ARRAYS if name not in self.arrays]
        many = len(self.arrays["kind"]) if not missing else 0
        if missing or any(len(self.arrays[name]) != many for name in ARRAYS if name != "levels"):
            raise ModelError("The scan gate's reference lacks arrays, or they do not fit each other. Build it again.")

    @property
    def kind(self) -> NDArray[np.str_]:
        return self.arrays["kind"]

    @property
    def domain(self) -> NDArray[np.str_]:
        return self.arrays["domain"]

    @property
    def group(self) -> NDArray[np.str_]:
        return self.arrays["group"]

    @property
    def ood(self) -> NDArray[np.bool_]:
        """(scans,) True where the scan is out of distribution."""
        return np.asarray(self.kind != IN_DISTRIBUTION)

    @property
    def crossfit(self) -> NDArray[np.float32]:
        """The gate's scores, each with its patient held out, of the scans that have one."""
        return self.arrays["crossfit"]

    @property
    def threshold(self) -> float:
        """Above it a score is out of distribution."""
        return 0.5

    def has(self, name: str) -> NDArray[np.bool_]:
        """(scans,) which have all of an array's numbers."""
        array = self.arrays[name]
        return np.isfinite(array.reshape(len(array), -1)).all(axis=1)

    def to_bytes(self) -> bytes:
        """An .npz of plain arrays, the same bytes for the same content."""
        return packed({name: self.arrays[name] for name in ARRAYS}, self.provenance)


def read_reference(path: Path, sha256: str | None = None) -> Reference:
    """What `Reference.to_bytes` made; nothing in it is ever unpickled.

    Args:
        sha256: of the very bytes that may be read; None: any.

    Raises:
        ModelError: missing, damaged, another file than was asked for, or not such a file.
    """
    arrays, facts = unpacked(path, ARRAYS, sha256, "the scan gate's reference", "weights/recipes/scan_gate", LATER)
    blank = np.full((len(arrays["kind"]), 1, 1), np.nan, np.float32)
    return Reference({**dict.fromkeys(LATER, blank), **arrays}, facts)
