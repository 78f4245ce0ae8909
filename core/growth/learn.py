"""Learn from measured lesions what a forecast needs: priors, their past skill, bands and how well they cover.

    python -m core.growth.learn FILE.csv > core/growth/population.json        (about four minutes)

Everything is learned six times: from all patients, and from all but those of each fold, so that any patient can be
scored with what was learned without them. Only numbers leave the file, no rows.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from core.errors import InputError
from core.growth import response_probability
from core.growth.calibrate import came_back, fit_conformal_bands, floor_limits, learn_widening
from core.growth.curves import FLOOR_MM3
from core.growth.population import (
    LEVELS,
    MEDIAN,
    STATES,
    WEIGHT_EDGES,
    PopulationParameters,
    State,
    combined_change,
    combined_quantiles,
    default_population,
    design_matrix,
    history_summary,
    prior_change,
)
from core.growth.prior import GROWTH_PRIORS, bounds, from_vector, posterior, to_vector
from core.growth.series import FOLDS, MIN_HISTORY, BacktestCases, Lesion, backtest_cases, fold_of, read_lesions

Floats = NDArray[np.float64]

#: Learning takes lesions that are too short to be scored as well.
MIN_POINTS = 4
#: Smoothing of |error| near 0, log units; and the L2 penalty that pulls parameters to their start values.
SMOOTH, HOLD = 0.02, 1e-4
#: A prior's weight is one of these.
FACTORS = (0.25, 0.5, 0.75, 1.0)
MIN_CELL, RESAMPLES = 30, 500
#: Fewest lesions to learn from, and fewest forecasts from one state (measurable, at the floor).
MIN_LESIONS, MIN_STATE = 50, 100
LOCF_EDGES = (0.0, 56.0, 112.0, 168.0, 224.0, 336.0, 448.0, np.inf)
#: A horizon is forecast while so many lesions were followed that far.
MIN_FOLLOWED = 50
SOURCE = (
    "Laleh et al. 2022, 10.1371/journal.pcbi.1009822 (CC BY), as distributed with TumorGrowth.jl (MIT): cubed CT "
    "diameters of treated target lesions"
)


def learn_prior(law: str, o: BacktestCases) -> dict[str, float]:
    """Parameters within `LIMITS` that forecast best: least mean absolute log error of every origin not at the floor."""
    o = o.select(~o.past.floored)
    horizon, column = o.grid()
    ahead, wanted, start = (
        horizon + o.past.span[:, None],
        o.outcome + o.past.last[o.target],
        to_vector(law, GROWTH_PRIORS[law].start),
    )

    def loss(vector: Floats) -> float:
        mean, _ = posterior(law, from_vector(law, vector), o.past.days, o.past.logs, o.past.seen, ahead)
        error = mean[o.target, column] - wanted
        return float(np.sqrt(error**2 + SMOOTH**2).mean() + HOLD * ((vector - start) ** 2).sum())

    best = minimize(loss, start, method="L-BFGS-B", bounds=bounds(law), options={"maxiter": 40})
    return from_vector(law, best.x)


def paired_bootstrap_difference(
    ours: Floats, theirs: Floats, patients: NDArray[np.int64], resamples: int = RESAMPLES
) -> Floats:
    """Mean of ours - theirs and its 95 % limits by a paired bootstrap of patients (seeded): below 0 ours is better."""
    _, index = np.unique(patients, return_inverse=True)
    total, count = np.bincount(index, ours - theirs), np.bincount(index)
    drawn = np.random.default_rng(0).integers(0, len(count), (resamples, len(count)))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    return np.array([(ours - theirs).mean(), *np.quantile(means, (0.025, 0.975))])


def learn_weights(o: BacktestCases, change: dict[str, Floats]) -> dict[str, list[list[float]]]:
    """How far each prior may move the forecast from the last value: law -> (2, horizon bins).

    In every cell of history (third scan, later) and horizon, those priors count that beat LOCF clear of 0, each by its
    advantage; together they are scaled by that one of `FACTORS` that errs least. Elsewhere the weight is 0.

    Args:
        change: law -> (m,) ln(later / last) at every target.
    """
    weights = {law: np.zeros((2, len(WEIGHT_EDGES) - 1)) for law in change}
    late = o.past.scans[o.target] > MIN_HISTORY
    bins = np.digitize(o.horizon_days, WEIGHT_EDGES[1:-1], right=True)
    not_floored = ~o.past.floored[o.target]
    still = np.abs(o.outcome)
    for row, column in itertools.product((0, 1), range(len(WEIGHT_EDGES) - 1)):
        cell = not_floored & (late == bool(row)) & (bins == column)
        if cell.sum() < MIN_CELL:
            continue
        patients = o.patients[o.target[cell]]
        gains = {}
        for law, moved in change.items():
            mean, _, high = paired_bootstrap_difference(np.abs(moved[cell] - o.outcome[cell]), still[cell], patients)
            if high < 0:
                gains[law] = -mean
        if not gains:
            continue
        shares = {law: gain / sum(gains.values()) for law, gain in gains.items()}
        mix = np.sum([share * change[law][cell] for law, share in shares.items()], axis=0)
        factor = min(FACTORS, key=lambda f: np.abs(f * mix - o.outcome[cell]).mean())
        for law, share in shares.items():
            weights[law][row, column] = round(factor * share, 4)
    return {law: table.tolist() for law, table in weights.items()}


def locf_table(o: BacktestCases, at_floor: bool) -> tuple[list[float], list[list[float]]]:
    """Days (bins,) and quantiles (bins, 7) of ln(later / last), patients weighing the same; never narrower later."""
    days: list[float] = []
    table: list[list[float]] = []
    rows = o.past.floored[o.target] == at_floor
    for low, high in itertools.pairwise(LOCF_EDGES):
        cell = rows & (o.horizon_days > low) & (o.horizon_days <= high)
        if not cell.any():
            continue
        _, index, count = np.unique(o.patients[o.target[cell]], return_inverse=True, return_counts=True)
        q = np.quantile(o.outcome[cell], LEVELS, weights=1.0 / count[index], method="inverted_cdf")
        if table:  # few lesions live in the late bins; an interval that narrows with the horizon would be noise
            before = np.array(table[-1])
            q[:MEDIAN], q[MEDIAN + 1 :] = np.minimum(q, before)[:MEDIAN], np.maximum(q, before)[MEDIAN + 1 :]
        days.append(float(np.median(o.horizon_days[cell])))
        table.append(np.round(q, 4).tolist())
    return days, table


def learn(o: BacktestCases) -> dict[str, Any]:
    """One set: what `core.growth.population.PopulationParameters` reads."""
    priors = {law: {k: float(f"{v:.6g}") for k, v in learn_prior(law, o).items()} for law in GROWTH_PRIORS}
    horizon, column = o.grid()
    empty: dict[str, Any] = {"standardised": {}, "weights": {}, "band": {}, "shift": {}, "locf_days": {}, "locf": {}}
    learned: dict[str, Any] = {"priors": priors, **empty, "max_days": _longest(o)}
    so_far = PopulationParameters.from_json(learned)
    change = {}
    for law in GROWTH_PRIORS:
        mean, sd = (part[o.target, column] for part in prior_change(so_far, law, o.past, horizon))
        change[law] = mean
        learned["standardised"][law] = np.round(np.quantile((o.outcome - mean) / sd, LEVELS), 4).tolist()
    learned["weights"] = learn_weights(o, change)
    moved = combined_change(PopulationParameters.from_json(learned), o.past, horizon)[o.target, column]
    history = {name: value[o.target] for name, value in history_summary(o.past).items()}
    for state in STATES:
        rows = o.past.floored[o.target] == (state == "at_floor")
        if rows.sum() < MIN_STATE or len(np.unique(o.folds[o.target[rows]])) < 2:
            _use_default(learned, state)
            continue
        x = design_matrix(
            state, {name: value[rows] for name, value in history.items()}, o.horizon_days[rows], moved[rows]
        )
        y, folds = o.outcome[rows] - moved[rows], o.folds[o.target[rows]]
        bands = fit_conformal_bands(x, y, folds)
        learned["band"][state], learned["shift"][state] = bands.coefficients, bands.shift
        if state == "measurable":
            learned["widen"] = learn_widening(bands.unseen, y, o.horizon_days[rows], o.patients[o.target[rows]])
        else:
            learned["back"] = floor_limits(came_back(o))
        learned["locf_days"][state], learned["locf"][state] = locf_table(o, state == "at_floor")
    return learned


def _use_default(learned: dict[str, Any], state: State) -> None:
    """Fall back to the shipped parameters of a state that has too few lesions to learn from."""
    lent = default_population().everyone
    for name, table in (("band", lent.band), ("shift", lent.shift), ("locf_days", lent.locf_days), ("locf", lent.locf)):
        learned[name][state] = table[state].tolist()
    if state == "at_floor":
        learned["back"] = lent.back.tolist()
    else:
        learned["widen"] = {name: table.tolist() for name, table in lent.widen.items()}


def _longest(o: BacktestCases) -> float:
    """The longest horizon, in whole weeks, to which `MIN_FOLLOWED` lesions were followed."""
    most = [o.horizon_days[o.patients[o.target] == patient].max() for patient in np.unique(o.patients[o.target])]
    return 7.0 * int(np.sort(most)[-min(MIN_FOLLOWED, len(most))] // 7)


def next_scan(o: BacktestCases, quantiles: Floats) -> dict[str, dict[str, float]]:
    """How often the next scan came inside the 80 % band: of any, of a lesion's last, and of those before its last.

    Args:
        quantiles: (m, 7) at each target of `o`, by what was learned without that patient.

    Returns:
        name of `BacktestCases.next_scan` -> {"forecasts", "inside80", "above80"}: how many, and which shares of them
        were inside and above (NaN has no place in JSON: 0 where there are none).
    """
    inside, above = (o.outcome >= quantiles[:, 1]) & (o.outcome <= quantiles[:, 5]), o.outcome > quantiles[:, 5]
    return {
        name: {
            "forecasts": int(which.sum()),
            "inside80": round(float(inside[which].sum() / max(which.sum(), 1)), 4),
            "above80": round(float(above[which].sum() / max(which.sum(), 1)), 4),
        }
        for name, which in o.next_scan().items()
    }


def _unseen(o: BacktestCases, folds: Sequence[dict[str, Any]], stretched: bool) -> Floats:
    """Quantiles (m, 7) at each target, by what was learned without that patient's fold."""
    horizon, column = o.grid()
    quantiles = np.empty((len(o.target), len(LEVELS)))
    for fold, values in enumerate(folds):
        in_fold = o.folds[o.target] == fold
        unseen = combined_quantiles(PopulationParameters.from_json(values), o.past, horizon, stretched)
        quantiles[in_fold] = unseen[o.target, column][in_fold]
    return quantiles


