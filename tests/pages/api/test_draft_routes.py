"""The routes of drafts: for their own person alone, with a revision, and saved as a version with its diff."""

from __future__ import annotations

import gzip
import json
import struct
import threading
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.jobs.stages import draft as draft_stage
from pages.ui.api import routes
from pages.ui.frame import resources
from pages.ui.guard.tokens import HEADER, make_token
from store import Store
from store.files.drafts import pack_edit
from tests.store_phantom import DAY1, SHAPE, VOXEL_MM3, add_mask, add_scan

URL = "/api/viewer/draft"
BEGIN = {"patient_id": "P1", "timepoint": DAY1, "parent_version": 1}


@pytest.fixture
def client(store: Store, monkeypatch):
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    add_scan(store)
    add_mask(store, 3)
    store.people.add("other", by="demo")
    return TestClient(Starlette(routes=routes.ROUTES))


def token(person="demo", edit=True, patient="P1", day=DAY1):
    return {HEADER: make_token(person, patient, (), (day,), edit)}


def begin(client, **more):
    answer = client.post(URL, json=BEGIN, headers=token(**more))
    assert answer.status_code == 200, answer.text
    return answer.json()


def put(client, draft_id, revision, slices, prompts=None, answers=None, **more):
    headers = {**token(**more), "If-Match": str(revision)}
    return client.put(f"{URL}/{draft_id}", content=pack_edit(slices, prompts, "x", answers), headers=headers)


def put_header(client, draft_id, revision, header, pixels=b""):
    """An edit of that very header, as JSON or as bytes."""
    words = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = gzip.compress(struct.pack("<I", len(words)) + words + pixels)
    return client.put(f"{URL}/{draft_id}", content=body, headers={**token(), "If-Match": str(revision)})


def save(client, draft_id, revision, **more):
    return client.post(f"{URL}/{draft_id}/save", headers={**token(**more), "If-Match": str(revision)})


def slices(first):
    """Slice 2 of the first mask with the first voxels of lesion 1 in its row."""
    plane = np.zeros(SHAPE[:2], np.uint8)
    plane[:first, 2] = 1
    return {2: plane}


def labels(client, draft_id):
    answer = client.get(f"{URL}/{draft_id}/labels", headers=token())
    assert answer.headers["cache-control"] == "no-store"
    array = np.frombuffer(answer.content, np.uint8).reshape(SHAPE, order="F")
    return array, int(answer.headers["x-revision"])


def test_an_edit_is_read_back_and_saved_with_its_diff(client, store: Store):
    draft = begin(client)
    assert (draft["revision"], draft["prompts"], draft["parent_version"]) == (0, [], 1)
    assert put(client, draft["draft_id"], 0, slices(5)).json() == {"revision": 1, "unproven": []}
    array, revision = labels(client, draft["draft_id"])
    assert revision == 1
    assert array[:5, 2, 2].tolist() == [1] * 5
    said = client.post(f"{URL}/{draft['draft_id']}/save", headers={**token(), "If-Match": "1"}).json()
    assert said["version"] == 2
    assert (said["voxels_added"], said["voxels_removed"], said["method"]) == (2, 0, "manual")
    assert said["dice"] == pytest.approx(2 * 3 / (3 + 5))
    assert said["volume_delta_mm3"] == pytest.approx(2 * VOXEL_MM3)
    # The five border voxels' distances to the three are 0 0 0 1 2 mm; the three's are 0: the 95th percentile of five.
    assert said["hausdorff95_mm"] == pytest.approx(np.percentile([0, 0, 0, 8, 16], 95))
    assert (store.masks.load(store.masks.version("P1", DAY1, 2)).array == array).all()
    assert store.masks.version("P1", DAY1, 2).parent_version == 1
    assert store.drafts.of("P1") == []
    assert store.verify() == []


