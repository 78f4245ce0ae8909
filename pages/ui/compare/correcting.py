"""A person's correction of a registration: the later picture moved and turned, or places marked in both scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.errors import InputError, TwinReviewError
from core.imaging.registration.points import FEWEST_PAIRS, three
from core.imaging.registration.to_remember import (
    carried_by,
    landmark_transform,
    moved_transform,
    residuals_mm,
    shift_and_turn,
)
from core.remembered.links import Matrix, NewTransform, StoredTransform
from core.remembered.untyped import JsonDict, JsonObject, TableRow
from core.types import Scan
from pages.ui.frame import session
from pages.ui.frame.session import PlacesMarked
from pages.ui.guard import rights
from pages.ui.shared.text import cells, plain
from store import SeenStore

MOVING, LANDMARKS = "Move and turn", "Landmarks"
AXES = ("x", "y", "z")
FIELDS = tuple(f"{kind} {axis}" for kind in ("shift", "turn") for axis in AXES)
_TOWARDS = {"x": "right", "y": "front", "z": "head"}  # of the patient: RAS
HELPS = {
    "shift": "How far the picture that is laid over is moved towards the patient's {towards}, mm.",
    "turn": "How far it is turned about the axis {axis}, degrees, by the right hand; together they are one turn.",
}
MOVE_HELP = "Or drag in the picture: Shift and drag moves, Alt and drag turns about the crosshair."
MARK_HELP = (
    f"Choose Mark beside the picture and click the same place in both scans, {FEWEST_PAIRS} times or more, not along "
    "one line. The n-th places of both sides are a pair."
)
RESIDUAL_HELP = (
    "How far the pair is apart under all pairs together. Three leave little over, right or wrong; a fourth tests them."
)
SAVE_HELP = "A new transform under your name; the one before is kept beside it."
#: Less than this is no move: a number field rounds.
_LEAST = 1e-6


@dataclass(frozen=True)
class Correction:
    """What a person has done so far, and what it gives.

    Args:
        found: the transform that is corrected.
        scans: the two reference scans.
        centre_mm: what turns go about, RAS mm of the first scan: the middle of its field.
        shift_mm, turn_deg: of the picture, as `core.imaging.registration.adjusted` has them.
        by_landmarks: what three or more pairs give; None for fewer. What is moved is moved on top of it.
        problem: why the pairs give nothing.
    """

    patient: str
    days: tuple[str, str]
    found: StoredTransform
    scans: tuple[Scan, Scan]
    centre_mm: tuple[float, float, float]
    shift_mm: tuple[float, float, float]
    turn_deg: tuple[float, float, float]
    marked: PlacesMarked
    by_landmarks: NewTransform | None = None
    problem: str = ""

    @property
    def place(self) -> tuple[str, str, str]:
        """Of its keys."""
        return (self.patient, *self.days)

    @property
    def matrix(self) -> Matrix:
        """What the picture is drawn by, before it is moved: by the landmarks, once they give something."""
        return self.found.matrix if self.by_landmarks is None else self.by_landmarks.matrix

    @property
    def moved(self) -> bool:
        """Whether the picture was moved or turned."""
        return any(abs(value) > _LEAST for value in (*self.shift_mm, *self.turn_deg))

    @property
    def changed(self) -> bool:
        """Whether there is something to save."""
        return self.moved or self.by_landmarks is not None

    def told(self, may_correct: bool) -> JsonDict:
        """As the viewer takes it (README.md, "registration")."""
        return {
            "correct": may_correct,
            "carried": carried_by(self.shift_mm, self.turn_deg, self.centre_mm).ravel().tolist(),
            "marks": [{"side": side, "mm": list(mm)} for side, mm in self.marked.marks],
            "heard": session.MOVES_HEARD.get(*self.place) or 0,
            "turn": session.CORRECTION_TURN.get(*self.place) or 0,
        }

    def result(self) -> NewTransform:
        """What would be saved."""
        if self.by_landmarks is not None and not self.moved:
            return self.by_landmarks
        before = self.found.transform_id
        return moved_transform(self.matrix, *self.scans, self.shift_mm, self.turn_deg, self.centre_mm, before)


def begun(store: SeenStore, patient: str, days: tuple[str, str], found: StoredTransform) -> Correction:
    """What this person has done so far to that pair."""
    scans = store.scans.reference(patient, days[0]), store.scans.reference(patient, days[1])
    grid = store.scans.reference_grid(patient, days[0])
    middle = grid.to_mm((np.array([grid.shape]) - 1) / 2)[0]
    place = (patient, *days)
    marked = session.PLACES_MARKED.get(*place) or PlacesMarked()
    by_landmarks, problem = _by_landmarks(scans, marked)
    shift, turn = (
        [session.MOVED_BY.get(*place, f"{kind} {axis}") or 0.0 for axis in AXES] for kind in ("shift", "turn")
    )
    if session.CORRECTED_BY.get(*place) == LANDMARKS:  # Streamlit forgets what stands in fields that are not drawn
        _keep_moves(place, [*shift, *turn])
    return Correction(
        patient, days, found, scans, triple(middle), triple(shift), triple(turn), marked, by_landmarks, problem
    )


def _keep_moves(place: tuple[str, str, str], values: Sequence[float]) -> None:
    for field, value in zip(FIELDS, values, strict=True):
        session.MOVED_BY.set(float(value), *place, field)


def _by_landmarks(scans: tuple[Scan, Scan], marked: PlacesMarked) -> tuple[NewTransform | None, str]:
    """What the pairs give; or nothing, and why where there are enough of them."""
    left, right = pairs(marked)
    if len(left) < FEWEST_PAIRS:
        return None, ""
    try:
        return landmark_transform(*scans, left, right), ""
    except InputError as error:
        return None, str(error)


def pairs(marked: PlacesMarked) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The places that have a partner, (n, 3) RAS mm of either scan."""
    sides = marked.of(0), marked.of(1)
    count = min(map(len, sides))
    left, right = (np.array(side[:count], dtype=np.float64).reshape(-1, 3) for side in sides)
    return left, right


