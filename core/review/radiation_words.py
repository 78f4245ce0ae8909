"""Radiotherapy in the words that people write: which technique, what dose, where. What is not read is said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from core.review.body_sites import BodySite, read_site

#: technique -> the ways to write it, the more special first. "not-said": a dose in Gy alone.
_WAYS: dict[str, str] = {
    "gamma-knife": r"gamma[\s-]?knife|gksrs|gkrs|leksell",
    "cyberknife": r"cyber[\s-]?knife|ckrs",
    "whole-brain": r"(?:ha[\s-]?)?wbrt|whole[\s-]?brain[\s-]+(?:rt|radi\w+|irradiation)|cranial irradiation",
    "total-body": r"total[\s-]body[\s-]+irradiation",
    "radiosurgery": r"srs|(?:stereotactic[\s-]+)?radio[\s-]?surg\w+",
    "stereotactic-body": r"sbrt|sabr|stereotactic[\s-]+(?:body|ablative)(?:[\s-]+(?:rt|radi\w+))?",
    "fractionated-stereotactic": r"h?fsrt|srt|(?:fractionated[\s-]+)?stereotactic(?:[\s-]+(?:rt|radi\w+|irradiation))?",
    "brachytherapy": r"brachy\w*|interstitial (?:rt|radi\w+)",
    "intraoperative": r"ioe?rt|intra[\s-]?operative[\s-]+(?:rt|radi\w+|irradiation|electron\w*)",
    "carbon-ion": r"carbon(?:[\s-]ions?)?(?=\W+(?:rt|radi\w+|therapy|beam)|\s*$)|carbon[\s-]ions?|heavy[\s-]ions?|cirt",
    "proton": r"protons?(?![\s-]*pump)|impt|pbt",
    "vmat": r"vmat|rapid[\s-]?arc|volumetric(?:[\s-]+modulated)?[\s-]+arc(?:[\s-]+therapy)?",
    "imrt": r"imrt|intensity[\s-]+modulated(?:[\s-]+(?:rt|radi\w+))?",
    "tomotherapy": r"tomo[\s-]?therapy",
    "3d-conformal": r"3[\s-]?d[\s-]?c?rt|(?:3[\s-]?d[\s-]+)?conformal[\s-]+(?:rt|radi\w+)",
    "chemoradiation": r"chemo[\s-]?radi\w+|radio[\s-]?chemo\w*|chemo[\s-]?rt|ccrt|crtx?(?!-[dp]\b)",
    "external-beam": r"(?:external[\s-]+beam[\s-]+)?(?:radiation|radio[\s-]?th[eé]rap\w*)|external[\s-]+beam|ebrt|"
    r"xrt|igrt|lin[\s-]?ac|rtx|radioterapia|strahlentherapie|bestrahl\w*|irradiat\w*",
}
#: What a person chooses from.
TECHNIQUES = (*_WAYS, "not-said")
_PATTERNS = {
    name: re.compile(rf"(?<!\w)(?:{words})(?!\w)(?:[\s-]+therapy)?", re.IGNORECASE) for name, words in _WAYS.items()
}
#: "RT" is also the right side: only in capitals, or beside a dose.
_RT = re.compile(r"(?<![\w-])R\.?T\.?(?![\w-])")
_GY = r"(c?)Gy(?:E|\s*\(RBE\))?(?![a-z])"
#: Numbers of few digits: of a text that is nothing but digits each could begin at every one of them.
_NUMBER = r"((?<![\d.,])\d{1,5}(?:[.,]\d{1,4})?)"
_WHOLE = r"((?<!\d)\d{1,3})"
_DOSE = re.compile(rf"{_NUMBER}\s*{_GY}", re.IGNORECASE)
_TIMES = re.compile(rf"{_WHOLE}\s*[x×*]\s*{_NUMBER}\s*{_GY}", re.IGNORECASE)
_TIMES_AFTER = re.compile(rf"{_NUMBER}\s*{_GY}\s*[x×*]\s*{_WHOLE}(?!\d)", re.IGNORECASE)
_FRACTIONS = re.compile(
    r"(?<=Gy)\s*(?:/|in)\s*(\d{1,3})(?!\d)(?:\s*(?:#|fx\b|fr\b|fractions?\b))?|(?<!\d)(\d{1,3})\s*(?:#|fx\b|fr\b|fractions?\b)",
    re.IGNORECASE,
)
#: What is in every text that names a course: most events are told by one look.
_ANY = re.compile(rf"{'|'.join(_WAYS.values())}|R\.?T|Gy", re.IGNORECASE)
_EACH = re.compile(
    r"^\s*(?:/\s*(?:d|day|fx|fr|fraction)\b|(?:daily|per\s+(?:day|fraction)|a\s+day|each)\b)", re.IGNORECASE
)
#: Harm of radiation, and who gives it: no course of it.
_NOT_A_COURSE = re.compile(
    r"radiation[\s-]+(?:necrosis|oncolog\w+|pneumonitis|dermatitis|proctitis|induced|effects?|change\w*)", re.IGNORECASE
)
_DENIED_BEFORE = re.compile(
    r"\b(?:no|not|without|never|denie[sd]|declin\w+|refus\w+|omit\w*|instead of|contraindicat\w+)\b[^.;,]{0,25}$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"^[^.;,]{0,20}\b(?:declined|refused|omitted|not (?:given|done|indicated)|cancell?ed|contraindicated)\b",
    re.IGNORECASE,
)
#: Characters beside a word in which a denial of it may stand.
_REACH = 60
_CUT = re.compile(r"\b(?:biops\w+|resect\w+|excis\w+|amputat\w+)\b", re.IGNORECASE)


@dataclass(frozen=True)
class RadiationWords:
    """What a text says of a course of radiotherapy.

    Args:
        technique: one of `TECHNIQUES`.
        dose_gy, fractions: of the whole course; None where it is not said, or not for sure.
        site: what is left of the text, read as a place.
        denied: radiotherapy is named, and said not to have been given.
    """

    technique: str
    dose_gy: float | None
    fractions: int | None
    site: BodySite
    denied: bool = False


def names_radiation(text: str, *, is_surgery: bool = False) -> bool:
    """Whether a text tells of a course of radiotherapy that was given."""
    found = read_radiation(text, is_surgery=is_surgery)
    return found is not None and not found.denied


@lru_cache(maxsize=4096)
def read_radiation(text: str, *, is_surgery: bool = False) -> RadiationWords | None:
    """The course of radiotherapy that a text names; None where it names none.

    Args:
        is_surgery: it is said of an operation: "RT" alone is the right side there.
    """
    if not _ANY.search(text):
        return None
    plain = _NOT_A_COURSE.sub(lambda match: " " * len(match[0]), text)
    spans = [(name, match.span()) for name, pattern in _PATTERNS.items() for match in pattern.finditer(plain)]
    dosed = _DOSE.search(plain)
    short = re.compile(_RT.pattern, re.IGNORECASE if dosed else 0)
    if dosed or not (is_surgery or _CUT.search(plain)):
        spans += [("external-beam", match.span()) for match in short.finditer(plain)]
    if not spans and dosed is None:
        return None
    denied = bool(spans) and all(_is_denied(plain, start, end) for _, (start, end) in spans)
    given = [one for one in spans if denied or not _is_denied(plain, *one[1])]
    technique = min((list(_WAYS).index(name), name) for name, _ in given)[1] if given else "not-said"
    dose, fractions, dose_spans = _dose(plain)
    rest = _without(plain, [*(span for _, span in spans), *dose_spans])
    return RadiationWords(technique, dose, fractions, read_site(rest), denied)


def _is_denied(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - _REACH) : start], text[end : end + _REACH]
    return bool(_DENIED_BEFORE.search(before) or _DENIED_AFTER.search(after))


def _dose(text: str) -> tuple[float | None, int | None, list[tuple[int, int]]]:
    """Dose of the whole course in Gy, its fractions, and where they stand in the text."""
    times, after = _TIMES.search(text), _TIMES_AFTER.search(text)
    spans = [match.span() for pattern in (_TIMES, _TIMES_AFTER, _DOSE, _FRACTIONS) for match in pattern.finditer(text)]
    product = None
    if times:
        product = int(times[1]), int(times[1]) * _gy(times[2], times[3])
    elif after:
        product = int(after[3]), int(after[3]) * _gy(after[1], after[2])
    inside = [match.span() for pattern in (_TIMES, _TIMES_AFTER) for match in pattern.finditer(text)]
    alone = {
        _gy(match[1], match[2])
        for match in _DOSE.finditer(text)
        if not any(start <= match.start() < end for start, end in inside) and not _EACH.match(text[match.end() :])
    }
    said = _FRACTIONS.search(text)
    fractions = int(said[1] or said[2]) if said else None
    if product:
        doses = {product[1], *alone}  # "60 Gy (30 x 2 Gy)" says one thing twice
        return (product[1] if len(doses) == 1 else None), product[0], spans
    return (next(iter(alone)) if len(alone) == 1 else None), fractions, spans


def _gy(number: str, hundredth: str) -> float:
    return round(float(number.replace(",", ".")) / (100 if hundredth else 1), 4)


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    kept = list(text)
    for start, end in spans:
        kept[start:end] = " " * (end - start)
    return "".join(kept)
