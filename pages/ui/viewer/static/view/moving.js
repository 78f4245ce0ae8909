// Moving about in a pane: through the slices, closer, and aside.
import { setMipAngle } from "./showing.js";

/** @import { Pair } from "../lib/types.d.ts" */
/** @import { Pane } from "./pane.js" */

/**
 * Goes on by slices, towards the head, front or right; a projection is turned.
 * @param {Pane} pane
 * @param {number} steps
 */
export function scroll(pane, steps) {
  const { viewer } = pane;
  if (pane.planeName === "mip") setMipAngle(viewer, viewer.mipAngle + 10 * steps);
  else viewer.goTo(pane, pane.slice + steps * pane.plane.upward);
}

/**
 * @param {Pane} pane
 * @param {number} factor
 * @param {Pair} [at] place that stays where it is, in device pixels; the middle unless given
 */
export function zoom(pane, factor, at) {
  const view = pane.viewer.viewOf(pane),
    before = pane.place().scale,
    { width, height } = pane.canvas;
  const [x, y] = at ?? [width / 2, height / 2];
  view.zoom = Math.max(0.5, Math.min(20, view.zoom * factor));
  const after = pane.place().scale;
  view.x += (x - width / 2) * (1 / before - 1 / after); // what is under the pointer stays there
  view.y += (y - height / 2) * (1 / before - 1 / after);
  pane.viewer.draw();
}

/**
 * @param {Pane} pane
 * @param {number} dx device pixels
 * @param {number} dy
 */
export function pan(pane, dx, dy) {
  const view = pane.viewer.viewOf(pane),
    { scale } = pane.place();
  view.x -= dx / scale;
  view.y -= dy / scale;
  pane.viewer.draw();
}
