"""The rows of the cohort's figures: what a file of them holds. Every row names its criterion, its masks and whether a
scan is simulated."""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.remembered.untyped import TableRow
from core.twin.criteria.table import ABOUT
from core.twin.outcomes import PatientResponse


def by_criterion(responses: Sequence[PatientResponse]) -> dict[str, list[PatientResponse]]:
    """The responses by what they are told by, the criterion of most patients first; in their order."""
    found: dict[str, list[PatientResponse]] = {}
    for one in responses:
        found.setdefault(one.criterion, []).append(one)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def worst_first(responses: Sequence[PatientResponse]) -> list[PatientResponse]:
    """By best change, the greatest growth first, then by patient; those without a known change last."""
    return sorted(
        responses, key=lambda o: (math.inf if o.best is None else -(o.best.change_percent or 0.0), o.patient_id)
    )


def waterfall_rows(responses: Sequence[PatientResponse]) -> list[TableRow]:
    """Rows of the waterfall: a patient each, by criterion, the worst best change first, unknown ones last."""
    return [
        {
            **_whose(o),
            "baseline": o.visits[0].timepoint,
            "baseline_why": o.baseline_why,
            "best_response": o.best_response,
            "best_change_percent": None if o.best is None else round(o.best.change_percent or 0.0, 2),
            "verdict_of_volumes": _verdict(o),
            "verdict_rule": "" if o.verdict is None else o.verdict.rule,
            "timepoint": "" if o.best is None else o.best.timepoint,
            "days": None if o.best is None else o.best.days,
            "response_there": "" if o.best is None else o.best.call,
            "measure": ABOUT[o.criterion].measure,
            "unit": ABOUT[o.criterion].unit,
            "value_at_baseline": _rounded(o.visits[0].value),
            "value": None if o.best is None else _rounded(o.best.value),
            "progressed_on": o.progressed_on or "",
            "progression_days": None if o.progression is None else o.progression.days,
            "progression_from_nadir_percent": _from_nadir(o),
            "without_progression_until_days": o.days_without_progression,
            "death_days": o.ended.days if o.ended is not None and o.ended.kind == "death" else None,
            "doubt": o.doubt,
            "doubts_at_baseline": " ".join(o.visits[0].doubts),
            "doubts_there": "" if o.best is None else " ".join(o.best.doubts),
            "note": o.why_no_best_change,
            "baseline_mask_id": o.visits[0].mask_id,
            "mask_id": "" if o.best is None else o.best.mask_id,
            "simulated": o.simulated,
        }
        for group in by_criterion(responses).values()
        for o in worst_first(group)
    ]


def spider_rows(responses: Sequence[PatientResponse]) -> list[TableRow]:
    """Rows of the spider: an accepted timepoint each, from the baseline on."""
    return [
        {
            **_whose(o),
            "timepoint": v.timepoint,
            "days_since_baseline": v.days,
            "measure": ABOUT[o.criterion].measure,
            "unit": ABOUT[o.criterion].unit,
            "value": _rounded(v.value),
            "change_percent": None if v.change_percent is None else round(v.change_percent, 2),
            "from_nadir_percent": None if v.nadir_percent is None else round(v.nadir_percent, 2),
            "response": v.call,
            "could_flip_within_noise": {True: "yes", False: "no", None: ""}[v.could_flip],
            "new_lesions": ", ".join(v.appeared),
            "why": " ".join([v.sentence, *v.notes]),
            "doubts": " ".join(v.doubts),
            "mask_version": v.version,
            "mask_id": v.mask_id,
            "simulated": o.simulated,
        }
        for o in responses
        for v in o.visits
    ]


def swimmer_rows(responses: Sequence[PatientResponse]) -> list[TableRow]:
    """Rows of the swimmer: a period or event each, in days since baseline; `to_days` None: it goes on."""
    rows: list[TableRow] = []
    for o in responses:
        periods: list[tuple[str, float, float | None, str]] = [("observed", 0.0, o.days_observed, "")]
        periods += [("doubted", v.days, v.days, " ".join(v.doubts)) for v in o.doubted]
        periods += [("response", v.days, v.days, v.call) for v in o.visits]
        periods += [("new lesion", v.days, v.days, ", ".join(v.appeared)) for v in o.visits if v.appeared]
        periods += [("progression", v.days, v.days, v.timepoint) for v in [o.progression] if v is not None]
        periods += [("treatment", t.start_days, t.end_days, t.name) for t in o.treatments]
        periods += [(one.kind, one.days, one.days, one.text) for one in o.events]
        if o.ended is None:
            periods.append(("no end on record", o.days_observed, None, ""))
        else:
            periods.append((o.ended.kind, o.ended.days, o.ended.days, o.ended.text))
        rows += [
            {
                **_whose(o),
                "what": kind,
                "from_days": start,
                "to_days": stop,
                "detail": detail,
                "simulated": o.simulated,
            }
            for kind, start, stop, detail in periods
        ]
    return rows


def _whose(o: PatientResponse) -> TableRow:
    return {
        "patient": o.patient_id,
        "dataset": o.dataset,
        "criterion": o.criterion,
        "criterion_of_protocol": o.protocol_criterion,
    }


def _verdict(o: PatientResponse) -> str:
    if o.best is None:
        return ""
    return "unknown" if o.verdict is None else o.verdict.verdict


def _from_nadir(o: PatientResponse) -> float | None:
    percent = None if o.progression is None else o.progression.nadir_percent
    return None if percent is None else round(percent, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
