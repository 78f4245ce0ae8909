"""`python -m tests.bench [NAME …]`: runs every bench_*.py of this folder, or those named; prints Markdown tables.

Exit status 1 when one of them failed; the others are still run.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def machine() -> str:
    """The processor, its cores as this process may use them, memory and Python: what a figure means nothing without."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory_gib:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; columns in the order in which they first appear, a missing value as "–"."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def available() -> list[str]:
    """Names of the measurements in this folder."""
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def main(names: Sequence[str], data: str | None = None, workers: int | None = None) -> int:
    """Runs the named measurements (all when none is named) and prints them; returns the exit status."""
    options = {name: value for name, value in {"data": data, "workers": workers}.items() if value is not None}
    unknown = set(names) - set(available())
    if unknown:
        print(f"Expected some of {', '.join(available())}, got {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    print(f"Measured on {machine()}; load {os.getloadavg()[0]:.1f} at the start.\n", flush=True)
    failed = 0
    for name in names or available():
        began = time.perf_counter()
        try:
            module = importlib.import_module(f"tests.bench.bench_{name}")
            title = (module.__doc__ or name).strip().splitlines()[0].rstrip(".")
            taken = {n: value for n, value in options.items() if n in inspect.signature(module.run).parameters}
            print(f"## {title}\n\n{table(module.run(**taken))}\n")
        except Exception:
            failed += 1
            traceback.print_exc()
            print(f"## {name}\n\nfailed\n")
        print(f"`python -m tests.bench {name}`: {time.perf_counter() - began:.0f} s\n", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":  # nnU-Net's processes load this file too
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(available()) or 'none yet'}")
    parser.add_argument("--data", metavar="FOLDER", help="what is measured on, for the measurements that ask for it")
    parser.add_argument("--workers", type=int, metavar="N", help="processes, for the same; as many as there are cores")
    given = parser.parse_args()
    sys.exit(main(given.names, given.data, given.workers))
