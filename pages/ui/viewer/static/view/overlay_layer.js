// Another scan of the timepoint, laid over the one that is seen.
import { perAxis } from "../lib/geometry.js";
import { OffScreen } from "../lib/off_screen.js";
import { sampleColours } from "../lib/sample.js";

/** @import { Pair, Place } from "../lib/types.d.ts" */
/** @import { Pane } from "./pane.js" */

export class OverlayLayer {
  picture = new OffScreen(1, 1);
  /** the picture's size over the plane's: a coarser one reaches a little beyond it @type {Pair} */
  size = [1, 1];

  /** @param {Pane} pane */
  constructor(pane) {
    this.pane = pane;
  }

  sample() {
    const { pane } = this,
      volume = pane.overlay;
    if (!volume) return;
    const { nu, nv } = pane.plane,
      { o, U, V } = pane.map(volume),
      coarse = Math.min(Math.hypot(...U), Math.hypot(...V));
    // A coarser scan is sampled at about half its own voxels; drawing it larger interpolates the rest.
    const step = Math.max(1, Math.min(4, Math.floor(0.5 / coarse)));
    const n = Math.ceil(nu / step),
      m = Math.ceil(nv / step),
      shift = (step - 1) / 2;
    const scaled = {
      o: perAxis((a) => o[a] + shift * (U[a] + V[a])),
      U: perAxis((a) => U[a] * step),
      V: perAxis((a) => V[a] * step),
    };
    this.picture = this.picture.sized(n, m);
    sampleColours(volume, scaled, n, m, pane.viewer.levels.hots(volume.scan), this.picture.colours, 0, true);
    this.picture.put();
    this.size = [(n * step) / nu, (m * step) / nv];
  }

  /**
   * @param {CanvasRenderingContext2D} g
   * @param {Place} at
   */
  draw(g, at) {
    const { nu, nv } = this.pane.plane,
      [wider, higher] = this.size;
    g.globalAlpha = this.pane.viewer.options.overlayOpacity;
    g.drawImage(this.picture.canvas, at.x, at.y, nu * at.sx * wider, nv * at.sy * higher);
    g.globalAlpha = 1;
  }
}
