"""What the table of Compare says of each lesion is what the patient's timeline says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from core.twin.timeline import patient_timeline
from pages.ui.compare.comparing import lesion_rows
from tests.core.twin.timeline_phantom import DAYS, ball_mm3, lesion, link, mask, rows

FIRST, SECOND = DAYS[:2]


def table(first: SimpleNamespace, second: SimpleNamespace, **more: Any) -> dict[str, Any]:
    """Lesion -> (left, right, verdict, rule)."""
    made = lesion_rows(first, second, patient_timeline(rows(first, second, **more), "P1"), "timepoints")  # type: ignore[arg-type]
    return {str(r["Lesion"]): (r["Left (mL)"], r["Right (mL)"], r["Verdict"], r["Rule"]) for r in made}


def test_a_swallowed_lesion_is_neither_0_nor_gone_and_the_other_has_not_grown() -> None:
    said = [link(SECOND, None, "L2", "merged into", into=("L1",))]
    found = table(mask(FIRST, lesion("L1", 30), lesion("L2", 25)), mask(SECOND, lesion("L1", 60)), links=said)
    assert found["L2"][1:] == (None, "unknown", "merged into L1")
    assert found["L1"][2:] == ("unknown", "no rule: lesions merged")


def test_a_lesion_that_is_absent_is_0_and_one_that_nobody_could_link_has_no_verdict() -> None:
    gone = table(mask(FIRST, lesion("L1", 30), lesion("L2", 25)), mask(SECOND, lesion("L1", 30)))
    assert gone["L2"][1:3] == (0.0, "real")
    found = table(mask(FIRST, lesion("L1", 30)), mask(SECOND, lesion("unlinked-1", 30, label=1)))
    assert found["L1"][1:] == (None, "unknown", "not assessed")
    assert found["not linked (label 1)"] == (
        None,
        ball_mm3(30) / 1000,
        "unknown",
        "nobody can tell which lesion this is",
    )


def test_two_labels_that_nobody_could_link_are_not_one_lesion_because_their_numbers_are_alike() -> None:
    both = mask(FIRST, lesion("unlinked-1", 30, label=1)), mask(SECOND, lesion("unlinked-1", 60, label=1))
    made = lesion_rows(*both, patient_timeline(rows(*both), "P1"), "timepoints")  # type: ignore[arg-type]
    assert [(row["Left (mL)"], row["Right (mL)"], row["Change (mL)"]) for row in made] == [
        (ball_mm3(30) / 1000, None, None),
        (None, ball_mm3(60) / 1000, None),
    ]
