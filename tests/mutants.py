"""Plants faults in the rules and runs their tests: `make mutants`, or `python -m tests.mutants`. It takes hours.

A mutant is a module with one small change: another comparison, a number one higher, a condition turned round, a loop
left out (the operators of cosmic-ray). A mutant that no test notices is a survivor: either a test is missing, or the
change makes no difference that counts, and then `.ci/mutants-accepted.txt` says why. `.ci/mutants.toml` says which
modules, which tests are to notice, and which functions have no rule in them.

A mutant is never written to disk. Each is tested in a fork of this process, which has loaded the large libraries once:
cosmic-ray's own runner starts a new interpreter for each, which takes longer than the tests. So a process that a test
starts itself runs the module as it is.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import signal
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import CodeType, ModuleType
from typing import ClassVar, NamedTuple

import pytest
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).resolve().parents[1]
CONFIG, ACCEPTED = ROOT / ".ci" / "mutants.toml", ROOT / ".ci" / "mutants-accepted.txt"
#: The same mutants are drawn every time.
SEED = 14
#: A fork is given this many times what the tests take on the module as it is, and some seconds: a loop may never end.
PATIENCE, SPARE_S = 4.0, 20.0
#: Loaded once, before the forks; none of them is mutated.
LIBRARIES = ("SimpleITK", "duckdb", "hypothesis", "numpy", "scipy.ndimage", "scipy.optimize", "scipy.stats", "skimage")

_COMPARISONS = ("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt", "Eq_NotEq", "NotEq_Eq")
_SUMS = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "BitOr_BitAnd", "BitAnd_BitOr", "FloorDiv_Div")
#: Left out of cosmic-ray's 213: changes that only raise TypeError, and renamings of variables.
OPERATORS = (
    *(f"ReplaceComparisonOperator_{name}" for name in (*_COMPARISONS, "Is_IsNot", "IsNot_Is")),
    *(f"ReplaceBinaryOperator_{name}" for name in _SUMS),
    *("ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Not"),
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer"),
    "ZeroIterationForLoop",
)


class Mutant(NamedTuple):
    """One change: the module's path from the root, the line (from 1), that line before and after it, and the whole
    source."""

    path: str
    line: int
    before: str
    after: str
    source: str

    @property
    def change(self) -> str:
        """As `.ci/mutants-accepted.txt` names it: no line number, which every edit above it would move."""
        return f"{self.before} => {self.after}"


def mutants_of(path: str, no_rules: Sequence[str] = ()) -> list[Mutant]:
    """All mutants of a module, in order of line; none that compiles to the same, as a changed annotation does.

    Args:
        no_rules: functions that are left as they are, by name; "*" stands for anything.
    """
    source = (ROOT / path).read_text(encoding="utf-8")
    seen, found = {_meaning(source)}, []
    for name in OPERATORS:
        for changed in _occurrences(source, name):
            meaning = _meaning(changed)
            if meaning is not None and meaning not in seen:
                seen.add(meaning)
                found.append(_described(path, source, changed))
    left_out = _lines_of_functions(source, no_rules)
    return sorted(
        (mutant for mutant in found if mutant.line not in left_out), key=lambda mutant: (mutant.line, mutant.change)
    )


def _lines_of_functions(source: str, patterns: Sequence[str]) -> set[int]:
    """Line numbers (from 1) of the functions whose names match."""
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    chosen = (node for node in functions if any(fnmatchcase(node.name, pattern) for pattern in patterns))
    return {line for node in chosen for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def _occurrences(source: str, name: str) -> Iterator[str]:
    operator, occurrence = get_operator(f"core/{name}")(), 0
    while True:
        try:
            changed = mutate_code(source, operator, occurrence)
        except AttributeError:  # cosmic-ray's ExceptionReplacer cannot change a dotted name among several, "zlib.error"
            changed = source
        if changed is None:
            return
        yield changed
        occurrence += 1


def _meaning(source: str) -> str | None:
    """The module's syntax tree as far as it is a rule; None if it does not compile.

    Without annotations, which are never evaluated here, without what only stands in a message, and without the
    decorators of classes; "not a == b" is a != b.
    """
    try:
        return ast.dump(_Rules().visit(ast.parse(source)))
    except SyntaxError:
        return None


class _Rules(ast.NodeTransformer):
    _OPPOSITES: ClassVar[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
        **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn},
        **{ast.NotIn: ast.In, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt},
    }

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list = []
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.Constant("")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        inner = node.operand
        if isinstance(node.op, ast.Not) and isinstance(inner, ast.Compare) and len(inner.ops) == 1:
            return ast.Compare(inner.left, [self._OPPOSITES[type(inner.ops[0])]()], inner.comparators)
        return node


def _described(path: str, source: str, changed: str) -> Mutant:
    old, new = source.splitlines(), changed.splitlines()
    first = next(n for n, (before, after) in enumerate(zip(old, new, strict=False)) if before != after)
    last = len(old) - 1
    while last > first and old[last] == new[last - len(old) + len(new)]:
        last -= 1
    after = new[first : last + 1 - len(old) + len(new)]
    was, became = (" ".join(line.strip() for line in lines) for lines in (old[first : last + 1], after))
    return Mutant(path, first + 1, was, became, changed)


class _Planted(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Loads the mutant in place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = mutant.path.removesuffix(".py").replace("/", ".")
        self.file, self.text = str(ROOT / mutant.path), mutant.source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The mutant's, and no other module's."""
        if fullname != self.name:
            return None
        spec = importlib.util.spec_from_loader(fullname, self, origin=self.file)
        if spec is not None:
            spec.has_location = True
        return spec

    def get_source(self, fullname: str) -> str:
        """With the change."""
        return self.text

    def get_code(self, fullname: str) -> CodeType:
        """Compiled under the module's own path, so that what it finds beside itself is there."""
        return compile(self.text, self.file, "exec")


