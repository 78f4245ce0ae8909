"""Signed and anchored heads: what lets a chain be trusted by somebody who does not trust the data folder.

`heads.jsonl` in the data root holds, for each entry from the first signed one on, its seq, its hash, the id of the key
and an HMAC-SHA256 over them. TWIN_AUDIT_KEY is the key: the path of a key file outside of the data root if it has a
"/", else the secret itself, at least 16 characters. Signing begins by an act of its own (`audit sign`), an entry too.

TWIN_AUDIT_ANCHOR is a file outside of the data root to which every head is added; what lies there cannot be taken back
by somebody who can write to the data root alone.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import InputError, StoreError
from core.remembered.untyped import JsonDict, JsonObject
from core.settings import settings
from core.strict import check_key
from store.ledger import lines
from store.ledger.audit import Entry
from store.ledger.histories import SIGNING

logger = logging.getLogger("twinreview.store")
HEADS = "heads.jsonl"
#: Said at every opening for writing that would leave entries unsigned for ever in a chain that is signed.
UNSIGNED = (
    "The audit of this store is signed, but the key that it is signed with is not in TWIN_AUDIT_KEY: what is written "
    "now stays unsigned, and `verify` will name it for ever. Close it, set the key, and open it again."
)


class Key(NamedTuple):
    """A signing key; `key_id` names it without telling it."""

    secret: bytes
    key_id: str

    def sign(self, seq: int, digest: str) -> str:
        """HMAC-SHA256, 64 hex digits, of one head."""
        return hmac.new(self.secret, f"twinreview head {seq} {digest}".encode("ascii"), hashlib.sha256).hexdigest()

    def head(self, entry: JsonObject) -> JsonDict:
        """The signed head of an entry, as its line in heads.jsonl."""
        seq, digest = entry["seq"], entry["hash"]
        return {"seq": seq, "hash": digest, "key": self.key_id, "signature": self.sign(seq, digest)}

    def made(self, head: JsonObject) -> bool:
        """True if a line of heads.jsonl was made with this key."""
        seq, digest, signature = head.get("seq"), head.get("hash"), head.get("signature")
        if type(seq) is not int or not isinstance(digest, str) or not isinstance(signature, str):
            return False
        try:
            return hmac.compare_digest(self.sign(seq, digest), signature)
        except (TypeError, ValueError):
            return False


def key_of(root: Path) -> Key | None:
    """The key that TWIN_AUDIT_KEY gives; None without one.

    Raises:
        InputError: for a key that is too short, a key file that cannot be read, or one inside of the data root.
    """
    given = settings().audit_key
    if given is None:
        return None
    value = given.get_secret_value()
    if "/" in value:
        path = Path(value).expanduser().resolve()
        _refuse_inside(root, path, "TWIN_AUDIT_KEY")
        try:
            secret = path.read_bytes().strip()
        except OSError as error:
            raise InputError(f"The key file that TWIN_AUDIT_KEY names cannot be read: {error.strerror}.") from None
    else:
        secret = value.strip().encode("utf-8")
    check_key(secret)
    return Key(secret, hashlib.sha256(b"twinreview key id " + secret).hexdigest()[:16])


def anchor_of(root: Path) -> Path | None:
    """The file that TWIN_AUDIT_ANCHOR names; None without one.

    Raises:
        InputError: if it is inside of the data root.
    """
    given = settings().audit_anchor
    if given is None:
        return None
    path = given.expanduser().resolve()
    _refuse_inside(root, path, "TWIN_AUDIT_ANCHOR")
    return path


def _refuse_inside(root: Path, path: Path, name: str) -> None:
    if path.is_relative_to(root.resolve()):
        raise InputError(f"{name} names a file inside of the data folder. Keep it elsewhere: there it proves nothing.")


def begun(entries: Iterable[Entry], key: Key | None) -> int | None:
    """The seq from which on entries are signed with this key (None: with any); None if that was never begun in this
    chain."""
    for entry in entries:
        payload = entry["payload"]
        if entry["action"] == SIGNING and (key is None or payload.get("key") == key.key_id) and not payload.get("void"):
            return int(entry["seq"])
    return None


def add(path: Path, key: Key, entries: Sequence[Entry]) -> None:
    """Sign entries and add their heads to the file; of one that is there already nothing."""
    lines.append(path, [lines.line_of(key.head(entry)) for entry in entries])


def anchor(path: Path, entries: Sequence[Entry]) -> None:
    """Add heads to the file outside. What cannot be written is logged, and added with the next head: reading rooms
    do not stop because a network folder is away. `verify` says what is not there."""
    try:
        lines.append(
            path, [lines.line_of({"seq": e["seq"], "hash": e["hash"], "at": e["created_at"]}) for e in entries]
        )
    except (OSError, StoreError) as error:
        why = getattr(error, "strerror", error)
        logger.warning("the audit's head could not be added to the file of TWIN_AUDIT_ANCHOR: %s", why)


def newest(path: Path, key: Key | None = None) -> tuple[int, str]:
    """Seq and hash of the newest head in a file; (0, "") if there is none, or `key` did not make it.

    Raises:
        OSError, StoreError: if it cannot be read, or something else stands in its place.
    """
    value = lines.tail(path).value or {}
    good = type(value.get("seq")) is int and (key is None or key.made(value))
    return (value["seq"], str(value.get("hash"))) if good else (0, "")


def anchored(path: Path) -> tuple[int, str]:
    """The same of the file outside; (0, "") also if it cannot be read just now."""
    try:
        return newest(path)
    except (OSError, StoreError):
        return 0, ""


def verify(path: Path, key: Key, entries: Sequence[Entry]) -> list[str]:
    """A sentence for each entry, from the first signed one on, whose signature is missing or wrong; [] if none is."""
    start = begun(entries, key)
    if start is None:
        return [
            "TWIN_AUDIT_KEY is set, but signing was never begun in this chain with that key. Begin it with "
            "`python cli.py data sign-audit`; if it was begun before, this chain is another one."
        ]
    if not path.exists():
        return [f"{path.name} is missing, though signing began with entry {start}: no entry is proven."]
    try:
        heads, problems = _read(path)
    except (OSError, StoreError):
        return [f"{path.name} cannot be read, though signing began with entry {start}: no entry is proven."]
    signed: dict[int, list[JsonObject]] = {}
    for head in heads:
        signed.setdefault(head["seq"], []).append(head)
    for entry in entries[start - 1 :]:
        own = signed.pop(entry["seq"], [])
        good = [head for head in own if key.made(head)]
        if not own:
            problems.append(f"Entry {entry['seq']} is not signed, though signing began with entry {start}.")
        elif not good:
            problems.append(f"Entry {entry['seq']} is signed wrongly: not with this key, or altered since.")
        elif any(head["hash"] != entry["hash"] for head in good):
            problems.append(f"Entry {entry['seq']} is not the one that was signed: the chain was written anew.")
    for seq in sorted(seq for seq in signed if seq > len(entries)):
        problems.append(f"Entry {seq} was signed and is not there any more.")
    return problems


def verify_anchor(path: Path, entries: Sequence[Entry]) -> list[str]:
    """A sentence for each head in the file outside that is not in the chain, and for a chain that went on without."""
    if not path.exists():
        return ["The file of TWIN_AUDIT_ANCHOR is not there; the next opening for writing begins it."]
    try:
        heads, problems = _read(path)
    except (OSError, StoreError) as error:
        return [f"The file of TWIN_AUDIT_ANCHOR cannot be read: {getattr(error, 'strerror', error)}."]
    problems += [text for head in heads if (text := contradiction(entries, head["seq"], head["hash"]))]
    newest = max((head["seq"] for head in heads), default=0)
    if newest < len(entries):
        problems.append(f"The file of TWIN_AUDIT_ANCHOR ends at entry {newest}, the audit at {len(entries)}.")
    return problems


def contradiction(entries: Sequence[Entry], seq: int, digest: str) -> str | None:
    """Why the chain does not hold a head that was kept elsewhere; None if it does."""
    if not 1 <= seq <= len(entries):
        return f"Entry {seq} was kept elsewhere and is not in the audit, which has {len(entries)} entries: it was cut."
    if entries[seq - 1]["hash"] != digest:
        return f"Entry {seq} is not the one that was kept elsewhere: the chain was written anew."
    return None


def signed_seqs(path: Path) -> list[int]:
    """The seqs of which there is a head, whether it is right or not."""
    return [int(head["seq"]) for head in _read(path)[0]]


def _read(path: Path) -> tuple[list[JsonDict], list[str]]:
    heads, problems = [], []
    for number, line in enumerate(lines.content(path).split(b"\n"), start=1):
        if line:
            value = lines.value_of(line)
            if value is None or type(value.get("seq")) is not int or not isinstance(value.get("hash"), str):
                problems.append(f"{path.name} line {number} is no head: torn or altered.")
            else:
                heads.append(value)
    return heads, problems


def check_head(entries: Sequence[Entry], seq: int, digest: str) -> None:
    """Proves that the chain still holds a head.

    Raises:
        StoreError: if it does not; says why.
    """
    text = contradiction(entries, seq, digest)
    if text:
        raise StoreError(f"{text} Keep the data folder as it is, and run `verify`.")
