"""The parts of the evidence page: a lesion, the lesions most like it, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from core.errors import InputError
from core.remembered.untyped import JsonObject
from core.twin import curve
from core.types import MaskRecord
from pages.ui.frame import resources, shell
from pages.ui.shared import slices
from pages.ui.shared.text import millilitres, plain
from pages.ui.trajectory.growth_panel import VERDICT_HELP

MARGIN_MM = 25.0
DISTANCE_HELP = (
    "How far apart the two shapes are, over all shape features together; 1 is the typical spread of one feature among "
    "accepted masks. 0 is the same shape."
)


def volume_mm3(record: MaskRecord, lesion_id: str) -> float:
    """The lesion's volume in that mask; 0 when it is not there."""
    return sum(float(lesion["volume_mm3"]) for lesion in record.lesions if lesion["lesion_id"] == lesion_id)


def lesion_picture(record: MaskRecord, lesion_id: str) -> str:
    """The lesion's largest slice on the reference scan, cropped around it, as a data URI; cached."""
    labels = tuple(int(one["label"]) for one in record.lesions if str(one["lesion_id"]) == lesion_id)
    named = f"{record.mask_id}-{lesion_id}-{'-'.join(map(str, labels))}"
    return resources.thumbnail(named, lambda: _draw(record, lesion_id, labels))


def _draw(record: MaskRecord, lesion_id: str, of_lesion: Sequence[int]) -> str:
    scan = shell.store().scans.reference(record.patient_id, record.timepoint)
    volume, lesion = resources.load_volume(scan), np.isin(resources.load_mask(record).array, of_lesion)
    counts = np.count_nonzero(lesion, axis=(0, 1))
    if not counts.any():
        raise InputError(f"Expected lesion {lesion_id} in version {record.version}, it is not there. Score it again.")
    k = int(counts.argmax())
    inside = [np.flatnonzero(lesion[:, :, k].any(axis=1 - axis)) for axis in (0, 1)]
    spacing = volume.grid.spacing_mm
    half_mm = max((n[-1] - n[0] + 1) * mm / 2 for n, mm in zip(inside, spacing, strict=False)) + MARGIN_MM
    box = []
    for indices, mm in zip(inside, spacing, strict=False):  # a square, so that cards are of one height
        middle, half = (indices[0] + indices[-1]) / 2, half_mm / mm
        box.append(slice(max(0, round(middle - half)), round(middle + half) + 1))
    crop = (box[0], box[1], k)
    return slices.picture(
        volume.array[crop],
        slices.view_of(volume.grid),
        slices.window_for(volume, None),
        lesion[crop].astype(np.uint8),
        lesion_of={1: lesion_id},
    )


def outcome_words(outcome: curve.NextChange | None) -> str:
    """What became of a lesion, in one or two lines of Markdown."""
    if outcome is None:
        return "No later accepted timepoint."
    if outcome.volume_mm3 == 0:
        return f"**Gone** after {outcome.days:.0f} days  \n{plain(outcome.verdict)}"
    percent = "new" if outcome.percent_change is None else f"{outcome.percent_change:+z.0f} %"
    return f"**{percent}** in {outcome.days:.0f} days  \n{plain(outcome.verdict)}"


def query_lesion(record: MaskRecord, lesion_id: str) -> None:
    """The lesion that is asked about."""
    with st.container(border=True):
        picture, text = st.columns([1, 6], vertical_alignment="center")
        picture.image(lesion_picture(record, lesion_id), width=110, alt=f"{lesion_id} of {record.timepoint}")
        text.markdown(
            f"**{plain(lesion_id)}** of {plain(record.timepoint)}, mask v{record.version} ({plain(record.status)})  \n"
            f"{millilitres(volume_mm3(record, lesion_id))} mL"
        )


def similar_cards(found: Sequence[JsonObject]) -> None:
    """One card a neighbour, nearest first."""
    store = shell.store()
    for column, row in zip(st.columns(max(len(found), 5)), found, strict=False):
        record = store.masks.version(row["patient_id"], row["timepoint"], row["version"])
        outcome = curve.next_change(store, record.patient_id, record.timepoint, row["lesion_id"])
        scan = store.scans.reference(record.patient_id, record.timepoint)
        with column.container(border=True, height="stretch"):
            name = f"{record.patient_id} {row['lesion_id']} of {record.timepoint}"
            st.image(lesion_picture(record, row["lesion_id"]), width="stretch", alt=name)
            badge = "  \n:orange-badge[simulated]" if scan.metadata.get("simulated") else ""
            st.markdown(f"**{plain(record.patient_id)}** {plain(row['lesion_id'])}  \n{plain(record.timepoint)}{badge}")
            st.markdown(
                f"{millilitres(volume_mm3(record, row['lesion_id']))} mL  \ndistance {row['distance']:.2f}",
                help=DISTANCE_HELP,
            )
            rule = None if outcome is None else f"{VERDICT_HELP} {plain(outcome.rule)}."
            st.markdown(outcome_words(outcome), help=rule)


def tally(found: Sequence[JsonObject]) -> str:
    """How much evidence this is: lesions, patients, and how many have a later timepoint."""
    store = shell.store()
    later = [curve.next_change(store, r["patient_id"], r["timepoint"], r["lesion_id"]) for r in found]
    patients = len({row["patient_id"] for row in found})
    return (
        f"{len(found)} lesions of {patients} other {'patient' if patients == 1 else 'patients'}, "
        f"{sum(o is not None for o in later)} with a later accepted timepoint. Alike in shape, not in treatment or "
        "histology: a starting point for a look, not a prediction."
    )
