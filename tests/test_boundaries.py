"""Boundaries: the import contracts of pyproject.toml catch what they should, and what no contract can say holds too.

Every rule is shown to catch a planted violation.
"""

from __future__ import annotations

import ast
import graphlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("commands", "core", "pages", "store", "weights")

#: Networks are classes of torch, so their modules need it as they are imported; engines import them late.
TORCH_AT_IMPORT = {
    "core.engines.encoders.astra",
    "core.engines.encoders.swin_unetr",
    "core.engines.prompt.litemedsam_net",
    "core.evidence.graph_network",
}

#: The two doors are files and no packages, which import-linter does not read: what each may import of ours, and may not
#: import of others.
DOORS = {"app.py": ({"pages"}, {"duckdb"}), "cli.py": ({"commands"}, {"streamlit", "duckdb"})}
SQL = re.compile(
    r"\s*(SELECT\s.+\sFROM\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s*\("
    r"|(CREATE|DROP|ALTER)\s+(OR\s+REPLACE\s+)?(UNIQUE\s+)?(TABLE|INDEX|VIEW|SEQUENCE)\s|PRAGMA\s+\w)",
    re.DOTALL,
)
CACHES = (Path("pages/ui/frame/resources.py"), Path("pages/ui/frame/measured.py"))
#: Parts of the store whose writes may flip calls -> these writes. Decisions and links have one way of their own.
EDITS = {
    "events": {"add", "add_all", "correct", "withdraw"},
    "protocols": {"set", "set_for_dataset"},
    "measurements": {"add", "withdraw"},
}


# --- the contracts ---


def contract_ids() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"] for contract in settings["tool"]["importlinter"]["contracts"]}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source, to plant violations in."""
    folder = tmp_path_factory.mktemp("house")
    for path in sources():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(folder: Path, contract: str) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache", "--no-logo", "--contract", contract]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


#: Contract, file that the lines are added to, lines.
PLANTED = [
    ("house", "store/store.py", "from pages.ui.frame import shell"),
    ("house", "store/store.py", "from commands import running"),
    ("house", "commands/mask.py", "from pages.ui.frame import shell"),
    ("house", "core/lesions/metrics.py", "def planted():\n    from store import open_store"),
    ("house", "core/engines/prompt/medsam.py", "from weights.recipes.sts_ctpet import train"),
    ("house", "store/store.py", "import weights.recipes.sts_ctpet.train"),
    ("floors", "core/imaging/suv.py", "def planted():\n    from core.engines import base"),
    ("floors", "core/lesions/metrics.py", "from ..imaging import suv"),
    ("floors", "core/review/readers.py", "from core.twin import curve"),
    ("floors", "core/gates/scan/detectors.py", "from core.simulation import phantom"),
    ("floors", "core/errors.py", "from core import types"),
    ("floors", "core/a_new_module.py", "NUMBER = 1"),
    ("circles", "core/imaging/volumes.py", "def planted():\n    from core.imaging import dicom"),
    ("circles", "core/engines/prompt/sam2.py", "def planted():\n    from core.engines.prompt import medsam"),
    ("taste", "core/gates/mask/joint.py", "def planted():\n    from core.evidence import learning"),
    ("registry", "weights/registry.py", "from core.types import Grid"),
    ("models", "core/lesions/matching.py", "from weights.registry import models"),
    ("networks", "core/lesions/metrics.py", "def planted():\n    import torch"),
    ("networks", "pages/ui/frame/shell.py", "def planted():\n    from nnunetv2 import inference"),
    ("core", "core/lesions/metrics.py", "import streamlit as st"),
    ("core", "core/growth/curves.py", "import duckdb"),
    ("core", "weights/registry.py", "def planted():\n    import sqlite3"),
    ("store", "store/values.py", "def planted():\n    import torch.nn"),
    ("store", "core/imaging/volumes.py", "import torch"),
    ("remembering", "store/store.py", "from core.lesions.masks import clean"),
    ("database", "pages/system.py", "import duckdb"),
    ("database", "commands/data.py", "import duckdb"),
    ("terminal", "commands/data.py", "import streamlit"),
    ("doors", "pages/review.py", "from app import app"),
    ("doors", "pages/review.py", "import cli"),
    ("doors", "core/types.py", "from tests.conftest import ROOT"),
]


@pytest.mark.parametrize(("contract", "path", "lines"), PLANTED)
def test_a_planted_import_breaks_its_contract(house: Path, contract: str, path: str, lines: str) -> None:
    file = house / path
    before = file.read_text(encoding="utf-8") if file.exists() else None
    try:
        file.write_text(f"{before or ''}\n{lines}\n", encoding="utf-8")
        answer = lint(house, contract)
    finally:
        file.unlink() if before is None else file.write_text(before, encoding="utf-8")
    assert answer.returncode == 1
    assert "Contracts: 0 kept, 1 broken." in answer.stdout, answer.stdout + answer.stderr


def test_every_contract_has_a_planted_violation() -> None:
    assert {contract for contract, _, _ in PLANTED} == contract_ids()


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, the first one found; [] if there is none."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_by_way_of_others_also_across_rooms() -> None:
    """import-linter asks whether rooms go round, and rooms of pages and store still do; their modules must not."""
    graph = grimp.build_graph(*ROOMS, cache_dir=None)
    assert circle({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}) == []
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


# --- what no contract says ---


