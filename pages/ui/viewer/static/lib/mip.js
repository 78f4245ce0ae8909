// Maximum-intensity projection: the body turned about its long axis, computed a few slices at a time.
import { fileAxes, spacing } from "./geometry.js";
import { pause } from "./volume.js";

const BUDGET_MS = 8,
  WIDEST = 256;

export class Mip {
  // volume: a Volume; changed(): called whenever there is more to see.
  constructor(volume, changed) {
    Object.assign(this, { volume, changed, angle: 0, run: 0 });
    const axes = fileAxes(volume.affine),
      size = spacing(volume.affine);
    [this.x, this.y, this.z] = axes;
    const { shape, affine } = volume;
    // Along R, A, S: voxels, steps in the array, mm, and whether the index runs against the axis.
    this.axis = axes.map((a, world) => ({ n: shape[a], mm: size[a], back: affine[4 * world + a] < 0, file: a }));
    const [ax, ay, az] = this.axis,
      mm = Math.min(ax.mm, ay.mm);
    const reach = Math.hypot(ax.n * ax.mm, ay.n * ay.mm);
    this.mm = Math.max(mm, reach / WIDEST);
    this.nu = Math.ceil(reach / this.mm);
    this.nv = az.n;
    this.pixel = [this.mm, az.mm];
    this.values = new Int16Array(this.nu * this.nv);
  }

  get letters() {
    const at = ((Math.round(this.angle / 90) % 4) + 4) % 4;
    return [
      ["R", "L"],
      ["A", "P"],
      ["L", "R"],
      ["P", "A"],
    ][at].concat(["S", "I"]);
  }

  // The column and row of a voxel's centre in the picture.
  column(index) {
    const [ax, ay] = this.axis,
      turned = (this.angle * Math.PI) / 180;
    const r = (ax.back ? -1 : 1) * (index[ax.file] - (ax.n - 1) / 2) * ax.mm,
      a = (ay.back ? -1 : 1) * (index[ay.file] - (ay.n - 1) / 2) * ay.mm;
    return this.nu / 2 + (-r * Math.cos(turned) - a * Math.sin(turned)) / this.mm;
  }

  row(index) {
    const az = this.axis[2];
    return az.back ? index[az.file] : az.n - 1 - index[az.file];
  }

  // Projects from the front (0 degrees) or from the side; a new call ends the one before.
  async project(angle) {
    this.angle = angle;
    const run = ++this.run,
      {
        volume,
        nu,
        axis: [ax, ay, az],
      } = this,
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
        for (
          let x = 0, p = z * stride[az.file] + y * stride[ay.file];
          x < ax.n;
          x += stepX, p += stepX * stride[ax.file]
        ) {
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

  columns() {
    const [ax, ay] = this.axis,
      turned = (this.angle * Math.PI) / 180,
      table = ({ n, mm, back }, factor, offset) =>
        Float32Array.from(
          { length: n },
          (_, index) => offset - ((back ? -1 : 1) * (index - (n - 1) / 2) * mm * factor) / this.mm,
        );
    return { x: table(ax, Math.cos(turned), this.nu / 2), y: table(ay, Math.sin(turned), 0) };
  }

  colours(lut, out) {
    for (let n = 0; n < this.values.length; n++) out[n] = lut[this.values[n] + 32768];
  }
}
