"""Where the in-plane diameters of a mask's labels lie, for drawing them."""

from __future__ import annotations

from scipy.ndimage import find_objects

from core.lesions.diameters import diameters
from core.remembered.untyped import JsonDict
from core.types import LabelMap


def diameter_axes(labels: LabelMap) -> list[JsonDict]:
    """One a label, of its longest piece: label; longest_mm and perpendicular_mm, edge to edge; long_axis_mm and
    perpendicular_axis_mm, the two ends of each in RAS+ millimetres; pieces, how many count."""
    found: list[JsonDict] = []
    for label, box in enumerate(find_objects(labels.array), start=1):
        if box is None:
            continue
        corner = (int(box[0].start), int(box[1].start), int(box[2].start))
        of_label = diameters(labels.array[box] == label, labels.grid, corner)
        if of_label is None:
            continue
        piece = of_label.pieces[0]
        found.append(
            {
                "label": label,
                "longest_mm": piece.longest_mm,
                "long_axis_mm": [list(end) for end in piece.long_axis_mm],
                "perpendicular_mm": piece.perpendicular_mm,
                "perpendicular_axis_mm": [list(end) for end in piece.perpendicular_axis_mm],
                "pieces": len(of_label.pieces),
            }
        )
    return found
