"""Several readers of one timepoint: blind or not, how far they agree, their consensus, and the final decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.access import ADJUDICATOR
from core.errors import TwinReviewError
from core.remembered.untyped import JsonObject
from core.review.readers import CONSENSUS_METHOD, newest_by_reader
from core.types import MM3_PER_ML, MaskRecord
from pages.ui.compare import comparing
from pages.ui.frame import address, measured, opening, session, shell
from pages.ui.guard import rights
from pages.ui.review.deciding import decision_form
from pages.ui.shared.text import cells, lesion_words, plain
from store import SeenStore

BLIND_HELP = (
    "A blind reader sees what the network proposed and their own versions alone, until they say that they are finished."
)
DICE_HELP = "Overlap of the two readers' masks of a lesion: 2 |A and B| / (|A| + |B|); 1 is identical, 0 is disjoint."
SENSITIVITY_HELP = "Share of the consensus that this reader drew, as STAPLE estimates it (10.1109/TMI.2004.828354)."
SPECIFICITY_HELP = "Share of the surroundings that this reader left free, in a box around the lesion."


def choose_timepoint(store: SeenStore, patient: str, where: DeltaGenerator) -> str:
    """A timepoint, to begin with the last one that several people have read."""
    timepoints = store.patients.timepoints(patient)
    several = [t for t in timepoints if len(newest_by_reader(store.masks.of(patient, t))) > 1]
    with where:
        default, help_text = (several or timepoints)[-1], "Whose readers are compared."
        return opening.choose_timepoint(
            "Timepoint", timepoints, session.READERS_TIMEPOINT, [patient], default, help_text
        )


def readers_panel(store: SeenStore, patient: str, timepoint: str, person: str) -> None:
    """Everything about the readers of one timepoint."""
    if not _setting(store, patient, timepoint, person):
        return
    readings = newest_by_reader(store.masks.of(patient, timepoint))
    if len(readings) < 2:
        who = f"Only {plain(next(iter(readings)))} has" if readings else "Nobody has"
        st.info(f"{who} drawn or refined a mask of {plain(timepoint)}. Agreement needs two people's versions.")
        if st.button("Go to Review"):
            shell.go_to("review")
        return
    _pictures(store, patient, list(readings.values()), person)
    found = measured.readers_of_timepoint(patient, timepoint, list(readings.values()), person)
    _agreement_table(found["agreement"])
    _consensus(store, patient, timepoint, readings, found, person)
    _adjudicate(store, patient, timepoint, readings, person)


def _setting(store: SeenStore, patient: str, timepoint: str, person: str) -> bool:
    """Blind or not, and who has finished; False while this person may not see the others yet."""
    blind, finished = store.readings.is_blind(patient, timepoint), store.readings.finished(patient, timepoint)
    names = [str(row.person) for row in finished]
    switch, done, button = st.columns([2, 5, 2], vertical_alignment="center")
    state = rights.button(store, person, "reading.set", BLIND_HELP)
    wanted = switch.toggle("Blind reading", value=blind, key=f"blind/{patient}/{timepoint}/{blind}", **state)
    if wanted != blind:
        store.readings.set_blind(patient, timepoint, wanted, person)
        st.rerun()
    done.caption(f"Finished: {plain(', '.join(names))}." if names else "Nobody has said to be finished.")
    state = rights.button(store, person, "reading.finished", "For good: you then see the others.")
    if person not in names and button.button("I have finished reading", **state):
        store.readings.finish(patient, timepoint, person)
        st.rerun()
    if store.readings.is_closed(patient, timepoint, person):
        until = (
            "once every reader has said to have finished"
            if store.scope.role == ADJUDICATOR
            else ("once you say that you have finished")
        )
        st.info(f"{plain(timepoint)} is read blind. You see the other readers {until}.")
        return False
    return True


def _pictures(store: SeenStore, patient: str, readings: Sequence[MaskRecord], person: str) -> None:
    """Two readers side by side; on the right, what one has and the other has not."""
    by_name = {record.author: record for record in readings}
    names, about = list(by_name), (patient, readings[0].timepoint)
    place = f"of {patient} on {readings[0].timepoint}"
    keys = session.LEFT_READER, session.RIGHT_READER
    first = address.choose("left_reader", names, keys[0], *about, default=names[0], whose=place)
    others = [name for name in names if name != first]
    second = address.choose("right_reader", others, keys[1], *about, first, default=others[0], whose=place)
    left, right = st.columns(2)
    left.selectbox("Left reader", names, key=keys[0].key(*about))
    right.selectbox("Right reader", others, key=keys[1].key(*about, first))
    comparing.show_versions(store, patient, by_name[first], by_name[second], person)


def _agreement_table(pairs: Sequence[JsonObject]) -> None:
    st.subheader("Agreement", divider="gray")
    rows = [
        {
            "Readers": f"{pair['first']} and {pair['second']}",
            "Lesion": lesion_words(pair["lesion"]),
            "Dice": pair["dice"],
            "First (mL)": pair["volume_first_mm3"] / MM3_PER_ML,
            "Second (mL)": pair["volume_second_mm3"] / MM3_PER_ML,
            "Difference (mL)": pair["difference_ml"],
            "Difference (%)": pair["difference_percent"],
        }
        for pair in pairs
    ]
    number = st.column_config.NumberColumn
    st.dataframe(
        cells(rows),
        hide_index=True,
        column_config={
            "Dice": number(format="%.3f", help=DICE_HELP),
            "First (mL)": number(format="%.1f"),
            "Second (mL)": number(format="%.1f"),
            "Difference (mL)": number(format="%+.1f", help="Second minus first."),
            "Difference (%)": number(format="%+.0f", help="Of the two volumes' mean: neither is the truth."),
        },
    )


def _consensus(
    store: SeenStore,
    patient: str,
    timepoint: str,
    readings: Mapping[str, MaskRecord],
    found: JsonObject,
    person: str,
) -> None:
    """STAPLE's estimate of each reader, and the button that makes the consensus a version."""
    st.subheader("Consensus", divider="gray")
    rows = [
        {
            "Reader": reader,
            "Version": readings[reader].version,
            "Lesion": lesion_words(lesion),
            "Sensitivity": estimate["sensitivity"],
            "Specificity": estimate["specificity"],
        }
        for reader, lesions in found["staple"]["readers"].items()
        for lesion, estimate in lesions.items()
    ]
    number = st.column_config.NumberColumn
    st.dataframe(
        cells(rows),
        hide_index=True,
        column_config={
            "Sensitivity": number(format="%.3f", help=SENSITIVITY_HELP),
            "Specificity": number(format="%.4f", help=SPECIFICITY_HELP),
        },
    )
    versions = sorted(record.version for record in readings.values())
    same = _consensus_of(store.masks.of(patient, timepoint), versions)
    words, button = st.columns([5, 3], vertical_alignment="center")
    said = f"v{same.version} is the consensus of these versions." if same else "It becomes a version like any other."
    words.caption(f"STAPLE: {found['staple']['volume_mm3'] / MM3_PER_ML:.1f} mL. {said}")
    state = rights.button(store, shell.person(), "mask.added", disabled=same is not None)
    if button.button("Make the STAPLE consensus", type="primary", width="stretch", **state):
        from core.jobs.stages.readers import add_consensus

        try:
            with st.spinner("Making the consensus"):
                record = add_consensus(store, patient, timepoint, person)
        except TwinReviewError as error:
            st.error(plain(error))
            return
        st.toast(f"The consensus is v{record.version}.")
        st.rerun()


def _consensus_of(records: Sequence[MaskRecord], versions: Sequence[int]) -> MaskRecord | None:
    """The standing consensus that was made of just these versions."""
    for record in reversed(records):
        made_of = record.prompts[0].get("versions") if record.prompts else None
        if record.method == CONSENSUS_METHOD and record.status != "rejected" and made_of == list(versions):
            return record
    return None


def _adjudicate(
    store: SeenStore, patient: str, timepoint: str, readings: Mapping[str, MaskRecord], person: str
) -> None:
    """One version becomes the final one, by a named person's decision."""
    st.subheader("Adjudication", divider="gray")
    records = {record.version: f"v{record.version} · {plain(reader)}" for reader, record in readings.items()}
    for record in store.masks.of(patient, timepoint):
        if record.method == CONSENSUS_METHOD and record.status != "rejected":
            records[record.version] = f"v{record.version} · consensus"
    version = st.radio(
        "Which version",
        sorted(records),
        format_func=records.__getitem__,
        horizontal=True,
        key=session.ADJUDICATED_VERSION.key(patient, timepoint),
        index=len(records) - 1,
    )
    decision_form(store, patient, timepoint, store.masks.version(patient, timepoint, version), person)
