"""Entries that tell of several things at once: a study comes in whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

from core.remembered.untyped import JsonObject

#: The scans of a study and the masks that came with them, in one entry.
STUDY = "study.added"


def parts_of(action: str, payload: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """What an entry tells, one thing at a time: an entry about one thing is that thing."""
    if action != STUDY:
        yield action, payload
        return
    for scan in payload["scans"]:
        yield "scan.added", scan
    for mask in payload["masks"]:
        yield "mask.added", mask
