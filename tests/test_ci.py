"""The small programs in .ci/: what they say, and their exit status."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
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
