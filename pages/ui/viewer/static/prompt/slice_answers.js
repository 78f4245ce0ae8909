// A model's answers for slices of a scan, and where they lie on the reference grid. Pure: no DOM, no network.
import { apply, invert, multiply, perAxis, rounded } from "../lib/geometry.js";
import { indexOf, indexOnSlice, inPlane, numberOf } from "../lib/grid.js";

/** @import { Axis, Grid, PackedBits, Pair, SliceBits, Triple } from "../lib/types.d.ts" */

/**
 * @param {PackedBits} packed
 * @returns {SliceBits}
 */
export function unpack({ origin, shape, mask }) {
  return { origin, shape, bits: Uint8Array.from(atob(mask), (c) => c.charCodeAt(0)) };
}

/**
 * Whether a place of the slice belongs to the answer.
 * @param {SliceBits} answer
 * @param {number} a
 * @param {number} b
 */
export function hasBit({ origin, shape, bits }, a, b) {
  const x = a - origin[0],
    y = b - origin[1];
  if (x < 0 || y < 0 || x >= shape[0] || y >= shape[1]) return false;
  const t = x + y * shape[0];
  return Boolean((bits[t >> 3] >> (t & 7)) & 1);
}

/**
 * `test(a, b)` on an n x m slice as an answer's origin, shape and base64 mask.
 * @param {Pair} size
 * @param {(a: number, b: number) => boolean} test
 * @returns {PackedBits}
 */
export function pack([n, m], test) {
  let a0 = n,
    a1 = -1,
    b0 = m,
    b1 = -1;
  for (let b = 0; b < m; b++) {
    for (let a = 0; a < n; a++) {
      if (!test(a, b)) continue;
      a0 = Math.min(a0, a);
      a1 = Math.max(a1, a);
      b0 = Math.min(b0, b);
      b1 = b;
    }
  }
  if (a1 < 0) return { origin: [0, 0], shape: [0, 0], mask: "" };
  /** @type {Pair} */
  const shape = [a1 - a0 + 1, b1 - b0 + 1];
  const bits = new Uint8Array(Math.ceil((shape[0] * shape[1]) / 8));
  for (let b = b0; b <= b1; b++) {
    for (let a = a0; a <= a1; a++) {
      const t = a - a0 + (b - b0) * shape[0];
      if (test(a, b)) bits[t >> 3] |= 1 << (t & 7);
    }
  }
  let text = "";
  for (const byte of bits) text += String.fromCharCode(byte);
  return { origin: [a0, b0], shape, mask: btoa(text) };
}

/** A scan's slices on the reference grid: which voxels of it are nearest to a slice, and the other way round. */
export class SliceMap {
  /**
   * @param {Grid} scan
   * @param {Grid} reference
   */
  constructor(scan, reference) {
    this.scan = scan;
    this.reference = reference;
    /** index of the reference grid -> index of the scan, and back */
    this.toScan = multiply(invert(scan.affine), reference.affine);
    this.toReference = invert(this.toScan);
  }

  /**
   * The scan's axis that runs along an axis of the reference grid, or null where it lies obliquely.
   * @param {Axis} axis
   */
  axisAlong(axis) {
    const column = perAxis((a) => this.toScan[4 * a + axis]),
      size = Math.hypot(...column);
    const found = column.findIndex((v) => Math.abs(v) > 0.999 * size);
    return found < 0 ? null : found;
  }

  /**
   * Visits every reference voxel whose nearest scan voxel is on the slice.
   * @param {Axis} axis
   * @param {number} slice
   * @param {(p: number, a: number, b: number) => void} visit a, b: that voxel in the slice
   */
  visit(axis, slice, visit) {
    const { shape } = this.reference,
      [u, v] = inPlane(axis),
      size = this.scan.shape;
    const { low, high } = this.range(axis, slice),
      m = this.toScan;
    for (let k = low[2]; k <= high[2]; k++) {
      for (let j = low[1]; j <= high[1]; j++) {
        const at = apply(m, [low[0], j, k]);
        for (let i = low[0], p = low[0] + shape[0] * (j + shape[1] * k); i <= high[0]; i++, p++) {
          const a = Math.round(at[u]),
            b = Math.round(at[v]);
          if (Math.round(at[axis]) === slice && a >= 0 && b >= 0 && a < size[u] && b < size[v]) visit(p, a, b);
          at[0] += m[0];
          at[1] += m[4];
          at[2] += m[8];
        }
      }
    }
  }

  /**
   * First and last reference voxels among which those of a slice are.
   * @param {Axis} axis
   * @param {number} slice
   */
  range(axis, slice) {
    const { shape } = this.reference,
      [u, v] = inPlane(axis),
      /** @type {Triple[]} */
      corners = [];
    for (const s of [slice - 0.5, slice + 0.5]) {
      for (const a of [-0.5, this.scan.shape[u] - 0.5]) {
        for (const b of [-0.5, this.scan.shape[v] - 0.5]) {
          corners.push(apply(this.toReference, indexOnSlice(axis, s, a, b)));
        }
      }
    }
    const low = perAxis((n) => Math.min(...corners.map((corner) => corner[n]))),
      high = perAxis((n) => Math.max(...corners.map((corner) => corner[n])));
    return {
      low: perAxis((n) => Math.max(0, Math.ceil(low[n] - 1e-6))),
      high: perAxis((n) => Math.min(shape[n] - 1, Math.floor(high[n] + 1e-6))),
    };
  }

  /**
   * The reference voxel nearest to a voxel of a slice; -1 outside.
   * @param {Axis} axis
   * @param {number} slice
   * @param {number} a
   * @param {number} b
   */
  nearest(axis, slice, a, b) {
    const { shape } = this.reference,
      index = rounded(apply(this.toReference, indexOnSlice(axis, slice, a, b)));
    return index.some((v, n) => v < 0 || v >= shape[n]) ? -1 : numberOf(shape, index);
  }

  /**
   * Reference voxels that an answer says belong to the lesion.
   * @param {Axis} axis
   * @param {number} slice
   * @param {SliceBits} answer
   */
  voxels(axis, slice, answer) {
    /** @type {number[]} */
    const found = [];
    this.visit(axis, slice, (p, a, b) => {
      if (hasBit(answer, a, b)) found.push(p);
    });
    return found;
  }
}

/**
 * Voxels as a label map of just their own extent, which panes can draw like any other.
 * @param {number[]} voxels at least one
 * @param {Grid} grid
 */
export function cropped(voxels, { shape, affine }) {
  const places = voxels.map((p) => indexOf(shape, p));
  /** @type {Triple} */
  const low = [Infinity, Infinity, Infinity];
  /** @type {Triple} */
  const high = [-1, -1, -1];
  for (const place of places) {
    for (const [n, v] of place.entries()) {
      low[n] = Math.min(low[n], v);
      high[n] = Math.max(high[n], v);
    }
  }
  const size = perAxis((n) => high[n] - low[n] + 1),
    array = new Uint8Array(size[0] * size[1] * size[2]);
  for (const [i, j, k] of places) array[numberOf(size, [i - low[0], j - low[1], k - low[2]])] = 1;
  const moved = [...affine],
    [x, y, z] = apply(affine, low);
  [moved[3], moved[7], moved[11]] = [x, y, z];
  return { array, shape: size, affine: moved, inverse: invert(moved) };
}
