"""A scan gate fitted to an installation's own scans, as a job.

How they look, and faults made from them, the gate, and how it compares with the one in force.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError, TwinReviewError
from core.gates.scan import reference_sets
from core.gates.scan.building import Row, assemble, crossfitted, no_deep, row_of
from core.gates.scan.card import Card
from core.gates.scan.looks import LOOKS_VERSION
from core.gates.scan.reference import ARRAYS, IN_DISTRIBUTION, PHANTOM, REAL, SEEN, Reference
from core.gates.scan.scan_gate import MODEL_ID, ScanGate, combinations, load_scan_gate
from core.gates.scan.seeing import encoder_name
from core.gates.scan.shifts import CORRUPTIONS
from core.jobs.jobs import JobKind
from core.jobs.stages.common import StageStore, describe, read_scan
from core.types import Progress, Volume

JOB = "fit_scan_gate"
#: A threshold that 95 % of scans pass needs so many patients (`combining.pass_threshold`).
ENOUGH = 19
SEED = 20261128


def exposures() -> tuple[str, ...]:
    """The faults that can be made from a CT and PET."""
    return tuple(CORRUPTIONS)


def prepare_fit(store: StageStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: name (of the marked set), exposures (names), with_shipped (True)."""
    name, made = str(args["name"]), [str(one) for one in args.get("exposures", ())]
    marked = reference_sets.marked_sets(store).get(name)
    if marked is None or not marked.members:
        raise InputError(
            f"Expected a set with marked scans, got {name!r}. Mark some on Quality, or by the command line."
        )
    if unknown := sorted(set(made) - set(exposures())):
        raise InputError(f"Expected faults of {', '.join(exposures())}; got {', '.join(unknown)}.")
    kinds = Counter(member.kind for member in marked.members)
    with_shipped = bool(args.get("with_shipped", True)) and not marked.members[0].simulated
    if not with_shipped and (not kinds[IN_DISTRIBUTION] or (len(kinds) == 1 and not made)):
        raise InputError("Expected scans in distribution and of another kind, or faults to make. Mark or choose some.")
    members = list(_described(store, marked))
    return {
        "name": name,
        "version": marked.version,
        "made_of": marked.set_id,
        "phantom": marked.members[0].simulated,
        "members": members,
        "not_there": len(marked.members) - len(members),
        "exposures": made,
        "with_shipped": with_shipped,
        "in_force": reference_sets.described(store),
    }


def _described(store: StageStore, marked: reference_sets.MarkedSet) -> Iterator[dict[str, Any]]:
    """The members whose scans are there and seen, with their patients as a hash."""
    kinds = {member.scan_sha256s: member.kind for member in marked.members}
    for patient in store.patients.all():
        days: dict[str, list[Any]] = {}
        for scan in store.scans.of(patient.patient_id):
            days.setdefault(scan.timepoint, []).append(scan)
        for scans in days.values():
            kind = kinds.get(tuple(sorted(scan.sha256 for scan in scans)))
            if kind is not None:
                group = "own-" + hashlib.sha256(patient.patient_id.encode()).hexdigest()[:12]
                yield {"kind": kind, "group": group, "scans": [describe(store, scan) for scan in scans]}


