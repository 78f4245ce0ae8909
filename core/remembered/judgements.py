"""What a gate says of a scan or a mask, in the one form that everything that decides, shows or exports reads.

A verdict is "passes", "doubtful" or "cannot be judged". No verdict, one of other files than those that are there, and
"cannot be judged" are doubts like "doubtful": unknown is never a pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

GateName = Literal["scan", "mask"]
Judged = Literal["passes", "doubtful", "cannot be judged"]
JUDGED: tuple[Judged, ...] = get_args(Judged)
PASSES, DOUBTS, UNJUDGED = JUDGED
#: Where a gate's stored result holds its judgement.
JUDGEMENT = "judgement"


@dataclass(frozen=True)
class Judgement:
    """What a gate said when it was asked; part of its stored result, under `JUDGEMENT`.

    Args:
        reason: in sentences for a clinician, and which kind of doubt it is first ("position: …"). Never empty.
        gate_model: id of the stored gate that judged; "" where there was none.
        seen: SHA-256 (64 hex digits) of every scan and mask file that it looked at.
        nearest: the reference lesions that were nearest, "mask_id/lesion_id"; () for a gate that compares with none.
        kinds: of the doubts, one word each ("shape", "position", "coverage" …); () where there is none.
    """

    verdict: Judged
    reason: str
    gate_model: str
    seen: tuple[str, ...]
    nearest: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: [*value] if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Judgement:
        """Inverse of `to_json`."""
        lists = {name: tuple(str(one) for one in values.get(name, ())) for name in ("seen", "nearest", "kinds")}
        return cls(values["verdict"], str(values["reason"]), str(values["gate_model"]), **lists)


@dataclass(frozen=True)
class GateVerdict:
    """A gate's newest judgement on a mask version, or on its scans, as things are now.

    Args:
        stale: whether it saw other files than those that are there, or does not say which it saw.
        verdict_id: of the stored verdict; None where the gate has said nothing.
        created_at: when it was stored.
    """

    gate: GateName
    judgement: Judgement
    stale: bool = False
    verdict_id: str | None = None
    created_at: str | None = None

    @property
    def is_doubt(self) -> bool:
        """Whether somebody has to look: everything but a pass of what is there now."""
        return self.stale or self.judgement.verdict != PASSES

    @property
    def words(self) -> str:
        """The doubt in a sentence; what passed, too."""
        stale = " It was said of other files than those that are there now." if self.stale else ""
        return f"{self.gate.capitalize()} gate: {self.judgement.verdict}. {self.judgement.reason}{stale}"

    def to_json(self) -> dict[str, Any]:
        """As `gate verdicts --json` prints it."""
        said = self.judgement.to_json()
        return {"gate": self.gate, **said, "stale": self.stale}
