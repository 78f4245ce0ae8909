// The groups of controls above and beside the panes.
import { PLANES } from "../lib/geometry.js";
import { nextLesion } from "./lesions.js";
import { setMipAngle, setPlane, showScan } from "./showing.js";

/** @import { Layout, PictureName, Tool } from "../lib/types.d.ts" */
/** @import { Choice } from "./controls.js" */
/** @import { Toolbar } from "./toolbar.js" */

/** kind of the tools that stand above the panes */
const MEASURE = "Measure";
const PLANE_KEYS = { axial: "q", coronal: "w", sagittal: "e" };

/** @param {Toolbar} bar */
export function planeGroup(bar) {
  const { viewer } = bar;
  /** @param {PictureName} name */
  const shown = (name) => () => viewer.active.planeName === name;
  const group = bar.group(
    "Plane",
    ...PLANES.map((name) => {
      const title = name[0].toUpperCase() + name.slice(1),
        label = `${title} (${PLANE_KEYS[name]})`;
      return bar.button(title.slice(0, 3), label, () => setPlane(viewer, name), shown(name));
    }),
  );
  if (!viewer.series.some((one) => one.pet)) return group;
  const label = "Maximum-intensity projection of the PET (t)";
  const angle = bar.slider(
    "Turn the projection, degrees",
    { min: 0, max: 350, step: 10 },
    () => viewer.mipAngle,
    (degrees) => setMipAngle(viewer, degrees),
  );
  bar.updates.push(() => {
    angle.hidden = viewer.active.planeName !== "mip";
  });
  group.append(
    bar.button("MIP", label, () => setPlane(viewer, "mip"), shown("mip")),
    angle,
  );
  return group;
}

/** @param {Toolbar} bar */
export function layoutGroup(bar) {
  const { viewer } = bar;
  /** @type {[Layout, string, string][]} */
  const layouts = [
    ["one", "1", "One pane (g)"],
    ["planes", "3", "Axial, coronal and sagittal (g)"],
  ];
  if (viewer.series.length > 1) layouts.splice(1, 0, ["two", "2", "Both side by side (g)"]);
  const buttons = layouts.map(([layout, text, label]) => {
    const pressed = () => viewer.layout === layout;
    return bar.button(text, label, () => viewer.setLayout(layout), pressed);
  });
  return bar.group("Layout", ...buttons);
}

/** @param {Toolbar} bar */
export function imageGroup(bar) {
  const { viewer } = bar,
    channels = () => [...new Set(viewer.active.series.scans.map(({ channel }) => channel))],
    group = bar.group("Image");
  if (channels().length > 1) group.append(...scanControls(bar, channels));
  const scan = () => viewer.active.series.shownScan,
    window = () => viewer.levels.windowOf(scan()).join(" ");
  /** @returns {Choice[]} */
  const presets = () => viewer.levels.presets(scan()).map(([name, centre, width]) => [`${centre} ${width}`, name]);
  const chosen = () => (presets().some(([value]) => value === window()) ? window() : "own");
  /** @param {string} value */
  const choose = (value) => {
    const [centre, width] = value.split(" ").map(Number);
    if (value !== "own") viewer.levels.setWindow(scan(), [centre, width]);
  };
  group.append(bar.select("Window", () => [...presets(), ["own", "own window"]], chosen, choose));
  return group;
}

/**
 * Which scan is seen, and which is laid over it.
 * @param {Toolbar} bar
 * @param {() => string[]} channels
 */
function scanControls(bar, channels) {
  const { viewer } = bar,
    seen = () => viewer.active.series.shownScan.channel;
  const fused = () => {
    const { overlay } = viewer.active.series;
    return overlay ? viewer.active.series.scan(overlay) : undefined;
  };
  const scans = bar.select(
    "Scan",
    () => channels().map((c) => [c, c]),
    seen,
    (c) => showScan(viewer, c),
  );
  /** @returns {Choice[]} */
  const others = () => channels().flatMap((c) => (c === seen() ? [] : [[c, `+ ${c}`]]));
  const fusion = bar.select(
    "Fused over it",
    () => [["", "no fusion"], ...others()],
    () => fused()?.channel ?? "",
    (channel) => showScan(viewer, channel || null, true),
  );
  const opacity = bar.slider(
    "Opacity of the fused scan",
    { min: 0, max: 1, step: 0.05 },
    () => viewer.options.overlayOpacity,
    (value) => viewer.setOption("overlayOpacity", value),
  );
  bar.updates.push(() => {
    opacity.hidden = !fused();
  });
  return [scans, fusion, opacity];
}

