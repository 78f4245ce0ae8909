"""The evidence panel as a file: JSON for programs, Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from core.evidence.outcome import LesionOutcome
from core.evidence.outcome_words import fate_sentence, outcome_lines
from core.evidence.panel import ALIKE, EvidencePanel, LesionFacts, Neighbour, Sources
from core.evidence.telling import NOT_KNOWN, days_text, escaped, number_text, percentile_text, volume_text
from core.remembered.untyped import JsonDict

FORMAT, FORMAT_VERSION = "twinreview-evidence-panel", 1
_NONE_ON_RECORD = "none on record"


def panel_json(panel: EvidencePanel) -> JsonDict:
    """The panel as plain JSON values, keys as its fields; None is "not known", never 0, and "" is "not on record"."""
    return {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(panel)}


def to_json(panel: EvidencePanel) -> str:
    """`panel_json` as text, UTF-8, with finite numbers only."""
    return json.dumps(panel_json(panel), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def to_markdown(panel: EvidencePanel) -> str:
    """The panel as tables that a clinician can read; what comes from outside is escaped."""
    parts = [
        "# Evidence: lesions like this one, and what became of them",
        "\n".join(f"- {limit}" for limit in map(escaped, panel.limits)),
        "## The lesion asked about",
        _question(panel.question),
        "## What became of lesions like it",
        f"{escaped(panel.tally.words)} {escaped(panel.tally.response_words)}".strip(),
        *_neighbours(panel.neighbours),
        "## What was searched",
        _searched(panel),
        "## Sources",
        _sources(panel),
    ]
    return "\n\n".join(parts) + "\n"


def _question(lesion: LesionFacts) -> str:
    simulated = {True: "simulated by a program", False: "a real patient's", None: NOT_KNOWN}[lesion.simulated]
    rows = [
        ("Patient", lesion.patient),
        ("Data set", lesion.dataset or NOT_KNOWN),
        ("Visit", lesion.timepoint or "left out"),
        ("Lesion", lesion.lesion_id or "left out"),
        ("Scan", lesion.modality or NOT_KNOWN),
        ("Volume", volume_text(lesion.volume_mm3)),
        ("Organ", lesion.organ or NOT_KNOWN),
        ("Therapy on that day", _therapies(lesion)),
        ("Real or simulated", simulated),
    ]
    return _table(("", ""), rows)


def _therapies(lesion: LesionFacts) -> str:
    drugs = f" ({', '.join(lesion.drugs)})" if lesion.drugs else ""
    return (", ".join(lesion.therapies) or _NONE_ON_RECORD) + drugs


def _neighbours(neighbours: Sequence[Neighbour]) -> list[str]:
    if not neighbours:
        return []
    rows = [
        (
            one.row,
            " ".join(filter(None, (one.lesion.patient, one.lesion.lesion_id))),
            one.lesion.timepoint or "left out",
            f"{volume_text(one.lesion.volume_mm3)}, {one.lesion.modality or NOT_KNOWN}",
            one.lesion.organ or NOT_KNOWN,
            _therapies(one.lesion),
            _likeness(one),
            fate_sentence(one.outcome),
        )
        for one in neighbours
    ]
    names = ("Row", "Lesion", "Visit", "Volume", "Organ", "Therapy on that day", "Likeness", "Outcome")
    told = [f"**Row {escaped(one.row)}**\n\n{_course(one.outcome)}" for one in neighbours]
    return [_table(names, rows), "## The course of each", *told]


def _likeness(one: Neighbour) -> str:
    distance = NOT_KNOWN if one.distance is None else number_text(one.distance)
    marked = {True: "; marked relevant", False: "; marked not relevant", None: ""}[one.marked]
    made = "; simulated by a program" if one.lesion.simulated else ""
    return f"{percentile_text(one.percentile)}; distance {distance}{marked}{made}"


def _course(outcome: LesionOutcome) -> str:
    lines = "\n".join(f"- {escaped(line)}" for line in outcome_lines(outcome))
    if not outcome.course:
        return f"{lines}\n- Its course is not on record."
    rows = [
        (days_text(one.days), one.timepoint or "left out", one.state, volume_text(one.volume_mm3))
        for one in outcome.course
    ]
    return f"{lines}\n\n{_table(('Day', 'Visit', 'State', 'Volume'), rows)}"


def _searched(panel: EvidencePanel) -> str:
    rows = [
        ("Compared by", ALIKE[panel.space]),
        ("Learned metric", panel.metric or "none in force"),
        ("Searched", f"{panel.searched:,} lesions of {panel.patients:,} patients"),
        ("Not compared", f"{panel.not_compared:,} lesions that have no vector"),
        ("Filters", "; ".join(panel.filters) or "none"),
        ("As of", f"audit entry {panel.as_of:,}"),
        ("Made", f"{panel.made_at} by TwinReview {panel.twinreview}"),
    ]
    return _table(("", ""), rows)


def _sources(panel: EvidencePanel) -> str:
    lesions = [("asked about", panel.question), *((one.row, one.lesion) for one in panel.neighbours)]
    names = ("Row", "Mask", "Mask SHA-256", "Scan SHA-256", "Method", "Made by", "Accepted by", "Doubts")
    return _table(names, (_source_row(row, lesion.sources) for row, lesion in lesions))


def _source_row(row: str, sources: Sources | None) -> tuple[str, ...]:
    if sources is None:
        return (row, *(NOT_KNOWN,) * 7)
    weights = f", weights {sources.checkpoint_sha256}" if sources.checkpoint_sha256 else ", no network's weights"
    doubts = "; ".join(sources.doubts) or (f"{sources.doubted}, left out" if sources.doubted else "none")
    return (
        row,
        f"{sources.mask_id}, version {sources.version}",
        sources.mask_sha256 or NOT_KNOWN,
        sources.scan_sha256 or NOT_KNOWN,
        f"{sources.method or NOT_KNOWN}{weights}",
        sources.made_by or "not on record",
        sources.accepted_by or "not on record",
        doubts,
    )


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_line(names), _line(["---"] * len(names), raw=True)]
    return "\n".join([*lines, *map(_line, rows)])


def _line(cells: Sequence[str], raw: bool = False) -> str:
    return f"| {' | '.join(cells if raw else map(escaped, cells))} |"
