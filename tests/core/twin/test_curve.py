"""What stands beside a curve's points, one plane through two scans, and figures for both themes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ModelError, StoreError
from core.growth.forecast import forecast
from core.twin import curve, trajectory
from core.twin.change import Change
from core.twin.curve_points import volume_points
from core.twin.timeline import patient_timeline
from core.types import Decision, VolumePoint
from pages.ui.compare import comparing
from pages.ui.shared import charts, plotting
from pages.ui.trajectory import growth_charts, growth_panel, summary_panel
from store import Store, open_store
from tests import clinic


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("clinic")
    clinic.build(root)
    with open_store(root) as store:
        yield store


def test_every_timepoint_that_is_not_in_the_curve_says_why(opened):
    assert curve.exclusion_reasons(opened, "ANNA") == {
        clinic.DAYS[4]: "every version was rejected",
        clinic.DAYS[5]: "no mask yet",
    }
    assert curve.exclusion_reasons(opened, "BEN") == {}


def test_a_proposed_mask_is_left_out_until_somebody_decides(store: Store):
    clinic.add_scan(store, "GINA", clinic.DAYS[0], clinic.body(1))
    record = clinic.add_mask(store, "GINA", clinic.DAYS[0], 500)
    assert curve.exclusion_reasons(store, "GINA") == {clinic.DAYS[0]: "version 1 is proposed, nobody has decided"}
    clinic.accept(store, record)
    assert curve.exclusion_reasons(store, "GINA") == {}


def test_each_timepoint_says_its_own_reason_whatever_those_before_it_say(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, day in enumerate(clinic.DAYS):
        clinic.add_scan(store, "GINA", day, clinic.noise(n))
    records = [
        clinic.add_child(store, clinic.two_lesions(500 + 10 * n, 100), "GINA", day, method="nnunet", author="demo")
        for n, day in enumerate(clinic.DAYS[:5])
    ]
    for record in (records[0], records[1], records[3]):
        clinic.accept(store, record)
    store.decisions.decide("GINA", clinic.DAYS[1], 1, "reject", "demo", "other-finding", lesion_id="L2")
    store.decisions.decide("GINA", clinic.DAYS[3], 1, "withdraw", "demo", "second-look")
    os.remove(store.masks.path(records[0]))
    with pytest.raises(StoreError, match="is missing"):
        store.masks.load(records[0])
    monkeypatch.setattr(store.decisions, "to_affirm", lambda: {records[4].mask_id: "its decision was lost"})
    assert curve.exclusion_reasons(store, "GINA") == {
        clinic.DAYS[0]: "file missing: accepted version 1, whose volume is unknown now",
        clinic.DAYS[1]: "L2 of version 1: rejected, and not in that total",
        clinic.DAYS[2]: "version 1 is proposed, nobody has decided",
        clinic.DAYS[3]: "version 1 is proposed, its acceptance was withdrawn",
        clinic.DAYS[4]: "version 1 is proposed, and waits to be affirmed: its decision was lost",
        clinic.DAYS[5]: "no mask yet",
    }


def test_the_last_acceptance_names_the_reviewer_and_rejections_do_not():
    def decision(n: int, mask: str, verdict: Any, who: str) -> Decision:
        return Decision(str(n), mask, verdict, who, "r", "", f"2024-01-0{n}T00:00:00Z")

    decisions = [
        decision(3, "a", "accept", "bob"),
        decision(1, "a", "accept", "ann"),
        decision(4, "a", "reject", "cy"),
        decision(2, "b", "reject", "bob"),
    ]
    of_a_lesion = replace(decision(5, "c", "accept", "dee"), lesion_id="L1")
    assert curve.accepted_by([*decisions, of_a_lesion]) == {"a": "ann"}


def test_events_are_days_from_the_first_timepoint_also_before_it():
    events = [
        clinic.event("2024-01-11", "steroids", {"dexamethasone_mg": 4}),
        clinic.event("2023-12-31", "surgery", "biopsy"),
    ]
    assert curve.events_on_axis(events, "2024-01-01") == [
        (10.0, "steroids: dexamethasone_mg 4"),
        (-1.0, "surgery: biopsy"),
    ]


def test_lesions_of_unaccepted_masks_get_no_verdict_of_growth(opened):
    first, second = opened.masks.of("BEN", clinic.DAYS[0])
    (row,) = comparing.lesion_rows(first, second, patient_timeline(opened, "BEN"), "timepoints")
    assert (row["Verdict"], row["Rule"]) == ("unknown", "not both masks are accepted")
    assert row["Left (mL)"] == pytest.approx(800 * clinic.VOXEL_ML)
    assert row["Change (%)"] == pytest.approx(50)
    assert "Verdict" not in comparing.lesion_rows(first, second, None, "versions")[0]


def test_a_forecast_never_flattens_what_was_observed(opened):
    points = trajectory.points_by_lesion(volume_points(opened, "ANNA"))["L1"]
    gone = [*points, VolumePoint("2024-09-09", 252.0, 0.0, "L1", "x", 1)]
    for series in (points, gone):
        low, high = growth_panel.volume_range(series, forecast(series, [28, 84]))
        seen = [p.volume_mm3 for p in series]
        assert max(seen) < high <= 3 * max(seen)
        assert 0 < low < min(v for v in seen if v)


def test_on_the_page_nothing_is_drawn_in_near_black_and_the_data_stay(opened):
    points = trajectory.points_by_lesion(volume_points(opened, "ANNA"))
    figure = growth_charts.growth_figure({"total": points["total"]}, forecast(points["total"], [28, 84]))
    shown = plotting.for_both_themes(figure)
    assert charts.TOTAL_COLOUR in figure.to_json()
    assert charts.TOTAL_COLOUR not in shown.to_json()
    before, after = (json.loads(drawn.to_json())["data"] for drawn in (figure, shown))
    assert [trace["y"] for trace in after] == [trace["y"] for trace in before]


def test_points_for_the_csv_carry_volume_version_and_reviewer(opened):
    points = trajectory.points_by_lesion(volume_points(opened, "ANNA"))["L1"]
    doubted = {points[1].mask_id: ("mask gate: doubtful (position)",)}
    rows = growth_panel.point_rows(
        points,
        trajectory.accepted_masks_by_timepoint(opened, "ANNA"),
        curve.accepted_by(opened.decisions.of("ANNA")),
        doubted,
    )
    assert [row["doubts"] for row in rows] == ["", "mask gate: doubtful (position)", "", ""]
    assert [row["volume_mL"] for row in rows] == pytest.approx([n * clinic.VOXEL_ML for n in (1000, 1300, 1700, 2200)])
    assert [row["accepted_by"] for row in rows] == ["demo", "second reader", "demo", "demo"]


def test_the_evaluation_refuses_without_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from core.gates.scan import measuring
    from weights import registry

    monkeypatch.setattr(registry, "HERE", tmp_path)
    with pytest.raises(ModelError):
        measuring.prepare_evaluate_scan_gate(None, {}, "demo")


def test_treatments_run_from_start_to_stop_and_a_stop_ends_what_it_names_or_the_latest():
    event = clinic.event
    found = curve.treatments(
        [
            event("2024-03-01", "treatment-stop", "end of cycles"),
            event("2024-01-11", "treatment-start", "A"),
            event("2024-01-31", "treatment-start", "B"),
            event("2024-04-10", "treatment-stop", "A"),
            event("2024-05-01", "treatment-start", "C"),
            event("2024-05-11", "treatment-start", "D"),
            event("2024-05-21", "treatment-stop", "C"),
            event("2024-01-05", "surgery", "biopsy"),
        ],
        "2024-01-01",
    )
    assert [(t.name, t.start_days, t.end_days) for t in found] == [
        ("A", 10, 100),
        ("B", 30, 60),
        ("C", 121, 141),
        ("D", 131, None),
    ]


def test_versions_that_are_not_accepted_carry_the_volume_they_would_have_given(opened):
    records = opened.masks.of("BEN")
    others = curve.other_versions(records, clinic.DAYS[0], "total")
    assert [(o.timepoint, o.version, o.status) for o in others] == [
        (r.timepoint, r.version, r.status) for r in records if r.status != "accepted"
    ]
    assert all(o.volume_mm3 > 0 for o in others)


@pytest.mark.parametrize(
    ("volume_ml", "told"),
    [(0.0, "<0.07"), (0.0654, "<0.07"), (0.712, "0.71"), (1.88, "1.9"), (16.4, "16"), (163, "163")],
)
def test_a_forecast_is_told_in_two_digits_that_count(volume_ml, told):
    assert summary_panel.short(1000 * volume_ml) == told


def test_a_rate_is_a_bound_where_the_lesion_is_gone():
    told = [growth_panel.bound(Change(-100.0, "real", "QIBA", is_bound=gone)) for gone in (False, True)]
    assert told == ["", "≤ "]


def test_a_row_never_says_two_things_of_one_change():
    real = Change(
        30.0,
        "real",
        "QIBA",
        growth_percent_per_day=0.5,
        growth_low95=0.1,
        growth_high95=0.9,
        doubling_days=139.0,
        doubling_low_days=77.0,
        doubling_high_days=693.0,
    )
    noise = Change(20.0, "within noise", "QIBA", growth_percent_per_day=0.1, growth_low95=-0.1, growth_high95=0.3)
    unknown = Change(
        150.0, "unknown", "no rule for MR", growth_percent_per_day=1.5, growth_low95=0.7, growth_high95=2.4
    )
    assert growth_panel.doubling(real) == "doubling in 139 days (77–693)"
    assert growth_panel.doubling(noise) == "not distinguishable from no growth"
    assert growth_panel.doubling(unknown) == "unknown"
    assert growth_panel.doubling(Change(None, "unknown", "no rule for a new lesion")) == "unknown"
