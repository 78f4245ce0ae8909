"""The process behind `core.engines.service.interactive`: `python -m core.engines.service.prompt_worker`.

One JSON object a line, requests in on stdin, replies out on stdout. Prompts have a thread of their own. Beside it one
slice at a time is done of what takes longer: propagations, then embedding ahead. The network's encoder does one slice
after the other; so a prompt waits for one slice at most, and for none when its own is embedded.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from traceback import format_tb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.base import PromptSegmenter, StopReason
from core.engines.prompt.embeddings import KeepsEmbeddings, open_embeddings
from core.engines.prompt.medsam import load_prompt_segmenter
from core.engines.prompt.preparing import to_uint8
from core.engines.propagation import planes
from core.engines.propagation.propagation import StartSlice, propagate_slices
from core.errors import InputError, TwinReviewError
from core.imaging.volumes import file_sha256, read_volume
from core.lesions.mask_bits import pack, unpack
from core.settings import settings
from core.types import Grid, Prompt

log = logging.getLogger("twinreview.engines")

#: Scans kept in memory, a byte a voxel.
MAX_CACHED_SCANS = 4
Request = dict[str, Any]
Reply = Callable[[Request], None]
Work = tuple[int, Callable[[], None]]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan as the network sees it: grey (I, J, K) uint8 scaled over the whole volume, and its grid."""

    grey: NDArray[np.uint8]
    grid: Grid


