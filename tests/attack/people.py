"""Doors of who did it: names that nobody added, roles that may not, texts that are more than text."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from tests.attack.door import Door, Opened, cli
from tests.attack.scene import FIRST, PATIENT, SECOND, ball, copy_of_scene, statuses


def _unknown_name(folder: Path) -> str:
    root = copy_of_scene(folder)
    before = statuses(root)
    for words in (
        ("withdraw", PATIENT, SECOND, "1", "--reason", "withdrawn-error"),
        ("import-mask", PATIENT, SECOND, str(ball(folder / "m.nii.gz", 9))),
        ("ood", PATIENT, FIRST),
        ("anomaly", PATIENT, FIRST, "1"),
        ("person", "add", "mallory", "--role", "administrator"),
    ):
        ran = cli(root, *words, "--reviewer", "nobody-added-me")
        if ran.status == 0:
            raise Opened(f"{words[0]} was recorded under a name that nobody added")
    if statuses(root) != before:
        raise Opened("a refused write left something")
    return ran.err


def _viewer(folder: Path) -> str:
    root = copy_of_scene(folder)
    cli(root, "person", "add", "onlooker", "--role", "viewer", status=0)
    for words in (
        ("withdraw", PATIENT, SECOND, "1", "--reason", "withdrawn-error"),
        ("import-mask", PATIENT, SECOND, str(ball(folder / "m.nii.gz", 9))),
        ("person", "add", "onlooker", "--role", "administrator"),
    ):
        ran = cli(root, *words, "--reviewer", "onlooker")
        if ran.status == 0:
            raise Opened(f"a viewer could {words[0]}")
    return ran.err


def _promote_oneself(folder: Path) -> str:
    root = copy_of_scene(folder)
    cli(root, "person", "add", "reader-1", "--role", "reader", status=0)
    ran = cli(root, "person", "add", "reader-1", "--role", "administrator", "--reviewer", "reader-1")
    if ran.status == 0:
        raise Opened("a reader made an administrator of himself")
    return ran.err


def _formula(folder: Path) -> str:
    from core.report.csv_text import csv_text as make

    cells = ['=HYPERLINK("http://evil.example")', "+1+1", "-2", "@SUM(A1)", "\t=1", "plain"]
    rows = list(csv.reader(io.StringIO(make([{"who": cell, "mm3": -1.5} for cell in cells]))))
    live = [row[0] for row in rows[1:] if row[0][:1] in "=+-@\t\r" and row[0]]
    if live:
        raise Opened(f"a spreadsheet would run {live[0]!r}")
    return "cells that a spreadsheet would run are text"


def _markdown(folder: Path) -> str:
    from pages.ui.shared.text import plain

    shown = plain("![](http://evil.example/x) :red[a] $x$ <img src=x>")
    if re.search(r"(?<!\\)(!\[|<img|:red\[|\$x)", shown):
        raise Opened(f"it becomes {shown!r}")
    return f"shown as {shown}"


DOORS = [
    Door("People", "writes under a name that nobody added", _unknown_name),
    Door("People", "a viewer decides, imports and promotes", _viewer),
    Door("People", "a reader makes himself administrator", _promote_oneself),
    Door("People", "a name that is a spreadsheet's formula", _formula),
    Door("People", "a text that is Markdown", _markdown),
]
