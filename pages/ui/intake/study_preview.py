"""What lies in the files that were sent: patients, days and series, with ticks; nothing of it is stored yet."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.imaging.study.apart import preview
from core.imaging.study.examining import MODALITY, WITHOUT_BROKEN
from core.imaging.study.found import Preview, SeriesFound, StudyFound
from core.jobs.study_import import Taken
from core.types import MM3_PER_ML, MODALITIES, UNITS, Modality
from pages.ui.frame import session
from pages.ui.guard import uploads
from pages.ui.shared.text import cells, plain
from store import SeenStore

#: What a file that is passed over is called in the list; more are counted.
_MOST_LISTED = 200


def preview_of(store: SeenStore, files: Sequence[UploadedFile]) -> Preview | None:
    """The preview of what was sent, made once; None for nothing sent. Raises as `core.imaging.study.apart.preview`."""
    if not files:
        session.STUDY_PREVIEW.drop()
        return None
    sent = tuple(file.file_id for file in files)
    known = session.STUDY_PREVIEW.get()
    if known is not None and known.sent == sent:
        return known.found
    bar = st.progress(0.0, "Looking into the files")
    with store.scratch() as folder:
        given, scratch = folder / "sent", folder / "looked"
        given.mkdir()
        scratch.mkdir()

        def show(share: float, words: str) -> None:
            bar.progress(share, f"Looking into the files: {plain(words)}")

        found, _ = preview(uploads.saved(files, given), scratch, show)
    bar.empty()
    turn = 1 if known is None else known.turn + 1
    session.STUDY_PREVIEW.set(session.StudyPreview(sent, found, turn))
    return found


def turn() -> int:
    """The number of the preview: its widgets are not those of the one before."""
    known = session.STUDY_PREVIEW.get()
    return 0 if known is None else known.turn


def chosen_study(found: Preview) -> StudyFound | None:
    """The patient and day that are looked at: the only ones, or those that are chosen among several."""
    places = [(patient, study) for patient in found.patients for study in patient.studies]
    if len(places) < 2:
        return places[0][1] if places else None
    st.warning(
        f"The files hold {_counted(len(found.patients), 'patient')} and {_counted(len(places), 'study', 'studies')}. "
        "They are kept apart: each is imported on its own."
    )
    words = [
        f"{patient.patient or 'patient not named'}, {study.date or 'no date'}: {len(study.series)} series"
        for patient, study in places
    ]
    number = st.selectbox(
        "Patient and day in the files",
        range(len(places)),
        format_func=lambda n: plain(words[n]),
        key=session.STUDY_SHOWN.key(turn()),
    )
    return places[number][1]


def _counted(number: int, one: str, several: str | None = None) -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


def series_cards(found: Preview, study: StudyFound) -> list[Taken]:
    """Draws the series of a study with their ticks; what is taken."""
    numbers = {series.key: number for number, (_, _, series) in enumerate(found.series())}
    for warning in study.warnings:
        st.warning(plain(warning))
    taken = [_card(series, numbers[series.key]) for series in study.series if series.becomes or series.asked]
    _not_taken([series for series in study.series if not series.becomes and not series.asked])
    return [one for one in taken if one is not None]


def _card(series: SeriesFound, number: int) -> Taken | None:
    """One series that may be stored."""
    with st.container(border=True):
        picture, words, choices = st.columns([1, 5, 3])
        if series.thumbnail:
            picture.image(base64.b64decode(series.thumbnail))
        name = f"**{plain(series.modality or 'image')}** {plain(series.about)}"
        words.markdown(f"{name}  \n{plain(_geometry(series))}")
        for text in series.facts:
            words.caption(plain(text))
        for text in series.warnings:
            words.warning(plain(text))
        if series.why_not:
            words.warning(plain(series.why_not))
        with choices:
            return _choices(series, number)


def _geometry(series: SeriesFound) -> str:
    if series.segments and series.shape is None:
        return ", ".join(one.name for one in series.segments if one.name)
    images = _counted(series.images, "image")
    if series.shape is None or series.spacing_mm is None:
        return images
    size = " x ".join(str(n) for n in series.shape)
    return f"{images}, {size} voxels of {' x '.join(f'{mm:.2f}' for mm in series.spacing_mm)} mm"


def _choices(series: SeriesFound, number: int) -> Taken | None:
    """The tick of a series, and what has to be said before it can be stored."""
    place = (turn(), number)
    becomes = series.becomes or "scan"
    without_broken = False
    if WITHOUT_BROKEN in series.asked:
        without_broken = st.checkbox(
            "Take it without the files that cannot be read",
            key=session.WITHOUT_BROKEN.key(*place),
            help="The series may lack slices at its ends, and a tumour there would be cut. Recorded under your name.",
        )
    label = "Store as a scan" if becomes == "scan" else "Store as a mask"
    able = series.becomes is not None or without_broken
    ticked = st.checkbox(
        label, value=series.ticked or without_broken, disabled=not able, key=session.SERIES_TICKED.key(*place, able)
    )
    if becomes == "mask":
        segments = _segments(series, place)
        return Taken(series.key, becomes, segments=segments) if ticked and able else None
    modality: Modality | None = None
    if MODALITY in series.asked:
        modality = st.selectbox(
            "It is",
            MODALITIES,
            index=None,
            placeholder="CT, PET or MR?",
            format_func=lambda m: f"{m} ({UNITS[m]})",
            key=session.SERIES_MODALITY.key(*place),
            help="The file does not say it, and its values do not show it.",
        )
    elif series.modality in MODALITIES:
        modality = series.modality
    sequence = ""
    if modality == "MR":
        sequence = st.text_input(
            "Sequence",
            series.sequence,
            key=session.SERIES_SEQUENCE.key(*place),
            help="T1, T1c, T2, FLAIR … in letters and digits. Tells MR scans of one day apart.",
        )
    return Taken(series.key, becomes, modality, sequence.strip(), without_broken) if ticked and able else None


def _segments(series: SeriesFound, place: tuple[int, int]) -> tuple[int, ...]:
    """Which segments of a mask are lesions."""
    if len(series.segments) < 2:
        return ()
    by_number = {one.number: one for one in series.segments}

    def words(number: int) -> str:
        one = by_number[number]
        return plain(f"{number} {one.name}".strip() + f", {one.volume_mm3 / MM3_PER_ML:.2f} mL")

    chosen = st.multiselect(
        "Lesions among its segments",
        list(by_number),
        default=list(by_number),
        format_func=words,
        key=session.MASK_SEGMENTS.key(*place),
        help="Organs and outlines are no lesions: take them out. A number is no identity; lesions are told by place.",
    )
    return tuple(chosen)


def _not_taken(series: Sequence[SeriesFound]) -> None:
    """What becomes nothing, and why."""
    for one in series:
        st.error(f"Not taken: {plain(one.modality or 'image')} {plain(one.about)}. {plain(one.why_not or '')}")


def passed_over(found: Preview) -> None:
    """The files that are nothing here."""
    if not found.refused:
        return
    with st.expander(f"{_counted(len(found.refused), 'file')} passed over"):
        rows = [{"file": one.label, "why": one.why} for one in found.refused[:_MOST_LISTED]]
        st.dataframe(cells(rows), hide_index=True, width="stretch")
        if len(found.refused) > _MOST_LISTED:
            st.caption(f"and {len(found.refused) - _MOST_LISTED} more.")
