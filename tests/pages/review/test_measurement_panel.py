"""What is told of a kept measurement, and of diameters set by hand beside the mask's."""

from __future__ import annotations

import dataclasses

from pages.ui.lesions.lesion_panel import diameter_words
from pages.ui.review.measurement_panel import what_words
from tests.core.twin.timeline_phantom import DAYS, by_hand, lesion, link, mask, timeline


def test_what_a_measurement_is_of_is_told_in_words() -> None:
    kept = by_hand(DAYS[0], "L1", 30.0)
    assert what_words(kept) == "Longest diameter of L1, set by hand"
    elsewhere = dataclasses.replace(kept, of_patient="P2")
    assert what_words(elsewhere) == "Longest diameter of L1, set by hand, of P2: it counts for nobody here"
    assert what_words(dataclasses.replace(kept, sets=None)) == "Length on L1"
    assert what_words(dataclasses.replace(kept, kind="roi", sets=None, lesion_id=None)) == "Region"


def test_a_hand_set_diameter_stands_beside_the_masks_and_says_whose_it_is() -> None:
    visit = mask(DAYS[0], {**lesion("L1", 28.4), "short_axis_mm": 12.0})
    kept = [by_hand(DAYS[0], "L1", 31.0), by_hand(DAYS[1], "L1", 8.0, "bob", sets="short axis")]
    gone = [link(DAYS[1], None, "L1", "gone", confidence=0.9)]
    there, later = timeline(visit, mask(DAYS[1]), by_hand=kept, links=gone).row("L1")[:2]
    assert diameter_words(there) == ["longest 28.4 mm · by hand 31.0 mm (eva)", "short axis 12.0 mm"]
    assert later.state == "absent"
    assert diameter_words(later) == ["short axis not measured on the mask · by hand 8.0 mm (bob)"]
