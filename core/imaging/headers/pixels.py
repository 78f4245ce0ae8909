"""The one place that says where an image file's voxels are: in that file, behind a header that was read to its end.

Every way in goes through `pixels_in_file` and `read_payload`, with one open file: the header that was checked is the
header that is used, and no library is handed a path to follow.
"""

from __future__ import annotations

import gzip
import zlib
from typing import IO, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.imaging.headers.image_header import ImageHeader
from core.imaging.headers.metaimage_header import read_metaimage_header
from core.imaging.headers.nifti_header import read_nifti_header
from core.imaging.headers.nrrd_header import read_nrrd_header

#: The formats that are read, by suffix. What is not here is refused: Analyze, .hdr/.img, .nhdr, .mhd, VTK, GIPL …
READERS = {
    ".nii.gz": read_nifti_header,
    ".nii": read_nifti_header,
    ".nrrd": read_nrrd_header,
    ".mha": read_metaimage_header,
}
_CHUNK = 2**24
_GZIP_RATIO = 1100  # deflate cannot do better than 1032 : 1


class _Source(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


def pixels_in_file(stream: IO[bytes], name: str, suffix: str) -> ImageHeader:
    """The header of an image whose voxels are in the file itself, format and place of the payload in it.

    Args:
        stream: the open file, at its start.
        name: what messages call it.
        suffix: one of `READERS`, from the file's name; the header must agree with it.

    Raises:
        InputError: not that format, a header without an end, or voxels anywhere but in this file.
        GeometryError: an orientation that is none.
    """
    stream.seek(0)
    return READERS[suffix](stream, name)


def read_payload(stream: IO[bytes], name: str, header: ImageHeader, shape: tuple[int, int, int]) -> NDArray[Any]:
    """The stored voxels, (I, J, K) in the file's own type, from the stream that `header` was read from.

    Exactly what the header declares is taken from the file, however much a compressed payload would expand to.

    Args:
        shape: the checked form of `header.shape`.

    Raises:
        InputError: fewer bytes than declared. EOFError, zlib.error, OSError: damaged ones (see `image_files.reading`).
    """
    needed = shape[0] * shape[1] * shape[2] * header.dtype.itemsize
    held = stream.seek(0, 2)
    packed = header.encoding != "raw"
    start = held - needed if header.from_end else header.offset
    available = (held if header.encoding == "whole gzip" else held - header.offset) * (_GZIP_RATIO if packed else 1)
    if needed > available:
        raise InputError(
            f"{name}: expected {needed:,} bytes of voxels, the file is truncated: it holds {held:,} bytes. "
            "Copy or export it again."
        )
    stream.seek(0 if header.encoding == "whole gzip" else start)
    source: Any = stream
    if header.encoding in ("gzip", "whole gzip"):
        source = gzip.GzipFile(fileobj=stream)
    elif header.encoding == "zlib":
        source = _Zlib(stream)
    if header.encoding == "whole gzip":
        source.seek(header.offset)
    buffer = _filled(name, cast(_Source, source), needed)
    if packed:
        source.read(1)  # at the end of a packed stream its checksum is compared
    return buffer.view(header.dtype).reshape(shape, order="F")


def _filled(name: str, source: _Source, needed: int) -> NDArray[np.uint8]:
    """`needed` bytes, in chunks, so that memory is only touched as far as there is data (np.empty is lazy)."""
    buffer = np.empty(needed, np.uint8)
    view = memoryview(buffer.data)
    got = 0
    while got < needed:
        read = source.readinto(view[got : got + _CHUNK])
        if not read:
            raise InputError(
                f"{name}: expected {needed:,} bytes of voxels, the file is truncated after {got:,}. "
                "Copy or export it again."
            )
        got += read
    return buffer


class _Zlib:
    """A zlib or gzip payload as MetaIO writes it, expanded no further than was asked for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj(47)  # 32 + 15: either wrapping

    def readinto(self, buffer: memoryview, /) -> int:
        """Reads as much as fits; returns the number of bytes, 0 at the end of the payload."""
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._stream.read(2**16)
            piece = self._inflate.decompress(packed, len(buffer))
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)
            if not packed:
                break
        return 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes more; b"" at the payload's end, whose checksum was compared then.

        Raises:
            zlib.error: the checksum is another.
            EOFError: the file ends before the payload does.
        """
        piece = bytearray(size)
        got = self.readinto(memoryview(piece))
        if not got and not self._inflate.eof:
            raise EOFError("the compressed voxels have no end")
        return bytes(piece[:got])
