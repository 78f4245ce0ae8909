"""Visits whose call becomes another one by what a person does: which of them need a click, and what the audit has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import StoreError
from core.remembered.untyped import JsonDict


@dataclass(frozen=True)
class Flip:
    """A visit whose call is another one after a change that a person made.

    Args:
        before, after: the calls, "" where there was or is none.
    """

    timepoint: str
    before: str
    after: str


#: How a person was told what their change flips, as the audit has it.
CONFIRMED, SHOWN, TOLD = "confirmed", "shown", "told afterwards"
NOT_SHOWN = "not shown, as the person reads this patient blind"


class FlipsMoved(StoreError):
    """An edit flips other calls than its person confirmed."""


def needs_confirming(flips: Sequence[Flip]) -> tuple[Flip, ...]:
    """The flips that nobody makes without saying that they mean it: a call that was there becomes another one, or is
    lost. The first call of a visit that had none is news, and is told without asking."""
    return tuple(flip for flip in flips if flip.before)


def flips_said(flips: Sequence[Flip], how: str) -> JsonDict:
    """What the audit entry of an edit has of its flips: each, and how the person was told; nothing for none."""
    if not flips and not how:
        return {}
    return {"flips": [vars(flip) for flip in flips], "flips_told": how}


def flips_of_patients_said(flips: Mapping[str, Sequence[Flip]], how: str) -> JsonDict:
    """The same of a change that is about several patients, by patient."""
    if not flips and not how:
        return {}
    return {
        "flips_of_patients": {one: [vars(flip) for flip in found] for one, found in flips.items()},
        "flips_told": how,
    }


def flip_words(flips: Sequence[Flip]) -> str:
    """ "2025-06-23: SD becomes PD; 2025-08-04: none becomes SD"; "" for none. Not escaped."""
    return "; ".join(f"{flip.timepoint}: {flip.before or 'none'} becomes {flip.after or 'none'}" for flip in flips)
