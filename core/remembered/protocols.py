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
from core.remembered.links import lesion_number
from core.remembered.untyped import JsonDict, JsonObject
from core.types import parse_date

#: A new lesion whose longest diameter is less than this is one only by a person's word. RECIST 1.1 asks that a new
#: lesion be unequivocal and names no size; 10 mm is its least for a measurable one (10.1016/j.ejca.2008.10.026, 3.1).
LEAST_NEW_LESION_MM = 10.0
_CRITERION = re.compile(r"[a-z][a-z0-9.-]{1,39}")
_MOST_TARGETS, _MOST_TEXT = 50, 60


@dataclass(frozen=True)
class TargetLesion:
    """A lesion whose diameters are summed.

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
        targets: None: proposed; of a data set always.
        least_new_lesion_mm: longest diameter from which a lesion that was not there before is a new one without a
            person's word, >= 0.

    Raises:
        InputError: for what is none of these.
    """

    criterion: str
    baseline: str | None = None
    targets: tuple[TargetLesion, ...] | None = None
    least_new_lesion_mm: float = LEAST_NEW_LESION_MM

    def __post_init__(self) -> None:
        if not _CRITERION.fullmatch(self.criterion):
            raise InputError(f"Expected a criterion as recist-1.1, got {self.criterion[:40]!r}.")
        if self.baseline is not None:
            parse_date(self.baseline)
        if not (math.isfinite(self.least_new_lesion_mm) and 0 <= self.least_new_lesion_mm <= 100):
            raise InputError(
                f"Expected the least size of a new lesion from 0 to 100 mm, got {self.least_new_lesion_mm:g}."
            )
        if self.targets is not None:
            _check_targets(self.targets)

    def to_json(self) -> JsonDict:
        """Plain JSON values."""
        targets = None if self.targets is None else [asdict(target) for target in self.targets]
        return {**asdict(self), "targets": targets}

    @classmethod
    def from_json(cls, values: JsonObject) -> ResponseProtocol:
        """Inverse of `to_json`. Raises InputError for what is no protocol."""
        try:
            targets = values["targets"]
            known = None if targets is None else tuple(TargetLesion(**target) for target in targets)
            return cls(values["criterion"], values["baseline"], known, float(values["least_new_lesion_mm"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("Expected a protocol of criterion, baseline, targets and least size.") from error


def _check_targets(targets: Sequence[TargetLesion]) -> None:
    if not 0 < len(targets) <= _MOST_TARGETS:
        raise InputError(f"Expected 1 to {_MOST_TARGETS} target lesions, got {len(targets)}.")
    for target in targets:
        if not lesion_number(target.lesion_id):
            raise InputError(f"Expected a lesion as L1, L2 …, got {str(target.lesion_id)[:40]!r}.")
        if not isinstance(target.organ, str) or len(target.organ) > _MOST_TEXT or not target.organ.isprintable():
            raise InputError(f"Expected an organ of at most {_MOST_TEXT} letters for {target.lesion_id}.")
        if not isinstance(target.is_node, bool):
            raise InputError(f"Expected to be told whether {target.lesion_id} is a lymph node, got {target.is_node!r}.")
    if len({target.lesion_id for target in targets}) != len(targets):
        raise InputError("Expected each target lesion once.")


@dataclass(frozen=True)
class Flip:
    """A visit whose call is another one after a change that a person made.

    Args:
        before, after: the calls, "" where there was or is none.
    """

    timepoint: str
    before: str
    after: str


@dataclass(frozen=True)
class StoredProtocol:
    """A protocol that was set.

    Args:
        patient_id: None for that of a data set, which is then `dataset`.
        flips: what the person was told that it changes, and confirmed.
    """

    protocol_id: str
    protocol: ResponseProtocol
    patient_id: str | None
    dataset: str | None
    reason: str
    person: str
    created_at: str
    flips: tuple[Flip, ...] = field(default=())


class ProtocolSource(Protocol):
    """Protocols of patients and data sets."""

    def of(self, patient_id: str) -> StoredProtocol | None: ...


class HasProtocols(Protocol):
    """A store of protocols."""

    @property
    def protocols(self) -> ProtocolSource: ...
