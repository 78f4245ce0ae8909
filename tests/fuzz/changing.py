"""Changes at random: bytes, numbers, words and pieces of a file; inside of what is packed as well as outside."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Sequence

import numpy as np

#: Numbers at which code breaks, little endian, of 1, 2, 4 and 8 bytes.
_EDGES = [
    int(value).to_bytes(size, "little", signed=value < 0)
    for size in (1, 2, 4, 8)
    for value in (0, 1, -1, 2 ** (8 * size - 1) - 1, -(2 ** (8 * size - 1)), 255 if size > 1 else 127)
]
_WORDS = (
    *(b"nan", b"inf", b"-1", b"0", b"1e308", b"1e-308", b"4294967296", b"2147483648", b"\0", b"", b"1A", b"\\", b" "),
    *(b"raw", b"gzip", b"short", b"float", b"double", b"uchar", b"LOCAL", b"LIST", b"x.raw", b"../x", b"list", b"3"),
    *(b"CT", b"PT", b"MR", b"SEG", b"RTSTRUCT", b"OB", b"OW", b"SQ", b"UN", b"UL", b"\xff\xff\xff\xff", b"\xfe\xff"),
    *(b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.4.80"),
    *(b"CLOSED_PLANAR", b"POINT", b"FRACTIONAL", b"LABELMAP", b"BINARY", b"BQML", b"CNTS", b"GML", b"n+1\0", b"ni1\0"),
)
Rng = np.random.Generator


def _flip(data: bytearray, rng: Rng) -> None:
    for _ in range(int(rng.integers(1, 5))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def _byte(data: bytearray, rng: Rng) -> None:
    data[int(rng.integers(len(data)))] = int(rng.integers(256))


def _edge(data: bytearray, rng: Rng) -> None:
    value = _EDGES[int(rng.integers(len(_EDGES)))]
    at = int(rng.integers(max(1, len(data) - len(value))))
    data[at : at + len(value)] = value if rng.random() < 0.7 else value[::-1]


def _word(data: bytearray, rng: Rng) -> None:
    value = _WORDS[int(rng.integers(len(_WORDS)))]
    at = int(rng.integers(len(data)))
    data[at : at + (len(value) if rng.random() < 0.6 else int(rng.integers(8)))] = value


def _digit(data: bytearray, rng: Rng) -> None:
    """One of the digits that stand in it as text."""
    places = [n for n, value in enumerate(data[:2000]) if 48 <= value <= 57]
    if places:
        data[places[int(rng.integers(len(places)))]] = int(rng.choice(list(b"0123456789-.e")))


def _cut(data: bytearray, rng: Rng) -> None:
    del data[int(rng.integers(1, len(data) + 1)) :]


def _take_out(data: bytearray, rng: Rng) -> None:
    at = int(rng.integers(len(data)))
    del data[at : at + int(rng.integers(1, 65))]


def _again(data: bytearray, rng: Rng) -> None:
    at, length = int(rng.integers(len(data))), int(rng.integers(1, 257))
    to = int(rng.integers(len(data)))
    data[to:to] = data[at : at + length]


def _exchange(data: bytearray, rng: Rng) -> None:
    length = int(rng.integers(1, 33))
    a, b = (int(rng.integers(len(data))) for _ in range(2))
    piece = data[a : a + length]
    data[a : a + length] = data[b : b + length]
    data[b : b + length] = piece


_CHANGES: Sequence[Callable[[bytearray, Rng], None]] = (
    *(_flip, _byte, _edge, _edge, _word, _word, _digit, _digit, _cut, _take_out, _again, _exchange),
)


def _zip_changed(data: bytes, rng: Rng) -> bytes:
    """One of its members changed, with the right checksum."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        chosen = names[int(rng.integers(len(names)))]
        for name in names:
            new.writestr(name, changed(old.read(name), rng) if name == chosen else old.read(name))
    return out.getvalue()


def changed(data: bytes, rng: Rng) -> bytes:
    """The file with one change or a few, most of them near its start; of a gzip file, half of the times inside."""
    if data[:2] == b"\x1f\x8b" and rng.random() < 0.7:
        return gzip.compress(changed(gzip.decompress(data), rng), 1, mtime=0)
    if data[:4] == b"PK\3\4" and rng.random() < 0.7:
        return _zip_changed(data, rng)
    if b"CompressedDataSize" in data[:1000] and rng.random() < 0.3:
        head, _, packed = data.partition(b"LOCAL\n")
        return head + b"LOCAL\n" + zlib.compress(changed(zlib.decompress(packed), rng))
    out = bytearray(data)
    for _ in range(int(rng.geometric(0.7))):
        if not out:
            break
        change = _CHANGES[int(rng.integers(len(_CHANGES)))]
        if rng.random() < 0.6 and len(out) > 512:  # headers, not voxels
            start = out[: min(len(out), 1600)]
            rest = out[len(start) :]
            change(start, rng)
            out = start + rest
        else:
            change(out, rng)
    return bytes(out)
