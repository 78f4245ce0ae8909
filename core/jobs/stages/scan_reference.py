"""A scan gate fitted to an installation's own scans, as a job.

Their looks, the gate, and how it compares with the one in force: on these scans, on faults made from them, and on scans
that were marked as unlike what the networks were made for. The gate itself learns from scans in distribution alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError, TwinReviewError
from core.gates.scan import reference_sets
from core.gates.scan.card import Card
from core.gates.scan.reference import IN_DISTRIBUTION, MODALITIES, PHANTOM, REAL, Reference
from core.gates.scan.reference_rows import Row, joined, row_of, scores_of
from core.gates.scan.scan_gate import LEAST_PATIENTS, MODEL_ID, ScanGate, load_scan_gate
from core.jobs.jobs import JobKind
from core.jobs.stages.common import StageStore, describe, read_scan
from core.types import Progress, Volume

JOB = "fit_scan_gate"
SEED = 20261128


def exposures() -> tuple[str, ...]:
    """The faults that can be made from a CT and PET, or from an MR."""
    from weights.recipes.rfdeep.shifts import CORRUPTIONS, MR_CORRUPTIONS

    return (*CORRUPTIONS, *MR_CORRUPTIONS)


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
    if not with_shipped and not kinds[IN_DISTRIBUTION]:
        raise InputError("Expected scans in distribution: a gate learns from these. Mark some.")
    members = list(_described(store, marked))
    return {
        "name": name,
        "version": marked.version,
        "made_of": marked.set_id,
        "members": members,
        "not_there": len(marked.members) - len(members),
        "exposures": made,
        "with_shipped": with_shipped,
        "domain": PHANTOM if marked.members[0].simulated else REAL,
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
    now, shipped = reference_sets.load(params["in_force"]), load_scan_gate(MODEL_ID).reference
    rows, volumes, notes = _looks(params, progress)
    if not rows:
        raise InputError("Expected scans that can be read; none of the marked can be.")
    progress(0.9, "Fitting the gate")
    alone = not params["with_shipped"]
    reference = joined(shipped, rows, _provenance(shipped, params, volumes), alone)
    gate = ScanGate(reference)
    for names in gate.part_sets():
        patients = len(np.unique(gate.known(names, params["domain"]).groups))
        if 0 < patients < LEAST_PATIENTS:
            what = " and ".join(dict.fromkeys(name.split()[0] for name in names if name.split()[0] in MODALITIES))
            notes.append(f"Only {patients} patients with {what} are in distribution; verdicts need {LEAST_PATIENTS}.")
    content = reference.to_bytes()
    (out_dir / "reference.npz").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return {
        "gate": f"{params['name']} v{params['version']} {sha256[: reference_sets.SHORT]}",
        "sha256": sha256,
        "made_of": params["made_of"],
        "exposures": params["exposures"],
        "with_shipped": params["with_shipped"],
        "figures": compared(now, reference, len(rows)),
        "notes": notes,
    }


def record_fit(
    store: StageStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """The gate is there, and not in force: that a person says."""
    reference_sets.keep(store, out_dir / "reference.npz", result, person)
    return result


KIND = JobKind(JOB, prepare_fit, compute_fit, record_fit)


def _looks(params: Mapping[str, Any], progress: Progress) -> tuple[list[Row], list[Volume], list[str]]:
    """The looks of each scan and fault, the volumes in distribution, and what was left out, in words."""
    rows: list[Row] = []
    usual: list[Volume] = []
    unread, members = 0, params["members"]
    for number, member in enumerate(members):
        progress(0.9 * number / len(members), f"Looking at marked scan {number + 1} of {len(members)}")
        try:
            volumes = [read_scan(scan) for scan in member["scans"]]
        except TwinReviewError:
            unread += 1
            continue
        for n, group in enumerate(_pairs(volumes)):
            made = [(member["kind"], group)]
            if member["kind"] == IN_DISTRIBUTION:
                usual += group
                made += _faults(group, params["exposures"], (SEED, number, n))
            rows += [row_of(kind, params["domain"], member["group"], one) for kind, one in made]
    notes = [f"{params['not_there']} marked timepoints are not there any more, or not yours to see."]
    notes = notes if params["not_there"] else []
    notes += [f"A file of {unread} marked timepoints was altered or cannot be read: left out."] if unread else []
    return rows, usual, notes


def _pairs(volumes: Sequence[Volume]) -> list[list[Volume]]:
    """CT with PET where there is one of each, every other volume alone: as the gate looks at them."""
    by = {kind: [volume for volume in volumes if volume.modality == kind] for kind in MODALITIES}
    if len(by["CT"]) == 1 and len(by["PET"]) == 1:
        return [[*by["CT"], *by["PET"]], *[[volume] for volume in by["MR"]]]
    return [[volume] for kind in MODALITIES for volume in by[kind]]


def _faults(volumes: Sequence[Volume], names: Sequence[str], seed: tuple[int, ...]) -> list[tuple[str, list[Volume]]]:
    """Those of the named faults that can be made from these."""
    from weights.recipes.rfdeep.shifts import CORRUPTIONS, MR_CORRUPTIONS

    made: list[tuple[str, list[Volume]]] = []
    kinds = [volume.modality for volume in volumes]
    for n, name in enumerate(names):
        rng = np.random.default_rng([*seed, n])
        if kinds == ["CT", "PET"] and name in CORRUPTIONS:
            made.append((name, list(CORRUPTIONS[name](volumes[0], volumes[1], rng))))
        elif kinds == ["MR"] and name in MR_CORRUPTIONS:
            made.append((name, [MR_CORRUPTIONS[name](volumes[0], rng)]))
    return made


def _provenance(shipped: Reference, params: Mapping[str, Any], usual: Sequence[Volume]) -> dict[str, Any]:
    """The shipped reference's facts, with a card of own scans where they are all there is."""
    own = {key: params[key] for key in ("name", "version", "made_of", "exposures", "with_shipped")}
    card = shipped.provenance["card"] if params["with_shipped"] or not usual else Card.of(usual).to_json()
    return {**shipped.provenance, "card": card, "own": own, "seed": SEED}


def compared(now: ScanGate, candidate: Reference, own: int) -> list[dict[str, Any]]:
    """By kind of own scans, and of the shipped ones: how many either gate flags, each scan's patient held out.

    Args:
        own: how many of the candidate's scans, at its end, are of this installation.
    """
    scores = {"in_force": scores_of(now, candidate), "candidate": candidate.crossfit}
    flagged = {name: values > candidate.threshold for name, values in scores.items()}
    judged = np.isfinite(scores["in_force"]) | np.isfinite(scores["candidate"])
    here = np.arange(len(candidate.kind)) >= len(candidate.kind) - own
    rows = []
    for origin, chosen in (("own", here), ("shipped", ~here)):
        kinds = candidate.kind[chosen & judged].tolist()
        for kind in dict.fromkeys([IN_DISTRIBUTION, *kinds]):
            these = chosen & judged & (candidate.kind == kind)
            if these.any():
                counts = {name: int(values[these].sum()) for name, values in flagged.items()}
                rows.append({"origin": origin, "kind": kind, "scans": int(these.sum()), **counts})
    return rows
