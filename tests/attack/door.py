"""Doors that are tried, and what came of each."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

ROOT = Path(__file__).resolve().parents[2]
#: No command of an attack runs longer.
LIMIT_S = 180
SECRET = "the-words-of-another-file-4711"


class Opened(Exception):
    """A door that should have held did not; the text says what came through."""


class Skipped(Exception):
    """A door that could not be tried here; the text says why."""


@dataclass(frozen=True)
class Door:
    """One attack.

    Args:
        kind: what is attacked, a heading of the report.
        name: what is tried, in words.
        attempt: tries it in an empty folder of its own; returns how the door held, raises Opened or Skipped.
    """

    kind: str
    name: str
    attempt: Callable[[Path], str]


@dataclass(frozen=True)
class Outcome:
    """What came of one door: "held", "OPEN" or "not tried", in how many seconds, and the words of the attempt."""

    door: Door
    state: str
    said: str
    seconds: float


def attempt(door: Door, folder: Path) -> Outcome:
    """The outcome of one door, tried in `folder`; an attack that fails for a reason of its own counts as open."""
    folder.mkdir(parents=True)
    started = time.monotonic()
    try:
        state, said = "held", door.attempt(folder)
    except Opened as error:
        state, said = "OPEN", str(error)
    except Skipped as error:
        state, said = "not tried", str(error)
    except Exception as error:  # an attack that broke has shown nothing, and nothing shown is no pass
        state, said = "OPEN", f"the attack itself failed: {type(error).__name__}: {error}"
    return Outcome(door, state, " ".join(said.split())[:160], time.monotonic() - started)


@dataclass(frozen=True)
class Ran:
    """A finished command: its exit status, both outputs, and the most memory that it or a child of it held, bytes."""

    status: int
    out: str
    err: str
    peak_bytes: int

    @property
    def text(self) -> str:
        return self.out + self.err


def cli(root: Path, *words: str, status: int | None = None, **env: str) -> Ran:
    """`python cli.py WORDS --data ROOT`, run to its end.

    Args:
        status: the exit status that it must have; None where any will do.

    Raises:
        Opened: if it has another status, or shows a traceback.
    """
    command = [sys.executable, "cli.py", *words, "--data", str(root)]
    with NamedTemporaryFile() as out, NamedTemporaryFile() as err:
        child = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err, env={**os.environ, **env})
        stop = threading.Timer(LIMIT_S, child.kill)
        stop.start()
        _, exit_status, used = os.wait4(child.pid, 0)  # of this one process and those that it waited for
        stop.cancel()
        child.returncode = os.waitstatus_to_exitcode(exit_status)
        said = [Path(stream.name).read_text(errors="replace") for stream in (out, err)]
    ran = Ran(child.returncode, said[0], said[1], used.ru_maxrss * 1024)
    if "Traceback" in ran.text or 'File "' in ran.text:
        raise Opened(f"cli.py {words[0]} showed a traceback: {ran.err[-200:]}")
    if status is not None and ran.status != status:
        raise Opened(f"cli.py {' '.join(words[:2])} ended with {ran.status}, not {status}: {ran.text[-200:]}")
    return ran


def holds(root: Path, words: str) -> list[str]:
    """Names of the files under `root` that hold `words` as they are (or, in an image, voxels of these bytes)."""
    found = []
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and words.encode() in _content(path):
            found.append(path.relative_to(root).as_posix())
    return found


def _content(path: Path) -> bytes:
    if not path.name.endswith(".nii.gz"):
        return path.read_bytes()
    import nibabel as nib
    import numpy as np

    return np.asarray(nib.load(path).dataobj).astype(np.uint8).tobytes(order="F")  # type: ignore[attr-defined]
