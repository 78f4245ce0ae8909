"""One edit of a draft: as a browser sends it, and as it lies on disk.

An edit is gzip of a uint32 (little-endian) with the length of a JSON header {"slices": [k …], "prompts": [...] or
absent, "answers": [ids] or absent, "lesions": [{"label", "lesion_id" or null} …] or absent, "what": "..."}, the header,
and each slice's labels as uint8, i fastest. What a header claims of models and methods is dropped as it is read; the
server's own record says that (`core.review.model_answers`).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from core.errors import InputError
from core.remembered.untyped import JsonDict, JsonObject
from core.review.model_answers import CLAIMS, MAX_INDEX, MAX_PROMPTS, Answer, AnswerId, DrawnPrompt, Lesion
from core.strict import Strict, read_strictly

#: Longest header of an edit, and longest list of answers beside one, bytes.
MAX_HEADER_BYTES, MAX_ANSWERS_BYTES = 2**20, 64 * 2**20
#: Most answers that a draft cites.
MAX_ANSWERS = 5000
MAX_WORDS = 200
#: As many as a mask of uint8 can hold.
MAX_LABELS = 255
Labels = NDArray[np.uint8]


class DrawnAs(Strict):
    """A label beside those of the version, and the lesion that its person drew; None: a new one."""

    label: Lesion
    lesion_id: Annotated[str, Field(pattern="^L[1-9][0-9]{0,8}$")] | None


class Header(Strict):
    """What a browser says of an edit. A list that is absent (None) is as it was after the edit before."""

    slices: Annotated[list[Annotated[int, Field(ge=0, le=MAX_INDEX)]], Field(max_length=MAX_INDEX + 1)]
    prompts: Annotated[list[DrawnPrompt], Field(max_length=MAX_PROMPTS)] | None = None
    answers: Annotated[list[AnswerId], Field(max_length=MAX_ANSWERS)] | None = None
    lesions: Annotated[list[DrawnAs], Field(max_length=MAX_LABELS)] | None = None
    what: Annotated[str, Field(max_length=10_000)] = ""

    @model_validator(mode="before")
    @classmethod
    def _without_claims(cls, values: object) -> object:
        return {k: v for k, v in values.items() if k not in CLAIMS} if isinstance(values, dict) else values


class AnswerList(Strict):
    """The answers that an edit was the first to cite."""

    answers: Annotated[list[Answer], Field(max_length=MAX_ANSWERS)]


class Edit(NamedTuple):
    """One edit, read: its slices (k -> (I, J) labels), its prompts and cited answers or None, what was done, and which
    lesions were drawn under labels that the version has not (None: not said)."""

    slices: dict[int, Labels]
    prompts: list[JsonDict] | None
    answers: list[str] | None
    what: str
    lesions: dict[int, str | None] | None = None


def pack_edit(
    slices: Mapping[int, Labels],
    prompts: Sequence[JsonObject] | None,
    what: str,
    answers: Sequence[str] | None = None,
    lesions: Mapping[int, str | None] | None = None,
) -> bytes:
    """An edit as the browser sends it."""
    values: JsonDict = {"slices": sorted(slices), "what": what}
    if prompts is not None:
        values["prompts"] = [dict(p) for p in prompts]
    if answers is not None:
        values["answers"] = list(answers)
    if lesions is not None:
        values["lesions"] = [{"label": label, "lesion_id": lesion} for label, lesion in lesions.items()]
    header = json.dumps(values).encode()
    pixels = b"".join(np.asarray(slices[k], np.uint8).tobytes(order="F") for k in sorted(slices))
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(struct.pack("<I", len(header)) + header + pixels) + packer.flush()


def read_edit(packed: bytes, shape: tuple[int, int, int]) -> Edit:
    """The inverse of `pack_edit`.

    Raises:
        InputError: for anything else, prompts that are none, or slices that the grid has not.
    """
    plane = shape[0] * shape[1]
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(packed, 4 + MAX_HEADER_BYTES + plane * shape[2])
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise ValueError
        (length,) = struct.unpack_from("<I", data)
        if length > min(MAX_HEADER_BYTES, len(data) - 4):
            raise ValueError
    except (ValueError, struct.error, zlib.error):
        raise _no_edit(shape, "something else") from None
    try:
        header = read_strictly(Header, data[4 : 4 + length], MAX_HEADER_BYTES)
    except InputError as error:
        raise _no_edit(shape, f"another header. {error}") from None
    numbers = header.slices
    good = len(set(numbers)) == len(numbers) and all(k < shape[2] for k in numbers)
    if not good or len(data) != 4 + length + plane * len(numbers):
        raise _no_edit(shape, "other slices")
    pixels = np.frombuffer(data, np.uint8, offset=4 + length).reshape((shape[0], shape[1], len(numbers)), order="F")
    prompts = None if header.prompts is None else [prompt.model_dump() for prompt in header.prompts]
    slices = {k: pixels[:, :, n] for n, k in enumerate(numbers)}
    lesions = None if header.lesions is None else {one.label: one.lesion_id for one in header.lesions}
    return Edit(slices, prompts, header.answers, header.what[:MAX_WORDS], lesions)


def _no_edit(shape: tuple[int, int, int], got: str) -> InputError:
    return InputError(
        f"Expected an edit of whole slices of {shape[0]} x {shape[1]} voxels, slice numbers 0..{shape[2] - 1}, got "
        f"{got.rstrip('.')}. Reload the page; the draft is as it was."
    )


def pack_answers(answers: Sequence[Answer]) -> bytes:
    """Answers as they lie beside the edit that cited them first."""
    text = AnswerList(answers=list(answers)).model_dump_json().encode()
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(text) + packer.flush()


def read_answers(packed: bytes) -> list[Answer]:
    """The inverse of `pack_answers`. Raises InputError for anything else."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(packed, MAX_ANSWERS_BYTES + 1)
    except zlib.error:
        raise InputError("Expected answers as the server keeps them, got something else.") from None
    return list(read_strictly(AnswerList, text, MAX_ANSWERS_BYTES).answers)
