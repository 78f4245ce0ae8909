"""Arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

#: Between the words of an option that takes several; no word of a command line can hold it.
WORD_SEPARATOR = "\0"


def one_of(choices: Callable[[], Sequence[str]]) -> Callable[[str], str]:
    """A check that a value is one of some words, which are asked for when it is needed.

    Raises:
        typer.BadParameter: it is none of them.
    """

    def check(value: str) -> str:
        if value not in choices():
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(choices())}.")
        return value

    return check


def _whole_numbers(value: list[str] | None) -> list[str] | None:
    """A check that every word is a whole number, of boxes. Raises typer.BadParameter."""
    for words in _all_words(5)(value) or []:
        for word in words.split(WORD_SEPARATOR):
            try:
                int(word)
            except ValueError:
                raise typer.BadParameter(f"{word!r} is not a whole number.") from None
    return value


def _all_words(n: int) -> Callable[[list[str] | None], list[str] | None]:
    """A check that an option of `n` words got them. It raises typer.BadParameter."""

    def check(value: list[str] | None) -> list[str] | None:
        for words in value or []:
            if words.count(WORD_SEPARATOR) != n - 1:
                raise typer.BadParameter(f"Expected {n} words, got {words.count(WORD_SEPARATOR) + 1}.")
        return value

    return check


def _modalities() -> Sequence[str]:
    from core.types import MODALITIES

    return MODALITIES


def _roles() -> Sequence[str]:
    from core.access import ROLES

    return ROLES


def _role_now(word: str) -> str:
    """The word as it is called today: "reviewer" is a reader."""
    from core.access import role_now

    return role_now(word)


def if_given(check: Callable[[str], str]) -> Callable[[str | None], str | None]:
    """The check, for an option that need not be given."""
    return lambda value: None if value is None else check(value)


DataFolder = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="data root (default: TWIN_DATA or ./data)")
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress")]
Reviewer = Annotated[
    str | None,
    typer.Option("--reviewer", "--person", metavar="NAME", help="who does this (default: TWIN_PERSON)"),
]

Patient = Annotated[str, typer.Argument(metavar="PATIENT", help="id of the patient")]
PatientOrAll = Annotated[str | None, typer.Argument(metavar="[PATIENT]", help="id of a patient (default: all)")]
Date = Annotated[str, typer.Argument(metavar="DATE", help="day of the timepoint, YYYY-MM-DD")]
Version = Annotated[int, typer.Argument(metavar="VERSION", help="number of the mask version")]
ReasonCode = Annotated[str, typer.Option(metavar="CODE", help="why, as a code")]
Comment = Annotated[str, typer.Option(metavar="TEXT", help="what else is to be said")]
OneLesion = Annotated[
    int | None, typer.Option(metavar="N", help="N of one lesion L<N> of the version (default: all of it)")
]
Modality = Annotated[
    str,
    typer.Option(metavar="MODALITY", help="CT, PET or MR", callback=one_of(_modalities), autocompletion=_modalities),
]
GivenModality = Annotated[
    str | None,
    typer.Option(
        "--modality",
        metavar="MODALITY",
        help="CT, PET or MR (default: what DICOM says)",
        callback=if_given(one_of(_modalities)),
        autocompletion=_modalities,
    ),
]
Dataset = Annotated[str, typer.Option(metavar="NAME", help="the data set that it belongs to")]
NewPatient = Annotated[str, typer.Option(metavar="PATIENT", help="id of the patient, a pseudonym")]
GivenDate = Annotated[
    str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="day of the timepoint (default: what the file says)")
]
DateDiffers = Annotated[
    str, typer.Option("--date-differs", metavar="REASON", help="why the date is another than the file's")
]
IsPseudonym = Annotated[bool, typer.Option("--id-is-a-pseudonym", help="an id that looks like a name is none")]
Role = Annotated[
    str,
    typer.Option(
        metavar="ROLE", help="what they may do", parser=_role_now, callback=one_of(_roles), autocompletion=_roles
    ),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option("--box", metavar="SLICE X0 Y0 X1 Y1", help="a box on a slice", callback=_whole_numbers),
]
Points = Annotated[
    list[str] | None,
    typer.Option("--point", metavar="SLICE X Y SIGN", help="SIGN is + or -", callback=_all_words(4)),
]
