"""The same lesion over time: links and volume changes on simulated follow-ups of real patients.

Each patient's CT (STS, 10.7937/K9/TCIA.2015.7GO2GSKS, CC BY 3.0) is simulated in every situation of
`core.simulation.situations`: what happened is known. The first visits are registered to the last one, true masks are
drawn and linked as the pipeline would, and each link is judged: right, told as doubtful, or silently wrong; the volume
change is that of the true masks. With --network the change that nnU-Net measures is shown beside it, as it is: it was
trained on these patients. Worst first. `python -m tests.bench.bench_followups --help` has the options; the smallest
scans come first. These are one scan's tissue twice: easier than a real second visit.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from core.errors import InputError
from core.imaging.registration import RigidTransform, rigid
from core.imaging.volumes import read_label_map, read_volume
from core.lesions.matching import match_lesions
from core.remembered.links import LinkProposal
from core.simulation.followups import SimulatedVisit, Visit, simulated_visit
from core.simulation.situations import situations
from tests.bench import shared_data
from tests.bench.__main__ import table

#: The registration's error is told at the tumour; above so much a "good" one counts as wrong.
RIGHT_MM = 2.0
DAYS = ("2025-01-01", "2025-04-01", "2025-07-01")
VERDICTS = ("silently wrong", "wrong, but told", "not told apart, and said so", "right, but doubted", "right")


def proposals(
    earlier: Sequence[SimulatedVisit], transforms: Sequence[RigidTransform], now: SimulatedVisit
) -> tuple[LinkProposal, ...]:
    """The one place where identity is asked for: by assignment over all visits, else by the matching before it."""
    if importlib.util.find_spec("core.lesions.linking") is None:
        return _by_matching(earlier[-1], transforms[-1], now)
    linking: Any = importlib.import_module("core.lesions.linking")
    known = [
        linking.KnownLesions(
            timepoint=day,
            mask_id=f"mask-{day}",
            labels=seen.drawn,
            lesion_of={label: f"L{lesions[0]}" for label, lesions in seen.lesions_of.items()},
            accepted=True,
            to_here=None if found.state == "failed" else found.matrix,
            registration_state=found.state,
            transform_id=None,
            gone=frozenset(f"L{n}" for n in _ever(earlier[:i]) - _shown(seen)),
        )
        for i, (day, seen, found) in enumerate(zip(DAYS, earlier, transforms, strict=False))
    ]
    found = linking.propose_links(now.drawn, known, DAYS[len(earlier)], max(_ever(earlier), default=0) + 1)
    return tuple(found)


def _by_matching(before: SimulatedVisit, found: RigidTransform, now: SimulatedVisit) -> tuple[LinkProposal, ...]:
    if not found.converged:
        return tuple(LinkProposal(label, None, "unlinked") for label in now.drawn.labels)
    matched = match_lesions(before.truth, now.drawn.array, now.drawn.grid, found.matrix)
    out = []
    for label, lesion in matched.numbers.items():
        whole = matched.merges.get(lesion, ())
        relation: Any = "new" if lesion in matched.new else "merged" if len(whole) > 1 else "stable"
        relation = "split" if lesion in matched.splits else relation
        out.append(LinkProposal(label, f"L{lesion}", relation, into=tuple(f"L{n}" for n in whole)))
    return (*out, *(LinkProposal(None, f"L{lesion}", "gone") for lesion in matched.lost))


def _shown(visit: SimulatedVisit) -> set[int]:
    return {lesion for lesions in visit.lesions_of.values() for lesion in lesions}


def _ever(visits: Sequence[SimulatedVisit]) -> set[int]:
    return {lesion for visit in visits for lesion in _shown(visit)}


def judged(earlier: Sequence[SimulatedVisit], now: SimulatedVisit, found: Sequence[LinkProposal]) -> list[str]:
    """A verdict for every label of the last visit and for every lesion that it shows nothing of."""
    told = {proposal.label: proposal for proposal in found if proposal.label is not None}
    missing = {proposal.lesion_id: proposal for proposal in found if proposal.label is None}
    ever, last = _ever(earlier), _shown(earlier[-1])
    out = []
    for label, lesions in now.lesions_of.items():
        known = [n for n in lesions if n in ever]
        pieces = [other for other, held in now.lesions_of.items() if known and known[0] in held]
        proposal = told.get(label)
        out.append(_verdict(proposal, proposal is not None and _is_right(proposal, known, len(pieces) > 1, last)))
    for lesion in sorted(last - _shown(now)):
        expected = "not in view" if now.in_view.get(lesion) == 0 else "gone"
        proposal = missing.get(f"L{lesion}")
        out.append(_verdict(proposal, proposal is not None and proposal.relation == expected))
    return out


def _is_right(proposal: LinkProposal, known: Sequence[int], split: bool, last: set[int]) -> bool:
    if not known:
        return proposal.relation == "new"
    if len(known) > 1:
        return proposal.relation == "merged" and set(proposal.into) == {f"L{n}" for n in known}
    expected = "split" if split else "stable" if known[0] in last else "reappeared"
    return proposal.lesion_id == f"L{known[0]}" and proposal.relation == expected


def _verdict(proposal: LinkProposal | None, right: bool) -> str:
    if proposal is None:
        return "silently wrong"
    if proposal.relation in ("unlinked", "not assessed"):
        return "not told apart, and said so"
    if proposal.doubts:
        return "right, but doubted" if right else "wrong, but told"
    return "right" if right else "silently wrong"


def measured(name: str, situation: str, visits: Sequence[SimulatedVisit]) -> dict[str, Any]:
    """One row: registration of the last visit to the earlier ones, links judged, volume changes."""
    earlier, now = visits[:-1], visits[-1]
    began = time.perf_counter()
    transforms = [rigid(now.volumes[0], visit.volumes[0]) for visit in earlier]
    seconds = time.perf_counter() - began
    found = proposals(earlier, transforms, now)
    verdicts = judged(earlier, now, found)
    row: dict[str, Any] = {"situation": situation, "patient": name}
    row |= {verdict: verdicts.count(verdict) for verdict in VERDICTS}
    row["registration"] = "/".join(transform.state for transform in transforms)
    row["error mm"] = [round(_error_mm(t, v, now), 2) for t, v in zip(transforms, earlier, strict=True)]
    row["seconds"] = round(seconds, 1)
    row["change errors %"] = changes(earlier[0], now)
    row["proposed"] = "; ".join(f"{p.label or ''} {p.relation} {p.lesion_id}".strip() for p in found)
    return row


def _error_mm(found: RigidTransform, before: SimulatedVisit, now: SimulatedVisit) -> float:
    """Mean over the voxels of the first visit's lesions, which every situation has, mm."""
    points = before.truth.grid.to_mm(np.argwhere(before.truth.array)[::50])
    forth = now.motion @ np.linalg.inv(before.motion)
    here = points @ forth[:3, :3].T + forth[:3, 3]
    return float(np.linalg.norm(found.apply(here) - points, axis=1).mean())


