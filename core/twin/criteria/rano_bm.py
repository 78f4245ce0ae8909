"""RANO for brain metastases, by sums of diameters (RANO-BM) or of volumes (as in RANO 2.0), with steroids and status.

| | CR | PR | SD | PD |
|---|---|---|---|---|
| targets | none | sum 30 % below baseline | neither | sum 20 % above nadir, 5 mm in one lesion |
| corticosteroids | none | stable or lower | stable or lower | not asked |
| clinical status | stable or better | stable or better | stable or better | worse |
| asked for | all | all | all | any |

A raised steroid dose alone is no progression. What a measured response with a raised dose is instead, the table does
not say (its SD asks for a stable dose too): here it is SD, and the sentence says so (assumed). A dose or status that is
not known gives no CR and no PR: NE; SD stands on the measurements alone, and says so. CR on steroids that were not
raised is PR.

Of a lesion of which a network told an enhancing part, that part alone is measured, and the call says so. A visit
without it is then not known (NE): the whole and its enhancing part are not compared.

Source: Lin 2015, 10.1016/S1470-2045(15)70057-4; its tables were read in PMC6499019, table 4, and PMC7251532, table 2
(5 mm in one lesion, nadir with baseline, four weeks). Not re-read, so assumed: -65 % and +40 % of volume (RANO 2.0: Wen
2023, 10.1200/JCO.23.01059, which is for gliomas), regrowth after CR as PD, doses compared with baseline. Under
immunotherapy new lesions alone may be no progression: a person then calls them not unequivocal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.twin.criteria.course import Judged, course
from core.twin.criteria.limits import Limits
from core.twin.criteria.recist import RECIST
from core.twin.criteria.values import BEFORE_BASELINE, Call, Measurement, Protocol, Visit
from core.twin.criteria.volumetric import MACDONALD_SPHERE

#: Measurable from two slices and 5 mm across on (PMC6499019).
RANO_BM = replace(
    RECIST,
    criterion="rano-bm",
    title="RANO-BM",
    least_rise_of="one lesion",
    keeps_pr=False,
    confirmation_days=28,
    source="RANO-BM, 10.1016/S1470-2045(15)70057-4",
    assumed="",
    least_slices=2,
    least_perpendicular_mm=5.0,
)
RANO_VOLUMETRIC = replace(
    MACDONALD_SPHERE,
    criterion="rano-2.0-volumetric",
    title="RANO 2.0, volumes",
    confirmation_days=28,
    source="RANO 2.0, 10.1200/JCO.23.01059",
    assumed="the limits, confirmation after four weeks",
)
RANO_LIMITS: Mapping[str, Limits] = {limits.criterion: limits for limits in (RANO_BM, RANO_VOLUMETRIC)}


def rano(visits: Sequence[Visit], protocol: Protocol) -> tuple[Call, ...]:
    """RANO-BM, or its volumes, at every visit; () for none. Raises InputError as `course`."""
    seen, notes = by_enhancing_part(visits, protocol)
    calls = course(seen, protocol, RANO_LIMITS[protocol.criterion], steroids_and_status)
    return tuple(
        replace(call, notes=(*call.notes, *notes[call.timepoint])) if call.call != BEFORE_BASELINE else call
        for call in calls
    )


def steroids_and_status(judged: Judged, visit: Visit, baseline: Visit) -> Judged:
    """The call with what the table asks besides the measurements."""
    call, why = judged.call, judged.why
    if call == "PD":
        return judged
    if visit.clinical == "worse":
        return Judged("PD", judged.by_measure, f"the clinical status is worse; {why}")
    if call in ("SD", "non-CR/non-PD"):
        raised = _raised(visit, baseline)
        told = f"{why}; {raised}, which alone is no progression" if raised else why
        return Judged(call, judged.by_measure, told + _not_known(visit, baseline))
    if call not in ("CR", "PR"):
        return judged
    return _response(judged, visit, baseline)


def _response(judged: Judged, visit: Visit, baseline: Visit) -> Judged:
    dose, before = visit.dexamethasone_mg, baseline.dexamethasone_mg
    call, why, by_measure = judged.call, judged.why, judged.by_measure
    raised = _raised(visit, baseline)
    if raised:
        told = f"{call} by measure, but {raised}, so no response; {why}{_not_known(visit, baseline)}"
        return Judged("SD" if by_measure else "non-CR/non-PD", by_measure, told)
    unknown = _not_known(visit, baseline)
    if dose == 0 and before is None:
        unknown = _not_known(visit, visit)  # no dose is never higher than another
    if unknown:
        return Judged("NE", by_measure, f"{call} by measure, not determinable: {why}{unknown}")
    if call == "CR" and dose:
        told = f"{why}, but no complete response on dexamethasone ({dose:g} mg)"
        return Judged("PR" if by_measure else "non-CR/non-PD", by_measure, told)
    return Judged(call, by_measure, f"{why}; dexamethasone {dose:g} mg, clinical status {visit.clinical}")


def _raised(visit: Visit, baseline: Visit) -> str:
    """That the steroid dose is above that at baseline, in words; "" where it is not, or is not known."""
    dose, before = visit.dexamethasone_mg, baseline.dexamethasone_mg
    if dose is None or before is None or dose <= before:
        return ""
    return f"dexamethasone was raised from {before:g} to {dose:g} mg"


def _not_known(visit: Visit, baseline: Visit) -> str:
    """What is not known, as the end of a sentence; "" where all is."""
    missing = [] if visit.clinical != "unknown" else ["clinical status"]
    if visit.dexamethasone_mg is None:
        missing.append("steroid dose")
    elif baseline.dexamethasone_mg is None:
        missing.append("steroid dose at baseline")
    return f"; not known: {', '.join(missing)}" if missing else ""


def by_enhancing_part(visits: Sequence[Visit], protocol: Protocol) -> tuple[list[Visit], dict[str, list[str]]]:
    """The visits with lesions measured by their enhancing part where one is told at the baseline or later; and by
    timepoint what is to be said of that."""
    parted = {
        one.lesion_id
        for visit in visits
        if visit.timepoint >= protocol.baseline
        for one in visit.measurements
        if one.enhancing is not None
    }
    seen, notes = [], {}
    for visit in visits:
        measured = [one for one in visit.measurements if one.lesion_id in parted and one.state == "measured"]
        notes[visit.timepoint] = [words for one in measured if (words := _of_part(one))]
        parts = {one.lesion_id: _as_part(one) for one in measured}
        seen.append(replace(visit, measurements=tuple(parts.get(one.lesion_id, one) for one in visit.measurements)))
    return seen, notes


def _as_part(one: Measurement) -> Measurement:
    part = one.enhancing
    if part is None:
        return replace(one, longest_mm=None, short_axis_mm=None, volume_mm3=None)
    return replace(one, longest_mm=part.longest_mm, short_axis_mm=part.short_axis_mm, volume_mm3=part.volume_mm3)


def _of_part(one: Measurement) -> str:
    part = one.enhancing
    if part is None:
        return f"The enhancing part of {one.lesion_id} is not known here, as it is at another visit: not measured."
    whole = one.volume_mm3 or 0.0
    rest = f" {part.not_told_mm3 / 1000:.2g} mL that a person drew are in no part." if part.not_told_mm3 else ""
    return f"{one.lesion_id} by its enhancing part, {part.volume_mm3 / 1000:.3g} of {whole / 1000:.3g} mL.{rest}"
