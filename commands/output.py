"""What a verb answers: text for people or one JSON document for machines; and every failure in one line."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple, TextIO

#: Exit status when the reader of the answer went away: what a shell gives a program that SIGPIPE ended.
READER_GONE = 141


class Failed(NamedTuple):
    """An answer that is printed as any other, and all the same a failure, which is said on stderr."""

    answer: object
    sentence: str


def as_json(answer: object) -> str:
    """One JSON document; NaN and infinities, for which JSON has no word, become null."""
    from core.twin.trajectory import nan_to_null

    return json.dumps(nan_to_null(answer), indent=2, default=str, allow_nan=False)


def as_text(answer: object, indent: str = "") -> str:
    """Plain lines for people: `key: value`, lists one item a line."""
    if isinstance(answer, list):
        return "\n".join(as_text(item, indent) + ("\n" if isinstance(item, dict) else "") for item in answer)
    if isinstance(answer, dict):
        return "\n".join(
            f"{indent}{key}:\n{as_text(value, indent + '  ')}"
            if isinstance(value, (dict, list)) and value
            else f"{indent}{key}: {value}"
            for key, value in answer.items()
        )
    return f"{indent}{answer}"


#: What the file system answers when a path is wrong or closed to us.
_OF_THE_PATH = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EROFS,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    }
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def refusal(error: OSError, data: Path) -> str:
    """The sentence for what the system refused, and what to do about it."""
    problem, place = error.strerror or "The system refused", error.filename or data
    if error.errno in _FULL:
        return f"{problem}: {place}. Free some space and run it again; nothing half-written remains."
    if error.errno in _OF_THE_PATH:
        return f"{problem}: {place}. Check path and rights."
    return f"{problem}. Run it again; if it comes back, tell whoever runs TwinReview."


def say(text: str, to: TextIO) -> bool:
    """Prints to stdout or stderr at once; False when whoever reads has gone, so that nothing more is said."""
    try:
        print(text, file=to, flush=True)
    except BrokenPipeError:
        reader_is_gone(to)
        return False
    return True


def reader_is_gone(stream: TextIO) -> None:
    """Python writes what is left at its end, and would complain of it: that goes nowhere from here on."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def fail(message: str, *, in_json: bool, status: int) -> int:
    """Says in one line what is wrong: on stderr, and with --json on stdout as {"error": …}. Returns the exit status."""
    line = " ".join(message.split())
    heard = say(json.dumps({"error": line}, ensure_ascii=False), sys.stdout) if in_json else True
    return status if say(line, sys.stderr) and heard else READER_GONE
