// The masks on a pane: outlined or filled, and what changed since the version that this one is compared with.
import { mapped } from "../lib/geometry.js";
import { lesionOf } from "../lib/naming.js";
import { OffScreen } from "../lib/off_screen.js";
import { outlines, sampleLabels } from "../lib/sample.js";

/** @import { Box, Contours, LabelMap, Place } from "../lib/types.d.ts" */
/** @import { Pane } from "./pane.js" */

export const ADDED = "#c77dff",
  REMOVED = "#e69f00";
const KEPT = 48;

/**
 * "#rrggbb" as a canvas has it in memory: 0xffbbggrr.
 * @param {string} colour
 */
function opaque(colour) {
  const rgb = parseInt(colour.slice(1), 16);
  return (0xff000000 | ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
}

export class MaskLayer {
  /** slice and version -> its contours @type {Map<string, Contours | null>} */
  cache = new Map();
  filled = new OffScreen(1, 1);

  /** @param {Pane} pane */
  constructor(pane) {
    this.pane = pane;
  }

  /**
   * Labels of the pane's plane and their borders; computed once a slice and version. Null where there are none.
   * @param {LabelMap | null | undefined} labels
   */
  contours(labels) {
    if (!labels?.array) return null;
    const { pane } = this,
      { plane } = pane,
      key = `${plane.name} ${pane.slice} ${labels.id} ${labels.revision} ${pane.viewer.linkState}`;
    let found = this.cache.get(key);
    if (found === undefined) {
      const across = mapped(plane, pane.slice, pane.frame.toMm, labels.inverse),
        pixels = new Uint8Array(plane.nu * plane.nv);
      const box = sampleLabels(labels.array, labels.shape, across, plane.nu, plane.nv, pixels);
      found = box && { pixels, box, paths: outlines(pixels, plane.nu, plane.nv, box) };
      this.cache.set(key, found);
      const [oldest] = this.cache.keys();
      if (this.cache.size > KEPT) this.cache.delete(oldest);
    }
    return found;
  }

  /**
   * @param {CanvasRenderingContext2D} g
   * @param {Place} at
   */
  draw(g, at) {
    const { pane } = this,
      { series, viewer } = pane,
      { options } = viewer;
    if (!options.mask) return;
    const now = this.contours(series.labels),
      before = options.changes ? this.contours(series.before) : null;
    if (options.changes && series.before.array) this.drawChanges(g, at, now, before);
    if (!now) return;
    if (options.style === "fill") {
      this.fill(g, at, (p) => series.colour(now.pixels[p]), options.maskOpacity, now.box);
    }
    g.save();
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.globalAlpha = options.style === "fill" ? 1 : Math.max(0.25, options.maskOpacity + 0.4);
    for (const [label, path] of now.paths) {
      g.strokeStyle = series.colour(label) ?? "#fff";
      // Stroked without the transform, so that the line is equally wide on anisotropic voxels.
      const shape = new Path2D();
      shape.addPath(path, { a: at.sx, d: at.sy, e: at.x, f: at.y });
      g.lineWidth = (lesionOf(series.data, label) === viewer.lesionKey ? 2 : 1.4) * pane.ratio;
      g.stroke(shape);
    }
    g.restore();
  }

  /**
   * @param {CanvasRenderingContext2D} g
   * @param {Place} at
   * @param {Contours | null} now
   * @param {Contours | null} before
   */
  drawChanges(g, at, now, before) {
    const n = now?.pixels,
      b = before?.pixels,
      boxes = [now?.box, before?.box].filter((box) => box !== undefined);
    if (!boxes.length) return;
    /** @type {Box} */
    const box = [
      Math.min(...boxes.map(([x0]) => x0)),
      Math.min(...boxes.map(([, y0]) => y0)),
      Math.max(...boxes.map(([, , x1]) => x1)),
      Math.max(...boxes.map(([, , , y1]) => y1)),
    ];
    /** @param {number} p */
    const colour = (p) => (n?.[p] && !b?.[p] ? ADDED : b?.[p] && !n?.[p] ? REMOVED : null);
    this.fill(g, at, colour, 0.6, box);
  }

  /**
   * @param {CanvasRenderingContext2D} g
   * @param {Place} at
   * @param {(pixel: number) => string | null} colourOf
   * @param {number} opacity
   * @param {Box} box the pixels that are looked at
   */
  fill(g, at, colourOf, opacity, [x0, y0, x1, y1]) {
    const { nu, nv } = this.pane.plane,
      filled = this.filled.sized(nu, nv);
    /** @type {Map<string | null, number>} */
    const numbers = new Map([[null, 0]]);
    this.filled = filled;
    filled.colours.fill(0);
    for (let y = y0; y < y1; y++) {
      for (let p = y * nu + x0; p < y * nu + x1; p++) {
        const colour = colourOf(p),
          number = numbers.get(colour) ?? opaque(colour ?? "#000000");
        numbers.set(colour, number);
        filled.colours[p] = number;
      }
    }
    filled.put();
    g.globalAlpha = opacity;
    g.imageSmoothingEnabled = false;
    g.drawImage(filled.canvas, at.x, at.y, nu * at.sx, nv * at.sy);
    g.globalAlpha = 1;
  }
}
