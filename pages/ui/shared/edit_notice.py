"""What an edit of a version does to response and growth, shown before it is made, with the click that a flip needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.errors import TwinReviewError
from core.remembered.flips import Flip, FlipsMoved, flip_words, needs_confirming
from core.remembered.untyped import TableRow
from core.review.blind_reading import closed_timepoints
from core.twin.edit_preview import Edit, EditPreview
from core.twin.link_preview import MovedNumber, Told
from core.types import TOTAL_LESION_ID, MaskRecord
from pages.ui.frame import resources, session
from pages.ui.shared.flip_notice import confirmed
from pages.ui.shared.text import cells, millilitres, plain
from store import SeenStore

CONFIRM_FIRST = "Say above that you mean what changes in the response."
MOVED = "What this changes in the response is another thing than was shown before. Look at it again."
#: Lesions whose numbers are in sight; those of more are in the table.
IN_SIGHT = 3


@dataclass(frozen=True)
class Confirmed:
    """What a person was shown of an edit.

    Args:
        flips: those that needed their click, as `core.jobs.stages.deciding` takes them.
        why_not: why it cannot be done yet, for its button; None where it can.
        counts: whether a click counts: not one from a page that showed other flips.
    """

    flips: tuple[Flip, ...] = ()
    why_not: str | None = None
    counts: bool = True


def confirmed_flips(
    store: SeenStore, record: MaskRecord, edit: Edit, key: str, *, with_numbers: bool = True
) -> Confirmed:
    """Shows what the edit flips and moves, and asks for the click; to who reads the patient blind nothing is shown.

    Args:
        key: of the box that confirms; what was confirmed for one edit holds for no other.
        with_numbers: also the numbers that move, where the page does not show them itself.
    """
    if again := session.FLIPS_MOVED.take(record.mask_id):
        st.error(plain(again))
    if closed_timepoints(store, record.patient_id, store.person):
        return Confirmed()
    try:
        found = resources.edit_preview(store, record, edit)
    except TwinReviewError as error:
        return Confirmed(why_not=str(error))
    if with_numbers and found.moved:
        _numbers(found, record.timepoint)
    asked, of_edit = needs_confirming(found.flips), f"{key}-{edit.links}-{edit.not_lesions}"
    shown, now = session.FLIPS_SHOWN.get(record.mask_id, of_edit), flip_words(found.flips)
    session.FLIPS_SHOWN.set(now, record.mask_id, of_edit)
    as_shown = shown in (None, now)
    if not as_shown:
        st.error(MOVED)
    meant = confirmed(found.flips, of_edit)
    return Confirmed(asked, None if meant else CONFIRM_FIRST, as_shown)


def look_again(why: FlipsMoved, record: MaskRecord) -> None:
    """Shows the page anew: what was confirmed is not what would happen by now."""
    session.FLIPS_MOVED.set(str(why), record.mask_id)
    st.rerun()


def _numbers(found: EditPreview, timepoint: str) -> None:
    """What moves at the timepoint, a line a lesion, and everything in a table that opens."""
    lines = moved_lines(found.moved, timepoint)
    if lines:
        st.caption("What moves:  \n" + "  \n".join(plain(line) for line in lines[:IN_SIGHT]))
    with st.expander(f"All numbers that move ({len(found.moved)})"):
        moved_table(found.moved)


def moved_lines(moved: Sequence[MovedNumber], timepoint: str) -> list[str]:
    """ "L1 2025-06-23: none becomes measured, 12.0 mL; change real, +30.0 %": one a lesion, and one for the total, with
    its change up to that timepoint. Not escaped."""
    lines = []
    for cell in (one for one in moved if one.kind != "change" and one.timepoint == timepoint):
        line = f"{_name(cell)} {timepoint}: {told_words(cell.kind, cell.before)}"
        line += f" becomes {told_words(cell.kind, cell.after)}"
        for change in moved:
            if (change.kind, change.lesion_id, change.timepoint) == ("change", cell.lesion_id, timepoint):
                line += f"; change {told_words('change', change.after)}" if change.after else ""
        lines.append(line)
    return lines


def moved_table(moved: Sequence[MovedNumber]) -> None:
    """Every number that moves, before and after."""
    st.dataframe(cells([moved_row(one) for one in moved]), hide_index=True, width="stretch")


def moved_row(moved: MovedNumber) -> TableRow:
    """One number that moves, as the table shows it."""
    when = f"{moved.from_timepoint} to {moved.timepoint}" if moved.from_timepoint else moved.timepoint
    return {
        "Lesion": _name(moved),
        "What": "change" if moved.kind == "change" else "volume",
        "When": when,
        "Before": told_words(moved.kind, moved.before),
        "After": told_words(moved.kind, moved.after),
    }


def _name(moved: MovedNumber) -> str:
    return "All lesions" if moved.lesion_id == TOTAL_LESION_ID else moved.lesion_id


def told_words(kind: str, told: Told | None) -> str:
    """ "measured, 12.0 mL", "real, +30.0 %, +0.47 % a day"; "none" where there is nothing. The state first: a sign is a
    formula."""
    if told is None:
        return "none"
    if told.number is None:
        return told.state
    if kind != "change":
        return f"{told.state}, {millilitres(told.number)} mL"
    rate = told.growth_percent_per_day
    growth = "" if rate is None or told.state == "unknown" else f", {rate:+.2f} % a day"
    return f"{told.state}, {told.number:+.1f} %{growth}"
