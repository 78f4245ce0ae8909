// The tools that correct a registration: move and turn the picture of the moving scan, mark a place in both scans.
import { apply, invert, multiply, perAxis, turn } from "../lib/geometry.js";

/** @import { Affine, Place, PointerPlace, Triple } from "../lib/types.d.ts" */
/** @import { Pane } from "../view/pane.js" */
/** @import { Registering } from "./registering.js" */

const MARK_COLOURS = ["#f0e442", "#e69f00"],
  RADIUS_PX = 6,
  FAINT = 0.4,
  FAR_MM = 15;

/**
 * A shift as a matrix.
 * @param {Triple} mm
 * @returns {Affine}
 */
export const shifted = ([x, y, z]) => [1, 0, 0, x, 0, 1, 0, y, 0, 0, 1, z, 0, 0, 0, 1];

/**
 * A turn within a plane, about a place: what lay along `across` then lies towards `down`.
 * @param {Triple} across direction in mm, of any length
 * @param {Triple} down another one
 * @param {number} angle radians
 * @param {Triple} centre mm
 * @returns {Affine}
 */
export function turned(across, down, angle, centre) {
  /** @type {(a: Triple, b: Triple) => number} */
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  /** @type {(v: Triple) => Triple} */
  const unit = (v) => perAxis((n) => v[n] / Math.hypot(...v));
  const u = unit(across),
    v = unit(perAxis((n) => down[n] - dot(u, down) * u[n])),
    cosine = Math.cos(angle) - 1,
    sine = Math.sin(angle);
  /** @type {(r: number, c: number) => number} */
  const at = (r, c) => (r === c ? 1 : 0) + cosine * (u[r] * u[c] + v[r] * v[c]) + sine * (v[r] * u[c] - u[r] * v[c]);
  const rotation = [0, 1, 2].flatMap((r) => [at(r, 0), at(r, 1), at(r, 2), 0]).concat(0, 0, 0, 1),
    back = apply(rotation, centre);
  return multiply(shifted(perAxis((n) => centre[n] - back[n])), rotation);
}

/** @param {Registering} registering */
export function handTools(registering) {
  moveTool(registering);
  turnTool(registering);
  markTool(registering);
}

/**
 * A tool that drags the picture: `carry` says where from the two ends of the drag.
 * @param {Registering} registering
 * @param {{name: string, label: string, title: string, key: string, cursor: string}} what
 * @param {(from: PointerPlace, to: PointerPlace, pane: Pane) => Affine | null} carry
 */
function dragTool(registering, what, carry) {
  const { viewer } = registering;
  /** @type {{at: PointerPlace, before: Affine} | null} */
  let from = null;
  const chosen = () => {
    if (viewer.layout === "two") viewer.setLayout("one");
  };
  viewer.addTool({
    kind: "Correct",
    ...what,
    chosen,
    down(at, pane) {
      from = pane.over.volume ? { at, before: registering.carried } : null;
      registering.held = from !== null;
      if (!from) viewer.say("Move and turn it where one scan lies over the other: choose Overlay.");
    },
    move(at, pane) {
      const carried = from && carry(from.at, at, pane);
      if (from && carried) registering.carry(multiply(carried, from.before));
    },
    up() {
      if (from && registering.carried !== from.before) registering.tellMoved();
      registering.held = false;
      from = null;
    },
  });
  viewer.addKey(what.key, what.title.toLowerCase(), () => viewer.setTool(what.name));
}

/** @param {Registering} registering */
function moveTool(registering) {
  const what = { name: "move", label: "Move", title: "Move the scan that is laid over", key: "j", cursor: "move" };
  dragTool(registering, what, (from, to) => {
    const [a, b] = [from.mm, to.mm];
    return a && b ? shifted(perAxis((n) => b[n] - a[n])) : null;
  });
}

