"""Reads the source of pages: what Streamlit renders there as Markdown, and whether it may come from files or people.

Names are followed to what they were assigned, functions to what they return and parameters to what is passed, within
this project.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Call of Streamlit -> what of it is Markdown: positions, and names of arguments.
MARKDOWN: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    **dict.fromkeys(
        (
            "markdown",
            "caption",
            "title",
            "header",
            "subheader",
            "badge",
            "error",
            "warning",
            "info",
            "success",
            "toast",
        ),
        ((0,), ("body",)),
    ),
    **dict.fromkeys(
        (
            "button",
            "form_submit_button",
            "download_button",
            "link_button",
            "checkbox",
            "toggle",
            "radio",
            "selectbox",
            "multiselect",
            "slider",
            "select_slider",
            "text_input",
            "text_area",
            "number_input",
            "date_input",
            "time_input",
            "file_uploader",
            "camera_input",
            "audio_input",
            "color_picker",
            "segmented_control",
            "pills",
            "expander",
            "popover",
            "status",
            "dialog",
            "menu_button",
            "chat_input",
            "feedback",
        ),
        ((0,), ("label",)),
    ),
    **dict.fromkeys(
        (
            "Column",
            "TextColumn",
            "NumberColumn",
            "CheckboxColumn",
            "ProgressColumn",
            "ListColumn",
            "DateColumn",
            "DatetimeColumn",
            "SelectboxColumn",
            "LineChartColumn",
            "BarChartColumn",
        ),
        ((0,), ("label",)),
    ),
    "metric": ((0, 1, 2), ("label", "value", "delta", "delta_description")),
    "progress": ((1,), ("text",)),
    "spinner": ((0,), ("text",)),
    "tabs": ((0,), ("tabs",)),
    "image": ((1,), ("caption",)),
    "page_link": ((), ("label",)),
}
#: Every one of them may have these too.
ALWAYS = ("help", "caption", "captions")
#: Their options are Markdown as well, as they are or as `format_func` makes them.
WITH_OPTIONS = ("radio", "segmented_control", "pills")
#: Never called on a page: what they show is Markdown, HTML, a link, or a traceback, whatever is given to them.
NEVER = ("write", "write_stream", "table", "exception", "LinkColumn", "ImageColumn", "MarkdownColumn", "iframe")
ESCAPES = ("plain",)
NUMBERS = ("len", "int", "float", "round", "abs", "sum", "bool")
#: Attributes and keys whose values are whole numbers of ours.
NUMBERED = ("version", "parent_version")
_NUMBER_FORMAT = re.compile(r"[+ z]*0?\d*[,_]?(\.\d*)?[bdeEfFgGnoxX%]?")
SAFE_TYPES = ("int", "float", "bool", "None")
_COPIES = ("str", "list", "tuple", "sorted", "reversed", "min", "max", "set", "zip", "enumerate")
_OF_TEXT = ("capitalize", "lower", "upper", "strip", "replace", "removeprefix", "removesuffix", "title")


class Module:
    """One source file: its names, imports, functions, and which node stands in which."""

    def __init__(self, source: str, name: str) -> None:
        self.name, self.tree = name, ast.parse(source)
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.imports: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                self.imports |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                self.imports |= {alias.asname or alias.name: alias.name for alias in node.names}

    def scope(self, node: ast.AST) -> ast.AST:
        """The function, lambda or comprehension around a node, else the module."""
        at: ast.AST = self.parents[node]
        while not isinstance(at, ast.FunctionDef | ast.Lambda | ast.Module | _COMPREHENSION):
            at = self.parents[at]
        return at

    def top(self, name: str) -> ast.AST | None:
        """The function or class of that name."""
        found = (n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name)
        return next(found, None)


_COMPREHENSION = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


@cache
def module_at(dotted: str) -> Module | None:
    """A module of this project; None for another one."""
    for path in (ROOT / f"{dotted.replace('.', '/')}.py", ROOT / dotted.replace(".", "/") / "__init__.py"):
        if path.is_file():
            return Module(path.read_text(encoding="utf-8"), dotted)
    return None


@cache
def pages() -> tuple[Module, ...]:
    files = sorted((ROOT / "pages").rglob("*.py"))
    return tuple(
        found
        for path in files
        if (found := module_at(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")))
    )


class Judge:
    """Whether an expression can only hold what the source says, numbers, or what passed through `plain`."""

    def __init__(self, modules: tuple[Module, ...]) -> None:
        self.modules = modules
        self.asking: set[tuple[str, int]] = set()

    def safe(self, node: ast.AST | None, at: Module) -> bool:
        if node is None:
            return True
        asked = (at.name, id(node))
        if asked in self.asking:  # a loop in the program: what else flows into it decides
            return True
        self.asking.add(asked)
        try:
            return self._safe(node, at)
        finally:
            self.asking.discard(asked)

    def _safe(self, node: ast.AST, at: Module) -> bool:
        match node:
            case ast.Constant() | ast.Compare() | ast.Lambda():
                return not isinstance(node, ast.Lambda) or self.safe(node.body, at)
            case ast.JoinedStr():
                return all(self.safe(part, at) for part in node.values)
            case ast.FormattedValue():
                return _numeric(node.format_spec) or self.safe(node.value, at)
            case ast.IfExp():
                return self.safe(node.body, at) and self.safe(node.orelse, at)
            case ast.BoolOp():
                return all(self.safe(value, at) for value in node.values)
            case ast.BinOp():
                return self.safe(node.left, at) and self.safe(node.right, at)
            case ast.UnaryOp():
                return isinstance(node.op, ast.Not) or self.safe(node.operand, at)
            case ast.List() | ast.Tuple() | ast.Set():
                return all(self.safe(one, at) for one in node.elts)
            case ast.Dict():
                return all(self.safe(one, at) for one in [*node.keys, *node.values])
            case ast.Starred() | ast.NamedExpr():
                return self.safe(node.value, at)
            case ast.ListComp() | ast.GeneratorExp() | ast.SetComp():
                return self.safe(node.elt, at)
            case ast.DictComp():
                return self.safe(node.key, at) and self.safe(node.value, at)
            case ast.Subscript():
                key = node.slice.value if isinstance(node.slice, ast.Constant) else None
                return key in NUMBERED or self.safe(node.value, at)
            case ast.Attribute():
                return self._attribute(node, at)
            case ast.Name():
                return self._name(node, at)
            case ast.Call():
                return self._call(node, at)
        return False

    def _attribute(self, node: ast.Attribute, at: Module) -> bool:
        if node.attr in NUMBERED:
            return True
        if isinstance(node.value, ast.Name) and (there := module_at(at.imports.get(node.value.id, ""))):
            return self._global(node.attr, there)
        return self.safe(node.value, at)

    def _name(self, node: ast.Name, at: Module) -> bool:
        scope: ast.AST = at.scope(node)
        while not isinstance(scope, ast.Module):
            if isinstance(scope, ast.FunctionDef | ast.Lambda):
                arguments = [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]
                found = next((a for a in arguments if a.arg == node.id), None)
                if found is not None:
                    return self._parameter(scope, found, at)
            values = list(_assigned(node.id, scope, at))
            if values:
                return all(self.safe(value, at) if value is not None else False for value in values)
            scope = at.scope(scope)
        return self._global(node.id, at)

    def _global(self, name: str, at: Module) -> bool:
        values = list(_assigned(name, at.tree, at))
        if values:
            return all(self.safe(value, at) if value is not None else False for value in values)
        if isinstance(made := at.top(name), ast.FunctionDef):  # as a `format_func`
            return self._returns(made, at)
        stem, _, last = at.imports.get(name, "").rpartition(".")
        there = module_at(stem)
        return name in (*ESCAPES, *NUMBERS) if there is None or last in ESCAPES else self._global(last, there)

    def _parameter(self, scope: ast.FunctionDef | ast.Lambda, found: ast.arg, at: Module) -> bool:
        """A number by its type, or safe wherever the function is called."""
        if found.annotation is not None and _number_type(found.annotation):
            return True
        if isinstance(scope, ast.Lambda):
            return False
        positional = [a.arg for a in [*scope.args.posonlyargs, *scope.args.args]]
        given = []
        for module in self.modules:
            for call in ast.walk(module.tree):
                if not isinstance(call, ast.Call) or _called(call) != scope.name or not _may_be(call, module, at):
                    continue
                passed = {k.arg: k.value for k in call.keywords if k.arg} | dict(
                    zip(positional, call.args, strict=False)
                )
                if found.arg in passed:
                    given.append(self.safe(passed[found.arg], module))
                elif any(k.arg is None for k in call.keywords) or any(isinstance(a, ast.Starred) for a in call.args):
                    given.append(False)
                else:
                    given.append(all(self.safe(d, at) for d in [*scope.args.defaults, *scope.args.kw_defaults]))
        return bool(given) and all(given)

    def _call(self, node: ast.Call, at: Module) -> bool:
        name = _called(node)
        if name in ESCAPES or name in NUMBERS:
            return True
        arguments = [*node.args, *(k.value for k in node.keywords)]
        if name in _COPIES and isinstance(node.func, ast.Name):
            return all(self.safe(one, at) for one in arguments)
        if name == "map" and len(node.args) == 2:
            return self.safe(node.args[0], at)
        if isinstance(node.func, ast.Attribute):
            if isinstance(node.func.value, ast.Name) and (there := module_at(at.imports.get(node.func.value.id, ""))):
                return self._made(name, there, node, at)
            if name in ("join", "get", "items", "values", "keys", *_OF_TEXT):
                return self.safe(node.func.value, at) and all(self.safe(one, at) for one in _texts(name, node))
            return False
        if at.top(name) is not None:
            return self._made(name, at, node, at)
        stem, _, last = at.imports.get(name, "").rpartition(".")
        there = module_at(stem)
        return there is not None and self._made(last, there, node, at)

    def _made(self, name: str, there: Module, node: ast.Call, at: Module) -> bool:
        """A function by what it returns; a value class by what it is made of."""
        found = there.top(name)
        if isinstance(found, ast.FunctionDef):
            return self._returns(found, there)
        return found is not None and all(self.safe(one, at) for one in [*node.args, *(k.value for k in node.keywords)])

    def _returns(self, function: ast.FunctionDef, at: Module) -> bool:
        if function.returns is not None and _number_type(function.returns):
            return True
        values = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and at.scope(n) is function]
        return bool(values) and all(self.safe(value, at) for value in values)


def _may_be(call: ast.Call, module: Module, home: Module) -> bool:
    """Whether a call by a function's name is of the one in `home`; where that cannot be read, it may be."""
    if isinstance(call.func, ast.Name):
        stem, _, last = module.imports.get(call.func.id, "").rpartition(".")
        return module is home or (stem == home.name and last == call.func.id)
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        owner = module.imports.get(call.func.value.id, "")
        return owner == home.name or (module_at(owner) is None and owner != "streamlit")
    return True


