"""Mask versions with what the gates said of them: accepted ones of which they spoke since, and doubted ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.remembered.rows import MaskVerdict, ScanVerdict
from core.types import Decision


@dataclass(frozen=True)
class JudgedSince:
    """An accepted version about which a gate has spoken, or a scan was added, after somebody accepted it last.

    Args:
        decisions: on the whole version, oldest first.
        scan_sha256s: of all scans of its timepoint.
        scan_verdicts, mask_verdicts: those on its timepoint and on itself, oldest first.
        newer: ids of the verdicts that were stored after it was accepted last.
        scan_added: whether a scan of its timepoint was.
    """

    patient_id: str
    timepoint: str
    version: int
    mask_id: str
    mask_sha256: str
    decisions: tuple[Decision, ...]
    scan_sha256s: tuple[str, ...]
    scan_verdicts: tuple[ScanVerdict, ...]
    mask_verdicts: tuple[MaskVerdict, ...]
    newer: frozenset[str]
    scan_added: bool


@dataclass(frozen=True)
class DoubtedVersion:
    """A version whose doubts somebody answered by a decision, or that a gate may doubt now.

    Args:
        corrected: whether a version that was drawn from it, over however many steps, is the accepted one.
        decisions: on the whole version, oldest first.
        scan_sha256s: of all scans of its timepoint.
        scan_verdicts, mask_verdicts: those on its timepoint and on itself, oldest first.
    """

    patient_id: str
    timepoint: str
    version: int
    mask_id: str
    mask_sha256: str
    status: str
    corrected: bool
    decisions: tuple[Decision, ...]
    scan_sha256s: tuple[str, ...]
    scan_verdicts: tuple[ScanVerdict, ...]
    mask_verdicts: tuple[MaskVerdict, ...]


class JudgedSource(Protocol):
    """Versions with what the gates said of them."""

    def judged_since(self, mask_id: str | None = None) -> list[JudgedSince]: ...
    def doubted(self) -> list[DoubtedVersion]: ...
