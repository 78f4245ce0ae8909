// The tools that draw prompts, on any plane of the first timepoint: boxes, points that belong and points that do not.
// What is there already is moved by its corner, edge or place.
import { apply, multiply } from "../lib/geometry.js";
import { inPlane } from "../lib/grid.js";
import { drawAnswer, drawPrompt, onScreen } from "./prompt_drawing.js";

/** @import { Pair, Place, PointerPlace, Prompt, ScanSlice, Tool, Triple } from "../lib/types.d.ts" */
/** @import { Editing } from "../edit/editing.js" */
/** @import { ToolNames } from "../edit/pen.js" */
/** @import { Pane } from "../view/pane.js" */

/**
 * A prompt that is held, by which of its corners (0..3), or null: all of it.
 * @typedef {{prompt: Prompt, corner: number | null}} Grip
 */

/**
 * What a held pointer draws: from where to where (coordinates in the scan's slice), or the prompt that it moves.
 * @typedef {{place: ScanSlice, pane: Pane, from: Pair, to: Pair, grip: (Grip & {coords: number[]}) | null}} Drag
 */

const GRIP_PX = 8;

/**
 * @param {Editing} session
 * @returns {Tool[]}
 */
export function promptTools(session) {
  const plus = { name: "plus", label: "+", title: "Point that belongs to the lesion", key: "." },
    minus = { name: "minus", label: "−", title: "Point that does not belong to it", key: "," };
  return [new BoxTool(session), new PointTool(session, plus, true), new PointTool(session, minus, false)];
}

/** @implements {Tool} */
class PromptTool {
  kind = /** @type {const} */ ("Prompt");
  cursor = "crosshair";
  /** @type {Drag | null} */
  drag = null;

  /**
   * @param {Editing} session
   * @param {ToolNames} names
   */
  constructor(session, { name, label, title, key }) {
    this.session = session;
    this.viewer = session.viewer;
    this.name = name;
    this.label = label;
    this.title = title;
    this.key = key;
  }

  get prompting() {
    return this.session.prompting;
  }

  /**
   * The scan's slice of the pane, or null after saying why not.
   * @param {Pane} pane
   */
  ready(pane) {
    const why = this.session.refusal(pane),
      at = why ? null : this.prompting.place(pane);
    if (!at) this.viewer.say(why || "This scan lies obliquely to the plane. Choose another scan or plane.");
    return at;
  }

  /**
   * A place's coordinates in the scan's slice, within it.
   * @param {Pane} pane
   * @param {Triple} index
   * @param {ScanSlice} place
   * @returns {Pair}
   */
  coords(pane, index, { scan, axis }) {
    const found = apply(multiply(pane.volume.inverse, pane.frame.toMm), index);
    /** @param {number} n */
    const within = (n) => Math.max(0, Math.min(scan.shape[n] - 1, Math.round(found[n])));
    const [u, v] = inPlane(axis);
    return [within(u), within(v)];
  }

  /**
   * The prompt under the pointer, or null.
   * @param {PointerPlace} at
   * @param {Pane} pane
   * @returns {Grip | null}
   */
  grip(at, pane) {
    const place = pane.place(),
      near = GRIP_PX * pane.ratio,
      [x, y] = at.screen;
    for (const prompt of [...this.prompting.list].reverse()) {
      const corners = onScreen(this.prompting, prompt, pane, place);
      if (!corners) continue;
      const [a, b] = corners;
      if (prompt.type === "point") {
        if (Math.hypot(x - a[0], y - a[1]) < 1.5 * near) return { prompt, corner: null };
        continue;
      }
      const x0 = Math.min(a[0], b[0]),
        x1 = Math.max(a[0], b[0]),
        y0 = Math.min(a[1], b[1]),
        y1 = Math.max(a[1], b[1]);
      if (x < x0 - near || x > x1 + near || y < y0 - near || y > y1 + near) continue;
      const ends = [a[1], b[1]].flatMap((v) => [a[0], b[0]].map((u) => [u, v])),
        corner = ends.findIndex(([u, v]) => Math.hypot(x - u, y - v) < 1.5 * near);
      if (corner >= 0) return { prompt, corner };
      const edge = Math.min(Math.abs(x - x0), Math.abs(x - x1), Math.abs(y - y0), Math.abs(y - y1));
      if (edge < near) return { prompt, corner: null };
    }
    return null;
  }

