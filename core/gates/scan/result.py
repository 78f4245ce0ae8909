"""What the scan gate says of one timepoint's scans, and the judgement that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.remembered.judgements import DOUBTS, JUDGEMENT, PASSES, UNJUDGED, Judged, Judgement
from core.remembered.untyped import JsonDict
from core.remembered.vocabulary import CANNOT_BE_JUDGED, DOUBTFUL, OUT_OF_DISTRIBUTION, ScanGateState

IN_DISTRIBUTION: ScanGateState = "in distribution"
NO_ANCHOR: ScanGateState = "no anchor"
_VERDICTS: Mapping[str, Judged] = {IN_DISTRIBUTION: PASSES, OUT_OF_DISTRIBUTION: DOUBTS, DOUBTFUL: DOUBTS}


@dataclass(frozen=True)
class ScanGateResult:
    """The gate's verdict on one timepoint's scans.

    Args:
        state: "no anchor" when the mask that the scans were to be looked at around is empty: nothing is vouched for.
            "doubtful" when `doubts` names something and the score alone would not; "cannot be judged" when there is
            no reference for these scans, or one covers too little of the other.
        score: 0..1, .5 is the threshold: how far the oddest part lies from the nearest reference scan; None where
            there is no score.
        threshold: above it, the scan is out of distribution.
        parts: of each part of the look ("CT values" …) how many times as far it lies from the reference as reference
            scans lie from each other; {} without a score.
        n_reference: reference patients behind the verdict.
        nearest: the reference patient whose scan is nearest, on average over the parts; "" without a score.
        held_out: whether the scan is one of the reference's own: it was then compared with other patients' alone.
        model_id: of the gate.
        looks_version: `core.gates.scan.looks.LOOKS_VERSION`.
        note: what a person should know, a few sentences; never empty.
        doubts: why the scans may not fit each other or the model, a sentence each; `kinds` has one word of each.
        coverage: `core.imaging.coverage.Coverage` of each further channel, as JSON.
        one_body: `core.gates.scan.one_body.OneBody` as JSON; None where there is no CT and PET to compare.
    """

    state: ScanGateState
    score: float | None
    note: str
    n_reference: int
    model_id: str
    looks_version: int
    threshold: float = 0.5
    parts: Mapping[str, float] = field(default_factory=dict)
    nearest: str = ""
    held_out: bool = False
    doubts: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    coverage: tuple[JsonDict, ...] = ()
    one_body: JsonDict | None = None

    @property
    def judgement(self) -> Judgement:
        """The verdict; which files were seen is put in by whoever read them."""
        return Judgement(
            _VERDICTS.get(self.state, UNJUDGED), self.note, self.model_id, (), kinds=tuple(dict.fromkeys(self.kinds))
        )

    def to_json(self) -> JsonDict:
        """Plain JSON values, the judgement among them."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain = {name: [*value] if isinstance(value, tuple) else value for name, value in values.items()}
        return {**plain, "parts": dict(self.parts), JUDGEMENT: self.judgement.to_json()}


def unjudged(note: str, model_id: str, kind: str, state: ScanGateState = CANNOT_BE_JUDGED) -> ScanGateResult:
    """A result without a score, and why."""
    return ScanGateResult(state, None, note, 0, model_id, 0, kinds=(kind,))