class Worker:
    """Requests wait here, by urgency, until `run` comes to them. `take` is called by another thread."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self._prompts: deque[Request] = deque()
        self._walks: OrderedDict[int, Iterator[Request]] = OrderedDict()
        self._ahead: deque[tuple[Request, int, int]] = deque()
        self._answering = False
        self._changed = threading.Condition()
        self._scans: OrderedDict[str, Prepared] = OrderedDict()
        self._embeddings = open_embeddings()
        self._loading = threading.Lock()
        self._segmenter: PromptSegmenter | None = None
        self._model_id: str | None = None

    def take(self, request: Request) -> None:
        """Puts a request where it belongs; a newer "ahead" takes the place of the one before."""
        request["came"] = time.perf_counter()
        with self._changed:
            if request["do"] == "predict":
                self._prompts.append(request)
            elif request["do"] == "propagate":
                self._walks[request["id"]] = self._walk(request)
            elif request["do"] == "ahead":
                self._ahead = deque((request["scan"], request["axis"], k) for k in request["slices"])
            elif request["do"] == "cancel":
                self._walks.pop(request["id"], None)
                self._prompts = deque(p for p in self._prompts if p["id"] != request["id"])
            self._changed.notify_all()

    def run(self, idle_s: float | None = None) -> None:
        """Prompts here, what nobody waits for in the same way beside it; until nothing came for `idle_s` seconds."""
        threading.Thread(target=self._serve, args=(self._next_in_background, None), daemon=True).start()
        self._serve(self._next_prompt, idle_s)

    def _serve(self, take_next: Callable[[], Work | None], idle_s: float | None) -> None:
        while True:
            with self._changed:
                while (found := take_next()) is None:
                    woken = self._changed.wait(idle_s)
                    if not woken and not self._walks and not self._ahead:
                        return
            self._guarded(*found)

    def _next_prompt(self) -> Work | None:
        if not self._prompts:
            return None
        self._answering = True
        request = self._prompts.popleft()
        return request["id"], partial(self._answer, request)

    def _next_in_background(self) -> Work | None:
        """One slice of a propagation, several taking turns; else one slice embedded ahead."""
        if self._prompts or self._answering:  # the encoder is theirs first
            return None
        if self._walks:
            number, steps = next(iter(self._walks.items()))
            self._walks.move_to_end(number)
            return number, partial(self._step, number, steps)
        return (0, partial(self._embed_ahead, *self._ahead.popleft())) if self._ahead else None

    def _guarded(self, number: int, work: Callable[[], None]) -> None:
        """Does it; what goes wrong is the answer, never the end of this process."""
        try:
            work()
            return
        except TwinReviewError as error:
            problem = {"error": str(error), "kind": type(error).__name__}
        except Exception as error:
            # Without its text, which may name a patient's file.
            log.error("a prompt failed: %s\n%s", type(error).__name__, "".join(format_tb(error.__traceback__)))
            problem = {"error": "", "kind": "bug"}
        with self._changed:
            self._walks.pop(number, None)
            if number == 0:
                self._ahead.clear()
        if number:
            self.reply({"id": number, **problem})

    def _answer(self, request: Request) -> None:
        try:
            self._predict(request)
        finally:
            with self._changed:
                self._answering = False
                self._changed.notify_all()

    def _predict(self, request: Request) -> None:
        began = time.perf_counter()
        segmenter, scan = self._model(request), self._scan(request["scan"])
        axis, k, loaded = request["axis"], request["slice"], time.perf_counter()
        plane, square, image = _picture(scan, axis, k)
        was_there = self._is_embedded(segmenter, request["scan"], image, axis, k)
        embedding = self._embeddings.embedder(segmenter, request["scan"]["sha256"], axis)(k, image)
        embedded = time.perf_counter()
        answer = segmenter.predict(embedding, square.prompts(plane.prompts([_prompt(p) for p in request["prompts"]])))
        mask = plane.image_back(square.mask(answer.mask))
        seconds = {
            "wait": began - request["came"],
            "load": loaded - began,
            "embed": embedded - loaded,
            "decode": time.perf_counter() - embedded,
        }
        value = {
            **pack(mask),
            "predicted_iou": answer.predicted_iou,
            "seconds": seconds,
            "model_id": segmenter.model_id,
            "checkpoint_sha256": segmenter.checkpoint_sha256,
            "embedded": was_there,
        }
        self.reply({"id": request["id"], "value": value})
        self.reply({"id": request["id"], "done": True})

    def _step(self, number: int, steps: Iterator[Request]) -> None:
        value = next(steps, None)
        with self._changed:
            if number not in self._walks:  # cancelled meanwhile: nobody listens any more
                return
            if value is None:
                del self._walks[number]
        self.reply({"id": number, "done": True} if value is None else {"id": number, "value": value})

    def _walk(self, request: Request) -> Iterator[Request]:
        """A propagation, a slice at a time; nothing is read or computed before the first is asked for."""
        segmenter, scan = self._model(request), self._scan(request["scan"])
        given = request["start"]
        start = StartSlice(given["slice"], unpack(given, scan.grid.shape[:2])) if given else None
        until = request["until"]
        results = propagate_slices(
            scan.grey,
            scan.grid,
            [_prompt(p) for p in request["prompts"]],
            segmenter,
            start=start,
            until=(until[0], until[1]) if until else None,
            embed=self._embeddings.embedder(segmenter, request["scan"]["sha256"], axis=2),
        )
        for result in results:
            if isinstance(result, StopReason):
                yield {"direction": result.direction, "slice": result.slice, "rule": result.rule}
            else:
                yield {
                    "slice": result.slice,
                    **pack(result.answer.mask),
                    "predicted_iou": result.answer.predicted_iou,
                    "model_id": segmenter.model_id,
                    "checkpoint_sha256": segmenter.checkpoint_sha256,
                }

    def _embed_ahead(self, described: Request, axis: int, k: int) -> None:
        segmenter = self._model({})
        if isinstance(segmenter, KeepsEmbeddings):  # else it would be for nothing
            scan = self._scan(described)
            _, _, image = _picture(scan, axis, k)
            if not self._is_embedded(segmenter, described, image, axis, k):
                self._embeddings.embedder(segmenter, described["sha256"], axis)(k, image)

    def _is_embedded(
        self, segmenter: PromptSegmenter, described: Request, image: NDArray[np.uint8], axis: int, k: int
    ) -> bool:
        if not isinstance(segmenter, KeepsEmbeddings):
            return False
        slot = self._embeddings.slot(segmenter.embedding_key, described["sha256"], axis, k)
        return segmenter.remembers(image) or slot.path.exists()

    def _model(self, request: Request) -> PromptSegmenter:
        with self._loading:
            wanted = request.get("model_id") or self._model_id
            if self._segmenter is None or wanted != self._model_id:
                self._segmenter, self._model_id = load_prompt_segmenter(wanted), wanted
            return self._segmenter

    def _scan(self, described: Request) -> Prepared:
        sha256 = described["sha256"]
        with self._loading:
            if sha256 not in self._scans:
                path = Path(described["path"])
                if not path.is_file() or file_sha256(path) != sha256:
                    raise InputError("The scan's file is gone or was altered. Run `python cli.py verify` to see which.")
                volume = read_volume(path, described["modality"], described["sequence"])
                self._scans[sha256] = Prepared(to_uint8(volume.array, volume.modality), volume.grid)
                while len(self._scans) > MAX_CACHED_SCANS:
                    self._scans.popitem(last=False)
            self._scans.move_to_end(sha256)
            return self._scans[sha256]


def _picture(scan: Prepared, axis: int, k: int) -> tuple[planes.PlaneOrder, planes.Square, NDArray[np.uint8]]:
    """Slice `k` across the stored `axis` as the network sees it, and the two steps to it from the slice as stored."""
    plane = planes.plane_order(scan.grid, axis)
    square = planes.square(plane.grid, 2)
    return plane, square, square.image(plane.image(planes.take_slice(scan.grey, axis, k)))


def _prompt(values: Request) -> Prompt:
    return Prompt(values["type"], values["slice"], tuple(values["coords"]), values["positive"], values["scan"])


def main() -> None:
    """Serves until stdin ends, which it does with the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for that process, which then ends this one
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print must not get between the replies
    writing = threading.Lock()

    def reply(values: Request) -> None:
        with writing:
            out.write(json.dumps(values) + "\n")
            out.flush()

    worker = Worker(reply)

    def read() -> None:
        for line in sys.stdin:
            worker.take(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    worker.run(60 * settings().prompt_idle_minutes)
    os._exit(0)  # the memory of model and scans goes back; the next prompt starts another process


if __name__ == "__main__":
    main()