def compute_fit(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """In the worker: looks of every marked scan and of the faults made from it, the gate as a file, and figures."""
    now = reference_sets.load(params["in_force"])
    rows, usual, notes = _looks(params, progress)
    if not rows:
        raise InputError("Expected scans that can be read; of the marked ones none can.")
    progress(0.9, "Fitting the gate")
    shipped = load_scan_gate(MODEL_ID).reference
    facts = {**_provenance(usual or [], shipped, params), "seen_by": _seen_by(rows, shipped, params)}
    own = assemble(rows, no_deep(rows, shipped), shipped.arrays["levels"].tolist(), facts, crossfit=False)
    reference = crossfitted(_joined(shipped, own, facts) if params["with_shipped"] else own)
    patients = len(np.unique(reference.group[~reference.ood & (reference.domain == _domain(params))]))
    if patients < ENOUGH:
        notes.append(f"Only {patients} patients are in distribution; a threshold needs {ENOUGH}.")
    content = reference.to_bytes()
    (out_dir / "reference.npz").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return {
        "gate": f"{params['name']} v{params['version']} {sha256[: reference_sets.SHORT]}",
        "sha256": sha256,
        "made_of": params["made_of"],
        "exposures": params["exposures"],
        "with_shipped": params["with_shipped"],
        "figures": compared(now, reference, own),
        "notes": notes,
    }


def _seen_by(rows: Sequence[Row], shipped: Reference, params: Mapping[str, Any]) -> str | None:
    """Which encoder saw the MR; None where there is none among them."""
    if any(SEEN in row.arrays for row in rows):
        return encoder_name()
    return shipped.provenance.get("seen_by") if params["with_shipped"] else None


def _joined(shipped: Reference, own: Reference, facts: Mapping[str, Any]) -> Reference:
    theirs = dict(shipped.arrays)
    if facts["seen_by"] != shipped.provenance.get("seen_by"):  # features of two encoders are not compared
        theirs[SEEN] = np.full_like(theirs[SEEN], np.nan)
    arrays = {
        name: theirs[name] if name == "levels" else np.concatenate([theirs[name], own.arrays[name]]) for name in ARRAYS
    }
    return Reference(arrays, facts)


def _domain(params: Mapping[str, Any]) -> str:
    return PHANTOM if params.get("phantom") else REAL


def record_fit(
    store: StageStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """The gate is there, and not in force: that a person says."""
    reference_sets.keep(store, out_dir / "reference.npz", result, person)
    return result


KIND = JobKind(JOB, prepare_fit, compute_fit, record_fit)


def _looks(params: Mapping[str, Any], progress: Progress) -> tuple[list[Row], list[Volume], list[str]]:
    """The row of each scan and fault; the usual scans themselves, for the card; and what was left out, in words."""
    rows: list[Row] = []
    usual: list[Volume] = []
    unread, alone, members = 0, 0, params["members"]
    for number, member in enumerate(members):
        progress(0.9 * number / len(members), f"Looking at marked scan {number + 1} of {len(members)}")
        try:
            sets = combinations([read_scan(scan) for scan in member["scans"]])
        except TwinReviewError:
            unread += 1
            continue
        for chosen in sets:
            rows.append(row_of(member["kind"], _domain(params), member["group"], chosen))
            if member["kind"] != IN_DISTRIBUTION:
                continue
            usual += chosen
            alone += len(chosen) != 2 and bool(params["exposures"])
            for n, name in enumerate(params["exposures"] if len(chosen) == 2 else ()):
                made = list(CORRUPTIONS[name](chosen[0], chosen[1], np.random.default_rng([SEED, number, n])))
                rows.append(row_of(name, _domain(params), member["group"], made))
    notes = [f"{params['not_there']} marked timepoints are not there any more, or not yours to see."]
    notes = notes if params["not_there"] else []
    notes += [f"{unread} marked timepoints cannot be read, or a file was altered."] if unread else []
    notes += [f"Of {alone} scans without CT and PET no faults were made."] if alone else []
    return rows, usual, notes


def _provenance(usual: Sequence[Volume], shipped: Reference, params: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: params[key] for key in ("name", "version", "made_of", "exposures", "with_shipped")}
    card = Card.of(usual)
    if params["with_shipped"] or not usual:
        card = Card.from_json(shipped.provenance["card"]).with_more(card)
    return {"looks_version": LOOKS_VERSION, "card": card.to_json(), "own": own, "seed": SEED}


def compared(now: ScanGate, candidate: Reference, own: Reference) -> list[dict[str, Any]]:
    """By kind of own scans, and of the shipped ones: how many either gate flags.

    No scan is compared with one of its own patient; the own ones are new to the gate in force, unless it was fitted to
    them too. What a gate cannot judge is counted apart.
    """
    n = len(own.kind)
    rows = _flagged_by_kind("own", own.kind, now.held_out(own), candidate.crossfit[-n:])
    if len(candidate.kind) > n:
        shipped = load_scan_gate(MODEL_ID).reference
        rows += _flagged_by_kind("shipped", shipped.kind, shipped.crossfit, candidate.crossfit[:-n])
    return rows


def _flagged_by_kind(
    origin: str, kinds: NDArray[np.str_], in_force: NDArray[np.float32], candidate: NDArray[np.float32]
) -> list[dict[str, Any]]:
    """Args: in_force, candidate: (scans,) their scores, above .5 flagged; NaN where they cannot judge."""
    found = []
    for kind in dict.fromkeys([IN_DISTRIBUTION, *kinds.tolist()]):
        own = kinds == kind
        if own.any():
            flagged = {"in_force": int((in_force[own] > 0.5).sum()), "candidate": int((candidate[own] > 0.5).sum())}
            unknown = {
                "not_judged": int(np.isnan(in_force[own]).sum()),
                "not_judged_by_candidate": int(np.isnan(candidate[own]).sum()),
            }
            found.append({"origin": origin, "kind": kind, "scans": int(own.sum()), **flagged, **unknown})
    return found
