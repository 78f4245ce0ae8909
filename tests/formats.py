"""Writes docs/formats.md, what happens to every kind of input, from the tests that show it: `python -m tests.formats`.

The counts of the libraries' own test files are kept as `python -m tests.library_files --keep` wrote them.
"""

from __future__ import annotations

import argparse
import importlib
import re
from pathlib import Path

from tests.core.imaging.bad_inputs.registry import CASES
from tests.core.imaging.outcomes import SHOWN

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "docs" / "formats.md"
BEGIN, END = "<!-- counts -->", "<!-- end of counts -->"
HEAD = """\
# Formats

<!-- Made by `python -m tests.formats` from the tests named in it; change it there. -->

What happens to every kind of input, and the test that shows it. Nothing here is a plan: each row is a test that would
fail. "Read and said": with a warning that stays with the scan or mask. "Refused": with a sentence that says what was
expected, what was got, and what to do.
"""
LIBRARIES = """
## The libraries' own test files

`python -m tests.library_files` hands every test file of pydicom, nibabel and highdicom to the process that reads a
user's files, as each thing that it may be, and compares what was read with the library's own reader. Crashed and
garbage (other voxels than the library reads) must be 0.
"""
REFUSALS = """
## Refused, and what is said

Each of these is a small file in `tests/core/imaging/bad_inputs`.

| kind | the message says | and |
|---|---|---|
"""


def document() -> str:
    """The whole of docs/formats.md."""
    _register()
    parts = [HEAD]
    for group in dict.fromkeys(item.group for item in sorted(SHOWN, key=lambda item: _ORDER.index(item.group))):
        parts.append(f"\n## {group}\n\n| kind | what happens | shown by |\n|---|---|---|\n")
        for item in sorted((item for item in SHOWN if item.group == group), key=lambda item: item.kind.lower()):
            what = f"{item.outcome}; {item.how}" if item.how else item.outcome
            module, _, test = item.test.rpartition(".")
            parts.append(f"| {item.kind} | {what} | {module.rpartition('.')[2]}: {_words(test)} |\n")
    parts += [LIBRARIES, "\n", BEGIN, "\n", kept_counts(), "\n", END, "\n", REFUSALS]
    cases = sorted(CASES, key=lambda case: case[1].__module__)  # whichever was imported first
    parts += [f"| {_cell(kind)} | {_cell(problem)} | {_cell(remedy)} |\n" for kind, _, _, problem, remedy in cases]
    return "".join(parts)


_ORDER = (
    "Studies, dates and people",
    "DICOM: files and series",
    "DICOM: how voxels are stored",
    "PET to SUV",
    "NIfTI",
    "NRRD and MetaImage",
    "Which modality it is",
    "Masks",
)


def kept_counts() -> str:
    """The table between the marks of the document as it is."""
    text = PLACE.read_text(encoding="utf-8") if PLACE.exists() else ""
    found = re.search(f"{BEGIN}\n(.*?)\n{END}", text, re.DOTALL)
    return found[1] if found else "not counted yet"


def keep_counts(table: str) -> None:
    """Puts another table between the marks."""
    text = PLACE.read_text(encoding="utf-8")
    PLACE.write_text(text.replace(f"{BEGIN}\n{kept_counts()}\n{END}", f"{BEGIN}\n{table}\n{END}"), encoding="utf-8")


def _register() -> None:
    """Imports the tests of the room: each registers what it shows."""
    for path in sorted((ROOT / "tests" / "core" / "imaging").rglob("*.py")):
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))


def _words(test: str) -> str:
    return test.removeprefix("test_").replace("_", " ")


def _cell(text: str) -> str:
    return text.replace("\\", "").replace("|", "\\|")


def main() -> None:
    """Writes it to its place."""
    argparse.ArgumentParser(prog="python -m tests.formats", description="Writes docs/formats.md.").parse_args()
    PLACE.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
