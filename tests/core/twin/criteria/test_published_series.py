"""RECIST on the published series of single lesions: with and without its 5 mm, and as volumes of spheres."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from core.twin.criteria.course import course
from core.twin.criteria.recist import RECIST
from core.twin.criteria.table import calls_of
from core.twin.criteria.values import FollowedLesion, Measurement, Protocol, Visit

PROTOCOL = Protocol("recist-1.1", "0", (FollowedLesion("L1"),))


def _patients(file: Path) -> list[list[Visit]]:
    """Diameters by day of each patient whose first is not 0; the first of two on one day."""
    found: dict[str, dict[float, float]] = defaultdict(dict)
    with file.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            found[row["Pt_hashID"]].setdefault(float(row["T_days"]), float(row["Lesion_diam"]))
    series = [sorted(days.items()) for days in found.values()]
    return [[Visit(str(n), day, (_cell(mm),)) for n, (day, mm) in enumerate(one)] for one in series if one[0][1] > 0]


def _cell(mm: float) -> Measurement:
    if mm == 0:
        return Measurement("L1", "absent")
    return Measurement("L1", "measured", mm, None, math.pi / 6 * mm**3)


@pytest.mark.soak
def test_five_millimetres_take_progression_back_and_spheres_say_the_same(shared_data, capsys):
    visits = with_5_mm = without = 0
    for patient in _patients(shared_data / "growth" / "laleh2022_dev.csv"):
        recist = calls_of(patient, PROTOCOL)
        spheres = calls_of(patient, replace(PROTOCOL, criterion="volume-recist-sphere"))
        assert [c.call for c in spheres] == [c.call for c in recist]
        visits += len(patient) - 1
        with_5_mm += sum(c.call == "PD" for c in recist)
        without += sum(c.call == "PD" for c in course(patient, PROTOCOL, replace(RECIST, least_rise_mm=0.0)))
    with capsys.disabled():
        print(f"\n{visits} visits after baseline: PD at {with_5_mm}, without the 5 mm rule at {without}")
    assert (visits, with_5_mm, without) == (4796, 950, 1160)
