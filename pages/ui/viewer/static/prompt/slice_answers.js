// A model's answers for slices of a scan, and where they lie on the reference grid. Pure: no DOM, no network.
// An answer is {origin: [a, b], shape: [n, m], bits: Uint8Array}: README.md, "Masks of `prompt` and `propagate`".
import { apply, invert, multiply } from "../lib/geometry.js";
import { inPlane } from "../edit/shapes.js";

export function unpack({ origin, shape, mask }) {
  return { origin, shape, bits: Uint8Array.from(atob(mask), (c) => c.charCodeAt(0)) };
}

export function has({ origin, shape, bits }, a, b) {
  const x = a - origin[0],
    y = b - origin[1];
  if (x < 0 || y < 0 || x >= shape[0] || y >= shape[1]) return false;
  const t = x + y * shape[0];
  return Boolean((bits[t >> 3] >> (t & 7)) & 1);
}

// `test(a, b)` on an n x m slice as an answer's origin, shape and base64 mask.
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
  const shape = [a1 - a0 + 1, b1 - b0 + 1],
    bits = new Uint8Array(Math.ceil((shape[0] * shape[1]) / 8));
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

// A scan's slices on the reference grid: which voxels of it are nearest to a slice, and the other way round.
export class SliceMap {
  // scan, reference: {affine, shape}
  constructor(scan, reference) {
    this.scan = scan;
    this.reference = reference;
    this.toScan = multiply(invert(scan.affine), reference.affine);
    this.toReference = invert(this.toScan);
  }

  // The scan's axis that runs along an axis of the reference grid, or null where it lies obliquely.
  axisAlong(axis) {
    const column = [0, 1, 2].map((a) => this.toScan[4 * a + axis]),
      size = Math.hypot(...column);
    const found = column.findIndex((v) => Math.abs(v) > 0.999 * size);
    return found < 0 ? null : found;
  }

  // visit(p, a, b) for every reference voxel whose nearest scan voxel is on the slice; a, b: that voxel in the slice.
  visit(axis, slice, visit) {
    const { shape } = this.reference,
      [u, v] = inPlane(axis),
      size = this.scan.shape;
    const [low, high] = this.range(axis, slice),
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

  range(axis, slice) {
    const { shape } = this.reference,
      [u, v] = inPlane(axis),
      low = [Infinity, Infinity, Infinity],
      high = [-Infinity, -Infinity, -Infinity];
    for (const s of [slice - 0.5, slice + 0.5])
      for (const a of [-0.5, this.scan.shape[u] - 0.5])
        for (const b of [-0.5, this.scan.shape[v] - 0.5]) {
          const index = [0, 0, 0];
          [index[axis], index[u], index[v]] = [s, a, b];
          apply(this.toReference, index).forEach((value, n) => {
            low[n] = Math.min(low[n], value);
            high[n] = Math.max(high[n], value);
          });
        }
    return [
      low.map((value) => Math.max(0, Math.ceil(value - 1e-6))),
      high.map((value, n) => Math.min(shape[n] - 1, Math.floor(value + 1e-6))),
    ];
  }

  // The reference voxel nearest to a voxel of a slice; -1 outside.
  nearest(axis, slice, a, b) {
    const index = [0, 0, 0],
      [u, v] = inPlane(axis),
      { shape } = this.reference;
    [index[axis], index[u], index[v]] = [slice, a, b];
    const [i, j, k] = apply(this.toReference, index).map(Math.round);
    return i < 0 || j < 0 || k < 0 || i >= shape[0] || j >= shape[1] || k >= shape[2]
      ? -1
      : i + shape[0] * (j + shape[1] * k);
  }

  // Reference voxels that an answer says belong to the lesion.
  voxels(axis, slice, answer) {
    const found = [];
    this.visit(axis, slice, (p, a, b) => {
      if (has(answer, a, b)) found.push(p);
    });
    return found;
  }
}

// Voxels as a label map of just their own extent, which panes can draw like any other.
export function cropped(voxels, { shape, affine }) {
  const [I, J] = shape,
    low = [Infinity, Infinity, Infinity],
    high = [-1, -1, -1];
  const places = voxels.map((p) => [p % I, Math.floor(p / I) % J, Math.floor(p / (I * J))]);
  for (const place of places)
    place.forEach((v, n) => {
      low[n] = Math.min(low[n], v);
      high[n] = Math.max(high[n], v);
    });
  const size = high.map((v, n) => v - low[n] + 1),
    array = new Uint8Array(size[0] * size[1] * size[2]);
  for (const [i, j, k] of places) array[i - low[0] + size[0] * (j - low[1] + size[1] * (k - low[2]))] = 1;
  const moved = [...affine],
    [x, y, z] = apply(affine, low);
  [moved[3], moved[7], moved[11]] = [x, y, z];
  return { array, shape: size, affine: moved, inverse: invert(moved) };
}
