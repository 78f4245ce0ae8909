// Sets of voxels for editing: discs, balls, polygons, holes, components. Pure: no DOM, no state. `axis` is the file's
// axis across a plane (0, 1 or 2); null: in all directions.
import { perAxis, rounded } from "../lib/geometry.js";
import { indexOf, inPlane, strides } from "../lib/grid.js";

/** @import { Axis, Triple } from "../lib/types.d.ts" */

/** @typedef {{shape: Triple, spacing: Triple}} VoxelGrid spacing: mm */
/** @typedef {(p: number) => void} Visit called with the number of a voxel */

/**
 * A slice's places as 1 (in) or 0; place (x, y) is x + n * y.
 * @typedef {{n: number, m: number, mask: Uint8Array}} Mask2D
 */

/**
 * Every voxel whose centre lies within radiusMm of a place (voxel index, fractional); with an axis only those of the
 * place's own slice. The voxel nearest to the place is always one of them.
 * @param {VoxelGrid} grid
 * @param {Triple} centre
 * @param {number} radiusMm
 * @param {Axis | null} axis
 * @param {Visit} visit
 */
export function visitBall({ shape, spacing }, centre, radiusMm, axis, visit) {
  const at = rounded(centre),
    step = strides(shape);
  if (at.some((v, a) => v < 0 || v >= shape[a])) return;
  /** @type {number[]} */
  const from = [];
  /** @type {number[]} */
  const to = [];
  for (let a = 0; a < 3; a++) {
    const reach = a === axis ? 0 : radiusMm / spacing[a],
      middle = a === axis ? at[a] : centre[a];
    from[a] = Math.max(0, Math.min(at[a], Math.ceil(middle - reach)));
    to[a] = Math.min(shape[a] - 1, Math.max(at[a], Math.floor(middle + reach)));
  }
  /**
   * Squared mm from the place along an axis.
   * @param {Axis} a
   * @param {number} v
   */
  const far = (a, v) => (a === axis ? 0 : ((v - centre[a]) * spacing[a]) ** 2),
    most = radiusMm ** 2 + 1e-9;
  for (let k = from[2]; k <= to[2]; k++) {
    for (let j = from[1]; j <= to[1]; j++) {
      const rest = far(2, k) + far(1, j),
        row = j * step[1] + k * step[2];
      for (let i = from[0]; i <= to[0]; i++)
        if (rest + far(0, i) <= most || (i === at[0] && j === at[1] && k === at[2])) visit(row + i);
    }
  }
}

/**
 * Balls along a line, close enough to leave no notches.
 * @param {VoxelGrid} grid
 * @param {Triple} from
 * @param {Triple} to
 * @param {number} radiusMm
 * @param {Axis | null} axis
 * @param {Visit} visit
 */
export function visitStroke(grid, from, to, radiusMm, axis, visit) {
  const mm = Math.hypot(...perAxis((a) => (to[a] - from[a]) * grid.spacing[a])),
    finest = Math.min(...grid.spacing) / 2;
  const steps = Math.max(1, Math.ceil(mm / Math.max(radiusMm / 3, finest)));
  for (let n = 0; n <= steps; n++) {
    const centre = perAxis((a) => from[a] + ((to[a] - from[a]) * n) / steps);
    visitBall(grid, centre, radiusMm, axis, visit);
  }
}

/**
 * The voxels of a slice whose centres lie in a polygon (even-odd). points: voxel indices (fractional), any number of
 * turns.
 * @param {VoxelGrid} grid
 * @param {Triple[]} points
 * @param {Axis} axis
 * @param {Visit} visit
 */
