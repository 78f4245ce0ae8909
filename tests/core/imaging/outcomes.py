"""What happens to every kind of input: told by the tests that show it, written down in docs/formats.md.

`python -m tests.formats` writes the document from what `shows` registered and from the refused cases of `bad_inputs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Outcome = Literal["read", "read and said", "refused", "by a person's word"]
Group = Literal[
    "DICOM: files and series",
    "DICOM: how voxels are stored",
    "PET to SUV",
    "NIfTI",
    "NRRD and MetaImage",
    "Which modality it is",
    "Masks",
    "Studies, dates and people",
]
Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Shown:
    """One row of the document.

    Args:
        kind: of input.
        outcome: what happens.
        how: the rest in words.
        test: module and name of the test that shows it.
    """

    group: Group
    kind: str
    outcome: Outcome
    how: str
    test: str


SHOWN: list[Shown] = []


def shows(group: Group, kind: str, outcome: Outcome, how: str = "") -> Callable[[Test], Test]:
    """Registers that a test shows what happens to a kind of input."""

    def register(test: Test) -> Test:
        SHOWN.append(Shown(group, kind, outcome, how, f"{test.__module__}.{test.__name__}"))
        return test

    return register
