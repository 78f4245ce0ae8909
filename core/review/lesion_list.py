"""The lesions of a patient: when each was first and last measured, and which label of which mask is which lesion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.remembered.links import LesionLink, by_mask, lesion_number
from core.remembered.untyped import JsonDict
from core.types import MaskRecord


@dataclass(frozen=True)
class LinkedLabel:
    """A label of a mask version that is a lesion; `confirmed_by` None: nobody has said so."""

    mask_id: str
    timepoint: str
    version: int
    status: str
    label: int
    relation: str | None
    confidence: float | None
    confirmed_by: str | None


@dataclass(frozen=True)
class ListedLesion:
    """A lesion of a patient.

    Args:
        first, last: timepoints whose accepted mask has it; None where none has.
        links: by timepoint, version and label; rejected versions are not among them.
    """

    lesion_id: str
    first: str | None
    last: str | None
    links: tuple[LinkedLabel, ...]

    def to_json(self) -> JsonDict:
        """The answer of the verb `lesions`."""
        links = [vars(link) for link in self.links]
        return {"lesion_id": self.lesion_id, "first": self.first, "last": self.last, "names": [], "links": links}


def lesions_of(records: Iterable[MaskRecord], links: Sequence[LesionLink]) -> list[ListedLesion]:
    """The lesions of a patient by number.

    Args:
        records: the versions that may be seen, as linked.
        links: what is said of them (`store.links.of`).
    """
    said = by_mask(links)
    found: dict[str, list[LinkedLabel]] = {}
    for record in sorted(records, key=lambda r: (r.timepoint, r.version)):
        if record.status == "rejected":
            continue
        of_label = {link.label: link for link in said.get(record.mask_id, ())}
        for lesion in record.lesions:
            name, label = str(lesion["lesion_id"]), int(lesion["label"])
            if lesion_number(name) and not lesion.get("rejected"):
                found.setdefault(name, []).append(_linked(record, label, of_label))
    return [_listed(name, found[name]) for name in sorted(found, key=lesion_number)]


def _linked(record: MaskRecord, label: int, of_label: Mapping[int | None, LesionLink]) -> LinkedLabel:
    link, place = of_label.get(label), (record.mask_id, record.timepoint, record.version, record.status, label)
    return (
        LinkedLabel(*place, None, None, None)
        if link is None
        else LinkedLabel(*place, link.relation, link.confidence, link.confirmed_by)
    )


def _listed(name: str, links: Sequence[LinkedLabel]) -> ListedLesion:
    days = [link.timepoint for link in links if link.status == "accepted"]
    return ListedLesion(name, days[0] if days else None, days[-1] if days else None, tuple(links))
