"""What rows about lesions of masks have in common: the lesion that a label is, and which of them count.

Such rows are stored under the label's number ("L2" of label 2), whatever that label is linked to since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from core.errors import StoreError
from core.remembered.links import lesion_number
from core.review.decisions import REJECTED
from core.review.identity import ChangedIds
from store.database.connection import Row
from store.records.links import Links
from store.records.masks import Masks


def linked_lesion(ids: Mapping[str, ChangedIds], mask_id: str, lesion_id: str) -> str:
    """The lesion that the label of a stored id is linked to.

    Args:
        ids: of `Links.changed_ids`.
    """
    return ids.get(mask_id, {}).get(lesion_number(lesion_id), lesion_id)


def with_linked_lesions(rows: Iterable[Row], ids: Mapping[str, ChangedIds]) -> list[Row]:
    """Rows with mask_id and lesion_id, under the lesions that their labels are linked to."""
    return [{**row, "lesion_id": linked_lesion(ids, row["mask_id"], row["lesion_id"])} for row in rows]


def numbered_lesion(links: Links, mask: Row, lesion_id: str) -> str:
    """The id under which rows of a lesion are stored; of one that has several labels, that of the lowest.

    Args:
        mask: a row of `masks`. lesion_id: as the store gives it out.

    Raises:
        StoreError: if the mask has no such lesion.
    """
    given = {str(lesion["lesion_id"]): int(lesion["label"]) for lesion in reversed(links.linked(mask).lesions)}
    if lesion_id not in given:
        raise StoreError(
            f"There is no lesion {str(lesion_id)[:40]!r} in version {mask['version']} of {mask['patient_id']} on "
            f"{mask['timepoint']}; there is {', '.join(reversed(given)) or 'none'}. Reload the page."
        )
    return f"L{given[lesion_id]}"


def of_readable_lesions(rows: Sequence[Row], masks: Masks) -> list[Row]:
    """Those of masks whose file can be read, without lesions that were rejected in them.

    Args:
        rows: with mask_id, the stored lesion_id, and the mask's column `lesions`.
    """
    unreadable, rejected = masks.problems(), dict[str, frozenset[str]]()
    for row in rows:
        if row["mask_id"] not in rejected:
            rejected[row["mask_id"]] = _rejected(row)
    return [
        row for row in rows if row["mask_id"] not in unreadable and row["lesion_id"] not in rejected[row["mask_id"]]
    ]


def _rejected(row: Row) -> frozenset[str]:
    return frozenset(str(lesion["lesion_id"]) for lesion in json.loads(row["lesions"]) if lesion.get(REJECTED))
