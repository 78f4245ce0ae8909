// Pixels of a plane out of a volume. Pure functions on typed arrays; `map` is {o, U, V} of geometry.mapped.
import { aligned } from "./geometry.js";

/** @import { Box, Mapping, Pair, Triple } from "./types.d.ts" */

/**
 * Voxels as they are stored, and which slices are there.
 * @typedef {{shape: Triple, data: Int16Array, there: Uint8Array}} Voxels
 */

/**
 * Fills `out` (Uint32, nu x nv) with lut[stored + 32768]; outside, and where the slab is not there yet, with `empty`.
 * @param {Voxels} volume
 * @param {Mapping} map
 * @param {number} nu
 * @param {number} nv
 * @param {Uint32Array} lut
 * @param {Uint32Array} out
 * @param {number} empty
 * @param {boolean} [smooth] interpolates
 */
export function sampleColours(volume, map, nu, nv, lut, out, empty, smooth) {
  if (aligned(map)) return alignedColours(volume, map, nu, nv, lut, out, empty);
  return smooth
    ? linearColours(volume, map, nu, nv, lut, out, empty)
    : nearestColours(volume, map, nu, nv, lut, out, empty);
}

/**
 * Where a picture's row begins, in voxel indices.
 * @param {Triple} o
 * @param {Triple} V
 * @param {number} y
 * @returns {Triple}
 */
const rowStart = (o, V, y) => [o[0] + V[0] * y, o[1] + V[1] * y, o[2] + V[2] * y];

/**
 * Where pixels x0 .. x1 - 1 of a row lie inside [0, n) along every axis: no bounds check is needed in the inner loop.
 * @param {Triple} start
 * @param {Triple} step
 * @param {Triple} shape
 * @param {number} nu
 * @param {number} margin
 * @returns {Pair}
 */
function inside(start, step, shape, nu, margin) {
  let low = 0,
    high = nu;
  for (let a = 0; a < 3; a++) {
    const from = -margin,
      to = shape[a] - 1 + margin;
    if (Math.abs(step[a]) < 1e-9) {
      if (start[a] < from || start[a] > to) return [0, 0];
      continue;
    }
    const p = (from - start[a]) / step[a],
      q = (to - start[a]) / step[a];
    low = Math.max(low, Math.ceil(Math.min(p, q) - 1e-9));
    high = Math.min(high, Math.floor(Math.max(p, q) + 1e-9) + 1);
  }
  return low < high ? [low, high] : [0, 0];
}

/**
 * @param {Voxels} volume
 * @param {Mapping} map
 * @param {number} nu
 * @param {number} nv
 * @param {Uint32Array} lut
 * @param {Uint32Array} out
 * @param {number} empty
 */
function alignedColours(volume, { o, U, V }, nu, nv, lut, out, empty) {
  const { shape, data, there } = volume,
    strides = [1, shape[0], shape[0] * shape[1]];
  /** @param {Triple} v */
  const along = (v) => v[0] * strides[0] + v[1] * strides[1] + v[2] * strides[2];
  const su = along(U),
    base = along(o),
    sv = along(V);
  for (let y = 0; y < nv; y++) {
    const start = rowStart(o, V, y);
    const [low, high] = inside(start, U, shape, nu, 0);
    const row = y * nu;
    if (low > 0 || high < nu) out.fill(empty, row, row + nu);
    if (U[2]) {
      for (let x = low, p = base + sv * y + su * low; x < high; x++, p += su) {
        out[row + x] = there[start[2] + U[2] * x] ? lut[data[p] + 32768] : empty;
      }
    } else if (low < high && there[start[2]]) {
      for (let x = low, p = base + sv * y + su * low; x < high; x++, p += su) out[row + x] = lut[data[p] + 32768];
    } else out.fill(empty, row, row + nu);
  }
}

/**
 * @param {Voxels} volume
 * @param {Mapping} map
 * @param {number} nu
 * @param {number} nv
 * @param {Uint32Array} lut
 * @param {Uint32Array} out
 * @param {number} empty
 */
function nearestColours(volume, { o, U, V }, nu, nv, lut, out, empty) {
  const { shape, data, there } = volume,
    I = shape[0],
    IJ = shape[0] * shape[1];
  const [u0, u1, u2] = U;
  for (let y = 0; y < nv; y++) {
    const start = rowStart(o, V, y);
    const [low, high] = inside(start, U, shape, nu, 0.499);
    const row = y * nu;
    if (low > 0 || high < nu) out.fill(empty, row, row + nu);
    let i = start[0] + 0.5 + u0 * low,
      j = start[1] + 0.5 + u1 * low,
      k = start[2] + 0.5 + u2 * low;
    for (let x = low; x < high; x++, i += u0, j += u1, k += u2) {
      const kk = k | 0;
      out[row + x] = there[kk] ? lut[data[(i | 0) + (j | 0) * I + kk * IJ] + 32768] : empty;
    }
  }
}

/**
 * @param {Voxels} volume
 * @param {Mapping} map
 * @param {number} nu
 * @param {number} nv
 * @param {Uint32Array} lut
 * @param {Uint32Array} out
 * @param {number} empty
 */
