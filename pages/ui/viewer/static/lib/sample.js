// Pixels of a plane out of a volume. Pure functions on typed arrays; `map` is {o, U, V} of geometry.mapped.
import { aligned } from "./geometry.js";

// Fills `out` (Uint32, nu x nv) with lut[stored + 32768]; outside, and where the slab is not there yet, with `empty`.
export function sampleColours(volume, map, nu, nv, lut, out, empty, smooth) {
  if (aligned(map)) return alignedColours(volume, map, nu, nv, lut, out, empty);
  return smooth
    ? linearColours(volume, map, nu, nv, lut, out, empty)
    : nearestColours(volume, map, nu, nv, lut, out, empty);
}

// Where pixels x0 .. x1 - 1 of a row lie inside [0, n) along every axis: no bounds check is needed in the inner loop.
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

function alignedColours(volume, { o, U, V }, nu, nv, lut, out, empty) {
  const { shape, data, there } = volume,
    strides = [1, shape[0], shape[0] * shape[1]];
  const along = (v) => v[0] * strides[0] + v[1] * strides[1] + v[2] * strides[2];
  const su = along(U),
    base = along(o),
    sv = along(V);
  for (let y = 0; y < nv; y++) {
    const start = [o[0] + V[0] * y, o[1] + V[1] * y, o[2] + V[2] * y];
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

function nearestColours(volume, { o, U, V }, nu, nv, lut, out, empty) {
  const { shape, data, there } = volume,
    I = shape[0],
    IJ = shape[0] * shape[1];
  const [u0, u1, u2] = U;
  for (let y = 0; y < nv; y++) {
    const start = [o[0] + V[0] * y, o[1] + V[1] * y, o[2] + V[2] * y];
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

function linearColours(volume, { o, U, V }, nu, nv, lut, out, empty) {
  const { shape, data, there } = volume,
    [I, J, K] = shape,
    IJ = I * J;
  for (let y = 0; y < nv; y++) {
    const start = [o[0] + V[0] * y, o[1] + V[1] * y, o[2] + V[2] * y];
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

// The labels under each pixel (nearest) into `out` (Uint8); returns the box [x0, y0, x1, y1) that holds them, or null.
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
    const start = [o[0] + V[0] * y, o[1] + V[1] * y, o[2] + V[2] * y];
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

// The borders of each label in a picture of labels, along pixel edges: Map of label -> Path2D in picture pixels.
export function outlines(labels, nu, nv, box) {
  const paths = new Map();
  const line = (label, ax, ay, bx, by) => {
    if (!paths.has(label)) paths.set(label, new Path2D());
    const path = paths.get(label);
    path.moveTo(ax, ay);
    path.lineTo(bx, by);
  };
  const [x0, y0, x1, y1] = box;
  const at = (x, y) => (x < 0 || y < 0 || x >= nu || y >= nv ? 0 : labels[y * nu + x]);
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

// Grey levels: a window (centre, width) in the scan's unit, for every int16 value.
export function greyTable([centre, width], { slope, intercept }, inverted, table = new Uint32Array(65536)) {
  const low = centre - width / 2;
  for (let n = 0; n < 65536; n++) {
    let grey = (((n - 32768) * slope + intercept - low) / width) * 255;
    grey = grey < 0 ? 0 : grey > 255 ? 255 : grey | 0;
    if (inverted) grey = 255 - grey;
    table[n] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  return table;
}

// A hot scale that begins transparent, for what is laid over another scan.
export function hotTable([centre, width], { slope, intercept }, table = new Uint32Array(65536)) {
  const low = centre - width / 2;
  for (let n = 0; n < 65536; n++) {
    const t = Math.min(1, Math.max(0, ((n - 32768) * slope + intercept - low) / width));
    const red = Math.min(255, t * 2.6 * 255) | 0,
      green = Math.min(255, Math.max(0, (t - 0.36) * 2.6 * 255)) | 0;
    const blue = Math.min(255, Math.max(0, (t - 0.75) * 4 * 255)) | 0,
      alpha = Math.min(255, t * 3 * 255) | 0;
    table[n] = (alpha << 24) | (blue << 16) | (green << 8) | red;
  }
  return table;
}
