"""What can be proven of the past: the longest whole chain of all entries that any copy of the audit still holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from store.ledger.audit import GENESIS, KEYS, Entry, entry_hash, make_entry
from store.values import canonical

#: Actions that say something about the chain they stand in, which is another one after a rebuild with gaps.
SIGNING = "audit.signing"
#: In the payload of the entry by which a rebuild over gaps says so: this chain replaced another.
REMADE = "remade"


class History(NamedTuple):
    """`chain`: entries 1..n, each following from the one before. `rest`: later entries that are whole in themselves,
    but between which some are missing; [] when nothing is known to be missing. `missing`: how many entries are known
    to be lost, at least; 0 where nobody knows."""

    chain: list[Entry]
    rest: list[Entry]
    missing: int = 0


def valid(entry: Entry) -> bool:
    """True if an entry is of the right form and its own hash is right."""
    texts = all(isinstance(entry.get(key), str) for key in KEYS if key not in ("seq", "payload"))
    good = set(entry) == set(KEYS) and type(entry["seq"]) is int and entry["seq"] > 0 and texts
    try:
        return good and isinstance(entry["payload"], dict) and entry_hash(entry) == entry["hash"]
    except (ValueError, RecursionError):  # NaN has no canonical form
        return False


def history(entries: Iterable[Entry], signed: Collection[str] = ()) -> History:
    """The longest history in entries of any order, from any number of copies; of two as long, that of the first copy.

    An entry whose own hash is wrong counts for nothing. Histories that part are told apart by their hashes. What was
    signed counts before what is longer: a chain that anybody could append to does not displace one with a signature.
    So does a chain that a rebuild made anew: the old one may be longer, if what was lost is put back, but work went on
    in the new one.

    Args:
        signed: hashes of entries whose signature was found to be right.
    """
    by_hash: dict[str, Entry] = {}
    for entry in entries:
        if valid(entry):
            by_hash.setdefault(entry["hash"], entry)
    proven: dict[str, Entry] = {}
    # by hash: the newest signed seq up to there, how often the chain was made anew, and its own seq
    trust: dict[str, tuple[int, int, int]] = {"": (0, 0, 0)}
    head: Entry | None = None
    ordered = sorted(by_hash.values(), key=lambda entry: entry["seq"])  # stable: of equals the first copy's comes first
    for entry in ordered:
        before = proven.get(entry["prev_hash"])
        follows = before["seq"] == entry["seq"] - 1 if before else (entry["seq"], entry["prev_hash"]) == (1, GENESIS)
        if follows:
            proven[entry["hash"]] = entry
            newest, remade, _ = trust[before["hash"] if before else ""]
            newest = entry["seq"] if entry["hash"] in signed else newest
            trust[entry["hash"]] = (newest, remade + (entry["payload"].get(REMADE) is True), entry["seq"])
            head = entry if head is None or trust[entry["hash"]] > trust[head["hash"]] else head
    chain = []
    while head is not None:
        chain.append(head)
        head = proven.get(head["prev_hash"])
    chain.reverse()
    # another whole history, longer and yet not taken, is no continuation of this one
    rest = _rest([entry for entry in ordered if entry["hash"] not in proven], len(chain))
    return History(chain, rest, rest[-1]["seq"] - len(chain) - len(rest) if rest else 0)


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


def told(entry: Entry) -> str:
    """What an entry tells, whatever chain it stands in: two entries of the same text are one and the same act."""
    payload = {key: value for key, value in entry["payload"].items() if key != "void"}
    return canonical([entry["created_at"], entry["person"], entry["action"], payload])


def renumbered(entries: Iterable[Entry]) -> list[Entry]:
    """The same entries as a new chain: person, time, action and payload stay, seq and hashes are new.

    Signatures belong to the old chain, so what said that signing had begun says so no longer.
    """
    void = [{**e, "payload": {**e["payload"], "void": True}} if e["action"] == SIGNING else e for e in entries]
    return continued([], void)


def continued(chain: list[Entry], entries: Iterable[Entry]) -> list[Entry]:
    """A chain that goes on with these entries, whatever numbers they had."""
    made = list(chain)
    for entry in entries:
        previous = made[-1]["hash"] if made else GENESIS
        seq = len(made) + 1
        made.append(make_entry(seq, entry["created_at"], entry["person"], entry["action"], entry["payload"], previous))
    return made
