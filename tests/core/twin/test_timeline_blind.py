"""timeline.tsv, blind: who still reads blind sees nothing of others' masks, in no cell, number or change."""

from __future__ import annotations

import json

from core.twin.timeline import patient_timeline
from core.twin.timeline_json import timeline_report
from core.twin.trajectory import growth_report
from store import Store
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan


def test_a_mask_that_one_reader_drew_and_had_accepted_is_nowhere_for_one_who_still_reads_blind(store: Store) -> None:
    for seed, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=seed)
    add_mask(store, 4)
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    store.people.add("ann", "reader", by="demo")
    store.people.add("ben", "reader", by="demo")
    store.readings.set_blind("P1", DAY2, True, "demo")
    mask = add_mask(store, 7, 3, day=DAY2, method="manual", author="ann")
    for person in ("ann", "demo"):
        store.readings.finish("P1", DAY2, person)
    store.decisions.decide("P1", DAY2, 1, "accept", "ann", "good")
    seen = store.seen_by("ben")
    told = json.dumps([timeline_report(seen, "P1"), growth_report(seen, "P1")])
    assert mask.mask_id not in told
    assert '"L2"' not in told, "a second lesion is ann's finding"
    cell = patient_timeline(seen, "P1").cell("L1", DAY2)
    assert cell is not None
    assert (cell.state, cell.volume_mm3, cell.mask_id) == ("not assessed", None, None)
    assert seen.links.of("P1", DAY2) == []
    store.readings.finish("P1", DAY2, "ben")
    after = patient_timeline(store.seen_by("ben"), "P1").cell("L2", DAY2)
    assert after is not None
    assert after.state == "measured"
