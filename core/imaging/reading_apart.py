"""Images from outside, read in a process of their own (`core.imaging.reader_process`) and mapped into this one.

The process that holds the database and serves everybody never parses such a file. A reader that is killed, crashes or
takes too long is a sentence for the one person whose file it was.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core import errors
from core.errors import InputError
from core.imaging.identifiers import KEY as IDENTIFIERS
from core.imaging.limits import import_limits
from core.imaging.masks.drawn import MaskDescription, MaskOnGrid
from core.remembered.identifiers import ScanIdentifiers
from core.remembered.untyped import JsonDict, JsonObject
from core.settings import for_child, given
from core.types import Grid, LabelMap, Modality, Volume

logger = logging.getLogger("twinreview.reading")

_HOME = Path(__file__).resolve().parents[2]
_WORKER = "core.imaging.reader_process"
#: How many images are read at the same time; who comes third waits.
AT_ONCE = 2
#: What is added to a reader's own clock before its process is given up.
_GRACE_S = 20.0
#: How long a reader that has nothing to do any more takes to end, at most.
_END_S = 5.0
#: Settings that reading needs. Keys and secrets of the environment stay here.
_SETTINGS = ("TWIN_MAX_IMPORT_GB", "TWIN_DATES")
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV")


class ReadScan(NamedTuple):
    """A scan as it was read.

    Args:
        volume: its voxels mapped from the scratch folder.
        metadata: what `core.imaging.open_scan.open_scan` says of it, without its UIDs; not yet what may be stored
            (`core.imaging.scanner_facts.permitted_facts`).
        identifiers: the UIDs of its DICOM series; None where there are none, or none are kept.
    """

    volume: Volume
    metadata: JsonDict
    identifiers: ScanIdentifiers | None


def read_scan(
    files: Sequence[Path], modality: Modality, sequence: str, scratch: Path, without_broken: bool = False
) -> ReadScan:
    """`core.imaging.open_scan.open_scan`, in a process of its own.

    Args:
        scratch: an empty folder of the store's own; the voxels stay in it and are read from there.
        without_broken: a person's word that a series may be taken without files that cannot be read, at its ends.

    Raises:
        InputError, GeometryError: as `open_scan`; too much memory or time; the reader did not survive the file.
    """
    if not files:
        raise InputError("Expected at least one file or folder, got none. Choose an image, a DICOM folder or a zip.")
    answer = ask("scan", files, scratch, modality=modality, sequence=sequence, without_broken=without_broken)
    array, grid = _result(scratch, answer, np.float32)
    return ReadScan(Volume(array, grid, modality, sequence), answer["metadata"], _identifiers(answer))


def _identifiers(answer: JsonObject) -> ScanIdentifiers | None:
    uids = answer.get(IDENTIFIERS)
    try:
        return None if uids is None else ScanIdentifiers.from_json(uids)
    except (KeyError, TypeError, ValueError):
        raise InputError("Expected UIDs from the reader, got something else. Try again.") from None


def read_mask(file: Path, scratch: Path, grid: Grid | None = None, segments: Sequence[int] = ()) -> MaskOnGrid:
    """`core.imaging.masks.reading.mask_on`, in a process of its own. Scratch and errors as of `read_scan`."""
    answer = ask("mask", [file], scratch, grid=_grid_json(grid), segments=list(segments))
    array, own = _result(scratch, answer, np.uint8)
    return MaskOnGrid.of(LabelMap(array, grid or own), answer["said"])


def describe_mask(file: Path, scratch: Path, grid: Grid | None = None) -> MaskDescription:
    """`core.imaging.masks.reading.describe_mask`, in a process of its own. Scratch and errors as of `read_scan`."""
    answer = ask("describe mask", [file], scratch, grid=_grid_json(grid))
    return MaskDescription.from_json(answer["described"])


def _grid_json(grid: Grid | None) -> JsonDict | None:
    return None if grid is None else {"shape": list(grid.shape), "affine": grid.affine.tolist()}


def _result(scratch: Path, answer: dict[str, Any], dtype: type) -> tuple[np.ndarray, Grid]:
    array = np.load(scratch / "voxels.npy", mmap_mode="r", allow_pickle=False)
    if array.dtype != dtype or array.ndim != 3:
        raise InputError("Expected voxels from the reader, got something else. Try again.")
    return array, Grid(array.shape, np.array(answer["affine"]))


def ask(do: str, files: Sequence[Path], scratch: Path, **details: Any) -> dict[str, Any]:
    """The reader's answer to one request; its refusals and its end are raised as sentences.

    Args:
        do: what `core.imaging.reader_process.read_one` is to do.
        scratch: a folder of the store's own, for what the reader writes.
        details: further JSON values of the request.
    """
    name = Path(files[0]).name
    limits = import_limits()
    request = {
        "do": do,
        "files": [os.path.abspath(file) for file in files],
        "scratch": os.path.abspath(scratch),
        **details,
        "settings": given(_SETTINGS),
        "limits": {**asdict(limits), "memory_bytes": limits.memory_bytes, "file_bytes": limits.file_bytes},
    }
    answer = _READERS.ask(request, limits.seconds)
    if "refused" in answer:
        kind = getattr(errors, answer["refused"], InputError)
        raise kind(answer["text"])
    if "ended" in answer:
        logger.warning("an import was not read: %s (%s)", answer["ended"], answer.get("log", ""))
        raise InputError(_WHY[answer["ended"]].format(name=name, seconds=limits.seconds))
    return answer


_WHY = {
    "late": "{name}: expected an image that can be read within {seconds:g} s, got one that takes longer. "
    "Crop it, or ask the administrator to raise TWIN_IMPORT_SECONDS.",
    "killed": "{name}: expected an image that can be read safely, got one that ended its reader: it is damaged, "
    "hostile, or needs more memory than there is. Nothing was kept. Export it again.",
    "error": "{name}: expected an image that can be read, got one that is damaged in an unexpected way. "
    "Nothing was kept. Export it again, as .nii.gz if it stays so.",
}


class _Reader:
    """One running reader process: a line out, a line in."""

    def __init__(self) -> None:
        # One thread each: a child is forked from this process, and its memory is counted.
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=for_child(threads, only=_ENVIRONMENT, home=_HOME),
        )
        self.pid = self._popen.pid

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """Its answer; None when it had gone to rest before it was asked, and nothing was read."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        watch = threading.Timer(seconds + _GRACE_S, self._popen.kill)
        watch.daemon = True
        watch.start()
        try:
            self._popen.stdin.write(json.dumps(request).encode() + b"\n")
            self._popen.stdin.flush()
            line = self._popen.stdout.readline()
        except OSError:
            return None
        finally:
            watch.cancel()
        if line.endswith(b"\n"):
            found: dict[str, Any] = json.loads(line)
            return found
        # It may have been on its way to rest when it was asked; only then does it end well.
        with contextlib.suppress(subprocess.TimeoutExpired):
            if not line and self._popen.wait(_END_S) == 0:
                return None
        return {"ended": "killed", "log": "the reader process ended"}

    @property
    def rests(self) -> bool:
        """It has ended."""
        return self._popen.poll() is not None

    def end(self) -> None:
        """Closes its input, which ends it and what it is doing."""
        for stream in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        try:
            self._popen.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


class _Readers:
    """The readers of this process: at most `AT_ONCE`, started when they are needed, kept for the next import."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._idle: list[_Reader] = []

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer of whichever reader is free; one that had gone to rest meanwhile is replaced."""
        with self._places:
            for _ in range(AT_ONCE + 1):
                with self._lock:
                    reader = self._idle.pop() if self._idle else None
                reader = reader or _Reader()
                try:
                    answer = reader.ask(request, seconds)
                except BaseException:
                    reader.end()
                    raise
                if reader.rests or answer is None:
                    reader.end()
                else:
                    with self._lock:
                        self._idle.append(reader)
                if answer is not None:
                    return answer
            return {"ended": "killed", "log": "no reader process starts"}

    def end(self) -> None:
        """Ends those that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.end()


_READERS = _Readers()
atexit.register(_READERS.end)
