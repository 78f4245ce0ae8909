"""Prompts that answer at once: MedSAM kept warm in a process of its own, which the web process only talks to.

The process is started with the first request, and again, once a request, when it dies. It embeds ahead around the
cursor while nobody waits for it (`core.engines.service.prompt_worker` has the order of urgency).
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.base import SliceFound, SliceMask, StopReason
from core.engines.prompt.embeddings import open_embeddings
from core.engines.prompt.medsam import DEFAULT_MODEL
from core.engines.prompt.preparing import PREPROCESS, embedding_key
from core.engines.propagation import planes
from core.engines.service.prompt_process import WorkerProcess
from core.errors import GeometryError, InputError, ModelError, TwinReviewError
from core.lesions.mask_bits import pack, unpack
from core.types import Prompt, Scan
from weights import registry

log = logging.getLogger("twinreview.engines")

#: Slices embedded ahead on either side of the cursor.
AHEAD = 8
PROMPT_ATTEMPTS = 2
DIED_TWICE = (
    "The process that runs MedSAM died twice while it worked on this; running out of memory is the usual cause. "
    "Close other programs, then try again."
)
BUG = "MedSAM failed on this in a way that was not foreseen. Try another box; the log of the server says more."


@dataclass(frozen=True)
class ScanFile:
    """A stored scan, as the process needs to know it."""

    path: Path
    sha256: str
    modality: str
    sequence: str
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, scan: Scan, path: Path) -> ScanFile:
        """`path` is where the scan's file is on this machine."""
        return cls(path.resolve(), scan.sha256, scan.modality, scan.sequence, scan.shape)

    def to_json(self) -> dict[str, str]:
        """The message to the process."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "modality": self.modality,
            "sequence": self.sequence,
        }


@dataclass(frozen=True, eq=False)
class Answer:
    """A prompt's answer on the slice as stored.

    Args:
        found: the mask and what the model believes of it.
        embedded: True if the slice had been embedded before.
        seconds: "wait" for the slice under way, "load" of model and scan, "embed", "decode", and "all" as seen here.
        model_id: which model answered (SAM2 where MedSAM cannot be loaded).
        checkpoint_sha256: of its weights.
    """

    found: SliceMask
    embedded: bool
    seconds: dict[str, float]
    model_id: str
    checkpoint_sha256: str


class PromptService:
    """Boxes and points on any slice of stored scans; safe to share between threads. Close it at the end.

    Args:
        model_id: of the registry; None for LiteMedSAM.
    """

    def __init__(self, model_id: str | None = None) -> None:
        self.model_id = model_id or DEFAULT_MODEL
        self.started = 0
        self._process: WorkerProcess | None = None
        self._lock = threading.Lock()

    def predict(self, scan: ScanFile, axis: int, k: int, prompts: Sequence[Prompt]) -> Answer:
        """Boxes and points on one slice -> its mask.

        Args:
            scan: the scan they are on.
            axis: the slice lies across it: 2 for (i, j), 1 for (i, k), 0 for (j, k).
            k: the slice's index along `axis`.
            prompts: in voxel indices of that slice, all with `slice` k.

        Raises:
            InputError: prompts or scan that cannot be used.
            ModelError: no model can be loaded, or its process died twice.
        """
        began = time.perf_counter()
        planes.check_plane_prompts(prompts, scan.shape, axis)
        if {p.slice for p in prompts} != {k}:
            raise InputError(f"Expected prompts on slice {k} alone, got some on others. Ask slice by slice.")
        request = {"do": "predict", "scan": scan.to_json(), "axis": axis, "slice": k, "model_id": self.model_id}
        (value,) = self._ask({**request, "prompts": [p.to_json() for p in prompts]})
        found = SliceMask(unpack(value, planes.in_plane(scan.shape, axis)), value["predicted_iou"])
        seconds = {**value["seconds"], "all": time.perf_counter() - began}
        return Answer(found, value["embedded"], seconds, value["model_id"], value["checkpoint_sha256"])

    def propagate(
        self,
        scan: ScanFile,
        prompts: Sequence[Prompt],
        start: tuple[int, NDArray[np.bool_]] | None = None,
        until: tuple[int, int] | None = None,
    ) -> Generator[SliceFound | StopReason]:
        """`core.engines.propagation.propagation.propagate_slices` on a stored scan; closing it stops it in a slice.

        Args:
            scan: the scan the prompts are on.
            prompts: across axis 2; may be none with `start`.
            start: slice and mask (I, J) to go on from.
            until: lowest and highest slice to go to.

        Raises:
            InputError: what cannot be used; at once, before the first slice is asked for.
            ModelError: as `predict`.
        """
        if prompts or start is None:
            planes.check_plane_prompts(prompts, scan.shape, axis=2)
        depth = scan.shape[2]
        if until is not None and not 0 <= until[0] <= until[1] < depth:
            raise InputError(f"Expected slices to go to as low, high within 0..{depth - 1}, got {until}.")
        if start is not None and not (0 <= start[0] < depth and start[1].any()):
            raise InputError(
                f"Expected a mask to go on from on a slice 0..{depth - 1}; got an empty one, or none such."
            )
        return self._steps(
            scan,
            {
                "do": "propagate",
                "scan": scan.to_json(),
                "prompts": [p.to_json() for p in prompts],
                "until": until,
                "start": {"slice": start[0], **pack(start[1])} if start else None,
                "model_id": self.model_id,
            },
        )

    def _steps(self, scan: ScanFile, request: dict[str, Any]) -> Generator[SliceFound | StopReason]:
        values = self._ask(request)
        try:
            for value in values:
                if "rule" in value:
                    yield StopReason(value["direction"], value["slice"], value["rule"])
                else:
                    mask = unpack(value, scan.shape[:2])
                    found = SliceMask(mask, value["predicted_iou"])
                    yield SliceFound(value["slice"], found, value["model_id"], value["checkpoint_sha256"])
        finally:
            values.close()

    def ahead(self, scan: ScanFile, axis: int, k: int) -> tuple[list[int], int]:
        """Embeds the slices around `k`, nearest first, while nobody waits for a prompt. An earlier call's rest is
        dropped: the cursor has moved on.

        Returns:
            The slices that are embedded already, and how many are now queued.
        """
        if axis not in (0, 1, 2) or not 0 <= k < scan.shape[axis]:
            raise InputError(f"Slice {k} across axis {axis} does not exist; the scan has {scan.shape} voxels.")
        ready = self.embedded(scan, axis)
        near = sorted(range(max(k - AHEAD, 0), min(k + AHEAD + 1, scan.shape[axis])), key=lambda n: abs(n - k))
        wanted = [n for n in near if n not in set(ready)]
        if wanted or self._process is None:  # without a slice to embed it still warms up
            self._running().send({"do": "ahead", "scan": scan.to_json(), "axis": axis, "slices": wanted})
        return ready, len(wanted)

    def embedded(self, scan: ScanFile, axis: int) -> list[int]:
        """The slices across `axis` whose prompts are answered at once, ascending."""
        entry = registry.find(self.model_id)
        if entry.preprocess not in PREPROCESS:
            return []
        key = embedding_key(entry.sha256, PREPROCESS[entry.preprocess])
        return open_embeddings().ready(key, scan.sha256, axis)

    def close(self) -> None:
        """Ends the process; a later request starts another."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.end()

    def _running(self) -> WorkerProcess:
        with self._lock:
            if self._process is None or self._process.died:
                self._process = WorkerProcess()
                self.started += 1
            return self._process

    def _ask(self, request: dict[str, Any]) -> Generator[dict[str, Any]]:
        """Its replies as they come. After a death it is asked again, and what was given already is passed over."""
        given = 0
        for attempt in range(PROMPT_ATTEMPTS):
            if attempt:
                log.warning("the process that runs MedSAM died; it is started again")
            process = self._running()
            number, replies = process.begin(request)
            try:
                for count in itertools.count():
                    reply = replies.get()
                    if reply is None:
                        break
                    if reply.get("done"):
                        return
                    if "error" in reply:
                        raise _problem(reply)
                    if count >= given:
                        given += 1
                        yield reply["value"]
            finally:
                process.finish(number)
        raise ModelError(DIED_TWICE)


def _problem(reply: dict[str, Any]) -> TwinReviewError:
    kinds = {"InputError": InputError, "GeometryError": GeometryError}
    return kinds.get(reply["kind"], ModelError)(reply["error"] or BUG)
