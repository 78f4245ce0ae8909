"""The way of an answer: asked for over one route, cited over another, and named in the version by the server alone."""

from __future__ import annotations

import gzip
import json
import struct
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.lesions.mask_bits import unpack
from core.review.model_answers import AnswerBook
from pages.ui.api import draft_routes, prompt_routes, routes
from pages.ui.frame import resources
from pages.ui.guard.tokens import HEADER, make_token
from store import Store
from store.files.drafts import pack_edit
from tests.pages.api.test_prompt_routes import Service
from tests.store_phantom import DAY1, SHAPE, add_mask, add_scan

DRAFT = "/api/viewer/draft"
BOX = {"type": "box", "scan": "CT", "axis": 2, "slice": 2, "coords": [1, 4, 6, 8], "positive": True, "lesion": 1}
MODEL = {"model_id": "litemedsam", "checkpoint_sha256": "c" * 64}
FORGED = {"model_id": "gpt", "checkpoint_sha256": "f" * 64, "method": "medsam"}


class Desk:
    """A person's browser: asks for answers, keeps them as the viewer does, and saves."""

    def __init__(self, store: Store, scan: Any, person: str = "demo") -> None:
        self.store, self.scan, self.client = store, scan, TestClient(Starlette(routes=routes.ROUTES))
        self.headers = {HEADER: make_token(person, "P1", (scan.sha256,), (DAY1,), True)}
        self.begin(1)

    def begin(self, parent: int | None) -> dict[str, Any]:
        body = {"patient_id": "P1", "timepoint": DAY1, "parent_version": parent}
        said = dict(self.client.post(DRAFT, json=body, headers=self.headers).json())
        self.draft, self.revision = said["draft_id"], said["revision"]
        flat = self.client.get(f"{DRAFT}/{self.draft}/labels", headers=self.headers).content
        self.labels = np.frombuffer(flat, np.uint8).reshape(SHAPE, order="F").copy()
        return said

    def ask(self, box: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        box = {**BOX, **(box or {})}
        body = {
            "scan": self.scan.sha256,
            "axis": box["axis"],
            "slice": box["slice"],
            "prompts": [box],
            "lesion": 1,
            **more,
        }
        said = self.client.post("/api/viewer/prompt", json=body, headers=self.headers)
        assert said.status_code == 200, said.text
        return dict(said.json())

    def keep(self, said: dict[str, Any], k: int = 2) -> None:
        mask, plane = unpack(said, SHAPE[:2]), self.labels[:, :, k]
        plane[(plane == 1) & ~mask] = 0
        plane[mask & (plane == 0)] = 1

    def put(self, answers: list[str] | None, prompts: Any = None, **claims: Any) -> dict[str, Any]:
        slices = {k: self.labels[:, :, k] for k in range(SHAPE[2])}
        body = pack_edit(slices, prompts, "x", answers)
        if claims:
            data = gzip.decompress(body)
            (length,) = struct.unpack_from("<I", data)
            words = json.dumps({**json.loads(data[4 : 4 + length]), **claims}).encode()
            body = gzip.compress(struct.pack("<I", len(words)) + words + data[4 + length :])
        headers = {**self.headers, "If-Match": str(self.revision)}
        said = self.client.put(f"{DRAFT}/{self.draft}", content=body, headers=headers)
        assert said.status_code == 200, said.text
        self.revision = said.json()["revision"]
        return dict(said.json())

    def save(self) -> Any:
        headers = {**self.headers, "If-Match": str(self.revision)}
        said = self.client.post(f"{DRAFT}/{self.draft}/save", headers=headers)
        assert said.status_code == 200, said.text
        return self.store.masks.version("P1", DAY1, said.json()["version"])


@pytest.fixture
def book(monkeypatch):
    return restart(monkeypatch)


def restart(monkeypatch):
    """As a server that has just started: nothing is remembered."""
    made = AnswerBook()
    for module in (prompt_routes, draft_routes):
        monkeypatch.setattr(module, "GIVEN", made)
    return made


@pytest.fixture
def desk(store: Store, monkeypatch, book):
    service = Service()
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    monkeypatch.setattr(resources, "get_prompt_service", lambda: service)
    scan = add_scan(store)
    add_mask(store, 3)
    store.people.add("other", by="demo")
    return Desk(store, scan)


def test_what_a_browser_claims_of_models_is_not_believed(desk):
    """Any model, any hash, in header and prompts: a drawing is a drawing."""
    desk.labels[1:4, 1:4, 4] = 1
    desk.put(None, [{**BOX, **FORGED, "kept": True}], by_hand=False, **FORGED)
    record = desk.save()
    assert (record.method, record.model_checkpoint, record.checkpoint_sha256, record.prompts) == (
        "manual",
        None,
        None,
        (),
    )
    sidecar = desk.store.masks.path(record).with_name("mask_v002.json").read_text()
    assert "gpt" not in sidecar
    assert "f" * 64 not in sidecar
    assert desk.store.verify() == []


def test_an_answer_that_is_cited_names_method_model_and_prompts_by_the_servers_own_record(desk):
    said = desk.ask()
    desk.keep(said)
    desk.put([said["answer_id"]], [{**BOX, **FORGED, "coords": [0, 0, 9, 9], "kept": True}])
    record = desk.save()
    assert (record.method, record.model_checkpoint, record.checkpoint_sha256) == ("medsam", *MODEL.values())
    assert list(record.prompts) == [{**BOX, **MODEL}], "as they were asked, not as they are told later"


def test_a_brush_beside_the_answer_makes_it_partly_by_hand_whatever_the_browser_says(desk):
    said = desk.ask()
    desk.keep(said)
    desk.labels[11, 9, 7] = 1
    desk.put([said["answer_id"]], by_hand=False)
    record = desk.save()
    assert (record.method, record.checkpoint_sha256) == ("medsam-manual", "c" * 64)


def test_an_answer_cannot_be_cited_for_another_drawing_lesion_slice_person_or_by_a_made_up_id(desk):
    other = Desk(desk.store, desk.scan, "other")
    theirs, own, second = other.ask(), desk.ask(), desk.ask(lesion=2)
    assert desk.put(["0" * 32, theirs["answer_id"]])["unproven"] == ["0" * 32, theirs["answer_id"]]
    desk.keep(own, k=5)  # the mask of slice 2, on slice 5
    assert desk.put([theirs["answer_id"], own["answer_id"], second["answer_id"]])["unproven"] == [theirs["answer_id"]]
    record = desk.save()
    assert (record.method, record.model_checkpoint, record.prompts) == ("manual", None, ())


def test_what_was_cited_is_known_after_a_restart_and_what_was_not_is_by_hand(desk, monkeypatch):
    first, second = desk.ask(), desk.ask({"slice": 4})
    desk.keep(first)
    desk.put([first["answer_id"]])
    restart(monkeypatch)
    assert desk.begin(1)["answers"] == [first["answer_id"]]
    desk.keep(second, k=4)
    told = desk.put([first["answer_id"], second["answer_id"]])
    assert told["unproven"] == [second["answer_id"]]
    record = desk.save()
    assert (record.method, record.model_checkpoint) == ("medsam-manual", "litemedsam")
    assert [prompt["slice"] for prompt in record.prompts] == [2]


def test_a_propagation_is_cited_slice_by_slice(desk):
    body = {"scan": desk.scan.sha256, "prompts": [{**BOX, "slice": 4}], "lesion": 1}
    answer = desk.client.post("/api/viewer/propagate", json=body, headers=desk.headers)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    ids = [line["answer_id"] for line in lines if "answer_id" in line]
    assert len(ids) == 2
    for line in lines[:2]:
        desk.keep(line, k=line["slice"])
    desk.put(ids)
    record = desk.save()
    assert record.method == "medsam"
    assert list(record.prompts) == [{**BOX, "slice": 4, **MODEL, "propagate": True}]


def test_a_propagation_that_goes_on_from_a_mask_names_that_mask_and_no_prompt_that_no_model_was_asked(desk):
    """Beside `from`, boxes and points only say where to look and where to stop: the model answers none of them."""
    points = [{**BOX, "type": "point", "slice": 1, "coords": [9.0, 7.0], "positive": sign} for sign in (False, True)]
    mask = {"slice": 4, "origin": [3, 2], "shape": [3, 3], "mask": "hQA="}
    body = {"scan": desk.scan.sha256, "prompts": [{**BOX, "slice": 4}, *points], "lesion": 1, "from": mask}
    answer = desk.client.post("/api/viewer/propagate", json=body, headers=desk.headers)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    for line in lines[:2]:
        desk.keep(line, k=line["slice"])
    desk.put([line["answer_id"] for line in lines[:2]])
    record = desk.save()
    assert record.method == "medsam"
    started = {"type": "mask", "axis": 2, "slice": 4, "coords": [3.0, 2.0, 5.0, 4.0], "positive": True, "scan": "CT"}
    assert list(record.prompts) == [{**started, "lesion": 1, **MODEL, "propagate": True}]


def test_answers_of_a_closed_draft_are_forgotten(desk, book):
    desk.ask()
    assert len(book) == 1
    desk.client.delete(f"{DRAFT}/{desk.draft}", headers=desk.headers)
    assert len(book) == 0


@pytest.mark.parametrize("how", ["save", "discard"])
def test_answers_are_kept_while_another_draft_of_the_timepoint_may_cite_them(desk, book, how):
    """Two drafts of one place, begun on two versions: what was asked for the one outlives the other."""
    first, said = desk.draft, desk.ask()
    desk.keep(said)
    desk.put([said["answer_id"]])
    other = desk.ask(box={"coords": [2, 4, 5, 8]})
    revision = desk.revision
    desk.begin(None)
    second = desk.draft
    assert second != first
    if how == "save":
        on = {**desk.headers, "If-Match": str(revision)}
        assert desk.client.post(f"{DRAFT}/{first}/save", headers=on).status_code == 200
    else:
        assert desk.client.delete(f"{DRAFT}/{first}", headers=desk.headers).status_code == 200
    desk.keep(other)
    assert desk.put([other["answer_id"]])["unproven"] == []
    assert desk.save().method == "medsam"
    assert len(book) == 0, "no draft is open any more"


def test_a_draft_from_before_opens_and_saves_as_by_hand(desk):
    """Its edits say themselves that a model made them, which nobody can tell any more."""
    old = {
        "slices": [2],
        "what": "x",
        "by_hand": False,
        "prompts": [{**BOX, **FORGED, "kept": True, "propagate": False}],
    }
    words = json.dumps(old).encode()
    plane = desk.labels[:, :, 2].copy()
    plane[5:8, 5] = 1
    body = gzip.compress(struct.pack("<I", len(words)) + words + plane.tobytes(order="F"))
    (desk.store.root / "drafts" / desk.draft / "000001.edit").write_bytes(body)
    said = desk.begin(1)
    assert (said["revision"], said["answers"], said["left_out"]) == (1, [], [])
    assert said["prompts"] == [{**BOX, "kept": True}]
    assert (desk.labels[5:8, 5, 2] == 1).all()
    record = desk.save()
    assert (record.method, record.model_checkpoint, record.prompts) == ("manual", None, ())


def test_a_damaged_record_of_an_answer_makes_its_voxels_by_hand_and_the_draft_is_saved(desk):
    said = desk.ask()
    desk.keep(said)
    desk.put([said["answer_id"]])
    (file,) = (desk.store.root / "drafts" / desk.draft).glob("*.answers")
    file.write_bytes(file.read_bytes()[:30])
    assert desk.begin(1)["answers"] == []
    assert desk.save().method == "manual"
