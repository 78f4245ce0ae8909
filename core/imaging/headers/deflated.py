"""Deflated DICOM (transfer syntax 1.2.840.10008.1.2.1.99): everything behind the meta information is packed."""

from __future__ import annotations

import zlib
from typing import IO

#: Before the voxels a header of enhanced DICOM has some MB; what expands further than this is none.
MAX_HEADER_BYTES = 64 * 2**20


class Inflating:
    """A stream that is expanded no further than it is read, and never beyond `most` bytes.

    Args:
        stream: the file, where the packed part begins.
        most: how far it may be read; may be raised.
    """

    def __init__(self, stream: IO[bytes], most: int = MAX_HEADER_BYTES) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._held = bytearray()
        self._at = 0
        self.most = most

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, or what is left.

        Raises:
            ValueError: that is beyond `most`. zlib.error: damaged.
        """
        wanted = self._at + size if size >= 0 else self.most
        if wanted > self.most:
            raise ValueError("deflated DICOM that expands beyond what it says")
        while len(self._held) < wanted and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._stream.read(2**16)
            if not packed:
                break
            self._held += self._inflate.decompress(packed, wanted - len(self._held))
        piece = bytes(self._held[self._at : wanted])
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of a file, from its start or from here.

        Raises:
            ValueError: from its end, which is not known.
        """
        if whence not in (0, 1):
            raise ValueError("the end of a deflated file is not known")
        self._at = offset if whence == 0 else self._at + offset
        return self._at

    def tell(self) -> int:
        """Where it is read next."""
        return self._at
