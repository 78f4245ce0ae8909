"""Rules before statistics: what no number of reference masks can make usual."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from core.gates.mask.components import BOUNDS, HISTORY, POSITION, part_of
from core.remembered.rows import LesionVector

#: Shares of the scan and of the body that no tumour takes. Of 24 real sarcomas, each in a scan cut 5 cm around it, the
#: largest takes what `python -m tests.bench maskgate` prints.
MOST_OF_SCAN, MOST_OF_BODY = 0.4, 0.5
#: Share of its voxels beyond the body, and where a scan has no data.
MOST_OUTSIDE, MOST_WITHOUT_DATA = 0.35, 0.25
#: Share of its slices of which it takes the whole body.
MOST_FULL_SLICES = 0.5
#: Further from its last place than registrations err, in units of 10 mm.
GAP = 1.0


class Doubt(NamedTuple):
    """A doubt in a sentence without its kind, and the kind, one word."""

    kind: str
    words: str


def broken_rules(
    vectors: Sequence[LesionVector], lost: Iterable[tuple[str, str]] = (), judged: Iterable[str] = ()
) -> list[Doubt]:
    """What is wrong with a mask whatever is usual; [] where nothing is.

    Args:
        vectors: of its lesions. lost: (lesion, when it was there) of those that the last accepted mask has and this one
            has not; an empty mask has lost all.
        judged: components that statistics judge, of which no rule asks.
    """
    found = [Doubt("empty" if not vectors else HISTORY, _gone(lesion, when)) for lesion, when in lost]
    bounds = [part_of(row, BOUNDS) for row in vectors]
    if bounds:
        found += _too_much(bounds)
    for row, own in zip(vectors, bounds, strict=True):
        found += _misplaced(row.lesion_id, own)
        place, history = part_of(row, POSITION), part_of(row, HISTORY)
        if place.get("gap", 0.0) > GAP:
            words = f"{row.lesion_id} lies {10 * place['gap']:.0f} mm or more from its last place"
            found.append(Doubt(POSITION, words))
        if history.get("jump", 0.0) > 1 and HISTORY not in judged:
            words = (
                f"the volume of {row.lesion_id} jumped {history['jump']:.1f} times as far since the last accepted mask "
                "as 99 % of treated lesions do in that time"
            )
            found.append(Doubt(HISTORY, words))
    return found


def _gone(lesion: str, when: str) -> str:
    return f"{lesion} was there on {when} and is not in this mask"


def _too_much(bounds: Sequence[Mapping[str, float]]) -> list[Doubt]:
    total = {name: sum(own.get(name, 0.0) for own in bounds) for name in ("of_scan", "of_body")}
    if total["of_body"] > MOST_OF_BODY:
        return [Doubt(POSITION, f"it takes {total['of_body']:.0%} of the body that the scan shows")]
    if total["of_scan"] > MOST_OF_SCAN:
        return [Doubt(POSITION, f"it takes {total['of_scan']:.0%} of the scan")]
    return []


def _misplaced(lesion: str, own: Mapping[str, float]) -> list[Doubt]:
    found = []
    if own.get("full_slices", 0.0) > MOST_FULL_SLICES:
        found.append(Doubt(POSITION, f"{lesion} takes the whole body in {own['full_slices']:.0%} of its slices"))
    if own.get("not_body", 0.0) > MOST_OUTSIDE:
        found.append(Doubt(POSITION, f"{own['not_body']:.0%} of {lesion} lies outside the body"))
    if own.get("no_data", 0.0) > MOST_WITHOUT_DATA:
        words = f"{own['no_data']:.0%} of {lesion} lies where one of the scans has no data"
        found.append(Doubt(POSITION, words))
    return found
