"""By which rules a patient's response is told: a property of the patient or the data set, set by a person.

What is not set is proposed anew from what is known, and says so: the baseline from the start of treatment, the targets
by size and organ.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

from core.errors import InputError
from core.remembered.flips import Flip as Flip
from core.remembered.links import lesion_number
from core.remembered.untyped import JsonDict, JsonObject
from core.types import parse_date

#: From this longest diameter on (node: short axis) a new lesion counts without a person's word. RECIST 1.1 asks that
#: it be unequivocal and names no size (4.3.5); that what it calls measurable is enough (3.1) is assumed.
#: Source: 10.1016/j.ejca.2008.10.026.
LEAST_NEW_MM, LEAST_NEW_NODE_MM = 10.0, 15.0
_CRITERION = re.compile(r"[a-z][a-z0-9.-]{1,39}")
_MOST_LESIONS, _MOST_TEXT = 255, 60


@dataclass(frozen=True)
class FollowedLesion:
    """A lesion that a protocol names.

    Args:
        lesion_id: "L1" and so on. organ: in words, "" where it is not known. is_node: a lymph node, by its short axis.
    """

    lesion_id: str
    organ: str = ""
    is_node: bool = False


@dataclass(frozen=True)
class ResponseProtocol:
    """What a response is told by.

    Args:
        criterion: its name, as "recist-1.1".
        baseline: the timepoint that changes are told against; None: proposed.
        targets, nontargets: None: proposed; of a data set always. Once targets are set, non-targets are.
        least_new_mm, least_new_node_mm: longest diameter (node: short axis) from which a lesion that was not there
            before is a new one without a person's word, 0 to 100 mm.

    Raises:
        InputError: for what is none of these.
    """

    criterion: str
    baseline: str | None = None
    targets: tuple[FollowedLesion, ...] | None = None
    nontargets: tuple[FollowedLesion, ...] | None = None
    least_new_mm: float = LEAST_NEW_MM
    least_new_node_mm: float = LEAST_NEW_NODE_MM

    def __post_init__(self) -> None:
        if not _CRITERION.fullmatch(self.criterion):
            raise InputError(f"Expected a criterion as recist-1.1, got {self.criterion[:40]!r}.")
        if self.baseline is not None:
            parse_date(self.baseline)
        for size_mm in (self.least_new_mm, self.least_new_node_mm):
            if not (math.isfinite(size_mm) and 0 <= size_mm <= 100):
                raise InputError(f"Expected the least size of a new lesion from 0 to 100 mm, got {size_mm:g}.")
        if (self.targets is None) != (self.nontargets is None):
            raise InputError("Expected targets and non-target lesions both or neither.")
        _check_lesions([*(self.targets or ()), *(self.nontargets or ())])

    def to_json(self) -> JsonDict:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: JsonObject) -> ResponseProtocol:
        """Inverse of `to_json`. Raises InputError for what is no protocol."""
        try:
            return cls(
                values["criterion"],
                values["baseline"],
                _lesions(values["targets"]),
                _lesions(values["nontargets"]),
                float(values["least_new_mm"]),
                float(values["least_new_node_mm"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError("Expected a protocol of criterion, baseline, lesions and least sizes.") from error


def _lesions(values: Sequence[JsonObject] | None) -> tuple[FollowedLesion, ...] | None:
    return None if values is None else tuple(FollowedLesion(**one) for one in values)


def _check_lesions(lesions: Sequence[FollowedLesion]) -> None:
    if len(lesions) > _MOST_LESIONS:
        raise InputError(f"Expected at most {_MOST_LESIONS} lesions in a protocol, got {len(lesions)}.")
    for target in lesions:
        if not lesion_number(target.lesion_id):
            raise InputError(f"Expected a lesion as L1, L2 …, got {str(target.lesion_id)[:40]!r}.")
        if not isinstance(target.organ, str) or len(target.organ) > _MOST_TEXT or not target.organ.isprintable():
            raise InputError(f"Expected an organ of at most {_MOST_TEXT} letters for {target.lesion_id}.")
        if not isinstance(target.is_node, bool):
            raise InputError(f"Expected to be told whether {target.lesion_id} is a lymph node, got {target.is_node!r}.")
    if len({target.lesion_id for target in lesions}) != len(lesions):
        raise InputError("Expected each lesion once, as a target or as another.")


@dataclass(frozen=True)
class StoredProtocol:
    """A protocol that was set.

    Args:
        patient_id: None for that of a data set, which is then `dataset`.
        flips: what the person was told that it changes, and confirmed.
        lesions_before: why its lesions may be others by now, as "visits of P2 came to the patient since"; "" where they
            are those that were chosen.
    """

    protocol_id: str
    protocol: ResponseProtocol
    patient_id: str | None
    dataset: str | None
    reason: str
    person: str
    created_at: str
    flips: tuple[Flip, ...] = field(default=())
    lesions_before: str = ""


class ProtocolSource(Protocol):
    """Protocols of patients and data sets."""

    def of(self, patient_id: str) -> StoredProtocol | None: ...


class HasProtocols(Protocol):
    """A store of protocols."""

    @property
    def protocols(self) -> ProtocolSource: ...
