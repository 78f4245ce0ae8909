"""What arrives as JSON from outside, read strictly: bounded in size and depth, finite, of known keys and ranges.

A model that is a `Strict` takes no number for a text, no text for a number, no key that it does not name, and neither
NaN nor Infinity: one configuration of pydantic, which does the checking. Two things pydantic does not do are why there
is a module of its own. A text is measured before it is parsed. And what does not fit becomes one sentence of ours
(`InputError`) that quotes at most `QUOTED` letters of what was sent: pydantic's own error has many lines, quotes all of
it, and says nothing of what to do.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from core.errors import InputError

#: Longest part of a wrong value that a sentence quotes.
QUOTED = 60
#: Numbers beyond this are not written out: Python refuses to print very long ones.
_PRINTABLE = 10**30


class Strict(BaseModel):
    """The base of every body and header that a browser sends."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


M = TypeVar("M", bound=Strict)


def read_strictly(model: type[M], text: bytes | str, most_bytes: int) -> M:
    """The values of `model` in a JSON text.

    Args:
        most_bytes: the longest text that is read at all.

    Raises:
        InputError: longer, nested too deeply, no JSON, NaN or Infinity, or not what the model wants.
    """
    if len(text) > most_bytes:
        raise InputError(f"Expected at most {most_bytes:,} bytes of JSON, got {len(text):,}. Send less at once.")
    try:
        values = from_json(text, allow_inf_nan=False)
    except ValueError:
        raise InputError(
            "Expected JSON with finite numbers, not nested deeply; got something else. Reload the page."
        ) from None
    if not isinstance(values, dict):
        raise InputError("Expected a JSON object, got something else. Reload the page.")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    """The first thing that is wrong, in words."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part)[:QUOTED] for part in first["loc"]) or "the values"
    if first["type"] == "missing":
        return f"Expected {where}, got none. Reload the page."
    if first["type"] == "extra_forbidden":
        return f"Expected no value called {where!r}. Reload the page."
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    wanted = str(first["msg"]).removeprefix("Input should be ").removesuffix(" after validation")
    return f"Expected {where} to be {wanted}, got {quoted(first['input'])}. Reload the page."


def quoted(value: Any) -> str:
    """A wrong value as a sentence can hold it."""
    if isinstance(value, int) and abs(value) > _PRINTABLE:
        return "a number far too large"
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'JSON object'} of {len(value)}"
    return ascii(value)[:QUOTED]
