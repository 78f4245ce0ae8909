"""How often a gate was right here, as far as people have said: of what it flagged, how much they upheld or overruled.

A flag of the mask gate is about one version, one of the scan gate about the scans of a timepoint. The newest decision
that answers it counts: a rejection upholds it, as does a corrected version that was accepted in its place; an
acceptance overrules it. That is people's judgement, not the truth. What a gate could not judge, or judged of other
files, is no flag: it is counted apart, once somebody has answered it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from core.remembered.judged_versions import DoubtedVersion
from core.remembered.judgements import DOUBTS, GateName, GateVerdict
from core.remembered.lists import HasViews
from core.remembered.sources import HasReadings
from core.remembered.untyped import JsonDict
from core.review.doubted_since import acceptances_in_force, doubt_kinds
from core.review.doubts import doubts_among, gate_verdicts
from core.types import Decision

Fate = Literal["upheld", "overruled", "open"]
#: The row of a gate's flags of all kinds together.
ALL_KINDS = "all"
GATES: tuple[GateName, ...] = ("scan", "mask")


class RecordStore(HasViews, HasReadings, Protocol):
    """Store parts that the record is made of."""


@dataclass(frozen=True)
class KindRecord:
    """What became of a gate's doubts of one kind.

    Args:
        kind: the gate's word for it; `ALL_KINDS`: of every kind, each flag once, without what could not be judged.
        flags: upheld + overruled + open.
        overruled_by: (name, how many), the most first.
    """

    gate: GateName
    kind: str
    flags: int
    upheld: int
    overruled: int
    open: int
    overruled_by: tuple[tuple[str, int], ...] = ()

    @property
    def words(self) -> str:
        """ "14 of 20 flags upheld": of those that were decided on."""
        decided = self.upheld + self.overruled
        waiting = f"; {self.open} open" if self.open else ""
        if not decided:
            return f"no flag decided on yet{waiting}"
        return f"{self.upheld} of {decided} flag{'' if decided == 1 else 's'} upheld{waiting}"

    def to_json(self) -> JsonDict:
        """As `gate record --json` prints it."""
        return {**asdict(self), "overruled_by": [{"person": name, "flags": n} for name, n in self.overruled_by]}


@dataclass(frozen=True)
class _Flag:
    gate: GateName
    kinds: frozenset[str]
    is_flag: bool
    fate: Fate
    by: str = ""


def record_for(store: RecordStore, person: str) -> tuple[KindRecord, ...]:
    """The gates' record as that person may see it: without what they read blind."""
    return gate_record(store.views.doubted(), store.readings.closed_to(person))


def gate_record(versions: Iterable[DoubtedVersion], closed: Collection[tuple[str, str]] = ()) -> tuple[KindRecord, ...]:
    """Both gates' record: for each the row of all flags, then one a kind by name.

    Args:
        versions: that were doubted; by patient, timepoint and version.
        closed: timepoints (patient id, date) that are left out.
    """
    seen = [one for one in versions if (one.patient_id, one.timepoint) not in closed]
    flags = [*_scan_flags(seen), *(flag for one in seen for flag in _mask_flags(one))]
    found = []
    for gate in GATES:
        own = [flag for flag in flags if flag.gate == gate]
        found.append(_counted(gate, ALL_KINDS, [flag for flag in own if flag.is_flag]))
        kinds = sorted({kind for flag in own for kind in flag.kinds})
        found += [_counted(gate, kind, [flag for flag in own if kind in flag.kinds]) for kind in kinds]
    return tuple(found)


def record_words(record: Iterable[KindRecord], gate: GateName) -> str:
    """Beside a gate's verdict: "here: 14 of 20 flags upheld"."""
    return next((f"here: {row.words}" for row in record if row.gate == gate and row.kind == ALL_KINDS), "")


def _counted(gate: GateName, kind: str, flags: Sequence[_Flag]) -> KindRecord:
    fates, by = Counter(flag.fate for flag in flags), Counter(flag.by for flag in flags if flag.fate == "overruled")
    people = tuple(sorted(by.items(), key=lambda one: (-one[1], one[0])))
    return KindRecord(gate, kind, len(flags), fates["upheld"], fates["overruled"], fates["open"], people)


def _mask_flags(version: DoubtedVersion) -> Iterator[_Flag]:
    answer, answered = _newest_answer(version.decisions, "mask")
    if answer is not None:
        yield _decided("mask", answer, answered)
    for doubt in _standing(version, "mask"):
        kinds = _kinds(doubt) - (_all_kinds(answered) if answer is not None else frozenset())
        if not kinds or not _is_flag(doubt.judgement.verdict, doubt.stale):
            continue
        if version.status in ("proposed", "accepted"):
            yield _Flag("mask", kinds, True, "open")
        elif version.status == "superseded" and version.corrected and answer is None:
            yield _Flag("mask", kinds, True, "upheld")


def _scan_flags(versions: Sequence[DoubtedVersion]) -> Iterator[_Flag]:
    places: dict[tuple[str, str], list[DoubtedVersion]] = {}
    for version in versions:
        places.setdefault((version.patient_id, version.timepoint), []).append(version)
    for own in places.values():
        answers = [_newest_answer(version.decisions, "scan") for version in own]
        made = [(answer, answered) for answer, answered in answers if answer is not None]
        newest = max(made, key=lambda one: one[0].created_at, default=None)
        if newest is not None:
            yield _decided("scan", *newest)
            continue
        waiting = [doubt for one in own if one.status in ("proposed", "accepted") for doubt in _standing(one, "scan")]
        flags = [doubt for doubt in waiting if _is_flag(doubt.judgement.verdict, doubt.stale)]
        if flags:
            yield _Flag("scan", _kinds(flags[-1]), True, "open")


def _newest_answer(decisions: Sequence[Decision], gate: str) -> tuple[Decision | None, list[JsonDict]]:
    """The decision on a version that stands and answers the gate, and the doubts of the gate that it answers."""
    standing = decisions[-1:] if decisions and decisions[-1].verdict == "reject" else acceptances_in_force(decisions)
    for decision in reversed(standing):
        answered = [dict(one) for one in decision.answered if one["gate"] == gate]
        if answered:
            return decision, answered
    return None, []


def _decided(gate: GateName, decision: Decision, answered: Sequence[JsonDict]) -> _Flag:
    is_flag = any(_is_flag(str(one["verdict"]), bool(one["stale"])) for one in answered)
    fate: Fate = "upheld" if decision.verdict == "reject" else "overruled"
    return _Flag(gate, _all_kinds(answered), is_flag, fate, decision.reviewer)


def _standing(version: DoubtedVersion, gate: GateName) -> list[GateVerdict]:
    """The gate's doubt on a version as things are now, if it said one."""
    said = gate_verdicts(version, version.scan_sha256s, version.scan_verdicts, version.mask_verdicts)
    return [doubt for doubt in doubts_among(said) if doubt.gate == gate and doubt.verdict_id is not None]


def _kinds(doubt: GateVerdict) -> frozenset[str]:
    return doubt_kinds(doubt.judgement.verdict, doubt.judgement.kinds, doubt.stale)


def _all_kinds(answered: Iterable[JsonDict]) -> frozenset[str]:
    kinds = (doubt_kinds(str(one["verdict"]), one["kinds"], bool(one["stale"])) for one in answered)
    return frozenset().union(*kinds)


def _is_flag(verdict: str, stale: bool) -> bool:
    return verdict == DOUBTS and not stale
