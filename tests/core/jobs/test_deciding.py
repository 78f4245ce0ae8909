"""One way to decide: its flips are in the audit, what was confirmed is what happens, and blind readers hear none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.jobs.stages import deciding
from core.remembered.flips import CONFIRMED, NOT_SHOWN, SHOWN, TOLD, Flip, FlipsMoved
from core.remembered.links import LinkChange
from core.twin.edit_preview import Edit
from core.types import LesionMeasure, MaskRecord
from store import Store, open_store, rebuild
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan

ROOT = Path(__file__).resolve().parents[3]
TO_SD = Flip(DAY3, "PD", "SD")


def add(store: Store, day: str, voxels: int) -> MaskRecord:
    """L1 of `voxels` voxels, 8 mm long for each."""
    lesion = LesionMeasure(1, "L1", voxels * 1280.0, voxels, voxels * 8.0, (0.0, 0.0, 0.0))
    return add_mask(store, voxels, day=day, lesions=[lesion])


@pytest.fixture
def visits(store: Store) -> Store:
    """P1: L1 of 32, 32 and 48 mm: baseline, SD, PD."""
    for seed, (day, voxels) in enumerate(((DAY1, 4), (DAY2, 4), (DAY3, 6))):
        add_scan(store, day=day, seed=seed)
        add(store, day, voxels)
        store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    return store


def last(store: Store, action: str = "mask.decided") -> dict[str, object]:
    return next(entry["payload"] for entry in store.audit_log(20) if entry["action"] == action)


def told(payload: dict[str, object]) -> tuple[object, object]:
    return payload.get("flips"), payload.get("flips_told")


def test_a_flip_that_was_confirmed_is_in_the_audit_with_its_decision_and_the_history_replays(visits: Store) -> None:
    record = add(visits, DAY3, 4)
    made = deciding.decide(visits, record, Edit("accept"), "bob", "agrees", confirmed=[TO_SD])
    assert (made.flips, made.told) == ((TO_SD,), CONFIRMED)
    assert told(last(visits)) == ([vars(TO_SD)], CONFIRMED)
    assert visits.verify() == []
    root = visits.root
    visits.close()
    rebuild(root)
    with open_store(root) as again:
        assert told(last(again)) == ([vars(TO_SD)], CONFIRMED)


@pytest.mark.parametrize("confirmed", [(), (Flip(DAY3, "PD", "PR"),)], ids=["nothing", "another flip"])
def test_a_decision_that_flips_what_was_not_confirmed_is_refused_and_nothing_is_written(
    visits: Store, confirmed: tuple[Flip, ...]
) -> None:
    record, entries = add(visits, DAY3, 4), len(visits.audit_log(1000))
    with pytest.raises(FlipsMoved, match=rf"{DAY3}: PD becomes SD\. Nothing was recorded"):
        deciding.decide(visits, record, Edit("accept"), "bob", "agrees", confirmed=confirmed)
    assert len(visits.audit_log(1000)) == entries
    assert visits.masks.version("P1", DAY3, record.version).status == "proposed"


def test_what_was_confirmed_before_another_s_decision_does_not_stand_after_it(visits: Store) -> None:
    record = add(visits, DAY3, 4)
    deciding.decide(visits, visits.masks.version("P1", DAY3, 1), Edit("withdraw"), "ann", "a-slip")
    with pytest.raises(FlipsMoved, match="none becomes another one"):
        deciding.decide(visits, record, Edit("accept"), "bob", "agrees", confirmed=[TO_SD])


def test_the_command_line_is_told_afterwards_and_a_first_call_is_shown_without_asking(visits: Store) -> None:
    deciding.decide(visits, visits.masks.version("P1", DAY3, 1), Edit("withdraw"), "ann", "a-slip")
    assert told(last(visits)) == ([vars(Flip(DAY3, "PD", ""))], TOLD)
    deciding.decide(visits, visits.masks.version("P1", DAY3, 1), Edit("accept"), "ann", "agrees", confirmed=())
    assert told(last(visits)) == ([vars(Flip(DAY3, "", "PD"))], SHOWN)
    deciding.decide(visits, add(visits, DAY2, 2), Edit("reject"), "ann", "too-small", confirmed=())
    assert told(last(visits)) == (None, None), "nothing became another"


def test_a_change_of_links_that_flips_is_in_the_audit_with_it(visits: Store) -> None:
    record, change = visits.masks.version("P1", DAY2, 1), [LinkChange(1, "L2")]
    with pytest.raises(FlipsMoved):
        deciding.change_links(visits, record, change, "bob", "another place", confirmed=())
    links, flips = deciding.change_links(visits, record, change, "bob", "another place")
    assert [link.lesion_id for link in links if link.label == 1] == ["L2"]
    assert flips
    assert told(last(visits, "links.set")) == ([vars(flip) for flip in flips], TOLD)


def test_who_reads_a_visit_of_the_patient_blind_is_told_no_flip_and_the_audit_says_so(visits: Store) -> None:
    record = add(visits, DAY3, 4)
    visits.readings.set_blind("P1", DAY2, True, "demo")
    seen = visits.seen_by("bob")
    assert ("P1", DAY2) in seen.readings.closed_to("bob")
    made = deciding.decide(seen, seen.masks.version("P1", DAY3, record.version), Edit("accept"), "bob", "agrees")
    assert (made.flips, made.told) == ((), NOT_SHOWN)
    assert told(last(visits)) == ([], NOT_SHOWN)


def test_who_reads_blind_sees_no_flip_of_others_in_the_audit(visits: Store) -> None:
    deciding.decide(visits, add(visits, DAY3, 4), Edit("accept"), "ann", "agrees", confirmed=[TO_SD])
    visits.readings.set_blind("P1", DAY2, True, "demo")
    entry = next(one for one in visits.seen_by("bob").audit_log(20) if one["action"] == "mask.decided")
    assert "blind" in str(entry["payload"]["flips"])
    assert DAY2 not in str(entry["payload"])


def test_pages_and_commands_decide_in_that_one_way() -> None:
    writes = re.compile(r"\.decisions\.decide\(|\.links\.(change|set)\(|relinking\.accept\(|import accept\b")
    found = [
        str(path.relative_to(ROOT))
        for room in ("pages", "commands")
        for path in (ROOT / room).rglob("*.py")
        if writes.search(path.read_text())
    ]
    assert found == []
