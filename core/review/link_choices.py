"""What a person may say of the lesions of a version before they accept it, and what of that is a change.

A row is a label of the version, or a lesion of the patient that it has no label of. A choice is a word: the lesion
("L2"), `NEW`, `NOT_A_LESION` or `CANNOT_TELL` of a label; "gone", "merged into L1" and so on of a lesion without one.
Without a choice a row stays as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.remembered.links import LesionLink, LinkChange, LinkProposal, lesion_number
from core.review.decisions import counted_lesions
from core.review.identity import lesions_elsewhere, next_lesion_number, standing_links
from core.types import MaskRecord, parse_date

NEW, NOT_A_LESION, CANNOT_TELL = "new", "not a lesion", "cannot tell"
MERGED_INTO = "merged into "
#: What may be said of a lesion that a version has no label of, besides `MERGED_INTO` one that it has.
MISSING_WORDS = ("gone", "not in view", "not assessed")
NOT_SAID = "nothing is said of it"


@dataclass(frozen=True)
class Seen:
    """Where a lesion was seen: labels of an accepted mask of another timepoint."""

    record: MaskRecord
    lesion_id: str

    @property
    def labels(self) -> tuple[int, ...]:
        """The mask's labels of that lesion."""
        return labels_of(self.record, self.lesion_id)


@dataclass(frozen=True)
class LabelRow:
    """A label of the version: what is said of it, and what a person chose; "" for nothing.

    `mean_probability` (0..1) is how sure the network was that drew it; None where none did.
    """

    label: int
    volume_mm3: float
    link: LinkProposal
    choice: str = ""
    mean_probability: float | None = None

    @property
    def key(self) -> str:
        """Of its choice among those of the mask."""
        return str(self.label)

    @property
    def chosen(self) -> str:
        """What it is now: the choice, else as it stands."""
        return self.choice or self.link.lesion_id or CANNOT_TELL


@dataclass(frozen=True)
class MissingRow:
    """A lesion of the patient that the version has no label of; `link` None where nothing is said of it."""

    lesion_id: str
    link: LinkProposal | None
    choice: str = ""

    @property
    def key(self) -> str:
        """Of its choice among those of the mask."""
        return self.lesion_id

    @property
    def standing(self) -> str:
        """As it stands, in words."""
        return NOT_SAID if self.link is None else " ".join([self.link.relation, *self.link.into])

    @property
    def chosen(self) -> str:
        """What is said of it now."""
        return self.choice or self.standing


@dataclass(frozen=True)
class LinkTable:
    """The rows of a version, and what its words mean.

    Args:
        lesions: of the patient, by number: what a label may be.
        next_number: of a new lesion.
        seen: lesion -> where it was seen in an accepted mask of another timepoint, the nearest in time.
    """

    labels: tuple[LabelRow, ...]
    missing: tuple[MissingRow, ...]
    lesions: tuple[str, ...]
    next_number: int
    seen: Mapping[str, Seen]

    @property
    def here(self) -> tuple[str, ...]:
        """Lesions that the version has a label of, as chosen."""
        new = {change.label: str(change.lesion_id) for change in self.changes if change.label is not None}
        found = {new.get(row.label, row.chosen) for row in self.labels if row.choice != NOT_A_LESION}
        return tuple(sorted((name for name in found if lesion_number(name)), key=lesion_number))

    @property
    def not_lesions(self) -> tuple[int, ...]:
        """Labels that are none."""
        return tuple(row.label for row in self.labels if row.choice == NOT_A_LESION)

    @property
    def changes(self) -> tuple[LinkChange, ...]:
        """What differs from what stands."""
        found: list[LinkChange] = []
        number = self.next_number
        for row in self.labels:
            if row.choice == NEW and row.link.relation != "new":
                found.append(LinkChange(row.label, f"L{number}"))
                number += 1
            elif row.choice == CANNOT_TELL and row.link.lesion_id is not None:
                found.append(LinkChange(row.label, None))
            elif lesion_number(row.choice) and row.choice != row.link.lesion_id:
                found.append(LinkChange(row.label, row.choice))
        return (*found, *(_of_missing(row) for row in self.missing if row.choice and row.choice != row.standing))

    def before(self, row: LabelRow | MissingRow) -> Seen | None:
        """Where its lesion was seen: as the evidence names it where nothing else was chosen; None for a new one."""
        name = row.lesion_id if isinstance(row, MissingRow) else row.chosen
        return self.seen.get(name)


def link_table(
    record: MaskRecord, records: Sequence[MaskRecord], links: Sequence[LesionLink], choices: Mapping[str, str]
) -> LinkTable:
    """The rows of a version by label, those that are not there after them.

    Args:
        record: as linked. records: of the patient, that may be seen. links: what is said of the version.
        choices: row's key -> word.
    """
    elsewhere = lesions_elsewhere(records, record.timepoint)
    volumes = {int(lesion["label"]): float(lesion["volume_mm3"]) for lesion in counted_lesions(record)}
    sure = {int(lesion["label"]): lesion.get("mean_probability") for lesion in record.lesions}
    standing = standing_links(record, links, elsewhere)
    labels = tuple(
        LabelRow(link.label, volumes[link.label], link, choices.get(str(link.label), ""), sure.get(link.label))
        for link in standing
        if link.label is not None and link.label in volumes
    )
    own = {str(lesion["lesion_id"]) for lesion in record.lesions if lesion_number(str(lesion["lesion_id"]))}
    named = {str(link.lesion_id) for link in standing if link.label is None}
    lesions = tuple(sorted(elsewhere | own | named, key=lesion_number))
    number = next_lesion_number({*lesions, *(str(x["lesion_id"]) for one in records for x in one.lesions)})
    accepted = [one for one in records if one.status == "accepted" and one.timepoint != record.timepoint]
    named_by = {str(x.lesion_id): str(x.evidence.get("from_mask_id", "")) for x in standing if x.lesion_id is not None}
    seen = _seen(accepted, record.timepoint, named_by)
    table = LinkTable(labels, (), lesions, number, seen)
    said = {str(link.lesion_id): link for link in standing if link.label is None}
    gone = [name for name in lesions if name not in table.here and (name in said or name in seen)]
    missing = tuple(MissingRow(name, said.get(name), choices.get(name, "")) for name in gone)
    return LinkTable(labels, missing, lesions, number, seen)


def labels_of(record: MaskRecord, lesion_id: str) -> tuple[int, ...]:
    """The mask's labels of a lesion; () where it has none."""
    return tuple(int(x["label"]) for x in record.lesions if str(x["lesion_id"]) == lesion_id)


def _of_missing(row: MissingRow) -> LinkChange:
    if row.choice.startswith(MERGED_INTO):
        return LinkChange(None, row.lesion_id, "merged into", (row.choice.removeprefix(MERGED_INTO),))
    return LinkChange(None, row.lesion_id, row.choice)


def _seen(accepted: Iterable[MaskRecord], timepoint: str, named_by: Mapping[str, str]) -> dict[str, Seen]:
    day = parse_date(timepoint).toordinal()

    def far(record: MaskRecord) -> tuple[int, bool]:
        days = parse_date(record.timepoint).toordinal() - day
        return abs(days), days > 0

    found: dict[str, Seen] = {}
    for record in sorted(accepted, key=far):
        for lesion in counted_lesions(record):
            name = str(lesion["lesion_id"])
            if name not in found or record.mask_id == named_by.get(name):
                found[name] = Seen(record, name)
    return found
