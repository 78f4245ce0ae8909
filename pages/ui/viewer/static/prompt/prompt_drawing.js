// How prompts and the model's answer look on a pane.
import { apply } from "../lib/geometry.js";
import { indexOnSlice } from "../lib/grid.js";

/** @import { LabelMap, Pair, Place, Prompt } from "../lib/types.d.ts" */
/** @import { Pane } from "../view/pane.js" */
/** @import { Prompting } from "./prompts.js" */

/** What is drawn of a prompt, which need not be one yet. @typedef {Omit<Prompt, "id" | "fromVersion">} Drawn */

const BOX = "#f0e442",
  PLUS = "#6cc3a0",
  MINUS = "#e5786d";

/**
 * Two corners of a prompt on the canvas (device pixels), pixel edges included for boxes; null where this slice has it
 * not.
 * @param {Prompting} prompting
 * @param {Drawn} prompt
 * @param {Pane} pane
 * @param {Place} place
 * @returns {[Pair, Pair] | null}
 */
export function onScreen(prompting, prompt, pane, { x, y, sx, sy }) {
  const scan = prompting.scanOf(prompt),
    map = scan && prompting.mapOf(scan),
    { axis } = prompt;
  if (!map || pane.series !== prompting.series || map.axisAlong(pane.plane.axis) !== axis) return null;
  const [x0, y0, x1 = x0, y1 = y0] = prompt.coords,
    half = prompt.type === "box" ? 0.5 : 0;
  /**
   * @param {number} a
   * @param {number} b
   */
  const corner = (a, b) => apply(map.toReference, indexOnSlice(axis, prompt.slice, a, b));
  const first = corner(Math.min(x0, x1) - half, Math.min(y0, y1) - half),
    second = corner(Math.max(x0, x1) + half, Math.max(y0, y1) + half);
  const thickness = Math.max(1, Math.hypot(...[0, 4, 8].map((n) => map.toReference[n + axis])));
  if (Math.abs(first[pane.plane.axis] - pane.slice) > thickness / 2 + 1e-6) return null;
  const [ax, ay] = pane.plane.toPixel(first),
    [bx, by] = pane.plane.toPixel(second);
  return [
    [x + ax * sx, y + ay * sy],
    [x + bx * sx, y + by * sy],
  ];
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Pane} pane
 * @param {Place} place
 * @param {Prompting} prompting
 * @param {Drawn} prompt
 * @param {boolean} dashed it is being drawn
 */
export function drawPrompt(g, pane, place, prompting, prompt, dashed = false) {
  const corners = onScreen(prompting, prompt, pane, place);
  if (!corners) return;
  const [a, b] = corners,
    r = pane.ratio,
    chosen = prompt === prompting.chosen;
  g.lineWidth = (chosen ? 3 : 2) * r;
  g.globalAlpha = prompt.kept && !chosen ? 0.55 : 1;
  g.strokeStyle = prompt.type === "box" ? BOX : prompt.positive ? PLUS : MINUS;
  g.setLineDash(dashed ? [6 * r, 4 * r] : []);
  if (prompt.type === "box") {
    g.strokeRect(a[0], a[1], b[0] - a[0], b[1] - a[1]);
    const grips = chosen ? [a[0], b[0]].flatMap((x) => [a[1], b[1]].map((y) => [x, y])) : [];
    for (const [x, y] of grips) g.strokeRect(x - 3 * r, y - 3 * r, 6 * r, 6 * r);
  } else drawPoint(g, a, r, prompt.positive);
  g.setLineDash([]);
  g.globalAlpha = 1;
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Pair} at
 * @param {number} r device pixels a CSS pixel
 * @param {boolean} positive
 */
function drawPoint(g, [x, y], r, positive) {
  g.beginPath();
  g.moveTo(x - 5 * r, y);
  g.lineTo(x + 5 * r, y);
  if (positive) {
    g.moveTo(x, y - 5 * r);
    g.lineTo(x, y + 5 * r);
  }
  g.moveTo(x + 8 * r, y);
  g.arc(x, y, 8 * r, 0, 2 * Math.PI);
  g.stroke();
}

/**
 * The answer that is not yet kept: a white dashed line.
 * @param {CanvasRenderingContext2D} g
 * @param {Pane} pane
 * @param {LabelMap | {array: null} | null} preview
 */
export function drawAnswer(g, pane, preview) {
  const found = preview?.array ? pane.contours(preview) : null;
  if (!found) return;
  const at = pane.place(),
    shape = new Path2D();
  for (const path of found.paths.values()) shape.addPath(path, { a: at.sx, d: at.sy, e: at.x, f: at.y });
  g.lineWidth = 4 * pane.ratio;
  g.strokeStyle = "rgba(0,0,0,.6)";
  g.stroke(shape);
  g.lineWidth = 2 * pane.ratio;
  g.strokeStyle = "#fff";
  g.setLineDash([5 * pane.ratio, 3 * pane.ratio]);
  g.stroke(shape);
  g.setLineDash([]);
}
