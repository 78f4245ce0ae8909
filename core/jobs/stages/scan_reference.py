"""A scan gate fitted to an installation's own scans, as a job.

Their features, those of faults made from them, the gate, and how it compares with the one in force.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError, TwinReviewError
from core.gates.scan import reference_sets
from core.gates.scan.detectors import geometry, histogram
from core.gates.scan.features import ScanFeatures, scan_features
from core.gates.scan.scan_gate import ARRAYS, IN_DISTRIBUTION, MODEL_ID, Reference, ScanGate, crossfit, load_scan_gate
from core.jobs.jobs import JobKind
from core.jobs.stages.common import StageStore, describe, read_scan
from core.types import Progress, Volume

JOB = "fit_scan_gate"
#: A threshold that 95 % of scans pass needs so many (`scan_gate.pass_threshold`).
ENOUGH = 19
SEED = 20261128


def exposures() -> tuple[str, ...]:
    """The faults that can be made from a CT and PET."""
    from weights.recipes.rfdeep.shifts import CORRUPTIONS

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
    """In the worker: features of every marked scan and of the faults made from it, the gate as a file, and figures."""
    from core.engines.auto.nnunet import load_segmenter

    now = reference_sets.load(params["in_force"])
    network = load_segmenter(now.network_id)
    now.check_network(network.checkpoint_sha256)
    kept, notes = _features(network, params, progress)
    if not kept:
        raise InputError("Expected scans in which the network finds a tumour; in none of the marked it does.")
    progress(0.9, "Fitting the gate")
    own, arrays = _stacked(kept), _stacked(kept)
    if params["with_shipped"]:
        shipped = load_scan_gate(MODEL_ID).reference
        arrays = {name: np.concatenate([getattr(shipped, name), own[name]]) for name in ARRAYS}
    reference = Reference(**{name: arrays[name] for name in ARRAYS}, provenance=_provenance(now.reference, params))
    reference = replace(reference, crossfit=crossfit(reference))
    if int((~reference.ood).sum()) < ENOUGH:
        notes.append(f"Only {int((~reference.ood).sum())} scans are in distribution; a threshold needs {ENOUGH}.")
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


def record_fit(
    store: StageStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """The gate is there, and not in force: that a person says."""
    reference_sets.keep(store, out_dir / "reference.npz", result, person)
    return result


KIND = JobKind(JOB, prepare_fit, compute_fit, record_fit)


Case = tuple[str, str, Sequence[Volume], ScanFeatures]


def _features(network: Any, params: Mapping[str, Any], progress: Progress) -> tuple[list[Case], list[str]]:
    """(kind, group, volumes, features) of each scan and fault with an anchor; and what was left out, in words."""
    from weights.recipes.rfdeep.shifts import CORRUPTIONS

    kept: list[Case] = []
    unread, empty, members = 0, Counter[str](), params["members"]
    for number, member in enumerate(members):
        progress(0.9 * number / len(members), f"Looking at marked scan {number + 1} of {len(members)}")
        try:
            chosen = network.select_channels([read_scan(scan) for scan in member["scans"]])
        except TwinReviewError:
            unread += 1
            continue
        made = [(member["kind"], chosen)]
        if member["kind"] == IN_DISTRIBUTION:
            for n, name in enumerate(params["exposures"]):
                rng = np.random.default_rng([SEED, number, n])
                made.append((name, list(CORRUPTIONS[name](chosen[0], chosen[1], rng))))
        for kind, volumes in made:
            features = scan_features(network, volumes)
            if features.anchored:
                kept.append((kind, member["group"], volumes, features))
            else:
                empty[kind] += 1
    notes = [f"{params['not_there']} marked timepoints are not there any more, or not yours to see."]
    notes = notes if params["not_there"] else []
    notes += (
        [f"{unread} marked timepoints lack a scan that the network needs, or a file was altered."] if unread else []
    )
    notes += [f"In {n} scans of the kind “{kind}” the network finds no tumour: left out." for kind, n in empty.items()]
    return kept, notes


def _stacked(kept: Sequence[Case]) -> dict[str, NDArray[Any]]:
    """The cases as the arrays of a reference; cross-fitted scores are still to come."""
    texts = {"kind": [case[0] for case in kept], "group": [case[1] for case in kept], "domain": ["own"] * len(kept)}
    arrays: dict[str, NDArray[Any]] = {name: np.array(values) for name, values in texts.items()}
    arrays["crossfit"] = np.full(len(kept), np.nan, np.float32)
    arrays["histogram"] = np.stack([histogram(case[2]) for case in kept])
    arrays["geometry"] = np.stack([geometry(case[2]) for case in kept])
    for name in ARRAYS:
        if name not in arrays:
            arrays[name] = np.stack([np.asarray(getattr(case[3], name)) for case in kept])
    return arrays


def _provenance(like: Reference, params: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("network", "checkpoint_sha256", "features_version", "crops")
    facts = {key: like.provenance[key] for key in keys if key in like.provenance}
    own = {key: params[key] for key in ("name", "version", "made_of", "exposures", "with_shipped")}
    return {**facts, "own": own, "seed": SEED}


def compared(now: ScanGate, candidate: Reference, own: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """By kind of own scans, and of the shipped ones: how many either gate flags.

    A scan that a gate was fitted to is judged by forests that saw no scan of its patient; the own ones are new to the
    gate in force, unless it was fitted to them too.
    """
    n = len(own["kind"])
    by_candidate = candidate.crossfit > candidate.threshold
    scores = np.array([_score(now, rows) for rows in own["rows"]])
    rows = _flagged_by_kind("own", own["kind"], scores > now.threshold, by_candidate[-n:])
    if len(candidate.kind) > n:
        shipped = load_scan_gate(MODEL_ID).reference
        by_shipped = shipped.crossfit > shipped.threshold
        rows += _flagged_by_kind("shipped", shipped.kind, by_shipped, by_candidate[:-n])
    return rows


def _score(gate: ScanGate, rows: NDArray[Any]) -> float:
    score = gate.score_rows(rows).score
    return float("nan") if score is None else score


def _flagged_by_kind(
    origin: str, kinds: NDArray[np.str_], in_force: NDArray[np.bool_], candidate: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    found = []
    for kind in dict.fromkeys([IN_DISTRIBUTION, *kinds.tolist()]):
        own = kinds == kind
        if own.any():
            counts = {"in_force": int(in_force[own].sum()), "candidate": int(candidate[own].sum())}
            found.append({"origin": origin, "kind": kind, "scans": int(own.sum()), **counts})
    return found
