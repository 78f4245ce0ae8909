"""What a language model is shown of an evidence panel: numbers, and words that stand in this program.

A `Prompt` makes its text itself, from the panel without names (`core.evidence.pseudonyms`), so that no other text can
be one. Twice over, the finished text is looked through: a word that is in no list here, or a name, date or hash of the
panel that was given, and there is no prompt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import InitVar, dataclass, field

from core.errors import InputError
from core.evidence import outcome, pseudonyms
from core.evidence.cases import CoursePoint
from core.evidence.outcome import FATE_WORDS, OutcomeTally
from core.evidence.panel import ALIKE, EvidencePanel, LesionFacts, Neighbour
from core.evidence.telling import NOT_KNOWN, days_text, number_text, percent_text, percentile_text, volume_text
from core.review.body_sites import SITES
from core.twin.criteria.table import CRITERIA
from core.twin.outcomes import BEST_FIRST
from core.twin.timeline_cells import CELL_STATES
from core.types import MODALITIES

#: Longest prompt.
MOST_CHARACTERS = 6000
#: Shorter names are not looked for in the finished text: they would be found in numbers and words that are not theirs.
SHORTEST_NAME = 4
_MOST_POINTS, _MOST_BEGUN = 6, 4

ROLE = """\
You help a clinician to read a table. The table shows one tumour lesion, and lesions of other patients that a search \
found to be like it, with what became of each. Names are left out; days are relative to the visit that is compared."""
TASK = """\
Task:
1. Summarise in at most 150 words what became of the lesions in the table. Cite rows by their letter, as (row A).
2. Say what is unknown or withheld, and which rows have no later visit.
3. Say which rows a clinician may want to look at first, and why, by the facts in the table alone.
Give no recommendation for treatment, no diagnosis and no prediction for the lesion asked about. Use no fact that is \
not in the table. If the table does not answer something, say that it does not."""
LIMITS = """\
Limits:
- The rows are alike in shape, appearance or both, not in treatment or histology. They are few and were chosen by
  likeness: counts are no rates.
- A change is real, within noise or unknown by a rule of the record; judge no change anew by its percentage.
- What is not on record is not known. That no therapy or death is on record is no proof of none.
- A lesion may be gone because it was resected: see what was begun after the visit.
- Rows marked simulated were made by a program and show nothing about patients."""
_PHRASES = """\
Lesion asked about: scan organ therapy on that day volume simulated real patient compared by with a learned metric
Searched lesions of patients not compared filters Found none more rows not shown here for want of space
Row volume likeness distance outcome change by to rule later visits telling its of shown course state since
Patient's best response after it by criterion progression no on record unknown no follow-up ended died death begun after
mask made doubts marked relevant not relevant and before this visit no longer seen
patient patients lesion lesions Of those of them simulated within noise or unknown by lesion day on a day not known
closer than more than of pairs beyond a thousand million below minus other none on record"""


def _tokens(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


#: Every word that a prompt may hold, beside numbers and the letters of its rows.
WORDS = frozenset(
    token
    for text in (
        *(ROLE, TASK, LIMITS, _PHRASES, NOT_KNOWN, outcome.NO_LATER_CALL, "left right both mL"),
        *(pseudonyms.WITHHELD, pseudonyms.ASKED, pseudonyms.DEATH, pseudonyms.END, pseudonyms.LEARNED),
        *(pseudonyms.ASSUMED_RULE, pseudonyms.NAMED_RULE, *pseudonyms.BEGUN, *pseudonyms.VERDICTS),
        *(*pseudonyms.METHODS, *FATE_WORDS.values(), *SITES, *CRITERIA, *BEST_FIRST, *CELL_STATES, *MODALITIES),
        *ALIKE.values(),
    )
    for token in _tokens(text)
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text for a language model, made from a panel.

    Args:
        panel: with its own names or pseudonyms; it is not kept.
        text: at most `MOST_CHARACTERS` characters; shown: how many of the panel's rows it has. sha256: of the text.

    Raises:
        InputError: something that names somebody would be in it.
    """

    panel: InitVar[EvidencePanel]
    text: str = field(init=False)
    shown: int = field(init=False)
    sha256: str = field(init=False)

    def __post_init__(self, panel: EvidencePanel) -> None:
        nameless = pseudonyms.with_pseudonyms(panel)
        text, shown = _text_of(nameless)
        rows = frozenset(token for one in nameless.neighbours for token in _tokens(one.row))
        if leaks(text, panel) or strangers(text, rows):
            raise InputError(
                "Expected a text without names, dates and numbers of the record; one of them is written like something "
                "in the table, so nothing is sent. Leave that row out by a filter, and ask again."
            )
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "shown", shown)
        object.__setattr__(self, "sha256", hashlib.sha256(text.encode()).hexdigest())


def to_prompt(panel: EvidencePanel) -> Prompt:
    """The prompt of a panel; whatever names the panel has, none are in it. Raises InputError: as `Prompt`."""
    return Prompt(panel)


def strangers(text: str, rows: frozenset[str] = frozenset()) -> frozenset[str]:
    """Words of a text that no prompt may hold. Args: rows: letters of its rows, lower case."""
    allowed = WORDS | rows
    return frozenset(token for token in _tokens(text) if token not in allowed and not _is_number(token))


def leaks(text: str, panel: EvidencePanel) -> tuple[str, ...]:
    """Names, dates, ids, hashes and free texts of the panel that stand in a text, as whole words.

    Names of fewer than `SHORTEST_NAME` characters, and those that are made of a prompt's own words alone ("liver"), are
    not looked for: they cannot be told from it. That none of them is put in is held by how the text is made.
    """
    wanted = {name for name in _names_of(panel) if len(name) >= SHORTEST_NAME and not set(_tokens(name)) <= WORDS}
    return tuple(sorted(name for name in wanted if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)))


