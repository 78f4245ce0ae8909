"""What waits with 1,000 patients and 10,000 masks: the lists, one lesion's similar ones, the mask gate, `verify`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from core.evidence import asking
from core.evidence.base import evidence_at_once, evidence_base, forget_bases
from core.evidence.filters import LesionFilter
from core.evidence.outcome import outcome_of, tally_of
from core.gates.mask import verdicts
from core.jobs.stages.mask_gate import fit_if_outdated
from core.review.blind_reading import Hidden, seen_of_all
from core.review.worklist import work_items
from core.twin.outcomes import cohort
from store import SeenStore, Store, open_store
from tests.bench.grown_store import grown

RUNS = 5
NARROWED = ", as one sees it of 4 of 5 data sets and 100 timepoints read blind"
#: Seconds of processor time that the same took before the lists were read at once, the gate was stored and files were
#: remembered (on the machine of docs/benchmarks.md, by the code of then).
BEFORE_S = {
    "worklist": 11.2,
    "quality list": 12.3,
    "cohort": 28.7,
    "every mask that a person may see": 11.3,
    "what is closed to a person": 6.4,
    "similar lesions of one lesion": 52.3,
    "mask gate at a save": 46.3,
}


def _measured(what: str, work: Callable[[], object], runs: int = RUNS) -> dict[str, Any]:
    wall, processor = [], []
    for _ in range(runs):
        wall_began, processor_began = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - wall_began)
        processor.append(time.process_time() - processor_began)
    return {
        "what": what,
        "before, processor s": BEFORE_S.get(what),
        "processor s": statistics.median(processor),
        "wall s": statistics.median(wall),
        "runs": runs,
    }


def run() -> list[dict[str, Any]]:
    """Medians over several runs, on a store that is made once and kept in build/ (some minutes)."""
    from pages.ui.frame.collecting import collect_rarely
    from pages.ui.quality import gates_panel

    with open_store(grown()) as store:
        narrow(store)
        plain = [_measured("cohort, with Python's own garbage collection", partial(cohort, store.seen_by("demo")))]
        collect_rarely()  # as the server does when it starts
        rows = []
        for person, who in (("demo", ""), ("zoe", NARROWED)):
            seen = store.seen_by(person)
            rows += [
                _measured(f"worklist{who}", partial(work_items, seen)),
                _measured(f"patients{who}", seen.patients.all),
                _measured(f"quality list{who}", partial(gates_panel.scored_masks, seen)),
                _measured(f"cohort{who}", partial(cohort, seen)),
                *plain,
            ]
            plain = []
        rows += [
            _measured("who somebody is and what they see", lambda: store.seen_by("zoe")),
            _measured("every mask that a person may see", lambda: seen_of_all(store, "demo")),
            _measured("what is closed to a person", lambda: Hidden.of(store, store.seen_by("demo").scope)),
        ]
        if fitted := _measured("fit of the mask gate, in its job", lambda: fit_if_outdated(store), 1):
            rows += [fitted] if fitted["processor s"] > 1 else []
        rows += _of_one_mask(store)
        rows.append(_verified("verify, every file hashed", store, full=True))
        rows.append(_verified("verify, files that look as they did not hashed", store, full=False))
    return rows


def narrow(store: Store) -> None:
    """zoe sees four of the five data sets, and reads a hundred timepoints blind; the same again changes nothing."""
    store.people.grant("zoe", store.patients.datasets()[:4], by="demo")
    for patient in store.patients.all()[:100]:
        day = store.patients.timepoints(patient.patient_id)[0]
        store.readings.set_blind(patient.patient_id, day, True, "demo")
        store.readings.finish(patient.patient_id, day, "demo")


def _of_one_mask(store: Store) -> list[dict[str, Any]]:
    record = next(record for record in store.masks.of("P0500") if record.status == "accepted")
    vectors = store.vectors.of(record.mask_id)
    seen = store.seen_by("demo")
    lesion = str(record.lesions[0]["lesion_id"])
    by_treatment = LesionFilter(volume_factor=2.0, therapy="chemotherapy", with_later=True)

    def alike(wanted: LesionFilter) -> None:
        base, _ = evidence_at_once(seen)
        question = asking.question_of(seen, base, record, lesion)
        found = asking.asked(seen, base, question, "demo", "shape", wanted=wanted)
        tally_of([outcome_of(one) for one in found.found], [one.case.patient_id for one in found.found])

    gathered = _measured("evidence of all lesions, gathered anew", lambda: _gathered(seen), 1)
    return [
        gathered,
        _measured("similar lesions of one lesion", partial(alike, LesionFilter())),
        _measured("the same by size, treatment and follow-up", partial(alike, by_treatment)),
        _measured("mask gate at a save", lambda: verdicts.verdict_on(store, vectors, record.patient_id)),
    ]


def _gathered(seen: SeenStore) -> None:
    forget_bases()
    evidence_base(seen)


def _verified(what: str, store: Store, full: bool) -> dict[str, Any]:
    def work() -> None:
        problems = store.verify(full=full)
        assert problems == [], problems[:3]

    return _measured(what, work, 2)
