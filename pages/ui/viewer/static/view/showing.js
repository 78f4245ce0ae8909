// What the panes show: planes and projections, and which scan of a timepoint.

/** @import { PictureName } from "../lib/types.d.ts" */
/** @import { Viewer } from "./viewer.js" */

/**
 * @param {Viewer} viewer
 * @param {PictureName} name
 */
export function setPlane(viewer, name) {
  if (name === "mip" && !viewer.active.series.pet) {
    return viewer.say("A projection needs a PET scan; this timepoint has none.");
  }
  for (const pane of viewer.layout === "planes" ? [viewer.active] : viewer.panes) {
    if (name !== "mip" || pane.series.pet) pane.planeName = name;
  }
  viewer.toolbar.refresh();
  viewer.redraw();
}

/**
 * @param {Viewer} viewer
 * @param {number} angle degrees
 */
export function setMipAngle(viewer, angle) {
  viewer.mipAngle = ((angle % 360) + 360) % 360;
  for (const pane of viewer.panes) if (pane.planeName === "mip") pane.projection.project(viewer.mipAngle);
  viewer.toolbar.refresh();
}

/**
 * Shows a kind of scan in every pane that has it.
 * @param {Viewer} viewer
 * @param {string | null} channel
 * @param {boolean} overlay lays it over the other one; null takes it away
 */
export function showScan(viewer, channel, overlay = false) {
  for (const one of viewer.series) {
    const scan = one.scans.find((s) => s.channel === channel);
    if (overlay) one.overlay = scan?.sha256 ?? null;
    else if (scan) one.shown = scan.sha256;
  }
  viewer.toolbar.refresh();
  viewer.redraw();
}
