"""What is left of the past before a rebuild: the entries of every copy, and the history that they make together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import StoreError, TwinReviewError
from store.database.connection import Connection, StoreBusy
from store.files.paths import inside
from store.ledger import heads, histories, journal, ledgers, putting_right, replay
from store.ledger.audit import GENESIS, Audit, Entry, read_file
from store.ledger.batch import Batch
from store.ledger.writing import AUDIT, DATABASE
from store.recovery import adopting, doubts

#: Where a rebuild keeps what it replaces.
BACKUP_FOLDER = "before-rebuild"


class Past(NamedTuple):
    """All that is left of the history: entries of every copy, those of the old database (None if it cannot be read),
    the hashes in ledgers, the key, and what it signed in this chain (hash to seq) and in any that is kept."""

    entries: list[Entry]
    table: list[Entry] | None
    in_ledgers: set[str]
    key: heads.Key | None
    signed: dict[str, int]
    ever_signed: dict[str, int]


def past(root: Path) -> Past:
    """Every entry that is still there, that of audit.jsonl first."""
    in_file, _ = read_file(root / AUDIT)
    in_ledgers, _ = ledgers.read_all(root)
    table = _table(root / DATABASE)
    key = heads.key_of(root)
    now, before = root / heads.HEADS, sorted(root.glob(f"{BACKUP_FOLDER}/*/{heads.HEADS}"))
    return Past(
        [*in_file, *(table or []), *in_ledgers],
        table,
        {str(entry["hash"]) for entry in in_ledgers},
        key,
        doubts.signed_heads([now], key),
        doubts.signed_heads([now, *before], key),
    )


def _table(database: Path) -> list[Entry] | None:
    """The old database's audit table; None if it cannot be read.

    Raises:
        StoreBusy: if another process holds it: that one is not damaged, and would go on writing to the old one.
    """
    if not database.exists():
        return None
    try:
        with Connection(database, read_only=True) as db:
            return Audit(db, database.with_name(AUDIT)).entries()
    except StoreBusy:
        raise
    except (TwinReviewError, ValueError, OSError):
        return None


def with_cut(root: Path, left: Past) -> tuple[histories.History, journal.Pending | None]:
    """The history, with the write that was cut short if it counts.

    It counts if the old database has it; where that cannot be asked, if it comes next and all its files are there.

    Raises:
        StoreError: naming the first entry that is whole in itself and still none that a TwinReview writes; or if the
            journal is none of ours.
    """
    signed = left.signed if left.key is not None else ()
    history = histories.history(left.entries, signed)
    cut = journal.pending(root)
    if cut is not None and all(entry["hash"] != cut.entry["hash"] for entry in left.entries):
        asked = left.table is not None and len(left.table) == len(history.chain)
        head = history.chain[-1]["hash"] if history.chain else GENESIS
        if not asked and cut.entry["prev_hash"] == head and all(inside(root, name).is_file() for name in cut.files):
            history = histories.history([*left.entries, cut.entry], signed)
    _refuse_foreign(history)
    return _without_echoes(history), cut


def _refuse_foreign(history: histories.History) -> None:
    """Before anything is written: what nobody's TwinReview wrote would stop the rebuild half-way."""
    batch, places = Batch(), ledgers.Places()
    for entry in [*history.chain, *history.rest]:
        try:
            replay.apply(batch, entry)
            places.of(entry)
        except (TwinReviewError, TypeError) as error:
            what = str(error) if isinstance(error, TwinReviewError) else "a value in it is of another kind."
            if what.startswith(replay.in_words(entry)):
                raise
            raise StoreError(f"{replay.in_words(entry)} cannot be replayed: {what} {replay.FOREIGN}") from error


def _without_echoes(history: histories.History) -> histories.History:
    """Without later entries that the chain tells already, under other numbers, or whose scan or mask it knows, and
    without an older chain's decisions on its masks.

    A rebuild over gaps writes a new and shorter chain. Where it was killed, or an older ledger was put back beside it,
    the entries of the old chain have higher numbers and are there once more.
    """
    if not history.chain:
        return history
    known = adopting.known_of(told(history.chain))
    texts = set(map(histories.told, history.chain))
    rest = []
    for entry in history.rest:
        text, payload = histories.told(entry), entry["payload"]
        puts_right = entry["action"] in putting_right.ACTIONS  # it names what is known, and is no second import of it
        own = adopting.known_of([] if puts_right else [(entry["action"], payload)])
        older = entry["created_at"] < history.chain[-1]["created_at"]
        if older and puts_right:
            continue  # this chain went on without it
        if older and entry["action"] == "mask.decided" and payload["decision"]["mask_id"] in known.mask_ids:
            continue  # this chain went on without that decision, and may have decided since
        if text in texts or own.scans & known.scans or own.versions & known.versions or own.mask_ids & known.mask_ids:
            continue
        texts.add(text)
        rest.append(entry)
        known.tell(entry["action"], payload)
    # of numbers in two chains nobody can count what is missing
    return histories.History(history.chain, rest, history.missing if len(rest) == len(history.rest) else 0)


def told(entries: Sequence[Entry]) -> list[adopting.Told]:
    """The entries' payloads, without who, when and their numbers."""
    return [(entry["action"], entry["payload"]) for entry in entries]
