"""What can be proven of the past: the longest whole chain of all entries that any copy of the audit still holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from store.audit import GENESIS, KEYS, Entry, entry_hash, make_entry

#: Actions that say something about the chain they stand in, which is another one after a rebuild with gaps.
SIGNING = "audit.signing"


class History(NamedTuple):
    """`chain`: entries 1..n, each following from the one before. `rest`: later entries that are whole in themselves,
    but between which some are missing; [] when nothing is known to be missing."""

    chain: list[Entry]
    rest: list[Entry]

    @property
    def missing(self) -> int:
        """How many entries are known to be lost, at least."""
        return self.rest[-1]["seq"] - len(self.chain) - len(self.rest) if self.rest else 0


def valid(entry: Entry) -> bool:
    """True if an entry is of the right form and its own hash is right."""
    texts = all(isinstance(entry.get(key), str) for key in KEYS if key not in ("seq", "payload"))
    good = set(entry) == set(KEYS) and type(entry["seq"]) is int and entry["seq"] > 0 and texts
    try:
        return good and isinstance(entry["payload"], dict) and entry_hash(entry) == entry["hash"]
    except ValueError:  # NaN has no canonical form
        return False


def history(entries: Iterable[Entry]) -> History:
    """The longest history in entries of any order, from any number of copies; of two as long, that of the first copy.

    An entry whose own hash is wrong counts for nothing. Histories that part are told apart by their hashes.
    """
    by_hash: dict[str, Entry] = {}
    for entry in entries:
        if valid(entry):
            by_hash.setdefault(entry["hash"], entry)
    proven: dict[str, Entry] = {}
    head: Entry | None = None
    ordered = sorted(by_hash.values(), key=lambda entry: entry["seq"])  # stable: of equals the first copy's comes first
    for entry in ordered:
        before = proven.get(entry["prev_hash"])
        follows = before["seq"] == entry["seq"] - 1 if before else (entry["seq"], entry["prev_hash"]) == (1, GENESIS)
        if follows:
            proven[entry["hash"]] = entry
            head = entry if head is None or entry["seq"] > head["seq"] else head
    chain = []
    while head is not None:
        chain.append(head)
        head = proven.get(head["prev_hash"])
    chain.reverse()
    return History(chain, _rest(ordered, len(chain)))


def _rest(ordered: list[Entry], known: int) -> list[Entry]:
    """One entry for each seq above `known`; of several the one that the next entry follows from."""
    groups: dict[int, list[Entry]] = {}
    for entry in ordered:
        if entry["seq"] > known:
            groups.setdefault(entry["seq"], []).append(entry)
    rest: list[Entry] = []
    wanted = ""
    for seq in sorted(groups, reverse=True):
        chosen = next((entry for entry in groups[seq] if entry["hash"] == wanted), groups[seq][0])
        wanted = chosen["prev_hash"]
        rest.append(chosen)
    return rest[::-1]


def renumbered(entries: Iterable[Entry]) -> list[Entry]:
    """The same entries as a new chain: person, time, action and payload stay, seq and hashes are new.

    Signatures belong to the old chain, so what said that signing had begun says so no longer.
    """
    made: list[Entry] = []
    previous = GENESIS
    for seq, entry in enumerate(entries, start=1):
        payload = {**entry["payload"], "void": True} if entry["action"] == SIGNING else entry["payload"]
        made.append(make_entry(seq, entry["created_at"], entry["person"], entry["action"], payload, previous))
        previous = made[-1]["hash"]
    return made
