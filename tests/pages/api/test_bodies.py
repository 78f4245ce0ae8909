"""Whatever a browser sends to the routes of drafts and prompts: 2xx or a sentence, and the draft stays well."""

from __future__ import annotations

import gzip
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.review.model_answers import AnswerBook
from pages.ui.api import draft_routes, prompt_routes, routes
from pages.ui.frame import resources
from pages.ui.guard.tokens import HEADER, make_token
from store import Store, open_store
from store.files.drafts import pack_edit
from tests.pages.api.test_prompt_routes import Service
from tests.store_phantom import DAY1, SHAPE, add_mask, add_scan

API = "/api/viewer/"
PLANE = bytes(SHAPE[0] * SHAPE[1])
BOX: dict[str, Any] = {"type": "box", "axis": 2, "slice": 2, "coords": [1, 1, 6, 6], "positive": True, "lesion": 1}
MASK: dict[str, Any] = {"slice": 1, "origin": [0, 0], "shape": [9, 9], "mask": ""}
DEEP = b'{"slices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


class Page:
    """A browser with a token, and an open draft of version 1."""

    def __init__(self, store: Store, scan: Any) -> None:
        self.store, self.scan = store, scan
        self.client = TestClient(Starlette(routes=routes.ROUTES), raise_server_exceptions=False)
        self.headers = {HEADER: make_token("demo", "P1", (scan.sha256,), (DAY1,), True)}
        self.draft = self.begin()["draft_id"]

    def begin(self) -> dict[str, Any]:
        body = {"patient_id": "P1", "timepoint": DAY1, "parent_version": 1}
        answer = self.client.post(f"{API}draft", json=body, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def put(self, header: Any, pixels: bytes = b"", revision: Any = None) -> Any:
        words = header if isinstance(header, bytes) else json.dumps(header).encode()
        return self.send(gzip.compress(struct.pack("<I", len(words)) + words + pixels), revision)

    def send(self, body: bytes, revision: Any = None) -> Any:
        on = self.begin()["revision"] if revision is None else revision
        headers: Any = {**self.headers, "If-Match": str(on).encode("latin-1")}
        return self.client.put(f"{API}draft/{self.draft}", content=body, headers=headers)

    def post(self, route: str, body: Any) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(f"{API}{route}", content=content, headers=self.headers)

    def is_well(self) -> None:
        """The draft can be begun, read, changed and saved."""
        begun = self.begin()
        assert begun["draft_id"] == self.draft
        labels = self.client.get(f"{API}draft/{self.draft}/labels", headers=self.headers)
        assert labels.status_code == 200, labels.text
        plane = np.frombuffer(labels.content, np.uint8).reshape(SHAPE, order="F")[:, :, 7].copy()
        plane[0, 0] = (plane[0, 0] + 1) % 250
        assert self.send(pack_edit({7: plane}, None, "x")).status_code == 200

    def save(self) -> Any:
        headers = {**self.headers, "If-Match": str(self.begin()["revision"])}
        return self.client.post(f"{API}draft/{self.draft}/save", headers=headers)


def sentence(answer: Any) -> str:
    """An answer that refuses does so in words."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
    said = str(answer.json()["error"])
    assert said.endswith(".")
    assert len(said) < 500
    return said


def make(root: Any, monkeypatch: pytest.MonkeyPatch) -> Page:
    store = open_store(root)
    service = Service()
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    monkeypatch.setattr(resources, "get_prompt_service", lambda: service)
    for module in (prompt_routes, draft_routes):
        monkeypatch.setattr(module, "GIVEN", AnswerBook())
    scan = add_scan(store)
    add_mask(store, 3)
    return Page(store, scan)


@pytest.fixture
def page(tmp_path, monkeypatch):
    made = make(tmp_path / "data", monkeypatch)
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """One page for all examples of a property: each leaves it well, or the property fails."""
    with pytest.MonkeyPatch.context() as patch:
        made = make(tmp_path_factory.mktemp("bodies") / "data", patch)
        yield made
        made.store.close()


def boxes(**changes: Any) -> dict[str, Any]:
    return {"slices": [], "prompts": [{**BOX, **changes}]}


BAD_HEADERS: dict[str, Any] = {
    "NaN in a prompt": b'{"slices": [], "prompts": [{"type": "box", "slice": 1, "coords": [NaN, 1, 2, 3]}]}',
    "Infinity in a prompt": b'{"slices": [], "prompts": [{"type": "point", "slice": 1, "coords": [Infinity, 1]}]}',
    "a number that overflows": b'{"slices": [], "prompts": [{"type": "point", "slice": 1, "coords": [1e999, 1]}]}',
    "NaN beside the prompts": b'{"slices": [], "what": NaN}',
    "an integer of 5000 digits": b'{"slices": [' + b"9" * 5000 + b"]}",
    "an integer of 400 digits": b'{"slices": [' + b"9" * 400 + b"]}",
    "nested deeply": DEEP,
    "nested deeply in a claim": DEEP.replace(b"slices", b"model_id"),
    "a lone surrogate": b'{"slices": [], "what": "\\ud800"}',
    "no UTF-8": b'{"slices": [], "what": "\xff"}',
    "no object": b"[]",
    "nothing": b"",
    "no slices": {"what": "x"},
    "slices in words": {"slices": "all"},
    "a slice of true": {"slices": [True]},
    "a slice of 1.5": {"slices": [1.5]},
    "a slice below 0": {"slices": [-1]},
    "a slice twice": {"slices": [1, 1]},
    "a slice beyond the grid": {"slices": [SHAPE[2]]},
    "an unknown key": {"slices": [], "person": "ann"},
    "a prompt that is none": {"slices": [], "prompts": [1]},
    "a prompt with an unknown key": boxes(colour="red"),
    "an unknown type": boxes(type="circle"),
    "a consensus": boxes(type="consensus"),
    "three coordinates": boxes(coords=[1, 2, 3]),
    "no coordinates": boxes(coords=[]),
    "coordinates in words": boxes(coords=["1", "2", "3", "4"]),
    "a box turned round": boxes(coords=[6, 1, 1, 6]),
    "coordinates far away": boxes(coords=[1, 1, 2, 1e30]),
    "axis 3": boxes(axis=3),
    "slice below 0": boxes(slice=-1),
    "lesion 0": boxes(lesion=0),
    "lesion 256": boxes(lesion=256),
    "positive in words": boxes(positive="yes"),
    "a scan's name of a megabyte": boxes(scan="x" * 900_000),
    "501 prompts": {"slices": [], "prompts": [BOX] * 501},
    "an answer that is no id": {"slices": [], "answers": ["../../x"]},
    "an answer itself": {"slices": [], "answers": [{"answer_id": "0" * 32, "model_id": "m"}]},
    "5001 answers": {"slices": [], "answers": ["0" * 32] * 5001},
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_a_bad_header_is_refused_before_anything_is_kept(lasting, header):
    before, files = lasting.begin(), set((lasting.store.root / "drafts" / lasting.draft).iterdir())
    answer = lasting.put(header)
    assert answer.status_code == 422
    assert "Expected" in sentence(answer)
    assert lasting.begin() == before
    assert set((lasting.store.root / "drafts" / lasting.draft).iterdir()) == files
    assert not list((lasting.store.root / "incoming").iterdir())


def test_after_all_bad_headers_the_draft_is_read_changed_and_saved(page):
    for header in BAD_HEADERS.values():
        assert page.put(header, revision=0).status_code == 422
    page.is_well()
    assert page.save().status_code == 200


@pytest.mark.parametrize(
    "header", ["", "soon", "-1", "1.0", "9" * 5000, "\u00b2", '"', 'W/"0"', "0, 1", "1" * 10, '""0""'], ids=ascii
)
def test_a_revision_that_is_none_is_refused_in_words(lasting, header):
    answer = lasting.send(pack_edit({}, None, "x"), revision=header)
    assert answer.status_code == 422
    assert sentence(answer).startswith("Expected If-Match with a draft's revision")


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("draft", b"null"),
        ("draft", b"NaN"),
        ("draft", {"patient_id": "P1", "timepoint": DAY1}),
        ("draft", {"patient_id": ["P1"], "timepoint": DAY1, "parent_version": 1}),
        ("draft", {"patient_id": "P1", "timepoint": DAY1, "parent_version": True}),
        ("draft", {"patient_id": "P1", "timepoint": DAY1, "parent_version": 1.0}),
        ("draft", {"patient_id": "P1", "timepoint": DAY1, "parent_version": -1}),
        ("draft", {"patient_id": "P1", "timepoint": DAY1, "parent_version": 1, "person": "ann"}),
        ("draft", b"[" * 9000),
        ("draft", b" " * 20_000),
        ("prompt", b"{"),
        ("prompt", {"axis": 2, "slice": 2, "prompts": [BOX]}),
        ("prompt", {"scan": "SCAN", "axis": True, "slice": 2, "prompts": [BOX]}),
        ("prompt", {"scan": "SCAN", "axis": 2, "slice": 10**30, "prompts": [BOX]}),
        ("prompt", {"scan": "SCAN", "axis": 2, "slice": 2, "prompts": [{**BOX, "coords": [1, 1, 2, float("nan")]}]}),
        ("prompt", {"scan": "SCAN", "axis": 2, "slice": 2, "prompts": [BOX] * 501}),
        ("prompt", {"scan": "SCAN", "axis": 2, "slice": 2, "prompts": [BOX], "model_id": "x"}),
        ("ahead", {"scan": "SCAN", "axis": 2}),
        ("ahead", {"scan": "SCAN", "axis": 2, "slice": "2"}),
        ("propagate", {"scan": "SCAN", "prompts": [{**BOX, "axis": 0}]}),
        ("propagate", {"scan": "SCAN", "prompts": [BOX], "until": [1, 2, 3]}),
        ("propagate", {"scan": "SCAN", "prompts": [], "from": {**MASK, "mask": "é"}}),
        ("propagate", {"scan": "SCAN", "prompts": [], "from": {**MASK, "origin": [0]}}),
    ],
)
def test_bad_bodies_are_refused_in_words(lasting, route, body):
    if isinstance(body, dict) and "scan" in body:
        body = {**body, "scan": lasting.scan.sha256}
    answer = lasting.post(route, body)
    assert "xpected" in sentence(answer)
    lasting.begin()


def test_a_draft_with_an_edit_that_no_edit_may_be_opens_without_it_and_says_so(page):
    """As an earlier TwinReview kept it: NaN among the prompts, which no answer could then hold."""
    plane = np.zeros(SHAPE[:2], np.uint8)
    plane[2:5, 2] = 1
    assert page.send(pack_edit({3: plane}, [BOX], "x")).status_code == 200
    words = b'{"slices": [], "prompts": [{"type": "box", "slice": 1, "coords": [NaN, 1, 2, 3]}]}'
    file = page.store.root / "drafts" / page.draft / "000002.edit"
    file.write_bytes(gzip.compress(struct.pack("<I", len(words)) + words))
    begun = page.begin()
    assert (begun["revision"], begun["left_out"]) == (2, [2])
    assert [prompt["coords"] for prompt in begun["prompts"]] == [BOX["coords"]]
    page.is_well()
    saved = page.save()
    assert (saved.status_code, saved.json()["left_out"]) == (200, [2])
    assert (page.store.masks.load(page.store.masks.version("P1", DAY1, 2)).array[2:5, 2, 3] == 1).all()


def test_a_draft_of_bad_edits_alone_can_be_discarded(page):
    file = page.store.root / "drafts" / page.draft / "000001.edit"
    file.write_bytes(b"\x1f\x8b nothing")
    assert page.begin()["left_out"] == [1]
    assert "just the same" in sentence(page.save())
    assert page.client.delete(f"{API}draft/{page.draft}", headers=page.headers).status_code == 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
near = st.sampled_from(
    [
        "type",
        "axis",
        "slice",
        "coords",
        "positive",
        "scan",
        "lesion",
        "kept",
        "model_id",
        "prompts",
        "answers",
        "what",
        "slices",
        "until",
        "from",
        "origin",
        "shape",
        "mask",
        "patient_id",
        "timepoint",
        "parent_version",
        "draft_id",
    ]
)
likely = st.sampled_from(
    [BOX, [BOX], [], "box", "point", 2, 0, 1, [1, 1, 6, 6], [0, 7], "CT", "P1", DAY1, True, "0" * 32, ["0" * 32]]
)
bodies = st.dictionaries(near, likely | json_values, max_size=8)
changed_box = st.dictionaries(near, likely | json_values, max_size=2).map(lambda changes: {**BOX, **changes})
FUZZ = settings(max_examples=40, suppress_health_check=list(HealthCheck))


@FUZZ
@given(body=bodies | json_values, more=st.booleans(), box=changed_box)
def test_any_header_of_an_edit_gives_2xx_or_a_sentence_and_leaves_the_draft_well(lasting, body, more, box):
    if more and isinstance(body, dict):
        body = {"slices": [2], "prompts": [box], **body}
    answer = lasting.put(body, PLANE)
    if answer.status_code != 200:
        sentence(answer)
    lasting.begin()
    labels = lasting.client.get(f"{API}draft/{lasting.draft}/labels", headers=lasting.headers)
    assert labels.status_code == 200
    assert json.loads(json.dumps(lasting.begin(), allow_nan=False))


@FUZZ
@given(body=st.binary(max_size=200), packed=st.booleans())
def test_any_bytes_for_an_edit_give_2xx_or_a_sentence(lasting, body, packed):
    answer = lasting.send(gzip.compress(body) if packed else body)
    if answer.status_code != 200:
        sentence(answer)
    lasting.begin()


@FUZZ
@given(route=st.sampled_from(["draft", "prompt", "propagate", "ahead"]), body=bodies | json_values, box=changed_box)
def test_any_body_of_the_other_routes_gives_2xx_or_a_sentence(lasting, route, body, box):
    every: dict[str, dict[str, Any]] = {
        "prompt": {"axis": 2, "slice": 2, "prompts": [box]},
        "propagate": {"prompts": [box]},
        "ahead": {"axis": 2, "slice": 2},
        "draft": {"patient_id": "P1", "timepoint": DAY1, "parent_version": 1},
    }
    good = every[route]
    if isinstance(body, dict):
        body = {**good, **({"scan": lasting.scan.sha256} if route != "draft" else {}), **body}
    answer = lasting.post(route, body)
    if answer.status_code != 200:
        sentence(answer)
    lasting.begin()


@pytest.mark.soak
@settings(max_examples=3000, suppress_health_check=list(HealthCheck))
@given(body=bodies | json_values, box=changed_box)
def test_any_header_for_long(lasting, body, box):
    body = {"slices": [2], "prompts": [box], **body} if isinstance(body, dict) else body
    answer = lasting.put(body, PLANE)
    if answer.status_code != 200:
        sentence(answer)
    lasting.begin()
