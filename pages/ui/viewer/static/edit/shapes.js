// Sets of voxels for editing: discs, balls, polygons, holes, components, shapes between two slices. Pure: no DOM, no state.
// A grid is {shape: [I, J, K], spacing: [mm, mm, mm]}; voxel (i, j, k) is number i + I (j + J k). `axis` is the file's axis
// across a plane (0, 1 or 2); in a plane, the first coordinate is the lower of the other two axes.

export const strides = ([I, J]) => [1, I, I * J];
export const inPlane = (axis) => [0, 1, 2].filter((a) => a !== axis);
export const numberOf = (shape, [i, j, k]) => i + shape[0] * (j + shape[1] * k);
export const indexOf = ([I, J], p) => [p % I, Math.floor(p / I) % J, Math.floor(p / (I * J))];

// Every voxel whose centre lies within radiusMm of a place (voxel index, fractional); with an axis only those of the
// place's own slice. The voxel nearest to the place is always one of them.
export function visitBall({ shape, spacing }, centre, radiusMm, axis, visit) {
  const at = centre.map(Math.round),
    step = strides(shape);
  if (at.some((v, a) => v < 0 || v >= shape[a])) return;
  const from = [],
    to = [];
  for (let a = 0; a < 3; a++) {
    const reach = a === axis ? 0 : radiusMm / spacing[a],
      middle = a === axis ? at[a] : centre[a];
    from[a] = Math.max(0, Math.min(at[a], Math.ceil(middle - reach)));
    to[a] = Math.min(shape[a] - 1, Math.max(at[a], Math.floor(middle + reach)));
  }
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

// Balls along a line, close enough to leave no notches.
export function visitStroke(grid, from, to, radiusMm, axis, visit) {
  const mm = Math.hypot(...from.map((v, a) => (to[a] - v) * grid.spacing[a])),
    finest = Math.min(...grid.spacing) / 2;
  const steps = Math.max(1, Math.ceil(mm / Math.max(radiusMm / 3, finest)));
  for (let n = 0; n <= steps; n++)
    visitBall(
      grid,
      from.map((v, a) => v + ((to[a] - v) * n) / steps),
      radiusMm,
      axis,
      visit,
    );
}

// The voxels of a slice whose centres lie in a polygon (even-odd). points: voxel indices (fractional), any number of turns.
export function visitPolygon({ shape }, points, axis, visit) {
  if (points.length < 3) return;
  const [a, b] = inPlane(axis),
    step = strides(shape),
    base = Math.round(points[0][axis]) * step[axis];
  const rows = points.map((point) => point[b]);
  for (
    let y = Math.max(0, Math.ceil(Math.min(...rows)));
    y <= Math.min(shape[b] - 1, Math.floor(Math.max(...rows)));
    y++
  ) {
    const cuts = [];
    points.forEach((p, n) => {
      const q = points[(n + 1) % points.length];
      if (p[b] <= y === q[b] <= y) return;
      cuts.push(p[a] + ((y - p[b]) / (q[b] - p[b])) * (q[a] - p[a]));
    });
    cuts.sort((p, q) => p - q);
    for (let n = 0; n + 1 < cuts.length; n += 2) {
      for (let x = Math.max(0, Math.ceil(cuts[n])); x <= Math.min(shape[a] - 1, Math.floor(cuts[n + 1])); x++)
        visit(base + x * step[a] + y * step[b]);
    }
  }
}

// A slice's voxels of one lesion as {n, m, mask: Uint8Array, number(x, y)}.
export function sliceMask(array, shape, label, axis, slice) {
  const [a, b] = inPlane(axis),
    step = strides(shape),
    n = shape[a],
    m = shape[b],
    base = slice * step[axis];
  const mask = new Uint8Array(n * m),
    number = (x, y) => base + x * step[a] + y * step[b];
  for (let y = 0; y < m; y++) for (let x = 0; x < n; x++) if (array[number(x, y)] === label) mask[x + n * y] = 1;
  return { n, m, mask, number };
}

// The places of a picture that are not in the mask and cannot reach its border sideways or up and down.
export function holes({ n, m, mask }) {
  const outside = new Uint8Array(n * m),
    stack = [];
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
  while (stack.length) {
    const p = stack.pop(),
      x = p % n;
    if (x > 0) push(p - 1);
    if (x < n - 1) push(p + 1);
    if (p >= n) push(p - n);
    if (p < n * (m - 1)) push(p + n);
  }
  const found = [];
  for (let p = 0; p < n * m; p++) if (!mask[p] && !outside[p]) found.push(p);
  return found;
}

// The voxels of the label at `start` that hang together with it, corners included (as the server's components do):
// 1 for each of them in an array of the whole grid.
export function component(array, shape, start) {
  const label = array[start],
    [I, J, K] = shape,
    seen = new Uint8Array(array.length),
    stack = [start];
  seen[start] = 1;
  while (stack.length) {
    const [i, j, k] = indexOf(shape, stack.pop());
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

// Squared distances of a row to the nearest place where f is 0 (f: 0 or Infinity at first), in units of step².
// Source: Felzenszwalb & Huttenlocher 2012, 10.4086/toc.2012.v008a019.
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

// Signed distance to a mask's edge in mm: positive inside, negative outside; half a voxel at least everywhere.
export function signedDistance({ n, m, mask }, [sx, sy]) {
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

function centre({ n, mask }) {
  let x = 0,
    y = 0,
    count = 0;
  mask.forEach((v, p) => {
    if (v) {
      x += p % n;
      y += Math.floor(p / n);
      count++;
    }
  });
  return [x / count, y / count];
}

// The shape a share t of the way from one slice's mask to another's: their signed distances, laid centre on centre, mixed.
// Source: Raya & Udupa 1990, 10.1109/42.52980. Both masks must have voxels.
export function between(first, second, pixel) {
  const { n, m } = first,
    fields = [first, second].map((one) => signedDistance(one, pixel)),
    centres = [first, second].map(centre);
  const at = (field, x, y) =>
    field[Math.max(0, Math.min(n - 1, Math.round(x))) + n * Math.max(0, Math.min(m - 1, Math.round(y)))];
  return (t) => {
    const middle = [0, 1].map((a) => centres[0][a] * (1 - t) + centres[1][a] * t),
      out = new Uint8Array(n * m);
    const shifts = centres.map((c) => [c[0] - middle[0], c[1] - middle[1]]);
    for (let y = 0; y < m; y++) {
      for (let x = 0; x < n; x++) {
        const [d0, d1] = fields.map((field, f) => at(field, x + shifts[f][0], y + shifts[f][1]));
        if (d0 * (1 - t) + d1 * t > 0) out[x + n * y] = 1;
      }
    }
    return out;
  };
}
