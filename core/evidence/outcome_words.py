"""What became of a lesion, in sentences for people and values for tables. Nothing is escaped here."""

from __future__ import annotations

from core.evidence.outcome import FATE_WORDS, NO_LATER_CALL, LesionOutcome
from core.evidence.telling import days_text, percent_text, volume_text


def fate_sentence(outcome: LesionOutcome) -> str:
    """What became of the lesion, as "Shrank really: -40 % by day +90, to 7.5 mL (rule: RIDER)."."""
    since = f" At the patient's last visit: {outcome.state_since}." if outcome.state_since else ""
    if outcome.fate == "no later visit":
        return "No later visit."
    if outcome.later == 0:
        return f"Unknown: no later visit tells its volume.{since}"
    rule = f" (rule: {outcome.rule})" if outcome.rule else " (no rule on record)"
    told = f"{percent_text(outcome.percent)} by {days_text(outcome.days)}, to {volume_text(outcome.volume_mm3)}"
    told = f"no longer seen by {days_text(outcome.days)}" if outcome.gone else told
    word = FATE_WORDS[outcome.fate]
    return f"{word[:1].upper()}{word[1:]}: {told}{rule}.{since}"


def response_sentence(outcome: LesionOutcome) -> str:
    """The patient's best response after the visit, by which criterion."""
    by = f" by {outcome.criterion}" if outcome.criterion else ""
    return f"Patient's best response after it: {outcome.response or NO_LATER_CALL}{by}."


def progression_sentence(outcome: LesionOutcome) -> str:
    """Progression, which may lie before the visit."""
    if not outcome.progressed:
        return "No progression on record." if outcome.criterion else "Progression: unknown, no criterion tells it."
    before = ", before this visit" if outcome.progressed_days is not None and outcome.progressed_days < 0 else ""
    return f"Progression: {days_text(outcome.progressed_days)}{before}."


def end_sentence(outcome: LesionOutcome) -> str:
    """Death, or the end of follow-up; that nothing is on record is no proof of life."""
    if not outcome.ended:
        return "Neither death nor an end of follow-up on record."
    return f"{'Died' if outcome.died else f'Follow-up ended ({outcome.ended})'}: {days_text(outcome.ended_days)}."


def begun_sentence(outcome: LesionOutcome) -> str:
    """Therapies that began after the visit; that none is on record is no proof of none."""
    if not outcome.begun:
        return "No therapy begun after it on record."
    told = (f"{one.therapy} {days_text(one.days)}" + (f" ({one.words})" if one.words else "") for one in outcome.begun)
    return f"Begun after it: {'; '.join(told)}."


def outcome_lines(outcome: LesionOutcome) -> tuple[str, ...]:
    """All that is known, a sentence each."""
    return (
        fate_sentence(outcome),
        response_sentence(outcome),
        progression_sentence(outcome),
        end_sentence(outcome),
        begun_sentence(outcome),
    )
