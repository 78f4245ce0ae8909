"""The volumes that a response is told against, as a chart of volumes can draw them: baseline, nadir, PR and PD."""

from __future__ import annotations

from dataclasses import dataclass

from core.twin.criteria.table import ABOUT
from core.twin.criteria.values import BEFORE_BASELINE
from core.twin.patient_responses import VOLUMES, PatientResponses


@dataclass(frozen=True)
class VolumeLines:
    """What the sum of the targets' volumes is compared with.

    Args:
        days: of the baseline, counted as the timeline's points are; nadir_days: of the least sum since then.
        pr_percent: from baseline; pd_percent: from nadir.
        words: whose limits they are, for people.
    """

    days: float
    baseline_mm3: float
    nadir_days: float
    nadir_mm3: float
    pr_percent: float
    pd_percent: float
    words: str


def volume_lines(found: PatientResponses | None, shown_mm3: float | None) -> VolumeLines | None:
    """The lines of the patient's volume criterion, or of RECIST's limits as sphere volumes where theirs is none.

    Args:
        shown_mm3: what the chart shows at the baseline.

    Returns:
        None without a baseline sum, and where the chart shows other lesions than the targets: then no height in it is
        a limit.
    """
    if found is None:
        return None
    own = found.in_force.protocol.criterion
    name = own if ABOUT[own].unit == "mm3" else VOLUMES
    calls = [c for c in (found.calls if name == own else found.others[name]) if c.call != BEFORE_BASELINE]
    sums = []
    for call in calls:
        if call.progressed_on is not None:
            break
        if call.value is not None:
            sums.append((call.value, call.days))
    start, about = calls[0], ABOUT[name]
    if not start.value or about.pr_percent is None or about.pd_percent is None:
        return None
    if shown_mm3 is None or abs(shown_mm3 - start.value) > 1e-3 * start.value:
        return None
    nadir, days = min(sums)
    words = about.title if name == own else "RECIST 1.1 on spheres (arithmetic)"
    return VolumeLines(start.days, start.value, days, nadir, about.pr_percent, about.pd_percent, words)
