"""The process in which files from outside are read, started by `core.imaging.reading_apart`.

It loads the libraries once and waits. For every request it forks a child that limits itself, reads one image, leaves
the voxels in the request's scratch folder and ends. What a hostile file does to memory, time or a C++ library happens
to that child; what comes back is a line of JSON: an answer, a refusal in words, or how the child ended.

Requests come on standard input, a line of JSON each, one at a time. The end of input ends the process and its child.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import TwinReviewError
from core.imaging.identifiers import KEY as IDENTIFIERS
from core.imaging.image_files import reading
from core.imaging.masks.reading import describe_mask, mask_on
from core.imaging.open_scan import open_scan
from core.imaging.study.apart import answer_examine, answer_survey
from core.settings import adopt
from core.types import Grid

#: After so long without a request it ends; the next request starts it again.
IDLE_S = 600.0
#: More than any answer: a survey of 20,000 files with their names.
_ANSWER_BYTES = 16 * 2**20
_PR_SET_PDEATHSIG = 1


def read_one(request: Mapping[str, Any]) -> dict[str, Any]:
    """Reads what the request names; the voxels go to `voxels.npy` in its scratch folder.

    Returns:
        "affine" (4x4 as lists), of a scan "metadata" and "identifiers" (its UIDs or None), of a mask "said"; or
        "described" (a mask that was only to be described); or "refused" (the error's class) and "text".
        Of a survey or a look into a series, what `core.imaging.study.apart` makes of it.
    """
    paths = [Path(path) for path in request["files"]]
    scratch = Path(request["scratch"])
    try:
        with reading(paths[0]):
            if request["do"] == "survey":
                return answer_survey(request, scratch)
            if request["do"] == "examine":
                return answer_examine(request)
            if request["do"] in ("mask", "describe mask"):
                return _read_mask(paths[0], request, scratch)
            volume, metadata = open_scan(
                paths,
                request["modality"],
                request["sequence"],
                scratch=scratch,
                without_broken=bool(request.get("without_broken")),
            )
            np.save(scratch / "voxels.npy", volume.array, allow_pickle=False)
            uids = metadata.pop(IDENTIFIERS, None)
            return {"affine": volume.grid.affine.tolist(), "metadata": metadata, IDENTIFIERS: uids}
    except TwinReviewError as error:
        return {"refused": type(error).__name__, "text": str(error)}
    except Exception as error:  # a file that no check foresaw; what it is goes to the log, without what it quotes
        frames = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
        return {"ended": "error", "log": f"{type(error).__name__} at {' < '.join(reversed(frames[-6:]))}"}


def _read_mask(file: Path, request: Mapping[str, Any], scratch: Path) -> dict[str, Any]:
    """A mask on the request's "grid" ("shape" and "affine", or None for its own), or its description."""
    grid = request["grid"] and Grid(tuple(request["grid"]["shape"]), np.array(request["grid"]["affine"]))
    if request["do"] == "describe mask":
        return {"described": describe_mask(file, grid).to_json()}
    mask = mask_on(file, grid, request["segments"])
    np.save(scratch / "voxels.npy", mask.labels.array, allow_pickle=False)
    return {"affine": mask.labels.grid.affine.tolist(), "said": mask.said()}


def _limit_itself(limits: Mapping[str, float]) -> None:
    """From here on, this process may take so much memory and time, and is the first to go when memory is short."""
    import resource

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    seconds = max(1, int(limits["seconds"]))
    for resource_kind, most in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + int(limits["memory_bytes"])),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, int(limits["file_bytes"])),
        (resource.RLIMIT_CORE, 0),  # a dump would hold the image
    ):
        hard = resource.getrlimit(resource_kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource_kind, (least, least))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an OSError says it better
    with contextlib.suppress(OSError):  # not everywhere allowed, and only a preference
        Path("/proc/self/oom_score_adj").write_text("1000")


def _child(request: Mapping[str, Any], answer: int) -> None:
    """The life of a child; never returns."""
    status = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):  # libraries print file names, which may be a patient's
            os.dup2(nowhere, descriptor)
        adopt(request["settings"])
        tempfile.tempdir = request["scratch"]  # what a decoder writes is taken away with it
        _limit_itself(request["limits"])
        text = json.dumps(read_one(request)).encode() + b"\n"
        if len(text) > _ANSWER_BYTES:
            text = json.dumps({"ended": "error", "log": f"its answer has {len(text)} bytes"}).encode() + b"\n"
        while text:
            text = text[os.write(answer, text) :]
        status = 0
    except BaseException:
        status = 2
    finally:
        os._exit(status)


def _answer(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Lets a child read, and waits for it as long as it may; None when nobody is left to tell."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        _child(request, send)
    os.close(send)
    until = time.monotonic() + float(request["limits"]["seconds"])
    received, late, alone = b"", False, False
    while True:
        ready, _, _ = select.select([receive, 0], [], [], max(0.0, until - time.monotonic()))
        late, alone = not ready, 0 in ready
        piece = os.read(receive, 2**16) if receive in ready else b""
        received += piece
        if late or alone or not piece or len(received) > _ANSWER_BYTES:
            break
    os.close(receive)
    if late or alone or piece:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if alone:  # a request while one is under way is none: the other side is gone
        return None
    with contextlib.suppress(ValueError, RecursionError):  # cut short, or from a child that a file has taken over
        found = json.loads(received)
        if isinstance(found, dict):
            return found
    slow = late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU)
    return {"ended": "late" if slow else "killed", "log": f"wait status {status}"}


def main() -> None:
    """Answers requests until there are no more, or it had nothing to do for so long; never returns."""
    _serve()
    os._exit(0)  # at once: whoever asks in this moment learns it by the end, and asks another


def _serve() -> None:
    from core.imaging import dicom  # noqa: F401  (loaded before the first fork, for all children)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    while select.select([0], [], [], IDLE_S)[0]:
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(0, 2**16)
            if not piece:
                return
            line += piece
        found = _answer(json.loads(line))
        if found is None:
            return
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
