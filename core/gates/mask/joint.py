"""One p-value of several components, calibrated on patients.

A patient is one score: the largest over its lesions and visits. A mask is as odd as its oddest lesion in its oddest
component, and so is each reference patient, so that neither many lesions nor many components make false alarms. What
is assumed: a new patient's mask is exchangeable with a reference patient's oddest one, or less odd.

Source: Vovk 2005, 10.1007/b106715; the maximum over groups: Dunn 2023, 10.1080/01621459.2022.2060112.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.gates.mask.conformal import conformal_p, scores_needed

#: The names of a component's numbers, by which it is kept.
Names = tuple[str, ...]
#: The spread of a component's scores over patients is told by its upper half: from the median to this quantile.
_UPPER, _UPPER_SD = 0.9, 1.2816
#: Of the median, below which a spread is not believed.
_LEAST_SPREAD = 0.1


@dataclass(frozen=True)
class Joint:
    """What several components say together.

    Args:
        p_value: in [1 / (patients + 1), 1]. excess: of each component, in spreads above the reference's median patient.
        odd: the components that go beyond all that alpha allows, the oddest first; of what is not flagged ().
        patients: with all these components. judged, left_out: components that took part, and that too few have.
    """

    p_value: float
    excess: Mapping[Names, float]
    odd: tuple[Names, ...]
    patients: int
    judged: tuple[Names, ...]
    left_out: tuple[Names, ...]


def joint(own: Mapping[Names, float], reference: Mapping[Names, NDArray[np.float64]], alpha: float) -> Joint | None:
    """The mask's p-value; None with too few patients for any verdict.

    Args:
        own: component -> the mask's score, its largest over lesions.
        reference: component -> (patients,) each other patient's largest score, NaN where it has none; the same patients
            in the same order for every component.
    """
    needed = scores_needed(alpha)
    chosen = [name for name in own if name in reference]
    rows = np.empty((0, 0))
    while chosen:
        table = np.stack([reference[name] for name in chosen], axis=1)
        rows = table[~np.isnan(table).any(axis=1)]
        if len(rows) >= needed:
            break
        counts = [int((~np.isnan(reference[name])).sum()) for name in chosen]
        fewest = min(counts)
        chosen.pop(max(at for at, count in enumerate(counts) if count == fewest))
    if not chosen:
        return None
    values = np.vstack([rows, [own[name] for name in chosen]])
    centre = np.median(values, axis=0)  # the mask itself among them: what is the same for all makes no false alarms
    spread = (np.quantile(values, _UPPER, axis=0) - centre) / _UPPER_SD
    excess = (values - centre) / np.maximum(spread, np.maximum(_LEAST_SPREAD * np.abs(centre), 1e-9))
    worst = excess[:-1].max(axis=1)
    p_value = conformal_p(worst, float(excess[-1].max()))
    limit = np.sort(worst)[::-1][int(round(alpha * (len(worst) + 1), 9)) - 1]
    mine = dict(zip(chosen, excess[-1].tolist(), strict=True))
    order = sorted(mine, key=lambda name: -mine[name])
    odd = tuple(name for name in order if mine[name] > limit) if p_value <= alpha else ()
    return Joint(p_value, mine, odd, len(rows), tuple(chosen), tuple(name for name in own if name not in chosen))
