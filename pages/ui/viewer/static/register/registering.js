// Two timepoints laid over each other to judge their registration, and what a person does to correct it: the later
// scan's picture is moved and turned, or the same places are marked in both.
import { invert, multiply } from "../lib/geometry.js";
import { handTools } from "./hands.js";

/** @import { Affine, Mark, ViewerData } from "../lib/types.d.ts" */
/** @import { Controls } from "../view/controls.js" */
/** @import { Viewer } from "../view/viewer.js" */

/** @type {Affine} */
export const NOT_MOVED = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

export class Registering {
  /** @type {"overlay" | "checkerboard"} */
  look = "overlay";
  opacity = 0.5;
  /** edge of a square of the checkerboard */
  squareMm = 30;
  /** where the picture of the moving scan was carried: mm of pane 0 -> mm of pane 0 @type {Affine} */
  carried = NOT_MOVED;
  /** places in the order in which they were marked; the n-th of each side are a pair @type {Mark[]} */
  marks = [];
  /** the picture follows a pointer: what the page says meanwhile is older */
  held = false;
  /** how often the page was told of a move */
  told = 0;
  /** the page's correction that this is; another one begins anew @type {number | undefined} */
  turn;

  /** @param {Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.take(viewer.data);
    viewer.events.on("data", (data) => this.take(data));
    viewer.addKey("b", "overlay or checkerboard", () =>
      this.setLook(this.look === "overlay" ? "checkerboard" : "overlay"),
    );
    if (viewer.data.registration?.correct) handTools(this);
  }

  /**
   * The page's word counts, unless it has not heard yet of the last move here.
   * @param {ViewerData} data
   */
  take({ registration }) {
    if (!registration) return;
    const anew = registration.turn !== this.turn;
    if (anew) {
      this.marks = registration.marks;
      this.told = registration.heard;
      this.turn = registration.turn;
    }
    if (anew || (!this.held && registration.heard >= this.told)) this.carried = registration.carried;
    this.relink();
  }

  /**
   * Carries the picture of the moving scan there.
   * @param {Affine} carried
   */
  carry(carried) {
    this.carried = carried;
    this.relink();
  }

  /** The registration in force is the page's, after what was moved. */
  relink() {
    const { viewer } = this,
      { link } = viewer.data;
    if (!link) return;
    const matrix = multiply(link.matrix, invert(this.carried));
    viewer.link = { ...link, matrix, inverse: invert(matrix) };
    viewer.relink(viewer.linked);
    for (const pane of viewer.panes) pane.moved();
  }

  /** The picture was let go: the page hears where it is. */
  tellMoved() {
    this.held = false;
    this.told++;
    this.viewer.emit("moved", { carried: this.carried, count: this.told, turn: this.turn });
  }

  /** @param {Mark[]} marks */
  setMarks(marks) {
    this.marks = marks;
    this.viewer.draw();
    this.viewer.toolbar.refresh();
    this.viewer.emit("marked", { marks, turn: this.turn });
  }

  /** @param {"overlay" | "checkerboard"} look */
  setLook(look) {
    const { viewer } = this;
    this.look = look;
    if (viewer.layout === "two") viewer.setLayout("one"); // side by side nothing lies over anything
    viewer.toolbar.refresh();
    viewer.redraw();
  }

  /**
   * The tool that a held key stands for.
   * @param {PointerEvent} event
   */
  toolOf(event) {
    const name = event.shiftKey ? "move" : event.altKey ? "turn" : "";
    return this.viewer.tools.has(name) ? name : undefined;
  }

  /** @param {Controls} bar */
  group(bar) {
    const { viewer } = this,
      laid = () => viewer.layout !== "two";
    const opacity = bar.slider(
      "Opacity of the scan that is laid over",
      { min: 0, max: 1, step: 0.05 },
      () => this.opacity,
      (value) => {
        this.opacity = value;
        viewer.draw();
      },
    );
    const square = bar.slider(
      "Squares of the checkerboard, mm",
      { min: 10, max: 80, step: 5 },
      () => this.squareMm,
      (value) => {
        this.squareMm = value;
        viewer.draw();
      },
    );
    bar.updates.push(() => {
      opacity.hidden = !laid() || this.look !== "overlay";
      square.hidden = !laid() || this.look !== "checkerboard";
    });
    return bar.group(
      "Registration",
      bar.button(
        "Overlay",
        "Overlay of one scan over the other (b)",
        () => this.setLook("overlay"),
        () => laid() && this.look === "overlay",
      ),
      bar.button(
        "Checkerboard",
        "Checkerboard of both scans (b)",
        () => this.setLook("checkerboard"),
        () => laid() && this.look === "checkerboard",
      ),
      opacity,
      square,
    );
  }

  /**
   * Below the tools: marks are taken back.
   * @param {Controls} bar
   */
  markGroup(bar) {
    const group = bar.group(
      "Marks",
      bar.button("Back", "Back: take the last mark back", () => this.setMarks(this.marks.slice(0, -1))),
      bar.button("Clear", "Clear all marks", () => this.setMarks([])),
    );
    bar.updates.push(() => {
      group.hidden = !this.marks.length;
    });
    return group;
  }
}
