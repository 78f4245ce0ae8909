"""Decisions about mask versions: which are allowed, what follows, and which lesions count.

A decision is about a whole version or about one lesion of it. A version has a status; a lesion is rejected or counts.
Rejection of a lesion is written into the version's list of lesions ("rejected": true), beside its status, so that the
sidecar alone tells what may enter a curve. Voxels never change. Pure values: the store applies them (docs/adr/0008).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from core.errors import InputError, StoreError
from core.remembered.judgements import UNJUDGED, GateVerdict
from core.remembered.sources import MeasuredMask
from core.remembered.untyped import JsonDict, JsonObject
from core.review.doubts import doubts_among
from core.types import Decision, MaskRecord, MaskStatus

VERDICTS = ("accept", "reject", "withdraw")
REJECTED = "rejected"
#: Characters of the comment on a mask without a lesion, and of one that answers doubts, at least.
LEAST_COMMENT = 3
#: The one reason for which a version is accepted while a gate doubts it, and what it says.
DOUBT_ANSWERED, DOUBT_ANSWERED_WORDS = "doubt-answered", "Looked at, fine because …"


def rejected_lesion_ids(record: MeasuredMask) -> frozenset[str]:
    """The ids of the version's lesions that are rejected; empty where none is."""
    return frozenset([str(lesion["lesion_id"]) for lesion in record.lesions if lesion.get(REJECTED)])


def counted_lesions(record: MeasuredMask) -> tuple[JsonObject, ...]:
    """Lesions of the version that are not rejected: those that enter a curve once the version is accepted."""
    return tuple([lesion for lesion in record.lesions if not lesion.get(REJECTED)])


def counted_volume_mm3(record: MeasuredMask) -> float:
    """Volume of the lesions that count, cubic millimetres; the mask's own where no lesion is rejected."""
    if not rejected_lesion_ids(record):
        return record.volume_mm3
    return float(sum(float(lesion["volume_mm3"]) for lesion in counted_lesions(record)))


def lesions_in_one_total_only(before: MeasuredMask, after: MeasuredMask) -> tuple[str, ...]:
    """Ids of lesions that count in one mask and are rejected in the other: the totals are not of the same lesions.

    A lesion that is rejected in both, or rejected in one and absent from the other, makes no difference.
    """
    left, right = ({str(lesion["lesion_id"]) for lesion in counted_lesions(record)} for record in (before, after))
    return tuple(sorted((rejected_lesion_ids(before) & right) | (rejected_lesion_ids(after) & left)))


def withdrawn_mask_ids(decisions: Iterable[Decision]) -> frozenset[str]:
    """Mask ids whose newest decision on the whole version withdrew its acceptance; decisions oldest first."""
    newest = {d.mask_id: d.verdict for d in decisions if d.lesion_id is None}
    return frozenset(mask_id for mask_id, verdict in newest.items() if verdict == "withdraw")


def check_decision(
    record: MaskRecord, verdict: str, lesion_id: str | None, earlier: str | None = None, doubted_since: bool = False
) -> None:
    """Refuses a decision that makes no sense; nothing is returned where it is allowed.

    Args:
        record: the version as it is now.
        verdict: "accept", "reject" or "withdraw".
        lesion_id: the lesion that it is about; None for the whole version.
        earlier: the newest verdict on that lesion of that version; None where there is none.
        doubted_since: whether a gate doubts an accepted version in a way that nobody has answered
            (`core.review.doubted_since`): then it is affirmed by accepting it again.

    Raises:
        InputError: for another verdict, or one that a lesion cannot have.
        StoreError: if the version's status does not allow it, or nothing would change.
    """
    if verdict not in VERDICTS:
        raise InputError(f"Expected the verdict accept, reject or withdraw, got {str(verdict)[:40]!r}.")
    name = f"Version {record.version} of {record.patient_id} on {record.timepoint}"
    if record.status == "rejected":
        raise StoreError(f"{name} was rejected, which is final. Make a new version and decide on that.")
    if lesion_id is not None:
        _check_lesion(record, name, verdict, lesion_id, earlier)
    elif verdict == "withdraw" and record.status != "accepted":
        raise StoreError(f"{name} is {record.status}, not accepted: there is nothing to withdraw.")
    elif verdict == "accept" and record.status == "accepted" and not doubted_since:
        raise StoreError(f"{name} is the accepted one already. Nothing was changed.")
    elif verdict == "accept" and record.lesions and not counted_lesions(record):
        raise StoreError(
            f"Every lesion of {name[0].lower()}{name[1:]} is rejected, so nothing of it can be accepted. "
            "Reject the version, or make one without these lesions."
        )


def why_a_word_is_needed(record: MeasuredMask, accepted: Iterable[MeasuredMask], comment: str) -> str:
    """Why a version cannot be accepted without saying more: it has no lesion, and the patient had some.

    Args:
        accepted: the patient's accepted masks. comment: what is said of it so far.

    Returns:
        A sentence; "" where nothing more is needed.
    """
    if record.lesions or len(comment.strip()) >= LEAST_COMMENT:
        return ""
    had = sorted({mask.timepoint for mask in accepted if mask.mask_id != record.mask_id and counted_lesions(mask)})
    if not had:
        return ""
    return (
        f"Version {record.version} on {record.timepoint} has no lesion, and this patient's accepted mask of {had[-1]} "
        "has. Say in the comment where the tumour went."
    )


