"""What a rebuild cannot believe of the history that is left: signs that its end is lost, and whose acceptances it hits.

A chain of entries that is whole so far may still have lost its end. What lies beside it tells: a line that was begun or
garbled after the last entry, a scan or mask that no entry tells of, a sidecar that disowns what the chain says of it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from core.remembered.untyped import JsonDict
from store.files.mask_files import sidecar_of
from store.files.paths import mask_place
from store.ledger import heads, histories, ledgers, lines, putting_right
from store.ledger.audit import Entry
from store.ledger.compound import parts_of
from store.ledger.writing import AUDIT
from store.recovery import adopting
from store.recovery.adopting import Told

#: Why a mask is doubted, as `mask.unproven` says it.
LOST, UNSIGNED = "entries are lost", "its acceptance is not signed"


class Mask(NamedTuple):
    """What the entries say of a mask at their end: its patient, the ledger it is told in, its status and lesions, and
    the entry that said so last."""

    patient_id: str
    place: str
    version: tuple[str, int] | None
    status: object
    lesions: object
    last: Entry


class Left(NamedTuple):
    """What is left of the past: the history, the hashes in all ledgers, the scans and masks that no entry tells of
    (`adopting.adopt`), the key and the heads that it made."""

    root: Path
    history: histories.History
    in_ledgers: Collection[str]
    adopted: Sequence[Told]
    key: heads.Key | None
    signed: Collection[str]
    cut: Entry | None

    @property
    def proven(self) -> list[Entry]:
        return [*self.history.chain, *self.history.rest]


class Found(NamedTuple):
    """`lost`: the end of the history, or a part of it, is known to be lost. `masks`: by reason and patient, the masks
    that the entries call accepted, though nobody can say that they are."""

    lost: bool
    masks: dict[tuple[str, str], list[str]]


def find(left: Left) -> Found:
    """Looks for signs of loss, and for whom they hit."""
    masks = masks_of(left.proven)
    accepted = {mask_id: mask for mask_id, mask in masks.items() if mask.status == "accepted"}
    cut_off, broken = _broken(left)
    spread = bool(left.history.rest or not left.history.chain or cut_off or left.adopted)
    disowned = {mask_id for mask_id, mask in accepted.items() if _disowned(left, mask_id, mask)}
    disowned |= _moved_on(left, accepted)
    hit = _hit(left, accepted, broken if left.history.rest else cut_off) if spread else set()
    unsigned = _unsigned(left, accepted)
    found: dict[tuple[str, str], list[str]] = {}
    for mask_id, mask in accepted.items():
        reason = LOST if mask_id in hit | disowned else UNSIGNED if mask_id in unsigned else ""
        if reason:
            found.setdefault((reason, mask.patient_id), []).append(mask_id)
    return Found(spread or bool(disowned), found)


def masks_of(entries: Sequence[Entry]) -> dict[str, Mask]:
    """The masks that entries tell of, by id, as they are after the last of them."""
    masks: dict[str, Mask] = {}
    places = ledgers.Places()
    for entry in entries:
        payload, place = entry["payload"], places.of(entry)
        for action, mask_told in parts_of(entry["action"], payload):
            if action in ("mask.added", "mask.adopted"):
                at = (mask_told["timepoint"], mask_told["version"])
                masks[mask_told["mask_id"]] = Mask(
                    mask_told["patient_id"], place, at, mask_told["status"], mask_told["lesions"], entry
                )
        if entry["action"] == "mask.decided":
            own = payload["decision"]["mask_id"]
            for mask_id in {own, *payload["statuses"]}:
                mask = masks.get(mask_id, Mask(payload["patient_id"], place, None, "proposed", None, entry))
                lesions = payload.get("lesions", mask.lesions) if mask_id == own else mask.lesions
                status = payload["statuses"].get(mask_id, mask.status)
                masks[mask_id] = mask._replace(status=status, lesions=lesions, last=entry)
        elif entry["action"] == "mask.unproven":
            masks |= {
                mask_id: masks[mask_id]._replace(status="proposed", last=entry)
                for mask_id in payload["mask_ids"]
                if mask_id in masks
            }
        elif entry["action"] in putting_right.ACTIONS:
            _put_right(masks, entry)
    return masks


def _put_right(masks: dict[str, Mask], entry: Entry) -> None:
    """Masks that were moved, left or came back by an entry; those to affirm are accepted no more."""
    payload = entry["payload"]
    for move in payload.get("moves", ()):
        place = f"processed/{payload['to_dataset']}/{payload['to_patient_id']}/{ledgers.NAME}"
        for mask in move["masks"]:
            known = masks.get(mask["mask_id"])
            version = (move["to_timepoint"], mask["version"])
            lesions = None if known is None else known.lesions
            masks[mask["mask_id"]] = Mask(payload["to_patient_id"], place, version, mask["status"], lesions, entry)
    if entry["action"] in putting_right.RESTORED:
        place = f"processed/{payload['dataset']}/{payload['patient_id']}/{ledgers.NAME}"
        for row in putting_right.mask_rows(payload):
            version = (row["timepoint"], row["version"])
            lesions = json.loads(row["lesions"])
            masks[row["mask_id"]] = Mask(row["patient_id"], place, version, row["status"], lesions, entry)
    else:
        for mask_id in (*(row["mask_id"] for row in putting_right.mask_rows(payload)), *payload.get("mask_ids", ())):
            masks.pop(mask_id, None)


def _broken(left: Left) -> tuple[set[str], set[str]]:
    """Files of the history with lines at their end that are none and that no entry of the chain explains; and files
    with any line that is none.

    A half line after a crash is the copy of an entry that another file has. One more than the chain has is an entry
    that is lost.
    """
    cut_off, broken = set(), set()
    wanted = {**ledgers.by_place(left.history.chain), AUDIT: left.history.chain}
    for place in [AUDIT, *ledgers.there(left.root)]:
        values = [lines.value_of(line) for line in lines.content(left.root / place).split(b"\n") if line]
        good = [value if value is not None and histories.valid(value) else None for value in values]
        if None in good:
            broken.add(place)
        last = next((n for n, value in reversed(list(enumerate(good))) if value is not None), -1)
        told = [histories.told(entry) for entry in wanted.get(place, [])]
        newest = good[last] if last >= 0 else None
        known = histories.told(newest) if newest is not None else None
        after = len(told) if known is None else len(told) - told.index(known) - 1 if known in told else 0
        if len(good) - last - 1 > after:
            cut_off.add(place)
    return cut_off, broken


def _hit(left: Left, accepted: Mapping[str, Mask], broken: Collection[str]) -> set[str]:
    """The accepted masks that lost entries may have withdrawn.

    What is lost is put down to the ledgers that are gone or broken, since all that is about a patient is in one, and to
    patients of whom something had to be adopted. If every ledger looks whole, lines were cut out of one, and nobody can
    say of which: then all are doubted. So is every adopted mask, whose own entry is lost, and what only an older chain
    says, beside which another one went on.
    """
    adopted = {payload["mask_id"] for action, payload in left.adopted if action == "mask.adopted"}
    suspects = {payload["patient_id"] for _, payload in left.adopted}
    suspects |= {str(move.get("from_patient_id")) for _, payload in left.adopted for move in payload.get("moved") or ()}
    suspects |= {
        mask.patient_id
        for mask in accepted.values()
        if mask.place in broken or mask.place == ledgers.COMMON or not (left.root / mask.place).is_file()
    }
    common = ledgers.COMMON in broken or not (left.root / ledgers.COMMON).is_file()
    explained = bool(suspects) or common or _without_ledger(left.root)
    in_rest = {entry["hash"] for entry in left.history.rest}
    went_on = left.history.chain[-1]["created_at"] if left.history.chain else ""
    return {
        mask_id
        for mask_id, mask in accepted.items()
        if not explained
        or mask.patient_id in suspects
        or mask_id in adopted
        or (mask.last["hash"] in in_rest and mask.last["created_at"] < went_on)
    }


def _without_ledger(root: Path) -> bool:
    """True if there are scans of a patient, but no ledger."""
    folders = [path for path in root.glob("raw/*/*") if path.is_dir()]
    return any(not (root / "processed" / p.parent.name / p.name / ledgers.NAME).is_file() for p in folders)


def _disowned(left: Left, mask_id: str, mask: Mask) -> bool:
    """True if a mask's sidecar says that it is not accepted any more, or of other lesions than the entries say.

    It is the trace of a decision whose line is gone without one. A sidecar that is merely older, put back together
    with its ledger, is not: that ledger ends before the acceptance. Nor is one that a cut-short write did not reach.
    """
    if mask.version is None or mask.place == ledgers.COMMON:
        return False
    image = mask_place(mask.place.split("/")[1], mask.patient_id, *mask.version)
    found = adopting.sidecar(left.root, sidecar_of(image))
    if found is None or found.get("mask_id") != mask_id or mask.last["hash"] == (left.cut or {}).get("hash"):
        return False
    older = (left.root / mask.place).is_file() and mask.last["hash"] not in left.in_ledgers
    return not older and (found.get("status") != "accepted" or found.get("lesions") != mask.lesions)


def _moved_on(left: Left, accepted: Mapping[str, Mask]) -> set[str]:
    """The accepted masks that are not where the entries say, and lie elsewhere or among what was withdrawn: the entry
    that took them there is lost."""
    away = {
        mask_id
        for mask_id, mask in accepted.items()
        if mask.version is not None
        and mask.place != ledgers.COMMON
        and mask.last["hash"] != (left.cut or {}).get("hash")
        and not (left.root / _image_of(mask)).is_file()
    }
    if not away:
        return away
    own = {_image_of(accepted[mask_id]) for mask_id in away}
    paths = [*left.root.glob("processed/*/*/*/mask_v*.json"), *left.root.glob("withdrawn/*/*/*/*/mask_v*.json")]
    names = {path.relative_to(left.root).as_posix() for path in paths} - {sidecar_of(image) for image in own}
    found = [adopting.sidecar(left.root, name) for name in sorted(names)]
    return away & {str(values.get("mask_id")) for values in found if values is not None}


def _image_of(mask: Mask) -> str:
    """Where the image of a mask whose timepoint and version are known must lie, relative to the root."""
    timepoint, version = mask.version or ("", 0)
    return mask_place(mask.place.split("/")[1], mask.patient_id, timepoint, version)


def _unsigned(left: Left, accepted: Mapping[str, Mask]) -> set[str]:
    """The accepted masks whose acceptance is not signed, though signing with this key had begun before it."""
    start = None if left.key is None else heads.begun(left.proven, left.key)
    if start is None:
        return set()
    return {
        mask_id
        for mask_id, mask in accepted.items()
        if mask.last["seq"] >= start and mask.last["hash"] not in left.signed
    }


def signed_heads(paths: Sequence[Path], key: heads.Key | None) -> dict[str, int]:
    """The entries, hash to seq, of which files of heads hold a signature: right ones with a key, any without."""
    found: dict[str, int] = {}
    for path in paths:
        for line in lines.content(path).split(b"\n"):
            head: JsonDict = lines.value_of(line) or {}
            if type(head.get("seq")) is int and isinstance(head.get("hash"), str) and (key is None or key.made(head)):
                found[head["hash"]] = head["seq"]
    return found
