"""What the viewer is told of lesions: by their links, in the lesion's colour, and which a brush may draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.jobs.stages.draft import save_draft
from core.types import LabelMap
from pages.ui.frame import resources
from pages.ui.shared.thumbnails import _links_named
from pages.ui.viewer.describe import Shown, viewer_data
from store import Store
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan, grid


@pytest.fixture
def patient(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """P1: an accepted mask of two lesions on the first day, a scan alone on the second."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    monkeypatch.setattr(resources, "data_root", lambda: store.root)
    add_scan(store)
    add_scan(store, day=DAY2, seed=2)
    add_mask(store, 4, 2)
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", "agrees")
    return store


def pane(store: Store, day: str, edit: bool = True) -> dict[str, Any]:
    shown = Shown(day, store.masks.latest("P1", day))
    return dict(viewer_data(store, "P1", [shown], "demo", edit=edit)["panes"][0])  # type: ignore[arg-type]


def test_a_label_is_named_and_coloured_as_the_lesion_that_it_is_linked_to(patient: Store):
    before = {one["label"]: one["colour"] for one in pane(patient, DAY1)["lesions"]}
    record = patient.masks.version("P1", DAY1, 1)
    plain = _links_named(record)
    patient.links.set(record.mask_id, 1, "L2", "demo", "it is the other one")
    patient.links.set(record.mask_id, 2, None, "demo", "nobody can tell")
    found = {one["label"]: (one["lesion_id"], one["colour"]) for one in pane(patient, DAY1)["lesions"]}
    assert found[1] == ("L2", before[2])
    assert found[2][0] == "unlinked-2"
    assert found[2][1] not in before.values()
    assert (plain, _links_named(patient.masks.version("P1", DAY1, 1)) == plain) == ("", False), "another thumbnail"


def test_where_there_is_no_mask_the_brush_is_offered_the_patients_lesions_and_a_label_that_is_none_of_them(
    patient: Store,
):
    there = {one["lesion_id"]: one["colour"] for one in pane(patient, DAY1)["lesions"]}
    told = pane(patient, DAY2)
    assert [(one["label"], one["lesion_id"], one["timepoint"]) for one in told["offered"]] == [
        (1, "L1", DAY1),
        (2, "L2", DAY1),
    ]
    assert {one["lesion_id"]: one["colour"] for one in told["offered"]} == there, "one colour at every timepoint"
    assert told["next_label"] == 3
    shut = pane(patient, DAY2, edit=False)
    assert (shut["offered"], shut["next_label"]) == ([], None)


def test_a_draft_is_saved_as_the_lesions_that_its_person_chose(patient: Store):
    """Label 7 was drawn as L1, label 2 as new, though L2 would be offered under it."""
    array = np.zeros(grid().shape, np.uint8)
    array[:3, 2, 2], array[8:10, 6, 5] = 7, 2
    labels, drawn = LabelMap(array, grid()), {7: "L1", 2: None}
    save_draft(patient, "P1", DAY2, parent_version=None, labels=labels, answers=(), person="demo", drawn=drawn)
    record = patient.masks.version("P1", DAY2, 1)
    assert {int(one["label"]): str(one["lesion_id"]) for one in record.lesions} == {7: "L1", 2: "L3"}