  /**
   * @param {PointerPlace | null} at
   * @param {Pane} pane
   */
  hover(at, pane) {
    const found = at && pane.planeName !== "mip" ? this.grip(at, pane) : null,
      before = this.prompting.chosen;
    pane.canvas.style.cursor = !found ? "crosshair" : found.corner === null ? "move" : "nwse-resize";
    this.prompting.chosen = found?.prompt ?? null;
    if (before !== this.prompting.chosen) pane.draw();
  }

  /**
   * Where a held prompt goes while the pointer is at a place.
   * @param {NonNullable<Drag["grip"]>} grip
   * @param {Drag} drag
   */
  moved({ corner, coords }, { from, to, place: { scan, axis } }) {
    const shift = [to[0] - from[0], to[1] - from[1]],
      most = inPlane(axis).map((n) => scan.shape[n] - 1);
    /**
     * @param {number} v
     * @param {number} n
     */
    const within = (v, n) => Math.max(0, Math.min(most[n % 2], v));
    if (corner === null) return coords.map((v, n) => within(v + shift[n % 2], n));
    const [x0, y0, x1, y1] = coords,
      x = [x0, x1],
      y = [y0, y1];
    x[corner % 2] = within(x[corner % 2] + shift[0], 0);
    y[corner >> 1] = within(y[corner >> 1] + shift[1], 1);
    return [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   */
  down(at, pane) {
    const place = this.ready(pane);
    this.drag = null;
    if (!place || !at.index) return;
    const from = this.coords(pane, at.index, place),
      grip = this.grip(at, pane);
    this.drag = { place, pane, from, to: from, grip: grip && { ...grip, coords: grip.prompt.coords } };
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   */
  move(at, pane) {
    const { drag } = this;
    if (!drag || !at.index) return;
    drag.to = this.coords(pane, at.index, drag.place);
    if (drag.grip) drag.grip.prompt.coords = this.moved(drag.grip, drag);
    pane.draw();
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   */
  up(at, pane) {
    const { drag } = this;
    this.drag = null;
    if (!drag || !at.index) return;
    drag.to = this.coords(pane, at.index, drag.place);
    if (!drag.grip) this.finish(drag);
    else if (drag.to.join() !== drag.from.join()) this.prompting.move(drag.grip.prompt, this.moved(drag.grip, drag));
    pane.draw();
  }

  leave() {
    if (this.drag?.grip) this.drag.grip.prompt.coords = this.drag.grip.coords;
    this.drag = null;
  }

  /**
   * Makes a prompt of what was drawn.
   * @param {Drag} _drag
   */
  finish(_drag) {}
}

class BoxTool extends PromptTool {
  /** @param {Editing} session */
  constructor(session) {
    super(session, { name: "box", label: "Box", title: "Box around the lesion", key: "b" });
  }

  /**
   * @override
   * @param {Drag} drag
   */
  finish({ from, to, place: { scan, axis, slice } }) {
    if (from[0] === to[0] || from[1] === to[1]) return;
    const coords = [
      Math.min(from[0], to[0]),
      Math.min(from[1], to[1]),
      Math.max(from[0], to[0]),
      Math.max(from[1], to[1]),
    ];
    this.prompting.add({ type: "box", scan: scan.scan_id, axis, slice, coords });
  }

  /**
   * Draws for all three tools: prompts are seen whatever the tool.
   * @param {CanvasRenderingContext2D} g
   * @param {Pane} pane
   * @param {Place} place
   */
  draw(g, pane, place) {
    const { prompting, drag, session } = this;
    if (pane.series !== session.series || pane.planeName === "mip") return;
    drawAnswer(g, pane, prompting.preview);
    for (const prompt of prompting.list) drawPrompt(g, pane, place, prompting, prompt);
    if (!drag || drag.pane !== pane || drag.grip || drag.from.join() === drag.to.join()) return;
    const { scan, axis, slice } = drag.place,
      coords = [...drag.from, ...drag.to],
      what = { type: /** @type {const} */ ("box"), positive: true, kept: false, lesion: session.label };
    drawPrompt(g, pane, place, prompting, { ...what, scan: scan.scan_id, axis, slice, coords }, true);
  }
}

class PointTool extends PromptTool {
  /**
   * @param {Editing} session
   * @param {ToolNames} names
   * @param {boolean} positive it belongs to the lesion
   */
  constructor(session, names, positive) {
    super(session, names);
    this.positive = positive;
  }

  /**
   * @override
   * @param {Drag} drag
   */
  finish({ to, place: { scan, axis, slice } }) {
    this.prompting.add({ type: "point", scan: scan.scan_id, axis, slice, coords: to, positive: this.positive });
  }
}
