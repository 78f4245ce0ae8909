"""The same files and the same judge, led by what code was reached: `python -m tests.fuzz.guided --minutes 10`.

It needs atheris (PyPI, Linux), which only `make soak` asks for. It ends with the first fault, and says which file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import atheris  # type: ignore[import-untyped,unused-ignore,import-not-found]

with atheris.instrument_imports(include=["core.imaging", "nibabel", "pydicom"]):
    from core.imaging import reader_process  # noqa: F401

from core.settings import adopt
from tests.fuzz.__main__ import SETTINGS
from tests.fuzz.kinds import make_kinds
from tests.fuzz.oracle import READ, REFUSED, outcome


def main(arguments: Sequence[str]) -> None:
    """Never returns: libFuzzer ends the process, with status 0 where nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    minutes = parser.parse_args(arguments).minutes
    adopt(SETTINGS)
    folder = Path(tempfile.mkdtemp())
    for name in ("kinds", "home", "corpus"):
        (folder / name).mkdir()
    kinds = list(make_kinds(folder / "kinds").values())
    for number, kind in enumerate(kinds):
        first = next(iter(kind.files.values()))
        (folder / "corpus" / str(number)).write_bytes(bytes([number]) + first)

    def one(data: bytes) -> None:
        if len(data) < 2:
            return
        kind = kinds[data[0] % len(kinds)]
        came = outcome(kind, {**kind.files, next(iter(kind.files)): data[1:]}, folder / "home")
        if came not in (READ, REFUSED):
            raise AssertionError(came)

    seconds = max(1, int(60 * minutes))
    options = [
        f"-max_total_time={seconds}",
        "-timeout=60",
        "-rss_limit_mb=4096",
        "-max_len=65536",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(folder / "corpus")], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
