"""Side-by-side measurements: a file bench_<name>.py each, with a title docstring and `run() -> list[dict]` (rows)."""

from __future__ import annotations

import os
from pathlib import Path


def shared_data() -> Path:
    """The real scans beside the repository (or at TWIN_SHARED); a measurement without them says so and fails."""
    folder = Path(os.environ.get("TWIN_SHARED") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
    if not folder.is_dir():
        raise FileNotFoundError(f"The real scans are not in {folder}; set TWIN_SHARED to where they are.")
    return folder
