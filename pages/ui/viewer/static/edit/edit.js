// What people do to a label map. Pure: no DOM, no network.
import { rounded } from "../lib/geometry.js";
import { inPlane, numberOf } from "../lib/grid.js";
import { between } from "./between.js";
import { component, holes, sliceMask, visitPolygon, visitStroke } from "./shapes.js";
import { Steps } from "./steps.js";

/** @import { Axis, Box, Pair, TakenChange, Triple } from "../lib/types.d.ts" */

/** Which voxels may be added. @typedef {((p: number) => boolean) | null} Allow */

export class LabelEditor extends Steps {
  get grid() {
    return { shape: this.shape, spacing: this.spacing };
  }

  /**
   * A piece of a stroke of the present step.
   * @param {Triple} from
   * @param {Triple} to
   * @param {number} radiusMm
   * @param {Axis} axis of the plane drawn on
   * @param {{ball?: boolean, on?: boolean, allow?: Allow}} options ball: in all directions; on: false erases
   */
  stroke(from, to, radiusMm, axis, { ball = false, on = true, allow = null } = {}) {
    visitStroke(this.grid, from, to, radiusMm, ball ? null : axis, (p) => {
      if (!allow || allow(p)) this.set(p, on);
    });
    this.drew(axis, Math.round(to[axis]));
  }

  /**
   * @param {Triple[]} points
   * @param {Axis} axis
   * @param {number} label
   * @param {boolean} on
   * @param {Allow} allow
   */
  polygon(points, axis, label, on = true, allow = null) {
    this.begin(on ? `polygon ${this.nameOf(label)}` : `cut out of ${this.nameOf(label)}`, label);
    visitPolygon(this.grid, points, axis, (p) => {
      if (!allow || allow(p)) this.set(p, on);
    });
    this.drew(axis, Math.round(points[0]?.[axis] ?? 0));
    return this.commit();
  }

  /**
   * Holes of one slice, or of all slices across the axis.
   * @param {number} label
   * @param {Axis} axis
   * @param {number | null} slice
   */
  fillHoles(label, axis, slice = null) {
    this.begin(`fill holes of ${this.nameOf(label)}`, label);
    const slices = slice === null ? Array.from({ length: this.shape[axis] }, (_, n) => n) : [slice];
    for (const n of slices) {
      const picture = sliceMask(this.array, this.shape, label, axis, n);
      for (const q of holes(picture)) this.set(picture.number(q % picture.n, Math.floor(q / picture.n)), true);
    }
    return this.commit();
  }

  /**
   * The piece of a lesion that a voxel is in: alone kept, or removed.
   * @param {number} p
   * @param {boolean} keep
   */
  piece(p, keep) {
    const label = this.array[p];
    if (!label) return false;
    const seen = component(this.array, this.shape, p);
    this.begin(`${keep ? "keep one piece" : "remove a piece"} of ${this.nameOf(label)}`, label);
    for (let q = 0; q < this.array.length; q++) {
      if (this.array[q] === label && Boolean(seen[q]) !== keep) this.set(q, false);
    }
    return this.commit();
  }

  /**
   * Draws the slices between those that were drawn on by hand; returns how many, 0 where there are no two with a gap.
   * @param {number} label
   * @param {Axis} axis
   */
  interpolate(label, axis) {
    const [a, b] = inPlane(axis);
    /** @type {Pair} */
    const pixel = [this.spacing[a], this.spacing[b]];
    const drawn = [...this.slicesDrawn(`${axis} ${label}`)]
      .sort((one, two) => one - two)
      .map((slice) => ({ slice, picture: sliceMask(this.array, this.shape, label, axis, slice) }))
      .filter(({ picture }) => picture.mask.includes(1));
    let count = 0;
    this.begin(`interpolate ${this.nameOf(label)}`, label);
    for (const [n, high] of drawn.slice(1).entries()) {
      const low = drawn[n],
        gap = high.slice - low.slice;
      if (gap < 2) continue;
      const shape = between(low.picture, high.picture, pixel);
      for (let slice = low.slice + 1; slice < high.slice; slice++, count++) {
        this.putSlice(axis, slice, shape((slice - low.slice) / gap));
      }
    }
    return this.commit() ? count : 0;
  }

  /**
   * @param {Axis} axis
   * @param {number} slice
   * @param {Uint8Array} mask
   */
  putSlice(axis, slice, mask) {
    const { n, m, number } = sliceMask(this.array, this.shape, this.present.label, axis, slice);
    for (let y = 0; y < m; y++) for (let x = 0; x < n; x++) this.set(number(x, y), mask[x + n * y] === 1);
  }

  /** Voxels that a person set, and did not undo. */
  handSet() {
    /** @type {Set<number>} */
    const found = new Set();
    for (const change of this.done) if (change.byHand) for (const p of change.at) found.add(p);
    return found;
  }

  /**
   * Takes a model's answer in place of what the lesion had there; what was set by hand stays, if wanted.
   * @param {string} what
   * @param {number} label
   * @param {Map<number, boolean>} voxels for every voxel that was answered for, whether it is the lesion
   * @param {boolean} sparing
   * @param {TakenChange} [taken] the server's answers that the map has without and with this step
   */
  keep(what, label, voxels, sparing = true, taken) {
    const spared = sparing ? this.handSet() : new Set();
    this.begin(what, label, false);
    this.present.taken = taken;
    for (const [p, on] of voxels) if (!spared.has(p)) this.set(p, on);
    return this.commit();
  }

  /**
   * The lesion's box on a slice in the plane's two coordinates, or null.
   * @param {number} label
   * @param {Axis} axis
   * @param {number} slice
   * @returns {Box | null}
   */
  boxOn(label, axis, slice) {
    const { n, mask } = sliceMask(this.array, this.shape, label, axis, slice);
    /** @type {Box} */
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (const [p, inside] of mask.entries()) {
      if (!inside) continue;
      const x = p % n,
        y = Math.floor(p / n);
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x);
      box[3] = Math.max(box[3], y);
    }
    return box[2] < 0 ? null : box;
  }

  /**
   * The label of the voxel nearest to a place; 0 outside.
   * @param {Triple} index
   */
  labelAt(index) {
    const at = rounded(index);
    return at.some((v, a) => v < 0 || v >= this.shape[a]) ? 0 : this.array[numberOf(this.shape, at)];
  }
}
