"""The slice with prompts on it: a component of our own, plain JavaScript on a 2-D canvas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from core.types import Prompt
from pages.ui.slices import View

HEIGHT_PX = 520
_render = st.components.v2.component(
    "slice_canvas",
    html='<canvas role="img" tabindex="0"></canvas>',
    css=f"canvas {{ width: 100%; height: {HEIGHT_PX}px; display: block; background: #000; touch-action: none; }}",
    js=(Path(__file__).parent / "slice_canvas.js").read_text(encoding="utf-8"),
)


def slice_canvas(
    picture: str,
    *,
    view: View,
    shape: tuple[int, int, int],
    prompts: Sequence[Prompt],
    tool: str,
    label: str,
    key: str,
    on_prompt: Callable[[], None] = lambda: None,
) -> Prompt | None:
    """Draws a slice; returns the box or point that was just drawn on it, in voxel indices of the file, else None.

    Args:
        picture: data URI from `pages.ui.slices.picture`.
        prompts: those already on this slice.
        tool: "box", "plus", "minus" or "none".
        label: what the slice shows, for those who do not see it.
    """
    columns, rows = (shape[1], shape[0]) if view.transpose else (shape[0], shape[1])
    data = {
        "picture": picture, "columns": columns, "rows": rows, "pixel": list(view.pixel_mm), "tool": tool,
        "label": label, "letters": list(view.letters), "prompts": [_to_screen(p, view, shape) for p in prompts],
    }  # fmt: skip
    drawn = _render(key=key, data=data, height=HEIGHT_PX, on_prompt_change=on_prompt).get("prompt")
    return _to_prompt(drawn, view, shape) if drawn else None


def _to_screen(prompt: Prompt, view: View, shape: tuple[int, int, int]) -> dict[str, Any]:
    c0, r0 = view.from_index(prompt.coords[0], prompt.coords[1], shape)
    c1, r1 = view.from_index(prompt.coords[-2], prompt.coords[-1], shape)
    return {"type": prompt.type, "c0": c0, "r0": r0, "c1": c1, "r1": r1, "positive": prompt.positive}


def _to_prompt(drawn: dict[str, Any], view: View, shape: tuple[int, int, int]) -> Prompt:
    i0, j0 = view.to_index(drawn["c0"], drawn["r0"], shape)
    if drawn["type"] == "point":
        return Prompt("point", 0, (i0, j0), bool(drawn["positive"]))
    i1, j1 = view.to_index(drawn["c1"], drawn["r1"], shape)
    return Prompt("box", 0, (min(i0, i1), min(j0, j1), max(i0, i1), max(j0, j1)))
