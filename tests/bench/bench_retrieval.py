"""Is a lesion found again among those of other patients? Recall by what lesions are compared by, worst first.

24 sarcoma patients (`tests.bench.retrieval_cases` says what is asked). What is shown to the encoder, how many
components are kept and how much appearance counts were chosen on the even-numbered half (rows "tuned on", among that
half's 12 lesions); the figures that count are of the other half, asked among all 24 (rows "kept back"), with 95 %
intervals by bootstrap over patients. A PET and a CT of one patient have the same contour, so shape alone finds that
nearly for nothing: read that row for appearance. ASTRA reads CT alone, and is left out with a word where its package is
not installed. Some 20 minutes of two processor cores.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from core.engines.encoders.choice import load_lesion_encoder
from core.engines.encoders.lesion_looks import LesionEncoder, SliceView, Vector
from core.engines.encoders.litemedsam import LITEMEDSAM_VIEW, LiteMedSamLooks, load_litemedsam
from core.errors import ModelError
from core.evidence.cases import SpaceName
from core.evidence.spaces import TUNING, Tuning, fit_space
from tests.bench.retrieval_cases import TASKS, Case, cases_of, folders

TUNED, KEPT = "tuned on", "kept back"
AT = (1, 5, 10)
DRAWS, SEED = 2000, 3
PET = "PET among CTs"

VIEWS: Mapping[str, SliceView] = {
    f"{'whole slice' if window is None else f'window of {window:g} sides'}, {slices} slice{'s'[: slices - 1]}"
    f"{', ring of 10 mm' if ring else ''}": SliceView(slices, window, ring)
    for window in (None, 2.0)
    for slices in (1, 3)
    for ring in (0.0, 10.0)
}
TUNINGS = [Tuning(k, w) for k in (4, 8, 12, 16, 32) for w in (0.0, 0.5, 1.0)]
WEIGHTS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7)

#: A vector of each case, NaN where there is none.
Vectors = NDArray[np.float64]


class Compared(NamedTuple):
    """By what lesions are compared: the space, and what its appearances are."""

    space: SpaceName
    looks: Vectors | None
    tuning: Tuning = TUNING


def run(most: int = 24) -> list[dict[str, Any]]:
    """A row a task and way of comparing."""
    cases = [case for number, folder in enumerate(folders(most)) for case in cases_of(folder, number)]
    shapes = np.array([case.shape for case in cases])
    views = _views(cases)
    rows = [_chosen(cases, shapes, name, Compared("appearance", looks)) for name, looks in views.items()]
    default = next(looks for name, looks in views.items() if VIEWS[name] == LITEMEDSAM_VIEW)
    rows += [
        _chosen(cases, shapes, _words(one), Compared("appearance", default, one)) for one in TUNINGS if one != TUNING
    ]
    for weight in WEIGHTS:
        compared = Compared("both", default, replace(TUNING, appearance_weight=weight))
        rows.append(_chosen(cases, shapes, f"both, appearance counts {weight:g}", compared))
    rows.append(_chosen(cases, shapes, "shape", Compared("shape", None)))
    rows.sort(key=lambda row: row["mean reciprocal rank"])
    return [*_kept_back(cases, shapes), *rows]


def _words(tuning: Tuning) -> str:
    return f"{tuning.components} components, whitened by {tuning.whitening:g}"


def _views(cases: Sequence[Case]) -> dict[str, Vectors]:
    """What LiteMedSAM sees of the half that is tuned on, by each view; NaN of the other half. A case by all views
    before the next one, as they share slices, which the segmenter remembers."""
    encoders = {name: LiteMedSamLooks(load_litemedsam(), view) for name, view in VIEWS.items()}
    found: dict[str, list[Vector | None]] = {name: [] for name in VIEWS}
    for case in cases:
        for name, encoder in encoders.items():
            found[name].append(encoder.look(case.volume, case.lesion) if case.half == TUNED else None)
    return {name: _filled(rows) for name, rows in found.items()}


def vectors_by(encoder: LesionEncoder, cases: Sequence[Case]) -> Vectors:
    """(cases, d); NaN of what is not asked about on the half kept back, and of a modality that the encoder does not
    read."""
    wanted = [case.half == KEPT or case.kind in (PET, *TASKS.values()) for case in cases]
    reads = [encoder.modalities is None or case.volume.modality in encoder.modalities for case in cases]
    return _filled(
        [
            encoder.look(case.volume, case.lesion) if is_wanted and is_read else None
            for case, is_wanted, is_read in zip(cases, wanted, reads, strict=True)
        ]
    )


def _filled(rows: Sequence[Vector | None]) -> Vectors:
    width = next(len(row) for row in rows if row is not None)
    return np.array([np.full(width, np.nan) if row is None else row for row in rows], np.float64)


def ranks(
    cases: Sequence[Case], shapes: Vectors, compared: Compared, task: str, half: str, among: str = ""
) -> NDArray[np.intp] | None:
    """(queries,) the place, from 1, of each patient's own lesion among those of the gallery; a tie counts as behind.

    Args:
        half: of the queries. among: half of the gallery's patients, "" for all.

    Returns:
        None where the encoder does not read what is asked about.
    """
    asked = [n for n, case in enumerate(cases) if case.kind == task and case.half == half]
    gallery = [n for n, case in enumerate(cases) if case.kind == TASKS[task] and among in ("", case.half)]
    # The middle of PET is learned from other patients than those asked about, once all of them are there.
    more = [n for n, case in enumerate(cases) if case.kind == task == PET and case.half == TUNED]
    looks = np.zeros((len(cases), 1)) if compared.looks is None else compared.looks
    if not np.isfinite(looks[[*asked, *gallery]]).all():
        return None
    kinds = np.array([case.volume.modality for case in cases])
    fitted = [*gallery, *more]
    space = fit_space(compared.space, shapes[fitted], looks[fitted], kinds[fitted].tolist(), compared.tuning)
    away = cdist(*(space.project(shapes[rows], looks[rows], kinds[rows].tolist()) for rows in (asked, gallery)))
    patients = np.array([cases[n].patient for n in gallery])
    own = np.array([[cases[n].patient] for n in asked]) == patients
    return np.asarray((away <= away[own][:, None]).sum(axis=1))


def _chosen(cases: Sequence[Case], shapes: Vectors, name: str, compared: Compared) -> dict[str, Any]:
    """One row of the choice: over all tasks, on the half that is tuned on."""
    found = {task: ranks(cases, shapes, compared, task, TUNED, among=TUNED) for task in TASKS}
    every = np.concatenate([places for places in found.values() if places is not None])
    row = {"half": TUNED, "task": "all", "compared by": name, "asked": len(every)}
    row |= {f"recall@{k}": f"{np.mean(every <= k):.2f}" for k in AT}
    return {**row, "mean reciprocal rank": float(np.mean(1 / every))}


def _kept_back(cases: Sequence[Case], shapes: Vectors) -> list[dict[str, Any]]:
    """The figures that count."""
    lite = vectors_by(load_lesion_encoder("litemedsam"), cases)
    ways = {"shape": Compared("shape", None)}
    ways |= {"LiteMedSAM": Compared("appearance", lite), "shape and LiteMedSAM": Compared("both", lite)}
    try:
        astra = vectors_by(load_lesion_encoder("astra-ct-encoder"), cases)
        ways |= {"ASTRA": Compared("appearance", astra), "shape and ASTRA": Compared("both", astra)}
    except ModelError as error:
        print(f"Without ASTRA: {error}", file=sys.stderr)
    rows = []
    for task, kind in TASKS.items():
        held = sum(case.kind == kind for case in cases)
        chance = {f"recall@{k}": f"{min(1.0, k / held):.2f}" for k in AT}
        found: list[dict[str, Any]] = [
            {"half": KEPT, "task": task, "compared by": "chance", **chance, "mean reciprocal rank": _harmonic(held)}
        ]
        for name, compared in ways.items():
            places = ranks(cases, shapes, compared, task, KEPT)
            if places is not None:
                found.append({"half": KEPT, "task": task, "compared by": name, "asked": len(places), **recalls(places)})
        rows += sorted(found, key=lambda row: row["mean reciprocal rank"])
    return rows


def recalls(places: NDArray[np.intp]) -> dict[str, Any]:
    """Recall at 1, 5 and 10 with a 95 % interval by bootstrap over patients, one place each; mean reciprocal rank."""
    drawn = np.random.default_rng(SEED).integers(0, len(places), (DRAWS, len(places)))
    row: dict[str, Any] = {}
    for k in AT:
        low, high = np.percentile((places <= k)[drawn].mean(axis=1), (2.5, 97.5))
        row[f"recall@{k}"] = f"{np.mean(places <= k):.2f} [{low:.2f}, {high:.2f}]"
    return {**row, "mean reciprocal rank": float(np.mean(1 / places))}


def _harmonic(held: int) -> float:
    """The mean reciprocal rank of chance."""
    return float(np.mean(1 / np.arange(1, held + 1)))
