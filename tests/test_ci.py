"""The small programs in .ci/: what they say, and their exit status."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest

from tests.conftest import LONGEST

ROOT = Path(__file__).resolve().parents[1]


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def answer(*packages: dict[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
VULNERABLE = {"name": "yacs", "version": "0.1.8", "vulns": [{"id": "PYSEC-1", "fix_versions": ["0.1.9"]}]}
SKIPPED = {"name": "zict", "skip_reason": "Dependency not found on PyPI and could not be audited: zict (3.0.0)"}


@pytest.mark.parametrize(
    ("packages", "status", "sentences"),
    [
        ((CLEAN,), 0, ["0 of 1 packages"]),
        ((CLEAN, VULNERABLE), 1, ["yacs 0.1.8: PYSEC-1, fixed in 0.1.9", "1 of 2 packages"]),
        ((CLEAN, SKIPPED), 2, ["0 of 1 packages", "1 of 2 could not be asked about: this is no clean bill"]),
        ((VULNERABLE, SKIPPED), 1, ["PYSEC-1", "no clean bill"]),
        ((), 2, ["no clean bill"]),
    ],
)
def test_an_audit_that_could_not_ask_about_everything_is_no_clean_bill(packages, status, sentences):
    audit = program("audit")
    lines, got = audit.report(audit.read_answer(answer(*packages)))
    assert got == status
    assert all(any(sentence in line for line in lines) for sentence in sentences)


def test_an_audit_without_a_network_says_so(monkeypatch, capsys):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert program("audit").main() == 2
    assert "Nothing was audited: PyPI cannot be reached from here. Run `make audit`" in capsys.readouterr().out


#: Which figure, file, text: each is one beyond its limit. Written so that the figures do not find themselves.
BEYOND = [
    ("flat modules in core", "core/m{}.py", "", 7),
    ("flat modules in pages/ui", "pages/ui/m{}.py", "", 4),
    ("lines kept from the formatter", "tests/m{}.py", "x = 1  # fmt" + ": skip", 20),
    ("stores of no type", "tests/m{}.py", "def f(store" + ": Any): ...", 1),
    (
        "dict[str, Any] in pages, store, core/twin, core/review",
        "core/twin/m{}.py",
        "def f() -> dict[str, Any]: ...",
        16,
    ),
    ("modules that read the environment", "core/imaging/m{}.py", "os." + "environ", 3),
    ("pages that touch the whole store", "pages/ui/quality/m{}.py", "resources.whole" + "_store()", 1),
    ("modules over 400 lines", "pages/ui/viewer/m{}.js", "x\n" * 401, 1),
]


@pytest.mark.parametrize(("name", "place", "text", "number"), BEYOND)
def test_a_figure_beyond_its_limit_is_told_with_the_files_that_make_it(name, place, text, number):
    house = program("house")
    files = {PurePosixPath(place.format(n)): text for n in range(number)}
    beyond = [line for line, kept in house.judged(files) if not kept]
    assert len(beyond) == 1
    assert f"{number} of at most" in beyond[0]
    assert f"{name}  ← too many: {place.format(0)}" in beyond[0]
    files.popitem()
    assert all(kept for _, kept in house.judged(files))


def test_every_figure_of_the_house_is_tested():
    house = program("house")
    assert {figure.name for figure in house.FIGURES} == {name for name, *_ in BEYOND}
    assert all(kept for _, kept in house.judged({})), "an empty house has no fault"


def test_recipes_and_tests_may_read_the_environment_and_tests_may_be_long():
    house = program("house")
    text = "os." + "environ\n" * 401
    files = {PurePosixPath(f"{folder}/m{n}.py"): text for folder in ("tests", "weights/recipes") for n in range(2)}
    told = [line for line, kept in house.judged(files) if not kept]
    assert [line for line in told if "environment" in line] == []
    assert all("tests/" not in line for line in told)


def test_the_house_reads_its_own_source_and_finds_nothing_in_it():
    house = program("house")
    files = house.read_files(ROOT)
    assert PurePosixPath("core/types.py") in files
    own = {place: text for place, text in files.items() if place.parts[0] == ".ci" or place.name == "test_ci.py"}
    assert len(own) >= 3
    assert all(kept for _, kept in house.judged(own))
    assert not any("dict" not in f.name and f.count(own) for f in house.FIGURES), "not even once"


def test_without_a_checkout_the_folder_is_walked(tmp_path):
    for name in ("core/a.py", ".venv/lib/b.py", "build/c.py", "pages/d.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert set(map(str, program("house").read_files(tmp_path))) == {"core/a.py", "pages/d.js"}


def test_every_test_that_drives_a_browser_lies_where_make_looks_for_it():
    rooms = re.search(r"^BROWSER_ROOMS := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert rooms is not None
    mark = "mark." + "browser"
    found = [
        path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py") if mark in path.read_text(encoding="utf-8")
    ]
    assert len(found) > 10
    outside = [path for path in found if not any(path.is_relative_to(room) for room in rooms[1].split())]
    assert outside == [], "BROWSER_ROOMS in the Makefile names their rooms"


def test_the_files_that_begin_first_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
