"""Whether audit.jsonl, the ledgers and the signatures tell what the audit table tells.

Files that are byte for byte what the table makes of them need no second look. Only where one is not are they read and
compared entry by entry (`Audit.verify`, `ledgers.verify`, `heads.verify`), while nobody writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.errors import StoreError
from store.ledger import ledgers, lines
from store.ledger.audit import GENESIS, Entry, check_chain, entry_hash
from store.ledger.writing import Ledger


class Copies:
    """What the copies of the audit are to hold, up to some entry; others may write while it looks for that.

    Args:
        entries: the whole table up to there.
    """

    def __init__(self, store: Ledger, entries: Sequence[Entry]) -> None:
        self._store = store
        self._last = (entries[-1]["seq"], entries[-1]["hash"]) if entries else (0, GENESIS)
        self._places = ledgers.Places()
        told: dict[str, list[bytes]] = {}
        mirror = []
        for entry in entries:
            line = lines.line_of(entry)
            mirror.append(line)
            told.setdefault(self._places.of(entry), []).append(line)
        self._lengths = {place: sum(map(len, own)) for place, own in told.items()}
        self._mirror_length = sum(map(len, mirror))
        self._audit_agrees = not check_chain(entries, "table") and _holds(store.audit.path, b"".join(mirror))
        self._ledgers_agree = all(_holds(store.root / place, b"".join(own)) for place, own in told.items())
        self._heads_agree = not store.verify_heads(entries)

    def problems(self, later: Sequence[Entry]) -> list[str]:
        """A sentence for every difference; [] when there is none. Nobody may write meanwhile.

        Args:
            later: the entries that came since.
        """
        store = self._store
        audit = self._audit_agrees and self._follow(later)
        whole = self._ledgers_agree and self._ledgers_follow(later)
        heads = self._heads_agree and not later
        if audit and whole and heads:
            return []
        problems = [] if audit else store.audit.verify()
        if not (whole and heads):
            entries = store.audit.entries()
            problems += [] if whole else ledgers.verify(store.root, entries)
            problems += store.verify_heads(entries)
        return problems

    def _follow(self, later: Sequence[Entry]) -> bool:
        """Whether the later entries follow from the last one, and are what ends audit.jsonl."""
        seq, digest = self._last
        for number, entry in enumerate(later, seq + 1):
            if (entry["seq"], entry["prev_hash"]) != (number, digest) or entry_hash(entry) != entry["hash"]:
                return False
            digest = entry["hash"]
        return _ends(self._store.audit.path, self._mirror_length, b"".join(map(lines.line_of, later)))

    def _ledgers_follow(self, later: Sequence[Entry]) -> bool:
        """The same of the ledgers, and there is no ledger that should not be."""
        rest = dict.fromkeys(self._lengths, b"")
        for entry in later:
            place = self._places.of(entry)
            rest[place] = rest.get(place, b"") + lines.line_of(entry)
        root = self._store.root
        return set(ledgers.there(root)) == rest.keys() and all(
            _ends(root / place, self._lengths.get(place, 0), text) for place, text in rest.items()
        )


def _holds(path: Path, text: bytes) -> bool:
    """Whether the file begins with these bytes."""
    try:
        with lines.opened(path, "rb") as file:
            return file.read(len(text)) == text
    except (OSError, StoreError):
        return False


def _ends(path: Path, start: int, text: bytes) -> bool:
    """Whether these bytes, and no others, are in the file from `start` on."""
    try:
        with lines.opened(path, "rb") as file:
            file.seek(start)
            return file.read() == text
    except (OSError, StoreError):
        return False