function linearColours(volume, { o, U, V }, nu, nv, lut, out, empty) {
  const { shape, data, there } = volume,
    [I, J, K] = shape,
    IJ = I * J;
  for (let y = 0; y < nv; y++) {
    const start = rowStart(o, V, y);
    const [low, high] = inside(start, U, shape, nu, 0.499);
    const row = y * nu;
    if (low > 0 || high < nu) out.fill(empty, row, row + nu);
    for (let x = low; x < high; x++) {
      const fi = Math.min(I - 1, Math.max(0, start[0] + U[0] * x)),
        fj = Math.min(J - 1, Math.max(0, start[1] + U[1] * x));
      const fk = Math.min(K - 1, Math.max(0, start[2] + U[2] * x));
      const i = fi | 0,
        j = fj | 0,
        k = fk | 0,
        a = fi - i,
        b = fj - j,
        c = fk - k;
      const di = i + 1 < I ? 1 : 0,
        dj = j + 1 < J ? I : 0,
        up = k + 1 < K && there[k + 1] ? IJ : 0;
      if (!there[k]) {
        out[row + x] = empty;
        continue;
      }
      const p = i + j * I + k * IJ,
        q = p + up;
      const v0 =
        (data[p] * (1 - a) + data[p + di] * a) * (1 - b) + (data[p + dj] * (1 - a) + data[p + dj + di] * a) * b;
      const v1 =
        (data[q] * (1 - a) + data[q + di] * a) * (1 - b) + (data[q + dj] * (1 - a) + data[q + dj + di] * a) * b;
      out[row + x] = lut[(v0 * (1 - c) + v1 * c + 32768.5) | 0];
    }
  }
}

/**
 * The labels under each pixel (nearest) into `out` (Uint8); returns the box [x0, y0, x1, y1) that holds them, or null.
 * @param {Uint8Array} array
 * @param {Triple} shape
 * @param {Mapping} map
 * @param {number} nu
 * @param {number} nv
 * @param {Uint8Array} out
 * @returns {Box | null}
 */
export function sampleLabels(array, shape, { o, U, V }, nu, nv, out) {
  const I = shape[0],
    IJ = shape[0] * shape[1],
    [u0, u1, u2] = U;
  let x0 = nu,
    x1 = 0,
    y0 = nv,
    y1 = 0;
  out.fill(0);
  for (let y = 0; y < nv; y++) {
    const start = rowStart(o, V, y);
    const [low, high] = inside(start, U, shape, nu, 0.499);
    let i = start[0] + 0.5 + u0 * low,
      j = start[1] + 0.5 + u1 * low,
      k = start[2] + 0.5 + u2 * low;
    for (let x = low; x < high; x++, i += u0, j += u1, k += u2) {
      const label = array[(i | 0) + (j | 0) * I + (k | 0) * IJ];
      if (label) {
        out[y * nu + x] = label;
        if (x < x0) x0 = x;
        if (x >= x1) x1 = x + 1;
        if (y < y0) y0 = y;
        y1 = y + 1;
      }
    }
  }
  return x1 ? [x0, y0, x1, y1] : null;
}

/**
 * The borders of each label in a picture of labels, along pixel edges: Map of label -> Path2D in picture pixels.
 * @param {Uint8Array} labels
 * @param {number} nu
 * @param {number} nv
 * @param {Box} box
 */
export function outlines(labels, nu, nv, box) {
  /** @type {Map<number, Path2D>} */
  const paths = new Map();
  /**
   * @param {number} label
   * @param {number} ax
   * @param {number} ay
   * @param {number} bx
   * @param {number} by
   */
  const line = (label, ax, ay, bx, by) => {
    const path = paths.get(label) ?? new Path2D();
    paths.set(label, path);
    path.moveTo(ax, ay);
    path.lineTo(bx, by);
  };
  const [x0, y0, x1, y1] = box;
  /**
   * @param {number} x
   * @param {number} y
   */
  const at = (x, y) => (x < 0 || y < 0 || x >= nu || y >= nv ? 0 : labels[y * nu + x]);
  /**
   * Goes along the edges between pixels, in rows or in columns, and emits each straight piece once for each side's
   * label.
   * @param {number} outer
   * @param {number} outerEnd
   * @param {number} inner
   * @param {number} innerEnd
   * @param {(a: number, b: number) => Pair} pair
   * @param {(label: number, a: number, from: number, to: number) => void} emit
   */
  const walk = (outer, outerEnd, inner, innerEnd, pair, emit) => {
    for (let a = outer; a <= outerEnd; a++) {
      let from = inner,
        one = 0,
        two = 0;
      for (let b = inner; b <= innerEnd; b++) {
        let [p, q] = b < innerEnd ? pair(a, b) : [0, 0];
        if (p === q) p = q = 0;
        if (p === one && q === two) continue;
        if (one) emit(one, a, from, b);
        if (two) emit(two, a, from, b);
        [from, one, two] = [b, p, q];
      }
    }
  };
  walk(
    y0,
    y1,
    x0,
    x1,
    (y, x) => [at(x, y - 1), at(x, y)],
    (label, y, from, to) => line(label, from, y, to, y),
  );
  walk(
    x0,
    x1,
    y0,
    y1,
    (x, y) => [at(x - 1, y), at(x, y)],
    (label, x, from, to) => line(label, x, from, x, to),
  );
  return paths;
}