def doubts_answered(verdicts: Iterable[GateVerdict]) -> list[JsonDict]:
    """The doubts that a decision on a whole version answers, as they are stored with it (`Decision.answered`)."""
    return [
        {
            "gate": doubt.gate,
            "verdict_id": doubt.verdict_id,
            "verdict": doubt.judgement.verdict,
            "kinds": list(doubt.judgement.kinds),
            "reason": doubt.judgement.reason,
            "stale": doubt.stale,
        }
        for doubt in doubts_among(verdicts)
    ]


def why_doubts_stand(record: MaskRecord, verdicts: Iterable[GateVerdict], reason: str, comment: str) -> str:
    """Why a version cannot be accepted as the gates see it: their doubts, and the ways out; "" where it can.

    Args:
        verdicts: the gates' verdicts on it as things are now. reason, comment: with which it would be accepted.
    """
    doubts = doubts_among(verdicts)
    if not doubts:
        return ""
    if reason == DOUBT_ANSWERED:
        if is_own_comment(comment, doubts):
            return ""
        way_out = f"Say in the comment, in your own words and in at least {LEAST_COMMENT} characters, why it is fine."
    else:
        way_out = (
            f'Or look at it: what is fine all the same is accepted with the reason "{DOUBT_ANSWERED}" and a comment '
            "that says why, in your own words."
        )
    said = " ".join(doubt.words for doubt in doubts)
    place = f"{record.patient_id} {record.timepoint}"
    scoring = {"scan": f"gate score-scan {place}", "mask": f"gate score-mask {place} {record.version}"}
    again = [d.gate for d in doubts if d.stale or d.judgement.verdict == UNJUDGED]
    score = f"Score it: {' and '.join(f'`python cli.py {scoring[gate]}`' for gate in again)}. " if again else ""
    name = f"Version {record.version} of {record.patient_id} on {record.timepoint}"
    return f"{name} cannot be accepted while a gate's doubt stands. {said} {score}{way_out}"


def is_own_comment(comment: str, doubts: Iterable[GateVerdict]) -> bool:
    """Whether a comment says something that neither the gates nor the reason said: at least `LEAST_COMMENT`
    characters besides blanks, and a sentence that is none of theirs."""
    if len("".join(comment.split())) < LEAST_COMMENT:
        return False
    given = {DOUBT_ANSWERED, DOUBT_ANSWERED_WORDS, *(text for doubt in doubts for text in (doubt.words, doubt.gate))}
    theirs = {part for text in given for part in (_plain_words(text), *_sentences(text))}
    return _plain_words(comment) not in theirs and not set(_sentences(comment)) <= theirs


def _sentences(text: str) -> list[str]:
    return [words for part in re.split(r"[.:;!?…\n]+", text) if (words := _plain_words(part))]


def _plain_words(text: str) -> str:
    """Its letters and digits in small letters, one blank between words: what is compared."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _check_lesion(record: MaskRecord, name: str, verdict: str, lesion_id: str, earlier: str | None) -> None:
    if verdict == "withdraw":
        raise InputError(f"A whole version is withdrawn, not a lesion. Reject {str(lesion_id)[:20]} instead.")
    known = [str(lesion["lesion_id"]) for lesion in record.lesions]
    if lesion_id not in known:
        raise StoreError(f"{name} has no lesion {str(lesion_id)[:20]!r}; it has {', '.join(known) or 'none'}.")
    if record.status == "superseded":
        raise StoreError(f"{name} was superseded. Decide on its lesions in the version that took its place.")
    if verdict == earlier:
        raise StoreError(f"{lesion_id} of {name[0].lower()}{name[1:]} is {verdict}ed already. Nothing was changed.")
    last = verdict == "reject" and {str(lesion["lesion_id"]) for lesion in counted_lesions(record)} <= {lesion_id}
    if last and record.status == "accepted":
        raise StoreError(
            f"{lesion_id} is the last lesion of {name[0].lower()}{name[1:]} that counts. "
            "Withdraw or reject the whole version instead."
        )


def lesions_after(lesions: Sequence[JsonObject], verdict: str, labels: Collection[int]) -> list[JsonDict]:
    """The version's lesions as they are stored once a lesion of it, which has these labels, was accepted or rejected;
    others stay as they are."""
    out = []
    for lesion in lesions:
        decided = dict(lesion)
        if int(lesion["label"]) in labels:
            decided.pop(REJECTED, None)
            decided |= {REJECTED: True} if verdict == "reject" else {}
        out.append(decided)
    return out


def statuses_after(
    record: MaskRecord, versions: Sequence[MaskRecord], verdict: str, lesion_id: str | None
) -> tuple[dict[str, MaskStatus], int | None]:
    """What the versions of a timepoint are once an allowed decision is made.

    Accept: this one is accepted; the accepted one before it and all proposed ones are superseded; of one that is
    accepted already, and affirmed, nothing is. Reject: it is rejected. Withdraw: it is proposed again; what its
    acceptance superseded stays so. On a lesion: no status changes.

    Args:
        record: the version that is decided on.
        versions: all versions of its timepoint.

    Returns:
        mask_id -> status (of this one always, of others where it changes), and the number of the accepted version that
        there is then; None where there is none.
    """
    if lesion_id is not None:
        statuses: dict[str, MaskStatus] = {record.mask_id: record.status}
    elif verdict == "accept" and record.status == "accepted":
        statuses = {record.mask_id: "accepted"}
    elif verdict == "accept":
        others = [v for v in versions if v.mask_id != record.mask_id and v.status in ("proposed", "accepted")]
        statuses = {record.mask_id: "accepted", **{v.mask_id: "superseded" for v in others}}
    else:
        statuses = {record.mask_id: "rejected" if verdict == "reject" else "proposed"}
    final = [v.version for v in versions if statuses.get(v.mask_id, v.status) == "accepted"]
    return statuses, final[-1] if final else None
