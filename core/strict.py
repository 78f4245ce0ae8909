"""What arrives from outside, read strictly: JSON that is bounded in size and depth, finite, of known keys and ranges;
and the text of an environment variable as a setting's value (`core.settings`).

A model that is a `Strict` takes no number for a text, no text for a number, no key that it does not name, and neither
NaN nor Infinity: one configuration of pydantic, which does the checking. Two things pydantic does not do are why there
is a module of its own. A text is measured before it is parsed. And what does not fit becomes one sentence of ours
(`InputError`) that quotes at most `QUOTED` letters of what was sent: pydantic's own error has many lines, quotes all of
it, and says nothing of what to do.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError
from pydantic_core import from_json

from core.errors import InputError

#: Longest part of a wrong value that a sentence quotes.
QUOTED = 60
#: Numbers beyond this are not written out: Python refuses to print very long ones.
_PRINTABLE = 10**30
#: Fewest characters of a secret: fewer can be guessed.
SHORTEST_SECRET = 16
#: Where a language model may be asked without TLS.
ENDPOINT = "an address, https://… (or http://localhost…), without a name, key or question in it"
ON_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_IN_A_HEADER = re.compile(r"[\x21-\x7e]+")
#: Rights: nothing for the group, nothing for everybody.
PRIVATE = 0o077


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


# --- values of settings ---


def blank_is_unset(text: str) -> str | None:
    return text or None


def stripped_or_unset(text: str) -> str | None:
    return text.strip() or None


def whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError
    return int(text)


def octal(text: str) -> int:
    """Rights of `os.umask`: three octal digits that leave the owner all and let nobody else but a group write."""
    mask = int(text, 8) if re.fullmatch(r"0?[0-7]{3}", text, re.ASCII) else -1
    if mask < 0 or mask & 0o700 or not mask & 0o002:
        raise ValueError
    return mask


def names(text: str) -> frozenset[str]:
    return frozenset({name.strip().lower().rstrip(".") for name in text.split(",")} - {""})


def threads(text: str) -> str | None:
    if text.strip() and not re.fullmatch(r"[1-9][0-9]*( *, *[1-9][0-9]*)*", text.strip(), re.ASCII):
        raise ValueError
    return text.strip() or None


def one_word(word: str) -> BeforeValidator:
    """Only that word is True; nothing and "no" are False."""

    def read(text: str) -> bool:
        if text.strip() not in (word, "no", ""):
            raise ValueError
        return text.strip() == word

    return BeforeValidator(read)


def hard_to_guess(secret: SecretStr | None) -> SecretStr | None:
    if secret is None:
        return None
    secret.get_secret_value().encode()  # ValueError: it cannot sign anything
    if (length := len(secret.get_secret_value().strip())) < SHORTEST_SECRET:
        raise InputError(
            f"Expected at least {SHORTEST_SECRET} characters in TWIN_SECRET, got {length}: names could be forged. "
            "Set a longer one, or none: then one is made."
        )
    return secret


def key_or_path(key: SecretStr | None) -> SecretStr | None:
    """A path (it has a "/") is looked into when the store is opened (`store.ledger.heads.key_of`)."""
    if key is not None and "/" not in key.get_secret_value():
        check_key(key.get_secret_value().strip().encode())
    return key


def check_key(key: bytes) -> None:
    """Raises InputError for a TWIN_AUDIT_KEY, or the content of the file it names, that could be guessed."""
    if len(key) < SHORTEST_SECRET:
        raise InputError(
            f"Expected a key of at least {SHORTEST_SECRET} characters in TWIN_AUDIT_KEY, got {len(key)}. "
            "Set a longer one, or none: then nothing is signed."
        )


def endpoint(text: str | None) -> str | None:
    """An address over TLS; without it on this machine alone, as for Dask: what is sent is nobody else's to read."""
    if text is None:
        return None
    if set("@?#") & set(text):  # where a key may stand, so that it is not quoted
        raise InputError(
            f"Expected TWIN_LLM_URL as {ENDPOINT}, got one with '@', '?' or '#'. Give the key as TWIN_LLM_KEY."
        )
    parts = urlsplit(text)
    plain = parts.scheme == "http" and parts.hostname in ON_THIS_MACHINE
    if not parts.hostname or not (parts.scheme == "https" or plain) or parts.port == 0:  # port: ValueError if none
        raise ValueError
    if not _IN_A_HEADER.fullmatch(text):
        raise ValueError
    return text.rstrip("/")


def in_a_header(key: SecretStr | None) -> SecretStr | None:
    """A key that a header of HTTP can hold: refused here, where it is not quoted."""
    if key is not None and not _IN_A_HEADER.fullmatch(key.get_secret_value()):
        raise ValueError
    return key
