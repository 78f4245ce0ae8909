"""Whatever is put right in whatever order, `verify` finds nothing and a rebuild makes the same store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import TwinReviewError
from store import Store, open_store, rebuild
from store.ledger.batch import TABLES
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan

PATIENTS, DAYS = ("P1", "P2"), (DAY1, DAY2, DAY3)
WHY: dict[str, Any] = {"reason": "a slip", "person": "demo"}


def _mask(store: Store, patient: str, day: str, number: int) -> None:
    version = add_mask(store, 1 + number % 9, number % 2, patient=patient, day=day).version
    store.decisions.decide(patient, day, version, "accept", "demo", "good")


def _restore(store: Store, number: int) -> None:
    standing = store.corrections.withdrawn()
    if standing:
        store.corrections.restore(str(standing[number % len(standing)].withdrawal_id), **WHY)


#: Each with the patient, the date, the other patient, the other date and a number.
STEPS: dict[str, Callable[[Store, str, str, str, str, int], Any]] = {
    "import": lambda s, p, d, q, e, n: add_scan(s, p, d, n, modality="PET" if n % 2 else "CT"),
    "draw": lambda s, p, d, q, e, n: _mask(s, p, d, n),
    "move": lambda s, p, d, q, e, n: s.corrections.move_timepoint(p, d, to_patient_id=q, to_timepoint=e, **WHY),
    "move a scan": lambda s, p, d, q, e, n: s.corrections.move_scan(
        p, d, s.scans.of(p, d)[-1].scan_id if s.scans.of(p, d) else "CT", to_patient_id=q, to_timepoint=e, **WHY
    ),
    "withdraw": lambda s, p, d, q, e, n: s.corrections.withdraw_timepoint(p, d, **WHY),
    "withdraw a scan": lambda s, p, d, q, e, n: s.corrections.withdraw_scan(p, d, "PET", **WHY),
    "restore": lambda s, p, d, q, e, n: _restore(s, n),
    "merge": lambda s, p, d, q, e, n: s.corrections.merge_patients(p, q, **WHY),
    "delete": lambda s, p, d, q, e, n: s.corrections.delete_patient(p, confirm=p, **WHY),
}
_PLACE = (st.sampled_from(PATIENTS), st.sampled_from(DAYS))
_STEP = st.tuples(
    st.sampled_from([*STEPS, "move", "withdraw", "restore", "import"]), *_PLACE, *_PLACE, st.integers(0, 20)
)


def _rows(store: Store) -> dict[str, list[str]]:
    return {table: sorted(map(repr, store.db.query(f"SELECT * FROM {table}"))) for table in TABLES}


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(_STEP, min_size=3, max_size=9))
def test_any_sequence_leaves_a_store_that_agrees_with_itself(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        with open_store(root) as store:
            for number, (patient, day) in enumerate((p, d) for p in PATIENTS for d in (DAY1, DAY2)):
                add_scan(store, patient, day, 50 + number)
                if number != 3:
                    _mask(store, patient, day, number)
            for name, *arguments in steps:
                before, entries = _rows(store), store.audit.last()
                try:
                    STEPS[name](store, *arguments)
                except TwinReviewError:
                    changed = store.audit.last() != entries  # a mask that was added before its decision was refused
                    assert changed or _rows(store) == before, "what is refused changes nothing"
                images = [row["content_sha256"] for row in store.db.query("SELECT content_sha256 FROM scans")]
                assert len(images) == len(set(images))
            assert store.verify(full=True) == []
            for record in store.masks.of_all():
                assert store.masks.load(record).labels
            after = _rows(store)
        (root / "twin.duckdb").unlink()
        (root / "audit.jsonl").unlink()
        rebuild(root)
        with open_store(root) as again:
            assert _rows(again) == after
            assert again.verify() == []
