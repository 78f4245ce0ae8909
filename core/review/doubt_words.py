"""Doubts in a few words, as cells of a timeline, changes and lists have them, and which lesions they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.remembered.judgements import DOUBTS, UNJUDGED, GateVerdict
from core.remembered.rows import MaskVerdict
from core.remembered.untyped import JsonObject
from core.review.doubts import doubts_among
from core.types import Decision

#: What a lesion's own result says where the gate doubts it; the first of verdicts from before there were judgements.
_LESION_DOUBTED = ("unusual", DOUBTS)


@dataclass(frozen=True)
class SaidOfMask:
    """What is to be said against a mask version that is accepted.

    Args:
        doubts: that are about the whole mask and stand; of_lesions: lesion id -> those on that lesion alone.
        not_judged: what no gate could judge: nothing was found against it, and nothing was vouched for.
        answers: a doubt of these, in its words -> who answered it, and how.
        once: what was doubted when it was accepted, with its answer, and is not now.
    """

    doubts: tuple[str, ...] = ()
    of_lesions: Mapping[str, tuple[str, ...]] | None = None
    not_judged: tuple[str, ...] = ()
    answers: Mapping[str, str] | None = None
    once: tuple[str, ...] = ()


def brief_doubt(verdict: GateVerdict, of: str = "") -> str:
    """A doubt in a few words: "scan gate: doubtful (appearance)".

    Args:
        of: the lesion that it is about; "" of all.
    """
    said = verdict.judgement
    return _brief(verdict.gate, said.verdict, said.kinds, verdict.stale, verdict.verdict_id is not None, of)


def _brief(gate: str, verdict: str, kinds: Sequence[str], stale: bool, is_known: bool, of: str = "") -> str:
    if not is_known:
        return f"the {gate} gate has not judged the {gate}"
    about = f" of {of}" if of else ""
    why = f" ({', '.join(kinds)})" if kinds else ""
    words = []
    if verdict == DOUBTS:
        words.append(f"{gate} gate: doubtful{about}{why}")
    elif verdict == UNJUDGED:
        words.append(f"{gate} gate: cannot be judged{why}")
    if stale:
        words.append(f"the {gate}'s verdict is of other files")
    return ", ".join(words)


def said_of_mask(
    verdicts: Sequence[GateVerdict], of_mask: MaskVerdict | None, acceptance: Decision | None
) -> SaidOfMask:
    """What is to be said against an accepted version.

    Args:
        verdicts: of both gates as things are now. of_mask: the mask gate's newest, which names lesions.
        acceptance: the decision by which it stands; None: not known.
    """
    whole: list[str] = []
    of_lesions: dict[str, tuple[str, ...]] = {}
    not_judged: list[str] = []
    answers: dict[str, str] = {}
    answered = {_key(doubt): doubt for doubt in (acceptance.answered if acceptance else ())}
    for doubt in doubts_among(verdicts):
        answer = answered.pop((doubt.gate, doubt.verdict_id, doubt.judgement.verdict, doubt.stale), None)
        named = doubted_lesions(of_mask) if doubt.gate == "mask" and not doubt.stale else ()
        words = [brief_doubt(doubt)]
        if doubt.judgement.verdict == UNJUDGED and not doubt.stale:
            not_judged += words
        elif doubt.judgement.verdict == DOUBTS and named:
            of_lesions = {name: (brief_doubt(doubt, name),) for name in named}
            words = [one for told in of_lesions.values() for one in told]
        else:
            whole += words
        if answer is not None and acceptance is not None:
            answers |= dict.fromkeys(words, answer_of(acceptance))
    once = [
        f"{_brief_of_stored(doubt)} when it was accepted; {answer_of(acceptance)}"
        for doubt in answered.values()
        if acceptance is not None
    ]
    return SaidOfMask(tuple(whole), of_lesions, tuple(not_judged), answers, tuple(once))


def answer_of(acceptance: Decision) -> str:
    """Who answered doubts by accepting, and how."""
    comment = " ".join(acceptance.comment.split())
    return f"answered by {acceptance.reviewer}: {comment}" if comment else f"answered by {acceptance.reviewer}"


def doubted_lesions(row: MaskVerdict | None) -> tuple[str, ...]:
    """The lesions that the mask gate doubts, each once; () where its verdict names none, and is about the whole mask.

    The store gives out a verdict with the lesions that the labels are linked to.
    """
    lesions = [] if row is None else row.lesions
    return tuple(dict.fromkeys(str(one["lesion_id"]) for one in lesions if one.get("verdict") in _LESION_DOUBTED))


def _key(doubt: JsonObject) -> tuple[object, ...]:
    return (doubt.get("gate"), doubt.get("verdict_id"), doubt.get("verdict"), bool(doubt.get("stale")))


def _brief_of_stored(doubt: JsonObject) -> str:
    kinds = [str(kind) for kind in doubt.get("kinds", ())]
    known = doubt.get("verdict_id") is not None
    return _brief(str(doubt.get("gate")), str(doubt.get("verdict")), kinds, bool(doubt.get("stale")), known)
