// The keyboard, and the list of it that `?` shows.

const TYPING = "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable=true]";

export function frameKeys(viewer) {
  const key = (name, what, action) => viewer.addKey(name, what, action),
    { options } = viewer;
  key("ArrowUp", "next slice, towards the head", () => viewer.scroll(viewer.active, 1));
  key("ArrowDown", "slice before", () => viewer.scroll(viewer.active, -1));
  key("PageUp", "ten slices on", () => viewer.scroll(viewer.active, 10));
  key("PageDown", "ten slices back", () => viewer.scroll(viewer.active, -10));
  key("q", "axial", () => viewer.setPlane("axial"));
  key("w", "coronal", () => viewer.setPlane("coronal"));
  key("e", "sagittal", () => viewer.setPlane("sagittal"));
  key("t", "projection of the PET (MIP)", () => viewer.setPlane("mip"));
  for (const n of [1, 2, 3, 4]) key(String(n), `window preset ${n}`, () => preset(viewer, n - 1));
  key("i", "invert the grey levels", () => viewer.levels.invert(viewer.active.volume.scan));
  key("v", "next scan of the timepoint", () => nextScan(viewer));
  key("o", "fuse another scan over it, or not", () => viewer.toolbar.toggleFusion());
  key("m", "mask on or off", () => viewer.setOption("mask", !options.mask));
  key("f", "mask filled or outlined", () => viewer.setOption("style", options.style === "fill" ? "outline" : "fill"));
  key("d", "changes since the other version", () => viewer.setOption("changes", !options.changes));
  key("h", "crosshair on or off", () => viewer.setOption("cross", !options.cross));
  key("n", "next lesion", () => viewer.nextLesion(1));
  key("p", "lesion before", () => viewer.nextLesion(-1));
  key("l", "link or unlink the two timepoints", () => viewer.setLinked(!viewer.linked));
  key("g", "layout: one, two, three planes", () => viewer.setLayout(viewer.nextLayout()));
  key("+", "zoom in", () => viewer.zoom(viewer.active, 1.25));
  key("-", "zoom out", () => viewer.zoom(viewer.active, 0.8));
  key("0", "whole picture", () => viewer.fit());
  key("Escape", "back to the crosshair", () =>
    viewer.toolbar.help.hidden ? viewer.setTool("cross") : viewer.toolbar.showHelp(false),
  );
  if (viewer.data.edit) {
    key("a", "accept this version (asks first)", () => viewer.emit("decide", { verdict: "accept" }));
    key("x", "reject this version (asks first)", () => viewer.emit("decide", { verdict: "reject" }));
  }
  key("?", "this list", () => viewer.toolbar.showHelp(viewer.toolbar.help.hidden));
}

function preset(viewer, n) {
  const { scan } = viewer.active.volume,
    found = viewer.levels.presets(scan)[n];
  if (found) viewer.levels.setWindow(scan, found.slice(1));
}

function nextScan(viewer) {
  const { scans, shown } = viewer.active.series,
    at = scans.findIndex((scan) => scan.sha256 === shown);
  viewer.showScan(scans[(at + 1) % scans.length].channel);
}

// Keys work wherever the visitor is, unless they type, or another part of the page has the focus.
export function bindKeys(viewer) {
  const ours = (event) => {
    const path = event.composedPath(),
      target = path[0];
    if (target.matches?.(TYPING)) return false;
    return path.includes(viewer.root) || target === document.body;
  };
  const down = (event) => {
    if (!ours(event)) return;
    if (event.key === " " && event.composedPath()[0].tagName !== "BUTTON") {
      viewer.spaceHeld = true;
      event.preventDefault();
      return;
    }
    if (event.altKey || (event.key === "Enter" && event.composedPath()[0].tagName === "BUTTON")) return;
    const name =
      (event.ctrlKey || event.metaKey ? "ctrl+" : "") + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
    const onSlider = event.composedPath()[0].type === "range" && event.key.startsWith("Arrow");
    const found = onSlider ? null : viewer.keys.find(({ key }) => key === name || (key === "+" && name === "="));
    if (!found) return;
    event.preventDefault();
    event.stopPropagation(); // the page has keys of its own
    found.action(event);
  };
  const up = (event) => {
    if (event.key === " ") viewer.spaceHeld = false;
  };
  window.addEventListener("keydown", down, true);
  window.addEventListener("keyup", up, true);
  return () => {
    window.removeEventListener("keydown", down, true);
    window.removeEventListener("keyup", up, true);
  };
}
