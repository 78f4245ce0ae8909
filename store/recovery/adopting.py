"""Scans and masks that no entry tells of any more, taken over from their sidecars on trust.

A sidecar is a file that anybody may have edited, so what is adopted says so for ever (`scan.adopted`, `mask.adopted`),
and a mask that claims to be accepted is proposed: it is out of the curve until a person affirms it by accepting it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from core.errors import TwinReviewError
from core.remembered.untyped import JsonDict, JsonObject
from core.types import MaskRecord
from store.database.connection import Connection
from store.database.migrations import migrate
from store.files.paths import inside, mask_place, scan_place
from store.ledger import putting_right, replay
from store.ledger.audit import make_entry
from store.ledger.compound import STUDY, parts_of
from store.ledger.replay import MASK_COLUMNS, MASK_LATER, SCAN_COLUMNS, SCAN_LATER
from store.ledger.stored_values import mask_values, scan_values

#: A mask that claims one of these does not count in any case, so its claim is kept.
_HARMLESS = ("rejected", "superseded")
#: action, payload
Told = tuple[str, JsonDict]


class Known(NamedTuple):
    """What entries tell of already: (patient, timepoint, scan id), (patient, timepoint, version), mask ids, patients
    with their datasets."""

    scans: set[tuple[str, str, str]]
    versions: set[tuple[str, str, int]]
    mask_ids: set[str]
    datasets: dict[str, str]

    def tell(self, action: str, payload: JsonObject) -> None:
        """What the next entry of a history adds, moves or takes away."""
        if action == STUDY:
            for part in parts_of(action, payload):
                self.tell(*part)
        elif action in ("scan.added", "scan.adopted"):
            self.scans.add((payload["patient_id"], payload["timepoint"], payload["scan_id"]))
            self.datasets.setdefault(payload["patient_id"], payload["dataset"])
        elif action in ("mask.added", "mask.adopted"):
            self.versions.add((payload["patient_id"], payload["timepoint"], payload["version"]))
            self.mask_ids.add(payload["mask_id"])
        elif action in putting_right.MOVED:
            self._move(payload)
        elif action in putting_right.WITHDRAWN:
            self._take_away(payload["rows"])
        elif action in putting_right.RESTORED:
            rows = payload["rows"]
            for row in rows.get("scans", ()):
                self.tell("scan.added", row)
            for row in rows.get("masks", ()):
                self.tell("mask.added", row)
        if action in putting_right.ACTIONS and payload.get("gone", action == putting_right.DELETED):
            self._forget(payload["patient_id"])

    def _move(self, payload: JsonObject) -> None:
        old, new = payload["patient_id"], payload["to_patient_id"]
        self.datasets.setdefault(new, payload["to_dataset"])
        for move in payload["moves"]:
            for scan in move["scans"]:
                self.scans.discard((old, move["timepoint"], scan["scan_id"]))
                self.scans.add((new, move["to_timepoint"], scan["to_scan_id"]))
            for mask in move["masks"]:
                self.versions.discard((old, move["timepoint"], mask["version"]))
                self.versions.add((new, move["to_timepoint"], mask["version"]))

    def _take_away(self, rows: JsonObject) -> None:
        """What lies at its place all the same came back, by an entry that is lost."""
        for row in rows.get("scans", ()):
            self.scans.discard((row["patient_id"], row["timepoint"], row["scan_id"]))
        for row in rows.get("masks", ()):
            self.versions.discard((row["patient_id"], row["timepoint"], row["version"]))
            self.mask_ids.discard(row["mask_id"])

    def _forget(self, patient_id: str) -> None:
        self.datasets.pop(patient_id, None)
        for places in (self.scans, self.versions):
            places -= {place for place in places if place[0] == patient_id}


def known_of(payloads: Collection[Told]) -> Known:
    """Scans, masks and patients that a history tells of, as they are at its end."""
    known = Known(set(), set(), set(), {})
    for action, payload in (part for one in payloads for part in parts_of(*one)):
        known.tell(action, payload)
    return known


def adopt(root: Path, known: Known) -> tuple[list[Told], list[str]]:
    """What is taken over, scans first, each in order of time; and the sidecars (relative) that cannot be.

    Left out is what is no sidecar, lies where its own ids do not belong, has an id that another has, or holds what the
    database would not give back as it stands there. `verify` names what is left out as belonging to no record.
    """
    told: list[Told] = []
    left: list[str] = []
    with Connection(None) as trial:
        migrate(trial)
        for name, values in _sidecars(root, "raw/*/*/*/*.json"):
            found = _scan(name, values, known, trial)
            if found is not None:
                told.append(("scan.adopted", found))
                known.scans.add((found["patient_id"], found["timepoint"], found["scan_id"]))
                known.datasets.setdefault(found["patient_id"], found["dataset"])
            elif _place(name) not in known.scans:
                left.append(name)
        for name, values in _sidecars(root, "processed/*/*/*/mask_v*.json"):
            found = _mask(name, values, known, trial)
            if found is not None:
                told.append(("mask.adopted", found))
                known.versions.add((found["patient_id"], found["timepoint"], found["version"]))
                known.mask_ids.add(found["mask_id"])
            elif _place(name) not in known.versions:
                left.append(name)
    # scans first: a mask needs its patient, and a copied file may carry any time
    told.sort(key=lambda one: (one[0] != "scan.adopted", str(one[1].get("imported_at", one[1].get("created_at")))))
    return told, left


def _place(name: str) -> tuple[object, ...]:
    """Patient, timepoint and scan id (or version) by where a sidecar lies: a damaged one may not say."""
    top, _, patient_id, timepoint, file = name.split("/")
    stem = file.removesuffix(".json")
    digits = stem.removeprefix("mask_v")
    return patient_id, timepoint, stem if top == "raw" else int(digits) if digits.isdecimal() else -1


def _sidecars(root: Path, pattern: str) -> Iterator[tuple[str, JsonDict | None]]:
    for path in sorted(root.glob(pattern)):
        name = path.relative_to(root).as_posix()
        yield name, sidecar(root, name)


def sidecar(root: Path, name: str) -> JsonDict | None:
    """The values of a sidecar; None where there is none that can be read, or a link in its place."""
    try:
        path = inside(root, name, ("raw", "processed", "withdrawn"))
        values = None if path.is_symlink() else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, TwinReviewError):
        return None
    return values if isinstance(values, dict) else None


def _scan(name: str, values: JsonObject | None, known: Known, trial: Connection) -> JsonDict | None:
    if values is None or not set(SCAN_COLUMNS) - set(SCAN_LATER) <= values.keys():
        return None
    payload = {key: values[key] for key in SCAN_COLUMNS if key in values}
    try:
        if scan_place(payload) != name.removesuffix(".json") + ".nii.gz":
            return None
        at = (payload["patient_id"], payload["timepoint"], payload["scan_id"])
        if at in known.scans or known.datasets.get(at[0], payload["dataset"]) != payload["dataset"]:
            return None
        _try(trial, "scan.adopted", payload)
    except (TwinReviewError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return payload


def _mask(name: str, values: JsonObject | None, known: Known, trial: Connection) -> JsonDict | None:
    if values is None or not set(MASK_COLUMNS) - set(MASK_LATER) <= values.keys():
        return None
    payload = {key: values[key] for key in MASK_COLUMNS if key in values}
    try:
        MaskRecord.from_json(payload)
        dataset = known.datasets.get(payload["patient_id"], "")
        place = mask_place(dataset, payload["patient_id"], payload["timepoint"], payload["version"])
        at = (payload["patient_id"], payload["timepoint"], payload["version"])
        if place != name.removesuffix(".json") + ".nii.gz" or at in known.versions:
            return None
        if payload["mask_id"] in known.mask_ids:
            return None
        claimed = payload["status"]
        status = claimed if claimed in _HARMLESS else "proposed"
        adopted = {**payload, "status": status, "claimed_status": claimed}
        _try(trial, "mask.adopted", adopted)
    except (TwinReviewError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return adopted


def _try(trial: Connection, action: str, payload: JsonDict) -> None:
    """Raises what the database or a conversion raises, or ValueError if the database does not give back what the
    sidecar says; the trial database is then as it was.

    One odd sidecar (text for a number, a lesion twice, half a character) must not stop the rebuild of all others.
    """
    json.dumps(payload, ensure_ascii=False).encode("utf-8")  # halves of a character cannot be shown or searched for
    with trial.transaction():
        replay.apply(trial, make_entry(1, "", "system", action, payload, ""))
        if action == "scan.adopted":
            sql = "SELECT * FROM scans WHERE patient_id = ? AND timepoint = ? AND scan_id = ?"
            back = scan_values(trial.query(sql, [payload["patient_id"], payload["timepoint"], payload["scan_id"]])[0])
        else:
            back = mask_values(trial.query("SELECT * FROM masks WHERE mask_id = ?", [payload["mask_id"]])[0])
        if {**payload, **back} != payload:
            raise ValueError(action)
