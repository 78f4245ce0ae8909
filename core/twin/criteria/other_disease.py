"""What stands beside the targets: non-target lesions and new lesions.

Source: RECIST 1.1, 10.1016/j.ejca.2008.10.026, sections 4.3.3 to 4.3.5: progression of non-target disease and a new
lesion must be unequivocal, which is a person's word; a new lesion that is equivocal, for example as it is small, is
seen again, and if it is confirmed progression dates from where it was first seen.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.twin.criteria.values import (
    NORMAL_NODE_MM,
    FollowedLesion,
    Measurement,
    NewLesion,
    NontargetStatus,
    Protocol,
    Visit,
)

#: RECIST 1.1 section 4.3.4: an additional 73 % in volume is what 20 % in diameter is; here a reason to look, no more.
LOOK_AT_PERCENT, LOOK_AT_MM = 20.0, 5.0


@dataclass(frozen=True)
class NewLesions:
    """The new lesions of a visit: those that count, and those in doubt, with why."""

    counted: tuple[NewLesion, ...]
    doubtful: tuple[NewLesion, ...]

    @property
    def counted_ids(self) -> tuple[str, ...]:
        """Lesion ids of those that count."""
        return tuple(lesion.lesion_id for lesion in self.counted)

    @property
    def counted_words(self) -> str:
        """Those that count, with size and why."""
        return ", ".join(f"{n.lesion_id} {_size(n)}" + _word(n, "unequivocal") for n in self.counted)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on each in doubt."""
        return tuple(
            f"{n.lesion_id} {_size(n)} may be new: to be confirmed by a person or later; no progression yet."
            for n in self.doubtful
        )


def _size(lesion: NewLesion) -> str:
    what = "short axis " if lesion.is_node else ""
    return "of unknown size" if lesion.size_mm is None else f"({what}{lesion.size_mm:.3g} mm)"


def _word(lesion: NewLesion, word: str) -> str:
    return f", {word} by a person's word" if lesion.unequivocal else ""


def new_lesions(visit: Visit, protocol: Protocol, not_targets: frozenset[str]) -> NewLesions:
    """The new lesions of a visit, sorted by whether they count.

    A piece of a lesion that is split is not new (RECIST 1.1, 4.3.2). A target that was absent at baseline is new where
    it is measured. One of a person's word counts by that; else one that is as large as the protocol asks.
    """
    pieces = {part for m in visit.measurements if m.state == "split into" for part in m.into}
    named = {n.lesion_id for n in visit.new_lesions}
    back = [_as_new(m, protocol) for m in visit.measurements if m.lesion_id in not_targets - named and _is_there(m)]
    counted: list[NewLesion] = []
    doubtful: list[NewLesion] = []
    for lesion in sorted([*visit.new_lesions, *back], key=lambda n: n.lesion_id):
        if lesion.lesion_id not in pieces:
            (counted if _counts(lesion, protocol) else doubtful).append(lesion)
    return NewLesions(tuple(counted), tuple(doubtful))


def _is_there(cell: Measurement) -> bool:
    return cell.state in ("measured", "too small to measure")


def _as_new(cell: Measurement, protocol: Protocol) -> NewLesion:
    is_node = any(t.is_node for t in protocol.targets if t.lesion_id == cell.lesion_id)
    return NewLesion(cell.lesion_id, cell.short_axis_mm if is_node else cell.longest_mm, is_node)


def _counts(lesion: NewLesion, protocol: Protocol) -> bool:
    if lesion.unequivocal is not None:
        return lesion.unequivocal
    least = protocol.least_new_node_mm if lesion.is_node else protocol.least_new_mm
    return lesion.size_mm is not None and lesion.size_mm >= least - 1e-9


def nontarget_status(visit: Visit, protocol: Protocol) -> NontargetStatus | None:
    """The status of the non-target lesions: a person's word, else what their states say; None where there are none.

    States alone say CR (all absent, nodes below 10 mm short axis), non-CR/non-PD (one is there) or NE (one is not
    known, and none is known to be there). Progression is a person's word.
    """
    if visit.nontarget is not None or not protocol.nontargets:
        return visit.nontarget
    found = {m.lesion_id: m for m in visit.measurements}
    there = [_nontarget_is_there(lesion, found.get(lesion.lesion_id)) for lesion in protocol.nontargets]
    if any(there):
        return "non-CR/non-PD"
    return "NE" if None in there else "CR"


def _nontarget_is_there(lesion: FollowedLesion, cell: Measurement | None) -> bool | None:
    """None where it is not known."""
    if cell is None or cell.state in ("not in view", "rejected", "not assessed"):
        return None
    if cell.state == "measured" and lesion.is_node:
        return None if cell.short_axis_mm is None else cell.short_axis_mm >= NORMAL_NODE_MM
    return cell.state != "absent"


def nontarget_notes(visit: Visit, baseline: Visit, protocol: Protocol) -> tuple[str, ...]:
    """A sentence where the measured non-target lesions have grown and nobody has said whether that is progression."""
    if visit.nontarget is not None:
        return ()
    before, now = _nontarget_sum_mm(baseline, protocol), _nontarget_sum_mm(visit, protocol)
    if before is None or now is None or now - before < LOOK_AT_MM or now < before * (1 + LOOK_AT_PERCENT / 100):
        return ()
    return (
        f"The non-target lesions together went from {before:.3g} to {now:.3g} mm: a person must say whether that is "
        "unequivocal progression.",
    )


def _nontarget_sum_mm(visit: Visit, protocol: Protocol) -> float | None:
    found = {m.lesion_id: m for m in visit.measurements}
    cells = [(lesion, found.get(lesion.lesion_id)) for lesion in protocol.nontargets]
    sizes = [
        (cell.short_axis_mm if lesion.is_node else cell.longest_mm)
        for lesion, cell in cells
        if cell is not None and cell.state == "measured"
    ]
    return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None
