"""Writes docs/settings.md, the one list of all settings, from `core.settings`: `make settings`."""

from __future__ import annotations

from pathlib import Path

from core.settings import FIELDS, OF_TESTS, Settings, spec_of

HEAD = """\
# Settings

<!-- Made by `make settings` from core/settings.py, which checks them; change it there. -->

Environment variables. Where one has a value it may not have, the dashboard and the command line say so at their start
and do nothing; one that begins with `TWIN_` and is not in this list is said as a warning. Ports, theme and the size of
one upload are in `.streamlit/config.toml`.

| variable | meaning | unit | allowed | default |
|---|---|---|---|---|
"""
FOOT = """
`TWIN_SECRET` and `TWIN_AUDIT_KEY` are secrets of 16 characters or more, best made at random (as `openssl rand -hex 32`
does). Give them to the service alone, in a file that only its account reads (systemd: `EnvironmentFile`), never on a
command line. So with `TWIN_LLM_KEY`, which is as long as the language model's server made it. No message quotes their
values.

Processes that TwinReview starts (workers, the one for prompts) inherit the environment, and with it the settings. The
one that reads files from outside gets `TWIN_MAX_IMPORT_GB` and `TWIN_DATES` alone. `PYTHONPATH` is handed on behind
TwinReview's own folder; what begins with `GIT_` is not handed to git.
"""


def document() -> str:
    """The whole of docs/settings.md."""
    rows = [_row(name) for name in FIELDS]
    rows += [f"| `{name}` | {text} | | a folder | read by tests alone |" for name, text in OF_TESTS.items()]
    return HEAD + "\n".join(rows) + "\n" + FOOT


def _row(variable: str) -> str:
    field, more = Settings.model_fields[FIELDS[variable]], spec_of(variable)
    default = more.unset or (f"{field.default:g}" if isinstance(field.default, float | int) else f"`{field.default}`")
    unit = f" {more.unit} " if more.unit else " "
    return f"| `{variable}` | {field.description} |{unit}| {more.allowed} | {default} |"


def main() -> None:
    """Writes it to its place."""
    (Path(__file__).resolve().parents[1] / "docs" / "settings.md").write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
