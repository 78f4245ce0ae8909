"""A scan gate fitted to an installation's own scans, as a job.

The looks of its marked scans become reference, those of scans marked otherwise and of faults made from the first are
what it is measured on, beside the gate in force. It is put in force by a person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError, TwinReviewError
from core.gates.scan import reference_sets
from core.gates.scan.anchoring import around
from core.gates.scan.card import Card, Range
from core.gates.scan.looks import LOOKS_VERSION
from core.gates.scan.reference import ARRAYS, IN_DISTRIBUTION, MODALITIES, PHANTOM, REAL, Reference
from core.gates.scan.reference_rows import Row, crossfit, row_of
from core.gates.scan.scan_gate import LEAST_PATIENTS, MODEL_ID, ScanGate, load_scan_gate
from core.imaging.volumes import read_label_map
from core.jobs.jobs import JobKind
from core.jobs.stages.common import StageStore, describe, read_scan
from core.remembered.vocabulary import OUT_OF_DISTRIBUTION
from core.types import Progress, Scan, Volume

JOB = "fit_scan_gate"
SEED = 20261128


def exposures() -> tuple[str, ...]:
    """The faults that can be made: from a CT and PET, or from an MR."""
    from core.gates.scan.shifts import CORRUPTIONS, MR_CORRUPTIONS

    return (*CORRUPTIONS, *MR_CORRUPTIONS)


def prepare_fit(store: StageStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: name (of the marked set), exposures (names), with_shipped (True)."""
    name, made = str(args["name"]), [str(one) for one in args.get("exposures", ())]
    marked = reference_sets.marked_sets(store).get(name)
    if marked is None or not any(member.kind == IN_DISTRIBUTION for member in marked.members):
        raise InputError(
            f"Expected a set with scans marked as {IN_DISTRIBUTION}, got {name!r}. Mark some on Quality, or by "
            "`gate reference mark`."
        )
    if unknown := sorted(set(made) - set(exposures())):
        raise InputError(f"Expected faults of {', '.join(exposures())}; got {', '.join(unknown)}.")
    members = list(_described(store, marked))
    return {
        "name": name,
        "version": marked.version,
        "made_of": marked.set_id,
        "members": members,
        "not_there": len(marked.members) - len(members),
        "exposures": made,
        "with_shipped": bool(args.get("with_shipped", True)),
        "phantom": marked.members[0].simulated,
        "in_force": reference_sets.described(store),
    }


def _described(store: StageStore, marked: reference_sets.MarkedSet) -> Iterator[dict[str, Any]]:
    """The members whose scans are there and seen, with their patients as a hash, and the accepted mask as anchor."""
    kinds = {member.scan_sha256s: member.kind for member in marked.members}
    for patient in store.patients.all():
        days: dict[str, list[Scan]] = {}
        for scan in store.scans.of(patient.patient_id):
            days.setdefault(scan.timepoint, []).append(scan)
        for day, scans in days.items():
            kind = kinds.get(tuple(sorted(scan.sha256 for scan in scans)))
            if kind is None:
                continue
            mask = store.masks.accepted(patient.patient_id, day)
            anchor = str(store.masks.path(mask).resolve()) if mask is not None and mask.lesions else None
            group = "own-" + hashlib.sha256(patient.patient_id.encode()).hexdigest()[:12]
            yield {"kind": kind, "group": group, "anchor": anchor, "scans": [describe(store, one) for one in scans]}


