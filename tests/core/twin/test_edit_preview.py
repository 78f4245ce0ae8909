"""What a decision would do to response and numbers, told before it is made, and just what happens then."""

from __future__ import annotations

import pytest

from core.jobs.stages import deciding
from core.remembered.flips import Flip, needs_confirming
from core.remembered.links import LinkChange
from core.remembered.protocols import ResponseProtocol
from core.twin.edit_preview import Edit, EditPreview, preview_edit
from core.twin.link_preview import moved_numbers
from core.twin.patient_responses import flips, responses_of
from core.twin.timeline import patient_timeline
from core.types import LesionMeasure, MaskRecord
from store import Store
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan


def measured(label: int, voxels: int) -> LesionMeasure:
    """A lesion of `voxels` voxels that is 8 mm long for each."""
    return LesionMeasure(label, f"L{label}", voxels * 1280.0, voxels, voxels * 8.0, (0.0, 0.0, 0.0))


def add(store: Store, day: str, *voxels: int) -> MaskRecord:
    lesions = [measured(n, v) for n, v in enumerate(voxels, start=1)]
    return add_mask(store, *voxels, day=day, lesions=lesions)  # type: ignore[misc, arg-type]


@pytest.fixture
def visits(store: Store) -> Store:
    """P1: L1 of 32, 40 and 48 mm with L2 of 32 mm; all accepted: baseline, SD, PD (nadir 64, then 80 mm: +25 %)."""
    for seed, (day, voxels) in enumerate(((DAY1, 4), (DAY2, 5), (DAY3, 6))):
        add_scan(store, day=day, seed=seed)
        add(store, day, voxels, 4)
        store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    return store


def calls(store: Store) -> list[tuple[str, str]]:
    found = responses_of(store, "P1")
    assert found is not None
    return [(one.timepoint, one.call) for one in found.calls]


EDITS = {
    "accept another version": (DAY3, 2, Edit("accept")),
    "accept the middle one": (DAY2, 2, Edit("accept")),
    "accept with links swapped": (DAY3, 2, Edit("accept", links=(LinkChange(1, "L2"), LinkChange(2, "L1")))),
    "accept with a new lesion": (DAY3, 2, Edit("accept", links=(LinkChange(2, "L3"),))),
    "accept without a label": (DAY3, 2, Edit("accept", not_lesions=(2,))),
    "accept with a part left out": (DAY3, 2, Edit("accept", links=(LinkChange(1, "L2"),), not_lesions=(2,))),
    "withdraw": (DAY2, 1, Edit("withdraw")),
    "withdraw the baseline": (DAY1, 1, Edit("withdraw")),
    "reject what is accepted": (DAY3, 1, Edit("reject")),
    "reject a lesion of it": (DAY3, 1, Edit("reject", "L2")),
    "relink": (DAY3, 1, Edit("", links=(LinkChange(2, "L3"),))),
}


@pytest.mark.parametrize(("day", "version", "edit"), EDITS.values(), ids=EDITS)
def test_what_was_told_before_is_what_happens_and_nothing_was_written_by_telling(
    visits: Store, day: str, version: int, edit: Edit
) -> None:
    add(visits, DAY3, 3, 2), add(visits, DAY2, 1, 4)
    before, timeline, entries = responses_of(visits, "P1"), patient_timeline(visits, "P1"), len(visits.audit_log(1000))
    record = visits.masks.version("P1", day, version)
    told = preview_edit(visits, record, edit, "bob")
    assert len(visits.audit_log(1000)) == entries
    assert told.moved
    if edit.verdict:
        meant = needs_confirming(told.flips)
        done = deciding.decide(visits, record, edit, "bob", "agrees", "a word", meant).flips
    else:
        _, done = deciding.change_links(visits, record, edit.links, "bob", "why", needs_confirming(told.flips))
    assert done == told.flips == flips(before, responses_of(visits, "P1"))
    assert tuple(moved_numbers(timeline, patient_timeline(visits, "P1"))) == told.moved


def test_a_smaller_contour_of_the_last_visit_flips_its_call_alone(visits: Store) -> None:
    assert calls(visits) == [(DAY1, "baseline"), (DAY2, "SD"), (DAY3, "PD")]
    record = add(visits, DAY3, 4, 4)
    told = preview_edit(visits, record, Edit("accept"), "bob")
    assert told.flips == (Flip(DAY3, "PD", "SD"),)
    volumes = {(x.lesion_id, x.timepoint): (x.before, x.after) for x in told.moved if x.kind == "volume"}
    before, after = volumes["L1", DAY3]
    assert before is not None
    assert after is not None
    assert (before.number, after.number) == (6 * 1280.0, 4 * 1280.0)


@pytest.mark.parametrize("edit", [Edit("reject"), Edit("reject", "L1"), Edit("withdraw"), Edit("accept", "L1")])
def test_a_decision_on_what_is_in_no_curve_moves_nothing(visits: Store, edit: Edit) -> None:
    assert preview_edit(visits, add(visits, DAY3, 4, 4), edit, "bob") == EditPreview()


def test_a_baseline_that_was_set_and_is_withdrawn_takes_every_call_with_it(visits: Store) -> None:
    visits.protocols.set("P1", ResponseProtocol("recist-1.1", DAY1), "ann", "before treatment")
    told = preview_edit(visits, visits.masks.version("P1", DAY1, 1), Edit("withdraw"), "bob")
    assert [(flip.timepoint, flip.after) for flip in told.flips] == [(DAY1, ""), (DAY2, ""), (DAY3, "")]


def test_the_first_call_of_a_visit_is_news_and_a_call_that_was_there_needs_a_click(store: Store) -> None:
    first, changed, lost = Flip(DAY3, "", "SD"), Flip(DAY2, "SD", "PD"), Flip(DAY2, "PD", "")
    assert needs_confirming([first]) == ()
    assert needs_confirming([changed, first]) == (changed,)
    assert needs_confirming([lost]) == (lost,)
    add_scan(store)
    record = add(store, DAY1, 4)
    assert preview_edit(store, record, Edit("accept"), "bob").flips == (Flip(DAY1, "", "baseline"),)
