// A scan's voxels as they arrive, and a mask's labels.
import { apply, invert } from "./geometry.js";

const AT_ONCE = 2,
  TRIES = 3,
  CHUNK_BYTES = 2 << 20;
export const pause = () => new Promise((resolve) => setTimeout(resolve, 0));

// A request to the viewer's routes. Raises the server's own words as an Error with `status` and all that was `said`; a
// server that cannot be reached gives an Error without a status.
export async function fetchFrom(auth, path, { headers = {}, ...options } = {}) {
  const answer = await fetch(new URL(auth.api + path, location.href), {
    cache: "no-store",
    ...options,
    headers: { ...headers, "x-twin-token": auth.token },
  });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(said.error ?? `The server answered ${answer.status}. Reload the page.`), {
    status: answer.status,
    said,
  });
}

const fetchBytes = async (auth, path) => (await fetchFrom(auth, path)).arrayBuffer();

export class Volume {
  // scan: an entry of `scans` (README.md); auth: {api, token}, the token being replaced at every rerun of the page.
  constructor(scan, auth, onSlab) {
    Object.assign(this, {
      scan,
      auth,
      onSlab,
      shape: scan.shape,
      affine: scan.affine,
      slope: scan.slope,
      intercept: scan.intercept,
    });
    this.inverse = invert(scan.affine);
    this.data = new Int16Array(scan.shape[0] * scan.shape[1] * scan.shape[2]);
    this.there = new Uint8Array(scan.shape[2] + 1); // slice -> its slab has arrived
    this.slabs = Math.ceil(scan.shape[2] / scan.slab);
    this.asked = new Set();
    this.arrived = 0;
    this.focus = scan.shape[2] >> 1;
    this.problem = "";
  }

  get complete() {
    return this.arrived === this.slabs;
  }

  // Starts loading, the slab of slice `focus` first and then outwards; moving `focus` later changes what comes next.
  load() {
    if (this.loading) return this.loading;
    // The first slab alone: the server makes the one that is asked for first before all others.
    this.loading = this.worker(1).then(() => Promise.all(Array.from({ length: AT_ONCE }, () => this.worker())));
    return this.loading;
  }

  async worker(most = Infinity) {
    for (let taken = 0; taken < most && !this.closed && !this.problem; taken++) {
      const n = this.next();
      if (n === undefined) return;
      this.asked.add(n);
      for (let tries = 1; !this.closed; tries++) {
        try {
          this.take(n, await fetchBytes(this.auth, `scan/${this.scan.sha256}/slab/${n}`));
          break;
        } catch (error) {
          if (tries < TRIES) continue;
          this.problem = error.message;
          this.onSlab(this);
          return;
        }
      }
    }
  }

  next() {
    const at = this.focus / this.scan.slab - 0.5;
    let best;
    for (let n = 0; n < this.slabs; n++) {
      if (!this.asked.has(n) && (best === undefined || Math.abs(n - at) < Math.abs(best - at))) best = n;
    }
    return best;
  }

  take(n, buffer) {
    const [I, J, K] = this.shape,
      first = n * this.scan.slab;
    this.data.set(new Int16Array(buffer), first * I * J);
    this.there.fill(1, first, Math.min(K, first + this.scan.slab));
    this.arrived++;
    this.onSlab(this, n);
  }

  // The value (HU, SUV …) of the voxel nearest to a point in mm; null outside, or where it has not arrived.
  valueAt(mm) {
    const [i, j, k] = apply(this.inverse, mm).map(Math.round),
      [I, J, K] = this.shape;
    if (i < 0 || j < 0 || k < 0 || i >= I || j >= J || k >= K || !this.there[k]) return null;
    return this.data[i + I * (j + J * k)] * this.slope + this.intercept;
  }

  close() {
    this.closed = true;
    this.data = new Int16Array(0);
    this.there.fill(0);
  }
}

// Labels on the reference scan's grid. `array` may be replaced or changed in place by anybody who then calls
// `changed()`: every picture of it is then made anew, and `largest` counted again.
export class Labels {
  constructor(scan, auth) {
    Object.assign(this, {
      shape: scan.shape,
      affine: scan.affine,
      inverse: invert(scan.affine),
      auth,
      array: null,
      revision: 0,
    });
    this.extent = new Map(); // label -> three arrays: voxels in each slice along i, j, k
    this.problem = "";
  }

  async load(maskId) {
    const buffer = await fetchBytes(this.auth, `mask/${maskId}`);
    this.array = new Uint8Array(buffer);
    this.changed();
    await this.count();
  }

  changed() {
    this.revision++;
  }

  // Counts voxels a slice and label, a few slices at a time: the page stays awake.
  async count() {
    const revision = this.revision,
      {
        array,
        shape: [I, J, K],
      } = this,
      n = I * J,
      found = new Map();
    const chunk = Math.max(1, Math.floor(CHUNK_BYTES / n));
    for (let k = 0; k < K; k++) {
      if (k % chunk === 0) await pause();
      if (revision !== this.revision) return;
      for (let p = k * n, end = p + n; p < end; p++) {
        const label = array[p];
        if (!label) continue;
        if (!found.has(label))
          found.set(
            label,
            [I, J, K].map((size) => new Uint32Array(size)),
          );
        const counts = found.get(label),
          inSlice = p - k * n;
        counts[0][inSlice % I]++;
        counts[1][(inSlice / I) | 0]++;
        counts[2][k]++;
      }
    }
    this.extent = found;
  }

  // The slice along an axis in which the label is largest; null where it is nowhere (or not counted yet).
  largest(label, axis) {
    const counts = this.extent.get(label)?.[axis];
    return counts ? counts.indexOf(Math.max(...counts)) : null;
  }
}
