"""Which of a timepoint's scans its masks are drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

#: A timepoint's reference scan is its CT, else its first MR, else its PET; the first imported of several.
_ORDER = ("CT", "MR", "PET")


class _WithModality(Protocol):
    @property
    def modality(self) -> str: ...


S = TypeVar("S", bound=_WithModality)


def reference_of(scans: Sequence[S]) -> S:
    """The scan on whose grid a timepoint's masks lie; `scans` in order of import, at least one."""
    return min(scans, key=lambda scan: _ORDER.index(scan.modality))