def module_name(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, at the top of a file or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module or ''}.{alias.name}") for alias in node.names)


def named_in_a_call(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of what `import_module("...")` imports, which no contract sees."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                yield node.lineno, str(node.args[0].value)


def docstrings(tree: ast.AST) -> set[int]:
    """Ids of the nodes that are bare strings: documentation."""
    return {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}


def text_of(node: ast.AST) -> str:
    """A string literal's text; an f-string's with its holes filled by a word."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "hole" for v in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def violations(path: Path, source: str) -> list[str]:
    """What breaks these rules in one file, `path` relative to the project's root."""
    tree, found = ast.parse(source), []
    ours = {*ROOMS, "app", "cli", "tests"}
    allowed, forbidden = DOORS.get(str(path), (ours, set()))
    for line, name in imports(tree):
        top = name.split(".")[0]
        if top in forbidden or (top in ours and top not in allowed):
            found.append(f"{path}:{line} {path} may not import {name}")
        if name.startswith("streamlit.cache_") and path not in CACHES:
            found.append(f"{path}:{line} only {CACHES[0]} and {CACHES[1].name} cache")
    for line, name in named_in_a_call(tree):
        if name.split(".")[0] in ours:
            found.append(f"{path}:{line} {name} is imported by a name in a call, which no contract sees")
    if path.parts[0] in ("pages", "commands"):
        found += [f"{path}:{line} an edit that does not hand on what it flips" for line in silent_edits(tree)]
    skip = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("cache_resource", "cache_data") and path not in CACHES:
            found.append(f"{path}:{node.lineno} only {CACHES[0]} and {CACHES[1].name} cache")
        elif path.parts[0] != "store" and isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in skip:
            text = text_of(node)
            if SQL.match(text) or (text[:1].islower() and SQL.match(text.upper())):
                found.append(f"{path}:{node.lineno} SQL outside store: {text[:40]!r}")
    return found


def silent_edits(tree: ast.AST) -> Iterator[int]:
    """Lines that change what a response is told by, and do not say how their person was told what flips."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            part = node.func.value
            name = part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "")
            last = node.args[-1] if node.args else None
            said = last.attr if isinstance(last, ast.Attribute) else getattr(last, "id", "")
            if node.func.attr in EDITS.get(name, ()) and said != "told":
                yield node.lineno


def sources() -> list[Path]:
    rooms = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return sorted(path.relative_to(ROOT) for path in [*rooms, *ROOT.glob("*.py")])


def test_every_file_keeps_the_rules_that_no_contract_says() -> None:
    files = sources()
    assert {"app.py", "cli.py", "core/types.py", "store/__init__.py"} <= {str(path) for path in files}
    assert [v for path in files for v in violations(path, (ROOT / path).read_text())] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/lesions/metrics.py", "import importlib\nimportlib.import_module('store.store')"),
        ("core/lesions/metrics.py", "query = 'SELECT mask_id FROM masks'"),
        ("core/lesions/metrics.py", "query = 'select mask_id from masks where version = ?'"),
        ("core/lesions/metrics.py", "query = f'INSERT INTO {table} VALUES (?)'"),
        ("pages/system.py", "store.db.execute('''\n  DELETE FROM jobs''')"),
        ("pages/review.py", "import streamlit as st\n@st.cache_data\ndef f(): ..."),
        ("pages/ui/shared/charts.py", "from streamlit import cache_resource"),
        ("pages/ui/trajectory/event_forms.py", "store.events.withdraw(event_id, person, reason)"),
        ("commands/response.py", "store.protocols.set(patient, new, person, reason, flips)"),
        ("cli.py", "import streamlit"),
        ("cli.py", "def f():\n    from pages.ui import resources"),
        ("cli.py", "from store import open_store"),
        ("app.py", "from core import metrics"),
        ("app.py", "from tests import conftest"),
    ],
)
def test_a_planted_violation_is_caught(path: str, source: str) -> None:
    assert violations(Path(path), source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/lesions/metrics.py", "'''SELECT is SQL FROM the database.'''"),
        ("pages/worklist.py", "label = 'Select a patient from the list'"),
        ("pages/ui/frame/resources.py", "import streamlit as st\n@st.cache_resource\ndef f(): ..."),
        ("store/store.py", "q = 'SELECT 1 FROM t'"),
        ("commands/event.py", "events.withdraw(event_id, person, reason, moved, told)"),
        ("cli.py", "from commands import running\nimport sys"),
    ],
)
def test_what_is_allowed_is_not_caught(path: str, source: str) -> None:
    assert violations(Path(path), source) == []


def test_importing_core_and_store_leaves_heavy_libraries_out() -> None:
    rooms = {"core", "store"}
    modules = [m for path in sources() if (m := module_name(path)).split(".")[0] in rooms]
    modules = [m for m in modules if m not in TORCH_AT_IMPORT]
    assert {"core", "store", "core.jobs.jobs", "core.jobs.runner"} <= set(modules)
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'streamlit', 'distributed', 'nnunetv2'} & set(sys.modules)\n"
        "    assert not heavy, f'{name} imports {heavy}'\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-2000:]


def test_the_modules_that_need_torch_are_there_and_do() -> None:
    """An exception that is no longer needed must go."""
    for module in TORCH_AT_IMPORT:
        tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
        assert any(name.split(".")[0] == "torch" for _, name in imports(ast.Module(tree.body, [])))
