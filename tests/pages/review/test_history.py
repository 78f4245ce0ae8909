"""The tree of versions, its small pictures, and decisions as text."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.types import Decision, MaskRecord
from pages.ui.api import routes
from pages.ui.frame import resources
from pages.ui.guard.tokens import HEADER, make_token
from pages.ui.review.decision_words import decision_line
from pages.ui.review.history_tree import FOLD_FROM, describe, tree_rows
from pages.ui.review.surface_panel import surface_figure
from pages.ui.shared.thumbnails import SIDE_PX, largest_slice
from store import Store
from tests import clinic
from tests.core.lesions.test_surface import ball, surface_of

DAY = clinic.DAYS[0]


def version(number: int, parent: int | None, status: str = "superseded", **more: Any) -> MaskRecord:
    values: dict[str, Any] = {
        "mask_id": f"m{number}",
        "patient_id": "P1",
        "timepoint": DAY,
        "version": number,
        "parent_version": parent,
        "method": "medsam",
        "model_checkpoint": None,
        "prompts": (),
        "author": "ann",
        "status": status,
        "created_at": "2024-01-02T03:04:05.000000Z",
        "dice_vs_previous_version": None if parent is None else 0.9375,
        "volume_mm3": 5000.0,
        "voxels_added": 1200,
        "voxels_removed": 30,
        "voxels_unchanged": 9,
        "volume_delta_mm3": None if parent is None else -1500.0,
        "scan_sha256": "",
        "mask_sha256": "",
        "checkpoint_sha256": None,
        "lesions": (),
        "software": {},
        **more,
    }
    return MaskRecord(**values)


def shape(records: list[MaskRecord], shown: int | None = None) -> list[tuple[int, int, bool]]:
    return [(row.record.version, row.depth, row.folded) for row in tree_rows(records, shown)]


def test_a_long_line_stays_on_the_left():
    line = [version(n, n - 1 or None, "proposed") for n in range(1, 1500)]
    assert {depth for _, depth, _ in shape(line)} == {0}
    assert tree_rows([]) == []


def test_side_branches_stand_below_their_parent_and_the_accepted_line_goes_on():
    #  1 ─ 2 ─ 4 (accepted)      1 ─ 3 ─ 5, 3 ─ 6
    parents = {1: None, 2: 1, 3: 1, 4: 2, 5: 3, 6: 3}
    records = [version(n, parent, "accepted" if n == 4 else "rejected") for n, parent in parents.items()]
    assert [(v, d) for v, d, _ in shape(records)] == [(1, 0), (3, 1), (5, 2), (6, 1), (2, 0), (4, 0)]
    open_ones = [version(n, parent, "proposed") for n, parent in parents.items()]
    assert [(v, d) for v, d, _ in shape(open_ones)] == [(1, 0), (2, 1), (4, 1), (3, 0), (5, 1), (6, 0)]


def test_every_version_is_there_once_also_one_whose_parent_is_missing():
    records = [version(3, 9), version(1, None), version(2, 1, "rejected")]
    assert sorted(v for v, _, _ in shape(records)) == [1, 2, 3]


def test_superseded_neighbours_fold_but_not_what_is_shown_nor_its_parent():
    line = [version(n, n - 1 or None, "accepted" if n == 9 else "superseded") for n in range(1, 10)]
    assert [v for v, _, folded in shape(line, 9) if folded] == [1, 2, 3, 4, 5, 6, 7]
    assert [v for v, _, folded in shape(line, 4) if folded] == [1, 2, 5, 6, 7, 8]
    few = [version(1, None), version(2, 1, "accepted")]
    assert FOLD_FROM == 2
    assert not any(folded for _, _, folded in shape(few))  # one alone takes no more room than its fold


def test_a_row_says_what_changed_who_made_it_and_with_how_many_prompts():
    lesions = ({"lesion_id": "L1", "label": 1, "volume_mm3": 5.0, "rejected": True},)
    record = version(2, 1, "accepted", prompts=({}, {}), lesions=lesions)
    said = describe(tree_rows([version(1, None), record])[1], 2)
    assert said["changes"] == "from v1 · Dice 0.938 · -1.5 mL · +1,200 −30 voxels"
    assert said["made"] == "ann · 2024-01-02 03:04 · 2 prompts"
    assert (said["status_text"], said["shown"]) == ("accepted without L1", True)
    assert describe(tree_rows([version(1, None)])[0], None)["changes"] == "5.0 mL"
    imported = version(1, None, prompts=({"type": "import"},))
    assert describe(tree_rows([imported])[0], None)["made"] == "ann · 2024-01-02 03:04", "where it is from is no prompt"


def test_what_visitors_typed_is_shown_as_it_is():
    decision = Decision("d", "m", "reject", "a_b", "not-a-lesion", "see #3", "2024-01-02T03:04:05Z", "L2")
    lines = decision_line(decision, 4).split("  \n")
    assert "**L2 of v4 rejected**: Not a lesion" in lines[0]
    assert lines[1:] == [r":small[:gray[a\_b · 2024\-01\-02 03\:04 UTC]]", r"*“see \#3”*"]


@pytest.fixture
def gwen(store: Store, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, MaskRecord]:
    """A patient with one mask of two lesions."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    monkeypatch.setattr(resources, "data_root", lambda: store.root)
    clinic.add_scan(store, "GWEN", DAY, clinic.body(1))
    record = clinic.add_child(store, clinic.two_lesions(900, 150), "GWEN", DAY, method="nnunet", author="demo")
    return store, record


