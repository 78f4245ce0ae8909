"""Diameters that persons set by hand: beside the mask's in the cell, told by in the response, and said so."""

from __future__ import annotations

from core.remembered.protocols import FollowedLesion, ResponseProtocol, StoredProtocol
from core.twin.patient_responses import patient_responses
from core.twin.timeline_json import cell_json
from tests.core.twin.timeline_phantom import DAYS, by_hand, lesion, link, mask, timeline

GROWS = (mask(DAYS[0], lesion("L1", 28.4)), mask(DAYS[1], lesion("L1", 30.0)))


def responses(found, protocol=None):
    made = patient_responses(found, protocol)
    assert made is not None
    return made


def test_it_stands_beside_the_masks_in_the_cell_and_in_its_json() -> None:
    found = timeline(*GROWS, by_hand=[by_hand(DAYS[0], "L1", 20.0), by_hand(DAYS[0], "L1", 9.0, sets="short axis")])
    cell = found.cell("L1", DAYS[0])
    assert cell is not None
    assert (cell.longest_diameter_mm, cell.longest_in_force_mm, cell.short_axis_in_force_mm) == (28.4, 20.0, 9.0)
    told = cell_json(cell)
    assert (told["hand_longest_diameter_mm"], told["hand_longest_diameter_by"]) == (20.0, "eva")
    assert (told["hand_short_axis_mm"], told["hand_short_axis_by"], told["hand_others"]) == (9.0, "eva", [])
    other = cell_json(found.cells[1])
    assert (other["hand_longest_diameter_mm"], other["hand_longest_diameter_by"]) == (None, None)


def test_recist_is_told_by_it_and_says_so() -> None:
    assert [call.call for call in responses(timeline(*GROWS)).calls] == ["baseline", "SD"]
    found = responses(timeline(*GROWS, by_hand=[by_hand(DAYS[0], "L1", 20.0)]))
    assert [call.call for call in found.calls] == ["baseline", "PD"], "20 to 30 mm"
    assert found.calls[1].baseline == 20.0
    note = f"L1 on {DAYS[0]}: longest diameter 20.0 mm set by hand by eva; the mask says 28.4 mm."
    assert note in found.calls[0].notes
    assert not any("by hand" in one for one in found.calls[1].notes), "it stands with the visit at which it was set"
    assert note in found.others["irecist"][0].notes
    assert not any("by hand" in one for call in found.others["volume-recist-sphere"] for one in call.notes)


def test_of_several_the_newest_that_stands_counts_and_the_others_are_told() -> None:
    kept = [by_hand(DAYS[0], "L1", 20.0), by_hand(DAYS[0], "L1", 27.0, "bob")]
    (note,) = responses(timeline(*GROWS, by_hand=kept)).calls[0].notes
    assert note == (
        f"L1 on {DAYS[0]}: longest diameter 27.0 mm set by hand by bob; the mask says 28.4 mm. "
        "Older ones by hand, which do not count: longest diameter 20.0 mm by eva."
    )
    kept[1] = by_hand(DAYS[0], "L1", 27.0, "bob", withdrawn_at="2025-01-02")
    kept.append(by_hand(DAYS[0], "L1", 5.0, "cy", of_patient="P2"))
    (note,) = responses(timeline(*GROWS, by_hand=kept)).calls[0].notes
    assert "20.0 mm set by hand by eva; the mask says 28.4 mm." in note


def test_of_a_node_the_short_axis_counts() -> None:
    said = ResponseProtocol("recist-1.1", targets=(FollowedLesion("L1", "neck", is_node=True),), nontargets=())
    protocol = StoredProtocol("", said, "P1", None, "", "ann", "")
    kept = [by_hand(day, "L1", mm, sets="short axis") for day, mm in zip(DAYS, (20.0, 9.0), strict=False)]
    found = responses(timeline(*GROWS, by_hand=kept), protocol)
    assert [call.call for call in found.calls] == ["baseline", "CR"], "20 to 9 mm, a node of normal size"
    assert "short axis 9.0 mm set by hand by eva; the mask's is not known." in found.calls[1].notes[-1]


def test_a_lesion_too_small_for_the_network_counts_as_it_was_measured_by_hand() -> None:
    small = mask(DAYS[1], lesion("L1", 6.0), method="nnunet")
    kept = [by_hand(DAYS[1], "L1", 8.0)]
    assert timeline(GROWS[0], small).cells[1].state == "too small to measure"
    assert responses(timeline(GROWS[0], small)).calls[1].value == 5.0
    call = responses(timeline(GROWS[0], small, by_hand=kept)).calls[1]
    assert call.value == 8.0
    assert "8.0 mm set by hand by eva; the mask is too small to measure." in call.notes[-1]


def test_where_the_lesion_is_not_there_it_is_told_that_it_is_not_used() -> None:
    gone = [link(DAYS[1], None, "L1", "gone", confidence=0.9)]
    kept = [by_hand(DAYS[1], "L1", 8.0)]
    found = responses(timeline(GROWS[0], mask(DAYS[1], lesion("L2", 12.0)), links=gone, by_hand=kept)).calls[1]
    assert found.value == 0.0
    assert any("it is not used, as L1 is absent there." in note for note in found.notes)
