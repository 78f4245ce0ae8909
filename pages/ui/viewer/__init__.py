"""The viewer: a component of our own, plain JavaScript modules on 2-D canvases (README.md says who tells whom what)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from core.remembered.untyped import JsonDict, JsonObject
from pages.ui.guard import signin

#: What the mark of a demo, above every page, takes of the height.
DEMO_MARK_PX = 38
_STATIC = Path(__file__).parent / "static"
#: The modules are imported by an address that names their content; the component itself only does that.
_SCRIPT = """
export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".twin-viewer");
  root.latest = component;
  root.style.setProperty("--above", data.above_px + "px");
  clearTimeout(root.closing);
  import(new URL(data.assets + "view/mount.js", location.href)).then(({ mount }) => {
    if (root.latest === component && root.isConnected) mount(component);
  }).catch((error) => { root.textContent = "The viewer could not be loaded. Reload the page. " + error.message; });
  return () => { root.closing = setTimeout(() => { if (!root.isConnected) root.viewer?.close(); }, 1000); };
}
"""
_render = st.components.v2.component(
    "twin_viewer",
    html='<div class="twin-viewer"><div class="panes"></div></div>',
    css=(_STATIC / "view" / "viewer.css").read_text(encoding="utf-8"),
    js=_SCRIPT,
)
_ROOM = """<style>
[data-testid="stMainBlockContainer"] { padding-left: 1.2rem; padding-right: 1.2rem; padding-bottom: 1rem; }
[data-testid="stMainBlockContainer"] h1 { padding: 0; }
</style>"""


def wide_page() -> None:
    """Gives the page the whole width: a picture needs it more than margins do."""
    st.html(_ROOM)


def viewer(
    data: JsonObject, *, key: str, above_px: int = 118, on_change: Callable[[], None] = lambda: None
) -> JsonDict:
    """Shows what `describe.viewer_data` made; it is as high as the window, less what stands above it.

    Args:
        above_px: height of what the page shows above and below the viewer.
        on_change: called before the page runs again because of the viewer.

    Returns:
        "decide", "saved", "drafted", "moved", "marked" and "measured" (README.md): each None but in the run
        that it caused.
    """
    told = _render(
        key=key,
        data={**data, "above_px": above_px + (0 if signin.configured() else DEMO_MARK_PX)},
        on_decide_change=on_change,
        on_saved_change=on_change,
        on_drafted_change=on_change,
        on_moved_change=on_change,
        on_marked_change=on_change,
        on_measured_change=on_change,
    )
    return {name: told.get(name) for name in ("decide", "saved", "drafted", "moved", "marked", "measured")}
