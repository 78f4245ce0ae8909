"""What LiteMedSAM's encoder sees of an MR, compared with the reference patients'.

For MR alone plain looks miss most of what was tried; slices through this encoder show noise, blur, turned-over grey
values and other body parts (docs/benchmarks.md). Mahalanobis with the Ledoit-Wolf covariance of reference slices, mean
over a scan's slices: Lee 2018, arXiv 1807.03888.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.engines.encoders.litemedsam import load_litemedsam
from core.gates.scan.backbones import SliceBackbone
from core.gates.scan.combining import mahalanobis
from core.gates.scan.detectors import Array
from core.types import Volume

#: Of each MR, evenly spread up the scan; and how many features the encoder has.
SLICES, FEATURES = 2, 256

Rows = NDArray[np.float32]


def _backbone() -> SliceBackbone:
    return SliceBackbone(load_litemedsam())


def encoder_name() -> str:
    """Which encoder, and its checkpoint: features of another are not compared. Raises ModelError as `slices_of`."""
    return _backbone().name


def slices_of(volume: Volume) -> Rows:
    """(`SLICES`, `FEATURES`) float32 of an MR; about two seconds.

    Raises:
        ModelError: LiteMedSAM cannot be loaded.
    """
    return _backbone().rows([volume], crops=SLICES)


@dataclass(frozen=True, eq=False)
class KnownSlices:
    """Slices of reference scans as the encoder sees them.

    Args:
        rows: (scans, slices, features).
        groups: (scans,) their patients.
    """

    rows: Rows
    groups: NDArray[np.str_]

    def without(self, scans: NDArray[np.bool_]) -> KnownSlices:
        return KnownSlices(self.rows[~scans], self.groups[~scans])

    def away(self, asked: Rows) -> Array:
        """(scans,) Mahalanobis distance of (scans, slices, features), mean over the slices."""
        known = {"rows": self.rows}
        score = mahalanobis("rows")(known, np.zeros(len(self.rows), bool), self.groups)
        return score({"rows": asked})

    def held_out(self) -> Array:
        """(scans,) of each reference scan among those of other patients."""
        return _held_out(self)

    def nearest(self, asked: Rows) -> str:
        """The patient of the reference scan whose slices are on average most like these."""
        spread = np.maximum(self.rows.std(axis=(0, 1)), 1e-6)
        apart = np.linalg.norm((self.rows.mean(axis=1) - asked.mean(axis=0)) / spread, axis=1)
        return str(self.groups[int(np.argmin(apart))])


@functools.lru_cache(maxsize=8)
def _held_out(known: KnownSlices) -> Array:
    groups = known.groups
    return np.array([known.without(groups == group).away(known.rows[n : n + 1])[0] for n, group in enumerate(groups)])
