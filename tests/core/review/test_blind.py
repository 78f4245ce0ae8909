"""Two people and a timepoint read blind: whatever the second makes, nothing of the first one's mask is in it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.errors import InputError, StoreError
from core.imaging.volumes import write_nifti
from core.jobs.jobs import run_inline
from core.jobs.pipeline import KINDS, import_mask
from core.jobs.stages import refine, segment
from core.jobs.stages.draft import save_draft
from core.jobs.stages.linking import scans_here
from core.jobs.stages.readers import add_consensus, readers_of_timepoint
from core.jobs.stages.relinking import relink
from core.review.drawable import drawable_lesions
from core.review.readers import newest_visible_mask, visible_masks
from core.types import LabelMap
from pages.ui.api import routes
from pages.ui.frame import resources
from pages.ui.guard.tokens import HEADER, make_token
from pages.ui.viewer.describe import Shown, viewer_data
from store import Store
from store.files.drafts import pack_edit
from tests.store_phantom import DAY1, DAY2, SHAPE, VOXEL_MM3, add_mask, add_scan, grid

HIDDEN_VOXELS = 7
DRAFT = "/api/viewer/draft"


@pytest.fixture
def blind(store: Store, monkeypatch):
    """v1 by the network (3 voxels of L1); ann's hidden v2 has 7 of L1 and 5 of L2; the day is read blind."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    monkeypatch.setattr(resources, "data_root", lambda: store.root)
    store.people.add("ben", by="demo")
    for n, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=n)
        add_scan(store, day=day, seed=10 + n, modality="PET")
    add_mask(store, 3)
    add_mask(store, HIDDEN_VOXELS, 5, method="manual", author="ann", parent_version=1)
    store.readings.set_blind("P1", DAY1, True, "demo")
    return store


@pytest.fixture
def hidden_first(store: Store, monkeypatch):
    """Only ann's hidden v1."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    store.people.add("ben", by="demo")
    add_scan(store)
    add_scan(store, seed=10, modality="PET")
    add_mask(store, HIDDEN_VOXELS, 5, method="manual", author="ann")
    store.readings.set_blind("P1", DAY1, True, "demo")
    return store


def is_first(record: dict[str, Any]) -> None:
    """The record is of a version without a parent: it compares with nothing."""
    assert record["parent_version"] is None
    assert record["dice_vs_previous_version"] is None
    assert record["volume_delta_mm3"] is None
    assert (record["voxels_removed"], record["voxels_unchanged"]) == (0, 0)
    assert record["voxels_added"] == sum(lesion["voxels"] for lesion in record["lesions"])


def drawn(first: int = 4) -> dict[int, Any]:
    plane = np.zeros(SHAPE[:2], np.uint8)
    plane[:first, 2] = 1
    return {2: plane}


def stored(store: Store, version: int) -> dict[str, Any]:
    """Row and sidecar of a version, which must be one and the same; the sidecar has lesions by their label's number."""
    record = store.masks.version("P1", DAY1, version)
    sidecar = json.loads(store.masks.path(record).with_name(f"mask_v{version:03d}.json").read_text())
    numbered = [{**lesion, "lesion_id": f"L{lesion['label']}"} for lesion in record.lesions]
    assert sidecar == json.loads(json.dumps({**record.to_json(), "lesions": numbered}))
    return dict(sidecar)


def as_draft(parent: int | None) -> Any:
    headers = {HEADER: make_token("ben", "P1", (), (DAY1,), True)}
    client = TestClient(Starlette(routes=routes.ROUTES))
    begun = client.post(DRAFT, json={"patient_id": "P1", "timepoint": DAY1, "parent_version": parent}, headers=headers)
    assert begun.status_code == 200, begun.text
    on = {**headers, "If-Match": "0"}
    client.put(f"{DRAFT}/{begun.json()['draft_id']}", content=pack_edit(drawn(), None, "x"), headers=on)
    said = client.post(f"{DRAFT}/{begun.json()['draft_id']}/save", headers={**headers, "If-Match": "1"})
    assert said.status_code == 200, said.text
    return said.json()


