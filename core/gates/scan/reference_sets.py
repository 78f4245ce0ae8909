"""An installation's own reference of the scan gate: scans marked in or out, gates fitted to them, the one in force.

A set has a name; every mark makes its next version. What is marked is a timepoint's scans, by the hashes of their
files: a hash names nobody, so the sets can be seen by all. A gate that was fitted to a set is a file below the data
root that can be made again; its hash, its figures and what it was made of stand in the audit.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from core.errors import InputError, ModelError
from core.gates.scan.reference import read_reference
from core.gates.scan.scan_gate import MODEL_ID, ScanGate, load_scan_gate
from core.remembered.rows import ReferenceSet
from core.remembered.sources import HasPatients, HasReferenceSets, HasRoot, HasScans
from core.remembered.vocabulary import FITTED_SCAN_GATE, MARKED_SCANS, SCAN_GATE_IN_FORCE
from core.types import Scan

#: The gate that comes with TwinReview.
SHIPPED = "shipped"
LONGEST_NAME = 60
#: So many characters of a fitted gate's hash tell it from others.
SHORT = 12


class MarkingStore(HasPatients, HasScans, HasReferenceSets, HasRoot, Protocol):
    """Store parts that a reference set is made of."""


class GatesStore(HasReferenceSets, HasRoot, Protocol):
    """Store parts that a fitted gate lies in."""


@dataclass(frozen=True)
class Member:
    """A timepoint's scans in a set.

    Args:
        scan_sha256s: of all its scans, sorted.
        kind: `reference.IN_DISTRIBUTION`, or of what kind they are out of distribution ("metal streaks").
        simulated: whether they were made by a simulation.
    """

    scan_sha256s: tuple[str, ...]
    kind: str
    simulated: bool = False


@dataclass(frozen=True)
class MarkedSet:
    """A version of a set of marked scans; `set_id` is of its row."""

    set_id: str
    name: str
    version: int
    members: tuple[Member, ...]
    person: str
    created_at: str

    def kind_of(self, scan_sha256s: Iterable[str]) -> str | None:
        """As what a timepoint's scans are marked; None where they are not."""
        key = tuple(sorted(scan_sha256s))
        return next((member.kind for member in self.members if member.scan_sha256s == key), None)


@dataclass(frozen=True)
class FittedSet:
    """A gate that was fitted to a version of a set.

    Args:
        gate: its id: the name of the set, its version and the beginning of the file's hash.
        made_of: id of the `MarkedSet`.
        exposures: kinds of faults that were made from its in-distribution scans.
        with_shipped: whether the reference that comes with TwinReview is part of it.
        figures: `compared` with the gate that was in force then.
    """

    set_id: str
    gate: str
    sha256: str
    made_of: str
    exposures: tuple[str, ...]
    with_shipped: bool
    figures: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    person: str
    created_at: str


def marked_sets(store: HasReferenceSets) -> dict[str, MarkedSet]:
    """The newest version of each set, by name."""
    return {one.name: one for one in map(_marked, store.reference_sets.all(MARKED_SCANS))}


def mark(store: MarkingStore, name: str, patient_id: str, timepoint: str, kind: str | None, person: str) -> MarkedSet:
    """The next version of a set, with a timepoint's scans marked as of a kind, or no more marked (None).

    Raises:
        InputError: no such scans, a name or kind that is none, a mark that changes nothing, or simulated scans beside
            real ones: those never judge these.
        StoreError: for who is no adjudicator.
    """
    name, kind = _word("name of the set", name), None if kind is None else _word("kind", kind)
    scans = store.scans.of(patient_id, timepoint)
    if not scans:
        raise InputError(f"Expected a timepoint with scans, got {patient_id!r} on {timepoint!r}. Import them first.")
    before = marked_sets(store).get(name)
    member = member_of(scans, kind or "")
    if (None if before is None else before.kind_of(member.scan_sha256s)) == kind:
        raise InputError(f"{patient_id} on {timepoint} is {kind or 'not marked'} in {name!r} already. Nothing changed.")
    others = [one for one in (before.members if before else ()) if one.scan_sha256s != member.scan_sha256s]
    if kind and any(one.simulated != member.simulated for one in others):
        raise InputError(
            f"Expected {'simulated' if others[0].simulated else 'real'} scans, as all in {name!r} are: simulated scans "
            "never judge real ones. Use another set for these."
        )
    members = [*others, *([member] if kind else [])]
    version = 1 if before is None else before.version + 1
    detail = {"name": name, "version": version, "members": [asdict(one) for one in members]}
    store.reference_sets.add(MARKED_SCANS, detail, person)
    return marked_sets(store)[name]


def member_of(scans: Sequence[Scan], kind: str) -> Member:
    """A timepoint's scans as a member."""
    return Member(tuple(sorted(scan.sha256 for scan in scans)), kind, any(s.metadata.get("simulated") for s in scans))


