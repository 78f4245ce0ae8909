"""Which of a timepoint's scans its masks are drawn on."""

from __future__ import annotations

from collections.abc import Sequence

from core.types import Scan

#: A timepoint's reference scan is its CT, else its first MR, else its PET; the first imported of several.
_ORDER = ("CT", "MR", "PET")


def reference_of(scans: Sequence[Scan]) -> Scan:
    """The scan on whose grid a timepoint's masks lie; `scans` in order of import, at least one."""
    return min(scans, key=lambda scan: _ORDER.index(scan.modality))
