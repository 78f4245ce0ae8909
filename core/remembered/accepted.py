"""Accepted mask versions with what the gates have said, or could not know, since they were accepted."""

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


class AcceptedSource(Protocol):
    """The accepted versions of which that is so; of one mask, or of all."""

    def judged_since(self, mask_id: str | None = None) -> list[JudgedSince]: ...
