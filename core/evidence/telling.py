"""Numbers and words from outside as text: every number with its unit, what is not known in words, marks escaped.

No number here has four digits side by side: thousands are parted by commas, and parts below a thousandth are not
written out. So a record number or a year cannot be one of them (`core.evidence.prompt`).
"""

from __future__ import annotations

import math
import re
import unicodedata

from core.types import MM3_PER_ML

NOT_KNOWN = "not known"
#: Numbers beyond this are not written out.
_LARGEST = 1e9
#: Marks that turn the direction of what follows them, beyond the text itself.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|!~&$^])")
#: What begins a list or a line under a heading.
_BEGINS = re.compile(r"^(\d{0,9})([-+=.)])(?=[\s=-]|$)")
#: What is read as an address, an icon or a colour: `http://…`, `www.…`, `a@b.c`, `:name:`.
_READ_TOGETHER = re.compile(r"(:(?=[^\s\d])|www(?=\.)|@)", re.IGNORECASE)
_WORD_JOINER = "\u2060"


def known(value: float | None) -> float | None:
    """The number, or None where it is none: NaN and infinities are not known."""
    return value if value is not None and math.isfinite(value) else None


def number_text(value: float) -> str:
    """A number for people: three decimals at most, fewer for larger ones; "<0.001" where it would be 0 and is not."""
    size = abs(value)
    if size >= _LARGEST:
        return "beyond a thousand million" if value > 0 else "below minus a thousand million"
    if 0 < size < 0.0005:
        return "<0.001" if value > 0 else ">-0.001"
    decimals = 3 if size < 0.1 else 2 if size < 9.995 else 1 if size < 99.95 else 0
    text = f"{value:z,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def volume_text(volume_mm3: float | None) -> str:
    """A volume in mL: "12.5 mL", "0 mL" for none; "not known" where it is not."""
    return NOT_KNOWN if known(volume_mm3) is None else f"{number_text((volume_mm3 or 0.0) / MM3_PER_ML)} mL"


def percent_text(percent: float | None) -> str:
    """A change: "+12.5 %", "-40 %", "0 %"; "not known" where it is not."""
    if known(percent) is None:
        return NOT_KNOWN
    text = number_text(percent or 0.0)
    return f"+{text} %" if (percent or 0.0) > 0 and not text.startswith(("<", "b")) else f"{text} %"


def percentile_text(percentile: float | None) -> str:
    """How alike: "closer than 97.3 % of pairs"; never rounded up to all of them."""
    if known(percentile) is None:
        return NOT_KNOWN
    value = percentile or 0.0
    return f"closer than {'more than 99.9' if 99.95 <= value < 100 else number_text(round(value, 1))} % of pairs"


def days_text(days: float | None) -> str:
    """A day relative to the compared visit: "day +60", "day -14", "day 0"; "on a day not known" where it is not."""
    if known(days) is None:
        return "on a day not known"
    text = number_text(round(days or 0.0))
    return f"day {text if (days or 0.0) < 0.5 else f'+{text}'}"


def printable(text: str) -> str:
    """The text on one line; controls and marks that turn its direction are shown as "\ufffd"."""
    shown = (
        "\ufffd" if (unicodedata.category(c) in ("Cc", "Cs") and not c.isspace()) or c in _TURNS else c for c in text
    )
    return " ".join("".join(shown).split())


def escaped(value: object) -> str:
    """Markdown that shows `str(value)` as it is, on one line: no mark of Markdown, HTML or a table, and no address, is
    read as one."""
    marked = _MARKS.sub(r"\\\1", printable(str(value)))
    return _BEGINS.sub(r"\1\\\2", _READ_TOGETHER.sub(rf"\g<0>{_WORD_JOINER}", marked))