def document(lesions: Sequence[Lesion], source: str, sha256: str, made_by: str) -> dict[str, Any]:
    """The file: everything learned from `lesions`, and how reliable the probabilities of crossing a threshold are.

    Raises:
        InputError: some fold has no lesion: there are too few to learn from.
    """
    if len(lesions) < MIN_LESIONS or len({fold_of(lesion.patient_id) for lesion in lesions}) < FOLDS:
        raise InputError(
            f"Expected at least {MIN_LESIONS} lesions with {MIN_POINTS} points, of different patients, to learn from; "
            f"got {len(lesions)}."
        )
    o = backtest_cases(lesions)
    folds = [learn(o.select(o.folds != fold)) for fold in range(FOLDS)]
    bands, chances = (_unseen(o, folds, stretched) for stretched in (True, False))
    return {
        "version": 2,
        "made_by": made_by,
        "source": source,
        "source_sha256": sha256,
        "lesions": len(lesions),
        "floor_mm3": round(FLOOR_MM3, 4),
        "levels": list(LEVELS),
        "reliability": response_probability.reliability(lesions, o, chances),
        "next_scan": next_scan(o, bands),
        "everyone": learn(o),
        "folds": folds,
    }


def main(arguments: Sequence[str]) -> int:
    """Print the document as JSON; one line on stderr and status 2 when that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m core.growth.learn", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE.csv")
    path = parser.parse_args(arguments).file
    try:
        lesions = read_lesions(path, MIN_POINTS)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        text = json.dumps(document(lesions, SOURCE, sha256, f"python -m core.growth.learn {path.name}"), indent=1)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    # One line a list: a reviewer of the file should see the tables.
    print(re.sub(r"\[[^\[\]{}]*\]", lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"), text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