def fitted_sets(store: HasReferenceSets) -> dict[str, FittedSet]:
    """Every gate that was fitted here, oldest first, by its id."""
    return {one.gate: one for one in map(_fitted, store.reference_sets.all(FITTED_SCAN_GATE))}


def gate_in_force(store: HasReferenceSets) -> FittedSet | None:
    """The gate by which scans are judged; None: the one that comes with TwinReview."""
    row = store.reference_sets.newest(SCAN_GATE_IN_FORCE)
    return None if row is None else fitted_sets(store).get(str(row.detail["gate"]))


def use(store: GatesStore, gate: str, person: str) -> str:
    """Put a fitted gate, or `SHIPPED`, in force.

    Raises:
        InputError: no such gate, or it is in force already. ModelError: its file is gone or another one.
    """
    known, now = fitted_sets(store), gate_in_force(store)
    if gate != SHIPPED and gate not in known:
        raise InputError(
            f"Expected a gate that was fitted here ({', '.join(known) or 'none'}) or {SHIPPED!r}, got {gate!r}."
        )
    if gate == (SHIPPED if now is None else now.gate):
        raise InputError(f"{gate!r} is in force already. Nothing was changed.")
    if gate != SHIPPED:
        file_of(store, known[gate])
    store.reference_sets.add(SCAN_GATE_IN_FORCE, {"gate": gate}, person)
    return gate


def go_back(store: GatesStore, person: str) -> str:
    """Put the gate in force that was before the present one; the shipped one before the first.

    Raises:
        InputError: the shipped one was never replaced.
    """
    rows = [str(row.detail["gate"]) for row in store.reference_sets.all(SCAN_GATE_IN_FORCE)]
    if not rows:
        raise InputError("The scan gate that comes with TwinReview was never replaced: there is nothing to go back to.")
    earlier = [gate for gate in (SHIPPED, *rows) if gate != rows[-1]]
    return use(store, earlier[-1], person)


def keep(store: GatesStore, file: Path, facts: Mapping[str, Any], person: str) -> None:
    """Store a fitted gate: its file first, then the record that names it.

    Args:
        file: on the data root's file system; it is moved.
        facts: the fields of `FittedSet` that are not of its row.
    """
    folder = store.root / "cache" / "scan-gates"
    folder.mkdir(parents=True, exist_ok=True)
    os.replace(file, folder / f"{facts['sha256']}.npz")
    store.reference_sets.add(FITTED_SCAN_GATE, facts, person)


def file_of(store: GatesStore, gate: FittedSet) -> Path:
    """The file of a fitted gate. Raises ModelError where it is gone or another one."""
    path = store.root / "cache" / "scan-gates" / f"{gate.sha256}.npz"
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        found = ""
    if found != gate.sha256:
        raise ModelError(
            f"The file of the scan gate {gate.gate!r} is {'another one' if found else 'not there'}. Fit it again on "
            "Quality, or go back to the one before."
        )
    return path


def described(store: GatesStore) -> dict[str, str] | None:
    """The gate in force as a worker gets it; None: the shipped one. Raises ModelError where its file is gone."""
    gate = gate_in_force(store)
    if gate is None:
        return None
    return {"gate": gate.gate, "sha256": gate.sha256, "path": str(file_of(store, gate).resolve())}


@functools.cache
def shipped_facts() -> dict[str, str]:
    """Of the shipped gate: sha256 of its reference, and the id by which its verdicts name it ("gate").

    Raises:
        ModelError: it is missing or altered.
    """
    return {"sha256": load_scan_gate(MODEL_ID).sha256, "gate": load_scan_gate(MODEL_ID).model_id}


def load(found: Mapping[str, str] | None) -> ScanGate:
    """In the worker: the gate that was described, fitted; the last two are kept. Raises ModelError as `ScanGate`."""
    return load_scan_gate(MODEL_ID) if found is None else _load(found["path"], found["sha256"], found["gate"])


@functools.lru_cache(maxsize=2)
def _load(path: str, sha256: str, gate: str) -> ScanGate:
    return ScanGate(read_reference(Path(path), sha256), gate)


def _marked(row: ReferenceSet) -> MarkedSet:
    members = (Member(tuple(one["scan_sha256s"]), one["kind"], one["simulated"]) for one in row.detail["members"])
    facts = (row.person, row.created_at)
    return MarkedSet(row.set_id, row.detail["name"], row.detail["version"], tuple(members), *facts)


def _fitted(row: ReferenceSet) -> FittedSet:
    said = row.detail
    facts = (row.set_id, str(said["gate"]), str(said["sha256"]), str(said["made_of"]))
    lists = (tuple(said["figures"]), tuple(said["notes"]))
    return FittedSet(*facts, tuple(said["exposures"]), bool(said["with_shipped"]), *lists, row.person, row.created_at)


def _word(what: str, text: str) -> str:
    text = " ".join(text.split())
    if not 1 <= len(text) <= LONGEST_NAME:
        raise InputError(f"Expected a {what} of 1 to {LONGEST_NAME} characters, got {len(text)}.")
    return text
