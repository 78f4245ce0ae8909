// A scan's voxels as they arrive, and a mask's labels.
import { apply, invert, perAxis, rounded } from "./geometry.js";
import { fetchBytes, messageOf, pause } from "./requests.js";

/** @import { Access, Axis, Grid, LabelMap, Scan, Triple } from "./types.d.ts" */

const AT_ONCE = 2,
  TRIES = 3,
  CHUNK_BYTES = 2 << 20;

export class Volume {
  /** @type {Promise<unknown> | undefined} */
  loading;
  /** slabs that were asked for @type {Set<number>} */
  asked = new Set();
  /** slabs that are there */
  arrived = 0;
  /** why no more comes, in words */
  problem = "";
  closed = false;

  /**
   * @param {Scan} scan
   * @param {Access} auth
   * @param {(volume: Volume, slab?: number) => void} onSlab told when a slab has arrived, or none will
   */
  constructor(scan, auth, onSlab) {
    this.scan = scan;
    this.auth = auth;
    this.onSlab = onSlab;
    this.shape = scan.shape;
    this.affine = scan.affine;
    this.slope = scan.slope;
    this.intercept = scan.intercept;
    this.inverse = invert(scan.affine);
    this.data = new Int16Array(scan.shape[0] * scan.shape[1] * scan.shape[2]);
    /** slice -> its slab has arrived */
    this.there = new Uint8Array(scan.shape[2] + 1);
    this.slabs = Math.ceil(scan.shape[2] / scan.slab);
    /** slice whose slab is wanted first */
    this.focus = scan.shape[2] >> 1;
  }

  get complete() {
    return this.arrived === this.slabs;
  }

  /**
   * Starts loading, the slab of slice `focus` first and then outwards; moving `focus` later changes what comes
   * next.
   */
  load() {
    // The first slab alone: the server makes the one that is asked for first before all others.
    this.loading ??= this.worker(1).then(() => Promise.all(Array.from({ length: AT_ONCE }, () => this.worker())));
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
          this.problem = messageOf(error);
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

  /**
   * @param {number} n
   * @param {ArrayBuffer} buffer
   */
  take(n, buffer) {
    const [I, J, K] = this.shape,
      first = n * this.scan.slab;
    this.data.set(new Int16Array(buffer), first * I * J);
    this.there.fill(1, first, Math.min(K, first + this.scan.slab));
    this.arrived++;
    this.onSlab(this, n);
  }

  /**
   * The value (HU, SUV …) of the voxel nearest to a point in mm; null outside, or where it has not arrived.
   * @param {Triple} mm
   */
  valueAt(mm) {
    const [i, j, k] = rounded(apply(this.inverse, mm)),
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

/**
 * Labels on the reference scan's grid. `array` may be replaced or changed in place by anybody who then calls
 * `changed()`: every picture of it is then made anew, and `largest` counted again.
 * @implements {LabelMap}
 */
export class Labels {
  /** @type {Uint8Array | null} */
  array = null;
  revision = 0;
  /** the mask that is in it or on its way; undefined: to be fetched again @type {string | null | undefined} */
  maskId;
  /** label -> voxels in each slice along i, j, k @type {Map<number, [Uint32Array, Uint32Array, Uint32Array]>} */
  extent = new Map();
  /** why it could not be loaded, in words */
  problem = "";

  /**
   * @param {Grid} scan
   * @param {Access} auth
   * @param {number} id unlike that of any other labels
   */
  constructor(scan, auth, id) {
    this.shape = scan.shape;
    this.affine = scan.affine;
    this.inverse = invert(scan.affine);
    this.auth = auth;
    this.id = id;
  }

  /** @param {string} maskId */
  async load(maskId) {
    const buffer = await fetchBytes(this.auth, `mask/${maskId}`);
    this.array = new Uint8Array(buffer);
    this.changed();
    await this.count();
  }

  changed() {
    this.revision++;
  }

  /** Counts voxels a slice and label, a few slices at a time: the page stays awake. */
  async count() {
    const revision = this.revision,
      { array, shape } = this,
      [I, J, K] = shape,
      n = I * J;
    /** @type {Labels["extent"]} */
    const found = new Map();
    if (!array) return;
    const chunk = Math.max(1, Math.floor(CHUNK_BYTES / n));
    for (let k = 0; k < K; k++) {
      if (k % chunk === 0) await pause();
      if (revision !== this.revision) return;
      for (let p = k * n, end = p + n; p < end; p++) {
        const label = array[p];
        if (!label) continue;
        const counts = found.get(label) ?? perAxis((a) => new Uint32Array(shape[a])),
          inSlice = p - k * n;
        found.set(label, counts);
        counts[0][inSlice % I]++;
        counts[1][(inSlice / I) | 0]++;
        counts[2][k]++;
      }
    }
    this.extent = found;
  }

  /**
   * The slice along an axis in which the label is largest; null where it is nowhere (or not counted yet).
   * @param {number} label
   * @param {Axis} axis
   */
  largest(label, axis) {
    const counts = this.extent.get(label)?.[axis];
    return counts ? counts.indexOf(Math.max(...counts)) : null;
  }
}