def _texts(name: str, node: ast.Call) -> list[ast.expr]:
    """The arguments of a method of text or a dict that end up in its answer."""
    return node.args[1:] if name == "get" else node.args


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _numeric(spec: ast.AST | None) -> bool:
    """Whether a format refuses text: it ends in a letter of numbers, or asks for a sign or for thousands."""
    if not isinstance(spec, ast.JoinedStr) or not spec.values:
        return False
    said = "".join(str(part.value) for part in spec.values if isinstance(part, ast.Constant))
    return bool(_NUMBER_FORMAT.fullmatch(said)) and bool(re.search(r"[+,_a-zA-Z%]", said.replace("z", "")))


def _number_type(annotation: ast.AST) -> bool:
    return all(part.strip() in SAFE_TYPES for part in ast.unparse(annotation).strip("'\"").split("|"))


def _assigned(name: str, scope: ast.AST, at: Module) -> Iterator[ast.expr | None]:
    """What a name is made of in a scope; None where that cannot be read."""
    for node in ast.walk(scope):
        match node:
            case ast.Assign():
                pairs = [(target, node.value) for target in node.targets]
            case ast.AnnAssign() | ast.AugAssign() | ast.NamedExpr() if node.value is not None:
                pairs = [(node.target, node.value)]
            case ast.For() | ast.comprehension():
                pairs = [(node.target, node.iter)]
            case ast.withitem() if node.optional_vars is not None:
                pairs = [(node.optional_vars, node.context_expr)]
            case ast.ExceptHandler() if node.name == name:
                yield None
                continue
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="append" | "extend" | "add" | "update")):
                yield from node.args if owner == name else ()
                continue
            case _:
                continue
        if isinstance(node, ast.comprehension | ast.withitem):
            home = at.parents[node] if isinstance(node, ast.comprehension) else at.scope(at.parents[node])
        else:
            home = at.scope(node)
        if home is not scope:
            continue
        for target, value in pairs:
            yield from _part(name, target, value)


