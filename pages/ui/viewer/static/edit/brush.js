// Brush and eraser.
import { allowed, Pen } from "./pen.js";

/** @import { Place, PointerPlace, Triple } from "../lib/types.d.ts" */
/** @import { Pane } from "../view/pane.js" */
/** @import { Allow } from "./edit.js" */
/** @import { Editing } from "./editing.js" */
/** @import { ToolNames } from "./pen.js" */

export class Brush extends Pen {
  /** where the stroke is @type {Triple | null} */
  held = null;
  /** where the pointer is @type {{pane: Pane, index: Triple} | null} */
  over = null;
  on = true;
  /** @type {Allow} */
  allow = null;

  /**
   * @param {Editing} session
   * @param {ToolNames} names
   * @param {boolean} adds false: an eraser
   */
  constructor(session, names, adds) {
    super(session, names);
    this.adds = adds;
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   * @param {PointerEvent} event
   */
  down(at, pane, event) {
    const editor = this.ready(pane);
    this.held = null;
    if (!editor || !at.index) return;
    const { session } = this;
    this.held = at.index;
    this.on = this.adds !== event.shiftKey; // with shift a brush erases, and an eraser paints
    this.allow = this.on ? allowed(session.options, pane) : null;
    editor.begin(`${this.on ? "brush" : "erase"} ${session.lesionName}`, session.label);
    this.paint(at.index, at.index, pane);
  }

  /**
   * @param {Triple} from
   * @param {Triple} to
   * @param {Pane} pane
   */
  paint(from, to, pane) {
    const { editor, options } = this.session;
    if (!editor?.step)
      this.held = null; // the step was ended by a key: undo, save, another change
    else {
      const { radiusMm, ball } = options;
      editor.stroke(from, to, radiusMm, pane.plane.axis, { ball, on: this.on, allow: this.allow });
      this.held = to;
    }
    pane.labelsChanged();
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   */
  move(at, pane) {
    this.hover(at, pane);
    if (this.held && at.index) this.paint(this.held, at.index, pane);
  }

  /**
   * @param {PointerPlace} _at
   * @param {Pane} pane
   */
  up(_at, pane) {
    if (!this.held) return;
    this.held = null;
    if (!this.session.editor?.commit()) this.viewer.say(this.nothing());
    pane.draw();
  }

  /** Why a stroke changed nothing. */
  nothing() {
    const { options, lesionName } = this.session;
    if (!this.on) return `There is nothing of ${lesionName} here to erase.`;
    if (options.limit) return "No voxel here has a value within the limits.";
    return "Another lesion is here already, or this one: nothing to add.";
  }

  /**
   * @param {PointerPlace | null} at
   * @param {Pane} pane
   */
  hover(at, pane) {
    this.over = at?.index ? { pane, index: at.index } : null;
    pane.draw();
  }

  leave() {
    this.held = null;
    this.session.editor?.commit();
    const pane = this.over?.pane;
    this.over = null;
    pane?.draw();
  }

  /**
   * @param {CanvasRenderingContext2D} g
   * @param {Pane} pane
   * @param {Place} place
   */
  draw(g, pane, { x, y, sx, sy, scale }) {
    if (this.over?.pane !== pane || this.viewer.tool !== this.name || pane.planeName === "mip") return;
    const [px, py] = pane.plane.toPixel(this.over.index);
    g.strokeStyle = this.adds ? "#fff" : "#e5786d";
    g.lineWidth = 1.2 * pane.ratio;
    g.beginPath();
    g.arc(x + px * sx, y + py * sy, Math.max(2, this.session.options.radiusMm * scale), 0, 2 * Math.PI);
    g.stroke();
  }
}
