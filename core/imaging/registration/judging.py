"""Good, doubtful or failed: the figures of an alignment against limits, with the reasons in words.

Failed is kept for what is plainly wrong, since nothing may be proposed by it; what a tumour that grew can do to a right
alignment is doubtful at most. The limits were chosen on the first, third, fifth … of 24 sarcoma patients
(10.7937/K9/TCIA.2015.7GO2GSKS), cut out 5 cm around the tumour, of which four were looked at: 31 simulated second
scans, 26 with a tumour of 0.3 to 2.5 times the volume. Put 4, 6 or 10 mm off on purpose, none of them passed;
2.6 mm off, 4 of 31; at the true place 16 of 31, the others are doubted although they are right. And on both MS
patients. What comes of the limits on the other twelve `python -m tests.bench registration` prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.imaging.registration import figures
from core.imaging.registration.prepared import Prepared
from core.imaging.registration.search import mean_distance_mm, points_of
from core.imaging.registration.transform import Figure, State


@dataclass(frozen=True)
class Limit:
    """When a figure is doubted, and when the alignment has failed.

    Args:
        doubted: good is at least this (at most, where `most`).
        failed: below this (above, where `most`) the alignment has failed; None where it alone never proves that.
        most: whether small values are good.
        needed: whether an alignment without this figure is doubted.
        words: what is wrong, with {value} and {limit}.
    """

    doubted: float
    failed: float | None
    words: str
    most: bool = False
    needed: bool = True

    def passes(self, value: float, limit: float | None) -> bool:
        """Whether the value is on the good side of a limit."""
        return limit is None or (value <= limit if self.most else value >= limit)


LIMITS: Mapping[str, Limit] = {
    "information": Limit(
        0.3, 0.15, "the aligned scans share little information ({value:.2f} nats, expected {limit:g})"
    ),
    "overlap": Limit(0.4, 0.25, "only {value:.0%} of the smaller scan lies inside the other, expected {limit:.0%}"),
    "edges": Limit(0.86, 0.6, "edges do not run along each other ({value:.2f}, expected {limit:g}; chance is 0.33)"),
    "blocks_at_home": Limit(
        0.3, None, "only {value:.0%} of small pieces are found where they should be, expected {limit:.0%}", needed=False
    ),
    "of_one_mind": Limit(
        0.3, None, "only {value:.0%} of small pieces agree on where it is, expected {limit:.0%}", needed=False
    ),
    "second_opinion": Limit(
        2.0, None, "small pieces together put it {value:.1f} mm elsewhere, expected {limit:g} at most", True, False
    ),
    "drift": Limit(
        3.0, None, "small pieces are found {value:.0f} mm to one side, expected {limit:g} at most", True, False
    ),
    "outline": Limit(
        0.85, 0.6, "the outlines of the bodies differ (Dice {value:.2f}, expected {limit:g})", needed=False
    ),
    "outline_distance": Limit(
        10.0, None, "the surfaces of the bodies are {value:.0f} mm apart, expected {limit:g} at most", True, False
    ),
    "inverse": Limit(
        4.0, 15.0, "aligned the other way round it comes {value:.0f} mm off, expected {limit:g} at most", most=True
    ),
    "agreement": Limit(0.25, None, "only {value:.0%} of the starts came to this place, expected {limit:.0%}"),
    "rival": Limit(0.92, None, "another place fits nearly as well ({value:.0%} of the information)", most=True),
}
#: A small field has too few small pieces to look for; then edges must run along each other better than this.
EDGES_ALONE = 0.93
#: What the starts say counts less where a usual start began near the place: scanner or fields say the same.
OF_STARTS = ("agreement", "rival")
_TO_DO = "Compare the scans by eye, correct it, or refuse it."
_NOT_ALIGNED = "Check that they show the same region of the same patient."


def named_figures(
    fixed: Prepared,
    moving: Prepared,
    pair: figures.Aligned,
    information: float,
    inverse_mm: float | None,
    agreement: float,
    rival: float,
) -> dict[str, Figure]:
    """All figures that are judged, and some that are only told."""
    found = figures.blocks(pair)
    dice, distance_mm = figures.outline(pair)
    return {
        "information": Figure(information, "nats", "mutual information, which was optimised"),
        "overlap": Figure(figures.overlap(fixed, moving, pair), "share", "of the smaller field that lies in the other"),
        "edges": Figure(figures.edges(pair), "1", "how parallel the edges are, weighted; 1/3 by chance"),
        "blocks_at_home": Figure(found.at_home, "share", "of small pieces that are found in their place"),
        "blocks": Figure(float(found.count), "1", "small pieces that were looked for"),
        "block_distance": Figure(found.off_mm, "mm", "median distance of small pieces from their place"),
        "drift": Figure(found.drift_mm, "mm", "median displacement of small pieces"),
        "correlation": Figure(figures.correlation(pair), "1", "of grey values in the bodies"),
        "of_one_mind": Figure(found.of_one_mind, "share", "of small pieces that are found where one motion puts them"),
        "second_opinion": Figure(
            None if found.motion is None else mean_distance_mm(points_of(fixed), found.motion, np.eye(4)),
            "mm",
            "how far that motion would still move the body, mean",
        ),
        "outline": Figure(dice, "1", "Dice of the bodies in the common field"),
        "outline_distance": Figure(distance_mm, "mm", "mean distance of the bodies' surfaces"),
        "inverse": Figure(inverse_mm, "mm", "there and back again, mean over the body"),
        "agreement": Figure(agreement, "share", "of the starts that came to this place"),
        "rival": Figure(rival, "share", "information of the next best other place, of the best"),
    }


def judge(quality: Mapping[str, Figure], stopped_early: bool = False, usual: bool = False) -> tuple[State, str]:
    """The state, and why.

    Args:
        quality: figures by the names of `LIMITS`; one that is missing or None was not measured.
        stopped_early: whether the alignment was still moving when its steps were used up.
        usual: whether it lies near a usual start (scanner's coordinates, middles of fields or bodies).
    """
    failed, doubts = [], []
    for name, limit in LIMITS.items():
        value = value_of(quality, name)
        if usual and name in OF_STARTS:
            continue
        if value is None:
            if limit.needed:
                doubts.append(f"{name.replace('_', ' ')} could not be measured, the scans share too little to look at")
        elif not limit.passes(value, limit.failed):
            failed.append(limit.words.format(value=value, limit=limit.doubted))
        elif not limit.passes(value, limit.doubted):
            doubts.append(limit.words.format(value=value, limit=limit.doubted))
    edges = value_of(quality, "edges")
    if (
        value_of(quality, "blocks_at_home") is None
        and edges is not None
        and LIMITS["edges"].doubted <= edges < EDGES_ALONE
    ):
        doubts.append(
            f"it is too little to look for small pieces in, and edges alone ({edges:.2f}) do not prove enough"
        )
    if stopped_early:
        doubts.append("it was still moving when its steps were used up")
    if failed:
        return "failed", f"Not aligned: {'; '.join(failed)}. {_NOT_ALIGNED}"
    if doubts:
        return "doubtful", f"Doubtful: {'; '.join(doubts)}. {_TO_DO}"
    return "good", "converged"


def value_of(quality: Mapping[str, Figure], name: str) -> float | None:
    """The figure's value; None where there is none."""
    figure = quality.get(name)
    return None if figure is None else figure.value
