"""What an event of a patient may hold, kind by kind: keys, units and ranges; and its words for people.

`checked_event` refuses what does not fit and drops nothing. Events of before, and of kinds that are none of these, are
read by `core.review.event_words`.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from core.errors import InputError
from core.remembered.links import lesion_number
from core.remembered.rows import Event
from core.remembered.untyped import Json, JsonDict
from core.remembered.vocabulary import OLD_EVENT_KINDS, EventKind
from core.review.body_sites import SITES
from core.review.radiation_words import TECHNIQUES, names_radiation
from core.review.steroids import STEROIDS, dexamethasone_mg
from core.types import parse_date

#: Kinds that a person enters, in the order in which they are offered.
ENTERED_KINDS = tuple(kind for kind in EventKind if kind not in OLD_EVENT_KINDS)
#: Kinds that nobody can know of before their day: a plan is none of them.
_NEVER_AHEAD = (
    EventKind.CLINICAL_STATUS,
    EventKind.RELAPSE,
    EventKind.DEATH,
    EventKind.LAST_CONTACT,
    EventKind.ASSESSMENT,
)
COURSES = ("better", "stable", "worse")
NONTARGET_WORDS = ("CR", "non-CR/non-PD", "PD", "NE")
_YES_NO = ("yes", "no")
RELAPSE_SHOWN_BY = ("imaging", "histology", "clinical", "laboratory")
MAX_WORDS = 500
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True)
class Field:
    """What stands under one key of an event's detail.

    Args:
        key: in the detail, with its unit: dose_gy.
        means: for people, with unit and range.
        check: gives the value as it is stored; raises InputError for what cannot be.
        required: whether an event of that kind says nothing without it.
        shape: how a form asks for it. choices: of a choice all; of words some that are usual.
    """

    key: str
    means: str
    check: Callable[[object], Json]
    required: bool = False
    shape: Literal["words", "number", "whole number", "choice", "day"] = "words"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckedEvent:
    """An event that `checked_event` found in order; `detail` has the given ones of the keys of `FIELDS`, in order."""

    kind: EventKind
    date: str
    detail: JsonDict


def _words(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_WORDS:
        raise InputError(f"Expected {key} as 1 to {MAX_WORDS} characters in words, got {str(value)[:80]!r}.")
    return value.strip()


def _number(key: str, unit: str, low: float, high: float, whole: bool, value: object) -> int | float:
    given = value.strip() if isinstance(value, str) else value
    if isinstance(given, str) and _NUMBER.fullmatch(given):
        given = float(given)
    exact = math.nan if isinstance(given, bool) or not isinstance(given, int | float) else float(given)
    if not low <= exact <= high or (whole and exact != int(exact)):
        hint = " Write the decimals after a point." if isinstance(value, str) and "," in value else ""
        kind = f"a {'whole ' if whole else ''}number{f' of {unit}' if unit else ''}"
        raise InputError(f"Expected {key} as {kind} from {low:g} to {high:g}, got {str(value)[:80]!r}.{hint}")
    return int(exact) if exact == int(exact) else exact


def _one_of(key: str, known: Sequence[str], value: object) -> str:
    word = re.sub(r"[\s_]+", "-", value.strip().lower()) if isinstance(value, str) else ""
    found = next((one for one in known if one.lower() == word), None)
    if found is None:
        raise InputError(f"Expected {key} as one of {', '.join(known)}, got {str(value)[:80]!r}. Choose one of them.")
    return found


def _lesions(key: str, value: object) -> str:
    names = [name.strip().upper() for name in str(value).split(",")]
    if not all(lesion_number(name) for name in names) or len(set(names)) != len(names):
        raise InputError(f"Expected {key} as lesions with commas between, as L3, L4; got {str(value)[:80]!r}.")
    return ", ".join(names)


def _date(key: str, value: object) -> str:
    try:
        return parse_date(str(value)).isoformat()
    except InputError as error:
        raise InputError(f"{key}: {error}") from None


def _text(key: str, means: str, required: bool = False, usual: Sequence[str] = ()) -> Field:
    return Field(key, means, partial(_words, key), required, choices=tuple(usual))


def _amount(key: str, means: str, low: float, high: float, unit: str = "", whole: bool = False) -> Field:
    return Field(
        key, f"{means}, {low:g} to {high:g}", partial(_number, key, unit, low, high, whole), shape=_shape(whole)
    )


def _choice(key: str, means: str, known: Sequence[str], required: bool = False) -> Field:
    return Field(key, f"{means}: {', '.join(known)}", partial(_one_of, key, known), required, "choice", tuple(known))


def _shape(whole: bool) -> Literal["whole number", "number"]:
    return "whole number" if whole else "number"


_COMMENT = _text("comment", "what else is to be said")
_SITE = _text("site", "where, in words: left hip", usual=tuple(SITES))
_DRUG = _text("drug", "name of the drug, or of the drugs given together", required=True)
#: kind -> what its detail may hold.
FIELDS: Mapping[EventKind, tuple[Field, ...]] = {
    EventKind.SURGERY: (_text("procedure", "what was done: wide resection"), _SITE, _COMMENT),
    EventKind.RADIOTHERAPY: (
        _choice("technique", "how", TECHNIQUES, required=True),
        _SITE,
        _amount("dose_gy", "dose of the whole course, Gy", 0.1, 200, "Gy"),
        _amount("fractions", "fractions of the whole course", 1, 100, whole=True),
        Field("end_date", "its last day, YYYY-MM-DD", partial(_date, "end_date"), shape="day"),
        _text("drug", "given together with it"),
        _COMMENT,
    ),
    EventKind.DRUG_START: (
        _DRUG,
        _amount("dose", "dose in `unit`", 0.001, 100_000),
        _text("unit", "of the dose: mg, mg/m2, mg/day, AUC", usual=("mg", "mg/m2", "mg/day", "AUC")),
        _COMMENT,
    ),
    EventKind.DRUG_STOP: (_DRUG, _text("reason", "why it was stopped"), _COMMENT),
    EventKind.STEROID_DOSE: (
        _choice("drug", "which", STEROIDS, required=True),
        Field(
            "mg_per_day",
            "mg a day from that day on, 0 to 2000; 0 where it was stopped",
            partial(_number, "mg_per_day", "mg a day", 0, 2000, False),
            required=True,
            shape="number",
        ),
        _COMMENT,
    ),
    EventKind.CLINICAL_STATUS: (
        _amount("ecog", "ECOG performance status", 0, 4, whole=True),
        _amount("kps", "Karnofsky performance status, %, in tens", 10, 100, whole=True),
        _choice("course", "against the baseline of the treatment", COURSES),
        _COMMENT,
    ),
    EventKind.RELAPSE: (_SITE, _choice("shown_by", "what shows it", RELAPSE_SHOWN_BY), _COMMENT),
    EventKind.DEATH: (_text("cause", "of what"), _COMMENT),
    EventKind.LAST_CONTACT: (_COMMENT,),
    EventKind.ASSESSMENT: (
        _choice("nontarget", "the lesions that are no targets, together", NONTARGET_WORDS),
        _choice("nontarget_grew", "whether any of them grew since the visit before", _YES_NO),
        Field("new", "lesions that are new beyond doubt: L3, L4", partial(_lesions, "new")),
        Field("not_new", "lesions that are not new, or none: L3", partial(_lesions, "not_new")),
        _amount("deauville", "Deauville score", 1, 5, whole=True),
        _choice("uptake_change", "of the uptake since baseline", ("lower", "same", "higher")),
        _choice("uptake_like_background", "whether no lesion stands out of its surroundings", _YES_NO),
        _amount("liver_sul_mean", "mean SUL of the liver's reference region", 0, 50),
        _amount("liver_sul_sd", "standard deviation of SUL there", 0, 50),
        _amount("tlg_ml", "total lesion glycolysis, SUL x mL", 0, 1_000_000),
        _COMMENT,
    ),
    EventKind.OTHER: (_text("what", "what happened, in words", required=True), _COMMENT),
}


def checked_event(kind: str, date: str, detail: Mapping[str, object], today: dt.date | None = None) -> CheckedEvent:
    """An event as it may be entered.

    Args:
        kind: one of `ENTERED_KINDS`. date: YYYY-MM-DD.
        detail: keys as `FIELDS` has them, values as numbers or as the text of one; what is not known is left out.
        today: what cannot be known before its day is refused where it lies after it; None: the day is not asked for.

    Raises:
        InputError: unknown kind or key, a value out of its range, what is missing, dates that cannot be; says what is
            allowed.
    """
    found = _kind(kind)
    day, fields = parse_date(date), FIELDS[found]
    known = {field.key: field for field in fields}
    strange = [str(key) for key in detail if key not in known]
    if strange:
        raise InputError(
            f"Expected of the event {found} only {', '.join(known)}, got {', '.join(strange)[:80]}. "
            "Nothing is dropped: put it under one of these, or leave it out."
        )
    lacking = [field for field in fields if field.required and field.key not in detail]
    if lacking:
        raise InputError(f"Expected of the event {found} its {lacking[0].key} ({lacking[0].means}), got none.")
    values = {field.key: field.check(detail[field.key]) for field in fields if field.key in detail}
    if today is not None and found in _NEVER_AHEAD and day > today:
        raise InputError(f"Expected {found} on a day that has been, got {date}, which lies after {today}.")
    _check_together(found, day, values)
    return CheckedEvent(found, date, values)


def _kind(kind: str) -> EventKind:
    if kind in OLD_EVENT_KINDS:
        raise InputError(
            f"Expected a kind of event that says what was given, got {str(kind)!r}, which only older events have. "
            "Enter drug-start, drug-stop, radiotherapy or surgery."
        )
    if kind not in ENTERED_KINDS:
        raise InputError(
            f"Expected a kind of event of {', '.join(ENTERED_KINDS)}, got {str(kind)[:80]!r}. What is none of these is "
            "entered as other, with what happened in words."
        )
    return EventKind(kind)


def _check_together(kind: EventKind, day: dt.date, values: JsonDict) -> None:
    """What no field can say alone. Raises InputError."""
    if kind is EventKind.RADIOTHERAPY and parse_date(values.get("end_date", day.isoformat())) < day:
        raise InputError(f"Expected radiotherapy to end on or after its first day {day}, got {values['end_date']}.")
    if kind is EventKind.DRUG_START:
        if ("dose" in values) != ("unit" in values):
            raise InputError("Expected a dose together with its unit, got one of them. 75 alone says nothing.")
        if names_radiation(values["drug"]):
            raise InputError(
                f"Expected a drug, got {values['drug']!r}, which is radiotherapy: enter that kind, with its technique."
            )
    if kind is EventKind.CLINICAL_STATUS:
        if not {"ecog", "kps", "course"} & values.keys():
            raise InputError("Expected of the event clinical-status ecog, kps or course, got none of them.")
        if values.get("kps", 10) % 10:
            raise InputError(f"Expected kps in tens, got {values['kps']}.")
    if kind is EventKind.ASSESSMENT:
        _check_assessment(values)


def _check_assessment(values: JsonDict) -> None:
    if not values.keys() - {"comment"}:
        raise InputError("Expected of the event assessment what was seen, as nontarget or new, got none of its words.")
    both = {*str(values.get("new")).split(", ")} & {*str(values.get("not_new")).split(", ")} - {"None"}
    if both:
        raise InputError(f"Expected a lesion to be new or not, got both of {', '.join(sorted(both))}.")


def is_checked(event: Event) -> bool:
    """Whether an event on record is as `checked_event` gives them; older ones and free text are not."""
    if not isinstance(event.detail, Mapping):
        return False
    try:
        return checked_event(event.kind, event.date, event.detail).detail == dict(event.detail)
    except InputError:
        return False


def event_text(event: Event) -> str:
    """An event in a line for people: "radiotherapy: vmat, left hip, 50 Gy in 25 fractions, until 2024-03-01".

    Of events of before, and of kinds that are none of these, what stands in them.
    """
    text = _detail_words(event) if is_checked(event) else detail_text(event.detail)
    if not is_checked(event):
        return f"{event.kind}: {text}"
    return f"{event.kind}: {text}" if text else event.kind


def detail_text(detail: object) -> str:
    """A detail of any kind as text: "key value, key value" of a mapping."""
    if isinstance(detail, Mapping):
        return ", ".join(f"{key} {value}" for key, value in detail.items())
    return str(detail)


def drug_text(detail: Mapping[str, object]) -> str:
    """The drug with its dose: "doxorubicin 75 mg/m2"."""
    dose = f" {detail['dose']} {detail['unit']}" if "dose" in detail else ""
    return f"{detail['drug']}{dose}"


def radiation_text(detail: Mapping[str, object]) -> str:
    """A course of radiotherapy without its dates: "vmat, left hip, 50 Gy in 25 fractions"."""
    dose = f"{detail['dose_gy']} Gy" if "dose_gy" in detail else "dose not given"
    dose += f" in {detail['fractions']} fractions" if "fractions" in detail else ""
    drug = [f"with {detail['drug']}"] if "drug" in detail else []
    return ", ".join([str(detail["technique"]), str(detail.get("site", "site not given")), dose, *drug])


def _detail_words(event: Event) -> str:
    detail: Mapping[str, object] = event.detail
    parts: list[str] = []
    if event.kind == EventKind.RADIOTHERAPY:
        parts = [radiation_text(detail), *([f"until {detail['end_date']}"] if "end_date" in detail else [])]
    elif event.kind == EventKind.DRUG_START:
        parts = [drug_text(detail)]
    elif event.kind == EventKind.STEROID_DOSE:
        parts = [steroid_text(detail)]
    elif event.kind == EventKind.CLINICAL_STATUS:
        units = {"ecog": "ECOG {}", "kps": "KPS {} %", "course": "{}"}
        parts = [text.format(detail[key]) for key, text in units.items() if key in detail]
    else:
        parts = [str(value) for key, value in detail.items() if key != "comment"]
    return ", ".join([*parts, *([str(detail["comment"])] if "comment" in detail else [])])


def steroid_text(detail: Mapping[str, object]) -> str:
    """The dose, and as dexamethasone where it is another drug."""
    drug, mg = str(detail["drug"]), float(str(detail["mg_per_day"]))
    alike = dexamethasone_mg(drug, mg)
    also = "" if drug == "dexamethasone" or alike is None else f" (as dexamethasone {alike:.3g} mg)"
    return f"{drug} {mg:g} mg a day{also}"
