"""Simulations under stated assumptions, the effects they rest on, and what radiotherapy leaves undecided."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from core.growth import effects
from core.growth.effects import by_hand, first_rate, regrowth_rate
from core.growth.scenario import GROWTH, TreatmentPeriod, simulate
from core.growth.series import Lesion
from core.twin.radiotherapy import CANNOT_TELL, cannot_tell, radiotherapy_dates
from core.types import VolumePoint
from pages.ui.trajectory import scenario_charts
from tests.clinic import event

CERTAIN = (0.004, 0.004, 0.004)
DAYS = list(range(0, 337, 7))
LALEH = "growth/laleh2022_dev.csv"


def lesion(days, volumes):
    return Lesion("x-S1", np.array(days, float), np.array(volumes, float))


def test_untreated_exponential_growth_is_the_exponential():
    run = simulate(1000, CERTAIN, [], DAYS)
    assert run.medians_mm3["exponential"] == pytest.approx(1000 * np.exp(0.004 * np.array(DAYS)))
    assert run.fan.quantiles_mm3[0] == pytest.approx([1000] * 7)


def test_laws_agree_on_todays_rate_and_differ_on_what_comes():
    early = simulate(1000, CERTAIN, [], [0, 1]).medians_mm3
    assert set(early) == set(GROWTH)
    for path in early.values():
        assert math.log(path[1] / path[0]) == pytest.approx(0.004, rel=1e-6)
    late = simulate(1000, CERTAIN, [], [0, 700]).medians_mm3
    assert late["exponential"][1] > 1.5 * late["gompertz"][1]


def test_a_treatment_changes_the_rate_from_its_start_to_its_stop():
    effect = by_hand(-0.01, 0.004)
    exact = effects.Effect("x", "x", 0, (-0.01, -0.01, -0.01), CERTAIN, 0)
    path = simulate(1000, CERTAIN, [TreatmentPeriod(exact, 70, 140)], DAYS).medians_mm3["exponential"]
    rate = np.diff(np.log(path)) / 7
    assert rate[:10] == pytest.approx([0.004] * 10)
    assert rate[10] == pytest.approx(-0.01, abs=1e-3)  # its strength wears off day by day
    assert (np.diff(rate[10:20]) > 0).all()
    assert rate[20:] == pytest.approx([0.004] * len(rate[20:]))
    assert effect.first[0] < effect.first[1] < effect.first[2]


def test_a_delayed_treatment_leaves_more_than_one_at_once():
    effect = by_hand(-0.01, 0.004)
    ends = [
        simulate(1000, CERTAIN, [TreatmentPeriod(effect, start)], [0, 200]).fan.median_mm3[1] for start in (0, 56, 112)
    ]
    assert ends[0] < ends[1] < ends[2]


def test_the_same_question_has_the_same_answer():
    ask = [simulate(1000, (0.001, 0.004, 0.01), [TreatmentPeriod(by_hand(-0.01, 0.004), 0)], DAYS) for _ in range(2)]
    assert (ask[0].fan.quantiles_mm3 == ask[1].fan.quantiles_mm3).all()


@pytest.mark.parametrize(
    ("last", "growth", "courses", "days", "message"),
    [
        (30, CERTAIN, [], DAYS, "larger than 5 mm"),
        (math.nan, CERTAIN, [], DAYS, "larger than 5 mm"),
        (1000, (0.01, 0.0, 0.02), [], DAYS, "rising"),
        (1000, CERTAIN, [], [0, 900], "from 0 to 730"),
        (1000, CERTAIN, [], [], "from 0 to 730"),
        (1000, CERTAIN, [], [0, 30, 30], "rising days"),
        (1000, CERTAIN, [TreatmentPeriod(by_hand(-0.01, 0.01), 50, 50)], DAYS, "stops after it started"),
    ],
)
def test_what_makes_no_sense_is_refused(last, growth, courses, days, message):
    with pytest.raises(InputError, match=message):
        simulate(last, growth, courses, days)


def test_rates_of_a_lesion_by_hand():
    seen = lesion([-14, 42, 84, 140], [1000, 500, 400, 800])
    assert first_rate(seen) == pytest.approx(math.log(0.5) / 56)
    assert regrowth_rate(seen) == pytest.approx(math.log(2) / 56)
    assert first_rate(lesion([7, 42], [1000, 500])) is None
    assert regrowth_rate(lesion([-14, 42], [1000, 500])) is None


def test_shipped_effects_are_what_the_command_makes_of_the_real_file_and_carry_their_source(shared_data):
    text = Path(effects.__file__).with_name("effects.json").read_text()
    assert len(json.loads(text)["source_sha256"]) == 64
    assert list(effects.default_effects()) == effects.learn(shared_data / LALEH)
    for effect in effects.default_effects():
        assert "10.1371/journal.pcbi.1009822" in effect.source
        assert effect.first[0] <= effect.first[1] <= effect.first[2]
        assert effect.lesions >= effects.MIN_LESIONS


def test_what_is_called_docetaxel_shrinks_more_at_first_as_was_published_of_it():
    """The file numbers its arms; a swap of the two would show here."""
    for trial in ("POPLAR", "OAK"):
        chemotherapy, immunotherapy = (
            next(e for e in effects.default_effects() if (e.trial, e.treatment) == (trial, treatment))
            for treatment in ("docetaxel", "atezolizumab")
        )
        assert chemotherapy.first[1] < immunotherapy.first[1]
    assert effects.default_effects()[-1].label == "atezolizumab, IMvigor210 (Study 5 Arm 1)"
    assert effects.default_effects()[-1].disease == "urothelial cancer"
    assert by_hand(0.0, 0.004).label == "set by hand"


@pytest.mark.parametrize(("visits", "begins"), [(4, None), (40, ("2026-08-24", "2029-05-28"))])
def test_of_a_long_history_what_is_shown_leaves_room_for_what_is_simulated(visits, begins):
    seen = [VolumePoint("2024-01-01", 42.0 * n, 1000.0 + n, "L1", f"m{n}", 1) for n in range(visits)]
    made = simulate(seen[-1].volume_mm3, CERTAIN, [], [0, 336])
    axis = scenario_charts.scenario_figure(seen, made, None, []).layout.xaxis
    assert axis.range == begins
    assert ("not shown" in (axis.title.text or "")) == (begins is not None)


def test_a_file_without_arms_is_named(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("Pt_hashID,T_days,Lesion_vol\na,0,5\na,9,6\n")
    with pytest.raises(InputError, match="Study_Arm"):
        effects.learn(path)


def test_growth_after_radiotherapy_is_a_state_of_its_own():
    events = [
        event("2024-01-10", "treatment-start", "SBRT 5 x 7 Gy"),
        event("2024-01-20", "treatment-stop", "SBRT"),
        event("2023-01-01", "steroids", {"dexamethasone_mg": 4}),
    ]
    assert radiotherapy_dates(events) == ["2024-01-10"]
    assert cannot_tell(events, "2024-06-01", 40.0) == f"{CANNOT_TELL} (radiotherapy 2024-01-10, site not given)"
    assert cannot_tell(events, "2024-06-01", None) is not None  # a new lesion
    assert cannot_tell(events, "2024-06-01", -10.0) is None
    assert cannot_tell(events, "2024-01-01", 40.0) is None
    assert cannot_tell(events, "2026-02-01", 40.0) is None


def test_simulated_never_looks_like_observed():
    points = [VolumePoint(f"2024-01-0{n + 1}", 42.0 * n, v, "L1", f"m{n}", 1) for n, v in enumerate((1000.0, 1500.0))]
    course = TreatmentPeriod(by_hand(-0.01, 0.004, radiotherapy=True), 28)
    runs = [simulate(1500, CERTAIN, courses, DAYS) for courses in ([course], [])]
    figure = scenario_charts.scenario_figure(points, runs[0], runs[1], [course])
    observed, *rest = figure.data
    assert observed.name == "observed"
    assert observed.mode == "lines+markers"
    for trace in rest:
        assert trace.mode == "lines"
        assert (trace.name or "simulated").startswith(("simulated", "each growth law"))
        assert trace.line.width == 0 or trace.line.dash == "dot"
    texts = {a.text for a in figure.layout.annotations}
    assert {"SIMULATION", CANNOT_TELL} <= texts
    assert min(rest[0].x) == "2024-02-12"


@pytest.mark.parametrize(
    ("timepoint", "percent_change", "told"),
    [
        ("2024-01-09", 40.0, False),  # the day before
        ("2024-01-10", 40.0, True),  # the day itself
        ("2026-01-09", 40.0, True),  # 730 days after, 2024 being a leap year
        ("2026-01-10", 40.0, False),
        ("2024-06-01", 0.0, False),
        ("2024-06-01", 0.5, True),
    ],
)
def test_growth_within_730_days_of_radiotherapy_and_no_shrinking_may_be_necrosis(timepoint, percent_change, told):
    events = [event("2024-01-10", "treatment-start", "SBRT 5 x 7 Gy")]
    assert (cannot_tell(events, timepoint, percent_change) is not None) is told
