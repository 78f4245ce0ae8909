"""Text that comes from files or people, as Markdown and as figures show it: as it is, and as nothing else.

Whatever a page shows by a call of Streamlit is Markdown: messages, headings, captions, metrics, and the labels, options
and help of widgets. A picture in it is fetched by the reader's browser, from wherever its address says. Every value
that is not written in our own source or a number passes through `plain`; `tests/pages/test_text_as_text.py` holds the
pages to it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from core.remembered.links import is_unlinked
from core.remembered.untyped import TableRow
from core.report.csv_text import harmless
from core.types import MM3_PER_ML

#: Shown as nothing, and enough to part what would be read together.
_WORD_JOINER = "\u2060"
#: What Streamlit changes after Markdown was read, where escaping no longer helps: emoji, icons and its own name
#: (`:name:`), addresses (`http://…`, `www.…`, `a@b.c`) and arrows between spaces (`->`).
_READ_TOGETHER = re.compile(
    r":(?=\S)(?!(?<=\d:)\d\d(?!\d))"  # not in the time of a day, 12:30
    r"|@(?=\S)|www(?=\.)|(?<!\S)(?:<(?=->)|[-<>~](?=[-=>]))(?=\S{1,2}(?!\S))",
    re.IGNORECASE,
)
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
#: Marks that turn the direction of what follows them, beyond the text itself.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(value: object) -> str:
    """Markdown that shows `str(value)` as it is, on one line.

    Returns:
        The text with every mark of Markdown, HTML and LaTeX escaped, spaces and line ends made one space each, and
        control characters shown as "\ufffd"; "" for empty text.
    """
    text = " ".join(_printable(str(value)).split())
    return _PUNCTUATION.sub(r"\\\1", _READ_TOGETHER.sub(rf"\g<0>{_WORD_JOINER}", text))


def millilitres(volume_mm3: float) -> str:
    """A volume as people read it, without its unit: one digit after the point, two below 1 mL: 163.0, 0.03, <0.01."""
    volume_ml = volume_mm3 / MM3_PER_ML
    if 0 < volume_ml < 0.01:
        return "<0.01"
    return f"{volume_ml:.2f}" if 0 < volume_ml < 0.995 else f"{volume_ml:.1f}"


def cells(rows: Sequence[TableRow]) -> list[dict[str, object]]:
    """Rows for `st.dataframe`, whose toolbar saves them as CSV in the browser: with no text that is a formula there."""
    return [
        {name: harmless(_printable(value)) if isinstance(value, str) else value for name, value in row.items()}
        for row in rows
    ]


def figure_text(value: object) -> str:
    """Text for names, ticks, annotations and hovers of a plotly figure, which reads a kind of HTML and `%{…}` there."""
    text = " ".join(_printable(str(value)).split())
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("%{", "%&#123;"), ("$", "&#36;")):
        text = text.replace(sign, entity)
    return text


def _printable(text: str) -> str:
    return "".join(
        "\ufffd" if (unicodedata.category(c) in ("Cc", "Cs") and not c.isspace()) or c in _TURNS else c for c in text
    )


def lesion_words(lesion_id: str) -> str:
    """A lesion as people are told of it: its id; "not linked (label 3)" for a label of which nobody can tell which
    lesion it is."""
    return f"not linked (label {lesion_id.rpartition('-')[2]})" if is_unlinked(lesion_id) else lesion_id
