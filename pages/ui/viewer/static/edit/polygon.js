// Polygons and free lines around what becomes part of a lesion, or is cut out of it.
import { allowed, Pen } from "./pen.js";

/** @import { Pair, PlaneName, PointerPlace, Triple } from "../lib/types.d.ts" */
/** @import { Pane } from "../view/pane.js" */

const NEAR_PX = 10,
  LASSO_PX = 40;

/**
 * A polygon that is being drawn: where, its corners, how far a free line has come (device pixels), and from where on.
 * @typedef {{pane: Pane, plane: PlaneName, slice: number, points: Triple[], free: number, last: Pair}} Drawn
 */

/**
 * @param {Pair} a
 * @param {Pair} b
 */
const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

/**
 * A voxel index's place on the canvas.
 * @param {Triple} index
 * @param {Pane} pane
 * @returns {Pair}
 */
function onScreen(index, pane) {
  const { x, y, sx, sy } = pane.place(),
    [px, py] = pane.plane.toPixel(index);
  return [x + px * sx, y + py * sy];
}

/** Corners by clicks, or a line drawn freely; closed by Enter, a double click, or at its beginning. */
export class Polygon extends Pen {
  /** @type {Drawn | null} */
  drawn = null;
  /** where the next corner would be @type {Triple | null} */
  next = null;

  /**
   * The polygon, if it lies on what the pane shows.
   * @param {Pane} pane
   */
  on(pane) {
    const { drawn } = this;
    return drawn?.pane === pane && drawn.plane === pane.planeName && drawn.slice === pane.slice ? drawn : null;
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   * @param {PointerEvent} event
   */
  down(at, pane, event) {
    if (!this.ready(pane) || !at.index || pane.planeName === "mip") return;
    const drawn = this.on(pane);
    if (!drawn) this.leave();
    if (drawn && (event.detail > 1 || this.closes(at, drawn))) {
      this.enter(event);
      return;
    }
    const points = [...(drawn?.points ?? []), at.index];
    this.drawn = { pane, plane: pane.planeName, slice: pane.slice, points, free: 0, last: at.screen };
    pane.draw();
  }

  /**
   * @param {PointerPlace} at
   * @param {Drawn} drawn
   */
  closes(at, { points, pane }) {
    return points.length > 2 && apart(at.screen, onScreen(points[0], pane)) < NEAR_PX * pane.ratio;
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   */
  move(at, pane) {
    const drawn = this.on(pane);
    if (!drawn || !at.index || apart(at.screen, drawn.last) < 3 * pane.ratio) return;
    drawn.free += apart(at.screen, drawn.last);
    drawn.last = at.screen;
    drawn.points.push(at.index);
    pane.draw();
  }

  /**
   * @param {PointerPlace} _at
   * @param {Pane} pane
   * @param {PointerEvent} event
   */
  up(_at, pane, event) {
    if (this.drawn && this.drawn.free > LASSO_PX * pane.ratio) this.enter(event);
  }

  /**
   * @param {PointerPlace | null} at
   * @param {Pane} pane
   */
  hover(at, pane) {
    this.next = at?.index ?? null;
    if (this.drawn) pane.draw();
  }

  /**
   * Closes the polygon on the plane that it was begun on; false where there is none.
   * @param {KeyboardEvent | PointerEvent} event
   */
  enter(event) {
    const { session, drawn } = this;
    this.drawn = null;
    if (!drawn || !session.editor) return false;
    const { pane, plane, points } = drawn,
      on = !event.shiftKey,
      allow = on ? allowed(session.options, pane) : null,
      { axis } = this.viewer.planeOf(pane.frame.master, plane);
    if (!session.editor.polygon(points, axis, session.label, on, allow)) {
      this.viewer.say("The polygon holds no voxel that could change.");
    }
    pane.labelsChanged();
    return true;
  }

  /** Takes the last corner back; false where there is none. */
  back() {
    const { drawn } = this;
    if (!drawn) return false;
    drawn.points.pop();
    if (!drawn.points.length) this.drawn = null;
    drawn.pane.draw();
    return true;
  }

  leave() {
    const pane = this.drawn?.pane;
    this.drawn = null;
    pane?.draw();
  }

  /**
   * @param {CanvasRenderingContext2D} g
   * @param {Pane} pane
   */
  draw(g, pane) {
    const drawn = this.on(pane);
    if (!drawn) return;
    const corners = [...drawn.points, ...(this.next ? [this.next] : [])].map((index) => onScreen(index, pane)),
      [[x0, y0]] = corners,
      r = pane.ratio;
    g.strokeStyle = "#fff";
    g.lineWidth = 1.5 * r;
    g.beginPath();
    for (const [x, y] of corners) g.lineTo(x, y); // the first only begins the line
    g.stroke();
    g.strokeRect(x0 - 4 * r, y0 - 4 * r, 8 * r, 8 * r);
  }
}