def changes(first: SimulatedVisit, now: SimulatedVisit) -> dict[str, float]:
    """Lesion -> how far the true masks' change is from the known one, percent of the volume; those wholly in view."""
    out = {}
    for lesion in set(first.truth.labels) & set(now.truth.labels):
        if min(first.in_view[lesion], now.in_view[lesion]) < 0.999:
            continue
        counted = [float((v.truth.array == lesion).sum()) * v.truth.grid.voxel_volume_mm3 for v in (first, now)]
        known = now.volumes_mm3[lesion] / first.volumes_mm3[lesion]
        out[f"L{lesion}"] = round(100 * (counted[1] / counted[0] / known - 1), 2)
    return out


def of_patient(folder: Path, seed: int, kept: Path | None = None) -> list[dict[str, Any]]:
    """All rows of a patient that are not kept yet; in a process of its own, on one thread."""
    had = {(row["patient"], row["situation"], row["seed"]) for row in kept_rows(kept)}
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    scan, mask = read_volume(folder / "CT_image.nii.gz", "CT"), read_label_map(folder / "CT_mask.nii.gz")
    rows: list[dict[str, Any]] = []
    seen: dict[str, SimulatedVisit] = {}
    for name, situation in situations(scan, mask, seed).items():
        if (folder.name, name, seed) in had:
            continue
        try:
            if situation.why_not:
                raise InputError(situation.why_not)
            visits = []
            for visit in situation.visits:
                key = repr(visit)
                seen[key] = seen.get(key) or simulated_visit([scan], mask, visit)
                visits.append(seen[key])
            rows.append(measured(folder.name, name, visits))
        except InputError as error:
            rows.append({"situation": name, "patient": folder.name, "not simulated": str(error)})
        rows[-1]["seed"] = seed
        print(rows[-1], file=sys.stderr, flush=True)
        if kept is not None:
            with kept.open("a") as file:  # one line at once: processes write beside each other
                file.write(json.dumps(rows[-1]) + "\n")
    return rows


