"""The threat model names places that are there, and the attacks report what they find."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.attack import __main__ as attack
from tests.attack.door import Door, Opened, Skipped
from tests.attack.door import attempt as try_door

ROOT = Path(__file__).resolve().parents[1]
PLACES = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("file", "name"), sorted(set(PLACES)))
def test_every_place_that_the_threat_model_names_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, named)}


def test_every_row_of_the_threat_model_names_a_place() -> None:
    rows = [line for line in (ROOT / "docs" / "threat-model.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 20
    assert [row for row in rows[1:] if "::" not in row] == []


def test_a_door_that_opens_or_an_attack_that_breaks_is_never_told_as_held(tmp_path: Path) -> None:
    def opened(_folder: Path) -> str:
        raise Opened("came through")

    def broken(_folder: Path) -> str:
        raise KeyError("token")

    def skipped(_folder: Path) -> str:
        raise Skipped("no browser")

    attempts = {"held": lambda _folder: "refused", "OPEN": opened, "not tried": skipped}
    for number, (state, attempt) in enumerate([*attempts.items(), ("OPEN", broken)]):
        assert try_door(Door("kind", "name", attempt), tmp_path / str(number)).state == state


def test_one_open_door_fails_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def opened(_folder: Path) -> str:
        raise Opened("came through")

    doors = [Door("kind", "first", lambda _folder: "refused"), Door("kind", "second", opened)]
    monkeypatch.setattr(attack, "doors", lambda words: doors)
    monkeypatch.setattr("sys.argv", ["attack"])
    assert attack.main() == 1
    assert "1 of 2 doors held, 1 open" in capsys.readouterr().out
    monkeypatch.setattr(attack, "doors", lambda words: doors[:1])
    assert attack.main() == 0
    monkeypatch.setattr(attack, "doors", lambda words: [])
    assert attack.main() == 1, "nothing tried is no pass"
