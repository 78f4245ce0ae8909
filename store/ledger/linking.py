"""What links of lesions and transforms between scans are in an audit entry, and in the tables.

    mask.added, study.added    links: as proposed, one a label and one a lesion that the version has not
    mask.decided               links: as confirmed by who accepted the version
    links.set                  mask_id, reason, links: as a person changed them
    links.proposed             the same, as matching proposes anew
    transform.added            transform_id, patient_id and the columns of `transforms`
    transform.judged           transform_id, patient_id, verdict, reason

Of a label, or of a lesion without one, the newest that was said counts; what was said before stays.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from core.errors import InputError, StoreError
from core.remembered.links import (
    LABEL_RELATIONS,
    MISSING_RELATIONS,
    NOBODYS_WORD,
    LinkProposal,
    TransformMethod,
    TransformState,
)
from core.remembered.untyped import JsonDict, JsonObject
from store.database.connection import Writer
from store.ledger.audit import Entry
from store.ledger.statements import insert, update
from store.values import check_id, check_text, plain

TRANSFORM_VERDICTS = ("accepted", "refused")
_STATES: tuple[TransformState, ...] = ("good", "doubtful", "failed")
_METHODS: tuple[TransformMethod, ...] = ("rigid", "adjusted", "landmarks")
_LESION_ID = re.compile(r"L[1-9][0-9]{0,5}")
_SHA256 = re.compile("[0-9a-f]{64}")


def check_lesion_id(lesion_id: object) -> str:
    """A lesion's id, "L1" to "L999999". Raises InputError for anything else."""
    if not isinstance(lesion_id, str) or not _LESION_ID.fullmatch(lesion_id):
        raise InputError(f"Expected a lesion as L1, L2 …, got {str(lesion_id)[:40]!r}.")
    return lesion_id


def link_rows(links: Sequence[LinkProposal], labels: Sequence[int], confirmed_by: str | None = None) -> list[JsonDict]:
    """Links as an entry has them.

    Args:
        labels: those that the mask has.
        confirmed_by: who says so; nobody can confirm a link to no lesion.

    Raises:
        InputError: for a label that the mask has not or that is linked twice, a lesion id that is none, or a relation
            that does not fit.
    """
    named = [link.label for link in links if link.label is not None]
    if not set(named) <= set(labels) or len(set(named)) != len(named):
        raise InputError(f"Expected each link to be of one of the labels {list(labels)}, got them for {named}.")
    missing = [link.lesion_id for link in links if link.label is None]
    if len(set(missing)) != len(missing):
        raise InputError(f"Expected one word on each lesion that is not there, got them for {missing}.")
    return [_link_row(link, confirmed_by) for link in links]


def _link_row(link: LinkProposal, confirmed_by: str | None) -> JsonDict:
    relations: Sequence[str] = MISSING_RELATIONS if link.label is None else LABEL_RELATIONS
    if link.relation not in relations:
        raise InputError(f"Expected a link that is {', '.join(relations)}, got {str(link.relation)[:40]!r}.")
    if (link.lesion_id is None) != (link.relation == "unlinked"):
        raise InputError(
            f"Expected no lesion for what is unlinked, and one else, got {link.lesion_id} {link.relation}."
        )
    if link.lesion_id is not None:
        check_lesion_id(link.lesion_id)
    if link.confidence is not None and not (math.isfinite(link.confidence) and 0 <= link.confidence <= 1):
        raise InputError(f"Expected a confidence of 0 to 1 or None, got {link.confidence}.")
    return {
        "label": link.label or 0,
        "lesion_id": link.lesion_id,
        "relation": link.relation,
        "confidence": None if link.confidence is None else float(link.confidence),
        "into_lesions": [check_lesion_id(name) for name in link.into],
        "evidence": plain(dict(link.evidence), "evidence"),
        "confirmed_by": None if link.relation in NOBODYS_WORD else confirmed_by,
    }


