"""Files of one JSON value a line, which only ever grow: the audit's mirror, the ledgers, the signed heads."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO, NamedTuple

from core.errors import StoreError
from core.remembered.untyped import JsonDict
from store.files.mask_files import fsync_dir

_BLOCK = 65_536


class Tail(NamedTuple):
    """The end of such a file: its last whole line as a value (None: there is none, or it is no JSON object), that
    line's bytes, and what follows it without an end of line (b"" in a file that is whole)."""

    value: JsonDict | None
    line: bytes
    torn: bytes


def opened(path: Path, mode: str) -> IO[bytes]:
    """Open such a file itself ("rb", "ab"), never through a link: who can put a link there would have us write to, or
    tell of, any file of the machine.

    Raises:
        FileNotFoundError: if there is nothing of that name, when reading.
        StoreError: if a link, a folder or anything else stands in its place.
    """

    def at_once(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)  # a pipe would be waited for

    wrong = StoreError(
        f"{path.name} is a symbolic link or no file, where a file of the store was expected. Nothing was touched. Put "
        "the file itself there; if it is lost, take away what is in its place and open again."
    )
    try:
        file = open(path, mode, opener=at_once)  # noqa: SIM115 - the caller closes it
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise wrong from None
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise wrong
    return file


def content(path: Path) -> bytes:
    """All of such a file; b"" if it is not there. Raises as `opened`."""
    try:
        with opened(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def line_of(value: object) -> bytes:
    """A value as its line."""
    return (json.dumps(value, allow_nan=False) + "\n").encode("ascii")


def append(path: Path, lines: Iterable[bytes]) -> None:
    """Add lines at the end and fsync; a first line that is the file's last line already is not added again.

    A half line that a crash left is taken away if it is the beginning of the first new line; any other half line is
    ended, so that it spoils no line but itself.
    """
    new = list(lines)
    if not new:
        return
    fresh = not os.path.lexists(path)
    if fresh:
        path.parent.mkdir(parents=True, exist_ok=True)
    before = Tail(None, b"", b"") if fresh else tail(path)
    if before.line == new[0] and not before.torn:
        del new[0]
    with opened(path, "ab") as file:
        if before.torn and new[0].startswith(before.torn):
            file.truncate(file.seek(0, os.SEEK_END) - len(before.torn))
        elif before.torn:
            file.write(b"\n")
        file.write(b"".join(new))
        file.flush()
        os.fsync(file.fileno())
    if fresh:
        fsync_dir(path.parent)


def tail(path: Path) -> Tail:
    """The end of a file, read from its end: cheap however long it is. Of a file that is not there it is empty."""
    if not os.path.lexists(path):
        return Tail(None, b"", b"")
    with opened(path, "rb") as file:
        start = file.seek(0, os.SEEK_END)
        data = b""
        while start:
            step = min(start, max(_BLOCK, len(data)))
            start -= step
            file.seek(start)
            data = file.read(step) + data
            if data.rfind(b"\n", 0, data.rfind(b"\n")) >= 0:
                break
    cut = data.rfind(b"\n") + 1
    torn, whole = data[cut:], data[:cut]
    line = whole[whole.rfind(b"\n", 0, -1) + 1 :]
    return Tail(value_of(line), line, torn)


def value_of(line: bytes) -> JsonDict | None:
    """The JSON object that a line is; None if it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
