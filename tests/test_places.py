"""Documents that say where things are name places that are there."""

from __future__ import annotations

import ast
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RULES = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MENTIONED = re.findall(r"`((?:core|store|pages|weights|tests|docs)/[\w/.]*)`", CONTRIBUTING)
STEPS = [place for place in MENTIONED if "NAME" not in place]
TERMS = re.findall(r"\| `(\w+)` \|$", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
MUTANTS: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / ".ci/mutants.toml").read_text(encoding="utf-8"))
MUTATED, NO_RULES = MUTANTS["modules"], MUTANTS["no_rules"]


def names_of(file: str) -> set[str]:
    """Functions, classes and constants of a module."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize(("file", "name"), sorted(set(RULES)))
def test_every_place_of_the_architecture_is_there(file: str, name: str) -> None:
    assert (ROOT / file).is_file()
    assert not name or name in names_of(file)


@pytest.mark.parametrize("place", sorted(set(STEPS)))
def test_every_file_to_touch_is_there(place: str) -> None:
    assert (ROOT / place).exists()


@pytest.mark.parametrize("module", sorted(MUTATED))
def test_every_module_to_plant_faults_in_is_there_and_so_are_its_tests(module: str) -> None:
    assert (ROOT / module).is_file()
    assert MUTATED[module]
    for test in MUTATED[module]:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), test
        assert not name or name in names_of(file), test


def test_functions_without_a_rule_are_of_modules_that_faults_are_planted_in() -> None:
    for module, patterns in NO_RULES.items():
        assert module in MUTATED
        for pattern in patterns:
            assert any(fnmatchcase(name, pattern) for name in names_of(module)), pattern


def test_every_term_of_the_glossary_is_found_in_the_code() -> None:
    rooms = [path for room in ("core", "store", "pages") for path in (ROOT / room).rglob("*.py")]
    words = set(re.findall(r"\w+", "\n".join(path.read_text(encoding="utf-8") for path in rooms)))
    assert len(TERMS) > 50
    assert [term for term in TERMS if term not in words] == []
