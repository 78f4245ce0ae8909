"""A lesion that the network was not sure of is doubted, whatever else the mask gate says."""

from __future__ import annotations

from typing import Any

import pytest

from core.gates.mask.probability import doubting_unsure
from core.remembered.judgements import DOUBTS, JUDGEMENT, PASSES, UNJUDGED, Judged, Judgement

SURE: list[dict[str, Any]] = [{"lesion_id": "L1", "mean_probability": 0.97}, {"lesion_id": "L2"}]
UNSURE: list[dict[str, Any]] = [*SURE, {"lesion_id": "L3", "mean_probability": 0.6}]


def result(verdict: Judged, *kinds: str) -> dict[str, object]:
    return {"p_value": 0.4, JUDGEMENT: Judgement(verdict, "said before.", "gate-1", ("a" * 64,), (), kinds).to_json()}


@pytest.mark.parametrize(("before", "after"), [(PASSES, DOUBTS), (DOUBTS, DOUBTS), (UNJUDGED, UNJUDGED)])
def test_an_unsure_lesion_is_a_doubt_and_never_makes_a_verdict_milder(before, after):
    judged = Judgement.from_json(doubting_unsure(result(before), UNSURE)[JUDGEMENT])
    assert (judged.verdict, judged.kinds) == (after, ("probability",))
    assert "L3" in judged.reason
    assert "0.60" in judged.reason
    assert ("said before." in judged.reason) == (before != PASSES)


def test_sure_lesions_and_those_that_no_network_drew_change_nothing():
    assert doubting_unsure(result(PASSES), SURE) == result(PASSES)
    assert doubting_unsure({"verdict": "usual"}, UNSURE) == {"verdict": "usual"}
