"""What may enter the store: identifiers, persons, reason codes, JSON values, and the time of day.

Everything that becomes a path, a row or an audit entry passes through here first, so that a hostile or careless value
is refused with a sentence before anything is written.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from core.errors import InputError
from core.remembered.judgements import JUDGED, JUDGEMENT, Judgement
from core.remembered.untyped import Json, JsonDict, JsonObject
from core.types import Prompt

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_REASON = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Control characters, marks and overrides of the direction of writing, separators of lines, halves of a character.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
MAX_TEXT = 10_000


def utc_now() -> str:
    """The time in UTC, RFC 3339 with microseconds: text of one width, so that it sorts as time does."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def check_id(what: str, value: object) -> str:
    """`value` if it can be an identifier and part of a path: [A-Za-z0-9._-]{1,64}, no leading dot.

    Raises:
        InputError: otherwise, naming `what` ("patient id", "dataset" ...) was refused.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InputError(
            f"Expected a {what} of 1 to 64 letters, digits, '.', '_' or '-' that does not begin with a dot, "
            f"got {str(value)[:80]!r}. Choose another."
        )
    return value


def check_one_of(what: str, value: object, known: Iterable[str]) -> str:
    """`value` as plain text if it is one of `known`; raises InputError naming `what` and those that there are."""
    known = [str(text) for text in known]
    if not isinstance(value, str) or str(value) not in known:
        raise InputError(f"Expected a {what} of {', '.join(known)}, got {str(value)[:80]!r}. Choose one of them.")
    return str(value)


def check_judgement(result: JsonObject) -> None:
    """Refuse a gate's result whose judgement nobody could read; one of before has none. Raises InputError."""
    if JUDGEMENT not in result:
        return
    try:
        said = Judgement.from_json(result[JUDGEMENT])
    except (KeyError, TypeError, AttributeError):
        raise InputError("Expected a judgement with verdict, reason, gate_model and seen. Score it again.") from None
    check_one_of("judgement of a gate", said.verdict, JUDGED)
    if not said.reason.strip():
        raise InputError("Expected a reason for what a gate says, got none. Score it again.")


def check_person(value: object) -> str:
    """`value` if it can name a person: 1 to 64 printable characters that begin with a letter or digit and do not end in
    a blank."""
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= 64
        or not value[0].isalnum()
        or not value.isprintable()
        or value != value.strip()
    ):
        raise InputError(
            "Expected the name of a person, 1 to 64 printable characters that begin with a letter or digit, got "
            f"{str(value)[:80]!r}."
        )
    return value


def check_reason(value: object) -> str:
    """`value` if it is a reason code: [A-Za-z0-9_-]{1,64}."""
    if not isinstance(value, str) or not _REASON.fullmatch(value):
        raise InputError(
            f"Expected a reason code of 1 to 64 letters, digits, '_' or '-' (for example good-boundary), "
            f"got {str(value)[:80]!r}."
        )
    return value


def check_text(what: str, value: object) -> str:
    """`value` if it is text of at most 10,000 characters: no control characters but new lines and tabs, nothing that
    turns the direction of writing, and no halves of a character."""
    if not isinstance(value, str) or len(value) > MAX_TEXT or _UNSEEN.search(value):
        raise InputError(f"Expected the {what} as at most {MAX_TEXT} characters of plain text; shorten or retype it.")
    return value


def check_texts(what: str, value: object) -> Json:
    """`value` if every text in it, keys too, is one that `check_text` takes; other values are left alone."""
    if isinstance(value, str):
        check_text(what, value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_texts(what, key), check_texts(what, item)
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        for item in value:
            check_texts(what, item)
    return value


def vector_values(lesion_id: object, vector: Sequence[float], names: Sequence[str]) -> JsonDict:
    """A lesion's shape vector as it is stored: lesion_id, vector (finite numbers), names (as many).

    Raises:
        InputError: for numbers that are not finite, or not one for each name.
    """
    numbers = [float(x) for x in vector]
    if not numbers or len(numbers) != len(names) or not all(map(math.isfinite, numbers)):
        raise InputError(
            f"Expected finite numbers, one for each of {len(names)} names, got {len(numbers)} of which "
            f"{sum(not math.isfinite(x) for x in numbers)} are not finite."
        )
    return {"lesion_id": check_id("lesion id", lesion_id), "vector": numbers, "names": plain(list(names), "names")}


def plain(value: object, where: str = "value") -> Json:
    """`value` in JSON's own types: NumPy scalars and arrays, tuples, prompts and mappings are converted.

    Raises:
        InputError: where a number is not finite, a key is not text or a type has no JSON form; says where.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"Expected finite numbers, got {value} at {where}. Store None for what is not known.")
        return value
    if isinstance(value, Prompt):
        return value.to_json()
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), where)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(f"Expected text as keys, got {key!r} at {where}.")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [plain(item, f"{where}[{n}]") for n, item in enumerate(value)]
    raise InputError(f"Expected values that JSON can hold, got {type(value).__name__} at {where}.")


def to_text(value: object) -> str:
    """JSON text for a column: keys in the order given, so that a sidecar written from a row keeps its order."""
    return json.dumps(value, allow_nan=False)


def canonical(value: object) -> str:
    """The one JSON text of a value: sorted keys, no blanks, ASCII. What the audit chain hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
