"""Lesions like one: what looks for them at 1,000, 10,000 and 100,000 lesions.

Each library in a process of its own, one thread. usearch and ruvector are in no requirements file that a test brings:
`pip install -r requirements-extra.txt usearch`, or a folder that has them in PYTHONPATH, else their rows say so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.bench.neighbour_backends import MAKERS

SIZES = ((1_000, 28), (10_000, 28), (100_000, 28), (10_000, 256))
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def run(most: int = 100_000) -> list[dict[str, Any]]:
    """One row a backend and size, none of more lesions than `most`."""
    return [_row(name, *size) for size in SIZES if size[0] <= most for name in MAKERS]


def _row(name: str, count: int, features: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.neighbour_backends", name, str(count), str(features)]
    environment = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=3600)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
