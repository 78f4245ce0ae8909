// Maximum-intensity projection: the body turned about its long axis, computed a few slices at a time.
import { fileAxes, perAxis, spacing } from "./geometry.js";
import { pause } from "./requests.js";

/** @import { Pair, Triple } from "./types.d.ts" */
/** @import { Volume } from "./volume.js" */

/**
 * A world axis (R, A or S) in the file: voxels, mm a voxel, whether the index runs against it, and which index it is.
 * @typedef {{n: number, mm: number, back: boolean, file: number}} BodyAxis
 */

const BUDGET_MS = 8,
  WIDEST = 256;

export class Mip {
  /** degrees; 0 from the front */
  angle = 0;
  /** number of the projection that is computed; a new one ends the one before */
  run = 0;
  done = false;

  /**
   * @param {Volume} volume
   * @param {() => void} changed called whenever there is more to see
   */
  constructor(volume, changed) {
    this.volume = volume;
    this.changed = changed;
    const axes = fileAxes(volume.affine),
      size = spacing(volume.affine),
      { shape, affine } = volume;
    /** @type {[BodyAxis, BodyAxis, BodyAxis]} */
    this.axis = perAxis((world) => {
      const file = axes[world];
      return { n: shape[file], mm: size[file], back: affine[4 * world + file] < 0, file };
    });
    const [ax, ay, az] = this.axis;
    const reach = Math.hypot(ax.n * ax.mm, ay.n * ay.mm);
    this.mm = Math.max(Math.min(ax.mm, ay.mm), reach / WIDEST);
    this.nu = Math.ceil(reach / this.mm);
    this.nv = az.n;
    /** @type {Pair} */
    this.pixel = [this.mm, az.mm];
    this.values = new Int16Array(this.nu * this.nv);
  }

  get letters() {
    const at = ((Math.round(this.angle / 90) % 4) + 4) % 4;
    return [...["RL", "AP", "LR", "PA"][at], "S", "I"];
  }

  /**
   * The column of a voxel's centre in the picture.
   * @param {Triple} index
   */
  column(index) {
    const [ax, ay] = this.axis,
      turned = (this.angle * Math.PI) / 180;
    const r = (ax.back ? -1 : 1) * (index[ax.file] - (ax.n - 1) / 2) * ax.mm,
      a = (ay.back ? -1 : 1) * (index[ay.file] - (ay.n - 1) / 2) * ay.mm;
    return this.nu / 2 + (-r * Math.cos(turned) - a * Math.sin(turned)) / this.mm;
  }

  /**
   * The row of a voxel in the picture.
   * @param {Triple} index
   */
  row(index) {
    const az = this.axis[2];
    return az.back ? index[az.file] : az.n - 1 - index[az.file];
  }

  /**
   * Projects from the front (0 degrees) or from the side; a new call ends the one before.
   * @param {number} angle degrees
   */
  async project(angle) {
    this.angle = angle;
    const run = ++this.run,
      { volume, nu } = this,
      [ax, ay, az] = this.axis,
      { shape, data } = volume;
    const stride = [1, shape[0], shape[0] * shape[1]],
      columns = this.columns();
    const stepX = Math.max(1, Math.floor(this.mm / ax.mm)),
      stepY = Math.max(1, Math.floor(this.mm / ay.mm));
    let began = performance.now();
    for (let z = 0; z < az.n; z++) {
      const row = (az.back ? z : az.n - 1 - z) * nu;
      this.values.fill(-32768, row, row + nu);
      for (let y = 0; y < ay.n; y += stepY) {
        let p = z * stride[az.file] + y * stride[ay.file];
        for (let x = 0; x < ax.n; x += stepX, p += stepX * stride[ax.file]) {
          const u = row + ((columns.x[x] + columns.y[y]) | 0),
            value = data[p];
          if (value > this.values[u]) this.values[u] = value;
        }
      }
      if (performance.now() - began > BUDGET_MS) {
        await pause();
        if (run !== this.run || volume.closed) return;
        began = performance.now();
        if (z % 16 === 0) this.changed();
      }
    }
    this.done = true;
    this.changed();
  }

  /** What each index along R, and along A, adds to a voxel's column. */
  columns() {
    const [ax, ay] = this.axis,
      turned = (this.angle * Math.PI) / 180;
    /**
     * @param {BodyAxis} axis
     * @param {number} factor
     * @param {number} offset
     */
    const table = ({ n, mm, back }, factor, offset) =>
      Float32Array.from({ length: n }, (_, index) => {
        return offset - ((back ? -1 : 1) * (index - (n - 1) / 2) * mm * factor) / this.mm;
      });
    return { x: table(ax, Math.cos(turned), this.nu / 2), y: table(ay, Math.sin(turned), 0) };
  }

  /**
   * @param {Uint32Array} lut
   * @param {Uint32Array} out
   */
  colours(lut, out) {
    for (let n = 0; n < this.values.length; n++) out[n] = lut[this.values[n] + 32768];
  }
}
