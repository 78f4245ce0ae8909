"""Stored images as the browser takes them: int16 slabs of slices and uint8 masks, streamed out of the NIfTI file.

The web process never holds a whole volume for this: the file is read once, slab by slab, by a thread, and the slabs lie
in a folder that may be deleted at any time:

    {root}/cache/slabs/{scan sha256}/{n}.raw    int16, i fastest; not asked for yet
    {root}/cache/slabs/{scan sha256}/{n}.gz     the same, gzip level 1; asked for before
    {root}/cache/masks/{mask sha256}.gz         uint8 labels, whole
"""

from __future__ import annotations

import gzip
import json
import threading
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import nibabel as nib
import numpy as np

from core.errors import InputError
from core.remembered.untyped import Voxels
from core.types import Modality

SLAB = 16
#: Slices that are converted at once; a part of SLAB.
_STEP = 4
_READ_BYTES = 1 << 20
_LARGEST = 32000


@dataclass(frozen=True)
class Scaling:
    """value = stored * slope + intercept, and the window (centre, width) that shows the scan's own range."""

    slope: float
    intercept: float
    window: tuple[float, float]


def slabs_of(shape: tuple[int, int, int]) -> int:
    """How many slabs a scan of that shape has."""
    return -(-shape[2] // SLAB)


def slab_folder(root: Path, sha256: str) -> Path:
    """Folder of a scan's slabs."""
    return root / "cache" / "slabs" / sha256


def read_blocks(path: Path, slices: int = SLAB, start: int = 0) -> Iterator[Voxels]:
    """The voxels of a .nii.gz from block `start` on: (I, J, up to `slices`) at a time, in the unit of the scan.

    Raises:
        InputError: if the file ends too early.
    """
    header = cast(nib.Nifti1Image, nib.load(path)).header
    dtype, (i, j, k) = header.get_data_dtype(), header.get_data_shape()
    slope, intercept = _slope_inter(header)
    with path.open("rb") as stream:
        bytes_in = _Inflated(stream)
        bytes_in.skip((int(header.get_data_offset()) or 352) + i * j * slices * start * dtype.itemsize)
        for first in range(start * slices, k, slices):
            n = min(slices, k - first)
            raw = bytes_in.take(i * j * n * dtype.itemsize)
            block = np.frombuffer(raw, dtype).reshape((i, j, n), order="F")
            yield block if (slope, intercept) == (1.0, 0.0) else block * np.float32(slope) + np.float32(intercept)


def _slope_inter(header: nib.Nifti1Header) -> tuple[float, float]:
    slope, intercept = header.get_slope_inter()
    return (1.0, 0.0) if slope is None else (float(slope), float(intercept or 0.0))


class _Inflated:
    """The bytes inside a gzip stream, as many as are asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._inflate, self._rest = stream, zlib.decompressobj(31), b""

    def skip(self, count: int) -> None:
        while count:
            count -= len(self.take(min(count, 4 * _READ_BYTES)))

    def take(self, count: int) -> bytearray:
        out = bytearray(self._rest[:count])
        self._rest = self._rest[count:]
        while len(out) < count:
            chunk = self._inflate.unconsumed_tail or self._stream.read(_READ_BYTES)
            if not chunk:
                raise InputError("The stored image ends too early. Run `verify`; restore it from a backup.")
            data = self._inflate.decompress(chunk, 4 * _READ_BYTES)
            missing = count - len(out)
            out += data[:missing]
            self._rest = data[missing:]
        return out


def scaling(path: Path, modality: Modality, folder: Path) -> Scaling:
    """How the scan is stored as int16. CT keeps its HU; PET and MR use the range of int16, which takes one reading of
    the file the first time and is kept in the scan's folder."""
    if modality == "CT":
        return Scaling(1.0, 0.0, (40.0, 400.0))
    known = folder / "scaling.json"
    if known.exists():
        values = json.loads(known.read_text())
        return Scaling(values["slope"], values["intercept"], tuple(values["window"]))
    low, high, some = np.inf, -np.inf, []
    for block in read_blocks(path):
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        some.append(np.asarray(block.ravel(order="F")[::17], np.float32))
    sample = np.concatenate(some)
    inside = sample[sample > low]
    bottom, top = (float(v) for v in np.percentile(inside if inside.size else sample, (0.5, 99.5)))
    slope = (high - low) / (2 * _LARGEST) or 1.0
    found = Scaling(slope, low + _LARGEST * slope, ((bottom + top) / 2, max(top - bottom, 1e-6)))
    write(known, json.dumps({"slope": found.slope, "intercept": found.intercept, "window": found.window}).encode())
    return found


def write(path: Path, content: bytes | bytearray) -> None:
    """Under a temporary name, then renamed: nobody sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


class Conversions:
    """The conversions under way: one thread a scan, whoever asks for its slabs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, threading.Thread] = {}
        self._failed: dict[str, str] = {}

    def start(self, path: Path, modality: Modality, folder: Path, wanted: int) -> None:
        """Makes the slabs that are missing, `wanted` first, unless somebody is at it already."""
        with self._lock:
            thread = self._running.get(folder.name)
            if thread is not None and thread.is_alive():
                return
            self._failed.pop(folder.name, None)
            thread = threading.Thread(
                target=self._convert, args=(path, modality, folder, wanted), name="slabs", daemon=True
            )
            self._running[folder.name] = thread
            thread.start()

    def problem(self, folder: Path) -> str | None:
        """Why there will be no more slabs: a sentence; None while they are coming."""
        thread = self._running.get(folder.name)
        if thread is not None and thread.is_alive():
            return None
        return self._failed.get(folder.name, "The slab was deleted while it was made. Ask for it again.")

    def _convert(self, path: Path, modality: Modality, folder: Path, wanted: int) -> None:
        try:
            scale = scaling(path, modality, folder)
            # Inflating up to the wanted slab takes a fraction of what making all slabs on the way does.
            write(folder / f"{wanted}.raw", next(int16_slabs(path, scale, wanted)))
            for n, slab in enumerate(int16_slabs(path, scale)):
                if not ready(folder, n):
                    write(folder / f"{n}.raw", slab)
        except (OSError, InputError, zlib.error) as error:
            self._failed[folder.name] = (
                str(error)
                if isinstance(error, InputError)
                else ("The stored image cannot be read. Run `verify`; restore it from a backup.")
            )
        finally:
            with self._lock:
                self._running.pop(folder.name, None)


