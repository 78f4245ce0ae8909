"""What is doubted of a visit: by lesion, and together for the total."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from core.twin.visit_doubts import doubts_at


def timeline(*cells: tuple[str, str | None, tuple[str, ...]]) -> Any:
    found = [SimpleNamespace(lesion_id=name, mask_id=mask, doubts=doubts) for name, mask, doubts in cells]
    return SimpleNamespace(column=lambda day: found if day == "2024-01-01" else [])


def test_a_doubt_on_all_is_told_once_and_one_on_some_names_them() -> None:
    scan, place = "scan gate: doubtful; answered by ann: fine", "mask gate: doubtful of L2 (position)"
    seen = timeline(("L1", "m", (scan,)), ("L2", "m", (scan, place)), ("L3", None, ("nobody looked",)))
    assert doubts_at(seen, "2024-01-01") == (scan, f"L2: {place}")
    assert doubts_at(seen, "2024-01-01", "L2") == (scan, place)
    assert doubts_at(seen, "2024-01-01", "L3") == ()
    assert doubts_at(seen, "2024-02-01") == ()