def take(correction: Correction, told: JsonObject) -> None:
    """Takes over what was done in the picture, before the fields beside it are drawn.

    Raises:
        InputError: where the picture says what is no shift and turn, or no place.
    """
    place, turn = correction.place, session.CORRECTION_TURN.get(*correction.place) or 0
    moved, marked = told.get("moved"), told.get("marked")
    if moved and moved["turn"] == turn and moved["count"] > (session.MOVES_HEARD.get(*place) or 0):
        carried = np.array(moved["carried"], dtype=np.float64)
        found = shift_and_turn(carried.reshape(4, 4) if carried.size == 16 else carried, correction.centre_mm)
        _keep_moves(place, [*found[0], *found[1]])
        session.MOVES_HEARD.set(int(moved["count"]), *place)
        session.CORRECTED_BY.set(MOVING, *place)
        st.rerun()
    if marked and marked["turn"] == turn:
        marks = PlacesMarked(tuple((int(one["side"]), triple(one["mm"])) for one in marked["marks"]))
        if marks != correction.marked:
            session.PLACES_MARKED.set(marks, *place)
            session.CORRECTED_BY.set(LANDMARKS, *place)
            st.rerun()


def triple(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float, float]:
    """Three numbers; InputError otherwise."""
    x, y, z = three(np.asarray(values, dtype=np.float64)).tolist()
    return x, y, z


def correction_panel(store: SeenStore, correction: Correction, person: str) -> None:
    """The fields of a correction, what it comes to, and the button that stores it."""
    why = rights.why_not(store, person, "transform.added") or rights.why_not(store, person, "transform.judged")
    if why is not None:
        st.caption(f"Correct: {plain(why)}")
        return
    place, ways = correction.place, [MOVING, LANDMARKS]
    if session.CORRECTED_BY.get(*place) not in ways:
        session.CORRECTED_BY.set(MOVING, *place)
    key, helps = session.CORRECTED_BY.key(*place), f"{MOVING}: {MOVE_HELP} {LANDMARKS}: {MARK_HELP}"
    way = st.segmented_control("Correct it", ways, required=True, key=key, help=helps)
    _marks(correction) if way == LANDMARKS else _fields(correction)
    if correction.problem:
        st.warning(plain(correction.problem))
    if not correction.changed:
        return
    st.markdown(f":orange[:material/edit:] Not saved: {plain(_in_words(correction))}")
    save, undo = st.columns([3, 2])
    if save.button("Save and accept", type="primary", width="stretch", help=SAVE_HELP):
        _save(store, correction, person)
    if undo.button("Undo", width="stretch", help="Back to what is stored."):
        _begin_anew(correction)
        st.rerun()


