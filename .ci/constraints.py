"""Prints constraints.txt: the exact version of every package that the requirements bring, as it is installed here.

`make constraints` writes it, after the suite was green with these versions. Versions of a local build ("2.9+cpu") lose
what follows the plus sign, so that the file names no machine's own source of packages.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ("requirements.txt", "tests/requirements.txt")
#: Never named: it is what installs the others, and must not replace itself while it does.
INSTALLER = "pip"
HEAD = """\
# The versions that the suite was green with, on Linux x86-64 and Python {python}; `make run` and `make test` install
# them. Made by `make constraints`. `make newest` tries the newest. Why: docs/adr/0017-tested-versions.md
"""


def required(path: Path) -> Iterator[Requirement]:
    """What a requirements file names."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text:
            yield Requirement(text)


def closure(wanted: Iterator[Requirement]) -> dict[str, str]:
    """Canonical name -> installed version of these and all that they need here.

    Raises:
        SystemExit: one of them is not installed.
    """
    found: dict[str, str] = {}
    waiting = [(one, frozenset(one.extras)) for one in wanted]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one, extras = waiting.pop()
        name = canonicalize_name(one.name)
        if (name, extras) in seen or name == INSTALLER:
            continue
        seen.add((name, extras))
        try:
            installed = metadata.distribution(one.name)
        except metadata.PackageNotFoundError:
            raise SystemExit(f"{one.name} is not installed. Run `make test` first, then `make constraints`.") from None
        found[name] = installed.version.partition("+")[0]
        for text in installed.requires or ():
            needed = Requirement(text)
            if any(needed.marker is None or needed.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                waiting.append((needed, frozenset(needed.extras)))
    return found


def main() -> None:
    """Prints the file."""
    wanted = (one for name in REQUIREMENTS for one in required(ROOT / name))
    versions = closure(wanted)
    print(HEAD.format(python=".".join(map(str, sys.version_info[:2]))), end="")
    for name, version in sorted(versions.items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
