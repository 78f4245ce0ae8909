"""The viewer's prompt routes: who may ask, what is refused with which sentence, and what comes back."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.engines.base import SliceFound, SliceMask, StopReason
from core.engines.prompt.encoder import cache_folder
from core.engines.service.interactive import Answer
from core.errors import ModelError
from core.lesions.mask_bits import unpack
from core.review.model_answers import AnswerBook
from core.types import Grid, Volume
from pages.ui.api import prompt_routes
from pages.ui.api.prompt_routes import PROMPT_ROUTES
from pages.ui.frame import resources
from pages.ui.guard import tokens
from store import Store

SHAPE = (24, 20, 9)
BOX = {"type": "box", "axis": 2, "slice": 4, "coords": [5, 5, 12, 11], "positive": True}


class Service:
    """Stands in for the process: remembers what it was asked, answers with the box itself."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.closed = False
        self.problem: Exception | None = None

    def predict(self, scan: Any, axis: int, k: int, prompts: Any) -> Answer:
        from core.engines.propagation.planes import check_plane_prompts, in_plane

        check_plane_prompts(prompts, scan.shape, axis)
        if self.problem:
            raise self.problem
        self.asked.append((scan, axis, k, prompts))
        mask = np.zeros(in_plane(scan.shape, axis), dtype=bool)
        x0, y0, x1, y1 = (int(c) for c in prompts[0].coords)
        mask[x0 : x1 + 1, y0 : y1 + 1] = True
        return Answer(SliceMask(mask, 0.75), True, {"all": 0.1}, "litemedsam", "c" * 64)

    def propagate(self, scan: Any, prompts: Any, start: Any = None, until: Any = None) -> Iterator[Any]:
        self.asked.append((scan, prompts, start, until))
        return self._steps(scan)

    def _steps(self, scan: Any) -> Iterator[Any]:
        try:
            for k in (4, 3):
                mask = np.zeros(scan.shape[:2], dtype=bool)
                mask[k, 2] = True
                yield SliceFound(k, SliceMask(mask, 0.5), "litemedsam", "c" * 64)
            if self.problem:
                raise self.problem
            yield StopReason(-1, 3, "empty")
            yield StopReason(1, 4, "area jump")
        finally:
            self.closed = True

    def ahead(self, scan: Any, axis: int, k: int) -> tuple[list[int], int]:
        self.asked.append((scan, axis, k))
        return [4, 5], 7


