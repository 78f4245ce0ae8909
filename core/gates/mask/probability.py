"""The mask gate's word on lesions that the network itself was not sure of: a doubt of the kind "probability"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from core.remembered.judgements import DOUBTS, JUDGEMENT, PASSES, Judgement
from core.review.sureness import PROBABILITY, probability_doubts


def doubting_unsure(result: Mapping[str, Any], lesions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The gate's stored result with a doubt more, where the network was not sure of a lesion; else as it is.

    What passed becomes doubtful; what was doubtful or could not be judged stays so. No lesion is deleted.

    Args:
        result: with its judgement under `JUDGEMENT`; without one it is returned as it is.
        lesions: of the version, with "lesion_id" and "mean_probability" where a network drew it.
    """
    found = probability_doubts(lesions)
    if not found or JUDGEMENT not in result:
        return dict(result)
    judged = Judgement.from_json(result[JUDGEMENT])
    words = " ".join(f"{PROBABILITY}: {name}: {why}" for name, why in found)
    doubted = replace(
        judged,
        verdict=DOUBTS if judged.verdict == PASSES else judged.verdict,
        reason=words if judged.verdict == PASSES else f"{judged.reason} {words}",
        kinds=(*(kind for kind in judged.kinds if kind != PROBABILITY), PROBABILITY),
    )
    return {**result, JUDGEMENT: doubted.to_json()}