def _fields(correction: Correction) -> None:
    """Shift and turn as numbers."""
    for kind, unit, step in (("shift", "mm", 1.0), ("turn", "°", 1.0)):
        for column, axis in zip(st.columns(3, gap="small"), AXES, strict=True):
            key, field = session.MOVED_BY, f"{kind} {axis}"
            if key.get(*correction.place, field) is None:
                key.set(0.0, *correction.place, field)
            column.number_input(
                f"{kind.capitalize()} {axis}, {unit}",
                step=step,
                format="%.1f",
                key=key.key(*correction.place, field),
                help=HELPS[kind].format(axis=axis, towards=_TOWARDS[axis]),
            )
    if not correction.changed:
        st.caption(MOVE_HELP)


def _marks(correction: Correction) -> None:
    """The pairs of places, and how far each is apart under what they give."""
    left, right = correction.marked.of(0), correction.marked.of(1)
    if not left and not right:
        st.caption(MARK_HELP)
        return
    apart: list[float | None] = [None] * max(len(left), len(right))
    if correction.by_landmarks is not None:
        fixed, moving = pairs(correction.marked)
        found = residuals_mm(correction.result().matrix, fixed, moving).tolist()
        apart[: len(found)] = found
    rows: list[TableRow] = [
        {"Pair": n + 1, "Residual (mm)": value, "Left (mm)": _place(left, n), "Right (mm)": _place(right, n)}
        for n, value in enumerate(apart)
    ]
    config = {
        "Pair": st.column_config.NumberColumn(width=44),
        "Residual (mm)": st.column_config.NumberColumn(format="%.1f", help=RESIDUAL_HELP, width=96),
    }
    st.dataframe(cells(rows), hide_index=True, column_config=config)
    missing = FEWEST_PAIRS - min(len(left), len(right))
    if missing > 0:
        st.caption(f"{missing} more pair{'s' if missing > 1 else ''} to go. {MARK_HELP}")


def _place(places: Sequence[tuple[float, float, float]], n: int) -> str:
    return f"({', '.join(f'{value:.0f}' for value in places[n])})" if n < len(places) else "not marked yet"


def _in_words(correction: Correction) -> str:
    said = []
    if correction.by_landmarks is not None:
        said.append(correction.by_landmarks.message.rstrip("."))
    if correction.moved:
        shift, turn = (float(np.linalg.norm(values)) for values in (correction.shift_mm, correction.turn_deg))
        said.append(f"moved by {shift:.1f} mm and turned by {turn:.1f}°")
    return "; ".join(said) + "."


def _save(store: SeenStore, correction: Correction, person: str) -> None:
    """Stores the correction as a transform of its own, which its maker accepts."""
    try:
        added = store.transforms.add(correction.patient, correction.result(), person)
        if added.verdict != "accepted":  # the same correction was stored before
            store.transforms.judge(added.transform_id, "accepted", person, "corrected by hand")
    except TwinReviewError as error:
        st.error(plain(error))
        return
    _begin_anew(correction)
    st.toast("The correction is stored and accepted.")
    st.rerun()


def _begin_anew(correction: Correction) -> None:
    """For the next run: nothing is moved, nothing marked, and the picture forgets what was."""
    place = correction.place
    for field in FIELDS:
        session.MOVED_BY.drop(*place, field)
    session.PLACES_MARKED.drop(*place)
    session.CORRECTION_TURN.set((session.CORRECTION_TURN.get(*place) or 0) + 1, *place)
    session.MOVES_HEARD.drop(*place)
