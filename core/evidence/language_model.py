"""A question to a language model of the user's own, as MedGemma behind an OpenAI-compatible server: off until set up.

What is sent is a `Prompt` and nothing else; a person has seen it before. What comes back is a machine's words: plain
text that is shown as such, is no reading, and is not kept in the record. The address is TWIN_LLM_URL's alone: no
redirect is followed and no proxy asked, and the key is in no message.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import json
import re
import socket
import ssl
import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from core.errors import InputError, ModelError
from core.evidence.prompt import Prompt
from core.settings import Settings
from core.settings import settings as settings_in_force

MACHINE = "A language model's words, not a reading:"
#: Longest answer that is read, bytes, and the longest that is asked for, tokens.
MOST_BYTES, MOST_TOKENS = 262_144, 1024
_PIECE = 16_384
#: Controls but tab and line end, marks and overrides of the direction of writing, halves of a character.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a language model said.

    Args:
        text: plain text, not Markdown or HTML; whoever shows it escapes it.
        model: as it was asked for; endpoint_host: who answered. prompt_sha256: of the text that was sent.
        asked_at: UTC, RFC 3339. cut: the model stopped at its longest answer, and more may be missing.
    """

    text: str
    model: str
    endpoint_host: str
    prompt_sha256: str
    asked_at: str
    cut: bool = False

    @property
    def marked_text(self) -> str:
        """The text as it may be shown or copied: marked as a machine's."""
        cut = " (cut off at its longest)" if self.cut else ""
        return f"{MACHINE}{cut}\n\n{self.text}"


class _Loose(BaseModel):
    """Servers add keys of their own; those that are read have their type."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Message(_Loose):
    content: str


class _Choice(_Loose):
    message: _Message
    finish_reason: str | None = None


class _Completion(_Loose):
    choices: list[_Choice] = Field(min_length=1)


def is_set_up(settings: Settings | None = None) -> bool:
    """Whether a language model may be asked at all: an address and a model are set."""
    now = settings or settings_in_force()
    return bool(now.llm_url and now.llm_model)


def endpoint_host(settings: Settings | None = None) -> str:
    """Who is asked: the host of the endpoint, without path and key; "" where none is set."""
    return urlsplit((settings or settings_in_force()).llm_url or "").hostname or ""


def ask(prompt: Prompt, settings: Settings | None = None) -> Answer:
    """Sends a prompt to the endpoint of the settings, and waits.

    Args:
        settings: those in force, if None.

    Raises:
        InputError: no endpoint is set, or `prompt` is none of `core.evidence.prompt`.
        ModelError: the endpoint does not answer, or not as it should; the key and its words are not quoted.
    """
    now = settings or settings_in_force()
    if type(prompt) is not Prompt:
        raise InputError("Expected a prompt made of an evidence panel, got another text. Ask from Evidence.")
    if not now.llm_url or not now.llm_model:
        raise InputError(
            "No language model is set up, and none is asked. Set TWIN_LLM_URL and TWIN_LLM_MODEL (docs/settings.md)."
        )
    asked_at = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "model": now.llm_model,
        "messages": [{"role": "user", "content": prompt.text}],
        "temperature": 0,
        "max_tokens": MOST_TOKENS,
        "stream": False,
    }
    key = now.llm_key.get_secret_value() if now.llm_key else ""
    status, answer = _post(now.llm_url, json.dumps(body).encode(), key, now.llm_timeout_s)
    if status != 200:
        raise ModelError(_refusal(status))
    choice = _read(answer)
    text = _UNSEEN.sub("", choice.message.content).strip()
    if not text:
        raise ModelError("The language model answered with no text. Ask again, or ask another model (TWIN_LLM_MODEL).")
    return Answer(text, now.llm_model, endpoint_host(now), prompt.sha256, asked_at, choice.finish_reason == "length")


def _refusal(status: int) -> str:
    if status in (401, 403):
        return f"The language model's endpoint refuses the key (HTTP {status}). Correct TWIN_LLM_KEY."
    if 300 <= status < 400:
        return (
            f"The language model's endpoint sends to another address (HTTP {status}), which is not followed. "
            "Set TWIN_LLM_URL to the address that answers itself."
        )
    if status == 404:
        return "The endpoint has no such address or model (HTTP 404). Correct TWIN_LLM_URL or TWIN_LLM_MODEL."
    if status == 429:
        return "The language model's endpoint has too much to do (HTTP 429). Ask again later."
    return f"Expected an answer of the language model, got HTTP {status}. Look into its server's log, and ask again."


def _read(answer: bytes) -> _Choice:
    try:
        return _Completion.model_validate(from_json(answer, allow_inf_nan=False)).choices[0]
    except (ValueError, ValidationError):
        raise ModelError(
            "Expected the answer of an OpenAI-compatible endpoint, JSON with choices[0].message.content; got something "
            "else. Correct TWIN_LLM_URL."
        ) from None


# --- one request ---


def _post(url: str, body: bytes, key: str, timeout_s: float) -> tuple[int, bytes]:
    """Status and body of one POST, within a time for all of it: what comes drop by drop is late, too.

    Finding the host and shaking hands with it have that time each.

    Raises:
        ModelError: not reached, not in time, or an answer that is too long.
    """
    connection = _connection(url, timeout_s)
    late = threading.Event()

    def give_up() -> None:
        late.set()
        if connection.sock is not None:  # what waits for it is woken; closing alone would not
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    alarm = threading.Timer(timeout_s, give_up)
    alarm.daemon = True
    alarm.start()
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "TwinReview"}
    try:
        connection.connect()
        if late.is_set():
            raise TimeoutError
        connection.request(
            "POST",
            f"{urlsplit(url).path}/chat/completions",
            body,
            headers | ({"Authorization": f"Bearer {key}"} if key else {}),
        )
        response = connection.getresponse()
        answer = _read_at_most(response) if response.status == 200 else b""
        status = response.status
    except ssl.SSLCertVerificationError:
        raise ModelError(
            "The language model's endpoint has a certificate that nobody known here signed. Give the system its "
            "authority's certificate, or correct TWIN_LLM_URL."
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise ModelError(_unreached(late.is_set() or isinstance(error, TimeoutError), timeout_s)) from None
    finally:
        alarm.cancel()
        connection.close()
    if late.is_set():
        raise ModelError(_unreached(True, timeout_s))
    return status, answer


def _connection(url: str, timeout_s: float) -> http.client.HTTPConnection:
    """To the host of the address itself: `http.client` asks no proxy and follows nothing."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)


def _read_at_most(response: http.client.HTTPResponse) -> bytes:
    pieces, size = [], 0
    while piece := response.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise ModelError(
                f"Expected an answer of at most {MOST_BYTES:,} bytes from the language model, got more. "
                "Ask another model."
            )
    if response.length:  # the rest that was promised
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(pieces)


def _unreached(late: bool, timeout_s: float) -> str:
    if late:
        return f"The language model did not answer within {timeout_s:g} s. Ask again, or set TWIN_LLM_TIMEOUT_S higher."
    return "The language model's endpoint cannot be reached, or broke off. Look whether it runs, and at TWIN_LLM_URL."
