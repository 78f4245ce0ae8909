"""Answers that the server gave to boxes and points, as it remembers them: what made a mask is said by these alone.

A browser cites an answer by its id. Which prompts were asked, which model answered and with which weights comes from
the record here, never from the browser (docs/adr/0014-the-server-says-what-made-a-mask.md).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from core.errors import InputError
from core.lesions.mask_bits import unpack
from core.remembered.untyped import JsonDict
from core.strict import Strict
from core.types import Prompt

#: No scan has an index beyond this along any axis.
MAX_INDEX = 65_535
#: Most prompts of one slice or propagation, and most that a draft shows.
MAX_PROMPTS = 500
#: What a browser may say of a prompt and nobody believes: the server knows which model answered, and to what.
CLAIMS = frozenset({"model_id", "checkpoint_sha256", "method", "by_hand", "propagate"})

Index = Annotated[int, Field(ge=0, le=MAX_INDEX)]
Coordinate = Annotated[float, Field(ge=-MAX_INDEX, le=MAX_INDEX)]
Lesion = Annotated[int, Field(ge=1, le=255)]
AnswerId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class AskedPrompt(Strict):
    """A box or a point as a browser sends it: voxel indices of `scan`, on a slice across `axis` (`core.types.Prompt`).

    Claims of what answered it (`CLAIMS`) are dropped.
    """

    type: Literal["box", "point"]
    axis: Annotated[int, Field(ge=0, le=2)] = 2
    slice: Index
    coords: Annotated[list[Coordinate], Field(max_length=4)]
    positive: bool = True
    scan: Annotated[str, Field(max_length=64)] = "CT"
    lesion: Lesion = 1

    @model_validator(mode="before")
    @classmethod
    def _without_claims(cls, values: object) -> object:
        return {k: v for k, v in values.items() if k not in CLAIMS} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _makes_sense(self) -> AskedPrompt:
        try:
            self.prompt()
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    def prompt(self, scan: str | None = None) -> Prompt:
        """The same for an engine; of another name of the scan if one is given."""
        coords = tuple(self.coords)
        return Prompt(self.type, self.slice, coords, self.positive, scan or self.scan, self.lesion)


class DrawnPrompt(AskedPrompt):
    """A prompt as a draft shows it again. `kept`: its answer was taken into the draft, as the browser remembers."""

    kept: bool = False


class Rectangle(Strict):
    """A slice's mask as the bits of the rectangle around it (`core.lesions.mask_bits`)."""

    origin: Annotated[list[Index], Field(min_length=2, max_length=2)]
    shape: Annotated[list[Index], Field(min_length=2, max_length=2)]
    mask: Annotated[str, Field(max_length=2**21)]


class Extent(Strict):
    """Where the mask was that a propagation went on from: its slice and the rectangle around it."""

    slice: Index
    origin: Annotated[list[Index], Field(min_length=2, max_length=2)]
    shape: Annotated[list[Index], Field(min_length=2, max_length=2)]


