"""The ledgers: every audit entry once more, beside the data that it is about.

    processed/{dataset}/{patient_id}/ledger.jsonl   entries about a patient: scans, masks, decisions, verdicts, events …
    processed/ledger.jsonl                          all others: people, models, reference sets, jobs

The line is that of audit.jsonl, with its seq and hashes, so that the ledgers together are the whole audit: with the
database and audit.jsonl both gone, `rebuild` merges them by seq and proves the chain. A patient's folder taken to
another machine brings its own history along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from core.errors import StoreError
from core.remembered.untyped import JsonObject
from store.files.mask_files import replace_bytes
from store.files.paths import inside
from store.ledger import lines, putting_right
from store.ledger.audit import Entry, read_file
from store.ledger.compound import parts_of
from store.values import check_id

NAME = "ledger.jsonl"
COMMON = f"processed/{NAME}"


def place_of(
    payload: JsonObject, patient_of: Callable[[str], str | None], dataset_of: Callable[[str], str | None]
) -> str:
    """The ledger of an entry, relative to the root: that of the patient whom its payload names, by `patient_id` or
    through `mask_id`; else the common one. New kinds of entry need nothing here."""
    patient_id = payload.get("patient_id")
    if not isinstance(patient_id, str):
        mask_id = payload.get("mask_id")
        patient_id = patient_of(mask_id) if isinstance(mask_id, str) else None
    dataset = payload.get("dataset")  # of a patient who may be there no more, or not yet
    if patient_id is not None and not isinstance(dataset, str):
        dataset = dataset_of(patient_id)
    if patient_id is None or not isinstance(dataset, str):
        return COMMON
    return f"processed/{check_id('dataset', dataset)}/{check_id('patient id', patient_id)}/{NAME}"


class Places:
    """The ledger of each entry of a history, told in its order."""

    def __init__(self) -> None:
        self._datasets: dict[str, str] = {}
        self._patients: dict[str, str] = {}

    def of(self, entry: Entry) -> str:
        """The place of the next entry."""
        payload = entry["payload"] if isinstance(entry["payload"], Mapping) else {}
        for _, part in parts_of(entry["action"], payload):
            if {"scan_id", "dataset", "patient_id"} <= part.keys():
                self._datasets.setdefault(part["patient_id"], part["dataset"])
            if {"mask_id", "patient_id", "version"} <= part.keys():
                self._patients[part["mask_id"]] = part["patient_id"]
        if entry["action"] in putting_right.ACTIONS:
            self._put_right(entry["action"], payload)
        return place_of(payload, self._patients.get, self._datasets.get)

    def _put_right(self, action: str, payload: JsonObject) -> None:
        """Whose the masks are from then on, and which patients are there no more."""
        patient_id = payload["patient_id"]
        if action in putting_right.MOVED:
            self._datasets.setdefault(payload["to_patient_id"], payload["to_dataset"])
            for move in payload["moves"]:
                self._patients |= {mask["mask_id"]: payload["to_patient_id"] for mask in move["masks"]}
        masks = [*(row["mask_id"] for row in putting_right.mask_rows(payload)), *payload.get("mask_ids", ())]
        if action in putting_right.RESTORED:
            self._datasets.setdefault(patient_id, payload["dataset"])
            self._patients |= dict.fromkeys(masks, patient_id)
            return
        for mask_id in masks:
            self._patients.pop(mask_id, None)
        if payload.get("gone", action == putting_right.DELETED):
            self._datasets.pop(patient_id, None)


def by_place(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """A whole history, sorted into its ledgers."""
    places, found = Places(), dict[str, list[Entry]]()
    for entry in entries:
        found.setdefault(places.of(entry), []).append(entry)
    return found


def _path(root: Path, place: str) -> Path:
    """A ledger on disk. Raises StoreError if it, or one of its folders, is a link."""
    path = inside(root, place)
    if path.is_symlink():
        raise StoreError(
            f"{place} is a symbolic link, where a ledger was expected. Nothing was touched. Put the file itself there; "
            "if it is lost, take the link away and open again: it is completed from the database."
        )
    return path


def append(root: Path, place: str, entry: Entry) -> None:
    """Add an entry to its ledger and fsync; nothing to do if it is the last line already."""
    lines.append(_path(root, place), [lines.line_of(entry)])


def there(root: Path) -> Iterator[str]:
    """The ledgers that are there, relative to the root."""
    for path in [root / COMMON, *(folder / NAME for folder in sorted(root.glob("processed/*/*")))]:
        if path.is_file() or path.is_symlink():  # a link is no ledger, but must be seen
            yield path.relative_to(root).as_posix()


def newest(root: Path) -> dict[str, tuple[int, str]]:
    """Seq and hash of the last whole line of each ledger, (0, "") of one without any. Reads their ends alone."""
    found = {}
    for place in there(root):
        value = lines.tail(_path(root, place)).value or {}
        seq = value.get("seq")
        found[place] = (seq, str(value.get("hash"))) if type(seq) is int else (0, "")
    return found


def count(root: Path) -> int:
    """How many whole lines all ledgers have together; reads them, and takes nothing apart."""
    total = 0
    for place in there(root):
        with lines.opened(_path(root, place), "rb") as file:
            total += sum(block.count(b"\n") for block in iter(lambda file=file: file.read(2**20), b""))  # type: ignore[misc]
    return total


def complete(root: Path, entries: list[Entry]) -> list[str]:
    """Write what the ledgers lack: all of them for a data folder of before there were ledgers.

    A ledger that holds nothing but entries of this history is written whole, so that none is missing between two. To
    one that holds anything else, only what comes after its end is added, and `verify` names the rest.

    Each ledger is written aside and renamed, that of the newest entry last, so that a crash on the way is seen and
    continued at the next opening.

    Returns:
        The ledgers that were written, relative to the root.
    """
    written = []
    for place, own in sorted(by_place(entries).items(), key=lambda item: item[1][-1]["seq"]):
        path = _path(root, place)
        old = lines.content(path)
        new = _completed(old[: old.rfind(b"\n") + 1], own)
        if new is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_bytes(root, path, new)
            written.append(place)
    return written


def _completed(whole: bytes, entries: list[Entry]) -> bytes | None:
    """The lines of a ledger with what they lack of its entries; None if they lack nothing."""
    found = [lines.value_of(line) or {} for line in whole.splitlines()]
    by_hash = {entry["hash"]: entry for entry in entries}
    if all(by_hash.get(str(value.get("hash"))) == value for value in found):
        lacks = len({value["hash"] for value in found}) < len(entries)
        return b"".join(map(lines.line_of, entries)) if lacks else None
    ends = [value["seq"] for value in found if type(value.get("seq")) is int][-1:] or [0]
    missing = [lines.line_of(entry) for entry in entries if entry["seq"] > ends[0]]
    return whole + b"".join(missing) if missing else None


def read_all(root: Path) -> tuple[list[Entry], dict[str, list[str]]]:
    """The entries of all ledgers, and for each ledger with lines that are none a sentence for each of them."""
    entries: list[Entry] = []
    problems: dict[str, list[str]] = {}
    for place in there(root):
        own, broken = read_file(_path(root, place))
        entries += own
        if broken:
            problems[place] = broken
    return entries, problems


def verify(root: Path, entries: list[Entry]) -> list[str]:
    """A sentence for every ledger that is not what the audit table says it must be; [] when all are."""
    expected = by_place(entries)
    problems = []
    for place in sorted(expected.keys() | set(there(root))):
        own = expected.get(place, [])
        try:
            found, broken = read_file(_path(root, place))
        except (StoreError, OSError):
            problems.append(f"{place} cannot be read.")
            continue
        problems += [f"{place}: {text}" for text in broken]
        if found != own:
            same = next((n for n, (a, b) in enumerate(zip(own, found, strict=False)) if a != b), None)
            where = min(len(own), len(found)) if same is None else same
            seq = own[where]["seq"] if where < len(own) else found[where]["seq"]
            problems.append(
                f"{place} ({len(found)} entries) is not what the audit says ({len(own)}), from entry {seq} on."
            )
    return problems
