// The keyboard, and the list of it that `?` shows.
import { element } from "../lib/element.js";
import { nextLesion } from "./lesions.js";
import { scroll, zoom } from "./moving.js";
import { setPlane, showScan } from "./showing.js";

/** @import { Key } from "../lib/types.d.ts" */
/** @import { Viewer } from "./viewer.js" */

const TYPING = "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable=true]";
const POINTER = [
  ["wheel", "slices; with ctrl: zoom"],
  ["left", "the chosen tool; the crosshair at first"],
  ["right drag", "window: across width, up and down centre"],
  ["middle drag, space", "pan"],
  ["one finger", "slices; a tap puts the crosshair"],
  ["two fingers", "zoom and pan"],
];

/** @param {Viewer} viewer */
export function frameKeys(viewer) {
  /**
   * @param {string} name
   * @param {string} what
   * @param {() => void} action
   */
  const key = (name, what, action) => viewer.addKey(name, what, action);
  const { options } = viewer;
  key("ArrowUp", "next slice, towards the head", () => scroll(viewer.active, 1));
  key("ArrowDown", "slice before", () => scroll(viewer.active, -1));
  key("PageUp", "ten slices on", () => scroll(viewer.active, 10));
  key("PageDown", "ten slices back", () => scroll(viewer.active, -10));
  key("q", "axial", () => setPlane(viewer, "axial"));
  key("w", "coronal", () => setPlane(viewer, "coronal"));
  key("e", "sagittal", () => setPlane(viewer, "sagittal"));
  key("t", "projection of the PET (MIP)", () => setPlane(viewer, "mip"));
  for (const n of [1, 2, 3, 4]) key(String(n), `window preset ${n}`, () => choosePreset(viewer, n - 1));
  key("i", "invert the grey levels", () => viewer.levels.invert(viewer.active.volume.scan));
  key("v", "next scan of the timepoint", () => nextScan(viewer));
  key("o", "fuse another scan over it, or not", () => toggleFusion(viewer));
  key("m", "mask on or off", () => viewer.setOption("mask", !options.mask));
  key("f", "mask filled or outlined", () => viewer.setOption("style", options.style === "fill" ? "outline" : "fill"));
  key("d", "changes since the other version", () => viewer.setOption("changes", !options.changes));
  key("h", "crosshair on or off", () => viewer.setOption("cross", !options.cross));
  key("n", "next lesion", () => nextLesion(viewer, 1));
  key("p", "lesion before", () => nextLesion(viewer, -1));
  key("l", "link or unlink the two timepoints", () => viewer.setLinked(!viewer.linked));
  key("g", "layout: one, two, three planes", () => viewer.setLayout(viewer.nextLayout()));
  key("+", "zoom in", () => zoom(viewer.active, 1.25));
  key("-", "zoom out", () => zoom(viewer.active, 0.8));
  key("0", "whole picture", () => viewer.fit());
  key("Escape", "back to the crosshair", () => {
    if (viewer.toolbar.helpShown) viewer.toolbar.showHelp(false);
    else viewer.setTool("cross");
  });
  if (viewer.data.edit) {
    key("a", "accept this version (asks first)", () => viewer.editing?.decide("accept"));
    key("x", "reject this version (asks first)", () => viewer.editing?.decide("reject"));
  }
  key("?", "this list", () => viewer.toolbar.showHelp(!viewer.toolbar.helpShown));
}

/**
 * @param {Viewer} viewer
 * @param {number} n
 */
function choosePreset(viewer, n) {
  const { scan } = viewer.active.volume,
    preset = viewer.levels.presets(scan)[n];
  if (preset) viewer.levels.setWindow(scan, [preset[1], preset[2]]);
}

/** @param {Viewer} viewer */
function nextScan(viewer) {
  const { scans, shown } = viewer.active.series,
    at = scans.findIndex((scan) => scan.sha256 === shown);
  showScan(viewer, scans[(at + 1) % scans.length].channel);
}

/** @param {Viewer} viewer */
function toggleFusion(viewer) {
  const one = viewer.active.series,
    other = one.scans.find((scan) => scan.sha256 !== one.shown);
  showScan(viewer, one.overlay || !other ? null : other.channel, true);
}

/**
 * What `?` shows.
 * @param {Key[]} keys
 */
export function keyList(keys) {
  const rows = [...keys.map(({ key, what }) => [key.replace("Arrow", ""), what]), ...POINTER].map(([key, what]) =>
    element("div", {}, element("dt", { textContent: key }), element("dd", { textContent: what })),
  );
  return [element("h4", { textContent: "Keys and pointer" }), element("dl", {}, ...rows)];
}

/**
 * Keys work wherever the visitor is, unless they type, or another part of the page has the focus.
 * @param {Viewer} viewer
 * @returns {() => void} takes them back
 */
export function bindKeys(viewer) {
  /**
   * Where a key was pressed, or null where it is not ours.
   * @param {KeyboardEvent} event
   */
  const ours = (event) => {
    const path = event.composedPath(),
      [target] = path;
    if (!(target instanceof Element) || target.matches(TYPING)) return null;
    return path.includes(viewer.root) || target === document.body ? target : null;
  };
  /** @param {KeyboardEvent} event */
  const down = (event) => {
    const target = ours(event);
    if (!target) return;
    if (event.key === " " && target.tagName !== "BUTTON") {
      viewer.spaceHeld = true;
      event.preventDefault();
      return;
    }
    if (event.altKey || (event.key === "Enter" && target.tagName === "BUTTON")) return;
    const held = event.ctrlKey || event.metaKey ? "ctrl+" : "",
      name = held + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
    const onSlider = target instanceof HTMLInputElement && target.type === "range" && event.key.startsWith("Arrow");
    const found = onSlider ? null : viewer.keys.find(({ key }) => key === name || (key === "+" && name === "="));
    if (!found) return;
    event.preventDefault();
    event.stopPropagation(); // the page has keys of its own
    found.action(event);
  };
  /** @param {KeyboardEvent} event */
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
