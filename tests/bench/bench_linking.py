"""Links of balls whose truth is known: told rightly, told as doubtful, silently wrong; at errors of the registration.

Phantoms, no patients: balls of 6 to 30 mm at two visits, and at the third grown to 125 % or shrunk to 50 % across,
gone, new, cut in two, grown together, back after a visit, beyond the end of the scan. The registration says "good" and
is wrong by a shift that it does not know of. Worst rows first. The last row is the time for 255 lesions at 5 visits.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.lesions.linking import KnownLesions, propose_links
from core.remembered.links import LinkProposal
from core.types import Grid, LabelMap

PATIENTS = 20
COUNTS, ERRORS_MM = (1, 2, 6, 30), (0.0, 2.0, 4.0, 6.0, 10.0, 20.0)
GRID = Grid((110, 110, 70), np.diag([1.5, 1.5, 2.5, 1.0]))
SHORT = Grid((110, 110, 55), GRID.affine)
Ball = tuple[NDArray[np.float64], float]


@dataclass
class Patient:
    """Balls by label at each visit, and what is true of the last: (label or lesion) -> allowed (lesion, relation)."""

    first: dict[int, list[Ball]] = field(default_factory=dict)
    second: dict[int, list[Ball]] = field(default_factory=dict)
    now: dict[int, list[Ball]] = field(default_factory=dict)
    halved: set[int] = field(default_factory=set)
    truth: dict[int | str, set[tuple[str | None, str]]] = field(default_factory=dict)
    taken: list[Ball] = field(default_factory=list)

    def place(self, rng: np.random.Generator, radius: float) -> NDArray[np.float64]:
        """Somewhere 4 mm from all else."""
        for _ in range(1000):
            centre = rng.uniform(20, [145, 145, 155])
            if all(np.linalg.norm(centre - other) >= radius + across + 4 for other, across in self.taken):
                self.taken.append((centre, radius))
                return centre
        raise RuntimeError("no room for another ball")


def drawn(balls: Mapping[int, list[Ball]], grid: Grid, halved: Iterable[int] = ()) -> LabelMap:
    """Balls as labels; of those that are halved, the slices within 2 mm of the middle are left out, and the far half
    is the label plus 100."""
    array = np.zeros(grid.shape, np.uint8)
    axes = [np.arange(n) * mm for n, mm in zip(grid.shape, grid.spacing_mm, strict=True)]
    for label, parts in balls.items():
        for centre, radius in parts:
            box = tuple(slice(*np.searchsorted(a, (c - radius, c + radius))) for a, c in zip(axes, centre, strict=True))
            x, y, z = np.meshgrid(*(a[b] - c for a, b, c in zip(axes, box, centre, strict=True)), indexing="ij")
            inside = x**2 + y**2 + z**2 <= radius**2
            if label in halved:
                array[box][inside & (x < -2)] = label
                array[box][inside & (x > 2)] = label + 100
            else:
                array[box][inside] = label
    return LabelMap(array, grid)


def patient(rng: np.random.Generator, count: int) -> Patient:
    """So many lesions, each with a fate of its own, and up to two new ones."""
    one = Patient()
    for n in range(1, count + 1):
        radius = float(rng.choice([3, 4, 6, 10, 15]))
        centre, name = one.place(rng, radius), f"L{n}"
        fate = rng.choice(["stays", "gone", "halved", "merged", "back"], p=[0.6, 0.15, 0.08, 0.08, 0.09])
        one.first[n] = [(centre, radius)]
        if fate != "back":
            one.second[n] = one.first[n]
        if fate == "gone":
            one.truth[name] = {(name, "gone")}
            continue
        grown = max(2.5, radius * float(np.exp(rng.uniform(np.log(0.5), np.log(1.25)))))
        one.now[n] = [(centre + rng.normal(0, 0.5, 3), grown)]
        one.truth[n] = {(name, "reappeared" if fate == "back" else "stable")}
        if fate == "halved" and radius >= 6:
            one.now[n] = one.first[n]
            one.halved.add(n)
            one.truth[n] = one.truth[n + 100] = {(name, "split")}
        if fate == "merged":
            other = n + 50
            beside = centre + np.array([2 * radius + 3, 0, 0])
            if all(np.linalg.norm(beside - c) >= radius + r + 4 for c, r in one.taken[:-1]):
                one.taken.append((beside, radius))
                one.first[other] = one.second[other] = [(beside, radius)]
                one.now[n] = [(centre, radius + 3), (beside, radius + 3)]
                one.truth[n] = {(name, "merged"), (f"L{other}", "merged")}
                one.truth[name] = {(name, "merged into")}
                one.truth[f"L{other}"] = {(f"L{other}", "merged into")}
    for n in range(90, 90 + int(rng.integers(0, 3))):
        radius = float(rng.choice([3, 5, 8]))
        one.now[n] = [(one.place(rng, radius), radius)]
        one.truth[n] = {(None, "new")}
    return one


def outcome(proposal: LinkProposal, label: int | None, one: Patient, grid: Grid) -> str:
    """Whether a proposal is true, and whether it says a doubt."""
    key = label if label is not None else str(proposal.lesion_id)
    lesion = None if proposal.relation == "new" else proposal.lesion_id
    right = (lesion, proposal.relation) in one.truth.get(key, set())
    if proposal.relation == "not in view":
        centre, _ = one.first[int(str(proposal.lesion_id)[1:])][0]
        right = bool(centre[2] > (grid.shape[2] - 1) * grid.spacing_mm[2])
    return ("right" if right else "wrong") + (", doubted" if proposal.doubts else "")


def _row(count: int, error_mm: float) -> dict[str, Any]:
    found: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for seed in range(PATIENTS):
        rng = np.random.default_rng(seed)
        one = patient(rng, count)
        grid = SHORT if seed % 4 == 0 else GRID
        way = rng.normal(size=3)
        shift = np.eye(4)
        shift[:3, 3] = error_mm * way / np.linalg.norm(way)
        known = [
            KnownLesions(day, day, labels, {n: f"L{n}" for n in labels.labels}, True, shift, "good")
            for day, labels in (("2025-01-01", drawn(one.first, GRID)), ("2025-03-01", drawn(one.second, GRID)))
        ]
        now = drawn(one.now, grid, one.halved)
        numbers = np.concatenate([[0], rng.permutation(255) + 1]).astype(np.uint8)
        label_of = {int(numbers[n]): n for n in now.labels}
        for proposal in propose_links(LabelMap(numbers[now.array], grid), known, "2025-05-01", 500):
            label = None if proposal.label is None else label_of[proposal.label]
            what = outcome(proposal, label, one, grid)
            found[what] += 1
            wrong[proposal.relation] += what == "wrong"
    return {
        "lesions": count,
        "registration wrong by, mm": error_mm,
        "silently wrong": found["wrong"],
        "which": ", ".join(f"{name} {n}" for name, n in wrong.items() if n) or None,
        "wrong, doubted": found["wrong, doubted"],
        "right, doubted": found["right, doubted"],
        "right": found["right"],
    }


def _seconds() -> float:
    grid = Grid((400, 400, 200), np.diag([1.0, 1.0, 2.0, 1.0]))
    places = [(i, j, k) for i in range(8) for j in range(8) for k in range(4)][:255]
    balls = {
        n: [(np.array([48.0 * i + 24, 48.0 * j + 24, 90.0 * k + 40]), 14.0)] for n, (i, j, k) in enumerate(places, 1)
    }
    labels = drawn(balls, grid)
    names = {n: f"L{n}" for n in balls}
    known = [KnownLesions(f"2025-0{m}-01", str(m), labels, names, True, np.eye(4), "good") for m in range(1, 6)]
    began = time.process_time()
    propose_links(labels, known, "2025-07-01", 256)
    return time.process_time() - began


def run() -> list[dict[str, Any]]:
    """One row for each number of lesions and error of the registration."""
    rows = [_row(count, error) for count in COUNTS for error in ERRORS_MM]
    rows.sort(key=lambda row: (-row["silently wrong"], -row["wrong, doubted"]))
    return [
        *rows,
        {"lesions": "255 of 28 mm, 5 visits, 400 x 400 x 200 voxels", "seconds of processor time": _seconds()},
    ]