def _is_number(token: str) -> bool:
    return token.isascii() and token.isdecimal()


def _names_of(panel: EvidencePanel) -> Iterator[str]:
    yield from (panel.metric, *panel.filters)
    for lesion in (panel.question, *(one.lesion for one in panel.neighbours)):
        yield from (lesion.patient, lesion.dataset, lesion.timepoint, lesion.lesion_id, lesion.organ, *lesion.drugs)
        if (sources := lesion.sources) is not None:
            yield from (sources.mask_id, sources.mask_sha256, sources.scan_sha256, sources.checkpoint_sha256 or "")
            yield from (sources.made_by, sources.accepted_by, *sources.doubts)
    for one in panel.neighbours:
        yield from (one.outcome.rule, *(point.timepoint for point in one.outcome.course))
        yield from (begun.words for begun in one.outcome.begun)


# --- the text ---


def _text_of(panel: EvidencePanel) -> tuple[str, int]:
    """The text and how many rows are in it: as many as there is room for, from the nearest on."""
    head = "\n\n".join((ROLE, LIMITS, _question(panel), _tally_text(panel.tally)))
    rows: list[str] = []
    room = MOST_CHARACTERS - len(head) - len(TASK) - len(_more(10**9)) - 10
    for one in panel.neighbours:
        line = _row(one)
        room -= len(line) + 1
        if room < 0:
            break
        rows.append(line)
    left_out = len(panel.neighbours) - len(rows)
    table = "\n".join([*rows, *([_more(left_out)] if left_out else [])])
    return "\n\n".join(filter(None, (head, table, TASK))) + "\n", len(rows)


def _more(number: int) -> str:
    return f"{number_text(number)} more rows, not shown here for want of space."


def _question(panel: EvidencePanel) -> str:
    asked = panel.question
    kind = {True: "simulated", False: "real", None: "not known if real or simulated"}[asked.simulated]
    metric = f", with {panel.metric}" if panel.metric else ""
    return (
        f"Lesion asked about: scan {asked.modality or NOT_KNOWN}; volume {volume_text(asked.volume_mm3)}; organ "
        f"{asked.organ or NOT_KNOWN}; therapy on that day {_therapies(asked)}; patient {kind}.\n"
        f"Compared by {ALIKE[panel.space]}{metric}. Searched: {number_text(panel.searched)} lesions of "
        f"{number_text(panel.patients)} patients; not compared: {number_text(panel.not_compared)}; filters: "
        f"{number_text(len(panel.filters))}{', withheld' if panel.filters else ''}."
    )


def _therapies(lesion: LesionFacts) -> str:
    return ", ".join(dict.fromkeys(lesion.therapies)) or "none on record"


def _tally_text(tally: OutcomeTally) -> str:
    return f"{tally.words} {tally.response_words}".strip() if tally.lesions else "Found: none."


def _row(one: Neighbour) -> str:
    made, lesion = one.outcome, one.lesion
    marked = {True: "; marked relevant", False: "; marked not relevant", None: ""}[one.marked]
    doubts, method = NOT_KNOWN, NOT_KNOWN
    if lesion.sources is not None:
        doubts, method = number_text(lesion.sources.doubted), lesion.sources.method or NOT_KNOWN
    return (
        f"Row {one.row} ({'simulated' if lesion.simulated else 'real patient'}): {lesion.modality or NOT_KNOWN}; "
        f"volume {volume_text(lesion.volume_mm3)}; organ {lesion.organ or NOT_KNOWN}; "
        f"therapy on that day {_therapies(lesion)}; likeness {percentile_text(one.percentile)}; "
        f"mask made by {method}; doubts {doubts}{marked}. "
        f"Outcome: {_outcome_text(one)}. Course: {_course_text(made.course)}. "
        f"Best response after it: {made.response or outcome.NO_LATER_CALL} by {made.criterion or 'no criterion'}. "
        f"Progression: {_when(made.progressed, made.progressed_days)}. "
        f"Follow-up ended: {_when(bool(made.ended), made.ended_days, made.ended)}. Begun after it: {_begun_text(one)}."
    )


def _outcome_text(one: Neighbour) -> str:
    made = one.outcome
    since = f"; state since: {made.state_since}" if made.state_since else ""
    if not made.later:
        return f"{FATE_WORDS[made.fate]}{since}"
    gone = "no longer seen" if made.gone else f"{percent_text(made.percent)} to {volume_text(made.volume_mm3)}"
    return f"{FATE_WORDS[made.fate]}, {gone} by {days_text(made.days)}, by {made.rule or 'no rule on record'}{since}"


def _course_text(course: tuple[CoursePoint, ...]) -> str:
    if not course:
        return "not on record"
    kept = course
    if len(course) > _MOST_POINTS:  # the first, the last and some between
        kept = tuple(course[round(at * (len(course) - 1) / (_MOST_POINTS - 1))] for at in range(_MOST_POINTS))
    told = [
        f"{days_text(one.days)} {one.state if one.volume_mm3 is None else volume_text(one.volume_mm3)}" for one in kept
    ]
    more = f" ({len(kept)} of {number_text(len(course))} visits shown)" if len(kept) < len(course) else ""
    return "; ".join(told) + more


def _when(known: bool, days: float | None, what: str = "") -> str:
    return f"{what} {days_text(days)}".strip() if known else "none on record"


def _begun_text(one: Neighbour) -> str:
    begun = one.outcome.begun
    told = [f"{each.therapy} {days_text(each.days)}" for each in begun[:_MOST_BEGUN]]
    more = [f"{number_text(len(begun) - _MOST_BEGUN)} more"] if len(begun) > _MOST_BEGUN else []
    return "; ".join([*told, *more]) or "none on record"
