"""Registration: how far off, how often good where it is wrong, how often doubted where it is right, and how long.

The limits of the judgement were chosen on every other sarcoma patient of the list (12 of 24,
10.7937/K9/TCIA.2015.7GO2GSKS) and on both MS patients; motions and pairs of different patients below are of the other
twelve. A second scan is made of the first: moved, bent by up to 1.5 mm, other voxels, another field, noise, and with a
tumour that grew or shrank and pushed what is around it. That is easier than a real second scan, of which there are
only the two of the MS patients (Lesjak 2016): grey values are the same but for noise. And harder in one way: the scans
are cut out 5 cm around the tumour, so that it takes a large part of the picture. CT and MR of one patient: the data
set's own registration went by the tumour, and legs bend between the two. Worst first.

`python -m tests.bench registration [--data FOLDER] [--workers N]`: FOLDER holds sts/ and ms_longitudinal/ (whatever is
there is measured); one process a core. Needs numpy, scipy, SimpleITK and nibabel, nothing else.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from core.imaging.registration import RigidTransform, rigid
from core.imaging.registration.prepared import prepare
from core.imaging.registration.search import points_of
from core.imaging.registration.transform import mapped
from core.imaging.volumes import read_label_map, read_volume
from core.types import LabelMap, Volume
from tests.bench.__main__ import table
from tests.core.imaging.registration.second_scan import Second, second_contour, second_scan

ROOT = Path(__file__).resolve().parents[2]
RIGHT_MM = 2.0
RANDOM = 5
GROWTHS = (0.4, 0.7, 1.5, 2.5)
#: Spacing mm, noise HU, share cut short, bend mm of the random second scans.
KINDS = (
    ((1.3, 1.3, 5.0), 15.0, 0.0, 0.0),
    ((0.8, 0.8, 2.5), 30.0, 0.3, 1.5),
    ((2.0, 2.0, 3.0), 15.0, 0.0, 1.5),
    ((1.0, 1.0, 7.0), 50.0, 0.3, 0.0),
    ((1.3, 1.3, 3.3), 30.0, 0.0, 1.0),
)
SHOWN = ("edges", "blocks_at_home", "of_one_mind", "second_opinion", "inverse", "agreement", "rival", "outline")


@dataclass(frozen=True)
class Job:
    """What one process measures.

    Args:
        kind: "visits" (first and second are files), "second" (a second scan is made of the first), "different" or
            "CT and MR".
        first, second: files of scans; the contours lie beside them.
        known: whether the tumours' contours are given to the registration.
    """

    table: str
    name: str
    kind: str
    first: Path
    second: Path | None = None
    how: Second | None = None
    known: bool = False


@dataclass(frozen=True, eq=False)
class Pair:
    """Two scans; where points of the first lie in the second, (n, 3) RAS mm each; None: there is no right answer."""

    fixed: Volume
    moving: Volume
    points: NDArray[np.float64] | None = None
    right: NDArray[np.float64] | None = None
    lesions: tuple[LabelMap | None, LabelMap | None] = (None, None)

    def error_mm(self, matrix: NDArray[np.float64]) -> float | None:
        if self.points is None or self.right is None:
            return None
        return float(np.linalg.norm(mapped(matrix, self.points) - self.right, axis=1).mean())


def run(data: str | None = None, workers: int | None = None) -> list[dict[str, Any]]:
    """One row a kind of pair; every pair is printed before, worst first."""
    shared = Path(data or os.environ.get("TWIN_SHARED") or ROOT.parent / "shared" / "data")
    todo = list(jobs(shared))
    began, rows = time.perf_counter(), []
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ[name] = "1"
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(measured, job) for job in todo]):
            row = future.result()
            rows.append(row)
            done = f"{len(rows)}/{len(todo)}, {time.perf_counter() - began:.0f} s"
            print(f"{done}: {row['kind']}, {row['pair']}: {row['state']}, {row['error mm']} mm", file=sys.stderr)
    kinds = list(dict.fromkeys(job.table for job in todo))
    rows.sort(key=lambda row: (kinds.index(row["kind"]), -badness(row)))
    for kind in kinds:
        print(f"### {kind}\n\n{table([row for row in rows if row['kind'] == kind])}\n", flush=True)
    return [summary(kind, [row for row in rows if row["kind"] == kind]) for kind in kinds]


def measured(job: Job) -> dict[str, Any]:
    """One pair, in a process of its own; a failure of the program is a row too."""
    pair = pair_of(job)
    began = time.process_time()
    found: RigidTransform = rigid(pair.fixed, pair.moving, *(pair.lesions if job.known else (None, None)))
    error = pair.error_mm(found.matrix)
    row: dict[str, Any] = {"kind": job.table, "pair": job.name, "error mm": None if error is None else round(error, 2)}
    row |= {"state": found.state, "seconds": round(found.seconds, 1)}
    row["processor seconds"] = round(time.process_time() - began, 1)
    values = {name: found.quality.get(name) for name in SHOWN}
    row |= {name: None if f is None or f.value is None else round(f.value, 2) for name, f in values.items()}
    row["why"] = "" if found.state == "good" else found.message
    return row


def badness(row: dict[str, Any]) -> float:
    """Silently wrong first, then by error."""
    error = row["error mm"]
    wrong = row["state"] == "good" and (error is None or error > RIGHT_MM)
    return 1e6 * wrong + (error or 0.0)


def summary(kind: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    known = [row for row in rows if row["error mm"] is not None]
    states = [row["state"] for row in rows]
    of_good = [row["error mm"] for row in known if row["state"] == "good"]
    near = [row for row in known if row["error mm"] <= RIGHT_MM]
    return {
        "kind": kind,
        "pairs": len(rows),
        "good but > 2 mm": sum(error > RIGHT_MM for error in of_good) if known else None,
        "failed but <= 2 mm": sum(row["state"] == "failed" for row in near) if known else None,
        "doubtful but <= 2 mm": sum(row["state"] == "doubtful" for row in near) if known else None,
        "good": states.count("good"),
        "doubtful": states.count("doubtful"),
        "failed": states.count("failed"),
        "> 2 mm": len(known) - len(near) if known else None,
        "> 2 mm, told": sum(row["state"] != "good" for row in known if row not in near) if known else None,
        "worst mm": max((row["error mm"] for row in known), default=None),
        "worst of the good mm": max(of_good, default=None),
        "mean mm": round(float(np.mean([row["error mm"] for row in known])), 2) if known else None,
        "median seconds": round(float(np.median([row["seconds"] for row in rows])), 1),
        "most seconds": max(row["seconds"] for row in rows),
        "most processor seconds": max(row["processor seconds"] for row in rows),
    }


def jobs(shared: Path) -> Iterator[Job]:
    """All that is measured."""
    homes = sorted((shared / "ms_longitudinal").glob("patient*"))
    for home in homes:
        visits = [home / f"study{n}_FLAIR.nii.gz" for n in (1, 2)]
        yield Job("MS, two visits", home.name, "visits", visits[0], visits[1])
    folders = sorted((shared / "sts").glob("STS_*"))
    # All 24 are there: the other twelve. A folder with fewer is a choice that was made before.
    unseen = folders[1::2] if len(folders) > 12 else folders
    yield from motions(unseen)
    yield from grown(unseen)
    for step in (1, 2):
        for n, folder in enumerate(unseen):
            other = unseen[(n + step) % len(unseen)]
            if other != folder:
                name = f"{folder.name} {other.name}"
                yield Job("different patients, CT", name, "different", ct_of(folder), ct_of(other))
    for one, other in ((a, b) for n, a in enumerate(homes) for b in homes[n + 1 :]):
        for n in (1, 2):
            files = [home / f"study{n}_FLAIR.nii.gz" for home in (one, other)]
            yield Job("different patients, MR", f"{one.name} {other.name}, visit {n}", "different", files[0], files[1])
    for folder in folders:
        if (mr := folder / "MR_T1_image.nii.gz").exists():
            yield Job("CT and MR of a patient", folder.name, "CT and MR", ct_of(folder), mr)


def motions(folders: Sequence[Path]) -> Iterator[Job]:
    """Second scans in which nothing grew: random motions, and shifts and turns alone."""
    rng = np.random.default_rng(7)
    for n, folder in enumerate(folders):
        for m in range(RANDOM):
            how = random_second(rng, m, 10 * n + m)
            yield Job("random motions", f"{folder.name} {words(how)}", "second", ct_of(folder), how=how)
        plain = Second(spacing_mm=(1.0, 1.0, 3.3), noise=20.0, margin_mm=0.0, seed=n)
        axis = np.roll([1.0, 0.0, 0.0], n)
        for name, how in (
            ("42 mm alone", replace(plain, shift_mm=three(42 * axis * (-1) ** n))),
            ("50 mm alone", replace(plain, shift_mm=three(50 * direction(rng)))),
            ("20° alone", replace(plain, turn_deg=three(20 * axis * (-1) ** n))),
        ):
            yield Job(name, folder.name, "second", ct_of(folder), how=how)


def grown(folders: Sequence[Path]) -> Iterator[Job]:
    """Second scans in which the tumour grew or shrank, CT and MR, with and without its contour given."""
    rng = np.random.default_rng(11)
    for n, folder in enumerate(folders):
        scans = [("CT", ct_of(folder))]
        if (mr := folder / "MR_T1_image.nii.gz").exists():
            scans.append(("MR", mr))
        for modality, file in scans:
            for m, growth in enumerate(GROWTHS):
                how = replace(random_second(rng, m, 100 + 10 * n + m), growth=growth)
                for known in (False, True) if modality == "CT" else (False,):
                    title = f"tumour grown or shrunk, {modality}" + (", contours given" if known else "")
                    yield Job(title, f"{folder.name} x{growth:g} {words(how)}", "second", file, how=how, known=known)


def random_second(rng: np.random.Generator, kind: int, seed: int) -> Second:
    spacing, noise, cut, bend = KINDS[kind]
    return Second(
        shift_mm=three(direction(rng) * rng.uniform(5, 60)),
        turn_deg=three(direction(rng) * rng.uniform(0, 20)),
        spacing_mm=spacing,
        noise=noise,
        cut=cut,
        follows=float(rng.uniform()),
        bend_mm=bend,
        seed=seed,
    )


def words(how: Second) -> str:
    shift, turn = (float(np.linalg.norm(vector)) for vector in (how.shift_mm, how.turn_deg))
    return f"{shift:.0f} mm {turn:.0f}°, slices {how.spacing_mm[2]:g} mm, cut {how.cut:g}, bent {how.bend_mm:g}"


def pair_of(job: Job) -> Pair:
    """Reads, and makes the second scan."""
    fixed = scan_of(job.first)
    if job.kind == "second":
        tumour = contour_of(job.first)
        scale = 1.0 if fixed.modality == "CT" else float(np.percentile(fixed.array, 95)) / 1000
        assert job.how is not None, "a second scan is made in some way"
        how = replace(job.how, noise=job.how.noise * scale)
        moving, truth = second_scan(fixed, how, tumour)
        points = points_of(prepare(fixed))
        lesions = (tumour, second_contour(tumour, how)) if job.known else (None, None)
        return Pair(fixed, moving, points, mapped(truth, points), lesions)
    assert job.second is not None, "two files are compared"
    moving = scan_of(job.second)
    if job.kind == "visits":
        return Pair(fixed, moving, *published(job.first.parent))
    if job.kind == "different":
        return Pair(fixed, moving)
    inside = np.argwhere(contour_of(job.first).array)
    points = fixed.grid.to_mm(inside[:: max(1, len(inside) // 500)])
    return Pair(fixed, moving, points, points)


@lru_cache(maxsize=2)
def scan_of(file: Path) -> Volume:
    modality, _, sequence = file.name.partition("_")
    if "FLAIR" in file.name:
        return read_volume(file, "MR", "FLAIR")
    return read_volume(file, "CT") if modality == "CT" else read_volume(file, "MR", sequence.partition("_")[0])


@lru_cache(maxsize=2)
def contour_of(file: Path) -> LabelMap:
    return read_label_map(file.with_name(file.name.replace("_image", "_mask")))


def published(home: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The brain's points in both visits, RAS mm: the files map common space to each visit (ITK, LPS)."""
    brain = read_label_map(home / "common_space_brainmask.nii.gz")
    common = brain.grid.to_mm(np.argwhere(brain.array)[::2000]) * [-1, -1, 1]
    found = []
    for n in (1, 2):
        transform = sitk.ReadTransform(str(home / f"study{n}_FLAIR_to_common_space.txt"))
        found.append(np.array([transform.TransformPoint(point) for point in common.tolist()]) * [-1, -1, 1])
    return found[0], found[1]


def ct_of(folder: Path) -> Path:
    return folder / "CT_image.nii.gz"


def direction(rng: np.random.Generator) -> NDArray[np.float64]:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))


def three(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z
