"""`python -m tests.fuzz --minutes 60`: counts files, reads, refusals and faults of each kind; status 1 for a fault.

Files are read in a child process that is limited as the reader is. A file that ends it, or holds it for longer than a
minute, is a fault too, and the next child goes on behind it. `--kind`, `--seed` and `--first` bring one back.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from core.settings import adopt
from tests.fuzz.changing import changed
from tests.fuzz.kinds import Kind, make_kinds
from tests.fuzz.oracle import READ, REFUSED, outcome

#: How long one file may take, twice read; and the memory of the child, beside what it has already.
PATIENCE_S, MEMORY_BYTES = 60.0, 2**30
SETTINGS = {"TWIN_MAX_IMPORT_GB": "0.05"}


def files_of(kind: Kind, name: str, seed: int, number: int) -> dict[str, bytes]:
    """The files of execution `number`: the same for ever."""
    rng = np.random.default_rng([seed, number, *name.encode()])
    names = list(kind.files)
    chosen = names[int(rng.integers(len(names)))]
    if not kind.whole:
        chosen = names[0]
    return {**kind.files, chosen: changed(kind.files[chosen], rng)}


def _child(
    kinds: Mapping[str, Kind], seed: int, first: int, until: float, home: Path, place: mmap.mmap, out: int
) -> None:
    """Reads file after file; says before each which it is, and after each what came of it. Never returns."""
    try:
        adopt(SETTINGS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        names, number = list(kinds), first
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1), os.dup2(nowhere, 2)
        while time.monotonic() < until:
            name = names[number % len(names)]
            place[:8] = number.to_bytes(8, "little")
            try:
                came = outcome(kinds[name], files_of(kinds[name], name, seed, number), home)
            except BaseException as error:
                came = f"{type(error).__name__} beside the reader: {str(error)[:200]}"
            os.write(out, json.dumps([number, name, came]).encode() + b"\n")
            number += 1
    finally:
        os._exit(0)


class Fuzz:
    """Counts of a run.

    Args:
        kinds: those that are tried, in turn.
        seed: another one changes all files.
    """

    def __init__(self, kinds: Mapping[str, Kind], seed: int, first: int = 0) -> None:
        self.kinds, self.seed, self.number = kinds, seed, first
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in kinds}
        self.faults: list[tuple[int, str, str]] = []

    def run(self, seconds: float) -> None:
        """Goes on for so long, child after child."""
        until = time.monotonic() + seconds
        with tempfile.TemporaryDirectory() as folder, mmap.mmap(-1, 8) as place:
            while time.monotonic() < until:
                home = Path(folder) / str(self.number)
                home.mkdir()
                self._one_child(home, until, place)

    def _one_child(self, home: Path, until: float, place: mmap.mmap) -> None:
        receive, send = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(receive)
            _child(self.kinds, self.seed, self.number, until, home, place, send)
        os.close(send)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
        with os.fdopen(receive) as lines:
            signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
            for line in lines:
                signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
                number, name, came = json.loads(line)
                self._count(number, name, came)
        signal.setitimer(signal.ITIMER_REAL, 0)
        status = os.waitpid(pid, 0)[1]
        if status:
            number = int.from_bytes(place[:8], "little")
            names = list(self.kinds)
            how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"status {status}"
            late = " (no answer for a minute)" if how == "SIGKILL" else ""
            self._count(number, names[number % len(names)], f"it ended its process: {how}{late}")

    def _count(self, number: int, name: str, came: str) -> None:
        self.number = number + 1
        self.counts[name][came if came in (READ, REFUSED) else "fault"] += 1
        if came not in (READ, REFUSED):
            self.faults.append((number, name, came))
            print(f"fault {number} {name}: {came}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 if there was a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first file; with --minutes 0 that one alone"
    )
    parser.add_argument("--kind", action="append", help="some kinds alone (numbers then count these)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        every = make_kinds(Path(folder))
    kinds = {name: kind for name, kind in every.items() if not given.kind or name in given.kind}
    fuzz = Fuzz(kinds, given.seed, given.first)
    fuzz.run(60 * given.minutes)
    total = sum((fuzz.counts[name] for name in kinds), Counter[str]())
    for name, counts in {**fuzz.counts, "all": total}.items():
        print(f"{name:18}{sum(counts.values()):9,} files {counts[READ]:9,} read {counts[REFUSED]:9,} refused", end="")
        print(f" {counts['fault']:6,} faults")
    return 1 if fuzz.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