def compute_fit(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """In the worker: the looks of every marked scan and of the faults made from it, the gate as a file, and figures."""
    now = reference_sets.load(params["in_force"])
    rows, by_now, card, notes = _looked_at(now, params, progress)
    if not any(row.case[0] == IN_DISTRIBUTION for row in rows):
        raise InputError("Expected scans in distribution that can be read; of the marked ones there is none.")
    progress(0.9, "Fitting the gate")
    like = load_scan_gate(MODEL_ID).reference
    shipped = like if params["with_shipped"] else None
    cards = [card] if shipped is None else [card, Card.from_json(shipped.provenance["card"])]
    facts = _provenance(params, _joined_cards(cards))
    arrays = _arrays(rows, like.arrays)
    if shipped is not None:
        joined = {name: np.concatenate([shipped.arrays[name], arrays[name]]) for name in ARRAYS if name != "levels"}
        arrays |= joined
    reference = Reference(arrays, facts)
    reference = replace(reference, arrays={**arrays, "crossfit": crossfit(reference)})
    content = reference.to_bytes()
    (out_dir / "reference.npz").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    patients = len({row.case[2] for row in rows if row.case[0] == IN_DISTRIBUTION})
    if shipped is None and patients < LEAST_PATIENTS:
        notes.append(f"{patients} patients are in distribution; without {LEAST_PATIENTS} it cannot judge.")
    return {
        "gate": f"{params['name']} v{params['version']} {sha256[: reference_sets.SHORT]}",
        "sha256": sha256,
        "made_of": params["made_of"],
        "exposures": params["exposures"],
        "with_shipped": params["with_shipped"],
        "figures": compared(rows, by_now, shipped, reference),
        "notes": notes,
    }


def record_fit(
    store: StageStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """The gate is there, and not in force: that a person says."""
    reference_sets.keep(store, out_dir / "reference.npz", result, person)
    return result


KIND = JobKind(JOB, prepare_fit, compute_fit, record_fit)


def _looked_at(
    now: ScanGate, params: Mapping[str, Any], progress: Progress
) -> tuple[list[Row], list[bool | None], Card, list[str]]:
    """The looks of every scan and fault, whether the gate in force flags each (None: it cannot judge), the card of
    those in distribution, and what was left out, in words."""
    rows: list[Row] = []
    by_now: list[bool | None] = []
    cards: list[Card] = []
    unread, members = 0, params["members"]
    domain = PHANTOM if params["phantom"] else REAL
    for number, member in enumerate(members):
        progress(0.9 * number / len(members), f"Looking at marked scan {number + 1} of {len(members)}")
        try:
            volumes = _volumes(member)
        except TwinReviewError:
            unread += 1
            continue
        made = [(member["kind"], chosen) for chosen in _scanned_together(volumes)]
        if member["kind"] == IN_DISTRIBUTION:
            cards += [Card.of([volume]) for volume in volumes]
            made += [one for _, chosen in made for one in _faults(chosen, params["exposures"], number)]
        for kind, chosen in made:
            rows.append(row_of(kind, domain, member["group"], chosen))
            found = now.score_scan(chosen, phantom=bool(params["phantom"]))
            by_now.append(None if found.score is None else found.state == OUT_OF_DISTRIBUTION)
    notes = []
    if params["not_there"]:
        notes.append(f"{params['not_there']} marked timepoints are not there any more, or not yours to see.")
    if unread:
        notes.append(f"{unread} marked timepoints could not be read.")
    return rows, by_now, _joined_cards(cards), notes


def _volumes(member: Mapping[str, Any]) -> list[Volume]:
    """A member's scans in the order of `MODALITIES`, as far around the accepted mask as the gate looks."""
    volumes = sorted(map(read_scan, member["scans"]), key=lambda volume: MODALITIES.index(volume.modality))
    if member["anchor"] is None:
        return volumes
    mask = read_label_map(Path(member["anchor"]))
    return [around(volume, mask) for volume in volumes]


def _scanned_together(volumes: Sequence[Volume]) -> list[list[Volume]]:
    """CT with PET where there is one of each, and every other scan alone."""
    kinds = [volume.modality for volume in volumes]
    if kinds.count("CT") == kinds.count("PET") == 1:
        pair = [volume for volume in volumes if volume.modality in ("CT", "PET")]
        return [pair, *([volume] for volume in volumes if volume.modality == "MR")]
    return [[volume] for volume in volumes]


def _faults(chosen: Sequence[Volume], names: Sequence[str], number: int) -> list[tuple[str, list[Volume]]]:
    """The faults of these names that can be made from these scans."""
    from core.gates.scan.shifts import CORRUPTIONS, MR_CORRUPTIONS

    found: list[tuple[str, list[Volume]]] = []
    for n, name in enumerate(names):
        rng = np.random.default_rng([SEED, number, n])
        if len(chosen) == 2 and name in CORRUPTIONS:
            found.append((name, list(CORRUPTIONS[name](chosen[0], chosen[1], rng))))
        elif chosen[0].modality == "MR" and name in MR_CORRUPTIONS:
            found.append((name, [MR_CORRUPTIONS[name](chosen[0], rng)]))
    return found


def _arrays(rows: Sequence[Row], like: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The rows as the arrays of a reference, as wide as another one's; NaN for what they have not."""
    kind, domain, group = (np.array(column) for column in zip(*(row.case for row in rows), strict=True))
    arrays = {"kind": kind, "domain": domain, "group": group, "content": np.array([row.content for row in rows])}
    arrays["levels"] = like["levels"]
    for name in ARRAYS:
        if name not in arrays:
            none = np.full(like[name].shape[1:], np.nan, np.float32)
            arrays[name] = np.stack([row.arrays.get(name, none) for row in rows])
    return arrays


def _joined_cards(cards: Sequence[Card]) -> Card:
    """The widest ranges of several cards."""
    ranges: dict[str, Range] = {}
    for card in cards:
        for kind, one in card.ranges.items():
            known = ranges.get(kind, one)
            ranges[kind] = Range(_widest(known.spacing_mm, one.spacing_mm), _widest(known.extent_mm, one.extent_mm))
    kernels = sorted({kernel for card in cards for kernel in card.kernels})
    return Card(ranges, tuple(kernels))


Sides = tuple[tuple[float, float, float], tuple[float, float, float]]


def _widest(first: Sides, second: Sides) -> Sides:
    low, high = np.minimum(first[0], second[0]).tolist(), np.maximum(first[1], second[1]).tolist()
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _provenance(params: Mapping[str, Any], card: Card) -> dict[str, Any]:
    own = {key: params[key] for key in ("name", "version", "made_of", "exposures", "with_shipped")}
    return {"looks_version": LOOKS_VERSION, "card": card.to_json(), "own": own, "seed": SEED}


def compared(
    rows: Sequence[Row], by_now: Sequence[bool | None], shipped: Reference | None, candidate: Reference
) -> list[dict[str, Any]]:
    """By kind of own scans, and of the shipped ones: how many either gate flags.

    The candidate judges every scan with its patient held out. The own ones are new to the gate in force, or judged by
    other patients' alone where it knows them.
    """
    kinds = np.array([row.case[0] for row in rows])
    unjudged = np.array([one is None for one in by_now])
    in_force, scores = np.array([bool(one) for one in by_now]), candidate.crossfit[-len(rows) :]
    found = _by_kind("own", kinds, in_force, unjudged, scores)
    if shipped is not None:
        before = shipped.crossfit
        known = np.isfinite(before)
        after = candidate.crossfit[: len(before)][known]
        found += _by_kind("shipped", shipped.kind[known], before[known] > 0.5, np.zeros(known.sum(), bool), after)
    return found


def _by_kind(
    origin: str,
    kinds: NDArray[np.str_],
    in_force: NDArray[np.bool_],
    unjudged: NDArray[np.bool_],
    scores: NDArray[np.float32],
) -> list[dict[str, Any]]:
    found = []
    for kind in dict.fromkeys([IN_DISTRIBUTION, *kinds.tolist()]):
        own = kinds == kind
        if own.any():
            flagged = {"in_force": int(in_force[own].sum()), "candidate": int((scores[own] > 0.5).sum())}
            none = {"not_judged": int(unjudged[own].sum()), "not_judged_by_candidate": int(np.isnan(scores[own]).sum())}
            found.append({"origin": origin, "kind": kind, "scans": int(own.sum()), **flagged, **none})
    return found