export function visitPolygon({ shape }, points, axis, visit) {
  if (points.length < 3) return;
  const [a, b] = inPlane(axis),
    step = strides(shape),
    base = Math.round(points[0][axis]) * step[axis];
  const rows = points.map((point) => point[b]);
  const first = Math.max(0, Math.ceil(Math.min(...rows))),
    last = Math.min(shape[b] - 1, Math.floor(Math.max(...rows)));
  for (let y = first; y <= last; y++) {
    /** @type {number[]} */
    const cuts = [];
    for (const [n, p] of points.entries()) {
      const q = points[(n + 1) % points.length];
      if (p[b] <= y !== q[b] <= y) cuts.push(p[a] + ((y - p[b]) / (q[b] - p[b])) * (q[a] - p[a]));
    }
    cuts.sort((p, q) => p - q);
    for (let n = 0; n + 1 < cuts.length; n += 2) {
      const from = Math.max(0, Math.ceil(cuts[n])),
        to = Math.min(shape[a] - 1, Math.floor(cuts[n + 1]));
      for (let x = from; x <= to; x++) visit(base + x * step[a] + y * step[b]);
    }
  }
}

/**
 * A slice's voxels of one lesion as {n, m, mask: Uint8Array, number(x, y)}.
 * @param {Uint8Array} array
 * @param {Triple} shape
 * @param {number} label
 * @param {Axis} axis
 * @param {number} slice
 * @returns {Mask2D & {number: (x: number, y: number) => number}} number: of the voxel at a place of the slice
 */
export function sliceMask(array, shape, label, axis, slice) {
  const [a, b] = inPlane(axis),
    step = strides(shape),
    n = shape[a],
    m = shape[b],
    base = slice * step[axis];
  const mask = new Uint8Array(n * m);
  /**
   * @param {number} x
   * @param {number} y
   */
  const number = (x, y) => base + x * step[a] + y * step[b];
  for (let y = 0; y < m; y++) for (let x = 0; x < n; x++) if (array[number(x, y)] === label) mask[x + n * y] = 1;
  return { n, m, mask, number };
}

/**
 * The places of a picture that are not in the mask and cannot reach its border sideways or up and down.
 * @param {Mask2D} picture
 */
export function holes({ n, m, mask }) {
  const outside = new Uint8Array(n * m);
  /** @type {number[]} */
  const stack = [];
  /** @param {number} p */
  const push = (p) => {
    if (!mask[p] && !outside[p]) {
      outside[p] = 1;
      stack.push(p);
    }
  };
  for (let x = 0; x < n; x++) {
    push(x);
    push(x + n * (m - 1));
  }
  for (let y = 0; y < m; y++) {
    push(n * y);
    push(n * y + n - 1);
  }
  for (let p = stack.pop(); p !== undefined; p = stack.pop()) {
    const x = p % n;
    if (x > 0) push(p - 1);
    if (x < n - 1) push(p + 1);
    if (p >= n) push(p - n);
    if (p < n * (m - 1)) push(p + n);
  }
  const found = [];
  for (let p = 0; p < n * m; p++) if (!mask[p] && !outside[p]) found.push(p);
  return found;
}

/**
 * The voxels of the label at `start` that hang together with it, corners included (as the server's components do):
 * 1 for each of them in an array of the whole grid.
 * @param {Uint8Array} array
 * @param {Triple} shape
 * @param {number} start
 */
export function component(array, shape, start) {
  const label = array[start],
    [I, J, K] = shape,
    seen = new Uint8Array(array.length),
    stack = [start];
  seen[start] = 1;
  for (let p = stack.pop(); p !== undefined; p = stack.pop()) {
    const [i, j, k] = indexOf(shape, p);
    for (let z = Math.max(0, k - 1); z <= Math.min(K - 1, k + 1); z++) {
      for (let y = Math.max(0, j - 1); y <= Math.min(J - 1, j + 1); y++) {
        for (let x = Math.max(0, i - 1); x <= Math.min(I - 1, i + 1); x++) {
          const q = x + I * (y + J * z);
          if (array[q] === label && !seen[q]) {
            seen[q] = 1;
            stack.push(q);
          }
        }
      }
    }
  }
  return seen;
}
