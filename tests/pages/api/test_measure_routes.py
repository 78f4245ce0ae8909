"""What is drawn in the viewer and kept: measured by the server, for who may keep it, told what flips; and a mask's own
diameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.types import Grid, LabelMap, Volume
from pages.ui.api import routes
from pages.ui.frame import resources
from pages.ui.guard.tokens import HEADER, make_token
from pages.ui.viewer.describe import Shown, viewer_data
from store import Store
from tests.store_phantom import DAY1, DAY2, JUDGED, pass_scans

GRID = Grid((30, 20, 10), np.diag([2.0, 2.0, 4.0, 1.0]))


@pytest.fixture
def clinic(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """P1 on two days: L1 is 20 mm, then 22 mm long."""
    from core.lesions.masks import measure

    monkeypatch.setattr(resources, "whole_store", lambda: store)
    monkeypatch.setattr(resources, "data_root", lambda: store.root)
    values = np.arange(30 * 20 * 10, dtype=np.float32).reshape(GRID.shape) % 97
    for day, long in ((DAY1, 10), (DAY2, 11)):
        volume = Volume(values + long, GRID, "CT")
        store.scans.add(volume, dataset="set", patient_id="P1", timepoint=day, person="demo")
        array = np.zeros(GRID.shape, np.uint8)
        array[4 : 4 + long, 5:9, 4:7] = 1
        mask = LabelMap(array, GRID)
        store.masks.add(
            mask,
            patient_id="P1",
            timepoint=day,
            method="manual",
            author="demo",
            lesions=measure(mask),
            parent_version=None,
            verdict=JUDGED,
        )
        pass_scans(store, "P1", day)
        store.decisions.decide("P1", day, 1, "accept", "demo", "agrees")
    return store


def keep(store: Store, person: str = "demo", day: str = DAY1, **body: Any) -> Any:
    sha256 = store.scans.reference("P1", day).sha256
    token = make_token(person, "P1", [sha256], [day], False)
    asked = {"scan": sha256, "kind": "length", "plane": "axial", "points_mm": [[8, 12, 16], [38, 12, 16]], **body}
    return TestClient(Starlette(routes=routes.ROUTES)).post(
        "/api/viewer/measurement", headers={HEADER: token}, json=asked
    )


def test_the_server_measures_what_was_drawn_and_the_viewer_is_told_of_it(clinic: Store) -> None:
    answer = keep(clinic)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["value"], said["unit"], said["person"], said["words"]) == (30.0, "mm", "demo", "30.0 mm")
    data = viewer_data(clinic, "P1", [Shown(DAY1), Shown(DAY2)], "demo")  # type: ignore[arg-type]
    assert data["keep"] is True
    assert [pane["measurements"] for pane in data["panes"]] == [[said], []]
    region = keep(clinic, kind="roi", points_mm=[[20, 20, 16], [24, 20, 16], [20, 24, 16]]).json()
    values = clinic.scans.load(clinic.scans.reference("P1", DAY1)).array[:, :, 4]
    i, j = np.meshgrid(np.arange(30), np.arange(20), indexing="ij")
    inside = values[(i - 10) ** 2 + (j - 10) ** 2 <= 4]
    assert (region["value"], region["unit"]) == (pytest.approx(inside.mean()), "HU")
    assert region["statistics"]["voxels"] == inside.size == 13
    assert region["statistics"]["area_mm2"] == pytest.approx(math.pi * 16)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"scan": "0" * 64}),
        (422, {"value": 12.0}),
        (422, {"points_mm": [[8, 12, 16]]}),
        (422, {"points_mm": [[8, 12, 16], [8, 12, 16]]}),
        (422, {"points_mm": [[8, 12, 16], [8, 12, 99]]}),
        (422, {"lesion_id": "L7"}),
        (422, {"sets": "longest diameter"}),
        (422, {"kind": "angle", "points_mm": [[8, 12, 16], [38, 12, 16], [8, 20, 16]], "lesion_id": "L1", "sets": "x"}),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_written(clinic: Store, status: int, body: dict) -> None:
    entries = len(clinic.audit.entries())
    answer = keep(clinic, **body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]
    assert len(clinic.audit.entries()) == entries


def test_a_viewer_keeps_nothing_and_is_told_why(clinic: Store) -> None:
    clinic.people.add("vera", "viewer", by="demo")
    answer = keep(clinic, "vera")
    assert (answer.status_code, "Needs the role reader" in answer.json()["error"]) == (403, True)
    assert viewer_data(clinic.seen_by("vera"), "P1", [Shown(DAY1)], "vera")["keep"] is False


def test_what_flips_is_told_first_and_is_in_the_audit_once_it_was_confirmed(clinic: Store) -> None:
    longer = {"lesion_id": "L1", "sets": "longest diameter", "day": DAY2}
    first = keep(clinic, **longer)
    assert first.status_code == 409
    flip = {"timepoint": DAY2, "before": "SD", "after": "PD"}
    assert first.json()["flips"] == [flip]
    assert f"{DAY2}: SD becomes PD" in first.json()["error"]
    assert clinic.measurements.of("P1") == []
    other = keep(clinic, **longer, confirmed=[{**flip, "after": "PR"}])
    assert (other.status_code, other.json()["flips"]) == (409, [flip]), "what was confirmed is not what happens"
    assert keep(clinic, **longer, confirmed=[flip]).status_code == 200
    (entry,) = [e for e in clinic.audit_log(5) if e["action"] == "measurement.added"]
    assert (entry["payload"]["flips"], entry["payload"]["flips_told"]) == ([flip], "confirmed")


def test_who_reads_the_patient_blind_is_told_no_flip(clinic: Store) -> None:
    clinic.readings.set_blind("P1", DAY1, True, "demo")
    clinic.people.add("bea", "reader", by="demo")
    longer = {"lesion_id": "L1", "sets": "longest diameter", "day": DAY2}
    answer = keep(clinic, "bea", **longer)
    assert answer.status_code == 200, answer.text
    (entry,) = [e for e in clinic.audit_log(5) if e["action"] == "measurement.added"]
    assert "flips" not in entry["payload"] or entry["payload"]["flips"] == []
    assert entry["payload"]["flips_told"].startswith("not shown")


def test_the_diameters_of_a_mask_come_with_their_ends(clinic: Store) -> None:
    record = clinic.masks.version("P1", DAY1, 1)
    token = make_token("demo", "P1", [], [DAY1], False)
    client = TestClient(Starlette(routes=routes.ROUTES))
    (found,) = client.get(f"/api/viewer/mask/{record.mask_id}/diameters", headers={HEADER: token}).json()["lesions"]
    assert (found["label"], found["pieces"]) == (1, 1)
    first, second = np.asarray(found["long_axis_mm"])
    assert found["longest_mm"] == pytest.approx(np.linalg.norm(second - first))
    assert found["longest_mm"] == pytest.approx(record.lesions[0]["longest_diameter_mm"])
    assert first[2] == second[2]
    across = np.subtract(*np.asarray(found["perpendicular_axis_mm"]))
    assert across @ (second - first) == pytest.approx(0, abs=1e-6)
    other = make_token("demo", "P1", [], [DAY2], False)
    assert client.get(f"/api/viewer/mask/{record.mask_id}/diameters", headers={HEADER: other}).status_code == 403
