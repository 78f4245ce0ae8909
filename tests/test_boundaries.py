"""The import rules, held by reading every source file; each rule is shown to catch a planted violation."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"app", "cli", "core", "pages", "store", "tests", "weights"}

#: Networks are classes of torch, so their modules need it as they are imported; engines import them late.
TORCH_AT_IMPORT = {"core.engines.prompt.litemedsam_net"}

#: Who may import what of ours: the longest prefix of the importing module decides.
ALLOWED: dict[str, set[str]] = {
    "app": {"pages"},
    "cli": {"core", "store", "weights"},
    "pages": {"pages", "core", "store", "weights"},
    "store": {
        "store",
        "core.types",
        "core.errors",
        "store.files.file_rights",
        "core.imaging.volumes",
        "core.review.decisions",
        "core.access",
        "core.version",
        "core.review.model_answers",
        "core.strict",
        "core.settings",
    },
    "core": {"core"},
    "core.engines": {"core", "weights.registry"},
    "core.gates.scan": {"core", "weights.registry"},
    "weights": {"weights", "core.errors", "core.settings", "core.types"},
    "weights.recipes": {"weights", "core"},
}
#: Libraries that a room never imports, at the top of a file or inside a function.
FORBIDDEN: dict[str, set[str]] = {
    "core": {"streamlit", "duckdb", "sqlite3", "sqlalchemy", "psycopg"},
    "store": {"streamlit", "torch", "nnunetv2"},
    "weights": {"streamlit", "duckdb"},
    "cli": {"streamlit", "duckdb"},
    "pages": {"duckdb"},
    "app": {"duckdb"},
}
SQL = re.compile(
    r"\s*(SELECT\s.+\sFROM\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s*\("
    r"|(CREATE|DROP|ALTER)\s+(OR\s+REPLACE\s+)?(UNIQUE\s+)?(TABLE|INDEX|VIEW|SEQUENCE)\s|PRAGMA\s+\w)",
    re.DOTALL,
)


def module_name(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def longest_prefix(module: str, rules: dict[str, set[str]]) -> set[str]:
    owners = [name for name in rules if module == name or module.startswith(name + ".")]
    return rules[max(owners, key=len)] if owners else set()


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported, also relatively or by importlib."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            base = parts[: len(parts) - node.level + is_package] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def within(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def docstrings(tree: ast.AST) -> set[int]:
    """Ids of the nodes that are bare strings: documentation."""
    return {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}


def text_of(node: ast.AST) -> str:
    """A string literal's text; an f-string's with its holes filled by a word."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "hole" for v in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def violations(path: Path, source: str) -> list[str]:
    """What breaks the rules in one file, `path` relative to the project's root."""
    module, tree = module_name(path), ast.parse(source)
    room, found = module.split(".")[0], []
    for line, name in imports(tree, module, path.name == "__init__.py"):
        if name.split(".")[0] in OURS and not within(name, longest_prefix(module, ALLOWED)):
            found.append(f"{path}:{line} {room} may not import {name}")
        if within(name, FORBIDDEN.get(room, set())):
            found.append(f"{path}:{line} {room} may not import {name}")
        if name.startswith("streamlit.cache_") and path != Path("pages/ui/frame/resources.py"):
            found.append(f"{path}:{line} only pages/ui/frame/resources.py caches")
    skip = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("cache_resource", "cache_data"):
            if path != Path("pages/ui/frame/resources.py"):
                found.append(f"{path}:{node.lineno} only pages/ui/frame/resources.py caches")
        elif room != "store" and isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in skip:
            text = text_of(node)
            if SQL.match(text) or (text[:1].islower() and SQL.match(text.upper())):
                found.append(f"{path}:{node.lineno} SQL outside store: {text[:40]!r}")
    return found


def sources() -> list[Path]:
    rooms = [path for room in ("core", "store", "pages", "weights") for path in (ROOT / room).rglob("*.py")]
    return sorted(path.relative_to(ROOT) for path in [*rooms, *ROOT.glob("*.py")])


def test_every_file_keeps_the_import_rules():
    files = sources()
    assert {"app.py", "core/types.py", "store/__init__.py"} <= {str(path) for path in files}
    assert [v for path in files for v in violations(path, (ROOT / path).read_text())] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/lesions/metrics.py", "import streamlit as st"),
        ("core/lesions/metrics.py", "def f():\n    from store import open_store"),
        ("core/lesions/metrics.py", "from pages.ui import shell"),
        ("core/growth/curves.py", "import duckdb"),
        ("core/growth/curves.py", "from ...store import records"),
        ("core/lesions/metrics.py", "import importlib\nimportlib.import_module('store.store')"),
        ("core/lesions/matching.py", "from weights.registry import load"),
        ("core/engines/prompt/medsam.py", "from weights.recipes import train"),
        ("core/lesions/metrics.py", "query = 'SELECT mask_id FROM masks'"),
        ("core/lesions/metrics.py", "query = 'select mask_id from masks where version = ?'"),
        ("core/lesions/metrics.py", "query = f'INSERT INTO {table} VALUES (?)'"),
        ("pages/system.py", "store.db.execute('''\n  DELETE FROM jobs''')"),
        ("pages/system.py", "import duckdb"),
        ("pages/review.py", "import streamlit as st\n@st.cache_data\ndef f(): ..."),
        ("pages/ui/shared/charts.py", "from streamlit import cache_resource"),
        ("pages/review.py", "from app import app"),
        ("pages/review.py", "import cli"),
        ("store/store.py", "from core.lesions.masks import clean"),
        ("store/store.py", "from core import metrics"),
        ("store/store.py", "import torch"),
        ("store/store.py", "def f():\n    import torch.nn"),
        ("store/__init__.py", "from ..core.metrics import dice"),
        ("store/store.py", "import streamlit"),
        ("store/store.py", "from weights.registry import manifest"),
        ("weights/registry.py", "from core.engines import medsam"),
        ("weights/registry.py", "import store"),
        ("cli.py", "import streamlit"),
        ("cli.py", "from pages.ui import resources"),
        ("app.py", "from core import metrics"),
        ("core/types.py", "from tests.conftest import ROOT"),
    ],
)
def test_a_planted_violation_is_caught(path, source):
    assert violations(Path(path), source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/jobs/pipeline.py", "from core.engines import nnunet\nimport torch"),
        ("core/engines/auto/nnunet.py", "from weights.registry import load"),
        ("core/gates/scan/features.py", "import weights.registry"),
        ("core/lesions/metrics.py", "'''SELECT is SQL FROM the database.'''"),
        ("pages/worklist.py", "label = 'Select a patient from the list'"),
        ("pages/worklist.py", "from store import Store\nfrom core.types import Scan\nfrom pages.ui import shell"),
        ("pages/ui/frame/resources.py", "import streamlit as st\n@st.cache_resource\ndef f(): ..."),
        ("store/store.py", "from core.types import Scan\nfrom .connection import Connection\nq = 'SELECT 1 FROM t'"),
        ("store/__init__.py", "from .records import Store\nfrom . import audit"),
    ],
)
def test_what_is_allowed_is_not_caught(path, source):
    assert violations(Path(path), source) == []


def test_importing_core_and_store_leaves_heavy_libraries_out():
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


def test_the_modules_that_need_torch_are_there_and_do():
    """An exception that is no longer needed must go."""
    for module in TORCH_AT_IMPORT:
        tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
        assert any(within(name, {"torch"}) for _, name in imports(ast.Module(tree.body, []), module, False))
