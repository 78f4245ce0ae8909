// What the tools have in common that draw labels by hand.
import { apply } from "../lib/geometry.js";
import { indexOf } from "../lib/grid.js";

/** @import { Tool } from "../lib/types.d.ts" */
/** @import { Pane } from "../view/pane.js" */
/** @import { Allow } from "./edit.js" */
/** @import { Editing } from "./editing.js" */

/** What the buttons say of a tool. @typedef {{name: string, label: string, title: string, key: string}} ToolNames */

/**
 * Which voxels a threshold-limited tool may add: those whose value in the shown scan lies within the limits. A limit
 * that is not set limits nothing on its side; a voxel that has not arrived is not added. Null: any.
 * @param {Editing["options"]} options
 * @param {Pick<Pane, "volume" | "series">} pane
 * @returns {Allow}
 */
export function allowed({ limit, low, high }, { volume, series: { reference } }) {
  if (!limit) return null;
  /** @param {number | null} value */
  const within = (value) => value !== null && value >= (low ?? -Infinity) && value <= (high ?? Infinity);
  const { shape, affine } = reference;
  if (volume.scan.sha256 !== reference.sha256) return (p) => within(volume.valueAt(apply(affine, indexOf(shape, p))));
  return (p) => {
    const there = volume.there[indexOf(shape, p)[2]];
    return within(there ? volume.data[p] * volume.slope + volume.intercept : null);
  };
}

/** @implements {Tool} */
export class Pen {
  kind = /** @type {const} */ ("Draw");
  cursor = "crosshair";

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

  /**
   * The editor where one can draw; null after saying why not.
   * @param {Pane} pane
   */
  ready(pane) {
    const why = this.session.refusal(pane);
    if (why) this.viewer.say(why);
    return why ? null : this.session.editor;
  }
}