def _part(name: str, target: ast.AST, value: ast.expr) -> Iterator[ast.expr | None]:
    if isinstance(target, ast.Name | ast.Subscript):
        if name == getattr(target.value if isinstance(target, ast.Subscript) else target, "id", None):
            yield value
    elif isinstance(target, ast.Tuple | ast.List | ast.Starred):
        targets = [target.value] if isinstance(target, ast.Starred) else target.elts
        if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(targets):
            for one, part in zip(targets, value.elts, strict=True):
                yield from _part(name, one, part)
        elif isinstance(value, ast.Call) and _called(value) == "zip" and len(value.args) == len(targets):
            for one, part in zip(targets, value.args, strict=True):
                yield from _part(name, one, part)
        elif any(isinstance(n, ast.Name) and n.id == name for one in targets for n in ast.walk(one)):
            yield value  # of something safe every part is


def violations(module: Module, judge: Judge) -> list[str]:
    """Every place of a page that shows as Markdown what may come from a file or a person."""
    shows = set(MARKDOWN) | set(NEVER)
    direct = {id(n.func) for n in ast.walk(module.tree) if isinstance(n, ast.Call)}
    renamed = {
        target.id
        for n in ast.walk(module.tree)
        if isinstance(n, ast.Assign)
        for target in n.targets
        if isinstance(target, ast.Name) and _holds_show(n.value, shows, direct, set())
    }
    found = [
        f"{module.name}: imports {name} from streamlit, so that its calls cannot be told from others"
        for name, whence in module.imports.items()
        if whence.startswith("streamlit.") and whence[10:] in shows
    ]
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        if _called(node) == "getattr" and node.args and ast.unparse(node.args[0]) == "st":
            found.append(f"{module.name}:{node.lineno} asks st for something by its name")
        if any(k.arg == "unsafe_allow_html" for k in node.keywords):
            found.append(f"{module.name}:{node.lineno} allows HTML")
        name = _called(node)
        if _of_streamlit(node, module, shows):
            if name in NEVER:
                found.append(f"{module.name}:{node.lineno} calls {name}")
            found += _shown(node, name, module, judge)
        elif name != "get" and _holds_show(node.func, shows, direct, renamed):
            found += _shown(node, "markdown", module, judge)
        for argument in [*node.args, *(k.value for k in node.keywords)]:
            if isinstance(argument, ast.Attribute) and name != "get" and _is_st(argument, shows):
                found.append(f"{module.name}:{node.lineno} passes st.{argument.attr} on, where nothing can be checked")
        if name in ("dataframe", "data_editor") and not (
            node.args and isinstance(node.args[0], ast.Call) and _called(node.args[0]) == "cells"
        ):
            found.append(f"{module.name}:{node.lineno} shows a frame whose rows did not pass through cells(…)")
        if name == "html" and not (node.args and judge.safe(node.args[0], module)):
            found.append(f"{module.name}:{node.lineno} shows HTML that is not a constant")
    return found


