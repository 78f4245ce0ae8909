"""Measured lesions from a file, and every forecast that could have been made of them.

The columns are those of Laleh et al. 2022 (10.1371/journal.pcbi.1009822): Pt_hashID, T_days, Lesion_vol (mm3).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.growth.csv_table import CsvTable, read_csv
from core.growth.curves import FLOOR_MM3, prepare

Floats = NDArray[np.float64]

COLUMNS = ("Pt_hashID", "T_days", "Lesion_vol")
LOG_FLOOR = math.log(FLOOR_MM3)
#: A lesion is scored with at least so many points, and forecast from at least so many.
MIN_SCORED, MIN_HISTORY = 6, 3
#: How many of the latest points, up to and with its origin, a forecast uses; more change nothing and cost time.
MAX_HISTORY_SCANS = 8
FOLDS = 5


class Lesion(NamedTuple):
    """One lesion: whose it is, days (n,) ascending, floored volumes (n,) mm3."""

    patient_id: str
    days: Floats
    volumes_mm3: Floats


def read_table(path: Path, more: Sequence[str] = ()) -> CsvTable:
    """The file with its columns and the `more` named ones. Raises InputError as `core.growth.csv_table.read_csv`."""
    return read_csv(path, [*COLUMNS, *more], COLUMNS[1:])


def read_lesions(path: Path, min_points: int = MIN_SCORED) -> list[Lesion]:
    """`lesions_of` a file."""
    return lesions_of(read_table(path), min_points)


def lesions_of(table: CsvTable, min_points: int = MIN_SCORED) -> list[Lesion]:
    """One lesion an id, in the order of the file.

    Duplicate days keep the row given last, disorder is sorted, negative days (before the first dose) are days like any
    other, zeros and what is below 5 mm diameter are floored (see `core.growth.curves.prepare`), and lesions with fewer
    than `min_points` distinct days are left out.

    Raises:
        InputError: a line has no id, no number or a negative volume; it is named, and whose it is.
    """
    rows: dict[str, tuple[list[float], list[float]]] = {}
    for row in table.rows:
        name = row.values["Pt_hashID"]
        if not name:
            table.refuse(row.line, "has no Pt_hashID: nobody knows whose it is. Give it, or leave the line out")
        day, volume = (table.number(row, column, name) for column in COLUMNS[1:])
        if volume < 0:
            table.refuse(row.line, f"({name}): expected a volume of at least 0 mm3, got {volume:g}. Correct it")
        days, volumes = rows.setdefault(name, ([], []))
        days.append(day)
        volumes.append(volume)
    lesions = (Lesion(name, *prepare(*pair)) for name, pair in rows.items())
    return [lesion for lesion in lesions if lesion.days.size >= min_points]


def fold_of(patient_id: str) -> int:
    """Which fold, 0 to `FOLDS` - 1, was learned without this patient: by the id alone, so it holds for any file.

    What follows the last hyphen is left out: in Laleh 2022 it names the study, and four patients are in two.
    """
    stem = patient_id.rsplit("-", 1)[0]
    return int.from_bytes(hashlib.sha256(stem.encode()).digest()[:4], "big") % FOLDS


@dataclass(frozen=True, eq=False)
class LesionHistories:
    """Padded histories of n lesions: the latest scans up to and with the forecast's origin.

    Args:
        days, logs, seen: (n, MAX_HISTORY_SCANS) days since the lesion's first scan, ln(volume / mm3), and which
            entries are there.
        scans: (n,) all scans up to then, also those left out.
        noise_log_sd: (n, MAX_HISTORY_SCANS) of each measurement, where it is known; None: as learned.
    """

    days: Floats
    logs: Floats
    seen: NDArray[np.bool_]
    scans: NDArray[np.int64]
    noise_log_sd: Floats | None = None

    def _newest(self, values: Floats) -> Floats:
        return np.asarray(values[np.arange(len(values)), self.seen.sum(axis=1) - 1], dtype=float)

    @property
    def last(self) -> Floats:
        """(n,) ln of the last volume."""
        return self._newest(self.logs)

    @property
    def span(self) -> Floats:
        """(n,) days observed."""
        return self._newest(self.days)

    @property
    def floored(self) -> NDArray[np.bool_]:
        """(n,) the last volume is at the floor."""
        return self.last <= LOG_FLOOR + 1e-9

    def select(self, keep: NDArray[np.bool_]) -> LesionHistories:
        """Those lesions (n,) that are kept."""
        noise = None if self.noise_log_sd is None else self.noise_log_sd[keep]
        return LesionHistories(self.days[keep], self.logs[keep], self.seen[keep], self.scans[keep], noise)


@dataclass(frozen=True, eq=False)
class BacktestCases:
    """The back-test's n forecast origins, each with the history before it and every later scan as a target.

    Args:
        past: the history at each origin.
        patients: (n,) number of the lesion in the list these were made from; folds: (n,) `fold_of` its patient.
        left: (n,) points after it.
        target, horizon_days, outcome: (m,) the origin's row, days ahead, and ln(later / last) of each later point;
            in order of row, then of time.
    """

    past: LesionHistories
    patients: NDArray[np.int64]
    folds: NDArray[np.int64]
    left: NDArray[np.int64]
    target: NDArray[np.int64]
    horizon_days: Floats
    outcome: Floats

    def select(self, keep: NDArray[np.bool_]) -> BacktestCases:
        """Those of n rows that are kept, with their targets."""
        row = np.cumsum(keep) - 1
        ahead = keep[self.target]
        return BacktestCases(
            self.past.select(keep),
            self.patients[keep],
            self.folds[keep],
            self.left[keep],
            row[self.target[ahead]],
            self.horizon_days[ahead],
            self.outcome[ahead],
        )

    def next_scan(self) -> dict[str, NDArray[np.bool_]]:
        """Which targets (m,) are the next scan: "any", "the last" of the lesion, and "not the last"."""
        the_next, the_last = self.grid()[1] == 0, self.left[self.target] == 1
        return {"any": the_next, "the last": the_next & the_last, "not the last": the_next & ~the_last}

    def grid(self) -> tuple[Floats, NDArray[np.int64]]:
        """Horizons (n, h) of each row's targets, padded by its longest; and each target's column (m,)."""
        column = np.arange(len(self.target)) - np.searchsorted(self.target, self.target)
        horizon = np.zeros((len(self.left), int(column.max()) + 1))
        horizon[self.target, column] = self.horizon_days
        return np.where(horizon > 0, horizon, horizon.max(axis=1, keepdims=True)), column


def padded_history(days: Floats, volumes_mm3: Floats, origin: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """The latest `MAX_HISTORY_SCANS` points up to and with `origin`, padded to that length.

    Returns:
        Days since the first scan, ln(volume / mm3), and which entries are there; each (MAX_HISTORY_SCANS,).
    """
    first = max(0, origin + 1 - MAX_HISTORY_SCANS)
    count = origin + 1 - first
    padded, logs = np.zeros(MAX_HISTORY_SCANS), np.zeros(MAX_HISTORY_SCANS)
    padded[:count] = days[first : origin + 1] - days[0]
    logs[:count] = np.log(volumes_mm3[first : origin + 1])
    return padded, logs, np.arange(MAX_HISTORY_SCANS) < count


def lesion_histories(rows: Sequence[tuple[Floats, Floats, NDArray[np.bool_]]], scans: Sequence[int]) -> LesionHistories:
    """`LesionHistories` of several lesions, each as `padded_history` gives it."""
    days, logs, seen = (np.array(part) for part in zip(*rows, strict=True))
    return LesionHistories(days, logs, seen, np.asarray(scans, dtype=np.int64))


def backtest_cases(lesions: Sequence[Lesion]) -> BacktestCases:
    """Every origin of every lesion: each of its points from the third to the last but one.

    Raises:
        InputError: no lesion has more than three points.
    """
    past: list[tuple[Floats, Floats, NDArray[np.bool_]]] = []
    facts, ahead = [], []
    for patient, lesion in enumerate(lesions):
        n, fold = lesion.days.size, fold_of(lesion.patient_id)
        for origin in range(MIN_HISTORY - 1, n - 1):
            later = slice(origin + 1, n)
            row = np.full(n - 1 - origin, len(past))
            change = np.log(lesion.volumes_mm3[later] / lesion.volumes_mm3[origin])
            ahead.append((row, lesion.days[later] - lesion.days[origin], change))
            past.append(padded_history(lesion.days, lesion.volumes_mm3, origin))
            facts.append((patient, fold, n - 1 - origin, origin + 1))
    if not past:
        raise InputError(
            f"Expected lesions with more than {MIN_HISTORY} points, got none. Each line is one scan of one lesion; "
            "lines of one Pt_hashID belong together."
        )
    patients, folds, left, scans = np.array(facts, dtype=np.int64).T
    target, horizon, outcome = (np.concatenate(part) for part in zip(*ahead, strict=True))
    return BacktestCases(lesion_histories(past, scans.tolist()), patients, folds, left, target, horizon, outcome)
