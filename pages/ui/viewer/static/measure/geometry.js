// What a drawing measures: a length, an angle, the values within an ellipse. Places are mm. Pure. What is kept is
// measured anew by the server, in the same way (core/lesions/caliper.py says it).
import { apply, invert, perAxis, spacing } from "../lib/geometry.js";

/** @import { Drawing, RegionValues, Triple } from "../lib/types.d.ts" */
/** @import { Volume } from "../lib/volume.js" */

/** What is read of a scan. @typedef {Pick<Volume, "affine" | "shape" | "there" | "data" | "slope" | "intercept">} Read */

/** coordinates in voxels that differ by less are the same */
const SAME = 1e-6;

/** @type {(a: Triple, b: Triple) => Triple} */
export const minus = (a, b) => perAxis((n) => a[n] - b[n]);
/** @type {(a: Triple, b: Triple) => Triple} */
export const plus = (a, b) => perAxis((n) => a[n] + b[n]);
/** @type {(a: Triple, b: Triple) => Triple} */
export const cross = (a, b) => perAxis((n) => a[(n + 1) % 3] * b[(n + 2) % 3] - a[(n + 2) % 3] * b[(n + 1) % 3]);

/** @type {(a: Triple, b: Triple) => number} */
export const lengthMm = (a, b) => Math.hypot(...minus(a, b));

/**
 * The angle at the second of three places, 0..180 degrees.
 * @type {(points: Triple[]) => number}
 */
export function angleDegrees([first, vertex, last]) {
  const a = minus(first, vertex),
    b = minus(last, vertex);
  return (Math.atan2(Math.hypot(...cross(a, b)), a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) * 180) / Math.PI;
}

/**
 * Numbers of the voxels within an ellipse: one of each column that meets its plane inside it.
 * @param {Pick<Volume, "affine" | "shape">} scan
 * @param {Triple[]} points its centre, and the ends of two radii
 */
export function voxelsWithin({ affine, shape }, points) {
  const inverse = invert(affine),
    [centre, ...ends] = points.map((point) => apply(inverse, point)),
    [first, second] = ends.map((end) => minus(end, centre)),
    size = spacing(affine),
    normal = cross(first, second).map((x, n) => Math.abs(x / size[n])),
    axis = normal.indexOf(Math.max(...normal)),
    [u, v] = [0, 1, 2].filter((n) => n !== axis),
    det = first[u] * second[v] - first[v] * second[u];
  /** @param {number} n */
  const range = (n) => {
    const reach = Math.hypot(first[n], second[n]);
    return [Math.ceil(centre[n] - reach - SAME), Math.floor(centre[n] + reach + SAME)];
  };
  const [[u0, u1], [v0, v1]] = [range(u), range(v)];
  /** @type {number[]} */
  const found = [];
  if (!det) return found;
  for (let a = Math.max(0, u0); a <= Math.min(shape[u] - 1, u1); a++) {
    for (let b = Math.max(0, v0); b <= Math.min(shape[v] - 1, v1); b++) {
      const du = a - centre[u],
        dv = b - centre[v],
        s = (du * second[v] - dv * second[u]) / det,
        t = (dv * first[u] - du * first[v]) / det,
        depth = Math.floor(centre[axis] + s * first[axis] + t * second[axis] + 0.5 + SAME);
      if (s * s + t * t > 1 + SAME || depth < 0 || depth >= shape[axis]) continue;
      const index = [0, 0, 0];
      [index[u], index[v], index[axis]] = [a, b, depth];
      found.push(index[0] + shape[0] * (index[1] + shape[1] * index[2]));
    }
  }
  return found;
}

/**
 * The values within an ellipse; null while some of them have not arrived.
 * @param {Read} scan
 * @param {Triple[]} points
 * @returns {RegionValues | null}
 */
export function regionValues(scan, points) {
  const voxels = voxelsWithin(scan, points),
    slice = scan.shape[0] * scan.shape[1];
  let [sum, least, greatest] = [0, Infinity, -Infinity];
  for (const p of voxels) {
    if (!scan.there[Math.floor(p / slice)]) return null;
    const value = scan.data[p] * scan.slope + scan.intercept;
    sum += value;
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  const n = voxels.length,
    mean = n ? sum / n : null;
  let squares = 0;
  for (const p of voxels) squares += (scan.data[p] * scan.slope + scan.intercept - (mean ?? 0)) ** 2;
  const [centre, first, second] = points;
  return {
    mean,
    sd: n > 1 ? Math.sqrt(squares / n) : null,
    least: n ? least : null,
    greatest: n ? greatest : null,
    voxels: n,
    area_mm2: Math.PI * Math.hypot(...cross(minus(first, centre), minus(second, centre))),
  };
}

/** @param {number | null} value */
const figure = (value) => (value === null ? "–" : String(Number(value.toPrecision(4))));

/**
 * What a drawing measures, in words, a line each.
 * @param {Pick<Drawing, "kind" | "points">} drawing
 * @param {Read & {scan: {unit: string}}} volume the scan that a region's values are read of
 * @returns {string[]}
 */
export function measuredWords({ kind, points }, volume) {
  if (kind === "length") return [`${lengthMm(points[0], points[1]).toFixed(1)} mm`];
  if (kind === "angle" && points.length < 3) return [];
  if (kind === "angle") return [`${angleDegrees(points).toFixed(1)}°`];
  const found = regionValues(volume, points);
  if (!found) return ["loading …"];
  const { unit } = volume.scan;
  return [
    `mean ${figure(found.mean)} ${unit}, SD ${figure(found.sd)}`,
    `${figure(found.least)} to ${figure(found.greatest)}, ${found.voxels} voxels, ${found.area_mm2.toFixed(0)} mm²`,
  ];
}
