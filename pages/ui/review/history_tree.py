"""The versions of a timepoint as a tree: what came from what, who made it and how it differs from its parent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core.jobs.stages.left_out import LEFT_OUT
from core.remembered.untyped import JsonDict
from core.review.decisions import rejected_lesion_ids
from core.types import MM3_PER_ML, MaskRecord
from pages.ui.frame import session
from pages.ui.guard.base_path import in_browser
from pages.ui.guard.tokens import make_token
from pages.ui.shared.text import lesion_words
from pages.ui.shared.thumbnails import API

#: From this many on, neighbours that were superseded share one line until it is pressed.
FOLD_FROM = 2
#: Deeper branches are drawn no farther to the right: the panel is narrow, and each row names its parent anyway.
MAX_DEPTH = 5
_HERE = Path(__file__).parent
_render = st.components.v2.component(
    "twin_history",
    html='<div class="twin-history" role="tree" aria-label="Versions of this mask"></div>',
    css=(_HERE / "history_tree.css").read_text(encoding="utf-8"),
    js=(_HERE / "history_tree.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Row:
    """One line of the tree.

    Args:
        record: the version.
        depth: steps to the right: the side branches between it and the line that leads to the accepted version.
        folded: whether it is hidden until its group is opened.
    """

    record: MaskRecord
    depth: int
    folded: bool = False


def tree_rows(records: Sequence[MaskRecord], shown: int | None = None) -> list[Row]:
    """All versions, every one below its parent; [] for none.

    The line that leads to the accepted version (the newest, where none is accepted) stays on the left however long it
    is; what else was made from one of its versions stands below that one, a step to the right. Superseded versions that
    are neither shown nor the parent of the one shown are folded, where two or more follow each other.
    """
    versions = {record.version for record in records}
    children: dict[int | None, list[MaskRecord]] = {}
    for record in sorted(records, key=lambda r: r.version):
        children.setdefault(record.parent_version if record.parent_version in versions else None, []).append(record)
    main = _main_line(records)
    rows: list[Row] = []
    todo = [(record, 0) for record in reversed(children.get(None, []))]
    while todo:
        record, depth = todo.pop()
        rows.append(Row(record, depth))
        below = children.get(record.version, [])
        goes_on = next((child for child in below if child.version in main), below[-1] if below else None)
        if goes_on is not None:
            todo.append((goes_on, depth))
        todo += [(child, depth + 1) for child in reversed(below) if child is not goes_on]
    return _fold(rows, shown)


def _main_line(records: Sequence[MaskRecord]) -> set[int]:
    """The accepted (else the newest) version and those it came from."""
    by_version = {record.version: record for record in records}
    accepted = [record.version for record in records if record.status == "accepted"]
    at = accepted[-1] if accepted else max(by_version, default=None)
    line: set[int] = set()
    while at is not None and at in by_version and at not in line:
        line.add(at)
        at = by_version[at].parent_version
    return line


def _fold(rows: list[Row], shown: int | None) -> list[Row]:
    here = next((row.record for row in rows if row.record.version == shown), None)
    open_ones = {shown, here.parent_version if here else None}
    can = [row.record.status == "superseded" and row.record.version not in open_ones for row in rows]
    out, start = list(rows), 0
    while start < len(rows):
        end = start
        while end < len(rows) and can[end]:
            end += 1
        if end - start >= FOLD_FROM:
            out[start:end] = [Row(row.record, row.depth, True) for row in rows[start:end]]
        start = max(end, start + 1)
    return out


def _volume_words(delta_mm3: float | None) -> str:
    return "volume change unknown" if delta_mm3 is None else f"{delta_mm3 / MM3_PER_ML:+z.1f} mL"


def describe(row: Row, shown: int | None) -> JsonDict:
    """A row as the browser has it: text only, ready to be shown."""
    record = row.record
    changes = [] if record.parent_version is None else [f"from v{record.parent_version}"]
    if record.dice_vs_previous_version is not None:
        changes += [
            f"Dice {record.dice_vs_previous_version:.3f}",
            _volume_words(record.volume_delta_mm3),
            f"+{record.voxels_added:,} −{record.voxels_removed:,} voxels",
        ]
    else:
        changes += [f"{record.volume_mm3 / MM3_PER_ML:.1f} mL"]
    made = [record.author, record.created_at[:16].replace("T", " ")]
    told = [entry for entry in record.prompts if entry.get("type") in ("coverage", LEFT_OUT)]
    drawn = sum(prompt.get("type") != "import" for prompt in record.prompts) - len(told)
    if drawn:
        made.append(f"{drawn} prompt" + ("s" if drawn > 1 else ""))
    made += [str(entry["words"]) for entry in told]
    status: str = record.status
    if record.status == "accepted" and rejected_lesion_ids(record):
        status += f" without {', '.join(lesion_words(name) for name in sorted(rejected_lesion_ids(record)))}"
    return {
        "id": record.mask_id,
        "version": record.version,
        "method": record.method,
        "status": record.status,
        "status_text": status,
        "changes": " · ".join(changes),
        "made": " · ".join(made),
        "depth": min(row.depth, MAX_DEPTH),
        "folded": row.folded,
        "shown": record.version == shown,
    }


def history_tree(
    records: Sequence[MaskRecord], shown: int | None, person: str, on_open: Callable[[int, bool], None]
) -> None:
    """Draws the tree of one timepoint's versions.

    Args:
        shown: the version in the viewer.
        on_open: called with (version, whether a new one is to be made from it) before the page runs again.
    """
    if not records:
        return
    token = make_token(person, records[0].patient_id, [], [records[0].timepoint], False)
    rows = [describe(row, shown) for row in tree_rows(records, shown)]

    place = records[0].patient_id, records[0].timepoint

    def opened() -> None:
        told = session.HISTORY_TREE.get(*place)
        chosen = told.get("open") if isinstance(told, Mapping) else None
        if chosen:
            on_open(int(chosen["version"]), bool(chosen["start"]))

    data = {"rows": rows, "token": token, "api": in_browser(API)}
    _render(key=session.HISTORY_TREE.key(*place), data=data, on_open_change=opened)
