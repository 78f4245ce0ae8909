// The tools that change nothing: crosshair, scroll, window, pan.

/** @import { Viewer } from "./viewer.js" */

/** @param {Viewer} viewer */
export function plainTools(viewer) {
  const plain = [
    ["cross", "Cross", "Crosshair", "k", "crosshair"],
    ["scroll", "Scroll", "Scroll by dragging", "s", "ns-resize"],
    ["window", "W/L", "Window by dragging", "z", "move"],
    ["pan", "Pan", "Pan by dragging", "y", "grab"],
  ];
  for (const [name, label, title, key, cursor] of plain) {
    viewer.addTool({ kind: "Look", name, label, title, key, cursor });
    viewer.addKey(key, title.toLowerCase(), () => viewer.setTool(name));
  }
}
