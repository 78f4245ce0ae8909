"""How a verb is added: `@verb(group, "name", ACCESS, example=…)` above a function of a `Session`.

A verb's function takes a `Session` (or a `Request`, if it opens no store), then what Typer makes options and arguments
of; it returns what is to be printed. Options that every verb has are added here.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from commands.parameters import WORD_SEPARATOR, DataFolder, Json, Quiet, Reviewer
from commands.running import Access, AccessRule, perform

if TYPE_CHECKING:  # names for mypy of what Typer hands over; not part of its interface
    from typer._click.core import Command, Context

Function = TypeVar("Function", bound=Callable[..., object])

#: The verbs as they were called before there were groups. They work as they did, and are not in the help.
OLD_VERBS = typer.Typer()
#: The words that lead to a group's verbs, as "growth forecasts".
_GROUP_PATHS: dict[typer.Typer, str] = {}
_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")


def _is_option(word: str) -> bool:
    """Whether a word asks for an option: it begins with a dash, and is neither that alone, a number nor a sentence."""
    return word.startswith("-") and word != "-" and not _NEGATIVE.fullmatch(word) and " " not in word


def _normalised_words(ctx: Context, words: Sequence[str], *, to_the_verb: bool) -> list[str]:
    """The words of a command line as Typer reads them: `--rev ann` as `--reviewer ann`, `-1` as a number.

    Typer has no list of tuples: an option of several words (they are named in its metavar) gets them as one text, with
    `WORD_SEPARATOR` between them.

    Args:
        to_the_verb: stop at the first word that is no option: what follows belongs to the verb.

    Raises:
        typer.BadParameter: an option lacks words; `--reason --json` gives no reason.
    """
    options = ctx.command.get_params(ctx)
    by_name = {name: option for option in options for name in option.opts if name.startswith("-")}
    out: list[str] = []
    positional: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--" or (to_the_verb and not word.startswith("-")):
            return [*out, *positional, word, *rest]
        if not _is_option(word):
            positional.append(word)
            continue
        name, equals, value = word.partition("=")
        meant = [full for full in by_name if full.startswith(name)] if name.startswith("--") else []
        name = meant[0] if len(meant) == 1 and name not in by_name else name
        option = by_name.get(name)
        if option is None or equals or getattr(option, "is_flag", False):
            out.append(name + equals + value)
            continue
        takes = (option.metavar or "VALUE").split()
        values = list(itertools.takewhile(lambda word: not _is_option(word), rest[: len(takes)]))
        if len(values) < len(takes):
            raise typer.BadParameter(f"expected {' '.join(takes)}, got {values}.", ctx=ctx, param_hint=name)
        out += [name, WORD_SEPARATOR.join(values)]
        del rest[: len(takes)]
    return [*out, "--", *positional] if any(word.startswith("-") for word in positional) else [*out, *positional]


class Verb(TyperCommand):
    """A verb."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parses as Typer does, after `_normalised_words`."""
        return super().parse_args(
            ctx, args if ctx.resilient_parsing else _normalised_words(ctx, args, to_the_verb=False)
        )


class Group(TyperGroup):
    """A group of verbs. What is no verb of it is taken as the arguments of `default_verb`, where it has one."""

    default_verb: str | None = None

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parses as Typer does, after `_normalised_words`."""
        return super().parse_args(
            ctx, args if ctx.resilient_parsing else _normalised_words(ctx, args, to_the_verb=True)
        )

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """The verb, and what is left for it."""
        if self.default_verb is not None and args[0] not in self.commands and not ctx.resilient_parsing:
            args = [self.default_verb, *args]
        return super().resolve_command(ctx, args)


def _common_options(
    data: DataFolder = None, json: Json = False, quiet: Quiet = False, reviewer: Reviewer = None
) -> None:
    """What every verb takes, also before it; `request_of` reads it there."""


def group(name: str | None, about: str, cls: type[Group] = Group, within: typer.Typer | None = None) -> typer.Typer:
    """A group of verbs, within another one or at the top; the whole program, without a name."""
    app = typer.Typer(
        name=name,
        help=about,
        cls=cls,
        callback=_common_options,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        subcommand_metavar="VERB …",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    _GROUP_PATHS[app] = name or ""
    if within is not None:
        within.add_typer(app)
        _GROUP_PATHS[app] = f"{_GROUP_PATHS[within]} {name}"
    return app


@dataclass(frozen=True)
class VerbInfo:
    """A verb of a group, by all its words: its summary, and what it does to the store."""

    words: str
    summary: str
    access: AccessRule | None


def verbs_of(app: typer.Typer) -> list[VerbInfo]:
    """The verbs of a group and of those within it. `access` is None for one that was not added by `verb`."""
    out = [
        VerbInfo(
            f"{_GROUP_PATHS[app]} {command.name}",
            (command.help or "").partition("\n")[0],
            getattr(command.callback, "access", None),
        )
        for command in app.registered_commands
    ]
    for command in app.registered_groups:
        out += verbs_of(command.typer_instance) if command.typer_instance is not None else []
    return out


def _entry(function: Callable[..., object], rule: AccessRule) -> Callable[..., int]:
    """What Typer calls for a verb: the function, by way of `perform`."""

    common = inspect.signature(_common_options, eval_str=True).parameters

    def entry(context: typer.Context, **given: object) -> int:
        access = rule if isinstance(rule, Access) else rule(given)
        arguments = {name: value for name, value in given.items() if name not in common}
        return perform(context, access, lambda session: function(session, **arguments))

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("context", keyword, annotation=typer.Context),
        *(p.replace(kind=keyword) for p in [*inspect.signature(function, eval_str=True).parameters.values()][1:]),
        *(p.replace(kind=keyword) for p in common.values()),
    ]
    entry.__name__, entry.__doc__ = function.__name__, function.__doc__
    entry.__dict__["__signature__"] = inspect.Signature(parameters)
    entry.__dict__["access"] = rule
    entry.__annotations__ = {p.name: p.annotation for p in parameters}
    return entry


def verb(
    app: typer.Typer, name: str, access: AccessRule, *, example: str = "", old: str = ""
) -> Callable[[Function], Function]:
    """Adds a verb to a group.

    Args:
        app: the group; `OLD_VERBS` for a verb of before whose arguments were others.
        access: what it does to the store.
        example: its arguments in a command line that a person could give, for its help.
        old: the name by which it was called before there were groups.
    """

    def add(function: Function) -> Function:
        entry = _entry(function, access)
        text = inspect.cleandoc(function.__doc__ or "")
        if isinstance(access, Access):
            text += f"\n\n{access.sentence}"
        shown = f"{_GROUP_PATHS.get(app, '')} {name}".strip()
        if app is not OLD_VERBS:
            text += f"\n\n\b\nExample:\n  python cli.py {shown} {example}".rstrip()
        app.command(name, cls=Verb, help=text, hidden=app is OLD_VERBS)(entry)
        if old:
            OLD_VERBS.command(old, cls=Verb, help=f"{text}\n\nIts name is now: {shown}.", hidden=True)(entry)
        return function

    return add
