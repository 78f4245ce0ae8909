"""Which Cypher may be asked: what reads the graph, and nothing that writes, opens a file or calls a procedure.

The text is taken apart into words, names, strings, numbers and signs. Every word must be one of the language's reading
words, a function that is known to be harmless, or a name; and where a name stands beside another with no sign between,
one of them is a clause that is not known here. So what is not named below is refused, also if a later version of the
database brings it. The query is written anew from these parts, without comments, before it is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from core.errors import InputError

LONGEST, DEEPEST = 4_000, 12
#: Beyond it the database plans for minutes, and its time limit does not hold while it plans.
MOST_STEPS, MOST_BRACKETS = 6, 48


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that a query may begin with.
BEGINNINGS = _words("MATCH OPTIONAL UNWIND WITH RETURN")
READING_WORDS = BEGINNINGS | _words(
    "WHERE ORDER BY ASC ASCENDING DESC DESCENDING SKIP LIMIT UNION ALL DISTINCT AS AND OR XOR NOT IN IS NULL TRUE "
    "FALSE STARTS ENDS CONTAINS CASE WHEN THEN ELSE END EXISTS COUNT"
)
#: Refused as a word wherever it stands, also as a name, so that the message can name it.
OTHER_CLAUSES = _words(
    "CREATE MERGE SET DELETE DETACH REMOVE DROP ALTER COPY LOAD CALL YIELD ATTACH INSTALL UNINSTALL UPDATE EXPORT "
    "IMPORT BEGIN COMMIT ROLLBACK CHECKPOINT TRANSACTION USE EXPLAIN PROFILE COMMENT MACRO FOREACH PROJECT EXTENSION "
    "RENAME INSERT FORCE"
)
#: Functions of ladybug 0.22 that work on what they are given and make nothing much larger of it. Left out are those
#: that make (repeat, range, lpad), that change state (nextval, setseed) or fail on purpose (error).
FUNCTIONS = _words(
    "ABS CEIL CEILING FLOOR ROUND SIGN SQRT CBRT POW LN LOG LOG2 LOG10 GREATEST LEAST COALESCE IFNULL NULLIF EVEN "
    "AVG COUNT SUM MIN MAX COLLECT PERCENTILECONT PERCENTILEDISC COUNT_IF "
    "LOWER UPPER LCASE UCASE TOLOWER TOUPPER TRIM LTRIM RTRIM LEFT RIGHT SUBSTR SUBSTRING SPLIT_PART STRING_SPLIT "
    "CONTAINS STARTS_WITH ENDS_WITH PREFIX SUFFIX CONCAT CONCAT_WS REVERSE SIZE "
    "LIST_CONTAINS LIST_HAS LIST_HAS_ALL LIST_HAS_ANY LIST_EXTRACT LIST_ELEMENT LIST_SLICE LIST_SORT LIST_REVERSE_SORT "
    "LIST_DISTINCT LIST_UNIQUE LIST_MIN LIST_MAX LIST_SUM LIST_POSITION LIST_INDEXOF LIST_REVERSE LIST_TO_STRING "
    "ANY ALL NONE SINGLE LIST_FILTER LIST_TRANSFORM "
    "NODES RELS RELATIONSHIPS LENGTH LABEL LABELS KEYS PROPERTIES START_NODE END_NODE IS_TRAIL IS_ACYCLIC "
    "DATE DATE_PART DATEPART DATE_TRUNC DATETRUNC TO_DATE TO_STRING STRING TO_INT64 TO_DOUBLE TYPEOF"
)

Kind = Literal["word", "quoted", "string", "number", "parameter", "sign"]
_PARTS = re.compile(
    r"""
    (?P<space>[ \t\r\n]+ | //[^\n\r]* | /\*(?s:.*?)\*/)
    | (?P<string>'(?:[^'\\\x00]|\\[\\'"bfnrt])*' | "(?:[^"\\\x00]|\\[\\'"bfnrt])*")
    | (?P<quoted>`[^`\\\x00-\x1f]+`)
    | (?P<parameter>\$[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>(?:[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![A-Za-z0-9_]))
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign><>|<=|>=|=~|->|\.\.|/(?!\*)|[-+*%^=<>().,:|\[\]{};!&])
    """,
    re.VERBOSE,
)
_ALLOWED = (
    "A query reads: MATCH, OPTIONAL MATCH, WHERE, WITH, UNWIND, RETURN, ORDER BY, SKIP, LIMIT and UNION are allowed, "
    "and functions that compute."
)


@dataclass(frozen=True, slots=True)
class _Part:
    """`apart`: blanks or a comment stood before it."""

    kind: Kind
    text: str
    apart: bool

    @property
    def name(self) -> str:
        """In capitals where it is a word, "" else."""
        return self.text.upper() if self.kind == "word" else ""


def reading_query(text: str) -> str:
    """The query that may be run: the same parts, one blank for blanks and comments, and no mark at its end.

    Args:
        text: Cypher, at most 4,000 characters, 12 brackets deep, with 6 relations and 48 round brackets.

    Raises:
        InputError: it is none, too large, or asks for anything but to read; it says what is allowed.
    """
    if len(text) > LONGEST:
        raise InputError(
            f"Expected a query of at most {LONGEST:,} characters, got {len(text):,}. Ask for less at once."
        )
    parts = list(_parts(text))
    while parts and parts[-1].text == ";" and parts[-1].kind == "sign":
        parts.pop()
    if not parts or parts[0].name not in BEGINNINGS:
        got = "nothing" if not parts else f"{parts[0].text[:40]!r}"
        raise InputError(f"Expected a query that begins with MATCH, UNWIND, WITH or RETURN, got {got}. {_ALLOWED}")
    _check_size(parts)
    for at, part in enumerate(parts):
        _check_part(part, parts[at - 1] if at else None, parts[at + 1] if at + 1 < len(parts) else None)
    # the database's own grammar allows no blank before some commas
    return "".join(f" {part.text}" if part.apart and part.text != "," else part.text for part in parts).strip()


def parameters_of(text: str) -> frozenset[str]:
    """The names of the parameters that a query has, without their sign."""
    return frozenset(part.text[1:] for part in _parts(text) if part.kind == "parameter")


def _parts(text: str) -> Iterator[_Part]:
    """The parts of a query, without blanks and comments."""
    at, apart = 0, False
    while at < len(text):
        found = _PARTS.match(text, at)
        if found is None:
            raise InputError(
                f"Expected Cypher, got {text[at : at + 10]!r} at character {at + 1}, which is no part of it: a string "
                "or a comment may not be closed. Hand over other signs as a parameter ($name)."
            )
        at = found.end()
        kind = found.lastgroup
        # The library's own binding writes a parameter's text into the query where it reads these two words (0.22.0).
        if "to_json" in found.group().lower() and kind != "space":
            raise InputError(f"Expected no to_json in a query, not in a string either, got it. {_ALLOWED}")
        for known in ("word", "quoted", "string", "number", "parameter", "sign"):
            if kind == known:
                yield _Part(known, found.group(), apart)
        apart = kind == "space"


def _check_part(part: _Part, before: _Part | None, after: _Part | None) -> None:
    """Refuses what is no reading word, function or name in its place."""
    if part.text == ";" and part.kind == "sign":
        raise InputError(f"Expected one query, got several with a semicolon between. {_ALLOWED}")
    property_of = before is not None and before.text == "." and before.kind == "sign"
    if part.name in OTHER_CLAUSES and not property_of:
        raise InputError(f"Expected a query that only reads, got {part.name}. {_ALLOWED}")
    if after is None:
        return
    called = part.kind in ("word", "quoted") and after.text == "(" and after.kind == "sign"
    if called and part.name not in FUNCTIONS | READING_WORDS:
        raise InputError(
            f"Expected a function that computes on what it is given, got {part.text[:40]}. Allowed are "
            f"{', '.join(sorted(FUNCTIONS)).lower()}."
        )
    if _is_name(part) and _is_name(after):
        raise InputError(f"Expected a query that only reads, got {part.text[:40]} {after.text[:40]}. {_ALLOWED}")


def _is_name(part: _Part) -> bool:
    """What cannot stand beside another of its like in an expression: all but signs and reading words."""
    return part.kind != "sign" and part.name not in READING_WORDS


def _check_size(parts: list[_Part]) -> None:
    """Refuses what takes long to plan. A relation's dash follows the bracket of its first node."""
    signs = [part.text if part.kind == "sign" else "" for part in parts] + ["", ""]
    depth = deepest = 0
    for sign in signs:
        depth += (sign in ("(", "[", "{")) - (sign in (")", "]", "}"))
        deepest = max(deepest, depth)
    after = [signs[at + 1 : at + 3] for at, sign in enumerate(signs) if sign == ")"]
    steps = sum(two[:1] in (["-"], ["->"]) or two == ["<", "-"] for two in after)
    if deepest > DEEPEST or steps > MOST_STEPS or signs.count("(") > MOST_BRACKETS:
        raise InputError(
            f"Expected a query of at most {MOST_STEPS} relations, {MOST_BRACKETS} brackets and {DEEPEST} of them "
            f"within one another, got {steps}, {signs.count('(')} and {deepest}. Ask in several steps."
        )