/** @param {Registering} registering */
function turnTool(registering) {
  const what = {
    name: "turn",
    label: "Turn",
    title: "Turn the scan that is laid over, about the crosshair",
    key: "r",
    cursor: "grab",
  };
  dragTool(registering, what, (from, to, pane) => {
    const at = pane.place(),
      [px, py] = pane.cursorPixel(),
      centre = pane.viewer.cursorOf(pane.series),
      { affine } = pane.frame.master;
    /** @param {PointerPlace} place */
    const angle = ({ screen: [x, y] }) => Math.atan2(y - at.y - py * at.sy, x - at.x - px * at.sx);
    return turned(turn(affine, pane.plane.u), turn(affine, pane.plane.v), angle(to) - angle(from), centre);
  });
}

/** @param {Registering} registering */
function markTool(registering) {
  const { viewer } = registering,
    title = "Mark the same place in both scans";
  viewer.addTool({
    kind: "Correct",
    name: "mark",
    label: "Mark",
    title,
    key: "c",
    cursor: "crosshair",
    chosen() {
      if (viewer.layout !== "two") viewer.setLayout("two");
    },
    down(at, pane) {
      if (!at.index || viewer.layout !== "two") return viewer.say("Mark places side by side: choose layout 2.");
      const side = viewer.series.indexOf(pane.series);
      registering.setMarks([...registering.marks, { side, mm: apply(pane.frame.toMm, at.index) }]);
    },
    back() {
      if (registering.marks.length) registering.setMarks(registering.marks.slice(0, -1));
      return true;
    },
    draw: (g, pane, place) => drawMarks(registering, g, pane, place),
  });
  viewer.addKey("c", title.toLowerCase(), () => viewer.setTool("mark"));
  viewer.addKey("Backspace", "take the last mark back", () => viewer.tools.get("mark")?.back?.());
}

/**
 * The marks of the pane's own scan, and, where another lies over it, those of that one: a pair that fits coincides.
 * @param {Registering} registering
 * @param {CanvasRenderingContext2D} g
 * @param {Pane} pane
 * @param {Place} at
 */
function drawMarks(registering, g, pane, at) {
  if (pane.planeName === "mip") return;
  const { viewer, plane, ratio } = pane,
    own = viewer.series.indexOf(pane.series),
    numbers = [0, 0];
  for (const { side, mm } of registering.marks) {
    const number = ++numbers[side];
    if (side !== own && !pane.over.series) continue;
    const here = side === own || !viewer.link ? mm : apply(viewer.link.inverse, mm),
      index = apply(invert(pane.frame.toMm), here),
      off = Math.abs(index[plane.axis] - pane.slice),
      [px, py] = plane.toPixel(index);
    const far =
      off *
      Math.hypot(
        ...turn(
          pane.frame.toMm,
          perAxis((n) => (n === plane.axis ? 1 : 0)),
        ),
      );
    if (far > FAR_MM) continue;
    g.globalAlpha = off <= 0.5 ? 1 : FAINT;
    drawMark(g, at.x + px * at.sx, at.y + py * at.sy, ratio, MARK_COLOURS[side], String(number));
  }
  g.globalAlpha = 1;
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {number} x
 * @param {number} y
 * @param {number} ratio
 * @param {string} colour
 * @param {string} text
 */
function drawMark(g, x, y, ratio, colour, text) {
  const radius = RADIUS_PX * ratio;
  g.strokeStyle = g.fillStyle = colour;
  g.lineWidth = 1.6 * ratio;
  g.beginPath();
  g.arc(x, y, radius, 0, 2 * Math.PI);
  g.moveTo(x - radius / 2, y);
  g.lineTo(x + radius / 2, y);
  g.moveTo(x, y - radius / 2);
  g.lineTo(x, y + radius / 2);
  g.stroke();
  g.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  g.textAlign = "left";
  g.textBaseline = "middle";
  g.fillText(text, x + radius * 1.3, y - radius);
}
