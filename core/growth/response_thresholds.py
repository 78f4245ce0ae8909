"""RECIST 1.1's thresholds as changes of a sphere's volume: the one place of their numbers.

A sphere whose diameter changes by -30 % / +20 % changes in volume by 0.7³ - 1 / 1.2³ - 1: arithmetic, which no source
sets as limits for volumes. The criteria (`core.twin.criteria.volumetric`) and the probabilities of a response
(`core.growth.response_probability`) take them from here.
"""

from __future__ import annotations

#: Partial response: change from baseline, percent, at or below which it is one.
RECIST_SPHERE_PR_PERCENT = -65.7
#: Progression: change from nadir, percent, at or above which it is one.
RECIST_SPHERE_PD_PERCENT = 72.8


def volume_factor(percent: float) -> float:
    """The factor of a change in percent: 1.728 for +72.8; rounded, so that it is the decimal number itself."""
    return round(1.0 + percent / 100.0, 6)
