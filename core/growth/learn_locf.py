"""Learn how wrong "the last value carried forward" is, by horizon, from a file of measured lesions.

    python -m core.growth.learn_locf FILE.csv > core/growth/locf_quantiles.json

Only quantiles leave the file, no rows. The result is versioned, carries its provenance, and says how well its intervals
cover lesions of patients that they were not learned from.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.growth.curves import FLOOR_MM3, prepare
from core.growth.forecast import LocfQuantiles

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
WEEK_EDGES = (0, 8, 16, 24, 32, 48, 64, math.inf)
MIN_POINTS = 6
#: An origin has at least this many points up to and with it, as a forecast must have.
MIN_HISTORY = 3
FOLDS = 5

Series = tuple[NDArray[np.float64], NDArray[np.float64]]
SOURCE = (
    "Laleh et al. 2022, 10.1371/journal.pcbi.1009822 (CC BY), as distributed with TumorGrowth.jl (MIT): cubed CT "
    "diameters of treated target lesions"
)


def read_series(path: Path, min_points: int = MIN_POINTS) -> list[Series]:
    """One (days (n,), floored volumes (n,) mm3) a patient, in time order.

    Duplicate days keep the row given last, disorder is sorted, negative days (before the first dose) are days like any
    other, zeros and what is below 5 mm diameter are floored (see `core.growth.curves.prepare`), and lesions with fewer
    than `min_points` distinct days are left out.

    Raises:
        InputError: the file is not there, lacks the columns Pt_hashID, T_days, Lesion_vol, or holds no number in one.
    """
    rows: dict[str, tuple[list[float], list[float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = {"Pt_hashID", "T_days", "Lesion_vol"} - set(reader.fieldnames or ())
            if missing:
                raise InputError(f"{path.name} lacks the columns {', '.join(sorted(missing))}.")
            for row in reader:
                days, volumes = rows.setdefault(row["Pt_hashID"], ([], []))
                days.append(float(row["T_days"]))
                volumes.append(float(row["Lesion_vol"]))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    except (ValueError, TypeError):
        raise InputError(f"{path.name}, row {reader.line_num}: expected numbers in T_days and Lesion_vol.") from None
    series = (prepare(*pair) for pair in rows.values())
    return [(t, v) for t, v in series if t.size >= min_points]


def log_errors(series: Sequence[Series]) -> NDArray[np.float64]:
    """Every origin against every later point: rows (patient, horizon_days, ln(later / last), origin at floor)."""
    rows = [
        (patient, t[j] - t[i], math.log(v[j] / v[i]), v[i] <= FLOOR_MM3)
        for patient, (t, v) in enumerate(series)
        for i in range(MIN_HISTORY - 1, t.size - 1)
        for j in range(i + 1, t.size)
    ]
    return np.array(rows, dtype=float).reshape(-1, 4)


def _weighted_quantiles(values: NDArray[np.float64], weights: NDArray[np.float64]) -> list[float]:
    return [float(q) for q in np.quantile(values, LEVELS, weights=weights, method="inverted_cdf")]


def quantile_table(errors: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Quantiles of the log error in every horizon bin, each patient weighing the same; wider never narrower with time.

    The centre of a bin is its median horizon. Between centres the forecast interpolates.
    """
    table: list[dict[str, Any]] = []
    for low, high in itertools.pairwise(WEEK_EDGES):
        inside = errors[(errors[:, 1] > 7 * low) & (errors[:, 1] <= 7 * high)]
        if len(inside) == 0:
            continue
        patients, index, count = np.unique(inside[:, 0], return_inverse=True, return_counts=True)
        quantiles = _weighted_quantiles(inside[:, 2], 1.0 / count[index])
        if table:
            # Few lesions live in the late bins; an interval that narrows with the horizon would be noise.
            before = table[-1]["log_error"]
            quantiles = [
                min(q, b) if level < 0.5 else max(q, b) if level > 0.5 else q
                for q, b, level in zip(quantiles, before, LEVELS, strict=True)
            ]
        table.append({
            "weeks": [low, None if math.isinf(high) else high], "median_days": float(np.median(inside[:, 1])),
            "pairs": len(inside), "lesions": len(patients), "log_error": [round(q, 4) for q in quantiles],
        })  # fmt: skip
    return table


def learn(series: Sequence[Series]) -> dict[str, Any]:
    """Tables for lesions that could be measured at the origin and for those at the floor, and the longest horizon."""
    errors = log_errors(series)
    return {
        "levels": list(LEVELS),
        "measurable": quantile_table(errors[errors[:, 3] == 0]),
        "at_floor": quantile_table(errors[errors[:, 3] == 1]),
        "max_days": float(errors[:, 1].max()),
    }


def evaluate(series: Sequence[Series], holdout: int = 2) -> dict[str, float]:
    """Score LOCF and its intervals on the last `holdout` points, intervals learned from other patients only."""
    ratios, scores, inside80, inside95 = [], [], [], []
    for fold in range(FOLDS):
        table = LocfQuantiles.from_json(learn([s for i, s in enumerate(series) if i % FOLDS != fold]))
        for t, v in series[fold::FOLDS]:
            last, horizon = v[-holdout - 1], t[-holdout:] - t[-holdout - 1]
            error = np.log(v[-holdout:] / last)
            low95, low80, _, high80, high95 = table.log_errors(horizon, at_floor=last <= FLOOR_MM3)
            ratios.append(error)
            inside80.append((error >= low80) & (error <= high80))
            inside95.append((error >= low95) & (error <= high95))
            miss = np.maximum(low80 - error, 0) + np.maximum(error - high80, 0)
            scores.append(high80 - low80 + 2 / 0.2 * miss)
    errors = np.concatenate(ratios)
    figures = {
        "lesions": len(series), "holdout": holdout,
        "median_ape_percent": 100 * float(np.median(np.abs(np.expm1(-errors)))),
        "mean_abs_log_error": float(np.abs(errors).mean()),
        "coverage_80": float(np.concatenate(inside80).mean()),
        "coverage_95": float(np.concatenate(inside95).mean()),
        "interval_score_80": float(np.concatenate(scores).mean()),
    }  # fmt: skip
    return {name: round(value, 4) for name, value in figures.items()}


def document(path: Path) -> dict[str, Any]:
    """What is shipped: the tables, where they come from, and what they cover."""
    series = read_series(path)
    if len(series) < FOLDS:
        raise InputError(f"{path.name} holds {len(series)} lesions of at least {MIN_POINTS} points; expected {FOLDS}.")
    return {
        "version": 1,
        "made_by": f"python -m core.growth.learn_locf {path.name}",
        "source": SOURCE,
        "source_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "lesions": len(series),
        "floor_mm3": round(FLOOR_MM3, 4),
        **learn(series),
        "measured": {f"holdout_{n}": evaluate(series, n) for n in (1, 2, 3)},
    }


def main(arguments: Sequence[str]) -> int:
    """Print the document as JSON; one line on stderr and status 2 when that cannot be."""
    if len(arguments) != 1:
        print("usage: python -m core.growth.learn_locf FILE.csv", file=sys.stderr)
        return 2
    try:
        text = json.dumps(document(Path(arguments[0])), indent=1)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    # One line a bin: a reviewer of the file should see the table.
    print(re.sub(r"\[[^\[\]{}]*\]", lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"), text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
