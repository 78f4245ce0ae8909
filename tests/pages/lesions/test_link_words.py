"""Who says that a lesion is this one: nobody said more than is told."""

from __future__ import annotations

from pages.ui.lesions.lesion_panel import link_words
from tests.core.twin.timeline_phantom import DAYS, lesion, link, mask, timeline


def test_what_was_said_of_an_earlier_visit_and_of_nothing_is_told_as_that():
    both, one = (lesion("L1", 20), lesion("L2", 20)), lesion("L1", 25)
    merged = link(DAYS[1], None, "L2", "merged into", into=("L1",), confidence=0.8)
    found = timeline(mask(DAYS[0], *both), mask(DAYS[1], one), mask(DAYS[2], one), links=[merged])
    assert [link_words(cell) for cell in found.row("L2")] == [
        "as numbered in the file; nothing else was said",
        "proposed (confidence 0.80), nobody has confirmed it",
        "as said of an earlier timepoint; nothing was said since",
        "no accepted mask",
    ]


def test_a_lesion_that_a_mask_has_not_was_not_numbered_in_it():
    found = timeline(mask(DAYS[0], lesion("L1", 20), lesion("L2", 20)), mask(DAYS[1], lesion("L1", 25)))
    cell = found.cell("L2", DAYS[1])
    assert cell is not None
    assert link_words(cell) == "not in this mask; nothing was said of it"
