// How measurements look on a pane: on their own slice alone, with what they measure beside them.
import { apply, invert } from "../lib/geometry.js";
import { measuredWords } from "./geometry.js";

/** @import { Drawing, Pair, Place } from "../lib/types.d.ts" */
/** @import { Pane } from "../view/pane.js" */
/** @import { Measuring } from "./measuring.js" */

const OWN = "#ff9ec7",
  KEPT = "#9be08a",
  CHOSEN = "#ffffff";
const ON_SLICE = 0.5,
  STEPS = 64;

/**
 * Whether a pane shows the slice that it was drawn on.
 * @param {Pane} pane
 * @param {Pick<Drawing, "timepoint" | "plane" | "points">} drawing
 */
export function isOn(pane, { timepoint, plane, points }) {
  if (pane.planeName !== plane || pane.series.data.timepoint !== timepoint) return false;
  const inverse = invert(pane.frame.toMm),
    { axis } = pane.plane;
  return points.every((point) => Math.abs(apply(inverse, point)[axis] - pane.slice) < ON_SLICE);
}

/**
 * Its places on the canvas, device pixels.
 * @param {Pane} pane
 * @param {Pick<Drawing, "points">} drawing
 * @param {Place} [place]
 * @returns {Pair[]}
 */
export function endsOn(pane, { points }, { x, y, sx, sy } = pane.place()) {
  const inverse = invert(pane.frame.toMm);
  return points.map((point) => {
    const [px, py] = pane.plane.toPixel(apply(inverse, point));
    return [x + px * sx, y + py * sy];
  });
}

/**
 * @param {Measuring} measuring
 * @param {CanvasRenderingContext2D} g
 * @param {Pane} pane
 * @param {Place} place
 */
export function drawMeasurements(measuring, g, pane, place) {
  if (pane.planeName === "mip") return;
  for (const drawing of measuring.all) {
    if (!isOn(pane, drawing)) continue;
    const colour = drawing === measuring.chosen ? CHOSEN : drawing.kept ? KEPT : OWN;
    drawOne(g, pane, place, drawing, colour);
  }
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Pane} pane
 * @param {Place} place
 * @param {Drawing} drawing
 * @param {string} [colour]
 */
export function drawOne(g, pane, place, drawing, colour = OWN) {
  const ends = endsOn(pane, drawing, place),
    r = pane.ratio,
    path = new Path2D();
  if (drawing.kind === "roi") {
    const [[x, y], a, b] = ends;
    for (let n = 0; n <= STEPS; n++) {
      const c = Math.cos((2 * Math.PI * n) / STEPS),
        s = Math.sin((2 * Math.PI * n) / STEPS);
      path.lineTo(x + c * (a[0] - x) + s * (b[0] - x), y + c * (a[1] - y) + s * (b[1] - y));
    }
  } else for (const [x, y] of ends) path.lineTo(x, y);
  stroke(g, path, r, colour);
  const grips = new Path2D();
  for (const [x, y] of ends) {
    grips.moveTo(x + 3.5 * r, y);
    grips.arc(x, y, 3.5 * r, 0, 2 * Math.PI);
  }
  stroke(g, grips, r, colour);
  const [x, y] = ends.reduce((best, end) => (end[0] > best[0] ? end : best));
  writeWords(g, pane, wordsOf(drawing, pane), [x + 9 * r, y], colour);
}

/**
 * What is written beside it, a line each.
 * @param {Drawing} drawing
 * @param {Pane} pane
 */
export function wordsOf(drawing, pane) {
  const { kept } = drawing;
  if (!kept) {
    return measuredWords(drawing, pane.series.volume(drawing.scan || pane.series.shown));
  }
  const of = [kept.lesion_id, kept.sets].filter(Boolean).join(" ");
  return [`${of ? `${of}: ` : ""}${kept.words.split(", ").slice(0, 1)}`, `kept by ${kept.person}`];
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Path2D} path
 * @param {number} r
 * @param {string} colour
 */
export function stroke(g, path, r, colour) {
  g.setLineDash([]);
  g.lineWidth = 3.5 * r;
  g.strokeStyle = "rgba(0,0,0,.6)";
  g.stroke(path);
  g.lineWidth = 1.5 * r;
  g.strokeStyle = colour;
  g.stroke(path);
}

/**
 * Lines of text at a place, within the canvas.
 * @param {CanvasRenderingContext2D} g
 * @param {Pane} pane
 * @param {string[]} lines
 * @param {Pair} at
 * @param {string} colour
 */
export function writeWords(g, pane, lines, [x, y], colour) {
  const r = pane.ratio;
  if (!lines.length) return;
  g.font = `600 ${12.5 * r}px system-ui, sans-serif`;
  g.textAlign = "left";
  g.textBaseline = "middle";
  g.lineWidth = 3 * r;
  g.strokeStyle = "rgba(0,0,0,.8)";
  g.fillStyle = colour;
  const wide = Math.max(...lines.map((line) => g.measureText(line).width)),
    left = Math.max(4 * r, Math.min(x, pane.canvas.width - wide - 6 * r)),
    top = Math.max(10 * r, Math.min(y, pane.canvas.height - 16 * r * lines.length));
  for (const [n, line] of lines.entries()) {
    g.strokeText(line, left, top + 15 * r * n);
    g.fillText(line, left, top + 15 * r * n);
  }
}
