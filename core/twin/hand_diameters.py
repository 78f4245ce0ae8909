"""Diameters of lesions that persons set by hand, beside those of the accepted masks.

The mask's stay what they are. Where a person set one, responses are told by it and say so; of several the newest
standing one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from core.remembered.hand_measurements import HandMeasurement, Sets
from core.twin.timeline_cells import Cell

_FIELDS: dict[Sets, str] = {"longest diameter": "hand_longest_diameter", "short axis": "hand_short_axis"}


def with_hand_diameters(cells: Iterable[Cell], kept: Sequence[HandMeasurement]) -> list[Cell]:
    """The cells with what was set by hand of them.

    Args:
        kept: of the patient, oldest first.
    """
    by_place: dict[tuple[str, str], dict[Sets, list[HandMeasurement]]] = {}
    for one in kept:
        if one.sets_diameter and one.lesion_id is not None and one.sets is not None:
            by_place.setdefault((one.lesion_id, one.timepoint), {}).setdefault(one.sets, []).append(one)
    return [_with(cell, by_place.get((cell.lesion_id, cell.timepoint), {})) for cell in cells]


def _with(cell: Cell, said: dict[Sets, list[HandMeasurement]]) -> Cell:
    if not said:
        return cell
    values: dict[str, object] = {}
    others: list[str] = []
    for sets, found in said.items():
        newest = found[-1]
        values |= {f"{_FIELDS[sets]}_mm": newest.value, f"{_FIELDS[sets]}_by": newest.person}
        others += [f"{sets} {one.words} by {one.person}" for one in reversed(found[:-1])]
    return replace(cell, hand_others=tuple(others), **values)  # type: ignore[arg-type]


def hand_notes(cells: Iterable[Cell], nodes: frozenset[str]) -> list[str]:
    """What was set by hand of a visit's lesions, in sentences for the call of a criterion of diameters.

    Args:
        nodes: lesions that are lymph nodes, by their short axis.
    """
    found = []
    for cell in cells:
        node = cell.lesion_id in nodes
        name: Sets = "short axis" if node else "longest diameter"
        mm, person = (
            (cell.hand_short_axis_mm, cell.hand_short_axis_by)
            if node
            else (cell.hand_longest_diameter_mm, cell.hand_longest_diameter_by)
        )
        if mm is None:
            continue
        mask_mm = cell.short_axis_mm if node else cell.longest_diameter_mm
        if cell.state == "measured":
            beside = "the mask's is not known" if mask_mm is None else f"the mask says {mask_mm:.1f} mm"
        elif cell.state == "too small to measure":
            beside = "the mask is too small to measure"
        else:
            beside = f"it is not used, as {cell.lesion_id} is {cell.state} there"
        others = [other for other in cell.hand_others if other.startswith(name)]
        more = f" Older ones by hand, which do not count: {'; '.join(others)}." if others else ""
        found.append(
            f"{cell.lesion_id} on {cell.timepoint}: {name} {mm:.1f} mm set by hand by {person}; {beside}.{more}"
        )
    return found
