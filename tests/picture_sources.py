"""What the pictures of docs/screenshots were made from: a digest a page, of the sources that draw it.

A page's sources are its own file, what it imports within pages/, the frame around every page, the style sheets, scripts
and icons beside them, and the theme. Numbers in a picture come from core/ as well: that is not looked at, because the
picture of a page does not become another one with every better number.
"""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "screenshots"
MADE_FROM = "made-from.json"
#: picture -> the page that it shows.
PAGE_OF = {
    **{
        name: name
        for name in (
            "worklist",
            "intake",
            "review",
            "compare",
            "lesions",
            "trajectory",
            "evidence",
            "cohort",
            "quality",
            "system",
        )
    },
    "editing": "review",
}
#: Beside the name of a picture: at 1440 x 900, and at 1280 x 720.
SUFFIXES = ("", "-1280")
VIEWER = Path("pages/ui/viewer")
FRAME = ("app.py", "pages/ui/frame/main.py", ".streamlit/config.toml", "pages/ui/frame/icon.svg")


def sources(page: str, root: Path = ROOT) -> list[Path]:
    """Every file that the look of a page depends on, relative to the root and sorted."""
    todo = [root / "pages" / f"{page}.py", root / "pages/ui/frame/main.py"]
    found: set[Path] = {root / name for name in FRAME}
    while todo:
        path = todo.pop()
        if path in found and path.name != "main.py":
            continue
        found.add(path)
        found |= {beside for ending in ("css", "js", "svg") if (beside := path.with_suffix(f".{ending}")).is_file()}
        todo += [one for one in _imported(path, root) if one not in found]
    if root / VIEWER / "describe.py" in found:  # what every page that shows the viewer describes its picture by
        found |= {file for file in (root / VIEWER / "static").rglob("*") if file.is_file()}
    return sorted(path.relative_to(root) for path in found if path.is_file())


def _imported(path: Path, root: Path) -> set[Path]:
    """The files of pages/ that a file imports, at its top or within a function."""
    names = _names(path.read_text(encoding="utf-8"))
    places = [root / name.replace(".", "/") for name in names if name.split(".")[0] == "pages"]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return {file for file in files if file.is_file()}


@cache
def _names(source: str) -> frozenset[str]:
    """Every dotted name that a source imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def digest(page: str, root: Path = ROOT) -> str:
    """SHA-256 over the names and contents of a page's sources."""
    total = hashlib.sha256()
    for path in sources(page, root):
        content = (root / path).read_bytes().replace(b"\r\n", b"\n")
        total.update(f"{path.as_posix()}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def stale(folder: Path = FOLDER, root: Path = ROOT) -> dict[str, str]:
    """Picture -> why it does not show the page as it is; empty when all of them do."""
    listed = folder / MADE_FROM
    made_from = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else {}
    now = {page: digest(page, root) for page in set(PAGE_OF.values())}
    why: dict[str, str] = {}
    for name, page in PAGE_OF.items():
        for suffix in SUFFIXES:
            if not (folder / f"{name}{suffix}.png").is_file():
                why[f"{name}{suffix}.png"] = "is missing"
            elif made_from.get(name) != now[page]:
                why[f"{name}{suffix}.png"] = "shows an older page"
    return why


def record(names: list[str], folder: Path = FOLDER, root: Path = ROOT) -> None:
    """Writes down that these pictures were made from the sources as they are now."""
    listed = folder / MADE_FROM
    made_from = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else {}
    made_from |= {name: digest(PAGE_OF[name], root) for name in names}
    part = listed.with_suffix(".part")
    part.write_text(json.dumps(dict(sorted(made_from.items())), indent=1) + "\n", encoding="utf-8")
    part.replace(listed)
