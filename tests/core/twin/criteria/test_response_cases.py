"""Every line of the table of worked cases, which a physician can read: `response_cases.tsv`."""

from __future__ import annotations

import csv

import pytest

from core.twin.criteria.table import calls_of
from tests.core.twin.criteria.case_table import Case, read_cases

CASES = read_cases()


def _word(call, right: str) -> str:
    """The call as the table writes it; confirmation and noise only where the table asks."""
    word = call.call
    if right.endswith("confirmed") and call.confirmed is not None:
        word += " confirmed" if call.confirmed else " unconfirmed"
    return word + ("~" if call.flips_within_noise else "")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_visit_of_a_case_has_the_right_call_and_says_why(case: Case):
    calls = calls_of(case.visits, case.protocol)
    told = "\n".join(f"{call.timepoint}: {call.sentence} {' '.join(call.notes)}" for call in calls)
    assert tuple(_word(c, r) for c, r in zip(calls, case.right, strict=True)) == case.right, told
    assert all(call.sentence.endswith(".") for call in calls)


def test_every_case_that_was_given_is_in_the_table(shared_data):
    given = shared_data.parent / "cases" / "response.tsv"
    if not given.exists():
        pytest.skip("no ../shared/cases/response.tsv")
    with given.open(encoding="utf-8", newline="") as file:
        numbers = {row["no"] for row in csv.DictReader(file, delimiter="\t")}
    assert len(numbers) == 40
    assert numbers <= {case.name.split(":")[0] for case in CASES}
    assert len(CASES) >= 120
