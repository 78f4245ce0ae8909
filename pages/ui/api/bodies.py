"""What the browser may send to the routes of drafts and prompts, checked before anything of it is used or kept."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, model_validator

from core.errors import InputError
from core.review.model_answers import MAX_PROMPTS, AskedPrompt, Index, Lesion, Rectangle, Sha256
from core.strict import Strict, quoted

#: Longest body of a prompt's route: prompts, and the bits of one slice's mask; of one that begins a draft.
MAX_PROMPT_BYTES, MAX_BEGIN_BYTES = 4 * 2**20, 10_000
_REVISION = re.compile(r'\s*"?([0-9]{1,9})"?\s*', re.ASCII)
Axis = Annotated[int, Field(ge=0, le=2)]
AskedPrompts = Annotated[list[AskedPrompt], Field(max_length=MAX_PROMPTS)]


class BeginBody(Strict):
    """POST draft."""

    patient_id: Annotated[str, Field(max_length=64)]
    timepoint: Annotated[str, Field(max_length=10)]
    parent_version: Annotated[int, Field(ge=1, le=10**6)] | None


class ScanBody(Strict):
    """Fields of every prompt's body: the scan."""

    scan: Sha256


class AheadBody(ScanBody):
    """POST ahead."""

    axis: Axis
    slice: Index


class PromptBody(ScanBody):
    """POST prompt."""

    axis: Axis
    slice: Index
    prompts: AskedPrompts
    draft_id: Annotated[str, Field(max_length=64)] | None = None
    lesion: Lesion | None = None

    @model_validator(mode="after")
    def _on_one_axis(self) -> PromptBody:
        _check_axis(self.axis, self.prompts)
        return self


class FromMask(Rectangle):
    """The slice and mask that a propagation goes on from."""

    slice: Index


class PropagateBody(ScanBody):
    """POST propagate."""

    prompts: AskedPrompts
    lesion: Lesion | None = None
    start: Annotated[FromMask | None, Field(alias="from")] = None
    until: Annotated[list[Index], Field(min_length=2, max_length=2)] | None = None

    @model_validator(mode="after")
    def _on_the_files_slices(self) -> PropagateBody:
        _check_axis(2, self.prompts)
        return self


def _check_axis(axis: int, prompts: list[AskedPrompt]) -> None:
    if any(prompt.axis != axis for prompt in prompts):
        raise ValueError(f"Expected prompts on slices across axis {axis} alone, got some across another.")


def revision(header: str) -> int:
    """The revision that a change is made on, of its If-Match. Raises InputError for anything else."""
    found = _REVISION.fullmatch(header)
    if found is None:
        raise InputError(f"Expected If-Match with a draft's revision, got {quoted(header)}. Reload the page.")
    return int(found[1])