def test_a_draft_that_is_saved_several_times_at_once_is_one_version(client, store: Store):
    draft = begin(client)["draft_id"]
    put(client, draft, 0, slices(5))
    together, answers = threading.Barrier(4), []

    def once(spelled):
        together.wait()
        answers.append(save(client, spelled, 1))

    spellings = (draft, draft, draft.upper(), draft.replace("-", ""))
    threads = [threading.Thread(target=once, args=(spelled,)) for spelled in spellings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    assert [record.version for record in store.masks.of("P1", DAY1)] == [1, 2]


def test_a_draft_that_is_discarded_while_it_is_saved_is_a_version_or_none_and_says_so(
    client, store: Store, monkeypatch
):
    draft = begin(client)["draft_id"]
    put(client, draft, 0, slices(5))
    saving, go_on = threading.Event(), threading.Event()
    save_draft = draft_stage.save_draft

    def slowly(*args, **more):
        saving.set()
        assert go_on.wait(60)
        return save_draft(*args, **more)

    monkeypatch.setattr(draft_stage, "save_draft", slowly)
    answers: dict[str, Any] = {}
    saver = threading.Thread(target=lambda: answers.update(save=save(client, draft, 1)))
    saver.start()
    assert saving.wait(60)
    discarder = threading.Thread(
        target=lambda: answers.update(discard=client.delete(f"{URL}/{draft}", headers=token()))
    )
    discarder.start()
    discarder.join(0.5)
    go_on.set()
    saver.join()
    discarder.join()
    assert (answers["save"].status_code, answers["discard"].status_code) == (200, 404)
    assert [record.version for record in store.masks.of("P1", DAY1)] == [1, 2]


def test_a_stale_change_says_what_the_newest_is(client):
    draft = begin(client)
    put(client, draft["draft_id"], 0, slices(5))
    answer = put(client, draft["draft_id"], 0, slices(1))
    assert answer.status_code == 409
    assert answer.json()["revision"] == 1
    assert "another window saved" in answer.json()["error"]
    stale = client.post(f"{URL}/{draft['draft_id']}/save", headers={**token(), "If-Match": "0"})
    assert stale.status_code == 409
    assert labels(client, draft["draft_id"])[0][:5, 2, 2].tolist() == [1] * 5


def test_a_draft_is_its_own_persons_alone(client):
    draft = begin(client)
    for attempt in (
        put(client, draft["draft_id"], 0, slices(5), person="other"),
        client.get(f"{URL}/{draft['draft_id']}/labels", headers=token(person="other")),
        client.post(f"{URL}/{draft['draft_id']}/save", headers={**token(person="other"), "If-Match": "0"}),
        client.delete(f"{URL}/{draft['draft_id']}", headers=token(person="other")),
    ):
        assert (attempt.status_code, attempt.json()["error"]) == (404, "This draft was saved or discarded meanwhile.")
    for attempt in (
        client.get(f"{URL}/{draft['draft_id']}/labels", headers=token(day="2020-03-01")),
        client.get(f"{URL}/{draft['draft_id']}/labels", headers=token(edit=False)),
        client.get(f"{URL}/{draft['draft_id']}/labels"),
        client.post(URL, json={**BEGIN, "patient_id": "P2"}, headers=token()),
    ):
        assert attempt.status_code == 403
        assert attempt.json()["error"].endswith(".")
    assert begin(client, person="other")["draft_id"] != draft["draft_id"]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"junk", 422),
        ({"If-Match": "soon"}, pack_edit({}, None, "x"), 422),
        ({"If-Match": "0"}, b"junk", 422),
        ({"If-Match": "0"}, gzip.compress(b"\0" * 100_000), 422),
    ],
)
def test_bad_changes_are_refused_in_words(client, headers, body, status):
    draft = begin(client)
    answer = client.put(f"{URL}/{draft['draft_id']}", content=body, headers={**token(), **headers})
    assert answer.status_code == status
    assert answer.json()["error"].startswith("Expected")
    assert labels(client, draft["draft_id"])[1] == 0


def test_no_draft_is_begun_on_a_version_that_a_blind_reader_may_not_see(client, store: Store):
    draft = begin(client)["draft_id"]
    put(client, draft, 0, slices(5))
    client.post(f"{URL}/{draft}/save", headers={**token(), "If-Match": "1"})
    store.readings.set_blind("P1", DAY1, True, "demo")
    answer = client.post(URL, json={**BEGIN, "parent_version": 2}, headers=token(person="other"))
    assert answer.status_code == 403
    assert "may see" in answer.json()["error"]
    assert store.drafts.of("P1") == []


def test_a_draft_without_changes_is_no_version(client, store: Store):
    draft = begin(client)
    answer = client.post(f"{URL}/{draft['draft_id']}/save", headers={**token(), "If-Match": "0"})
    assert answer.status_code == 422
    assert "differs from its version" in answer.json()["error"]
    assert len(store.masks.of("P1", DAY1)) == 1


def test_a_draft_that_was_discarded_is_told(client):
    draft = begin(client)
    assert client.delete(f"{URL}/{draft['draft_id']}", headers=token()).status_code == 200
    answer = put(client, draft["draft_id"], 0, slices(5))
    assert answer.status_code == 404
    assert answer.json()["error"] == "This draft was saved or discarded meanwhile."