def insert_links(db: Writer, entry: Entry, mask_id: str, links: Sequence[JsonObject], reason: str = "") -> None:
    """The rows of an entry's links. Raises StoreError for what no TwinReview writes."""
    for place, link in enumerate(links):
        relations: Sequence[str] = LABEL_RELATIONS if 0 < link["label"] <= 255 else MISSING_RELATIONS
        if not 0 <= link["label"] <= 255 or link["relation"] not in relations:
            raise StoreError(f"It has a link of label {link['label']} that is {str(link['relation'])[:40]!r}.")
        if link["lesion_id"] is not None:
            check_lesion_id(link["lesion_id"])
        names = ("label", "lesion_id", "relation", "confidence", "into_lesions", "evidence", "confirmed_by")
        row: JsonDict = {"mask_id": mask_id, **{name: link[name] for name in names}}
        row |= {"reason": reason, "person": entry["person"], "created_at": entry["created_at"]}
        insert(db, "lesion_links", {**row, "seq": entry["seq"], "place": place})


def _links_set(db: Writer, entry: Entry, payload: JsonDict) -> None:
    check_id("mask id", payload["mask_id"])
    insert_links(db, entry, payload["mask_id"], payload["links"], payload["reason"])


def check_transform(values: JsonObject) -> None:
    """Refuse what is no transform. Raises InputError; KeyError for what is missing."""
    matrix = values["matrix"]
    numbers = [float(x) for row in matrix for x in row]
    if [len(row) for row in matrix] != [4] * 4 or not all(map(math.isfinite, numbers)):
        raise InputError("Expected a transform of 4 x 4 finite numbers. Register the scans again.")
    if numbers[12:] != [0.0, 0.0, 0.0, 1.0]:
        raise InputError(f"Expected 0 0 0 1 in a transform's last row, got {numbers[12:]}.")
    for name, known in (("state", _STATES), ("method", _METHODS)):
        if values[name] not in known:
            raise InputError(f"Expected the {name} {', '.join(known)}, got {str(values[name])[:40]!r}.")
    for name in ("from_scan_sha256", "to_scan_sha256", "sha256"):
        if not _SHA256.fullmatch(values[name]):
            raise InputError(f"Expected the SHA-256 of a file as {name}, got {str(values[name])[:70]!r}.")
    if values["overlap"] is not None and not 0 <= float(values["overlap"]) <= 1:
        raise InputError(f"Expected an overlap of 0 to 1 or None, got {values['overlap']}.")


TRANSFORM_COLUMNS = (
    "transform_id",
    "from_scan_sha256",
    "to_scan_sha256",
    "matrix",
    "state",
    "method",
    "overlap",
    "figures",
    "parameters",
    "message",
    "sha256",
)


def _transform_added(db: Writer, entry: Entry, payload: JsonDict) -> None:
    check_transform(payload)
    row = {name: payload[name] for name in TRANSFORM_COLUMNS}
    row |= {"person": entry["person"], "created_at": entry["created_at"], "seq": entry["seq"]}
    insert(db, "transforms", {**row, "verdict": None, "judged_by": None, "judged_reason": ""})


def _transform_judged(db: Writer, entry: Entry, payload: JsonDict) -> None:
    if payload["verdict"] not in TRANSFORM_VERDICTS:
        raise StoreError(f"It says of a transform that it is {str(payload['verdict'])[:40]!r}.")
    check_text("reason", payload["reason"])
    said = {"verdict": payload["verdict"], "judged_by": entry["person"], "judged_reason": payload["reason"]}
    update(db, "transforms", said, {"transform_id": payload["transform_id"]})


ACTIONS: Mapping[str, Callable[[Writer, Entry, JsonDict], None]] = {
    "links.set": _links_set,
    "links.proposed": _links_set,
    "transform.added": _transform_added,
    "transform.judged": _transform_judged,
}