def picture(record: MaskRecord, patient: str = "GWEN", day: str = DAY, mask_id: str = "") -> Any:
    headers = {HEADER: make_token("demo", patient, [], [day], False)}
    address = f"/api/history/thumbnail/{mask_id or record.mask_id}"
    return TestClient(Starlette(routes=routes.ROUTES)).get(address, headers=headers)


def test_a_thumbnail_is_a_small_picture_of_the_largest_slice_and_is_kept_on_disk(gwen, monkeypatch):
    store, record = gwen
    array = clinic.two_lesions(900, 150).array
    k, labels = largest_slice(store.masks.path(record), array.shape)
    assert k == int(np.count_nonzero(array, axis=(0, 1)).argmax())
    np.testing.assert_array_equal(labels, array[:, :, k])
    answer = picture(record)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["cache-control"] == "no-store"
    image = Image.open(io.BytesIO(answer.content))
    assert max(image.size) == SIDE_PX
    colours = {tuple(map(int, pixel)) for pixel in np.asarray(image).reshape(-1, 3)}
    assert any(red != blue for red, _, blue in colours)  # lesions are outlined in colour on the grey scan

    monkeypatch.setattr("pages.ui.shared.thumbnails._draw", lambda *_: pytest.fail("it was drawn already"))
    assert picture(record).content == answer.content


def test_a_thumbnail_needs_a_token_of_that_patient_and_timepoint(gwen):
    _, record = gwen
    assert picture(record, patient="ANNA").status_code == 403
    assert picture(record, day=clinic.DAYS[1]).status_code == 403
    assert picture(record, mask_id="no-such-mask").status_code == 403
    client = TestClient(Starlette(routes=routes.ROUTES))
    assert client.get(f"/api/history/thumbnail/{record.mask_id}").status_code == 403


def test_an_empty_mask_has_a_picture_and_a_damaged_file_a_sentence(gwen):
    store, _ = gwen
    empty = clinic.add_child(store, clinic.two_lesions(0, 0), "GWEN", DAY, method="manual", author="demo")
    assert picture(empty).status_code == 200
    broken = clinic.add_child(store, clinic.two_lesions(50, 9), "GWEN", DAY, method="manual", author="demo")
    store.masks.path(broken).write_bytes(b"no image")
    answer = picture(broken)
    assert answer.status_code == 404
    assert "is not the one that was stored" in answer.json()["error"]


def test_the_figure_has_a_mesh_a_lesion_in_millimetres_of_one_scale_and_rejected_ones_are_faint():
    surfaces = [surface_of(ball(9)), surface_of(ball(7, label=2), 2)]
    figure = surface_figure(surfaces, {1: "one", 2: "two"}, {2})
    assert [mesh.name for mesh in figure.data] == ["one", "two · rejected"]
    assert figure.data[1].opacity < figure.data[0].opacity
    assert figure.layout.scene.aspectmode == "data"
    assert np.ptp(figure.data[0].x) == pytest.approx(18, abs=1)
    assert np.ptp(figure.data[0].z) == pytest.approx(18, abs=2)
