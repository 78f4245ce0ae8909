"""Whose acceptance another person ended is told, until they decide there again."""

from __future__ import annotations

import pytest

from core.remembered.lists import VersionDecision
from core.review.replaced import ended_at


def decided(*rows: str) -> list[VersionDecision]:
    """ "ann accept 1" and so on."""
    found = [row.split() for row in rows]
    return [VersionDecision("P1", "2020-01-01", int(n), f"m{n}", verdict, who, "") for who, verdict, n in found]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["ann accept 1"], None),
        (["ann accept 1", "bob accept 2"], "your acceptance of v1 was replaced by bob, who accepted v2"),
        (["ann accept 1", "ann accept 2"], None),
        (["ann accept 1", "bob withdraw 1"], "your acceptance of v1 was withdrawn by bob"),
        (["ann accept 1", "bob reject 1", "bob accept 2"], "your acceptance of v1 was rejected by bob"),
        (["ann accept 1", "bob reject 2"], None),
        (["ann accept 1", "bob accept 2", "ann accept 3"], None),
        (["ann accept 1", "bob accept 2", "ann reject 3"], None),
        (["ann accept 1", "bob accept 2", "cy accept 3"], "your acceptance of v1 was replaced by bob, who accepted v2"),
        (["ann accept 1", "ann withdraw 1", "bob accept 2"], None),
    ],
)
def test_what_became_of_ann_s_acceptance(rows: list[str], told: str | None) -> None:
    found = ended_at(decided(*rows), "ann")
    assert (None if found is None else found.words) == told
