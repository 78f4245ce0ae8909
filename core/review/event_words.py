"""What events of before, and of any kind that a history may hold, say in the terms of `core.review.events`.

An old row stays as it is. Reading it says what was recognised, and which words no rule reads: these are never taken for
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from core.remembered.rows import Event
from core.remembered.untyped import JsonDict
from core.remembered.vocabulary import EventKind
from core.review.events import detail_text, is_checked
from core.review.radiation_words import RadiationWords, read_radiation
from core.review.steroids import STEROIDS

#: Kinds by which older histories say that a patient died.
DEATH_KINDS = frozenset({"death", "died", "dead", "deceased", "exitus"})
#: Other kinds of before, and what they are now.
_KINDS: Mapping[str, EventKind] = {
    **dict.fromkeys(DEATH_KINDS, EventKind.DEATH),
    **dict.fromkeys(("surgery", "operation", "resection"), EventKind.SURGERY),
    **dict.fromkeys(("steroids", "steroid", "steroid-dose", "corticosteroids"), EventKind.STEROID_DOSE),
    **dict.fromkeys(("clinical-status", "status", "performance-status", "ecog", "kps"), EventKind.CLINICAL_STATUS),
    **dict.fromkeys(("relapse", "recurrence"), EventKind.RELAPSE),
    **dict.fromkeys(("last-contact", "last-seen"), EventKind.LAST_CONTACT),
    **dict.fromkeys(("treatment-start", "drug-start"), EventKind.DRUG_START),
    **dict.fromkeys(("treatment-stop", "drug-stop"), EventKind.DRUG_STOP),
    "other": EventKind.OTHER,
}
#: Under which key of the new detail the free text of these stands whole.
_WHOLE_TEXT: Mapping[EventKind, str] = {
    EventKind.SURGERY: "procedure",
    EventKind.RELAPSE: "comment",
    EventKind.DEATH: "cause",
    EventKind.LAST_CONTACT: "comment",
    EventKind.OTHER: "what",
    EventKind.DRUG_START: "drug",
}
_STEROID = re.compile(rf"\b({'|'.join(STEROIDS)}|dexa?)\b", re.IGNORECASE)
_MG = re.compile(
    r"(?<!\d)(\d{1,5}(?:\.\d{1,3})?)\s*mg\b(\s*(?:/\s*d(?:ay)?\b|a day|per day|daily|od\b|qd\b))?", re.IGNORECASE
)
#: An operation that an older row has among the treatments; "after resection" is none.
_OPERATION = re.compile(r"\b(?:surgery|operation|resection|excision|amputation|biopsy|craniotomy|\w{4,}ectomy)\b", re.I)
_BESIDE = re.compile(r"\b(?:after|before|following|prior|post|pre|adjuvant|neo[\s-]?adjuvant)\b", re.IGNORECASE)
_ECOG = re.compile(r"\b(?:ECOG|PS|WHO)\s*(?:PS)?\s*[:=]?\s*([0-4])\b", re.IGNORECASE)
_KPS = re.compile(r"\b(?:KPS|Karnofsky)\s*[:=]?\s*(100|[1-9]0)\b", re.IGNORECASE)


@dataclass(frozen=True)
class ReadEvent:
    """An event as rules read it.

    Args:
        event: as it is on record.
        kind: None where nothing tells what it is.
        detail: what was recognised, with the keys of `core.review.events.FIELDS`; a required key may be missing, which
            is then unknown.
        not_recognised: words of it that no rule reads, "" where all are read.
        radiation: of radiotherapy in free text, how it was read.
        entered: it was entered through the checks and says all this itself.
    """

    event: Event
    kind: EventKind | None
    detail: JsonDict = field(default_factory=dict)
    not_recognised: str = ""
    radiation: RadiationWords | None = None
    entered: bool = False


def read_events(events: Iterable[Event]) -> list[ReadEvent]:
    """`read_event` of each, in their order."""
    return [read_event(event) for event in events]


def read_event(event: Event) -> ReadEvent:
    """What an event says; of one that was entered through the checks, that itself."""
    if is_checked(event):
        kind = EventKind(event.kind)
        told = read_radiation(str(event.detail["what"])) if kind is EventKind.OTHER else None
        if told is not None and not told.denied:
            return ReadEvent(event, EventKind.RADIOTHERAPY, _radiation_detail(told), told.site.unread, told)
        return ReadEvent(event, kind, dict(event.detail), entered=True)
    text, word = detail_text(event.detail).strip(), event.kind.lower().replace("_", "-")
    kind_now = _KINDS.get(word)
    found = read_radiation(f"{event.kind} {text}", is_surgery=kind_now is EventKind.SURGERY)
    if found is not None and kind_now is not EventKind.DRUG_STOP:
        if not found.denied:
            return ReadEvent(event, EventKind.RADIOTHERAPY, _radiation_detail(found), _left(found, event.kind), found)
        if kind_now in (None, EventKind.DRUG_START):
            return ReadEvent(event, None, {}, text)
    if kind_now is None:
        return ReadEvent(event, None, {}, text)
    return _of_kind(event, kind_now, text)


def _of_kind(event: Event, kind: EventKind, text: str) -> ReadEvent:
    if kind is EventKind.STEROID_DOSE:
        return _steroids(event, text)
    if kind is EventKind.CLINICAL_STATUS:
        return _status(event, text)
    if kind is EventKind.DRUG_START and _OPERATION.search(text) and not _BESIDE.search(text):
        return ReadEvent(event, EventKind.SURGERY, {"procedure": text})
    if kind is EventKind.DRUG_STOP:  # its text may name a drug or say why: which of them, it does not say
        return ReadEvent(event, kind, {}, text)
    return ReadEvent(event, kind, {_WHOLE_TEXT[kind]: text} if text else {})


def _radiation_detail(found: RadiationWords) -> JsonDict:
    site = found.site
    where = " ".join([*([site.side] if site.side else []), *sorted(site.names)])
    given = {"dose_gy": found.dose_gy, "fractions": found.fractions, "site": where or None}
    return {"technique": found.technique, **{key: value for key, value in given.items() if value is not None}}


def _left(found: RadiationWords, kind: str) -> str:
    """Words of an old row that were read as no place: those of its kind say nothing of one."""
    own = set(re.findall(r"[^\W_]+", kind.lower()))
    return " ".join(word for word in found.site.unread.split() if word.lower() not in own)


def _steroids(event: Event, text: str) -> ReadEvent:
    spaced = text.replace("_", " ")
    drug, dose = _STEROID.search(spaced), _MG.search(spaced)
    detail: JsonDict = {}
    if drug:
        detail["drug"] = "dexamethasone" if drug[1].lower().startswith("dex") else drug[1].lower()
    if dose and dose[2]:
        detail["mg_per_day"] = float(dose[1])
        rest = spaced.replace(dose[0], " ")
    else:  # 4 mg: whether that is a day, it does not say
        rest = spaced
    left = _STEROID.sub(" ", rest) if drug else rest
    return ReadEvent(event, EventKind.STEROID_DOSE, detail, " ".join(left.split()))


def _status(event: Event, text: str) -> ReadEvent:
    whole = f"{event.kind} {text}" if event.kind.lower() in ("ecog", "kps") else text
    ecog, kps = _ECOG.search(whole), _KPS.search(whole)
    detail: JsonDict = {}
    if ecog:
        detail["ecog"] = int(ecog[1])
    if kps:
        detail["kps"] = int(kps[1])
    left = _KPS.sub(" ", _ECOG.sub(" ", whole))
    return ReadEvent(event, EventKind.CLINICAL_STATUS, detail, " ".join(left.replace("%", " ").split()))
