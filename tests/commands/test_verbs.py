"""The command line as a whole: groups, help, what every verb goes through, completion, and how fast it starts."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

import cli
from commands import running, verbs
from commands.output import READER_GONE, Failed
from commands.running import READS, WRITES, Access, Request, Session
from commands.verbs import OLD_VERBS, Verb, group, verb, verbs_of
from store import open_store
from tests import clinic
from tests.store_phantom import with_people

ROOT = Path(__file__).resolve().parents[2]


def _walk(command: object, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    """Every verb of the program as it is run, the old names too."""
    if isinstance(command, TyperGroup):
        for name, below in command.commands.items():
            yield from _walk(below, (*words, name))
    else:
        assert isinstance(command, TyperCommand)
        yield words, command


ALL = dict(_walk(get_command(cli.make_app())))
SHOWN = {words: command for words, command in ALL.items() if not command.hidden}


def test_every_verb_has_its_place_in_a_group_and_the_old_ones_are_not_shown():
    groups = {"scan", "timepoint", "patient", "mask", "lesion", "measurement"}
    groups |= {"event", "response", "evidence", "gate", "growth", "people", "data"}
    assert {words[0] for words in SHOWN} == groups
    assert all(len(words) == 1 for words in ALL.keys() - SHOWN.keys())
    assert len(ALL) - len(SHOWN) == len(OLD_VERBS.registered_commands) == 29


def through_the_one_way(command: TyperCommand) -> bool:
    """Whether a verb was added by `verb`, and so says what it does to the store and goes through `perform`."""
    rule = getattr(command.callback, "access", None)
    return isinstance(command, Verb) and (isinstance(rule, Access) or callable(rule))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_verb_goes_the_one_way_that_knows_who_asks(words, monkeypatch):
    assert through_the_one_way(ALL[words])
    asked: list[Access] = []

    def perform(context: typer.Context, access: Access, run: object) -> int:
        asked.append(access)
        return 7

    monkeypatch.setattr(verbs, "perform", perform)
    values = {"what": "sign", "reason": "x"}
    callback = ALL[words].callback
    assert callback is not None
    with typer.Context(ALL[words]):
        assert callback(**{str(param.name): values.get(str(param.name)) for param in ALL[words].params}) == 7
    assert [isinstance(access, Access) for access in asked] == [True]


def test_a_verb_that_goes_another_way_is_found():
    app = group(None, "a program")

    @app.command("sneak")
    def sneak() -> None:
        """Opens what it likes."""

    @verb(app, "proper", READS)
    def proper(session: Session) -> object:
        """Asks."""
        return session.person

    found = dict(_walk(get_command(app)))
    assert [words for words, command in found.items() if not through_the_one_way(command)] == [("sneak",)]


def test_nothing_else_opens_a_store():
    for path in (ROOT / "commands").glob("*.py"):
        if path.name != "running.py":
            assert "open_store" not in path.read_text()
            assert "open_to_look" not in path.read_text()
    assert "store" not in (ROOT / "cli.py").read_text().partition('"""\n\nfrom')[2].replace("restore", "")


def test_old_and_new_names_do_the_same_to_the_store():
    """What an old verb does was written down here when it got its new name; a verb that reads is one of these."""
    reads = {"masks", "similar", "kept-forecasts", "agreement", "correction", "verify", "lesions", "timeline"}
    for one in OLD_VERBS.registered_commands:
        rule = getattr(one.callback, "access", None)
        if isinstance(rule, Access):
            assert (rule is READS) == (one.name in reads), one.name
    assert {one.words for part in cli.GROUPS for one in verbs_of(part.app) if one.access is READS} == {
        "lesion list",
        "event list",
        "measurement list",
        "response show",
        "patient timeline",
        "mask list",
        "mask similar",
        "mask agreement",
        "mask correction",
        "evidence similar",
        "evidence panel",
        "evidence marks",
        "evidence versions",
        "evidence ask",
        "gate verdicts",
        "gate record",
        "gate reference list",
        "growth show",
        "growth forecasts list",
        "timepoint withdrawn",
        "patient history",
        "people list",
        "data verify",
        "data audit-head",
        "data audit-check",
    }


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_says_what_a_verb_does_to_the_store_and_gives_an_example(words, capsys):
    assert cli.main([*words, "--help"]) == 0
    told = capsys.readouterr().out
    assert all(option in told for option in ("--json", "--data", "--reviewer", "--quiet"))
    if words in SHOWN:
        assert f"Example:\n    python cli.py {' '.join(words)}" in told
        assert any(one in told for one in ("Writes nothing.", "Writes, under", "Opens no store.", "Makes the database"))
    assert "╭" not in told
    assert "\x1b" not in told


