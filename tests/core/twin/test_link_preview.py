"""What a change of links would do to the numbers, told before it is done, and just what happens then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import InputError
from core.remembered.links import LinkChange, LinkProposal
from core.twin.link_preview import MovedNumber, Told, moved_numbers, preview_links
from core.twin.timeline import patient_timeline
from store import Store
from tests.store_phantom import DAY1, DAY2, VOXEL_MM3, add_mask, add_scan

SWAP = [LinkChange(1, "L2"), LinkChange(2, "L1")]


@pytest.fixture
def two_visits(store: Store) -> Store:
    """L1 of 4 and L2 of 2 voxels; then label 1 of 2 and label 2 of 4: a drawing program swapped the numbers."""
    for n, (day, first, second) in enumerate(((DAY1, 4, 2), (DAY2, 2, 4))):
        add_scan(store, day=day, seed=n)
        add_mask(store, first, second, day=day)
        store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    return store


def second(store: Store) -> str:
    return store.masks.version("P1", DAY2, 1).mask_id


def rounded(told: Told | None) -> Told | None:
    return told if told is None or told.number is None else replace(told, number=round(told.number, 6))


def moved_by(store: Store, mask_id: str, changes: list[LinkChange]) -> list[MovedNumber]:
    found = preview_links(store, "P1", mask_id, changes, "ann").moved
    return [replace(one, before=rounded(one.before), after=rounded(one.after)) for one in found]


def test_a_swap_moves_both_volumes_and_both_changes_and_no_total(two_visits: Store) -> None:
    moved = moved_by(two_visits, second(two_visits), SWAP)
    small, large = 2 * VOXEL_MM3, 4 * VOXEL_MM3
    volumes = [one for one in moved if one.kind != "change"]
    assert volumes == [
        MovedNumber("volume", "L1", "", DAY2, Told("measured", small), Told("measured", large)),
        MovedNumber("volume", "L2", "", DAY2, Told("measured", large), Told("measured", small)),
    ]
    both = [(x.lesion_id, x.before, x.after) for x in moved if x.kind == "change"]
    percents = {(name, before.number, after.number) for name, before, after in both if before and after}
    assert percents == {("L1", -50.0, 0.0), ("L2", 100.0, 0.0)}


@pytest.mark.parametrize(
    "changes",
    [
        SWAP,
        [LinkChange(2, "L3")],
        [LinkChange(2, None)],
        [LinkChange(2, "L1")],
        [LinkChange(1, "L2"), LinkChange(None, "L1", "merged into", ("L2",))],
        [LinkChange(1, None), LinkChange(None, "L1", "not in view")],
    ],
    ids=["swapped", "new", "cannot be told", "two labels of one", "merged", "not in view"],
)
def test_what_was_told_before_is_what_happens_and_nothing_was_written_by_telling(
    two_visits: Store, changes: list[LinkChange]
) -> None:
    mask_id, entries = second(two_visits), len(two_visits.audit_log(1000))
    found = preview_links(two_visits, "P1", mask_id, changes, "ann")
    assert len(two_visits.audit_log(1000)) == entries
    assert found.moved
    assert moved_numbers(patient_timeline(two_visits, "P1"), found.before) == []
    two_visits.links.change(mask_id, changes, "ann", "looked again")
    assert moved_numbers(patient_timeline(two_visits, "P1"), found.after) == []


def test_a_label_that_becomes_new_is_told_as_new_and_the_lesion_that_lost_it_as_not_assessed(two_visits: Store) -> None:
    moved = moved_by(two_visits, second(two_visits), [LinkChange(2, "L3")])
    told = {(x.kind, x.lesion_id, x.timepoint): (x.before, x.after) for x in moved}
    large = 4 * VOXEL_MM3
    assert told["volume", "L2", DAY2] == (Told("measured", large), Told("not assessed", None))
    assert told["volume", "L3", DAY2] == (None, Told("measured, new", large))
    assert told["total", "total", DAY2][1] == Told("not known", None)


def test_what_was_said_to_be_gone_is_measured_where_a_label_becomes_it(two_visits: Store) -> None:
    links = [LinkProposal(1, "L1", "stable"), LinkProposal(None, "L2", "gone")]
    mask = add_mask(two_visits, 3, day=DAY2, links=links)
    two_visits.decisions.decide("P1", DAY2, mask.version, "accept", "ann", "agrees")
    moved = moved_by(two_visits, mask.mask_id, [LinkChange(1, "L2")])
    cells = {x.lesion_id: x.after for x in moved if x.kind == "volume"}
    assert cells["L2"] == Told("measured", 3 * VOXEL_MM3)


def test_nothing_moves_by_a_version_that_is_not_accepted(two_visits: Store) -> None:
    proposed = add_mask(two_visits, 3, 3, day=DAY2)
    assert preview_links(two_visits, "P1", proposed.mask_id, SWAP, "ann").moved == ()


def test_the_gate_s_doubt_goes_with_the_label_and_is_of_the_lesion_that_it_is(two_visits: Store) -> None:
    odd = [{"lesion_id": "L1", "verdict": "unusual"}, {"lesion_id": "L2", "verdict": "usual"}]
    verdict = {"verdict": "unusual", "p_value": 0.01, "flagged": True, "n_reference": 40, "lesions": odd}
    mask_id = second(two_visits)
    two_visits.verdicts.add_mask_verdict(mask_id, verdict, "ann")
    after = preview_links(two_visits, "P1", mask_id, SWAP, "ann").after
    two_visits.links.change(mask_id, SWAP, "ann", "swapped")
    for timeline in (after, patient_timeline(two_visits, "P1")):
        cells = [timeline.cell(name, DAY2) for name in ("L1", "L2")]
        assert ["mask gate: doubtful of L2" in cell.doubts for cell in cells if cell is not None] == [False, True]


def test_an_unknown_mask_or_label_is_refused(two_visits: Store) -> None:
    with pytest.raises(InputError, match="Expected a mask of P1, got 'nothing'"):
        preview_links(two_visits, "P1", "nothing", SWAP)
    with pytest.raises(InputError, match=r"one of this version's labels \(1, 2\), got 7"):
        preview_links(two_visits, "P1", second(two_visits), [LinkChange(7, "L1")])
