"""What the cohort's figures say in words: by which criteria, of how many, and what a visit is called and why."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from core.twin.criteria.limits import pd_limit_words
from core.twin.criteria.table import ABOUT, LIMITS
from core.twin.outcome_rows import by_criterion
from core.twin.outcomes import PatientResponse, Visit
from pages.ui.shared.charts import RESPONSE_COLOURS
from pages.ui.shared.text import figure_text, millilitres

EMPTY = "No patient with an accepted timepoint."
NO_CHANGE = "No patient's change from baseline is known."
#: Behind the name of a patient who is told by another criterion than their protocol's.
MARK = " *"
#: Of the mark about what is doubted, and its name in the legend.
DOUBT_COLOUR, DOUBTED = "#E69F00", "doubted: why is on hover"
COLOURS: Mapping[str, str] = {**RESPONSE_COLOURS, "non-CR/non-PD": RESPONSE_COLOURS["SD"]}


def clipped(text: str, letters: int) -> str:
    """The text, or where it is longer its two ends: patients of a trial often differ in their last letters only."""
    if len(text) <= letters:
        return text
    head = letters // 2
    return f"{text[:head]}…{text[-(letters - head - 1) :]}"


def letters_of(outcomes: Sequence[PatientResponse]) -> dict[str, str]:
    """Criterion -> the letter that stands for it behind names; {} where all are told by one."""
    groups = by_criterion(outcomes)
    return {name: chr(ord("a") + n) for n, name in enumerate(groups)} if len(groups) > 1 else {}


def name_of(outcome: PatientResponse, letters: int, by: Mapping[str, str] | None = None) -> str:
    """The patient's name for a figure, marked where the protocol is another. Args: by: `letters_of`."""
    letter = f" ({by[outcome.criterion]})" if by else ""
    return figure_text(clipped(outcome.patient_id, letters)) + ("" if outcome.is_by_protocol else MARK) + letter


def count_words(outcomes: Sequence[PatientResponse]) -> str:
    """By what, how many patients, how many of them simulated, doubted somewhere, and without a known change."""
    by = letters_of(outcomes)
    told = [
        f"({by[name]}) {ABOUT[name].title}: {len(group)}" if by else ABOUT[name].title
        for name, group in by_criterion(outcomes).items()
    ]
    patients = "1 patient" if len(outcomes) == 1 else f"{len(outcomes)} patients"
    parts = [f"{', '.join(told)} · {patients}"]
    if simulated := sum(o.simulated for o in outcomes):
        parts.append(f"{simulated} simulated")
    if doubted := sum(bool(o.doubted) for o in outcomes):
        parts.append(f"{doubted} with a doubted mask or scan")
    if unknown := sum(o.best is None for o in outcomes):
        parts.append(f"{unknown} without a known change")
    if any(not o.is_by_protocol for o in outcomes):
        parts.append(f"{MARK.strip()} another criterion by the protocol")
    return ", ".join(parts)


def limits_words(criterion: str) -> str:
    """A criterion's limits and source in a line."""
    about, limits = ABOUT[criterion], LIMITS.get(criterion)
    assumed = f" Assumed: {about.assumed}." if about.assumed else ""
    if limits is not None:
        told = (
            f"PR at {limits.pr_percent:+g} % of baseline, PD at {pd_limit_words(limits)} above nadir, "
            f"of the {about.measure}; or other progression"
        )
    elif about.pr_percent is not None:
        told = f"PR at {about.pr_percent:+g} % and PD above {about.pd_percent:+g} % of baseline, of {about.measure}"
    else:
        told = "by a person's words, no measure"
    return f"{about.title}: {told}. Source: {about.source}.{assumed}"


def value_words(criterion: str, value: float | None) -> str:
    """What was measured: "sum of diameters 47 mm", "sum of volumes 1.2 mL", "not measured"."""
    about = ABOUT[criterion]
    if not about.unit:
        return "nothing is measured by this criterion"
    if value is None:
        return f"{about.measure} not known"
    number = {"mm": f"{value:.4g} mm", "mm3": f"{millilitres(value)} mL", "SUL": f"{value:.3g}"}[about.unit]
    return f"{about.measure} {number}"


def head_line(outcome: PatientResponse) -> str:
    """The patient, by what, and whether a scan is simulated."""
    lines = [f"<b>{figure_text(outcome.patient_id)}</b>", figure_text(ABOUT[outcome.criterion].title)]
    if not outcome.is_by_protocol:
        lines.append(f"protocol: {figure_text(ABOUT[outcome.protocol_criterion].title)}")
    return " · ".join([*lines, *(["simulated"] if outcome.simulated else [])])


def visit_hover(outcome: PatientResponse, visit: Visit) -> str:
    """Patient, date, what was measured, its changes, and the call with its reason."""
    change = "change not known" if visit.change_percent is None else f"{visit.change_percent:+z.1f} % from baseline"
    nadir = "" if visit.nadir_percent is None else f", {visit.nadir_percent:+z.1f} % from nadir"
    return "<br>".join(
        [
            head_line(outcome),
            f"{figure_text(visit.timepoint)} (day {visit.days:.0f}): "
            f"{value_words(outcome.criterion, visit.value)}, {change}{nadir}",
            *wrapped(visit.sentence),
            *(["within the noise of measuring it could be another call"] if visit.could_flip else []),
            *([f"new: {figure_text(', '.join(visit.appeared))}"] if visit.appeared else []),
            f"mask version {visit.version}",
            *doubt_lines(visit),
        ]
    )


def doubt_lines(visit: Visit) -> list[str]:
    """What is doubted of a visit, in lines of a hover."""
    return [line for doubt in visit.doubts for line in wrapped(f"⚠ {doubt}")]


def wrapped(text: str) -> list[str]:
    """Lines of a hover."""
    return [figure_text(line) for line in textwrap.wrap(clipped(text, 360), 90)]