@pytest.mark.parametrize("words", SHOWN, ids=" ".join)
def test_the_example_of_a_verb_is_a_command_line_that_it_takes(words, capsys, monkeypatch):
    cli.main([*words, "--help"])
    (line,) = [x.strip() for x in capsys.readouterr().out.splitlines() if x.startswith("    python cli.py ")]
    monkeypatch.setattr(verbs, "perform", lambda context, access, run: 7)
    example = shlex.split(line)[2:]
    if example[-2:] == ["41", "HASH"]:
        example[-1] = "0" * 64
    assert cli.main(example) == 7


def test_the_help_of_all_names_every_verb_and_the_exit_statuses(capsys):
    assert cli.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(" ".join(words) in told for words in SHOWN)
    assert all(f"  {status} " in told for status in (0, 1, 2, 130, 141))
    assert not [one.name for one in OLD_VERBS.registered_commands if f"\n  {one.name} " in told]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("masks KIM", "mask list KIM"),
        ("growth KIM", "growth show KIM"),
        ("growth --json KIM", "growth --json show KIM"),
        ("kept-forecasts KIM", "growth forecasts list KIM"),
        ("correction KIM", "mask correction KIM"),
        ("agreement KIM 2020-01-01", "mask agreement KIM 2020-01-01"),
        ("similar KIM 2020-01-01 9", "mask similar KIM 2020-01-01 9"),
        ("person list", "people list"),
        ("person --role viewer add ben --reviewer ann", "people add ben --role viewer --reviewer ann"),
        ("audit head", "data audit-head"),
        ("audit --json head", "--json data audit-head"),
        ("audit check 1 x", "data audit-check 1 x"),
        ("verify", "data verify"),
        ("masks KIM --rev ann --js", "mask list KIM --reviewer ann --json"),
        ("accept KIM 2020-01-01 -1 --reason x", "mask accept KIM 2020-01-01 -1 --reason x"),
        ("lost KIM 2020-01-01 9 --reason x", "mask mark-lost KIM 2020-01-01 9 --reason x"),
        ("lost KIM 2020-01-01 9 --found", "mask mark-found KIM 2020-01-01 9"),
        ("refine KIM 2020-01-01 --scan CT --point 1 2 3 x", "mask refine KIM 2020-01-01 --scan CT --point 1 2 3 x"),
    ],
)
def test_an_old_verb_answers_as_its_new_one(tmp_path, capsys, monkeypatch, old, new):
    monkeypatch.setenv("TWIN_DATA", str(tmp_path))
    with open_store(tmp_path) as store:
        with_people(store, "ann")
        clinic.add_scan(store, "KIM", clinic.DAYS[0], clinic.noise(1))
        clinic.add_mask(store, "KIM", clinic.DAYS[0], 800)
    answers = []
    for line in (old, new):
        status = cli.main(line.split())
        answers.append((status, *capsys.readouterr()))
    assert answers[0] == answers[1]
    assert answers[0][1] or answers[0][0] == 1


@pytest.mark.parametrize(
    "line",
    [
        "lost P D 1",
        "lost P D 1 --reason x --found",
        "refine P D --scan CT --box 1 2 3 4",
        "refine P D --scan CT --box 1 2 3 4 x",
        "refine P D --scan CT --point 1 2 3",
        "refine P D --scan CT --box 1 2 3 --propagate",
        "accept P D 1 --reason --json",
        "accept P D one --reason x",
        "withdraw P D 1 --reason x --lesion 1",
        "scan import x --dataset d --patient p --date 2025-01-01 --modality XR",
        "person add ann --role king",
        "growth",
        "growth P Q",
        "audit",
        "audit look",
        "backtest shrinkage f.csv",
    ],
)
def test_a_command_line_that_makes_no_sense_is_answered_with_2_before_anything_is_opened(
    tmp_path, capsys, monkeypatch, line
):
    monkeypatch.setenv("TWIN_DATA", str(tmp_path / "none"))
    with pytest.raises(SystemExit) as stop:
        cli.main(line.split())
    out, err = capsys.readouterr()
    assert (stop.value.code, out if "--json" not in line else "") == (2, "")
    assert err.count("\n") == 1
    assert "--help says more" in err
    assert not (tmp_path / "none").exists()


