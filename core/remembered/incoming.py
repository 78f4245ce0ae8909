"""What is handed to the store to be remembered together, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.remembered.identifiers import ScanIdentifiers
from core.remembered.links import LinkProposal
from core.remembered.rows import LesionVector
from core.remembered.untyped import JsonObject
from core.remembered.vocabulary import MaskMethod
from core.types import LabelMap, LesionMeasure, MaskRecord, Scan, Volume


@dataclass(frozen=True, eq=False)
class NewScan:
    """A scan on its way in.

    Args:
        metadata: scanner facts, JSON values; nothing that names a patient.
        identifiers: the UIDs of its DICOM series, which are kept apart.
    """

    volume: Volume
    metadata: JsonObject = field(default_factory=dict)
    identifiers: ScanIdentifiers | None = None


@dataclass(frozen=True, eq=False)
class NewMask:
    """A mask drawn elsewhere, on the grid of its timepoint's reference scan.

    Args:
        prompts: what it was made from (`{"type": "import", …}`).
        verdict: what the mask gate says of it.
        links: which lesions its labels are, as matching proposes.
    """

    labels: LabelMap
    lesions: tuple[LesionMeasure, ...]
    vectors: tuple[LesionVector, ...] = ()
    verdict: JsonObject | None = None
    method: str = MaskMethod.IMPORT
    prompts: tuple[JsonObject, ...] = ()
    links: tuple[LinkProposal, ...] = ()


@dataclass(frozen=True)
class StoredStudy:
    """Scans and mask versions that one change put in place."""

    scans: tuple[Scan, ...]
    masks: tuple[MaskRecord, ...]
