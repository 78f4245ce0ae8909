"""Which lesion each label of a version is, as a person confirms or changes it before accepting."""

from __future__ import annotations

import streamlit as st

from core.errors import TwinReviewError
from core.remembered.links import lesion_number
from core.review.link_choices import (
    CANNOT_TELL,
    MERGED_INTO,
    MISSING_WORDS,
    NEW,
    NOT_A_LESION,
    LabelRow,
    LinkTable,
    MissingRow,
    labels_of,
    link_table,
)
from core.review.sureness import probability_doubt
from core.types import MM3_PER_ML, MaskRecord
from pages.ui.frame import session
from pages.ui.guard import rights
from pages.ui.shared.text import plain
from pages.ui.shared.thumbnails import lesion_picture
from store import SeenStore

CONFIDENCE_HELP = (
    "The number is the program's confidence, 0 to 1, to sort by and no probability: by how much of the smaller one "
    "overlaps once the scans are laid over each other, or how near it lies, less where the registration is doubtful."
)
#: More rows than this scroll in a box of their own.
IN_SIGHT = 3
ROWS_HEIGHT = 560
#: Lesions that keys 1 to 9 choose: those of that number.
KEYS = 9
_TELLING = "Looking for the lesions of v{version} in the other accepted masks, since {why}"


def links_to_accept(store: SeenStore, record: MaskRecord, person: str, at: str, keys: bool) -> LinkTable | None:
    """The table of lesions above the button that accepts; None where it cannot be told, and why is said.

    Args:
        at: of the widgets. keys: whether 1 to 9 choose, which only one table of a page may let them.
    """
    if told_anew(store, record, person):
        st.rerun()  # the viewer shows them by the names that they had before
    if store.links.why_outdated(record.mask_id):
        return None
    table = table_of(store, record)
    rows: list[LabelRow | MissingRow] = [*table.labels, *table.missing]
    if not rows:
        return table
    may = rights.why_not(store, person, "mask.decided") is None
    selected = session.LINK_ROW.get(record.mask_id)
    if selected not in {row.key for row in rows}:
        selected = rows[0].key
    st.markdown(f"**Lesions** ({len(rows)})", help=f"Which lesion each outline is. {CONFIDENCE_HELP}")
    with st.container(height=ROWS_HEIGHT if len(rows) > IN_SIGHT else "content", border=False, gap="small"):
        for n, row in enumerate(rows):
            following = rows[min(n + 1, len(rows) - 1)].key
            _row(store, record, table, row, f"{at}-{row.key}", following, may, (row.key == selected, keys))
    return table


def table_of(store: SeenStore, record: MaskRecord) -> LinkTable:
    """The rows of a version with what was chosen here."""
    records, links = store.masks.of(record.patient_id), store.links.of_mask(record.mask_id)
    names = {str(x["lesion_id"]) for one in records for x in one.lesions}
    names |= {*(str(x["label"]) for x in record.lesions), *(str(link.lesion_id) for link in links)}
    choices = {key: session.LINK_CHOICE.get(record.mask_id, key) or "" for key in names}
    return link_table(record, records, links, choices)


def told_anew(store: SeenStore, record: MaskRecord, person: str) -> bool:
    """Tells the lesions of a version anew, once, where they were told before there was more to tell them by; False
    where that was not needed, is not allowed, or failed."""
    why = store.links.why_outdated(record.mask_id)
    if not why:
        session.LINKS_TOLD.drop(record.mask_id)
        return False
    if (refused := rights.why_not(store, person, "links.proposed")) is not None:
        st.caption(plain(refused))
        return False
    if session.LINKS_TOLD.get(record.mask_id) == why:
        st.warning(f"The lesions could not be told anew, though {plain(why)}.")
        st.button(
            "Tell them anew", key=f"tell-{record.mask_id}", on_click=session.LINKS_TOLD.drop, args=(record.mask_id,)
        )
        return False
    from core.jobs.stages.relinking import relink

    session.LINKS_TOLD.set(why, record.mask_id)
    try:
        with st.spinner(plain(_TELLING.format(version=record.version, why=why)), show_time=True):
            relink(store, record, person)
    except TwinReviewError as error:
        st.error(plain(error))
        return False
    return True


def _row(
    store: SeenStore,
    record: MaskRecord,
    table: LinkTable,
    row: LabelRow | MissingRow,
    at: str,
    following: str,
    may: bool,
    selected: tuple[bool, bool],
) -> None:
    """One row: before, now, what it is in words, and the choices where it is the selected one."""
    with st.container(border=True, gap="small"):
        _words(row)
        before, now = st.columns(2, gap="small", vertical_alignment="bottom")
        seen = table.before(row)
        with before:
            _picture(store, None if seen is None else seen.record, () if seen is None else seen.labels, row)
            st.caption(plain(seen.record.timepoint) if seen is not None else "before: none")
        with now:
            there = (row.label,) if isinstance(row, LabelRow) else _within(record, row)
            _picture(store, record, there, row)
            st.caption("now" if there else "now: none")
        if may and not selected[0]:
            st.button(
                "Change",
                key=f"change-{at}",
                type="tertiary",
                on_click=session.LINK_ROW.set,
                args=(row.key, record.mask_id),
                help=plain(f"Say what {_name(row)} is."),
            )
        if may and selected[0]:
            _choices(record, table, row, at, following, selected[1])


