"""Reads the table of worked cases, `response_cases.tsv`: what a physician writes, as visits and a protocol.

Columns; what is said by visit is parted by ">", the first visit first:

- targets, nontargets, others (lesions that are followed as neither): "L1 60>30>37; node N1 20>9". A number is what the
  criterion measures: mm (node: short axis), mL for volumes ("8mm": a sphere 8 mm across), SULpeak for PERCIST.
  "T1-T5": five lesions. 0: absent; small: too small to measure; ?: not assessed; out: not in view; rejected;
  into M: merged into M; split A+B; .: no word of it; measured?: measured, but its size is not known.
- word: of the non-target lesions; "+" behind it: they grew since the visit before; .: not asked.
- new: "N1 10", "node N2 12", "N1 ?" (size not known), " sure" or " not sure" behind it: a person's word, " grew";
  several by "&"; .: none.
- steroids: mg dexamethasone; ? unknown. status: better, stable, worse; .: unknown. days: 0>56>112 where empty.
- other: "deauville", "uptake", "background", "liver", "liversd", "tlg" by visit; "confirm", "noise", "baseline" (number
  of the visit), "least" (of a new lesion, mm) for all.
- right: the calls; " unconfirmed" or " confirmed" behind a response; "~": would flip within the noise.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from core.twin.criteria.values import FollowedLesion, Measurement, NewLesion, Protocol, Visit

TABLE = Path(__file__).with_name("response_cases.tsv")
_STATES = {"0": "absent", "small": "too small to measure", "?": "not assessed", "out": "not in view"}


@dataclass(frozen=True)
class Case:
    """One row: what is told, and the right calls."""

    name: str
    visits: tuple[Visit, ...]
    protocol: Protocol
    right: tuple[str, ...]


def read_cases() -> list[Case]:
    """All rows of the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [_case(row) for row in csv.DictReader(file, delimiter="\t")]


def _case(row: dict[str, str]) -> Case:
    right = tuple(_steps(row["right"]))
    other = {name: value for name, _, value in (part.strip().partition(" ") for part in row["other"].split(";"))}
    targets, cells = _lesions(row["targets"], row["criterion"])
    nontargets, nontarget_cells = _lesions(row["nontargets"], row["criterion"])
    _, other_cells = _lesions(row["others"], row["criterion"])
    by_visit = [*cells, *nontarget_cells, *other_cells]
    days = [float(d) for d in _steps(row["days"])] or [56.0 * n for n in range(len(right))]
    visits = tuple(_visit(n, days[n], row, other, by_visit) for n in range(len(right)))
    protocol = Protocol(
        row["criterion"],
        visits[int(other.get("baseline", "1")) - 1].timepoint,
        tuple(targets),
        tuple(nontargets),
        least_new_mm=float(other.get("least", "10")),
        log_sd=float(other["noise"]) if "noise" in other else None,
        confirmation_days=int(other["confirm"]) if "confirm" in other else None,
    )
    return Case(f"{row['no']}: {row['criterion']} {row['targets']}", visits, protocol, right)


def _visit(n: int, days: float, row: dict[str, str], other: dict[str, str], cells: list[list[Measurement | None]]):
    word = _at(row["word"], n)
    return Visit(
        f"visit {n + 1}",
        days,
        tuple(cell for lesion in cells if (cell := lesion[n] if n < len(lesion) else None) is not None),
        None if word in (".", "+", ".+") else word.removesuffix("+"),  # type: ignore[arg-type]
        word.endswith("+") or None,
        tuple(_new(text) for text in _at(row["new"], n).split("&") if text.strip() != "."),
        _number(_at(row["steroids"], n)),
        {".": "unknown"}.get(status := _at(row["status"], n), status),  # type: ignore[arg-type]
        None if (score := _number(_at(other.get("deauville", ""), n))) is None else int(score),
        None if (uptake := _at(other.get("uptake", ""), n)) == "." else uptake,  # type: ignore[arg-type]
        {"yes": True, "no": False}.get(_at(other.get("background", ""), n)),
        _number(_at(other.get("liver", ""), n)),
        _number(_at(other.get("liversd", ""), n)),
        _number(_at(other.get("tlg", ""), n)),
    )


def _steps(text: str) -> list[str]:
    return [step.strip() for step in text.split(">")] if text.strip() else []


def _at(text: str, n: int) -> str:
    steps = _steps(text)
    return steps[n] if n < len(steps) and steps[n] else "."


def _number(text: str) -> float | None:
    return None if text in (".", "?") else float(text)


def _lesions(text: str, criterion: str) -> tuple[list[FollowedLesion], list[list[Measurement | None]]]:
    lesions, cells = [], []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        is_node = part.startswith("node ")
        name, _, steps = part.removeprefix("node ").partition(" ")
        for lesion in _names(name):
            lesions.append(FollowedLesion(lesion, "", is_node))
            cells.append([_measurement(lesion, step, is_node, criterion) for step in _steps(steps)])
    return lesions, cells


def _names(name: str) -> list[str]:
    first, _, last = name.partition("-")
    return [f"{first[0]}{n}" for n in range(int(first[1:]), int(last[1:]) + 1)] if last else [first]


def _measurement(lesion: str, step: str, is_node: bool, criterion: str) -> Measurement | None:
    if step == ".":
        return None
    if step in _STATES or step == "rejected":
        return Measurement(lesion, _STATES.get(step, step))  # type: ignore[arg-type]
    if step.startswith("into "):
        return Measurement(lesion, "merged into", into=(step.removeprefix("into "),))
    if step.startswith("split "):
        return Measurement(lesion, "split into", into=tuple(step.removeprefix("split ").split("+")))
    if step == "measured?":
        return Measurement(lesion)
    if criterion == "percist":
        return Measurement(lesion, sul_peak=float(step))
    if criterion.startswith("volume") or criterion.endswith("volumetric"):
        mm = step.removesuffix("mm")
        return Measurement(lesion, volume_mm3=math.pi / 6 * float(mm) ** 3 if mm != step else 1000 * float(step))
    return Measurement(lesion, short_axis_mm=float(step)) if is_node else Measurement(lesion, longest_mm=float(step))


def _new(text: str) -> NewLesion:
    words = text.split()
    is_node = words[0] == "node"
    name, size = words[1:3] if is_node else words[:2]
    rest = " ".join(words[3:] if is_node else words[2:])
    sure = False if "not sure" in rest else True if "sure" in rest else None
    return NewLesion(name, _number(size), is_node, sure, "grew" in rest or None)
