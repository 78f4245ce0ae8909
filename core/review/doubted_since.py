"""Doubts about an accepted version that came up after somebody accepted it, and that nobody has answered yet.

A gate changes, and scores again what was accepted before; a scan is added, and the scan gate has not seen it. Whoever
accepted the version answered the doubts that stood then, kind by kind; another kind is a new doubt, and waits until
somebody withdraws the version or affirms it by answering.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.remembered.judged_versions import JudgedSince
from core.remembered.judgements import UNJUDGED, GateVerdict
from core.remembered.untyped import JsonObject
from core.review.doubts import doubts_among, gate_verdicts
from core.types import Decision

STALE, NOT_JUDGED, UNNAMED = "stale", "not-judged", "doubtful"


def new_doubts(version: JudgedSince) -> tuple[GateVerdict, ...]:
    """The gates' doubts on an accepted version that are newer than its acceptance, and of a kind that no acceptance of
    it has answered.

    A gate that cannot judge it any more has found nothing against it: the curve says so, and nobody is asked again. A
    scan that came since, which the scan gate has not seen, is one.
    """
    standing = gate_verdicts(version, version.scan_sha256s, version.scan_verdicts, version.mask_verdicts)
    found = []
    for doubt in doubts_among(standing):
        outdated = doubt.gate == "scan" and doubt.stale and version.scan_added
        if not outdated and (doubt.verdict_id not in version.newer or doubt.judgement.verdict == UNJUDGED):
            continue
        answered = _answered_kinds(version.decisions, doubt.gate)
        kinds = doubt_kinds(doubt.judgement.verdict, doubt.judgement.kinds, doubt.stale)
        if kinds - answered - {NOT_JUDGED}:
            found.append(doubt)
    return tuple(found)


def doubt_kinds(verdict: str, kinds: Iterable[str], stale: bool) -> frozenset[str]:
    """The words by which a doubt is told from another: the gate's own, and what follows where it gives none."""
    named = set(kinds)
    if verdict == UNJUDGED:
        named |= {NOT_JUDGED}
    elif not named and not stale:
        named |= {UNNAMED}
    return frozenset(named | ({STALE} if stale else set()))


def acceptances_in_force(decisions: Sequence[Decision]) -> list[Decision]:
    """The decisions by which a version is accepted now: the first, and those that affirmed it; oldest first.

    Args:
        decisions: on the whole version, oldest first.
    """
    found: list[Decision] = []
    for decision in decisions:
        found = [*found, decision] if decision.verdict == "accept" else []
    return found


def _answered_kinds(decisions: Sequence[Decision], gate: str) -> frozenset[str]:
    answered: Iterable[JsonObject] = (one for made in acceptances_in_force(decisions) for one in made.answered)
    kinds = (
        doubt_kinds(str(one["verdict"]), one["kinds"], bool(one["stale"])) for one in answered if one["gate"] == gate
    )
    return frozenset().union(*kinds)