class Answer(Rectangle):
    """One slice's answer: what was asked of which scan, what answered, and its mask.

    Args:
        answer_id: by which a browser cites it.
        scan_sha256, scan: the scan that was asked, and its name.
        axis, slice: the slice across that axis of the scan's own grid.
        lesion: which lesion it is for; None where the question named none, and then it explains nothing.
        prompts: all boxes and points that the model was asked with.
        propagated: whether it came by going through the slices.
        began: the mask that a propagation went on from, if it was given one.
        model_id, checkpoint_sha256: what answered.
    """

    answer_id: AnswerId
    scan_sha256: Sha256
    scan: Annotated[str, Field(max_length=64)]
    axis: Annotated[int, Field(ge=0, le=2)]
    slice: Index
    lesion: Lesion | None
    prompts: Annotated[list[AskedPrompt], Field(max_length=MAX_PROMPTS)]
    propagated: bool = False
    began: Extent | None = None
    model_id: str
    checkpoint_sha256: str

    @property
    def place(self) -> tuple[str, int, int, int | None]:
        """What a later answer to the same place replaces."""
        return self.scan_sha256, self.axis, self.slice, self.lesion

    def bits(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Its mask on a slice of `shape`. Raises InputError if it does not fit in there."""
        return unpack({"origin": self.origin, "shape": self.shape, "mask": self.mask}, shape)

    def sources(self) -> list[JsonDict]:
        """What it came from, as a sidecar's `prompts` have it: its boxes and points, and the mask it went on from."""
        model = {"model_id": self.model_id, "checkpoint_sha256": self.checkpoint_sha256}
        more = {"propagate": True} if self.propagated else {}
        rows = [{**prompt.model_dump(), "scan": self.scan, "lesion": self.lesion} for prompt in self.prompts]
        if self.began is not None:
            (a, b), (n, m) = self.began.origin, self.began.shape
            rows.append(
                {
                    "type": "mask",
                    "axis": self.axis,
                    "slice": self.began.slice,
                    "coords": [float(v) for v in (a, b, a + n - 1, b + m - 1)],
                    "positive": True,
                    "scan": self.scan,
                    "lesion": self.lesion,
                }
            )
        return [{**row, **more, **model} for row in rows]


def newest_of_each_place(answers: Iterable[Answer]) -> list[Answer]:
    """Answers in the order of citation, without those that a later one replaced on the same slice and lesion."""
    newest: dict[object, Answer] = {}
    for answer in answers:
        newest.pop(answer.place, None)
        newest[answer.place] = answer
    return list(newest.values())


#: A person's answers by id, oldest first, each with its patient and timepoint.
Page = OrderedDict[str, tuple[str, str, Answer]]


@dataclass
class AnswerBook:
    """The answers that were given lately, each its own person's alone; safe to share between threads.

    Args:
        most_answers, most_bytes: of one person. The oldest go first.
        most_people: who asked longest ago goes first, with all answers.
    """

    most_answers: int = 4000
    most_bytes: int = 32 * 2**20
    most_people: int = 64
    _pages: OrderedDict[str, Page] = field(default_factory=OrderedDict, init=False, repr=False)
    _bytes: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def remember(self, person: str, patient_id: str, timepoint: str, answer: Answer) -> str:
        """Keeps an answer; returns its id."""
        with self._lock:
            page: Page = self._pages.setdefault(person, OrderedDict())
            self._pages.move_to_end(person)
            page[answer.answer_id] = (patient_id, timepoint, answer)
            self._bytes[person] = self._bytes.get(person, 0) + _size(answer)
            while len(page) > self.most_answers or (self._bytes[person] > self.most_bytes and len(page) > 1):
                self._bytes[person] -= _size(page.popitem(last=False)[1][2])
            while len(self._pages) > self.most_people:
                del self._bytes[self._pages.popitem(last=False)[0]]
        return answer.answer_id

    def recall(self, person: str, patient_id: str, timepoint: str, answer_ids: Sequence[str]) -> list[Answer]:
        """Those of the answers that were given to this very person about this timepoint, in the order asked for."""
        with self._lock:
            page: Page = self._pages.get(person, OrderedDict())
            found = [page.get(answer_id) for answer_id in answer_ids]
        return [one[2] for one in found if one is not None and one[:2] == (patient_id, timepoint)]

    def forget(self, person: str, patient_id: str, timepoint: str) -> None:
        """Drops a person's answers about a timepoint: no draft that could cite them is open any more."""
        with self._lock:
            page: Page = self._pages.get(person, OrderedDict())
            for answer_id in [key for key, one in page.items() if one[:2] == (patient_id, timepoint)]:
                self._bytes[person] -= _size(page.pop(answer_id)[2])

    def __len__(self) -> int:
        return sum(len(page) for page in self._pages.values())


def _size(answer: Answer) -> int:
    """About what it takes of memory, bytes."""
    return 500 + len(answer.mask) + 300 * len(answer.prompts)
