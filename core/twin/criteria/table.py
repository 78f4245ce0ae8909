"""All criteria by name, and a patient's calls under each: never pooled, disagreements shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from core.errors import InputError
from core.twin.criteria import irecist as irecist_room
from core.twin.criteria import lugano as lugano_room
from core.twin.criteria import percist as percist_room
from core.twin.criteria.irecist import irecist
from core.twin.criteria.limits import Limits
from core.twin.criteria.lugano import lugano
from core.twin.criteria.percist import percist
from core.twin.criteria.rano_bm import RANO_LIMITS, rano
from core.twin.criteria.recist import RECIST, recist
from core.twin.criteria.values import Call, Protocol, Unit, Visit
from core.twin.criteria.volumetric import VOLUME_LIMITS, volumetric

Criterion = Callable[[Sequence[Visit], Protocol], tuple[Call, ...]]

CRITERIA: Mapping[str, Criterion] = {
    RECIST.criterion: recist,
    irecist_room.LIMITS.criterion: irecist,
    **dict.fromkeys(RANO_LIMITS, rano),
    percist_room.CRITERION: percist,
    lugano_room.CRITERION: lugano,
    **dict.fromkeys(VOLUME_LIMITS, volumetric),
}


#: Of the criteria that judge a sum of the targets.
LIMITS: Mapping[str, Limits] = {
    limits.criterion: limits for limits in (RECIST, irecist_room.LIMITS, *RANO_LIMITS.values(), *VOLUME_LIMITS.values())
}


@dataclass(frozen=True)
class About:
    """What people are told of a criterion.

    Args:
        assumed: what was not read again in the source; "" where all was.
        unit: of what is measured, "" for a criterion that measures nothing.
        pr_percent, pd_percent: the change from baseline that is PR, and that from nadir (PERCIST: from baseline) that
            is PD; None where no percentage decides.
    """

    title: str
    source: str
    assumed: str
    unit: Unit = ""
    pr_percent: float | None = None
    pd_percent: float | None = None

    @property
    def measure(self) -> str:
        """What is measured, in words: "sum of diameters"; "" for a criterion that measures nothing."""
        return {"mm": "sum of diameters", "mm3": "sum of volumes", "SUL": "SULpeak", "": ""}[self.unit]


def _about(limits: Limits) -> About:
    return About(limits.title, limits.source, limits.assumed, limits.unit, limits.pr_percent, limits.pd_percent)


ABOUT: Mapping[str, About] = {
    **{name: _about(limits) for name, limits in LIMITS.items()},
    percist_room.CRITERION: About(
        percist_room.TITLE,
        percist_room.SOURCE,
        percist_room.ASSUMED,
        "SUL",
        -percist_room.CHANGE_PERCENT,
        percist_room.CHANGE_PERCENT,
    ),
    lugano_room.CRITERION: About(lugano_room.TITLE, lugano_room.SOURCE, lugano_room.ASSUMED),
}
#: What the words of all criteria have in common, to see where they disagree.
COMMON_WORD: Mapping[str, str] = {
    "iCR": "CR", "CMR": "CR",
    "iPR": "PR", "PMR": "PR",
    "iSD": "SD", "SMD": "SD", "NMR": "SD",
    "iUPD": "PD", "iCPD": "PD", "PMD": "PD",
}  # fmt: skip


def calls_of(visits: Sequence[Visit], protocol: Protocol) -> tuple[Call, ...]:
    """One call a visit by the protocol's criterion; () for no visits.

    Raises:
        InputError: a criterion that is none, or as the criterion's.
    """
    criterion = CRITERIA.get(protocol.criterion)
    if criterion is None:
        raise InputError(f"Expected a criterion of {', '.join(CRITERIA)}, got {protocol.criterion!r}.")
    return criterion(visits, protocol)


def calls_by_criterion(
    visits: Sequence[Visit], protocol: Protocol, names: Sequence[str] = tuple(CRITERIA)
) -> dict[str, tuple[Call, ...]]:
    """The same patient under each of these criteria.

    The noise is that of the protocol's own criterion; under others `flips_within_noise` is None.
    """
    own = protocol.criterion
    return {
        name: calls_of(visits, replace(protocol, criterion=name, log_sd=protocol.log_sd if name == own else None))
        for name in names
    }


def disagreeing_timepoints(calls: Mapping[str, Sequence[Call]]) -> tuple[str, ...]:
    """Timepoints at which the criteria that have an answer (not NE) give different ones, in order of time."""
    words: dict[str, set[str]] = {}
    for one in calls.values():
        for call in one:
            if call.call != "NE":
                words.setdefault(call.timepoint, set()).add(COMMON_WORD.get(call.call, call.call))
    return tuple(timepoint for timepoint, found in words.items() if len(found) > 1)
