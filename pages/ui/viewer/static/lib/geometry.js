// Affines, planes, indices and millimetres. Pure: no DOM, no state. Matrices are 16 numbers, row by row; mm are RAS+.

/** @import { Affine, Axis, Mapping, Plane, PlaneName, Triple } from "./types.d.ts" */

/** @type {PlaneName[]} */
export const PLANES = ["axial", "coronal", "sagittal"];
const LETTERS = { axial: ["R", "L", "A", "P"], coronal: ["R", "L", "S", "I"], sagittal: ["A", "P", "S", "I"] };
// plane -> world axes (R = 0, A = 1, S = 2) that run across the screen, down it, and through it.
const WORLD = { axial: [0, 1, 2], coronal: [0, 2, 1], sagittal: [1, 2, 0] };
/** @type {Triple[]} */
const ORDERS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
];

/**
 * f(0), f(1), f(2): a value for each axis.
 * @template T
 * @param {(axis: Axis) => T} f
 * @returns {[T, T, T]}
 */
export const perAxis = (f) => [f(0), f(1), f(2)];

/**
 * @param {Affine} a
 * @param {Affine} b
 * @returns {Affine}
 */
export function multiply(a, b) {
  const out = new Array(16).fill(0);
  for (let r = 0; r < 4; r++) {
    for (let c = 0; c < 4; c++) for (let n = 0; n < 4; n++) out[4 * r + c] += a[4 * r + n] * b[4 * n + c];
  }
  return out;
}

/**
 * The inverse of an affine (last row 0 0 0 1).
 * @param {Affine} m
 * @returns {Affine}
 */
export function invert(m) {
  const [a, b, c, x, d, e, f, y, g, h, i, z] = m;
  const A = e * i - f * h,
    B = f * g - d * i,
    C = d * h - e * g,
    det = a * A + b * B + c * C;
  const r = [A, c * h - b * i, b * f - c * e, B, a * i - c * g, c * d - a * f, C, b * g - a * h, a * e - b * d].map(
    (v) => v / det,
  );
  /** @param {number} n */
  const shift = (n) => -(r[n] * x + r[n + 1] * y + r[n + 2] * z);
  return [r[0], r[1], r[2], shift(0), r[3], r[4], r[5], shift(3), r[6], r[7], r[8], shift(6), 0, 0, 0, 1];
}

/**
 * A place through an affine.
 * @param {Affine} m
 * @param {Triple} place
 */
export const apply = (m, [x, y, z]) =>
  perAxis((n) => m[4 * n] * x + m[4 * n + 1] * y + m[4 * n + 2] * z + m[4 * n + 3]);

/**
 * A direction through an affine: without its shift.
 * @param {Affine} m
 * @param {Triple} direction
 */
export const turn = (m, [x, y, z]) => perAxis((n) => m[4 * n] * x + m[4 * n + 1] * y + m[4 * n + 2] * z);

/** @param {Triple} place */
export const rounded = (place) => perAxis((n) => Math.round(place[n]));

/**
 * Millimetres between voxels along i, j, k.
 * @param {Affine} m
 */
export const spacing = (m) => perAxis((n) => Math.hypot(m[n], m[n + 4], m[n + 8]));

/**
 * Which file axis runs along which world axis: the assignment with the largest cosines, each axis once.
 * @param {Affine} affine
 */
export function fileAxes(affine) {
  const size = spacing(affine);
  /** @param {Triple} order */
  const fit = (order) => order.reduce((sum, axis, world) => sum + Math.abs(affine[4 * world + axis]) / size[axis], 0);
  return ORDERS.reduce((best, order) => (fit(order) > fit(best) + 1e-9 ? order : best));
}

/**
 * A family of parallel planes of a grid, as radiologists hang them: the patient's right (or front) at the left, front
 * or head at the top, whatever the file's axes are.
 * @param {Affine} affine
 * @param {Triple} shape
 * @param {PlaneName} name
 * @returns {Plane}
 */
export function planeOf(affine, shape, name) {
  const axes = fileAxes(affine),
    [across, down, normal] = WORLD[name].map((world) => axes[world]);
  const [wu, wv, wn] = WORLD[name];
  /**
   * @param {number} world
   * @param {Axis} axis
   */
  const flipped = (world, axis) => affine[4 * world + axis] > 0; // screens run to the left, the back, the feet
  const fu = flipped(wu, across),
    fv = flipped(wv, down);
  /** @type {Triple} */
  const u = [0, 0, 0];
  /** @type {Triple} */
  const v = [0, 0, 0];
  const size = spacing(affine);
  u[across] = fu ? -1 : 1;
  v[down] = fv ? -1 : 1;
  return {
    name,
    across,
    down,
    axis: normal,
    u,
    v,
    nu: shape[across],
    nv: shape[down],
    slices: shape[normal],
    letters: LETTERS[name],
    pixel: [size[across], size[down]],
    upward: affine[4 * wn + normal] > 0 ? 1 : -1, // scrolling up goes to the head, front or right
    at(slice) {
      /** @type {Triple} */
      const origin = [0, 0, 0];
      origin[across] = fu ? shape[across] - 1 : 0;
      origin[down] = fv ? shape[down] - 1 : 0;
      origin[normal] = slice;
      return origin;
    },
    // Picture pixels (0 at the picture's left edge, so a pixel's centre is at + 0.5) <-> voxel index.
    toIndex(slice, x, y) {
      const o = this.at(slice);
      return perAxis((n) => o[n] + u[n] * (x - 0.5) + v[n] * (y - 0.5));
    },
    toPixel(index) {
      const o = this.at(0);
      return [(index[across] - o[across]) * u[across] + 0.5, (index[down] - o[down]) * v[down] + 0.5];
    },
  };
}

/**
 * A plane's slice in another volume's voxel indices.
 * @param {Plane} plane
 * @param {number} slice
 * @param {Affine} toMm the plane's grid -> millimetres of the volume's frame
 * @param {Affine} inverseAffine of the volume
 * @returns {Mapping}
 */
export function mapped(plane, slice, toMm, inverseAffine) {
  const m = multiply(inverseAffine, toMm);
  /** @param {number} n */
  const snap = (n) => (Math.abs(n - Math.round(n)) < 1e-4 ? Math.round(n) : n);
  /** @param {Triple} v */
  const snapped = (v) => perAxis((n) => snap(v[n]));
  return { o: snapped(apply(m, plane.at(slice))), U: snapped(turn(m, plane.u)), V: snapped(turn(m, plane.v)) };
}

/**
 * True where every pixel falls on a voxel's centre: no interpolation is needed.
 * @param {Mapping} mapping
 */
export function aligned({ o, U, V }) {
  /** @param {Triple} v */
  const unit = (v) => v.every(Number.isInteger) && Math.abs(v[0]) + Math.abs(v[1]) + Math.abs(v[2]) === 1;
  return o.every(Number.isInteger) && unit(U) && unit(V);
}

/**
 * A rounded length for a scale bar: the largest of 1, 2, 5, 10 … mm that takes at most `most` mm.
 * @param {number} most
 */
export function barLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].map((n) => n * power).find((n) => n <= most) ?? power;
}
