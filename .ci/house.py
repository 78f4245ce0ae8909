"""The figures of the house: flat modules, untyped rows, readers of the environment, long modules; and their limits.

`python .ci/house.py` reads the files that git knows, or all of them where the source is no checkout. It prints every
figure and, where one is beyond its limit, the files that make it so; exit status 1 then. The patterns are written so
that none finds itself.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
LONGEST_MODULE = 400
NAMED = 12

Files = Mapping[PurePosixPath, str]


@dataclass(frozen=True)
class Figure:
    """One figure.

    Args:
        name: as it is printed.
        most: the limit, which is still fine.
        count: files -> how often in which file; a file that is not named counts 0.
    """

    name: str
    most: int
    count: Callable[[Files], Counter[PurePosixPath]]


def under(files: Files, *folders: str) -> Iterator[tuple[PurePosixPath, str]]:
    """The Python files in these folders; all of them if none is named."""
    for path, text in files.items():
        inside = not folders or any(path.is_relative_to(folder) for folder in folders)
        if path.suffix == ".py" and inside:
            yield path, text


def matches(pattern: str, *folders: str) -> Callable[[Files], Counter[PurePosixPath]]:
    """How many lines of each Python file a regular expression finds."""
    wanted = re.compile(pattern)

    def count(files: Files) -> Counter[PurePosixPath]:
        return Counter(
            {p: n for p, text in under(files, *folders) if (n := sum(map(_found(wanted), text.split("\n"))))}
        )

    return count


def _found(wanted: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda line: wanted.search(line) is not None


def flat(folder: str) -> Callable[[Files], Counter[PurePosixPath]]:
    """The modules that lie in the folder itself and in none of its rooms."""
    home = PurePosixPath(folder)
    return lambda files: Counter(p for p, _ in under(files, folder) if p.parent == home and p.name != "__init__.py")


def readers_of_the_environment(files: Files) -> Counter[PurePosixPath]:
    """Modules that ask the environment themselves; recipes and tests are no part of what runs."""
    found = matches(r"os\.environ|get[e]nv")(files)
    return Counter(p for p in found if not any(p.is_relative_to(folder) for folder in ("tests", "weights/recipes")))


#: Who opens the store, hands out people's views of it, or says who somebody is.
MAY_TOUCH_THE_WHOLE_STORE = (
    "pages/ui/frame/resources.py",
    "pages/ui/frame/measured.py",
    "pages/ui/frame/shell.py",
    "pages/ui/guard",
)


def touchers_of_the_whole_store(files: Files) -> Counter[PurePosixPath]:
    """Pages and routes that ask for more of the store than `Store.seen_by` gives a person."""
    found = matches(r"whole_[s]tore|open_[s]tore|import .*\b[S]tore\b|\._[w]hole\b", "pages")(files)
    return Counter(
        {p: n for p, n in found.items() if not any(p.is_relative_to(p2) for p2 in MAY_TOUCH_THE_WHOLE_STORE)}
    )


def long_modules(files: Files) -> Counter[PurePosixPath]:
    """Python and JavaScript of more lines than a reader keeps in mind; tests aside."""
    scripts = ((p, text) for p, text in files.items() if p.suffix in (".py", ".js") and p.parts[0] != "tests")
    return Counter(p for p, text in scripts if text.count("\n") > LONGEST_MODULE)


FIGURES = (
    Figure("flat modules in core", 6, flat("core")),
    Figure("flat modules in pages/ui", 3, flat("pages/ui")),
    Figure("lines kept from the formatter", 19, matches(r"fmt:\s*skip")),
    Figure("stores of no type", 0, matches(r"store:\s*Any")),
    Figure(
        "dict[str, Any] in pages, store, core/twin, core/review",
        15,
        matches(r"dict\[str, Any\]", "pages", "store", "core/twin", "core/review"),
    ),
    Figure("modules that read the environment", 2, readers_of_the_environment),
    Figure("pages that touch the whole store", 0, touchers_of_the_whole_store),
    Figure(f"modules over {LONGEST_MODULE} lines", 0, long_modules),
)


def read_files(root: Path) -> dict[PurePosixPath, str]:
    """The text of every Python and JavaScript file, by its place."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py", "*.js"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    names: Iterable[str] = listed.stdout.split("\0") if listed.returncode == 0 else _walked(root)
    places = (PurePosixPath(name) for name in sorted(filter(None, names)))
    return {place: (root / place).read_text(encoding="utf-8") for place in places if (root / place).is_file()}


def _walked(root: Path) -> Iterator[str]:
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        apart = any(part.startswith(".venv") or part in ("build", "data", "node_modules") for part in inside.parts)
        if path.suffix in (".py", ".js") and not apart:
            yield inside.as_posix()


def judged(files: Files) -> Iterator[tuple[str, bool]]:
    """A line for each figure, and whether it keeps its limit; beyond it, the files with the most of it are named."""
    for figure in FIGURES:
        found = figure.count(files)
        kept = found.total() <= figure.most
        line = f"{found.total():>4} of at most {figure.most:>2}  {figure.name}"
        if not kept:
            worst = [f"{path} ({n})" if n > 1 else str(path) for path, n in found.most_common(NAMED)]
            more = ["…"] if len(found) > NAMED else []
            line += f"  ← too many: {', '.join(worst + more)}"
        yield line, kept


def main() -> int:
    """Prints the figures; 1 if one is beyond its limit."""
    lines = list(judged(read_files(ROOT)))
    print("\n".join(line for line, _ in lines))
    return 0 if all(kept for _, kept in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
