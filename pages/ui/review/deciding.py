"""A named person's decisions: on a mask version, or on one lesion of it; and what was decided so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import streamlit as st

from core.errors import TwinReviewError
from core.remembered.flips import FlipsMoved
from core.remembered.lists import VersionDecision
from core.remembered.untyped import JsonObject
from core.review.decisions import LEAST_COMMENT, counted_lesions, rejected_lesion_ids, why_a_word_is_needed
from core.review.link_choices import LinkTable
from core.review.replaced import ended_at, standing_acceptance
from core.twin.edit_preview import Edit
from core.types import MM3_PER_ML, Decision, MaskRecord
from pages.ui.frame import address, resources, session
from pages.ui.guard import rights
from pages.ui.review.lesion_links import links_to_accept
from pages.ui.shared.charts import lesion_colour_name
from pages.ui.shared.edit_notice import Confirmed, confirmed_flips, look_again
from pages.ui.shared.lost_files import file_problem
from pages.ui.shared.text import lesion_words, plain
from store import SeenStore

OTHER = "other"
REASONS: Mapping[str, Mapping[str, str]] = {
    "accept": {
        "agrees": "The mask agrees with the scan",
        "corrected": "Corrected by me",
        "flag-reviewed": "Flagged; looked at, fine",
        OTHER: "Other (see comment)",
    },
    "reject": {
        "under-segmented": "Too small",
        "over-segmented": "Too large or leaking",
        "wrong-lesion": "Not the lesion",
        "scan-unusable": "The scan cannot be used",
        OTHER: "Other (see comment)",
    },
    "reject lesion": {
        "not-a-lesion": "Not a lesion",
        "under-segmented": "Too small",
        "over-segmented": "Too large or leaking",
        "wrong-lesion": "Another lesion than its number says",
        OTHER: "Other (see comment)",
    },
    "withdraw": {
        "withdrawn-error": "Accepted in error",
        "withdrawn-second-look": "To be looked at again",
        OTHER: "Other (see comment)",
    },
}
_IN_WORDS = {code: words for reasons in REASONS.values() for code, words in reasons.items()} | {OTHER: "other"}
SETTLED = {
    "accepted": "This version is accepted and in the curve.",
    "rejected": "This version is rejected. Make a new one by refining or segmenting again.",
    "superseded": "A later decision has put another version in this one's place.",
}
DONE = {"accept": "accepted", "reject": "rejected", "withdraw": "withdrawn"}
_ICONS = {
    "accept": ":green[:material/check_circle:]",
    "reject": ":red[:material/cancel:]",
    "withdraw": ":orange[:material/undo:]",
}
#: More decisions than this scroll in a box of their own.
_IN_SIGHT = 5


def keep_version(patient: str, timepoint: str) -> None:
    """Before the page chooses a version: the one that was just decided on stays in view.

    A version's name in its box ends in its status. A browser that still has the old name shows that, and asks for
    a version which is no longer there under it, unless the value is set anew.
    """
    version = session.DECIDED_VERSION.take(patient, timepoint)
    if version is not None:
        session.VERSION.set(version, patient, timepoint)


@st.dialog("Decide")
def decision_dialog(
    store: SeenStore, patient: str, timepoint: str, record: MaskRecord, person: str, verdict: str
) -> None:
    """Asks for the reason of a decision that was begun by a key in the viewer."""
    if record.status == "accepted" and verdict == "accept":
        st.success(f"v{record.version} is accepted already. There is nothing to decide.")
        st.caption("To take it back, switch on “Withdraw the acceptance” in the Decide tab.")
        return
    decision_form(store, patient, timepoint, record, person, verdict)


def decision_form(
    store: SeenStore,
    patient: str,
    timepoint: str,
    record: MaskRecord,
    person: str,
    verdict: str | None = None,
    keys: bool = True,
) -> None:
    """Takes a decision where one is possible, and lists those of the timepoint.

    Args:
        verdict: "accept" or "reject" where it was chosen already; None lets the visitor choose.
        keys: whether keys choose lesions, which only one form of a page may let them.
    """
    _tell_of_ended(store, patient, timepoint, person)
    if record.status == "accepted" and file_problem(store, record):
        st.warning("This version is accepted, but its file cannot be read: it is not in the curve.")
    elif record.status != "proposed":
        {"accepted": st.success, "rejected": st.error}.get(record.status, st.info)(_settled(record))
    if why := store.decisions.to_affirm().get(record.mask_id):
        st.warning(f"Waits to be affirmed: {plain(why)}. It is out of the curve until somebody accepts it anew.")
    versions = {r.mask_id: r.version for r in store.masks.of(patient, timepoint)}
    said = [d for d in store.decisions.of(patient, timepoint) if d.mask_id in versions]
    if record.status != "rejected":
        _ask(store, record, person, verdict, [d for d in said if d.mask_id == record.mask_id], keys)
    decision_list(said, versions)


def _tell_of_ended(store: SeenStore, patient: str, timepoint: str, person: str) -> None:
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


def _tell_of_standing(store: SeenStore, record: MaskRecord, person: str) -> None:
    """Before a version is accepted: whose acceptance it takes the place of."""
    place = (record.patient_id, record.timepoint)
    standing = standing_acceptance(store.masks.of(*place), store.decisions.of(*place))
    if standing is None or standing[0].mask_id == record.mask_id or standing[1].reviewer == person:
        return
    before, decision = standing
    who, day = plain(decision.reviewer), plain(decision.created_at[:10])
    st.warning(f"v{before.version} was accepted by {who} on {day}; this takes its place, and {who} is told.")


def _settled(record: MaskRecord) -> str:
    out = rejected_lesion_ids(record) if record.status == "accepted" else frozenset()
    return SETTLED[record.status] + (f" {plain(_in_a_row(out))} is rejected and stays out." if out else "")


def _in_a_row(lesion_ids: Collection[str]) -> str:
    return ", ".join(lesion_words(name) for name in sorted(lesion_ids))


def _ask(
    store: SeenStore,
    record: MaskRecord,
    person: str,
    verdict: str | None,
    decisions: Sequence[Decision],
    keys: bool,
) -> None:
    """The widgets of one decision; writes it when its button is pressed."""
    at = f"{record.mask_id}-{record.status}-{len(decisions)}-{verdict}"
    lesion = _choose_lesion(record, at)
    if lesion is not None and verdict is None:
        address.note("lesion", lesion)
    _remind(store, record, lesion)
    chosen = _choose_verdict(record, lesion, decisions, verdict, at)
    if chosen is None:
        return
    reasons = REASONS["reject lesion" if lesion and chosen == "reject" else chosen]
    at = f"{at}-{lesion}-{chosen}"
    whole = lesion is None and chosen == "accept"
    table = links_to_accept(store, record, person, at, keys) if whole else None
    needed = _word_needed(store, record) if whole else ""
    if whole:
        _tell_of_standing(store, record, person)
    reason = st.selectbox(
        "Reason",
        list(reasons),
        format_func=lambda r: reasons[r],
        key=f"reason-{at}",
        help="Recorded with your name in the audit log.",
    )
    if needed:
        st.info(plain(needed), icon=":material/help:")
    hint = "where did the tumour go?" if needed else "optional"
    comment = st.text_input("Comment", key=f"comment-{at}", placeholder=hint, max_chars=500).strip()
    out = [lesion_words(name) for name in sorted(rejected_lesion_ids(record))] if whole else []
    out += _left_out(table) if whole and table else []
    what = f"{lesion_words(lesion)} of v{record.version}" if lesion else f"v{record.version}"
    what += f" without {', '.join(out)}" if out else ""
    refused = _why_not(store, record, lesion, table) if chosen == "accept" else None
    edit = Edit(chosen, lesion, *((table.changes, table.not_lesions) if table else ()))
    told = Confirmed() if refused else confirmed_flips(store, record, edit, f"flips-{at}")
    refused = refused or told.why_not
    state = rights.button(store, person, "mask.decided", refused, disabled=refused is not None)
    label = f"{plain(chosen.capitalize())} {plain(what)}"
    if not st.button(label, type="primary", key=f"decide-{at}", **state) or not told.counts:
        return
    if reason == OTHER and not comment:
        st.warning("Say in the comment what the reason is.")
        return
    if needed and len(comment) < LEAST_COMMENT:
        st.warning("Say in the comment where the tumour went.")
        return
    try:
        _write(store, record, edit, person, (reason, comment), told)
    except FlipsMoved as error:
        look_again(error, record)
    except TwinReviewError as error:
        st.error(plain(error))
        return
    st.toast(f"{plain(what)} {DONE[chosen]}.")
    session.DECIDED_VERSION.set(record.version, record.patient_id, record.timepoint)
    st.rerun()


def _write(
    store: SeenStore, record: MaskRecord, edit: Edit, person: str, why: tuple[str, str], told: Confirmed
) -> None:
    """Records the decision: an acceptance with what was said of the lesions."""
    from core.jobs.stages import deciding

    deciding.decide(store, record, edit, person, *why, confirmed=told.flips)
    resources.reference_changed()


def _left_out(table: LinkTable) -> list[str]:
    """Labels that were said to be no lesion, in words."""
    return [f"label {label}" for label in table.not_lesions]


def _word_needed(store: SeenStore, record: MaskRecord) -> str:
    """Why accepting this version needs a comment; "" where it does not."""
    accepted = [one for one in store.masks.of(record.patient_id) if one.status == "accepted"]
    return why_a_word_is_needed(record, accepted, "")


def _why_not(store: SeenStore, record: MaskRecord, lesion: str | None, table: LinkTable | None) -> str | None:
    """Why the store would refuse to accept this version; None where it would not."""
    if file_problem(store, record):
        return "Its file cannot be read, so nobody can accept it."
    if lesion is None and not store.verdicts.of_masks(record.patient_id, record.timepoint, record.mask_id):
        return "The mask gate has not judged it. Press Score the mask first."
    if lesion is None and table is None:
        return "Its lesions could not be told. Tell them anew first."
    if table is not None and table.labels and len(table.not_lesions) == len(table.labels):
        return "No label is a lesion: reject the version instead."
    return store.decisions.why_not_accept(record, store.person, "-" * LEAST_COMMENT, lesion) or None


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


def _choose_lesion(record: MaskRecord, at: str) -> str | None:
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


def _choose_verdict(
    record: MaskRecord, lesion: str | None, decisions: Sequence[Decision], verdict: str | None, at: str
) -> str | None:
    """accept, reject or withdraw, of those that are possible; None while there is nothing to decide."""
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
    return str(
        st.radio(
            "Decision", possible, index=index, horizontal=True, key=f"verdict-{at}-{lesion}", format_func=str.capitalize
        )
    )


def _remind(store: SeenStore, record: MaskRecord, lesion: str | None) -> None:
    """Rejections do not pass to a new version; whoever decides on that should know of them."""
    if lesion is not None or record.status != "proposed" or record.parent_version is None:
        return
    parent = store.masks.version(record.patient_id, record.timepoint, record.parent_version)
    here = {str(one["lesion_id"]) for one in counted_lesions(record)}
    again = rejected_lesion_ids(parent) & here
    if again:
        st.warning(f"{plain(_in_a_row(again))} was rejected in v{parent.version}. Accepted here, it enters the curve.")


def decision_list(decisions: Sequence[Decision], versions: Mapping[str, int]) -> None:
    """Who decided what, when and why, the newest first.

    Args:
        versions: mask id -> its number.
    """
    if not decisions:
        st.caption("Nothing was decided yet.")
        return
    st.caption(f"Decided so far ({len(decisions)})")
    with st.container(height=320 if len(decisions) > _IN_SIGHT else "content", border=False, gap="small"):
        for decision in reversed(decisions):
            st.markdown(decision_line(decision, versions.get(decision.mask_id, 0)))


def decision_line(decision: Decision, version: int) -> str:
    """One decision as Markdown: the verdict and its reason, then who and when, then the comment."""
    what = f"{lesion_words(decision.lesion_id)} of v{version}" if decision.lesion_id else f"v{version}"
    reason = _IN_WORDS.get(decision.reason, decision.reason)
    when = decision.created_at[:16].replace("T", " ")
    lines = [
        f"{_ICONS[decision.verdict]} **{plain(what)} {DONE[decision.verdict]}**: {plain(reason)}",
        f":small[:gray[{plain(decision.reviewer)} · {plain(when)} UTC]]",
    ]
    if decision.comment:
        lines.append(f"*“{plain(decision.comment)}”*")
    return "  \n".join(lines)
