"""Lugano classification of lymphoma on PET: a person's Deauville score and word on the uptake decide.

| Deauville | uptake since baseline | call |
|---|---|---|
| any | new foci of lymphoma | PMD |
| 1, 2, 3 | any | CMR |
| 4, 5 | lower | PMR |
| 4, 5 | same | NMR (no metabolic response: SD) |
| 4, 5 | higher | PMD |
| 4, 5 | not said | NE |
| not entered | any | NE |

A score of 3 counts as complete in most patients; where a trial takes therapy away it may not (told). New uptake that is
unlikely to be lymphoma (score X) is entered as a new lesion that a person called not unequivocal. Each visit is
compared with baseline; what comes after progression is PMD until a person sets another one, as under RECIST (assumed).
The arm by CT is not implemented: no source of it was read.

Source: Cheson 2014, 10.1200/JCO.2013.54.8800, not re-read; its table was read in PMC5298348, table 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.twin.criteria.course import carried
from core.twin.criteria.other_disease import new_lesions
from core.twin.criteria.values import (
    BASELINE,
    Call,
    Protocol,
    Visit,
    call_before_baseline,
    visits_from_baseline,
)

CRITERION = "lugano"
TITLE = "Lugano (Deauville)"
SOURCE = "Lugano, 10.1200/JCO.2013.54.8800"
ASSUMED = "that progression stays until another baseline is set"
_BY_UPTAKE: Mapping[str | None, tuple[str, str]] = {
    "lower": ("PMR", "uptake lower than at baseline"),
    "same": ("NMR", "uptake as at baseline"),
    "higher": ("PMD", "uptake higher than at baseline"),
    None: ("NE", "nobody said how the uptake changed since baseline"),
}


def lugano(visits: Sequence[Visit], protocol: Protocol) -> tuple[Call, ...]:
    """One call a visit; () for none. Raises InputError as `visits_from_baseline`."""
    if not visits:
        return ()
    before, rest = visits_from_baseline(visits, protocol)
    calls = [call_before_baseline(visit, protocol) for visit in before]
    score = rest[0].deauville
    words = f"Baseline: Deauville {score}." if score else "Baseline: no Deauville score entered."
    calls.append(Call(rest[0].timepoint, rest[0].days, protocol.criterion, BASELINE, words))
    return carried((*calls, *(_call(visit, protocol) for visit in rest[1:])), "PMD")


def _call(visit: Visit, protocol: Protocol) -> Call:
    new = new_lesions(visit, protocol, frozenset())
    call, why = call_of_score(visit)
    notes = list(new.notes)
    by_measure = call
    if new.counted:
        call, why = "PMD", f"new lesion {new.counted_words}; {why}"
    elif call == "CMR" and visit.deauville == 3:
        notes.append("Deauville 3 counts as complete; where therapy is to be reduced, a person decides.")
    return Call(
        visit.timepoint,
        visit.days,
        protocol.criterion,
        call,
        f"{call}: {why}.",
        by_measure,
        new_lesions=new.counted_ids,
        notes=tuple(notes),
    )


def call_of_score(visit: Visit) -> tuple[str, str]:
    """The call of a score and the uptake's change, without new lesions, and why."""
    if visit.deauville is None:
        return "NE", "no Deauville score entered"
    if visit.deauville <= 3:
        return "CMR", f"Deauville {visit.deauville}"
    call, why = _BY_UPTAKE[visit.uptake_change]
    return call, f"Deauville {visit.deauville}, {why}"
