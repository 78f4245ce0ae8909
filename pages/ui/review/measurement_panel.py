"""What persons measured on a timepoint's scans and kept: what it says, of which lesion, by whom; and taking it back."""

from __future__ import annotations

import streamlit as st

from core.errors import TwinReviewError
from core.remembered.hand_measurements import HandMeasurement
from core.twin.hand_preview import foreseen_without
from pages.ui.frame import session
from pages.ui.guard import rights
from pages.ui.shared.flip_notice import confirmed
from pages.ui.shared.text import plain
from store import SeenStore

_KINDS = {"length": "Length", "angle": "Angle", "roi": "Region"}
_HOW = "Draw one with Length (7), Angle (8) or ROI (9) beside the picture, and keep it there."


def measurement_panel(store: SeenStore, patient: str, timepoint: str, person: str) -> None:
    """An expander with those that stand, newest first."""
    kept = [one for one in reversed(store.measurements.of(patient)) if one.timepoint == timepoint]
    label = f"Measured by hand ({len(kept)})"
    panel = st.expander(label, key=f"measurements-{patient}-{timepoint}", icon=":material/straighten:")
    with panel:
        if done := session.MEASUREMENT_WITHDRAWN.take(patient, timepoint):
            st.success(plain(done))
        if not kept:
            st.caption(f"None is kept with this timepoint. {_HOW}")
        newest: set[tuple[str | None, str]] = set()
        for one in kept:
            place = (one.lesion_id, str(one.sets))
            _row(store, one, person, one.sets_diameter and place in newest)
            newest |= {place} if one.sets_diameter else set()


def what_words(kept: HandMeasurement) -> str:
    """ "longest diameter of L1, by hand", "Length on L1", "Region". Not escaped."""
    if kept.sets is not None:
        counts = "" if kept.sets_diameter else f", of {kept.of_patient}: it counts for nobody here"
        return f"{kept.sets.capitalize()} of {kept.lesion_id}, set by hand{counts}"
    return _KINDS[kept.kind] + (f" on {kept.lesion_id}" if kept.lesion_id else "")


def _row(store: SeenStore, kept: HandMeasurement, person: str, replaced: bool) -> None:
    value, _, more = kept.words.partition(", ")
    older = "; a newer one counts" if replaced else ""
    st.markdown(f"**{plain(value)}** · {plain(what_words(kept))}{older}")
    where = f"{kept.scan_id}, {kept.plane}"
    st.caption(plain(", ".join(part for part in (more, where, f"by {kept.person}, {kept.created_at[:10]}") if part)))
    state = rights.button(store, person, "measurement.withdrawn", "Take it back; it stays on record")
    with st.popover("Withdraw", **state):
        _withdraw(store, kept, person)


def _withdraw(store: SeenStore, kept: HandMeasurement, person: str) -> None:
    reason = st.text_input(
        "Reason", key=session.MEASUREMENT_REASON.key(kept.measurement_id), max_chars=500, placeholder="why, in words"
    )
    seen = foreseen_without(store, kept, person)
    agreed = confirmed(seen.flips, f"flip-without-{kept.measurement_id}")
    wanted = rights.button(store, person, "measurement.withdrawn", disabled=not (agreed and reason.strip()))
    if not st.button("Withdraw it", key=f"withdraw-{kept.measurement_id}", type="primary", **wanted):
        return
    try:
        store.measurements.withdraw(kept.measurement_id, person, reason.strip(), seen.flips, seen.told)
    except TwinReviewError as error:
        st.error(plain(error))
        return
    session.MEASUREMENT_REASON.drop(kept.measurement_id)
    session.MEASUREMENT_WITHDRAWN.set(f"Withdrawn: {kept.words}.", kept.patient_id, kept.timepoint)
    st.rerun()
