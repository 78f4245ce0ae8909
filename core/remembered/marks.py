"""What people say of lesions that were found for one of theirs: relevant, or not.

A mark stands until it is withdrawn, or until the same person marks the same pair again; it stays on record then.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import InputError

#: By what the two lesions were compared when they were shown together; as `core.evidence.cases.SpaceName`.
MarkSpace = Literal["shape", "appearance", "both"]
MARK_SPACES: tuple[MarkSpace, ...] = get_args(MarkSpace)
_SHA256 = re.compile("[0-9a-f]{64}")
#: A host as in an address, with its port or without.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class NewMark:
    """What a person says of a lesion that was found for another one.

    Args:
        mask_id, lesion_id: the lesion that was asked about. other_mask_id, other_lesion_id: the one that was found; of
            another patient. Lesions by the ids that the store gives out.
        relevant: whether it is.
        space, rank, distance: by what they were compared, and how near it was shown: rank from 1, distance >= 0 in that
            space.
        metric: id of the learned metric that was in force; "" where none was.

    Raises:
        InputError: for what is none of these.
    """

    mask_id: str
    lesion_id: str
    other_mask_id: str
    other_lesion_id: str
    relevant: bool
    space: MarkSpace
    rank: int
    distance: float
    metric: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.relevant, bool):
            raise InputError(f"Expected relevant or not, got {str(self.relevant)[:40]!r}.")
        if self.space not in MARK_SPACES:
            raise InputError(f"Expected a space of {', '.join(MARK_SPACES)}, got {str(self.space)[:40]!r}.")
        if type(self.rank) is not int or self.rank < 1:
            raise InputError(f"Expected the rank of what was found, from 1 on, got {str(self.rank)[:40]!r}.")
        if not math.isfinite(self.distance) or self.distance < 0:
            raise InputError(f"Expected a distance of 0 or more, got {self.distance}.")


@dataclass(frozen=True, kw_only=True)
class EvidenceMark(NewMark):
    """A mark in the store.

    Args:
        patient_id, timepoint: of the lesion that was asked about, where its mask is now; other_patient_id,
            other_timepoint: of the one that was found.
        person, created_at: who said it, and when (RFC 3339, UTC); seq: number of the audit entry.
        withdrawn_by, withdrawn_at: None where it stands.
    """

    mark_id: str
    patient_id: str
    timepoint: str
    other_patient_id: str
    other_timepoint: str
    person: str
    created_at: str
    seq: int
    withdrawn_by: str | None = None
    withdrawn_at: str | None = None

    @property
    def stands(self) -> bool:
        """Whether it was not withdrawn, and is still of two patients: they may have been merged since."""
        return self.withdrawn_at is None and self.patient_id != self.other_patient_id


@dataclass(frozen=True)
class EvidenceQuestion:
    """That a language model was asked about a lesion; neither the prompt nor the answer is stored.

    Args:
        mask_id, lesion_id: the lesion, by the id that the store gives out.
        prompt_sha256: of the text that was sent, UTF-8.
        endpoint_host: where it was sent: host, with the port where there is one; no path and no key.
        model: the name that the endpoint has for it, 1 to 200 characters.

    Raises:
        InputError: for what is none of these.
    """

    mask_id: str
    lesion_id: str
    prompt_sha256: str
    endpoint_host: str
    model: str

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.prompt_sha256):
            raise InputError(f"Expected the SHA-256 of the prompt, got {str(self.prompt_sha256)[:70]!r}.")
        if not _HOST.fullmatch(self.endpoint_host):
            raise InputError("Expected the host of the endpoint alone, as models.example.org:8000, got other text.")
        if not 1 <= len(self.model) <= 200 or not self.model.isprintable():
            raise InputError("Expected the name of the model that was asked, 1 to 200 printable characters.")
