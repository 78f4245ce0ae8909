"""A change of which lesion a label is: chosen, told which numbers move, and recorded with its reason."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.errors import TwinReviewError
from core.remembered.flips import FlipsMoved
from core.remembered.links import LesionLink
from core.remembered.untyped import TableRow
from core.review.link_choices import (
    CANNOT_TELL,
    MERGED_INTO,
    MISSING_WORDS,
    NEW,
    LabelRow,
    LinkTable,
    MissingRow,
    link_table,
)
from core.twin.edit_preview import Edit
from core.types import MaskRecord
from pages.ui.frame import address, resources, session
from pages.ui.guard import rights
from pages.ui.shared.edit_notice import confirmed_flips, look_again, moved_table
from pages.ui.shared.text import cells, millilitres, plain
from store import SeenStore

#: Choices beside each other; more rows than these are chosen from a box first.
IN_A_ROW, MOST_ROWS = 4, 12
MOVED_HELP = "Cells, totals and changes whose number, state or verdict is another one afterwards."


def change_panel(store: SeenStore, patient: str, lesion: str, person: str) -> None:
    """Which lesion each label of a version is, what moves by a change, and what was said so far."""
    record = _choose_version(store, patient, lesion)
    if record is None:
        return
    st.subheader(f"Which lesion each label of v{record.version} on {plain(record.timepoint)} is", divider="gray")
    if done := session.LINKS_CHANGED.take(patient):
        st.success(plain(done), icon=":material/check_circle:")
    table = _choices(store, record, lesion)
    if table.changes:
        _preview_and_change(store, record, table, person)
    else:
        st.caption("Choose another lesion for a label, and the numbers that move are shown before anything is changed.")
    history_table(store.links.history(record.mask_id))


def _choose_version(store: SeenStore, patient: str, lesion: str) -> MaskRecord | None:
    """The version that is looked at: to begin with the last accepted one that has the lesion."""
    records = [one for one in store.masks.of(patient) if one.status != "rejected"]
    if not records:
        return None
    having = [one for one in records if lesion in {str(x["lesion_id"]) for x in one.lesions}]
    accepted = [one for one in having if one.status == "accepted"]
    best = (accepted or having or records)[-1]
    days = list(dict.fromkeys(one.timepoint for one in records))
    whose = f"of {patient}"
    key = session.LESION_TIMEPOINT
    day = address.choose("timepoint", days, key, patient, default=best.timepoint, whose=whose)
    versions = {one.version: one for one in reversed(records) if one.timepoint == day}
    final = next((n for n, one in versions.items() if one.status == "accepted"), next(iter(versions)))
    of_day = session.LESION_VERSION
    version = address.choose("version", list(versions), of_day, patient, day, default=final, whose=f"{whose} on {day}")
    when, which, _ = st.columns([2, 3, 5])
    when.selectbox("Timepoint", days, key=key.key(patient))
    which.selectbox(
        "Mask version",
        list(versions),
        key=of_day.key(patient, day),
        format_func=lambda n: f"v{n} · {versions[n].method} · {versions[n].status}",
        help="Numbers on the curve come from the accepted version alone.",
    )
    return versions[version]


def _choices(store: SeenStore, record: MaskRecord, lesion: str) -> LinkTable:
    """The widgets: one a label, one a lesion that the version has not."""
    records, links = store.masks.of(record.patient_id), store.links.of_mask(record.mask_id)

    def table(rows: Sequence[LabelRow | MissingRow]) -> LinkTable:
        key = session.LABEL_IS
        chosen = {row.key: key.get(record.mask_id, row.key, _stands(row)) or "" for row in rows}
        return link_table(record, records, links, chosen)

    plain_table = link_table(record, records, links, {})
    rows: list[LabelRow | MissingRow] = [*plain_table.labels, *plain_table.missing]
    rows += [MissingRow(name, None) for name in plain_table.lesions if name not in {row.key for row in rows}]
    found = table(rows)
    shown: list[LabelRow | MissingRow] = [*found.labels, *found.missing]
    if len(shown) > MOST_ROWS:
        shown = [row for row in shown if lesion in (row.chosen, row.key) or row.choice][:MOST_ROWS]
        st.caption(
            f"Of {len(found.labels)} labels those of {plain(lesion)}. Choose another lesion above for the others."
        )
    for start in range(0, len(shown), IN_A_ROW):
        for column, row in zip(st.columns(IN_A_ROW), shown[start : start + IN_A_ROW], strict=False):
            with column:
                _choice(record, found, row)
    return found


def _choice(record: MaskRecord, table: LinkTable, row: LabelRow | MissingRow) -> None:
    stands = _stands(row)
    if isinstance(row, LabelRow):
        options = [*table.lesions, NEW, CANNOT_TELL]
        label, note = f"Label {row.label}", f"{millilitres(row.volume_mm3)} mL; it stands as {stands}."
    else:
        options = [*MISSING_WORDS, *(f"{MERGED_INTO}{name}" for name in table.here)]
        label, note = f"{row.lesion_id} has no label", f"It stands as: {stands}."
    options = list(dict.fromkeys([stands, *options]))
    key = session.LABEL_IS
    place = (record.mask_id, row.key, stands)  # said otherwise meanwhile, it is another choice
    if key.get(*place) not in options:
        key.set(stands, *place)
    st.selectbox(plain(label), options, key=key.key(*place), format_func=_in_words, help=plain(note))


def _stands(row: LabelRow | MissingRow) -> str:
    return (row.link.lesion_id or CANNOT_TELL) if isinstance(row, LabelRow) else row.standing


def _in_words(word: str) -> str:
    return {NEW: "a new lesion", CANNOT_TELL: "cannot be told"}.get(word, word)


def _preview_and_change(store: SeenStore, record: MaskRecord, table: LinkTable, person: str) -> None:
    """What moves, the reason, and the button that does it."""
    edit = Edit("", links=table.changes)
    found = resources.edit_preview(store, record, edit)
    st.markdown(f"**Numbers on the curve that move** ({len(found.moved)})", help=MOVED_HELP)
    if found.moved:
        moved_table(found.moved)
    else:
        not_in = "" if record.status == "accepted" else f" v{record.version} is {record.status}: not in the curve."
        st.info(plain(f"None.{not_in}"))
    told = confirmed_flips(store, record, edit, f"links-{record.mask_id}", with_numbers=False)
    key = session.LINK_REASON.key(record.mask_id)
    why_field, button = st.columns([5, 2], vertical_alignment="bottom")
    reason = why_field.text_input("Reason", key=key, max_chars=500, placeholder="why, in words; it stays on record")
    state = rights.button(store, person, "links.set", told.why_not, disabled=told.why_not is not None)
    label = f"Change {len(table.changes)} link{'s' if len(table.changes) != 1 else ''}"
    if not button.button(label, type="primary", width="stretch", **state) or not told.counts:
        return
    if not reason.strip():
        st.warning("Say in words why these are the same lesion, or are not.")
        return
    from core.jobs.stages.deciding import change_links

    try:
        change_links(store, record, table.changes, person, reason.strip(), told.flips)
    except FlipsMoved as error:
        look_again(error, record)
    except TwinReviewError as error:
        st.error(plain(error))
        return
    rows_chosen: list[LabelRow | MissingRow] = [*table.labels, *table.missing]
    for row in rows_chosen:
        session.LABEL_IS.drop(record.mask_id, row.key, _stands(row))
    session.LINK_REASON.drop(record.mask_id)
    session.LINKS_CHANGED.set(f"Changed: {len(found.moved)} numbers moved.", record.patient_id)
    st.rerun()


def history_table(said: Sequence[LesionLink]) -> None:
    """Who said what of the version's labels, the newest first."""
    st.markdown(f"**What was said of this version** ({len(said)})")
    if not said:
        st.caption("Nothing: its labels are the lesions that they are numbered as in the file.")
        return
    rows: list[TableRow] = [
        {
            "When (UTC)": link.created_at[:16].replace("T", " "),
            "Who": link.person,
            "Label": "no label" if link.label is None else str(link.label),
            "Lesion": link.lesion_id or "cannot be told",
            "Relation": " ".join([link.relation, *link.into]),
            "Confirmed by": link.confirmed_by or "nobody: proposed",
            "Why": link.reason,
        }
        for link in reversed(said)
    ]
    st.dataframe(cells(rows), hide_index=True, width="stretch")
