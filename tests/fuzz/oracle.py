"""One file read twice: "read", "refused", or what is wrong."""

from __future__ import annotations

import ctypes
import gzip
import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from core.imaging import reader_process
from core.remembered.untyped import JsonDict
from tests.fuzz.kinds import Kind

READ, REFUSED = "read", "refused"
_M_PERTURB, _M_MMAP_THRESHOLD = -6, -3
_LIBC = ctypes.CDLL(None)


@contextmanager
def unwritten_memory(byte: int) -> Iterator[None]:
    """Within it, memory that nobody wrote holds that byte: what numpy leaves empty, and most of the C library's."""
    _LIBC.mallopt(_M_MMAP_THRESHOLD, 2**30)  # large pieces too; the kernel's own are zeros
    _LIBC.mallopt(_M_PERTURB, byte)
    empty, empty_like = np.empty, np.empty_like

    def filled(make: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def made(*args: object, **kwargs: object) -> np.ndarray:
            array = make(*args, **kwargs)
            if not array.dtype.hasobject:
                ctypes.memset(array.ctypes.data, byte, array.nbytes)  # it is whole: nothing lies between
            return array

        return made

    vars(np).update(empty=filled(empty), empty_like=filled(empty_like))
    try:
        yield
    finally:
        vars(np).update(empty=empty, empty_like=empty_like)
        _LIBC.mallopt(_M_PERTURB, 0)


def outcome(kind: Kind, files: Mapping[str, bytes], home: Path) -> str:
    """`READ`, `REFUSED`, or a sentence about the fault.

    Args:
        home: an empty folder, empty again afterwards.
    """
    given = home / "given"
    given.mkdir()
    try:
        for name, data in files.items():
            (given / name).write_bytes(data)
        handed = given if kind.whole else given / next(iter(files))
        first = _answer(kind, handed, home / "one", 0x5A)
        second = _answer(kind, handed, home / "two", 0xA5)
        return _judged(kind, files, home, first, second)
    finally:
        shutil.rmtree(home)
        home.mkdir()


def _answer(kind: Kind, handed: Path, scratch: Path, byte: int) -> JsonDict:
    scratch.mkdir()
    with unwritten_memory(byte):
        return reader_process.read_one({**kind.request, "files": [str(handed)], "scratch": str(scratch)})


def _judged(kind: Kind, files: Mapping[str, bytes], home: Path, first: JsonDict, second: JsonDict) -> str:
    if "ended" in first or "ended" in second:
        return f"an error that nobody foresaw: {first.get('log', second.get('log'))}"
    if _told(first, home / "one") != _told(second, home / "two"):
        return "two readings differ in what they say"
    json.dumps(first, allow_nan=False)
    if "refused" in first:
        text = str(first["text"])
        return REFUSED if len(text) > 20 and text.rstrip().endswith((".", ")")) else f"no sentence: {text[:80]!r}"
    voxels = [home / name / "voxels.npy" for name in ("one", "two")]
    if not voxels[0].exists():
        return READ
    if voxels[0].read_bytes() != voxels[1].read_bytes():
        return "two readings differ in their voxels"
    array, affine = np.load(voxels[0], allow_pickle=False), np.array(first["affine"])
    if array.ndim != 3 or array.size == 0 or not np.isfinite(array).all():
        return f"voxels of {array.shape} that are not all finite"
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
        return "a grid that is none"
    if not kind.packed and kind.request.get("grid") is None and array.size > sum(map(_held, files.values())):
        return f"{array.size} voxels, more than the file holds"
    return READ


def _told(answer: JsonDict, scratch: Path) -> str:
    return json.dumps(answer, sort_keys=True).replace(str(scratch), "")


def _held(data: bytes) -> int:
    """Bytes of a file, unpacked if it is gzip."""
    try:
        return len(gzip.decompress(data)) if data[:2] == b"\x1f\x8b" else len(data)
    except (OSError, EOFError, zlib.error):
        return 2**40