def kept_rows(kept: Path | None) -> list[dict[str, Any]]:
    """Rows of an earlier run, if there was one."""
    if kept is None or not kept.exists():
        return []
    return [json.loads(line) for line in kept.read_text().splitlines()]


def with_network(folder: Path, changes_percent: Sequence[float] = (-50, 0, 50)) -> list[dict[str, Any]]:
    """What nnU-Net measures of known changes: its first visit against its later ones."""
    from core.simulation.selfgrade import network_measure

    channels = [read_volume(folder / f"{m}_image.nii.gz", m) for m in ("CT", "PET")]
    mask = read_label_map(folder / "CT_mask.nii.gz")
    measure, rows = network_measure("sts-ctpet-small"), []
    first = measure(channels, mask)[1]
    for n, percent in enumerate(changes_percent):
        visit = Visit(growth={1: 1 + percent / 100}, shift_mm=(8, -6, 4), rotation_deg=(2, 1, 3), seed=n)
        seen = simulated_visit(channels, mask, visit)
        found = measure(seen.volumes, seen.truth).get(1, 0.0)
        row = {"patient": folder.name, "known %": percent, "nnU-Net %": round(100 * (found / first - 1), 1)}
        row["nnU-Net / true volume, first visit"] = round(first / mask.volume_mm3, 2)
        rows.append(row | {"off %": round(100 * (found / first / (1 + percent / 100) - 1), 1)})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def summary(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    done = [row for row in rows if "not simulated" not in row]
    out: dict[str, Any] = {"situation": name, "patients": len(done)}
    out |= {verdict: sum(row[verdict] for row in done) for verdict in VERDICTS}
    off = [error for row in done for error in row["change errors %"].values()]
    tumour = [row["change errors %"]["L1"] for row in done if "L1" in row["change errors %"]]
    out["mean absolute error of change %"] = round(float(np.abs(off).mean()), 2) if off else None
    out["of the tumour %"] = round(float(np.abs(tumour).mean()), 2) if tumour else None
    out["worst %"] = max(off, key=abs, default=None)
    out["registration good"] = sum(set(row["registration"].split("/")) == {"good"} for row in done)
    wrong = [e for r in done for e, s in zip(r["error mm"], r["registration"].split("/"), strict=True) if s == "good"]
    out[f"good but > {RIGHT_MM:g} mm"] = sum(error > RIGHT_MM for error in wrong)
    out["not simulated"] = len(rows) - len(done)
    return out


def run(
    patients: int = 12, workers: int = 2, network: int = 0, seed: int = 1, kept: Path | None = None
) -> list[dict[str, Any]]:
    """One row a situation, worst first; every row of a patient with something wrong or told is printed before.

    Args:
        kept: a file that rows are added to as they come; what it holds already is not measured again.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folders = list((shared_data() / "sts").glob("STS_*"))
    folders = sorted(folders, key=lambda home: (home / "CT_image.nii.gz").stat().st_size)[:patients]
    rows = [row for row in kept_rows(kept) if row["seed"] == seed and row["patient"] in {f.name for f in folders}]
    with ProcessPoolExecutor(workers) as pool:
        for done in as_completed([pool.submit(of_patient, folder, seed, kept) for folder in folders]):
            rows += done.result()
    rows.sort(key=lambda row: [-row.get(verdict, 0) for verdict in VERDICTS[:-1]])
    print(table([row for row in rows if any(row.get(v) for v in VERDICTS[:-1]) or "not simulated" in row]), "\n")
    if network:
        print(table([row for folder in folders[:network] for row in with_network(folder)]), "\n")
    found = [
        summary(name, [r for r in rows if r["situation"] == name])
        for name in dict.fromkeys(r["situation"] for r in rows)
    ]
    found.sort(key=lambda row: [-row[verdict] for verdict in VERDICTS[:-1]])
    return [*found, summary("all", rows)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_followups", description=__doc__)
    parser.add_argument("--patients", type=int, default=12, help="the smallest scans first")
    parser.add_argument("--workers", type=int, default=2, help="processes, each on one thread")
    parser.add_argument("--network", type=int, default=0, metavar="N", help="nnU-Net too, on N patients (slow)")
    parser.add_argument("--seed", type=int, default=1, help="draws motions and noise")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="keep rows there as they come, and go on from them")
    given = parser.parse_args()
    print(table(run(given.patients, given.workers, given.network, given.seed, given.rows)))
