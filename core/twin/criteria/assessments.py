"""What readers said of a visit that no mask says: non-target lesions, whether a lesion is new, uptake."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from core.remembered.untyped import JsonDict
from core.remembered.vocabulary import EventKind
from core.review.event_words import ReadEvent
from core.twin.criteria.adapter import VisitWord

_YES = {"yes": True, "no": False}


def visit_words(events: Iterable[ReadEvent], visits: Collection[str]) -> list[VisitWord]:
    """One word a visit, from events of the kind "assessment" on its day; of what was said twice the later counts.

    An assessment on a day without a visit says nothing of one: `unheard_assessments` gives its day.
    """
    said: dict[str, JsonDict] = {}
    for read in events:
        if read.kind is EventKind.ASSESSMENT and read.event.date in visits:
            said.setdefault(read.event.date, {}).update(read.detail)
    return [_word(day, detail) for day, detail in sorted(said.items())]


def unheard_assessments(events: Iterable[ReadEvent], visits: Collection[str]) -> list[str]:
    """Days of assessments on which there is no visit, by time."""
    return sorted({r.event.date for r in events if r.kind is EventKind.ASSESSMENT and r.event.date not in visits})


def _word(day: str, detail: JsonDict) -> VisitWord:
    new = dict.fromkeys(_names(detail.get("new")), True) | dict.fromkeys(_names(detail.get("not_new")), False)
    return VisitWord(
        day,
        detail.get("nontarget"),
        _YES.get(str(detail.get("nontarget_grew"))),
        new,
        detail.get("deauville"),
        detail.get("uptake_change"),
        _YES.get(str(detail.get("uptake_like_background"))),
        detail.get("liver_sul_mean"),
        detail.get("liver_sul_sd"),
        detail.get("tlg_ml"),
    )


def _names(text: object) -> list[str]:
    return [] if text is None else [name.strip() for name in str(text).split(",")]