def survives(mutant: Mutant | None, tests: Sequence[str], limit_s: float) -> bool:
    """Runs the tests in a fork on the mutant (None: on the modules as they are); True if they all pass in time."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        code = 99
        try:
            if mutant is not None:
                sys.meta_path.insert(0, _Planted(mutant))
            options = ["-x", "-q", "-p", "no:xdist", "-m", "not soak and not browser", "--timeout", "0"]
            code = int(pytest.main([*options, *tests]))
        finally:
            os._exit(code)
    return _ended_well(child, limit_s)


def _ended_well(child: int, limit_s: float) -> bool:
    until = time.monotonic() + limit_s
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status) == 0
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.02)


def accepted_changes() -> dict[tuple[str, str], str]:
    """(path, change) -> why it is accepted, of `.ci/mutants-accepted.txt`: path, change and reason, " | " between."""
    found = {}
    for line in ACCEPTED.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            path, _, rest = line.partition(" | ")
            change, _, reason = rest.rpartition(" | ")  # a change may have the sign in it
            found[path, change] = reason
    return found


def run_module(path: str, tests: Sequence[str], no_rules: Sequence[str], sample: int | None) -> list[Mutant]:
    """Tests a module's mutants, or so many of them, and prints the figures; returns the survivors.

    Raises:
        SystemExit: the tests do not pass on the module as it is.
    """
    every = mutants_of(path, no_rules)
    chosen = every
    if sample is not None and sample < len(every):
        chosen = sorted(random.Random(SEED).sample(every, sample), key=lambda mutant: mutant.line)
    began = time.monotonic()
    if not survives(None, tests, 1800.0):
        sys.exit(f"Expected {', '.join(tests)} to pass on {path} as it is. Repair them first.")
    limit_s = PATIENCE * (time.monotonic() - began) + SPARE_S
    known, survivors, accepted = accepted_changes(), [], 0
    for of, change in known.keys() - {(path, mutant.change) for mutant in every}:
        if of == path:
            print(f"{path}: nothing is changed like this any more, take it off the accepted ones: {change}")
    for mutant in chosen:
        if (path, mutant.change) in known:
            accepted += 1
        elif survives(mutant, tests, limit_s):
            survivors.append(mutant)
            print(f"{path}:{mutant.line}: {mutant.change}", flush=True)
    killed = len(chosen) - accepted - len(survivors)
    print(
        f"{path}: {len(every)} mutants, {len(chosen)} tried, {killed} killed, {len(survivors)} survived, "
        f"{accepted} accepted, {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return survivors


def main() -> int:
    """Tests the modules named, each whole; without a name a sample of every module's."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="path as in .ci/mutants.toml; all its mutants")
    parser.add_argument("--sample", type=int, metavar="N", help="only N of each, the same every time")
    parser.add_argument("--list", action="store_true", help="print the mutants without running anything")
    args = parser.parse_args()
    config = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    rooms: dict[str, list[str]] = config["modules"]
    no_rules: dict[str, list[str]] = config["no_rules"]
    unknown = [path for path in args.modules if path not in rooms]
    if unknown:
        parser.error(f"expected modules that .ci/mutants.toml lists, got {', '.join(unknown)}")
    sample = args.sample if args.modules else args.sample or int(config["sample"])
    if args.list:
        for path in args.modules or rooms:
            print(*(f"{path}:{m.line}: {m.change}" for m in mutants_of(path, no_rules.get(path, ()))), sep="\n")
        return 0
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # a fork has one thread
    for name in LIBRARIES:
        importlib.import_module(name)
    os.chdir(ROOT)
    survivors = [
        mutant
        for path in args.modules or rooms
        for mutant in run_module(path, rooms[path], no_rules.get(path, ()), sample)
    ]
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
