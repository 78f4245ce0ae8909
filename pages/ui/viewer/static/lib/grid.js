// Voxels of a grid: voxel (i, j, k) is number i + I (j + J k). In a plane, the first coordinate is the lower of the two
// axes.

/** @import { Axis, Pair, Triple } from "./types.d.ts" */

/**
 * Steps in voxel numbers along i, j, k.
 * @param {Triple} shape
 * @returns {Triple}
 */
export const strides = ([I, J]) => [1, I, I * J];

/** The two axes of a plane. @type {(axis: Axis) => Pair} */
export const inPlane = (axis) => [axis === 0 ? 1 : 0, axis === 2 ? 1 : 2];

/**
 * A voxel's number.
 * @param {Triple} shape
 * @param {Triple} index
 */
export const numberOf = (shape, [i, j, k]) => i + shape[0] * (j + shape[1] * k);

/**
 * The index of the voxel with a number.
 * @param {Triple} shape
 * @param {number} p
 * @returns {Triple}
 */
export const indexOf = ([I, J], p) => [p % I, Math.floor(p / I) % J, Math.floor(p / (I * J))];

/**
 * The index of a place on a slice.
 * @param {Axis} axis across the slice
 * @param {number} slice
 * @param {number} a along the first axis of the plane
 * @param {number} b along the second
 */
export function indexOnSlice(axis, slice, a, b) {
  const [u, v] = inPlane(axis);
  /** @type {Triple} */
  const index = [0, 0, 0];
  [index[axis], index[u], index[v]] = [slice, a, b];
  return index;
}