class Desk:
    """A client with a token for one stored scan."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(1)
        volume = Volume(rng.normal(0, 50, SHAPE).astype(np.float32), Grid(SHAPE, np.diag([1.0, 1.0, 3.0, 1.0])), "CT")
        self.scan = store.scans.add(volume, dataset="d", patient_id="P1", timepoint="2025-01-01", person="demo")
        self.service = Service()
        monkeypatch.setattr(resources, "whole_store", lambda: store)
        monkeypatch.setattr(resources, "get_prompt_service", lambda: self.service)
        self.client = TestClient(Starlette(routes=PROMPT_ROUTES))
        self.store = store

    def token(self, scans: tuple[str, ...] | None = None, edit: bool = True, patient: str = "P1") -> str:
        return tokens.make_token("demo", patient, scans or (self.scan.sha256,), ["2025-01-01"], edit)

    def post(self, route: str, token: str | None = None, **values: Any) -> Any:
        body = {"scan": self.scan.sha256, **values}
        return self.client.post(f"/api/viewer/{route}", json=body, headers={tokens.HEADER: token or self.token()})


@pytest.fixture
def desk(store: Store, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(prompt_routes, "GIVEN", AnswerBook())
    return Desk(store, monkeypatch)


def test_a_box_gives_the_mask_of_its_slice(desk: Desk) -> None:
    answer = desk.post("prompt", axis=2, slice=4, prompts=[BOX], draft_id=None, lesion=1)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    values = answer.json()
    assert (values["origin"], values["shape"], values["predicted_iou"], values["embedded"]) == (
        [5, 5],
        [8, 7],
        0.75,
        True,
    )
    assert len(base64.b64decode(values["mask"])) == 7  # 56 bits
    assert unpack(values, SHAPE[:2]).sum() == 56
    scan, axis, k, prompts = desk.service.asked[0]
    assert (scan.path, scan.shape, axis, k) == (desk.store.scans.path(desk.scan).resolve(), SHAPE, 2, 4)
    assert [(p.type, p.slice, p.coords, p.scan) for p in prompts] == [("box", 4, (5.0, 5.0, 12.0, 11.0), "CT")]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prompts": []}, "Expected at least one box or point, got none. Draw a box around the lesion."),
        (
            {"prompts": [{**BOX, "coords": [5, 5, 30, 11]}]},
            "The box at (5, 5, 30, 11) on slice 4 lies outside the CT image: X must be 0..23 and Y 0..19.",
        ),
        ({"prompts": [{**BOX, "coords": [5, 5]}]}, "A box takes 4 numbers, got 2."),
        (
            {"prompts": [{"type": "point", "axis": 2, "slice": 4, "coords": [5, 5], "positive": False}]},
            "Expected a box or a positive point to look for; negative points alone say nothing. Draw a box.",
        ),
        ({"prompts": [{**BOX, "axis": 0}]}, "Expected prompts on slices across axis 2 alone, got some across another."),
        ({"prompts": "none"}, "Expected prompts to be a valid list, got 'none'. Reload the page."),
        ({"slice": "4"}, "Expected slice to be a valid integer, got '4'. Reload the page."),
        ({"axis": None}, "Expected axis to be a valid integer, got None. Reload the page."),
    ],
)
def test_bad_prompts_are_refused_with_what_is_wrong(desk: Desk, change: dict[str, Any], sentence: str) -> None:
    answer = desk.post("prompt", **{"axis": 2, "slice": 4, "prompts": [BOX], **change})
    assert (answer.status_code, answer.json()) == (422, {"error": sentence})


@pytest.mark.parametrize("route", ["prompt", "propagate", "ahead"])
def test_only_who_may_edit_this_scan_is_answered(desk: Desk, route: str) -> None:
    body = {"prompts": [BOX], "axis": 2, "slice": 4}
    for key in {"propagate": ["axis", "slice"], "ahead": ["prompts"]}.get(route, []):
        del body[key]
    for token in ("forged", desk.token(edit=False), desk.token(scans=("f" * 64,))):
        assert desk.post(route, token, **body).status_code == 403
    # A token of another patient does not open this one's scan, even if it names it.
    assert desk.post(route, desk.token(patient="P2"), **body).status_code == 404
    assert desk.service.asked == []


def test_what_is_no_json_or_far_too_long_is_refused(desk: Desk) -> None:
    headers = {tokens.HEADER: desk.token()}
    assert desk.client.post("/api/viewer/prompt", content=b"{", headers=headers).status_code == 422
    assert desk.client.post("/api/viewer/prompt", content=b"[1]", headers=headers).status_code == 422
    assert desk.client.post("/api/viewer/prompt", content=b" " * (5 << 20), headers=headers).status_code == 413


def test_without_a_model_the_sentence_says_so_and_a_fault_tells_nothing_of_the_patient(desk: Desk) -> None:
    desk.service.problem = ModelError("No weights. Get them.")
    answer = desk.post("prompt", axis=2, slice=4, prompts=[BOX])
    assert (answer.status_code, answer.json()) == (503, {"error": "No weights. Get them."})
    desk.service.problem = RuntimeError("/data/P1/secret")
    answer = desk.post("prompt", axis=2, slice=4, prompts=[BOX])
    assert answer.status_code == 500
    assert "P1" not in answer.text


def test_a_propagation_is_a_line_a_slice_and_the_reasons_last(desk: Desk) -> None:
    mask: Any = {"slice": 6, "origin": [3, 2], "shape": [3, 3], "mask": "hQA="}
    answer = desk.post("propagate", prompts=[BOX], until=[1, 8], **{"from": mask})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.get("slice") for line in lines] == [4, 3, None]
    assert (lines[0]["origin"], lines[0]["shape"], lines[0]["mask"]) == ([4, 2], [1, 1], "AQ==")
    assert lines[2] == {
        "stops": [{"direction": -1, "slice": 3, "rule": "empty"}, {"direction": 1, "slice": 4, "rule": "area jump"}]
    }
    _, _, start, until = desk.service.asked[0]
    assert (start[0], until, np.argwhere(start[1]).tolist()) == (6, (1, 8), [[3, 2], [4, 4], [5, 2]])
    assert desk.service.closed


def test_a_propagation_that_fails_on_its_way_says_so_in_its_last_line(desk: Desk) -> None:
    desk.service.problem = ModelError("Died twice.")
    lines = desk.post("propagate", prompts=[BOX]).text.splitlines()
    assert json.loads(lines[-1]) == {"error": "Died twice."}
    assert len(lines) == 3


@pytest.mark.parametrize("change", [{"until": [1]}, {"until": [1, "a"]}, {"from": 3}, {"from": {"slice": 1}}])
def test_a_propagation_to_or_from_nowhere_is_refused(desk: Desk, change: dict[str, Any]) -> None:
    assert desk.post("propagate", prompts=[BOX], **change).status_code == 422


def test_ahead_tells_what_is_embedded_and_how_much_is_queued(desk: Desk) -> None:
    assert desk.post("ahead", axis=1, slice=3).json() == {"embedded": [4, 5], "queued": 7}
    assert desk.service.asked[0][1:] == (1, 3)


# --- the server as it runs ---


@pytest.mark.soak
def test_prompts_work_beside_the_pages_and_leaving_stops_a_propagation(start_server: Any, tmp_path: Any) -> None:
    from store import open_store
    from tests.wire import Tab

    shape = (64, 64, 24)
    i, j, _ = np.indices(shape)
    tube = np.where((i - 30) ** 2 + (j - 28) ** 2 < 200, 80.0, -100.0) + np.random.default_rng(1).normal(0, 5, shape)
    with open_store(tmp_path / "data") as store:
        volume = Volume(tube.astype(np.float32), Grid(shape, np.diag([1.0, 1.0, 3.0, 1.0])), "CT")
        scan = store.scans.add(volume, dataset="d", patient_id="P1", timepoint="2025-01-01", person="demo")
    server = start_server(tmp_path / "data")
    tab = Tab(server.url)
    token = tab.token("review", "patient_id=P1")

    def post(route: str, **values: Any) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=120)
        headers = {tokens.HEADER: token, "Accept-Encoding": "gzip", "Cookie": tab.cookie}
        connection.request("POST", f"/api/viewer/{route}", json.dumps({"scan": scan.sha256, **values}), headers)
        return connection.getresponse()

    box = {"type": "box", "axis": 2, "slice": 12, "coords": [14, 12, 46, 44], "positive": True}
    first = json.loads(post("prompt", axis=2, slice=12, prompts=[box]).read())
    assert not first["embedded"]
    # A disc of radius 14.1 mm: 616 voxels or so.
    assert 500 < unpack(first, shape[:2]).sum() < 750
    assert json.loads(post("prompt", axis=2, slice=12, prompts=[box]).read())["embedded"]
    stream = post("propagate", prompts=[box], until=[0, 23])
    assert json.loads(stream.readline())["slice"] == 12
    assert json.loads(stream.readline())["slice"] == 11  # they come as they are found, not all at the end
    stream.close()
    folder = cache_folder() / "embeddings"
    embedded, before = 0, -1
    while embedded != before:  # until it has come to rest
        time.sleep(3)
        embedded, before = len(list(folder.glob(f"*/{scan.sha256}/2-*.emb"))), embedded
    assert embedded < 24
    tab.close()
    server.stop()
    assert "Traceback" not in server.log
