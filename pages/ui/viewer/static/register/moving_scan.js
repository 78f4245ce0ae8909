// The other timepoint's scan, sampled on this pane's plane through the registration, over the pane's own picture.
import { aligned, mapped, multiply } from "../lib/geometry.js";
import { OffScreen } from "../lib/off_screen.js";
import { sampleColours } from "../lib/sample.js";

/** @import { Place } from "../lib/types.d.ts" */
/** @import { Pane } from "../view/pane.js" */

/** Where the moving scan does not reach, in a checkerboard: dark blue, as black would pass for air. */
const NOWHERE = 0xff502d16;

export class MovingScan {
  picture = new OffScreen(1, 1);
  /** it was sampled from the nearest voxels, though it lies between them */
  rough = false;

  /** @param {Pane} pane */
  constructor(pane) {
    this.pane = pane;
  }

  /** The series that is laid over; none side by side, where each has its own pane. */
  get series() {
    const { viewer, series, planeName } = this.pane;
    if (!viewer.registering || viewer.layout === "two" || planeName === "mip" || series !== viewer.series[0])
      return null;
    return viewer.series[1];
  }

  get volume() {
    const { series } = this;
    return series?.volume(series.shown);
  }

  sample() {
    const { pane, volume } = this,
      { viewer } = pane;
    if (!volume || !viewer.link || !viewer.registering) return;
    const { nu, nv } = pane.plane,
      checkers = viewer.registering.look === "checkerboard",
      table = checkers ? viewer.levels.greys(volume.scan) : viewer.levels.tints(volume.scan);
    const map = mapped(pane.plane, pane.slice, multiply(viewer.link.matrix, pane.frame.toMm), volume.inverse);
    this.picture = this.picture.sized(nu, nv);
    sampleColours(volume, map, nu, nv, table, this.picture.colours, checkers ? NOWHERE : 0, pane.smooth);
    this.picture.put();
    this.rough = !pane.smooth && !aligned(map);
  }

  /**
   * @param {CanvasRenderingContext2D} g
   * @param {Place} at
   */
  draw(g, at) {
    const { pane, volume } = this,
      { registering } = pane.viewer;
    if (!volume || !registering) return;
    const { nu, nv } = pane.plane;
    g.save();
    if (registering.look === "checkerboard") this.clip(g, at, registering.squareMm * at.scale);
    else g.globalAlpha = registering.opacity;
    g.drawImage(this.picture.canvas, at.x, at.y, nu * at.sx, nv * at.sy);
    g.restore();
  }

  /**
   * Every other square, from the picture's corner on.
   * @param {CanvasRenderingContext2D} g
   * @param {Place} at
   * @param {number} edge device pixels
   */
  clip(g, at, edge) {
    const { nu, nv } = this.pane.plane,
      columns = Math.ceil((nu * at.sx) / edge),
      rows = Math.ceil((nv * at.sy) / edge);
    g.beginPath();
    for (let row = 0; row < rows; row++) {
      for (let column = row % 2; column < columns; column += 2) {
        g.rect(at.x + column * edge, at.y + row * edge, edge, edge);
      }
    }
    g.clip();
  }
}
