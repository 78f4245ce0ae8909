"""What a decision is about: which lesion, which verdict; and what whoever decides must know before."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import streamlit as st

from core.remembered.lists import VersionDecision
from core.remembered.untyped import JsonObject
from core.review.decisions import counted_lesions, rejected_lesion_ids
from core.review.replaced import ended_at, standing_acceptance
from core.types import MM3_PER_ML, Decision, MaskRecord
from pages.ui.frame import session
from pages.ui.review.decision_words import SETTLED
from pages.ui.shared.charts import lesion_colour_name
from pages.ui.shared.text import lesion_words, plain
from store import SeenStore


def tell_of_ended(store: SeenStore, patient: str, timepoint: str, person: str) -> None:
    """That another person ended this one's acceptance here; whoever opens the timepoint has been told."""
    versions = {record.mask_id: record.version for record in store.masks.of(patient, timepoint)}
    decisions = [
        VersionDecision(patient, timepoint, versions[d.mask_id], d.mask_id, d.verdict, d.reviewer, d.created_at)
        for d in store.decisions.of(patient, timepoint)
        if d.lesion_id is None and d.mask_id in versions
    ]
    ended = ended_at(decisions, person)
    if ended is not None:
        words = f"{ended.words[:1].upper()}{ended.words[1:]}"
        st.warning(f"{plain(words)} on {plain(ended.by.created_at[:10])}.", icon=":material/swap_horiz:")
        session.ENDED_SEEN.set(ended.by.created_at, patient, timepoint)


def tell_of_standing(store: SeenStore, record: MaskRecord, person: str) -> None:
    """Before a version is accepted: whose acceptance it takes the place of."""
    place = (record.patient_id, record.timepoint)
    standing = standing_acceptance(store.masks.of(*place), store.decisions.of(*place))
    if standing is None or standing[0].mask_id == record.mask_id or standing[1].reviewer == person:
        return
    before, decision = standing
    who, day = plain(decision.reviewer), plain(decision.created_at[:10])
    st.warning(f"v{before.version} was accepted by {who} on {day}; this takes its place, and {who} is told.")


def settled_words(record: MaskRecord) -> str:
    out = rejected_lesion_ids(record) if record.status == "accepted" else frozenset()
    return SETTLED[record.status] + (f" {plain(_in_a_row(out))} is rejected and stays out." if out else "")


def _in_a_row(lesion_ids: Collection[str]) -> str:
    return ", ".join(lesion_words(name) for name in sorted(lesion_ids))


def lesion_name(lesion: JsonObject) -> str:
    """A label's lesion as people find it in the picture: "L2 · vermilion · 3.4 mL"."""
    name = str(lesion["lesion_id"])
    return f"{lesion_words(name)} · {lesion_colour_name(name)} · {float(lesion['volume_mm3']) / MM3_PER_ML:.1f} mL"


def _whole_lesions(record: MaskRecord) -> list[JsonObject]:
    """The lesions of a mask, each once with the volume of all its labels."""
    volume_mm3: dict[str, float] = {}
    for lesion in record.lesions:
        name = str(lesion["lesion_id"])
        volume_mm3[name] = volume_mm3.get(name, 0.0) + float(lesion["volume_mm3"])
    return [{"lesion_id": name, "volume_mm3": volume} for name, volume in volume_mm3.items()]


def choose_lesion(record: MaskRecord, at: str) -> str | None:
    """The lesion that the decision is about; None for the whole mask, the only choice where lesions cannot differ."""
    if len(_whole_lesions(record)) < 2 or record.status == "superseded":
        return None
    names = {str(lesion["lesion_id"]): lesion_name(lesion) for lesion in _whole_lesions(record)}
    names |= {name: f"{names[name]} · rejected" for name in rejected_lesion_ids(record)}
    asked_for, key = session.LESION_ASKED_FOR.take(record.mask_id), session.LESION_TO_DECIDE
    if asked_for in names:
        key.set(asked_for, at)
    return st.selectbox(
        "Decide on",
        [None, *names],
        format_func=lambda n: names.get(n, "the whole mask"),
        key=key.key(at),
        help="A rejected lesion stays out of the curve; the rest of the mask can be accepted without it.",
    )


def choose_verdict(
    record: MaskRecord,
    lesion: str | None,
    decisions: Sequence[Decision],
    verdict: str | None,
    at: str,
    doubted: bool,
    since: bool,
) -> str | None:
    """accept, reject or withdraw, of those that are possible; None while there is nothing to decide, or nothing was
    chosen yet of what a gate doubts.

    Args:
        doubted: whether a gate doubts what is decided on; since: and has come to, since the version was accepted.
    """
    if lesion is None and record.status == "accepted" and since:
        st.warning("A gate has come to doubt this version since it was accepted, and nobody has answered that yet.")
        words = {"accept": "Affirm the acceptance", "withdraw": "Withdraw it"}
        chosen = st.radio("Decision", list(words), index=None, format_func=words.__getitem__, key=f"affirm-{at}")
        return None if chosen is None else str(chosen)
    if lesion is None and record.status == "accepted":
        wanted = st.toggle(
            "Withdraw the acceptance",
            key=f"withdraw-{at}",
            help="The version is proposed again and leaves the curve until somebody accepts it. This is recorded.",
        )
        return "withdraw" if wanted else None
    possible = ["accept", "reject"]
    if lesion is None and record.lesions and not counted_lesions(record):
        st.info("Every lesion is rejected, so nothing of this version can be accepted.")
        possible = ["reject"]
    elif lesion in rejected_lesion_ids(record):
        possible = ["accept"]
    elif lesion and (record.status == "accepted" or any(d.lesion_id == lesion for d in decisions)):
        possible = ["reject"]
    wanted_first = verdict or ("reject" if lesion else "accept")
    index = possible.index(wanted_first) if wanted_first in possible else 0
    chosen = st.radio(
        "Decision",
        possible,
        index=None if doubted and verdict is None else index,
        horizontal=True,
        key=f"verdict-{at}-{lesion}-{doubted}",
        format_func=str.capitalize,
    )
    if chosen is None:
        st.caption("A gate doubts this version: look at it, then choose.")
    return None if chosen is None else str(chosen)


def remind(store: SeenStore, record: MaskRecord, lesion: str | None) -> None:
    """Rejections do not pass to a new version; whoever decides on that should know of them."""
    if lesion is not None or record.status != "proposed" or record.parent_version is None:
        return
    parent = store.masks.version(record.patient_id, record.timepoint, record.parent_version)
    here = {str(one["lesion_id"]) for one in counted_lesions(record)}
    again = rejected_lesion_ids(parent) & here
    if again:
        st.warning(f"{plain(_in_a_row(again))} was rejected in v{parent.version}. Accepted here, it enters the curve.")
