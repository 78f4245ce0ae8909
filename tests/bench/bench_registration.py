"""Registration: how far off, how often good where it is wrong, how often doubted where it is right, and how long.

The limits of the judgement were chosen on every other sarcoma patient of the list (12 of 24,
10.7937/K9/TCIA.2015.7GO2GSKS) and on both MS patients; motions and pairs of different patients below are of the other
twelve. A second scan is made of the first: moved, bent by up to 1.5 mm, other voxels, another field, noise. That is
easier than a real second scan, of which there are only the two of the MS patients (Lesjak 2016). CT and MR of one
patient: the data set's own registration went by the tumour, and legs bend between the two; all 13 are shown. Measured
is the candidate, `align.rigid`, beside the one in force ("old"). Worst first. About 20 minutes on one core.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from core.imaging.registration import RigidTransform
from core.imaging.registration import rigid as rigid_in_force
from core.imaging.registration.align import rigid
from core.imaging.registration.prepared import prepare
from core.imaging.registration.search import points_of
from core.imaging.registration.transform import mapped
from core.imaging.volumes import read_label_map, read_volume
from core.types import Volume
from tests.bench.__main__ import table
from tests.core.imaging.registration.second_scan import Second, second_scan

ROOT = Path(__file__).resolve().parents[2]
RIGHT_MM = 2.0
RANDOM = 4


@dataclass(frozen=True, eq=False)
class Pair:
    """Two scans; where points of the first lie in the second, (n, 3) RAS mm each; None: there is no right answer."""

    kind: str
    name: str
    fixed: Volume
    moving: Volume
    points: NDArray[np.float64] | None = None
    right: NDArray[np.float64] | None = None

    def error_mm(self, matrix: NDArray[np.float64]) -> float | None:
        if self.points is None or self.right is None:
            return None
        return float(np.linalg.norm(mapped(matrix, self.points) - self.right, axis=1).mean())


def run() -> list[dict[str, Any]]:
    """One row a kind of pair; every pair is printed before, worst first."""
    shared = Path(os.environ.get("TWIN_SHARED", ROOT.parent / "shared" / "data"))
    rows = []
    for pair in pairs(shared):
        rows.append(measured(pair))
        print(f"{pair.kind}, {pair.name}: {rows[-1]['state']}, {rows[-1]['error mm']} mm", file=sys.stderr, flush=True)
    rows.sort(key=lambda row: (row["kind"], -badness(row)))
    print(table(rows), "\n")
    return [
        summary(kind, [row for row in rows if row["kind"] == kind]) for kind in dict.fromkeys(r["kind"] for r in rows)
    ]


def measured(pair: Pair) -> dict[str, Any]:
    found: RigidTransform = rigid(pair.fixed, pair.moving)
    error = pair.error_mm(found.matrix)
    row = {"kind": pair.kind, "pair": pair.name, "error mm": None if error is None else round(error, 2)}
    row |= {"state": found.state, "seconds": round(found.seconds, 1)}
    before = rigid_in_force(pair.fixed, pair.moving)
    far = pair.error_mm(before.matrix)
    row |= {"old mm": None if far is None else round(far, 2), "old converged": before.converged}
    row |= {"old seconds": round(before.seconds, 1)}
    values = {name: found.quality.get(name) for name in ("edges", "blocks_at_home", "inverse", "agreement", "outline")}
    row |= {name: None if f is None or f.value is None else round(f.value, 2) for name, f in values.items()}
    row["why"] = "" if found.converged else found.message
    return row


def badness(row: dict[str, Any]) -> float:
    """Silently wrong first, then by error."""
    error = row["error mm"]
    wrong = row["state"] == "good" and (error is None or error > RIGHT_MM)
    return 1e6 * wrong + (error or 0.0)


def summary(kind: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    errors = [row["error mm"] for row in rows if row["error mm"] is not None]
    states = [row["state"] for row in rows]
    of_good = [row["error mm"] for row in rows if row["state"] == "good" and row["error mm"] is not None]
    out: dict[str, Any] = {
        "kind": kind,
        "pairs": len(rows),
        "good but > 2 mm": sum(e > RIGHT_MM for e in of_good) if errors else None,
        "good": states.count("good"),
        "doubtful": states.count("doubtful"),
        "failed": states.count("failed"),
        "within 2 mm": sum(e <= RIGHT_MM for e in errors) if errors else None,
        "within 2 mm but not good": sum(
            row["state"] != "good" and row["error mm"] <= RIGHT_MM for row in rows if row["error mm"] is not None
        )
        if errors
        else None,
        "worst of the good mm": max(of_good, default=None),
        "mean of the good mm": round(float(np.mean(of_good)), 2) if of_good else None,
        "median seconds": float(np.median([row["seconds"] for row in rows])),
        "most seconds": max(row["seconds"] for row in rows),
    }
    if "old converged" in rows[0]:
        said = [row for row in rows if row["old converged"]]
        out["old: converged"] = len(said)
        out["old: converged but > 2 mm"] = sum(r["old mm"] > RIGHT_MM for r in said) if errors else None
        out["old: median seconds"] = float(np.median([row["old seconds"] for row in rows]))
    return out


def pairs(shared: Path) -> Iterator[Pair]:
    """All that is measured."""
    yield from visits(shared / "ms_longitudinal")
    folders = sorted((shared / "sts").glob("STS_*"))
    unseen = folders[1::2]
    yield from motions(unseen)
    for step in (1, 2):
        for n, folder in enumerate(unseen):
            other = unseen[(n + step) % len(unseen)]
            yield Pair("different patients, CT", f"{folder.name} {other.name}", ct_of(folder), ct_of(other))
    for folder in folders:
        if (folder / "MR_T1_image.nii.gz").exists():
            mr = read_volume(folder / "MR_T1_image.nii.gz", "MR", "T1")
            yield still("CT and MR of a patient", folder.name, ct_of(folder), mr, tumour_of(folder))


def motions(folders: Sequence[Path]) -> Iterator[Pair]:
    """Second scans: random motions, and shifts and turns alone."""
    rng = np.random.default_rng(7)
    for n, folder in enumerate(folders):
        scan = ct_of(folder)
        for m in range(RANDOM):
            shift, turn = direction(rng) * rng.uniform(5, 60), direction(rng) * rng.uniform(0, 20)
            how = Second(
                three(shift), three(turn), [(1.3, 1.3, 5.0), (0.8, 0.8, 2.5), (2.0, 2.0, 3.0), (1.0, 1.0, 7.0)][m],
                noise=[15.0, 30.0, 15.0, 50.0][m], cut=[0.0, 0.3, 0.0, 0.3][m], follows=float(rng.uniform()),
                bend_mm=[0.0, 1.5, 1.5, 0.0][m], seed=10 * n + m,
            )  # fmt: skip
            yield second(
                "random motions", f"{folder.name} {length(shift)} mm {length(turn)}°, cut {how.cut:g}", scan, how
            )
        plain = Second(spacing_mm=scan.grid.spacing_mm, noise=20.0, margin_mm=0.0, seed=n)
        axis = np.roll([1.0, 0.0, 0.0], n)
        for kind, how in (
            ("42 mm alone", replace(plain, shift_mm=three(42 * axis * (-1) ** n))),
            ("50 mm alone", replace(plain, shift_mm=three(50 * direction(rng)))),
            ("20° alone", replace(plain, turn_deg=three(20 * axis * (-1) ** n))),
        ):
            yield second(kind, folder.name, scan, how)


def second(kind: str, name: str, scan: Volume, how: Second) -> Pair:
    moved, truth = second_scan(scan, how)
    points = points_of(prepare(scan))
    return Pair(kind, name, scan, moved, points, mapped(truth, points))


def still(kind: str, name: str, fixed: Volume, moving: Volume, points: NDArray[np.float64]) -> Pair:
    return Pair(kind, name, fixed, moving, points, points)


def visits(folder: Path) -> Iterator[Pair]:
    """The MS patients' two visits with the published transforms, and different patients' visits."""
    scans = {}
    for home in sorted(folder.glob("patient*")):
        first, last = (read_volume(home / f"study{n}_FLAIR.nii.gz", "MR", "FLAIR") for n in (1, 2))
        scans[home.name] = first, last
        yield Pair("MS, two visits", home.name, first, last, *published(home))
    names = list(scans)
    for one, other in ((a, b) for n, a in enumerate(names) for b in names[n + 1 :]):
        for visit in (0, 1):
            name = f"{one} {other}, visit {visit + 1}"
            yield Pair("different patients, MR", name, scans[one][visit], scans[other][visit])


def published(home: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The brain's points in both visits, RAS mm: the files map common space to each visit (ITK, LPS)."""
    brain = read_label_map(home / "common_space_brainmask.nii.gz")
    common = brain.grid.to_mm(np.argwhere(brain.array)[::2000]) * [-1, -1, 1]
    found = []
    for n in (1, 2):
        transform = sitk.ReadTransform(str(home / f"study{n}_FLAIR_to_common_space.txt"))
        found.append(np.array([transform.TransformPoint(point) for point in common.tolist()]) * [-1, -1, 1])
    return found[0], found[1]


def ct_of(folder: Path) -> Volume:
    return read_volume(folder / "CT_image.nii.gz", "CT")


def tumour_of(folder: Path) -> NDArray[np.float64]:
    mask = read_label_map(folder / "CT_mask.nii.gz")
    inside = np.argwhere(mask.array)
    return mask.grid.to_mm(inside[:: max(1, len(inside) // 500)])


def direction(rng: np.random.Generator) -> NDArray[np.float64]:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))


def three(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z


def length(vector: NDArray[np.float64]) -> str:
    return f"{np.linalg.norm(vector):.0f}"
