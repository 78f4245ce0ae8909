"""Whether a name that is to be stored looks like a person's: asked before a patient or dataset is new."""

from __future__ import annotations

import datetime as dt
import re

from core.errors import InputError

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_DATES = (
    re.compile(r"(?<!\d)(?P<y>19\d\d|20\d\d)[._-]?(?P<m>\d\d)[._-]?(?P<d>\d\d)(?!\d)"),
    re.compile(r"(?<!\d)(?P<d>\d\d)[._-]?(?P<m>\d\d)[._-]?(?P<y>19\d\d|20\d\d)(?!\d)"),
    re.compile(r"(?<!\d)(?P<m>\d\d)[._-]?(?P<d>\d\d)[._-]?(?P<y>19\d\d|20\d\d)(?!\d)"),
)
#: A date with a year of two digits, in any order; only beside a name, as centres number their patients like that.
_SHORT_DATE = re.compile(r"(?<!\d)\d{1,2}([._-])\d{1,2}\1\d{1,2}(?!\d)")
_BIRTH_YEAR = re.compile(r"19\d\d|200\d|201\d")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that pseudonyms are made of.
_ORDINARY = _words("""
    patient pat pt subject subj sub case clinic study demo lung brain breast liver head neck control site
    phantom test trial group arm cohort center centre hospital scan visit baseline follow up id no nr number
    anon anonymous pseudonym simulated new old male female left right pilot phase training validation val
    dev set data dataset real ct pet mr mri sts tcga
""")
_GIVEN_NAMES = _words("""
    james john robert michael william david richard joseph thomas charles christopher daniel matthew anthony
    mark donald steven paul andrew joshua kenneth kevin brian george edward ronald timothy jason jeffrey
    ryan jacob gary nicholas eric jonathan stephen larry justin scott brandon benjamin samuel gregory frank
    raymond alexander patrick jack dennis jerry mary patricia jennifer linda elizabeth barbara susan jessica
    sarah karen nancy lisa margaret betty sandra ashley dorothy kimberly emily donna michelle carol amanda
    melissa deborah stephanie rebecca laura sharon cynthia kathleen amy angela shirley anna brenda pamela
    emma nicole helen samantha katherine christine rachel carolyn janet catherine maria heather diane ruth
    julie olivia hans peter klaus wolfgang juergen jurgen guenter guenther heinz karl walter ursula monika
    petra sabine renate helga ingrid jean pierre michel andre philippe alain jacques marie nathalie isabelle
    sylvie francoise jose antonio manuel francisco juan carlos luis miguel carmen josefa isabel giuseppe
    giovanni luigi marco lucia rosa mohammed muhammad ahmed ali fatima aisha ivan dmitri sergei olga natalia
    wei ming li hiroshi yuki jane joe jim tom anne eva
""")


class NameQuestion(InputError):
    """A name that looks like a person's: refused until somebody says that it is a pseudonym."""


def ask_about_id(patient_id: str) -> None:
    """Raise NameQuestion if a new patient's id holds a birth date, or words that look like a person's names."""
    reason = _what_it_looks_like(patient_id, strict=True)
    if reason:
        raise NameQuestion(
            f"Expected a pseudonym as patient id, got one that looks like {reason}. Choose another, or confirm that "
            "it is a pseudonym (on the page by its box, on the command line with --id-is-a-pseudonym)."
        )


def ask_about_name(kind: str, name: str) -> None:
    """Raise NameQuestion if a `kind` ("dataset", "sequence") holds a date or a given name beside another."""
    reason = _what_it_looks_like(name, strict=False)
    if reason:
        raise NameQuestion(
            f"Expected a {kind} that names no person, got one that looks like {reason}. Choose another, or confirm "
            "that it names nobody (on the page by its box, on the command line with --id-is-a-pseudonym)."
        )


def _what_it_looks_like(text: str, strict: bool) -> str:
    parts = [part.lower() for part in _PART.findall(text)]
    words = [part for part in parts if part.isalpha() and part not in _ORDINARY]
    numbers = [part for part in parts if part.isdigit()]
    given = any(word in _GIVEN_NAMES for word in words)
    if any(_is_date(match) for pattern in _DATES for match in pattern.finditer(text)):
        return "a name and a birth date" if words else "a date"
    if given and (strict or len(words) > 1):
        return "a person's name"
    if not strict:
        return ""
    registered = any(len(number) >= 3 and not _BIRTH_YEAR.fullmatch(number) for number in numbers)
    long_words = [word for word in words if len(word) >= 3]
    if long_words and _SHORT_DATE.search(text):
        return "a name and a birth date"
    if len(long_words) >= 2 and not registered:
        return "a person's name"
    if long_words and len(numbers) == 1 and _BIRTH_YEAR.fullmatch(numbers[0]):
        return "a name and a year of birth"
    return ""


def _is_date(match: re.Match[str]) -> bool:
    try:
        date = dt.date(int(match["y"]), int(match["m"]), int(match["d"]))
    except ValueError:
        return False
    return date.year >= 1900
