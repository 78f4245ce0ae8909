"""What is done to a history before it is rebuilt, and what is asked of it afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.twin.curve_points import volume_points
from store import Store, open_store
from store.ledger.audit import make_entry, read_file
from tests.store_phantom import DAY1

KEY = "a key of a test, not of a clinic"
P1, P2 = "processed/set/P1/ledger.jsonl", "processed/set/P2/ledger.jsonl"


def lose(root: Path, *names: str) -> None:
    for name in names:
        (root / name).unlink()


def end_of(root: Path, name: str, how: str) -> None:
    """Tear, cut, garble or alter the last line of a file of the history."""
    data = (root / name).read_bytes()
    last = data[data.rstrip().rfind(b"\n") + 1 :]
    new = {"torn": last[:-40], "cut": b"", "garbled": last.replace(b'"demo"', b'"de\x00mo"', 1)}
    (root / name).write_bytes(data.removesuffix(last) + new.get(how, last.replace(b'"demo"', b'"dome"', 1)))


def waiting(root: Path) -> list[str]:
    """Opens the store, checks that nothing of P1 is in a curve and that all is in order; why masks wait."""
    with open_store(root) as store:
        assert volume_points(store, "P1") == []
        assert store.verify() == []
        return list(store.decisions.to_affirm().values())


def append(root: Path, action: str, payload: dict[str, Any]) -> None:
    last = read_file(root / "audit.jsonl")[0][-1]
    entry = make_entry(last["seq"] + 1, last["created_at"], "demo", action, payload, last["hash"])
    with open(root / "audit.jsonl", "a") as file:
        file.write(json.dumps(entry) + "\n")


def acceptance(store: Store) -> dict[str, Any]:
    """The payload of an acceptance of P1's first mask that nobody made."""
    mask = store.masks.version("P1", DAY1, 1)
    decision = {
        "decision_id": "forged",
        "mask_id": mask.mask_id,
        "lesion_id": None,
        "verdict": "accept",
        "reviewer": "demo",
        "reason": "x",
        "comment": "",
        "created_at": mask.created_at,
    }
    place = {"patient_id": "P1", "timepoint": DAY1, "version": 1}
    return {"decision": decision, **place, "statuses": {mask.mask_id: "accepted"}, "final_version": 1}