def as_import(store: Store, folder: Any) -> Any:
    array = np.zeros(SHAPE, np.uint8)
    array[:4, 2, 2] = 1
    write_nifti(folder / "mask.nii.gz", array, grid(), overwrite=True)
    return import_mask(store, folder / "mask.nii.gz", patient_id="P1", timepoint=DAY1, author="ben")


def as_refine(store: Store, folder: Any, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Prepared and recorded as the job does; the model's answer is laid down in the file that it would write."""
    box = {"type": "box", "slice": 2, "coords": [0, 0, 5, 5]}
    request = {"patient_id": "P1", "timepoint": DAY1, "scan": "CT", "prompts": [box], **more}
    params = refine.prepare_refine(store, request, "ben")
    array = np.zeros(SHAPE, np.uint8)
    array[:4, 2, 2] = params["lesion"] or params["next_label"]
    write_nifti(folder / "mask.nii.gz", array, grid(), overwrite=True)
    result = {"mask": "mask.nii.gz", "lesion": 1, "model_id": "m", "checkpoint_sha256": "c" * 64, "stops": []}
    return params, refine.record_refine(store, params, result, folder, "ben")


def as_segment(
    store: Store, folder: Any, person: str = "ben", day: str = DAY1
) -> tuple[dict[str, Any], dict[str, Any]]:
    params = segment.prepare_segment(store, {"patient_id": "P1", "timepoint": day}, person)
    found = np.zeros(SHAPE, bool)
    found[:4, 1:4, 1:4] = True
    found[6:10, 5:8, 4:7] = True
    here = scans_here(store, "P1", day)
    labels, proposed = segment.linked(LabelMap(found.astype(np.uint8), grid()), here, params["linking"])
    write_nifti(folder / "mask.nii.gz", labels.array, grid(), overwrite=True)
    result = {"mask": "mask.nii.gz", "checkpoint_sha256": "0" * 64, "seconds": {}, "proposed": proposed.to_json()}
    return params, segment.record_segment(store, params, result, folder, person)


# ---------------------------------------------------------------- the parent is what the maker could see


def test_a_blind_readers_first_mask_has_no_parent_and_compares_with_nothing(hidden_first, tmp_path):
    said = as_draft(None)
    assert (said["dice"], said["volume_delta_mm3"], said["hausdorff95_mm"]) == (None, None, None)
    assert (said["voxels_added"], said["voxels_removed"]) == (4, 0)
    is_first(stored(hidden_first, said["version"]))


def test_an_import_a_refinement_and_a_proposal_beside_a_hidden_first_mask_have_no_parent(hidden_first, tmp_path):
    store = hidden_first
    params, network = as_segment(store, tmp_path)
    assert (params["linking"]["known"], params["linking"]["next_number"]) == ([], 1)
    assert [(link["lesion_id"], link["relation"]) for link in network["links"]] == [("L1", "new"), ("L2", "new")]
    is_first(stored(store, network["version"]))
    is_first(network)
    store.decisions.decide("P1", DAY1, network["version"], "reject", "demo", "test")
    record = as_import(store, tmp_path)
    assert record.parent_version == network["version"], "a rejected version is still a version"


@pytest.mark.parametrize("make", ["import", "refine"])
def test_with_the_hidden_mask_alone_there_is_no_parent(hidden_first, tmp_path, make):
    if make == "import":
        record = as_import(hidden_first, tmp_path).to_json()
    else:
        params, record = as_refine(hidden_first, tmp_path)
        assert (params["parent_version"], params["parent_mask"], params["next_label"]) == (None, None, 1)
    is_first(stored(hidden_first, record["version"]))


@pytest.mark.parametrize("make", ["draft", "import", "refine", "segment"])
def test_beside_an_automatic_version_that_one_is_the_parent(blind, tmp_path, make):
    made = {
        "draft": lambda: as_draft(1),
        "import": lambda: as_import(blind, tmp_path).to_json(),
        "refine": lambda: as_refine(blind, tmp_path)[1],
        "segment": lambda: as_segment(blind, tmp_path)[1],
    }[make]()
    record = stored(blind, made["version"])
    assert record["parent_version"] == 1
    if make != "segment":
        assert record["dice_vs_previous_version"] == pytest.approx(2 * 3 / (3 + 4))
        assert record["volume_delta_mm3"] == pytest.approx(VOXEL_MM3)
    assert blind.verify() == []


def test_the_job_in_the_table_tells_nothing_of_the_hidden_mask(blind, tmp_path):
    """The job itself, with its row: what was asked and what came of it."""

    def answers(params: dict[str, Any], out_dir: Any, progress: Any) -> dict[str, Any]:
        array = np.zeros(SHAPE, np.uint8)
        array[:4, 2, 2] = 1
        write_nifti(out_dir / "mask.nii.gz", array, grid())
        return {"mask": "mask.nii.gz", "lesion": 1, "model_id": "m", "checkpoint_sha256": "c" * 64, "stops": []}

    kind = KINDS["refine"]
    request = {
        "patient_id": "P1",
        "timepoint": DAY1,
        "scan": "CT",
        "prompts": [{"type": "box", "slice": 2, "coords": [0, 0, 5, 5]}],
    }
    run_inline(blind, type(kind)(kind.name, kind.prepare, answers, kind.record), request, "ben")
    (row,) = blind.jobs.newest()
    hidden = blind.masks.version("P1", DAY1, 2)
    assert row.result["parent_version"] == 1
    assert hidden.mask_id not in json.dumps(row, default=str)
    assert hidden.mask_sha256 not in json.dumps(row, default=str)


def test_nobody_begins_with_a_version_that_they_may_not_see(blind, tmp_path):
    with pytest.raises(StoreError, match=r"no mask version 2 .* that you may see; there is 1\."):
        as_refine(blind, tmp_path, parent_version=2)
    with pytest.raises(StoreError, match="may see as parent, got 2"):
        save_draft(
            blind,
            "P1",
            DAY1,
            parent_version=2,
            labels=LabelMap(np.zeros(SHAPE, np.uint8), grid()),
            answers=[],
            person="ben",
        )
    assert [record.version for record in blind.masks.of("P1", DAY1)] == [1, 2]


def test_who_has_finished_sees_and_begins_with_the_others(blind, tmp_path):
    blind.readings.finish("P1", DAY1, "ben")
    assert as_import(blind, tmp_path).parent_version == 2
    params, _ = as_refine(blind, tmp_path, lesion="new")
    assert params["lesion"] == 3


# ---------------------------------------------------------------- numbers


def test_a_new_lesions_number_does_not_count_what_others_found(blind, tmp_path):
    """ann's hidden mask has L1 and L2: a third number for ben would tell him so."""
    assert drawable_lesions(blind, "P1", "ben", None).new_label == 2
    assert drawable_lesions(blind, "P1", "ann", None).new_label == 3
    shown = Shown(DAY1, newest_visible_mask(blind, "P1", DAY1, "ben"))
    data = viewer_data(blind, "P1", [shown], "ben", edit=True)
    assert data["panes"][0]["next_label"] == 2
    assert as_refine(blind, tmp_path, lesion="new")[0]["lesion"] == 2
    hidden = blind.masks.version("P1", DAY1, 2)
    assert hidden.mask_id not in json.dumps(data)
    assert '"L2"' not in json.dumps(data)


def test_a_network_run_by_the_one_reader_shows_the_other_nothing_of_the_first_ones_mask(blind, tmp_path):
    """Everybody sees an automatic version: neither its parent, nor its lesions, nor its notes may be of a reading."""
    params, record = as_segment(blind, tmp_path, "ann")
    assert [one["lesion_of"] for one in params["linking"]["known"]] == [{"1": "L1"}]
    assert (params["linking"]["next_number"], record["parent_version"]) == (2, 1)
    assert [(link["label"], link["lesion_id"]) for link in record["links"]] == [(1, "L1"), (2, "L2")]
    assert blind.masks.version("P1", DAY1, 2).mask_id not in json.dumps(record)


def test_links_that_one_reader_has_told_anew_tell_the_other_nothing_of_a_hidden_mask(blind):
    """Everybody sees the links of an automatic version, whoever asked for them."""
    relink(blind, blind.masks.version("P1", DAY1, 1), "ann")
    (link,) = blind.seen_by("ben").links.of("P1")
    assert (link.lesion_id, link.relation) == ("L1", "new")
    assert blind.masks.version("P1", DAY1, 2).mask_id not in repr(link)


def test_a_later_visit_is_numbered_by_what_its_reader_may_see_of_the_blind_one(blind, tmp_path):
    def linking(person: str) -> Any:
        return segment.prepare_segment(blind, {"patient_id": "P1", "timepoint": DAY2}, person)["linking"]

    for person, free in (("ben", 2), ("ann", 3)):
        assert (linking(person)["known"], linking(person)["next_number"]) == ([], free), "nothing is accepted"
    for person in ("ben", "ann", "demo"):
        blind.readings.finish("P1", DAY1, person)
    blind.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    for person in ("ben", "ann"):
        assert [one["lesion_of"] for one in linking(person)["known"]] == [{"1": "L1"}]


# ---------------------------------------------------------------- what was recorded before


def test_a_version_whose_parent_is_hidden_is_shown_as_one_without(blind):
    """As an earlier TwinReview recorded it: ben's own mask and a network's as children of ann's."""
    own = add_mask(blind, 4, method="manual", author="ben", parent_version=2)
    network = add_mask(blind, 5, parent_version=2)
    assert own.voxels_removed > 0
    shown = {record.version: record for record in visible_masks(blind, "P1", DAY1, "ben")}
    assert list(shown) == [1, own.version, network.version]
    for version in (own.version, network.version):
        is_first(shown[version].to_json())
    view = blind.seen_by("ben")
    is_first(view.masks.by_id(own.mask_id).to_json())
    with pytest.raises(StoreError, match="There is no mask"):
        view.masks.by_id(blind.masks.version("P1", DAY1, 2).mask_id)
    blind.readings.finish("P1", DAY1, "ben")
    assert visible_masks(blind, "P1", DAY1, "ben")[2] == own


def test_a_draft_of_a_version_that_has_become_hidden_waits_and_can_be_discarded(blind):
    blind.readings.set_blind("P1", DAY1, False, "demo")
    headers = {HEADER: make_token("ben", "P1", (), (DAY1,), True)}
    client = TestClient(Starlette(routes=routes.ROUTES))
    body = {"patient_id": "P1", "timepoint": DAY1, "parent_version": 2}
    draft = client.post(DRAFT, json=body, headers=headers).json()["draft_id"]
    blind.readings.set_blind("P1", DAY1, True, "demo")
    on = {**headers, "If-Match": "0"}
    for answer in (
        client.get(f"{DRAFT}/{draft}/labels", headers=headers),
        client.put(f"{DRAFT}/{draft}", content=pack_edit(drawn(), None, "x"), headers=on),
        client.post(f"{DRAFT}/{draft}/save", headers=on),
        client.post(DRAFT, json=body, headers=headers),
    ):
        assert answer.status_code == 403
        assert "may" in answer.json()["error"]
    assert client.delete(f"{DRAFT}/{draft}", headers=headers).status_code == 200


def test_agreement_and_consensus_are_for_those_who_have_finished(blind):
    add_mask(blind, 4, method="manual", author="ben", parent_version=1)
    for ask in (readers_of_timepoint, add_consensus):
        with pytest.raises(InputError, match="is read blind, and ben has not finished") as caught:
            ask(blind, "P1", DAY1, "ben")
        assert "ann" not in str(caught.value)
    blind.readings.finish("P1", DAY1, "ben")
    assert readers_of_timepoint(blind, "P1", DAY1, "ben")["readers"] == {"ann": 2, "ben": 3}
    made = add_consensus(blind, "P1", DAY1, "ben")
    assert made.version not in [record.version for record in visible_masks(blind, "P1", DAY1, "cara")]


def test_the_command_line_makes_masks_of_what_its_reviewer_may_see(blind, tmp_path, capsys):
    import cli

    array = np.zeros(SHAPE, np.uint8)
    array[:4, 2, 2] = 1
    write_nifti(tmp_path / "mask.nii.gz", array, grid())
    root = blind.root
    blind.close()
    verb = ["import-mask", "P1", DAY1, str(tmp_path / "mask.nii.gz")]
    assert cli.main([*verb, "--data", str(root), "--reviewer", "ben", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parent_version"] == 1
    assert cli.main(["agreement", "P1", DAY1, "--data", str(root), "--reviewer", "ben"]) == 1
    assert "read blind" in capsys.readouterr().err