def test_what_a_library_prints_is_no_part_of_the_json(tmp_path, capsys, monkeypatch):
    open_store(tmp_path).close()
    monkeypatch.setattr("store.Store.verify", lambda self, **_: print("a library's banner") or [])
    assert cli.main(["data", "verify", "--data", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["clean"] is True
    assert "banner" in err


def test_an_answer_that_is_a_failure_is_printed_and_said(capsys, monkeypatch):
    app = group(None, "a program")

    @verb(app, "fails", running.NO_STORE)
    def fails(request: Request) -> object:
        """Fails."""
        return Failed({"n": 1}, "One is too few.")

    @verb(app, "works", running.NO_STORE)
    def works(request: Request) -> object:
        """Works."""
        return {"n": 2}

    assert get_command(app).main(["fails", "--json"], standalone_mode=False) == 1
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"n": 1}, "One is too few.\n")


@pytest.mark.parametrize("line", [["--help"], ["mask", "--help"], ["mask", "refine", "--help"], ["--show-completion"]])
def test_help_whose_reader_goes_away_ends_without_a_word(line):
    reader, writer = os.pipe()
    os.close(reader)
    answer = subprocess.run(  # from a shell, which completion looks for among its parents
        ["bash", "-c", shlex.join([sys.executable, "cli.py", *line]) + "; exit $?"],
        check=False,
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SHELL": "/bin/bash"},
    )
    os.close(writer)
    assert answer.stderr == ""
    assert answer.returncode == READER_GONE


def test_help_imports_nothing_heavy():
    heavy = {"torch", "pandas", "duckdb", "numpy", "scipy", "store", "nibabel", "SimpleITK", "pydicom", "rich"}
    program = (
        "import sys, cli\n"
        "for line in (['--help'], ['mask', 'refine', '--help'], ['anomaly', '--help']):\n"
        "    assert cli.main(line) == 0\n"
        f"print(sorted({heavy!r} & sys.modules.keys()), file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("typed", "offered", "not_offered"),
    [
        ("", {"scan", "mask", "growth"}, {"masks", "anomaly"}),
        ("mask ", {"list", "refine", "accept"}, {"masks"}),
        ("growth forecasts ", {"keep", "list"}, set()),
        ("scan import --mod", {"--modality"}, {"--dataset"}),
        ("scan import x --modality ", {"CT", "PET", "MR"}, set()),
        ("people add ann --role ", {"viewer", "reader", "adjudicator", "administrator"}, set()),
    ],
)
def test_the_shell_completes_groups_verbs_options_and_words(typed, offered, not_offered):
    words = f"cli.py {typed}"
    place = len(words.split()) - (0 if words.endswith(" ") else 1)
    env = {**os.environ, "_CLI.PY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    told = subprocess.run([sys.executable, "cli.py"], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert offered <= set(told.stdout.split())
    assert not not_offered & set(told.stdout.split())


def test_a_bash_in_which_completion_was_installed_completes(tmp_path):
    assert os.stat(ROOT / "cli.py").st_mode & stat.S_IXUSR, "./cli.py is what a shell completes"
    (tmp_path / "python").symlink_to(sys.executable)
    env = {**os.environ, "HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(
        ["bash", "-c", "./cli.py --install-completion; exit $?"],
        cwd=ROOT,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    script = (
        f"source {tmp_path}/.bashrc; f=$(complete -p cli.py | sed 's/.*-F \\([^ ]*\\).*/\\1/');"
        ' COMP_WORDS=(./cli.py growth fo); COMP_CWORD=2; $f ./cli.py; echo "${COMPREPLY[@]}"'
    )
    told = subprocess.run(["bash", "-c", script], cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "forecasts"


def test_a_verb_that_reads_is_asked_for_no_name_and_one_that_writes_is(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TWIN_PERSON", raising=False)
    seen: list[str] = []
    app = group(None, "a program")

    @verb(app, "look", READS)
    def look(session: Session) -> object:
        """Looks."""
        seen.append(session.person)
        return {}

    @verb(app, "write", WRITES)
    def write(session: Session) -> object:
        """Writes."""
        seen.append(session.person)
        return {}

    with open_store(tmp_path) as store:
        with_people(store, "ann", "ben")
    run = get_command(app)
    data = ["--data", str(tmp_path)]
    assert run.main(["look", *data], standalone_mode=False) == 0
    assert run.main(["write", *data], standalone_mode=False) == 1
    assert "TWIN_PERSON" in capsys.readouterr().err
    assert run.main(["--reviewer", "ann", "write", *data], standalone_mode=False) == 0
    monkeypatch.setenv("TWIN_PERSON", "ben")
    assert run.main(["write", *data], standalone_mode=False) == 0
    assert seen == [running.NOBODY, "ann", "ben"]
