"""The pictures in docs/screenshots show the pages as they are, and it is noticed when they do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import picture_sources
from tests.picture_sources import PAGE_OF, ROOT, SUFFIXES, record, sources, stale


def test_no_picture_is_older_than_its_page() -> None:
    old = stale()
    assert not old, "run make screenshots: " + "; ".join(f"{name} {why}" for name, why in old.items())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the pages, with pictures that were made from it."""
    for name in ("pages", ".streamlit"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "secrets.toml"))
    shutil.copy(ROOT / "app.py", tmp_path)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in PAGE_OF:
        for suffix in SUFFIXES:
            (folder / f"{name}{suffix}.png").write_bytes(b"a picture")
    record(list(PAGE_OF), folder, tmp_path)
    return tmp_path


def old_pages(copy: Path) -> set[str]:
    return {name.removesuffix(".png").removesuffix("-1280") for name in stale(copy / "pictures", copy)}


def test_pictures_just_made_are_current(copy: Path) -> None:
    assert stale(copy / "pictures", copy) == {}


@pytest.mark.parametrize(
    ("changed", "old"),
    [
        ("pages/cohort.py", {"cohort"}),
        ("pages/ui/cohort/swimmer_chart.py", {"cohort"}),
        ("pages/ui/system/system_panels.py", {"system"}),
        ("pages/ui/review/history_tree.css", {"review", "editing", "compare"}),
        ("pages/ui/viewer/static/view/toolbar.js", {"review", "editing", "compare"}),
        ("pages/ui/frame/shell.py", set(PAGE_OF)),
        ("pages/ui/frame/icon.svg", set(PAGE_OF)),
        (".streamlit/config.toml", set(PAGE_OF)),
    ],
)
def test_a_change_makes_the_pictures_of_its_pages_old_and_no_others(copy: Path, changed: str, old: set[str]) -> None:
    with (copy / changed).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert old_pages(copy) == old


def test_a_picture_that_is_missing_is_named(copy: Path) -> None:
    (copy / "pictures" / "editing-1280.png").unlink()
    assert stale(copy / "pictures", copy) == {"editing-1280.png": "is missing"}


def test_making_one_picture_leaves_the_others_old(copy: Path) -> None:
    (copy / "pages/ui/frame/shell.py").write_text("# another frame\n", encoding="utf-8")
    record(["system"], copy / "pictures", copy)
    assert old_pages(copy) == set(PAGE_OF) - {"system"}


def test_every_page_has_its_picture() -> None:
    pages = {path.stem for path in (ROOT / "pages").glob("*.py")} - {"__init__"}
    assert set(PAGE_OF.values()) == pages
    for page in pages:
        assert Path(f"pages/{page}.py") in sources(page)
    assert picture_sources.FOLDER.is_dir()
