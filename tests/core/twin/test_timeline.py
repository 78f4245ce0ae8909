"""Each lesion at each timepoint is in one state; volumes, dates and places are set by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.remembered.rows import MaskVerdict, ScanVerdict
from core.twin import curve
from core.twin.criteria.values import Call
from core.twin.patient_responses import patient_responses
from core.twin.timeline import PatientTimeline
from core.twin.timeline_cells import CELL_STATES, NUMBER_STATES, Cell, CellLink, Total
from core.twin.timeline_changes import all_changes, interval_change, lesion_changes
from core.types import TOTAL_LESION_ID, Grid
from tests.core.twin.timeline_phantom import (
    DAYS,
    FIELD,
    ball_mm3,
    lesion,
    link,
    mask,
    states,
    timeline,
    transform,
)

D1, D2, D3, D4 = DAYS
LOW, HALF = (Grid((100, 100, slices), FIELD.affine) for slices in (45, 60))  # to z = 89 and 119 mm


def at(found: PatientTimeline, name: str, day: str) -> Cell:
    cell = found.cell(name, day)
    assert cell is not None
    return cell


def total_at(found: PatientTimeline, day: str) -> Total:
    total = found.total(day)
    assert total is not None
    return total


def linked(cell: Cell) -> CellLink:
    assert cell.link is not None
    return cell.link


def verdicts(found, name: str) -> list[tuple[str, str]]:
    return [(c.change.verdict, c.change.rule) for c in lesion_changes(found, name)]


def volume_calls(found: PatientTimeline) -> Sequence[Call]:
    """By the volumes of the proposed targets."""
    made = patient_responses(found)
    assert made is not None
    return made.others["volume-recist-sphere"]


def responses(found: PatientTimeline) -> list[str]:
    return [call.call for call in volume_calls(found)]


# --- the lines of kind "cell" of the cases


def test_a_lesion_outside_the_second_scan_is_not_in_view_and_nothing_is_said_of_the_total() -> None:
    far = lesion("L1", 40, centroid_mm=(100.0, 100.0, 150.0))
    found = timeline(mask(D1, far), mask(D2), fields={D2: LOW})
    assert states(found, "L1") == ["measured", "not in view"]
    cell = at(found, "L1", D2)
    assert (cell.volume_mm3, cell.mask_id) == (None, f"m-{D2}")
    assert cell.why == f"The scan does not reach where it was on {D1}, by the scanners' coordinates."
    assert total_at(found, D2).volume_mm3 is None
    assert total_at(found, D2).why == "No total: L1 not in view."
    assert all_changes(found) == []
    assert responses(found) == ["baseline", "NE"]
    assert [p.timepoint for p in found.points] == [D1, D1]


def test_a_lesion_that_another_one_swallowed_is_merged_and_neither_is_gone_nor_grown() -> None:
    said = [
        link(D2, 1, "L1", "merged", into=("L1", "L2"), confidence=0.8, confirmed_by="ann"),
        link(D2, None, "L2", "merged into", into=("L1",), confidence=0.7),
    ]
    before, after = mask(D1, lesion("L1", 30), lesion("L2", 25)), mask(D2, lesion("L1", 60))
    for links in (said, said[:1]):  # the label's own link says it too
        found = timeline(before, after, mask(D3, lesion("L1", 66)), links=links)
        assert states(found, "L2") == ["measured", "merged into", "merged into"]
        assert at(found, "L2", D2).into == at(found, "L2", D3).into == ("L1",)
        assert at(found, "L2", D3).why == f"Merged into L1 on {D2}, and not seen since."
        assert verdicts(found, "L1") == [
            ("unknown", "no rule: lesions merged"),
            ("real", "QIBA CT tumour volume, 50–100 mm (assumed)"),
        ]
        assert verdicts(found, "L2") == []
        assert total_at(found, D2).volume_mm3 == pytest.approx(ball_mm3(60))
        assert [v for v, _ in verdicts(found, TOTAL_LESION_ID)] == ["real", "real"], "one set of lesions"
        assert responses(found) == ["baseline", "PD", "PD"]
        assert volume_calls(found)[1].new_lesions == ()
    assert linked(at(found, "L1", D2)).confirmed_by == "ann"
    apart = timeline(before, after, mask(D3, lesion("L1", 50), lesion("L2", 30)), links=said)
    assert states(apart, "L2") == ["measured", "merged into", "measured"]
    assert verdicts(apart, "L1")[1] == ("unknown", "no rule: lesions came apart")
    assert apart.new_lesions == {}


def test_what_the_network_alone_draws_below_half_a_millilitre_is_kept_and_no_number() -> None:
    small = lesion("L1", 9.8)
    assert small["volume_mm3"] < 500
    net = {"method": "nnunet", "checkpoint_sha256": "aaa"}
    found = timeline(mask(D1, lesion("L1", 40)), mask(D2, small, **net), mask(D3, lesion("L1", 20)))
    cell = at(found, "L1", D2)
    assert (cell.state, cell.volume_mm3, cell.longest_diameter_mm) == ("too small to measure", None, None)
    assert (cell.method, cell.checkpoint_sha256) == ("nnunet", "aaa")
    assert [(c.from_timepoint, c.to_timepoint) for c in lesion_changes(found, "L1")] == [(D1, D3)]
    total = lesion_changes(found, TOTAL_LESION_ID)
    assert [c.change.rule for c in total] == ["a total between is not known"]
    assert responses(found) == ["baseline", "PR", "PD"]  # 5 mm across for it
    drawn = timeline(mask(D1, lesion("L1", 40)), mask(D2, small))
    assert states(drawn, "L1") == ["measured", "measured"], "a person may measure what is small"
    big = timeline(mask(D1, lesion("L1", 10), **net))
    assert states(big, "L1") == ["measured"], "10 mm are 524 mm3"
    speck = timeline(
        mask(D1, lesion("L1", 40)), mask(D2, lesion("L1", 40), {**small, "lesion_id": "L2", "label": 2}, **net)
    )
    assert (states(speck, "L2"), responses(speck)) == (["absent", "too small to measure"], ["baseline", "SD"])
    grown = mask(D3, lesion("L1", 40), lesion("L2", 20))
    assert timeline(mask(D1, lesion("L1", 40)), mask(D2, lesion("L1", 40), **net), grown).new_lesions == {"L2": D3}


def test_a_new_lesion_is_told_as_new_and_the_total_is_not_judged_as_one_lesion() -> None:
    found = timeline(mask(D1, lesion("L1", 60)), mask(D2, lesion("L1", 60), lesion("L2", 40)))
    assert states(found, "L2") == ["absent", "measured"]
    assert found.new_lesions == {"L2": D2}
    assert verdicts(found, "L1") == [("within noise", "QIBA CT tumour volume, 50–100 mm (assumed)")]
    assert verdicts(found, "L2") == [("unknown", "no rule for a new lesion")]
    (total,) = lesion_changes(found, TOTAL_LESION_ID)
    assert (total.change.verdict, total.change.rule) == ("unknown", "totals of different lesions")
    assert total.change.percent == pytest.approx(29.6, abs=0.05)
    assert total.change.why == "new lesion L2 was not there before and counts in the second total only."
    assert responses(found) == ["baseline", "PD"]


def test_two_labels_of_one_lesion_add_up_and_the_gap_between_them_does_not() -> None:
    half = lesion("L1", 12)
    cell = at(timeline(mask(D1, half, {**half, "label": 2, "centroid_mm": (100.0, 100.0, 190.0)})), "L1", D1)
    assert (cell.longest_diameter_mm, cell.volume_mm3) == (24, pytest.approx(2 * ball_mm3(12)))
    assert cell.short_axis_mm is None, "masks from before it was measured have none"


def test_short_axes_of_two_labels_add_up_and_one_that_was_not_measured_leaves_none() -> None:
    one, two = lesion("L1", 12) | {"short_axis_mm": 9.0}, lesion("L1", 12) | {"label": 2, "short_axis_mm": 4.5}
    assert at(timeline(mask(D1, one)), "L1", D1).short_axis_mm == 9.0
    assert at(timeline(mask(D1, one, two)), "L1", D1).short_axis_mm == 13.5
    assert at(timeline(mask(D1, one, two | {"short_axis_mm": None})), "L1", D1).short_axis_mm is None


# --- what else a cell can be


def test_absent_needs_a_scan_that_reaches_there_through_the_registration_where_there_is_one() -> None:
    one, none = mask(D1, lesion("L1", 40)), mask(D2)
    assert states(timeline(one, none), "L1") == ["measured", "absent"]
    shifted = replace(transform(D1, D2, shift_mm=(0, 0, 120)))  # z = 220 mm there: beyond its 199 mm
    assert states(timeline(one, none, transforms=[shifted]), "L1")[1] == "not in view"
    back = transform(D2, D1, shift_mm=(0, 0, -120))  # the same told from the other end
    assert states(timeline(one, none, transforms=[back]), "L1")[1] == "not in view"
    for refused in (replace(shifted, verdict="refused"), replace(shifted, state="failed")):
        assert states(timeline(one, none, transforms=[refused]), "L1")[1] == "absent"
    stale = replace(shifted, to_scan_sha256="of an image that was replaced")
    assert states(timeline(one, none, transforms=[stale]), "L1")[1] == "absent"
    unread = timeline(one, none, fields={D2: None})
    assert states(unread, "L1")[1] == "not assessed"
    assert "cannot be read" in at(unread, "L1", D2).why


def test_it_is_looked_for_where_it_was_at_the_nearest_visit() -> None:
    moved = lesion("L1", 30, centroid_mm=(100.0, 100.0, 150.0))
    found = timeline(mask(D1, lesion("L1", 30)), mask(D2), mask(D3, moved), fields={D2: HALF})
    assert states(found, "L1") == ["measured", "absent", "measured"], "59 days before is nearer than 61 after"
    late = timeline(mask(D1), mask(D3, moved), mask(D4, lesion("L1", 30)), fields={D1: LOW})
    assert states(late, "L1")[0] == "not in view"
    assert late.new_lesions == {}, "nobody looked there before"


@pytest.mark.parametrize(
    ("relation", "into", "state"),
    [
        ("gone", (), "absent"),
        ("not in view", (), "not in view"),
        ("not assessed", (), "not assessed"),
        ("merged into", ("L2",), "merged into"),
        ("split into", ("L2", "L3"), "split into"),
    ],
)
def test_a_link_without_a_label_says_what_became_of_a_lesion(relation: str, into: tuple[str, ...], state: str) -> None:
    both = mask(D1, lesion("L1", 40), lesion("L2", 20))
    said = link(D2, None, "L1", relation, into=into, confidence=0.5, evidence={"doubts": ["It may be L2."]})
    cell = at(timeline(both, mask(D2, lesion("L2", 30)), links=[said]), "L1", D2)
    assert (cell.state, cell.into, linked(cell).confidence) == (state, into, 0.5)
    assert cell.doubts == ("It may be L2.",)
    sure = at(timeline(both, mask(D2, lesion("L2", 30)), links=[replace(said, confirmed_by="ann")]), "L1", D2)
    assert (sure.doubts, linked(sure).confirmed_by) == ((), "ann")


def test_a_lesion_that_fell_apart_is_neither_gone_nor_are_its_parts_new() -> None:
    parts = mask(D2, lesion("L2", 25), lesion("L3", 25))
    found = timeline(mask(D1, lesion("L1", 40)), parts, links=[link(D2, None, "L1", "split into", into=("L2", "L3"))])
    assert (states(found, "L1"), found.new_lesions) == (["measured", "split into"], {})
    assert verdicts(found, TOTAL_LESION_ID) == [("real", "QIBA CT tumour volume, 10–35 mm (assumed)")]
    answer = volume_calls(found)[1]
    assert (answer.call, answer.new_lesions) == ("SD", ())
    assert answer.value == pytest.approx(2 * ball_mm3(25))


def test_labels_that_nobody_could_link_are_in_no_curve_and_may_be_the_lesion_that_is_missing() -> None:
    after = mask(D2, lesion("L1", 41), lesion("unlinked-2", 20, label=2))
    found = timeline(mask(D1, lesion("L1", 40), lesion("L2", 20)), after)
    assert found.lesions == ("L1", "L2")
    assert states(found, "L2") == ["measured", "not assessed"]
    assert "unlinked-2 may be it" in at(found, "L2", D2).why
    assert [(one.lesion_id, one.label) for one in found.unlinked] == [("unlinked-2", 2)]
    assert total_at(found, D2).volume_mm3 is None
    assert {p.lesion_id for p in found.points} == {"L1", "L2", TOTAL_LESION_ID}
    assert "unlinked-2: nobody can tell which lesion it is" in curve.exclusions(found)[D2]


def test_a_timepoint_without_an_accepted_mask_that_can_be_read_is_not_assessed_and_says_why() -> None:
    masks = (
        mask(D1, lesion("L1", 40)),
        mask(D2, lesion("L1", 42), status="proposed"),
        mask(D3, lesion("L1", 44), mask_id="lost"),
    )
    found = timeline(*masks, problems={"lost": "file lost"})
    assert [cell.state for cell in found.row("L1")] == ["measured", *["not assessed"] * 3]
    assert [cell.why for cell in found.row("L1")[1:]] == [
        "Version 1 is proposed, nobody has decided.",
        "File lost: accepted version 1, whose volume is unknown now.",
        "No mask yet.",
    ]
    assert [(call.timepoint, call.call, call.value) for call in volume_calls(found)][1:] == [(D3, "NE", None)]


def test_a_lesion_of_a_mask_that_cannot_be_read_is_not_0_elsewhere() -> None:
    lost = mask(D2, lesion("L1", 40), lesion("L2", 20), mask_id="lost")
    found = timeline(mask(D1, lesion("L1", 40)), lost, problems={"lost": "file lost"})
    assert states(found, "L2") == ["not assessed"]
    assert found.followed == ("L1",)
    assert total_at(found, D1).volume_mm3 == pytest.approx(ball_mm3(40))
    assert responses(found) == ["baseline", "NE"]


def test_a_rejected_lesion_has_no_number_and_is_in_no_total() -> None:
    bad = lesion("L2", 20, rejected=True)
    found = timeline(mask(D1, lesion("L1", 40), lesion("L2", 20)), mask(D2, lesion("L1", 40), bad))
    assert states(found, "L2") == ["measured", "rejected"]
    assert total_at(found, D2).lesions == ("L1",)
    assert total_at(found, D2).volume_mm3 == pytest.approx(ball_mm3(40))
    assert verdicts(found, TOTAL_LESION_ID) == [("unknown", "totals of different lesions")]
    only = timeline(mask(D1, lesion("L1", 40), bad))
    assert (only.followed, states(only, "L2"), total_at(only, D1).lesions) == (("L1",), ["rejected"], ("L1",))


# --- registration and doubts at both ends


@pytest.mark.parametrize(
    ("state", "verdict", "rule"),
    [
        ("good", None, "QIBA CT tumour volume, 35–50 mm (assumed)"),
        ("doubtful", None, "no rule: registration doubtful"),
        ("doubtful", "accepted", "QIBA CT tumour volume, 35–50 mm (assumed)"),
        ("good", "refused", "no rule: registration failed"),
        ("failed", None, "no rule: registration failed"),
    ],
)
def test_the_registration_of_the_pair_is_asked_and_a_person_s_link_is_more_than_it(state, verdict, rule) -> None:
    masks = mask(D1, lesion("L1", 40)), mask(D2, lesion("L1", 49))
    moved = transform(D1, D2, state, verdict=verdict)
    for name in ("L1", TOTAL_LESION_ID):
        assert verdicts(timeline(*masks, transforms=[moved]), name)[0][1] == rule
        sure = [link(D2, 1, "L1", "stable", confirmed_by="ann")]
        assert verdicts(timeline(*masks, transforms=[moved], links=sure), name)[0][0] == "real"


def test_doubts_of_the_gates_are_those_of_the_lesion_whatever_its_label() -> None:
    """The store names the lesions of a verdict as their labels are linked."""
    found = {"verdict": "unusual", "p_value": 0.01, "flagged": True}
    odd = [{"lesion_id": "L7", "verdict": "usual"}, {"lesion_id": "L1", "verdict": "unusual"}]
    said = MaskVerdict("a", f"m-{D1}", "P1", D1, 1, {**found, "lesions": odd}, "demo", "")
    one = mask(D1, lesion("L7", 30, label=1), lesion("L1", 30, label=2))
    seen = timeline(one, mask_verdicts=[said])
    assert [at(seen, name, D1).doubts for name in ("L7", "L1")] == [(), ("mask gate: doubtful of L1",)]


@pytest.mark.parametrize(
    ("result", "doubts"),
    [
        ({"state": "in distribution"}, ("the scan's verdict is of other files",)),
        ({"state": "in distribution", "seen": [f"s-{D1}"]}, ()),
        ({"state": "in distribution", "seen": ["another image"]}, ("the scan's verdict is of other files",)),
        ({"state": "cannot be judged", "seen": [f"s-{D1}"]}, ("scan gate: cannot be judged",)),
        ({"state": "out of distribution", "seen": [f"s-{D1}"]}, ("scan gate: doubtful",)),
    ],
)
def test_a_scan_s_verdict_that_is_stale_or_cannot_judge_is_a_doubt(result, doubts) -> None:
    said = ScanVerdict("a", "P1", D1, result, "demo", "")
    assert at(timeline(mask(D1, lesion("L1", 30)), scan_verdicts=[said]), "L1", D1).doubts == doubts


def test_what_no_gate_has_judged_is_told_and_widens_nothing() -> None:
    short = {"verdict": "not enough reference masks", "p_value": None, "flagged": None}
    few = MaskVerdict("a", f"m-{D1}", "P1", D1, 1, short, "demo", "")
    masks = mask(D1, lesion("L1", 40)), mask(D2, lesion("L1", 49))
    found = timeline(*masks, scan_verdicts=[], mask_verdicts=[few])
    not_asked = "the scan gate has not judged the scan"
    assert at(found, "L1", D1).doubts == (not_asked, "mask gate: cannot be judged")
    assert at(found, "L1", D2).doubts == (not_asked, "the mask gate has not judged the mask")
    (change,) = lesion_changes(found, "L1")
    assert (change.change.verdict, change.change.widened_by) == ("real", ())


def test_what_speaks_against_a_link_widens_the_change_until_a_person_confirms_it() -> None:
    unsure = link(D2, 1, "L1", "stable", confidence=0.4, evidence={"doubts": ["Matched by distance alone."]})
    masks = mask(D1, lesion("L1", 40)), mask(D2, lesion("L1", 44.5))
    for said, verdict, doubts in (
        (unsure, "within noise", ("doubt: Matched by distance alone. (after)",)),
        (replace(unsure, confirmed_by="ann"), "real", ()),
    ):
        (change,) = lesion_changes(timeline(*masks, links=[said]), "L1")
        assert (change.change.verdict, change.change.widened_by) == (verdict, doubts)


# --- what holds for every timeline

_masks = st.lists(
    st.sampled_from(["measured", "small", "rejected", "unlinked", "nothing", "merged", "none"]), min_size=1, max_size=4
)


def _visit(day: str, what: str):
    net = {"method": "nnunet"}
    return {
        "measured": mask(day, lesion("L1", 30), lesion("L2", 20)),
        "small": mask(day, lesion("L1", 8), lesion("L2", 30), **net),
        "rejected": mask(day, lesion("L1", 30, rejected=True), lesion("L2", 20)),
        "unlinked": mask(day, lesion("L2", 20), lesion("unlinked-3", 25)),
        "nothing": mask(day),
        "merged": mask(day, lesion("L2", 40)),
    }[what]


@given(_masks)
def test_every_cell_has_one_state_and_only_numbers_have_volumes(whats: list[str]) -> None:
    pairs = [(day, what) for day, what in zip(DAYS, whats, strict=False) if what != "none"]
    links = [link(day, None, "L1", "merged into", into=("L2",)) for day, what in pairs if what == "merged"]
    found = timeline(*(_visit(day, what) for day, what in pairs), links=links)
    assert len(found.cells) == len(found.lesions) * len(DAYS)
    for cell in found.cells:
        assert cell.state in CELL_STATES
        assert (cell.volume_mm3 is not None) == (cell.state in NUMBER_STATES)
        assert cell.why
    for total in found.totals:
        column = found.column(total.timepoint)
        assert (total.volume_mm3 is None) == bool(total.why)
        if total.volume_mm3 is not None:
            assert total.volume_mm3 == pytest.approx(sum(cell.volume_mm3 or 0.0 for cell in column))
    for name in (*found.followed, TOTAL_LESION_ID):
        days = [p.timepoint for p in found.points if p.lesion_id == name]
        assert [(c.from_timepoint, c.to_timepoint) for c in lesion_changes(found, name)] == [*itertools.pairwise(days)]


def test_a_cell_that_contradicts_itself_is_refused() -> None:
    for state, volume in (("absent", 5.0), ("measured", None), ("not in view", 0.0), ("gone", 0.0)):
        with pytest.raises(InputError, match="Expected"):
            Cell("L1", D1, state, "", volume_mm3=volume)  # type: ignore[arg-type]
    found = timeline(mask(D1, lesion("L1", 30)), mask(D2))
    with pytest.raises(InputError, match="which is not known"):
        interval_change(found, "L1", D1, D3)


def test_a_patient_without_masks_has_an_empty_timeline() -> None:
    found = timeline()
    assert (found.cells, found.points, found.totals, all_changes(found)) == ((), [], (), [])
    assert curve.exclusions(found) == dict.fromkeys(DAYS, "no mask yet")