def _of_streamlit(node: ast.Call, module: Module, shows: set[str]) -> bool:
    """A call of st or of one of its containers: of no module of ours and no logger."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in shows:
        return False
    owner = node.func.value
    if isinstance(owner, ast.Constant | ast.JoinedStr):
        return False
    known = module.imports.get(owner.id, "") if isinstance(owner, ast.Name) else ""
    return not (isinstance(owner, ast.Name) and owner.id in ("logger", "str")) and module_at(known) is None


def _is_st(node: ast.AST, shows: set[str]) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in shows
        and isinstance(node.value, ast.Name)
        and node.value.id == "st"
    )


def _holds_show(node: ast.AST, shows: set[str], direct: set[int], renamed: set[str]) -> bool:
    """Whether an expression's value may be one of Streamlit's functions, as in `kind = st.info if … else st.error`."""
    if isinstance(node, ast.Attribute) and id(node) in direct and _is_st(node, shows):
        return False
    return any(
        (_is_st(n, shows) and id(n) not in direct) or (isinstance(n, ast.Name) and n.id in renamed)
        for n in ast.walk(node)
    )


def _shown(node: ast.Call, name: str, module: Module, judge: Judge) -> list[str]:
    positions, names = MARKDOWN.get(name, ((), ()))
    shown = [node.args[n] for n in positions if n < len(node.args)]
    shown += [k.value for k in node.keywords if k.arg in (*names, *ALWAYS)]
    if name in WITH_OPTIONS:
        named = next((k.value for k in node.keywords if k.arg == "format_func"), None)
        if isinstance(named, ast.Attribute) and named.attr in ("get", "__getitem__"):
            named = named.value
        shown += [named] if named and ast.unparse(named) != "str.capitalize" else node.args[1:2]
    return [
        f"{module.name}:{node.lineno} {name} shows `{ast.unparse(one)}`" for one in shown if not judge.safe(one, module)
    ]
