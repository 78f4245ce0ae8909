// Shapes between two slices, by distances to their edges. Pure: no DOM, no state.

/** @import { Pair } from "../lib/types.d.ts" */
/** @import { Mask2D } from "./shapes.js" */

/**
 * Squared distances of a row to the nearest place where f is 0 (f: 0 or Infinity at first), in units of step².
 * Source: Felzenszwalb & Huttenlocher 2012, 10.4086/toc.2012.v008a019.
 * @param {Float64Array} f
 * @param {number} step
 */
function rowDistances(f, step) {
  const n = f.length,
    v = new Int32Array(n),
    z = new Float64Array(n + 1),
    out = new Float64Array(n).fill(Infinity),
    s2 = step * step;
  let last = -1;
  for (let q = 0; q < n; q++) {
    if (f[q] === Infinity) continue;
    let meet = -Infinity;
    while (last >= 0) {
      meet = (f[q] / s2 + q * q - (f[v[last]] / s2 + v[last] ** 2)) / (2 * (q - v[last]));
      if (meet > z[last]) break;
      last--;
    }
    last++;
    v[last] = q;
    z[last] = last ? meet : -Infinity;
    z[last + 1] = Infinity;
  }
  if (last < 0) return out;
  for (let q = 0, at = 0; q < n; q++) {
    while (z[at + 1] < q) at++;
    out[q] = (q - v[at]) ** 2 * s2 + f[v[at]];
  }
  return out;
}

/**
 * Signed distance to a mask's edge in mm: positive inside, negative outside; half a voxel at least everywhere.
 * @param {Mask2D} mask
 * @param {Pair} pixel mm across and down
 */
export function signedDistance({ n, m, mask }, [sx, sy]) {
  /** Squared mm of each place to the nearest one that is not. @param {boolean} inside the mask */
  const distances = (inside) => {
    const far = new Float64Array(n * m);
    for (let p = 0; p < n * m; p++) far[p] = Boolean(mask[p]) === inside ? Infinity : 0;
    for (let y = 0; y < m; y++) far.set(rowDistances(far.subarray(n * y, n * y + n), sx), n * y);
    for (let x = 0; x < n; x++) {
      const column = rowDistances(
        Float64Array.from({ length: m }, (_, y) => far[x + n * y]),
        sy,
      );
      for (let y = 0; y < m; y++) far[x + n * y] = column[y];
    }
    return far;
  };
  const within = distances(true),
    without = distances(false),
    half = Math.min(sx, sy) / 2;
  return within.map((d, p) => (mask[p] ? Math.sqrt(d) - half : half - Math.sqrt(without[p])));
}

/**
 * The middle of a mask's places.
 * @param {Mask2D} mask
 * @returns {Pair}
 */
function middleOf({ n, mask }) {
  let x = 0,
    y = 0,
    count = 0;
  for (const [p, inside] of mask.entries()) {
    if (!inside) continue;
    x += p % n;
    y += Math.floor(p / n);
    count++;
  }
  return [x / count, y / count];
}

/**
 * The shape a share t of the way from one slice's mask to another's: their signed distances, laid centre on centre,
 * mixed. Source: Raya & Udupa 1990, 10.1109/42.52980. Both masks must have voxels.
 * @param {Mask2D} first
 * @param {Mask2D} second
 * @param {Pair} pixel mm across and down
 * @returns {(t: number) => Uint8Array}
 */
export function between(first, second, pixel) {
  const { n, m } = first,
    fields = [signedDistance(first, pixel), signedDistance(second, pixel)],
    middles = [middleOf(first), middleOf(second)];
  /**
   * @param {Float64Array} field
   * @param {number} x
   * @param {number} y
   */
  const at = (field, x, y) =>
    field[Math.max(0, Math.min(n - 1, Math.round(x))) + n * Math.max(0, Math.min(m - 1, Math.round(y)))];
  /** @param {number} t */
  const shapeAt = (t) => {
    const [mx, my] = [0, 1].map((a) => middles[0][a] * (1 - t) + middles[1][a] * t),
      out = new Uint8Array(n * m),
      [[x0, y0], [x1, y1]] = middles.map(([x, y]) => [x - mx, y - my]);
    for (let y = 0; y < m; y++) {
      for (let x = 0; x < n; x++) {
        const d0 = at(fields[0], x + x0, y + y0),
          d1 = at(fields[1], x + x1, y + y1);
        if (d0 * (1 - t) + d1 * t > 0) out[x + n * y] = 1;
      }
    }
    return out;
  };
  return shapeAt;
}
