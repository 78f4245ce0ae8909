"""Which nuclide a PET tracer carries, and whether the half-life in a header is that nuclide's.

Half-lives: DDEP, Table of Radionuclides (Monographie BIPM-5), rounded to four digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydicom import Dataset

from core.errors import InputError

HALF_LIFE_S: Mapping[str, float] = {
    "C-11": 1222.0,
    "N-13": 597.9,
    "O-15": 122.2,
    "F-18": 6584.0,
    "Sc-44": 14550.0,
    "Cu-62": 580.4,
    "Cu-64": 45720.0,
    "Ga-68": 4070.0,
    "Br-76": 58320.0,
    "Rb-82": 75.9,
    "Y-86": 53060.0,
    "Zr-89": 282200.0,
    "I-124": 360800.0,
}
_ELEMENTS = {
    "carbon": "C",
    "nitrogen": "N",
    "oxygen": "O",
    "fluorine": "F",
    "scandium": "Sc",
    "copper": "Cu",
    "gallium": "Ga",
    "bromine": "Br",
    "rubidium": "Rb",
    "yttrium": "Y",
    "zirconium": "Zr",
    "iodine": "I",
}
#: Headers round to minutes, and tables differ by a per cent.
_TOLERANCE = 0.03


def nuclide(text: str) -> str | None:
    """The one nuclide that a code's meaning names ("^18^Fluorine", "Fluorine F^18^", "F-18"), as in `HALF_LIFE_S`."""
    words = re.findall(r"[A-Za-z]+|\d+", text)
    found = set()
    for word in words:
        symbol = _ELEMENTS.get(word.lower(), word)
        found |= {f"{symbol}-{number}" for number in words if f"{symbol}-{number}" in HALF_LIFE_S}
    return found.pop() if len(found) == 1 else None


def check_half_life(tracer: Dataset, half_life_s: float, name: str) -> list[str]:
    """Warnings about the half-life of one item of the radiopharmaceutical sequence.

    Raises:
        InputError: it is not that of the nuclide that the header names.
    """
    named = next((found for text in _texts(tracer) if (found := nuclide(text))), None)
    if named is not None:
        expected = HALF_LIFE_S[named]
        if abs(half_life_s / expected - 1.0) > _TOLERANCE:
            raise InputError(
                f"{name}: expected the half-life of {named}, {expected:,.4g} s, got {half_life_s:,.4g} s. "
                "Correct (0018,1075), or export the series as SUV (GML)."
            )
        return []
    if any(abs(half_life_s / known - 1.0) <= _TOLERANCE for known in HALF_LIFE_S.values()):
        return []
    return [f"No nuclide is named, and {half_life_s:,.4g} s is the half-life of none that is known; SUV may be wrong."]


def _texts(tracer: Dataset) -> Iterator[str]:
    for keyword in ("RadionuclideCodeSequence", "RadiopharmaceuticalCodeSequence"):
        for code in tracer.get(keyword) or []:
            yield str(code.get("CodeMeaning") or "")
    yield str(tracer.get("Radiopharmaceutical") or "")
