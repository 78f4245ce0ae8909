"""A population learned at this site: from its accepted masks, put in force, and said in one line what is wrong."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cli
from core.errors import InputError
from core.growth import learn
from core.growth import population as module
from core.growth.forecast import forecast
from core.growth.population import active_population, default_population, read_population
from core.growth.series import FOLDS, Lesion, read_lesions
from core.remembered.rows import ReferenceSet
from core.twin.curve_points import volume_points
from core.twin.local_population import accepted_lesions, fit_local_population
from core.types import MaskRecord
from tests.core.growth.simulated_lesions import simulated

ROOT = Path(__file__).parents[3]
LALEH = "growth/laleh2022_dev.csv"


def test_the_newest_population_that_was_learned_here_is_in_force():
    assert active_population([]) is default_population()
    file = json.loads((ROOT / "core/growth/population.json").read_text())
    made = [ReferenceSet(name, module.KIND, {**file, "source": name}, "ann", "") for name in ("first", "second")]
    assert active_population(made).source == "second"


def test_a_population_of_another_version_or_without_its_folds_is_refused():
    file = json.loads((ROOT / "core/growth/population.json").read_text())
    for change in ({"version": 1}, {"version": 3}, {"folds": file["folds"][1:]}):
        with pytest.raises(InputError, match="version 2"):
            module.Population.from_json({**file, **change})


def test_the_shipped_file_carries_its_provenance_and_no_rows():
    text = Path(module.__file__).with_name("population.json").read_text()
    document = json.loads(text)
    assert "10.1371/journal.pcbi.1009822" in document["source"]
    assert len(document["source_sha256"]) == 64
    assert len(document["folds"]) == FOLDS
    assert len(text) < 40_000
    assert all(facts["calibrated"] == (facts["mean_error"] <= 0.03) for facts in document["reliability"].values())


def test_another_file_is_no_population(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{"version": 1}')
    with pytest.raises(InputError, match="Make it anew"):
        read_population(path)


def test_too_few_lesions_are_not_learned_from():
    with pytest.raises(InputError, match=r"at least 50 lesions .* got 20"):
        learn.document(simulated(20), "x", "0" * 64, "test")


class Remembered:
    """A store in memory: patients with one lesion each, accepted at every visit."""

    def __init__(self, lesions):
        self._lesions = {lesion.patient_id.split("-")[0]: lesion for lesion in lesions}
        self.patients = self.masks = self
        scan = SimpleNamespace(modality="CT", metadata={})
        self.scans = SimpleNamespace(of=lambda patient: [], reference=lambda patient, day: scan)
        self.decisions = SimpleNamespace(of=lambda patient: [], to_affirm=dict)
        self.verdicts = SimpleNamespace(of_masks=lambda patient: [], of_scans=lambda patient: [])
        self.reference_sets = ReferenceSetsInMemory()
        self.links = self.transforms = self.measurements = SimpleNamespace(of=lambda patient: [])
        self.readings = SimpleNamespace(is_blind=lambda patient, day: False)

    def all(self):
        return [SimpleNamespace(patient_id=patient) for patient in self._lesions]

    def require(self, patient_id):
        assert patient_id in self._lesions

    def timepoints(self, patient_id):
        start = datetime.date(2020, 1, 1)
        return [str(start + datetime.timedelta(days=int(day))) for day in self._lesions[patient_id].days]

    def problems(self, patient_id=None):
        return {}

    def of(self, patient_id, timepoint=None):
        volumes = zip(self.timepoints(patient_id), self._lesions[patient_id].volumes_mm3, strict=True)
        return [accepted_mask(patient_id, day, volume) for day, volume in volumes]


class ReferenceSetsInMemory:
    def __init__(self):
        self.sets = []

    def all(self, kind=None):
        return [one for one in self.sets if kind in (None, one.kind)]

    def add(self, kind, detail, person):
        self.sets.append(ReferenceSet("set-1", kind, json.loads(json.dumps(detail)), person, "2026-01-01T00:00:00Z"))
        return "set-1"


def accepted_mask(patient_id, timepoint, volume_mm3):
    lesion = {"label": 1, "lesion_id": "L1", "volume_mm3": float(volume_mm3), "longest_diameter_mm": 1.0}
    values = dict.fromkeys(MaskRecord.stored_keys())
    values |= {"mask_id": f"{patient_id} {timepoint}", "patient_id": patient_id, "timepoint": timepoint, "version": 1}
    values |= {
        "status": "accepted",
        "volume_mm3": float(volume_mm3),
        "lesions": (lesion,),
        "prompts": (),
        "software": {},
    }
    return MaskRecord.from_json(values)


def test_a_lesion_with_four_accepted_volumes_is_learned_from_and_no_total_is():
    days, volumes = np.array([0.0, 30.0, 60.0, 90.0]), np.full(4, 900.0)
    remembered: Any = Remembered([Lesion("A-L1", days, volumes), Lesion("B-L1", days[:3], volumes[:3])])
    assert [lesion.patient_id for lesion in accepted_lesions(remembered)] == ["A-L1"]


@pytest.mark.soak
def test_a_cohorts_own_history_is_learned_put_in_force_and_borrows_what_it_lacks(tmp_path):
    remembered: Any = Remembered(simulated(60, seed=4, scans=7))
    assert len(accepted_lesions(remembered)) == 60
    answer = fit_local_population(remembered, "demo")
    assert answer["lesions"] == 60
    own = active_population(remembered.reference_sets.sets)
    assert own.source == "accepted masks of this installation (60 lesions)"
    # None of these lesions was at the floor: that state is the shipped one's.
    assert own.everyone.locf["at_floor"].tolist() == default_population().everyone.locf["at_floor"].tolist()
    assert own.everyone.locf["measurable"].tolist() != default_population().everyone.locf["measurable"].tolist()
    assert active_population([]) is default_population()
    ahead = forecast([p for p in volume_points(remembered, "sim3") if p.lesion_id == "L1"], [28, 84], own)
    assert ahead.learned_from == own.source
    assert np.isfinite(ahead.fan.quantiles_mm3).all()


def test_the_command_says_in_one_line_what_is_wrong(tmp_path, capsys):
    assert cli.main(["backtest", "growth", str(tmp_path / "none.csv"), "--json"]) == 1
    assert "Cannot read" in capsys.readouterr().err
    done = subprocess.run(
        [sys.executable, "-m", "core.growth.learn", str(tmp_path / "none.csv")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


@pytest.mark.soak
def test_the_shipped_file_is_what_the_command_makes_from_the_real_one(shared_data):
    path = shared_data / LALEH
    shipped_file = json.loads(Path(module.__file__).with_name("population.json").read_text())
    made = learn.document(
        read_lesions(path, learn.MIN_POINTS), learn.SOURCE, shipped_file["source_sha256"], shipped_file["made_by"]
    )
    for name in ("trend", "gompertz", "tgi"):
        weights, kept = (np.array(file["everyone"]["weights"][name]) for file in (made, shipped_file))
        assert weights == pytest.approx(kept, abs=0.02)
    assert made["lesions"] == shipped_file["lesions"]
    assert made["next_scan"]["any"] == pytest.approx(shipped_file["next_scan"]["any"], abs=0.005)
