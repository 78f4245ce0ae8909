"""The one reading of stored verdicts: which is the newest on what, and whether it is of what is there now."""

from __future__ import annotations

from typing import Any

import pytest

from core.remembered.judgements import JUDGEMENT, Judged, Judgement
from core.remembered.rows import ScanVerdict
from core.review.doubts import ANCHOR, ANCHOR_SHA256, scan_gate_verdict

PLACE = ("P1", "2024-01-01")


def verdict(seen: tuple[str, ...], verdict: Judged = "passes", anchor: str | None = None) -> ScanVerdict:
    result: dict[str, Any] = {"state": "x", JUDGEMENT: Judgement(verdict, "It is so.", "gate", seen).to_json()}
    if anchor is not None:
        result |= {ANCHOR: anchor, ANCHOR_SHA256: "mask"}
    return ScanVerdict("1", *PLACE, result, "demo", "2024-01-02")


@pytest.mark.parametrize(
    ("seen", "now", "anchor", "stale"),
    [
        (("ct", "pet"), {"ct", "pet"}, None, False),
        (("ct",), {"ct", "pet"}, None, True),  # one came
        (("ct", "pet"), {"ct"}, None, True),  # one has gone
        ((), {"ct"}, None, True),  # it does not say what it saw
        (("ct", "mask"), {"ct"}, "M1", False),
        (("ct", "mask"), {"ct", "pet"}, "M1", True),
        (("ct", "mask"), {"ct"}, None, True),  # nobody said that this was a mask
    ],
)
def test_a_verdict_on_other_files_than_are_there_is_stale_and_a_doubt_though_it_passed(seen, now, anchor, stale):
    found = scan_gate_verdict(PLACE, now, [verdict(seen, anchor=anchor)], "M1")
    assert (found.stale, found.is_doubt) == (stale, stale)


def test_the_newest_on_the_scans_or_on_this_very_mask_counts_and_none_is_a_doubt():
    of_scans, of_other = verdict(("ct",)), verdict(("ct", "mask"), "doubtful", "M2")
    of_this = verdict(("ct", "mask"), "doubtful", "M1")
    assert not scan_gate_verdict(PLACE, {"ct"}, [of_scans, of_other], "M1").is_doubt
    assert scan_gate_verdict(PLACE, {"ct"}, [of_scans, of_this], "M1").judgement.verdict == "doubtful"
    assert not scan_gate_verdict(PLACE, {"ct"}, [of_this, of_scans], "M1").is_doubt, "judged anew since"
    assert scan_gate_verdict(("P2", PLACE[1]), {"ct"}, [of_scans], "M1").judgement.verdict == "cannot be judged"