def to_int16(block: Voxels, scale: Scaling) -> bytes:
    """Voxels as stored for the browser: little-endian int16, i fastest; what does not fit is clipped."""
    out = np.empty(block.shape, "<i2", order="F")
    for k in range(block.shape[2]):  # slice by slice, so that no second float copy of the block is needed
        stored = block[..., k]
        if (scale.slope, scale.intercept) != (1.0, 0.0):
            stored = (stored - np.float32(scale.intercept)) / np.float32(scale.slope)
        out[..., k] = np.clip(np.rint(stored), -32768, 32767)
    return out.tobytes(order="F")


def int16_slabs(path: Path, scale: Scaling, start: int = 0) -> Iterator[bytes | bytearray]:
    """A scan's slabs from `start` on as `to_int16` gives them; read a few slices at a time, to hold little."""
    slab = bytearray()
    for n, block in enumerate(read_blocks(path, _STEP, start * SLAB // _STEP), 1):
        slab += to_int16(block, scale)
        if n % (SLAB // _STEP) == 0:
            yield slab
            slab = bytearray()
    if slab:
        yield slab


def ready(folder: Path, n: int) -> bool:
    """Whether slab n is there, in either form."""
    return (folder / f"{n}.gz").exists() or (folder / f"{n}.raw").exists()


def packed(folder: Path, n: int) -> bytes | None:
    """Slab n as gzip; None if it is not there. The first time it is compressed, and the uncompressed form goes."""
    done, raw = folder / f"{n}.gz", folder / f"{n}.raw"
    for _ in range(2):  # two visitors may pack one slab at once: then the other's is there
        try:
            return done.read_bytes()
        except FileNotFoundError:
            pass
        try:
            content = gzip.compress(raw.read_bytes(), 1, mtime=0)
        except FileNotFoundError:
            continue
        write(done, content)
        raw.unlink(missing_ok=True)
        return content
    return None


def packed_labels(path: Path, cache: Path) -> bytes:
    """A mask file's labels, uint8, i fastest, as gzip; made when first asked for."""
    try:
        return cache.read_bytes()
    except FileNotFoundError:
        pass
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [squeeze.compress(block.astype(np.uint8).tobytes(order="F")) for block in read_blocks(path)]
    content = b"".join([*parts, squeeze.flush()])
    write(cache, content)
    return content