/**
 * Tools beside the panes by what they are for: looking, prompting, drawing.
 * @param {Toolbar} bar
 */
export function toolGroups(bar) {
  const { viewer } = bar;
  /** @type {Map<string, Tool[]>} */
  const kinds = new Map();
  for (const tool of viewer.tools.values())
    if (tool.kind !== MEASURE) kinds.set(tool.kind, [...(kinds.get(tool.kind) ?? []), tool]);
  return [...kinds].map(([kind, tools]) => bar.group(kind, ...toolButtons(bar, tools)));
}

/**
 * @param {Toolbar} bar
 * @param {Tool[]} tools
 */
function toolButtons(bar, tools) {
  const { viewer } = bar;
  return tools.map(({ name, label, title, key }) => {
    const pressed = () => viewer.tool === name;
    return bar.button(label, `${title} (${key})`, () => viewer.setTool(name), pressed);
  });
}

/** @param {Toolbar} bar */
export function maskGroup(bar) {
  const { viewer } = bar,
    { options } = viewer;
  const toggleMask = () => viewer.setOption("mask", !options.mask),
    toggleFill = () => viewer.setOption("style", options.style === "fill" ? "outline" : "fill"),
    toggleChanges = () => viewer.setOption("changes", !options.changes);
  const opacity = bar.slider(
    "Opacity of the mask",
    { min: 0.1, max: 1, step: 0.05 },
    () => options.maskOpacity,
    (value) => viewer.setOption("maskOpacity", value),
  );
  const changed = "Changes since the other version: violet added, orange removed (d)",
    changes = bar.button("Changes", changed, toggleChanges, () => options.changes);
  bar.updates.push(() => {
    changes.hidden = !viewer.series.some((one) => one.data.against);
  });
  return bar.group(
    "Mask",
    bar.button("Mask", "Mask on or off (m)", toggleMask, () => options.mask),
    bar.button("Fill", "Filled or outlined (f)", toggleFill, () => options.style === "fill"),
    opacity,
    changes,
  );
}

/**
 * The tools that measure, which stand above the panes, and the mask's own diameters.
 * @param {Toolbar} bar
 */
export function measureGroup(bar) {
  const { viewer } = bar,
    { measuring } = viewer,
    group = bar.group("Measure"),
    axes = "Longest diameter and its perpendicular of the lesion's mask (/)";
  if (!measuring) return group;
  group.append(
    ...toolButtons(
      bar,
      [...viewer.tools.values()].filter(({ kind }) => kind === MEASURE),
    ),
  );
  group.append(
    bar.button(
      "Diameters",
      axes,
      () => measuring.diameters.toggle(),
      () => measuring.diameters.shown,
    ),
  );
  return group;
}

/** @param {Toolbar} bar */
export function lesionGroup(bar) {
  const { viewer } = bar,
    chosen = viewer.editing ? [viewer.editing.bar.lesions()] : [];
  const group = bar.group(
    "Lesions",
    bar.button("‹", "Lesion before (p)", () => nextLesion(viewer, -1)),
    ...chosen,
    bar.button("›", "Next lesion (n)", () => nextLesion(viewer, 1)),
  );
  bar.updates.push(() => {
    group.hidden = !viewer.editing && !viewer.series.some((one) => one.data.lesions.length);
  });
  return group;
}

/** @param {Toolbar} bar */
export function linkGroup(bar) {
  const { viewer } = bar,
    label = "Link the two timepoints in space (l)",
    toggle = () => viewer.setLinked(!viewer.linked);
  const button = bar.button("Linked", label, toggle, () => viewer.linked);
  bar.updates.push(() => {
    button.textContent = viewer.linked ? "Linked" : "Not linked";
  });
  return bar.group("Link", button);
}