def _within(record: MaskRecord, row: MissingRow) -> tuple[int, ...]:
    """The labels that a lesion is in now: of what it was merged into."""
    words = row.chosen
    into = words.removeprefix(MERGED_INTO) if words.startswith(MERGED_INTO) else ""
    return labels_of(record, into)


def _picture(store: SeenStore, record: MaskRecord | None, labels: tuple[int, ...], row: LabelRow | MissingRow) -> None:
    name = row.lesion_id if isinstance(row, MissingRow) else row.chosen
    drawn = None if record is None else lesion_picture(store, record, labels, name if lesion_number(name) else "")
    if drawn is not None and record is not None:
        st.image(drawn, width="stretch", alt=f"{name} on {record.timepoint}")


def _name(row: LabelRow | MissingRow) -> str:
    return f"label {row.label}" if isinstance(row, LabelRow) else row.lesion_id


def _words(row: LabelRow | MissingRow) -> None:
    """What the row is, how sure the program is of it, and what speaks against it."""
    link = row.link
    if isinstance(row, LabelRow):
        name, what = row.link.lesion_id or "not linked", str(row.link.relation) if row.link.lesion_id else ""
        where = f"label {row.label} · {row.volume_mm3 / MM3_PER_ML:.1f} mL"
        where += "" if row.mean_probability is None else f" · network {row.mean_probability:.2f} sure"
    else:
        name, what, where = row.lesion_id, row.standing, "no label here"
    sure = "" if link is None or link.confidence is None else f" · {link.confidence:.2f}"
    if row.choice:
        chosen = {CANNOT_TELL: "cannot be told", NEW: "a new lesion"}.get(row.choice, row.choice)
        said = f":blue[:material/edit:] **you: {plain(chosen)}**"
    else:
        unsure = probability_doubt(row.mean_probability) if isinstance(row, LabelRow) else None
        doubts = (*(() if link is None else link.doubts), *([unsure] if unsure else []))
        said = "  \n".join(f":orange[:material/warning:] :small[{plain(doubt)}]" for doubt in doubts)
    st.markdown(
        f"**{plain(name)}** {plain(what)}{sure}  \n:small[:gray[{plain(where)}]]  \n{said}",
        help=CONFIDENCE_HELP if sure else None,
    )


def _choices(
    record: MaskRecord, table: LinkTable, row: LabelRow | MissingRow, at: str, following: str, keys: bool
) -> None:
    """The words that a person may choose for the selected row."""
    place = (record.mask_id, row.key)
    known = table.lesions if isinstance(row, LabelRow) else ()
    with st.container(horizontal=True, gap="small"):
        for name in (one for one in known if lesion_number(one) <= KEYS):
            key = str(lesion_number(name)) if keys else None
            _choice(record, row, name, f"is-{at}-{name}", following, f"This is {name}.", key)
        if isinstance(row, LabelRow):
            for word in (NEW, NOT_A_LESION, CANNOT_TELL):
                _choice(record, row, word, f"is-{at}-{word}", following, _MEANS[word])
        else:
            for word in (*MISSING_WORDS, *(f"{MERGED_INTO}{name}" for name in table.here)):
                _choice(record, row, word, f"is-{at}-{word}", following, _MEANS.get(word, f"One mass: {word}."))
        if row.choice:
            st.button(
                "Undo",
                key=f"undo-{at}",
                type="tertiary",
                on_click=session.LINK_CHOICE.drop,
                args=place,
                help="As the program proposes it.",
            )
    others = [name for name in known if lesion_number(name) > KEYS]
    if others:
        other = st.selectbox(
            "Another lesion",
            others,
            index=others.index(row.chosen) if row.chosen in others else None,
            placeholder="another lesion",
            key=f"other-{at}",
            label_visibility="collapsed",
        )
        if other is not None and other != row.chosen:
            session.LINK_CHOICE.set(other, *place)
            st.rerun()


_MEANS = {
    NEW: "A lesion that was not there before; it gets the next number.",
    NOT_A_LESION: "It is rejected when the version is accepted, and stays out of every curve.",
    CANNOT_TELL: "Which lesion it is cannot be told: it is in no curve, and there is no total.",
    "gone": "Its place is in view and it is not there: it counts as 0.",
    "not in view": "The scan does not reach there: it is no number.",
    "not assessed": "Nobody can tell whether it is still there: it is no number.",
}


def _choice(
    record: MaskRecord,
    row: LabelRow | MissingRow,
    word: str,
    key: str,
    following: str,
    means: str,
    shortcut: str | None = None,
) -> None:
    def chosen() -> None:
        session.LINK_CHOICE.set(word, record.mask_id, row.key)
        session.LINK_ROW.set(following, record.mask_id)

    kind = "primary" if row.chosen == word else "secondary"
    st.button(plain(word), key=key, type=kind, on_click=chosen, help=plain(means), shortcut=shortcut)  # type: ignore[arg-type]
