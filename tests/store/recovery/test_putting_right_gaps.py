"""A history with moves and withdrawals of which a line is lost: it is rebuilt, and nothing stays accepted on trust."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from store import open_store, rebuild
from tests.store_phantom import ANSWER, DAY1, DAY2, DAY3, add_mask, add_scan

WHY: dict[str, Any] = {"reason": "a slip", "person": "demo"}


def _history(root: Path) -> int:
    """P1's timepoints moved to another date and to P2; P2's withdrawn and restored; P1's withdrawn. Its length."""
    with open_store(root) as store:
        for patient, day, seed in (("P1", DAY1, 1), ("P1", DAY2, 2), ("P2", DAY3, 3)):
            add_scan(store, patient, day, seed)
            add_mask(store, 3, patient=patient, day=day)
            store.decisions.decide(patient, day, 1, "accept", "demo", "good")
        put = store.corrections
        put.move_timepoint("P1", DAY1, to_timepoint="2019-01-01", **WHY)
        put.move_timepoint("P1", DAY2, to_patient_id="P2", **WHY)
        store.decisions.decide("P2", DAY2, 1, "accept", "demo", *ANSWER)
        put.restore(str(put.withdraw_timepoint("P2", DAY3, **WHY).withdrawal_id), **WHY)
        put.withdraw_timepoint("P1", "2019-01-01", **WHY)
        return store.audit.last()[0]


def test_whichever_line_is_lost_the_rest_is_rebuilt_and_what_is_accepted_lies_where_it_should(tmp_path: Path) -> None:
    last = _history(tmp_path / "base")
    for lost in range(2, last + 1):
        root = tmp_path / "data"
        shutil.copytree(tmp_path / "base", root, symlinks=True)
        for name in ("twin.duckdb", "audit.jsonl"):
            (root / name).unlink()
        for ledger in root.rglob("ledger.jsonl"):
            kept = [line for line in ledger.read_bytes().splitlines(True) if f'"seq": {lost},'.encode() not in line]
            ledger.write_bytes(b"".join(kept))
        rebuild(root)
        with open_store(root) as store:
            store.verify()  # it may name files of what is lost
            for record in store.masks.of_all():
                if record.status == "accepted":
                    assert store.masks.load(record).labels, f"entry {lost} is lost"
            assert lost == last or not any(record.status == "accepted" for record in store.masks.of_all())
        shutil.rmtree(root)
