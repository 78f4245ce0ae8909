// The tools that draw labels by hand: brush, eraser, polygon, and a click on a piece to keep or remove it.
import { numberOf } from "../lib/grid.js";
import { Brush } from "./brush.js";
import { Pen } from "./pen.js";
import { Polygon } from "./polygon.js";

/** @import { PointerPlace, Tool } from "../lib/types.d.ts" */
/** @import { Pane } from "../view/pane.js" */
/** @import { Editing } from "./editing.js" */
/** @import { ToolNames } from "./pen.js" */

class Piece extends Pen {
  /**
   * @param {Editing} session
   * @param {ToolNames} names
   * @param {boolean} keep the piece alone; false: removes it
   */
  constructor(session, names, keep) {
    super(session, names);
    this.keep = keep;
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   */
  down(at, pane) {
    const editor = this.ready(pane);
    if (!editor || !at.voxel) return;
    if (!editor.labelAt(at.voxel)) return this.viewer.say("There is no lesion under the pointer. Click on one.");
    const done = editor.piece(numberOf(editor.shape, at.voxel), this.keep);
    if (!done) this.viewer.say("The lesion is in one piece already.");
    pane.labelsChanged();
  }
}

/**
 * @param {Editing} session
 * @returns {Tool[]}
 */
export function penTools(session) {
  const polygon = "Polygon or free line; with shift it cuts out";
  return [
    new Brush(session, { name: "brush", label: "Brush", title: "Brush; with shift it erases", key: "r" }, true),
    new Brush(session, { name: "erase", label: "Erase", title: "Eraser of the chosen lesion", key: "u" }, false),
    new Polygon(session, { name: "polygon", label: "Polygon", title: polygon, key: "c" }),
    new Piece(
      session,
      { name: "keep", label: "Isolate", title: "Keep only the piece that is clicked", key: "5" },
      true,
    ),
    new Piece(session, { name: "remove", label: "Delete", title: "Remove the piece that is clicked", key: "6" }, false),
  ];
}
