// One canvas: a plane of the reference scan with the image, what is fused over it, masks, crosshair, letters and scale.
import { aligned, apply, mapped } from "../lib/geometry.js";
import { outlines, sampleColours, sampleLabels } from "../lib/sample.js";
import { Mip } from "../lib/mip.js";
import { drawWords } from "../lib/words.js";

const EMPTY = 0xff000000,
  SETTLE_MS = 140,
  KEPT = 48;
export const ADDED = "#c77dff",
  REMOVED = "#e69f00",
  CROSS = "#f0e442";

// An off-screen picture of n x m pixels and its bytes.
class Picture {
  size(n, m) {
    if (this.n === n && this.m === m) return this;
    Object.assign(this, { n, m, canvas: new OffscreenCanvas(n, m) });
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(n, m);
    this.colours = new Uint32Array(this.image.data.buffer);
    return this;
  }

  put() {
    this.context.putImageData(this.image, 0, 0);
  }
}

export class Pane {
  // series: one timepoint's scans and masks (viewer.js); planeName: axial, coronal, sagittal or mip.
  constructor(viewer, series, planeName) {
    Object.assign(this, { viewer, series, planeName, base: new Picture(), over: new Picture(), fill: new Picture() });
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.cache = new Map();
    this.bytes = new Uint8Array(0);
    this.stale = true;
  }

  // Where the labels lie that tools may change; `labelsChanged` after each change.
  get labels() {
    return this.series.labels;
  }

  labelsChanged() {
    this.viewer.labelsChanged(this.series);
  }

  get frame() {
    return this.viewer.frameOf(this.series);
  }

  get plane() {
    if (this.planeName !== "mip") return this.viewer.planeOf(this.frame.master, this.planeName);
    const m = this.projection;
    return { name: "mip", nu: m.nu, nv: m.nv, pixel: m.pixel, letters: m.letters, slices: 1, axis: -1 };
  }

  get slice() {
    return this.planeName === "mip" ? 0 : this.viewer.sliceOf(this.frame.master, this.plane);
  }

  get volume() {
    return this.series.volume(this.planeName === "mip" ? this.series.pet.sha256 : this.series.shown);
  }

  get projection() {
    const volume = this.volume;
    if (this.mip?.volume !== volume) {
      this.mip = new Mip(volume, () => {
        this.stale = true;
        this.draw();
      });
      this.mip.project(this.viewer.mipAngle);
      this.projected = volume.arrived;
    }
    return this.mip;
  }

  slabArrived(volume, n) {
    if (this.planeName === "mip") {
      if (volume === this.volume && volume.complete) this.projection.project(this.viewer.mipAngle);
      return;
    }
    const across = this.map(volume),
      k = across.o[2];
    const apart = !across.U[2] && !across.V[2] && Number.isInteger(k) && Math.floor(k / volume.scan.slab) !== n;
    if (apart)
      this.draw(); // how much is loaded
    else this.redraw();
  }

  map(volume) {
    return mapped(this.plane, this.slice, this.frame.toMm, volume.inverse);
  }

  redraw() {
    this.stale = true;
    this.draw();
  }

  draw() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = undefined;
      if (this.canvas.isConnected) this.paint();
    });
  }

  // Where the picture lies on the canvas, in device pixels.
  place() {
    const { width, height } = this.canvas,
      plane = this.plane,
      view = this.viewer.viewOf(this);
    const mm = [plane.nu * plane.pixel[0], plane.nv * plane.pixel[1]];
    const scale = Math.min(width / mm[0], height / mm[1]) * 0.98 * view.zoom;
    return {
      scale,
      x: width / 2 - (mm[0] / 2 + view.x) * scale,
      y: height / 2 - (mm[1] / 2 + view.y) * scale,
      sx: plane.pixel[0] * scale,
      sy: plane.pixel[1] * scale,
    };
  }

  // A pointer's place: picture pixel, voxel index of the reference grid (fractional), mm of that grid's frame.
  locate(event) {
    const box = this.canvas.getBoundingClientRect(),
      ratio = this.canvas.width / box.width,
      at = this.place(),
      plane = this.plane;
    const screen = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
    const pixel = [(screen[0] - at.x) / at.sx, (screen[1] - at.y) / at.sy];
    if (this.planeName === "mip") return { screen, pixel };
    const index = plane.toIndex(this.slice, ...pixel);
    return { screen, pixel, index, voxel: index.map(Math.round), mm: apply(this.frame.master.affine, index) };
  }

  paint() {
    const began = performance.now(),
      { canvas } = this,
      ratio = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio),
      height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.context ??= canvas.getContext("2d", { alpha: false });
    const g = this.context;
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.fillStyle = "#000";
    g.fillRect(0, 0, width, height);
    this.ratio = ratio;
    const at = this.place();
    this.sample();
    g.imageSmoothingEnabled = true;
    const plane = this.plane,
      w = plane.nu * at.sx,
      h = plane.nv * at.sy;
    g.drawImage(this.base.canvas, at.x, at.y, w, h);
    if (this.planeName !== "mip") {
      if (this.overlay) this.drawOverlay(g, at, w, h);
      this.drawMasks(g, at, w, h);
    }
    this.drawCross(g, at);
    for (const tool of this.viewer.tools.values()) tool.draw?.(g, this, at);
    drawWords(this, g, at);
    this.viewer.drawn(performance.now() - began);
  }

  get overlay() {
    return this.series.overlay && this.series.overlay !== this.series.shown
      ? this.series.volume(this.series.overlay)
      : null;
  }

  sample() {
    if (!this.stale) return;
    this.stale = false;
    const volume = this.volume,
      { nu, nv } = this.plane,
      table = this.viewer.levels.greys(volume.scan),
      base = this.base.size(nu, nv);
    if (this.planeName === "mip") {
      this.projection.colours(table, base.colours);
      base.put();
      return;
    }
    const across = this.map(volume);
    sampleColours(volume, across, nu, nv, table, base.colours, EMPTY, this.smooth);
    base.put();
    this.sampleOverlay();
    if (!this.smooth && !aligned(across)) this.settle();
  }

  // Oblique pictures are drawn from the nearest voxels while they move, and interpolated when they come to rest.
  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      this.smooth = true;
      this.redraw();
    }, SETTLE_MS);
  }

  moved() {
    this.smooth = false;
    this.redraw();
  }

  sampleOverlay() {
    const volume = this.overlay;
    if (!volume) return;
    const plane = this.plane,
      across = this.map(volume),
      coarse = Math.min(...[across.U, across.V].map((v) => Math.hypot(...v)));
    // A coarser scan is sampled at about half its own voxels; drawing it larger interpolates the rest.
    const step = Math.max(1, Math.min(4, Math.floor(0.5 / coarse)));
    const n = Math.ceil(plane.nu / step),
      m = Math.ceil(plane.nv / step),
      shift = (step - 1) / 2;
    const o = across.o.map((v, a) => v + shift * (across.U[a] + across.V[a]));
    const scaled = { o, U: across.U.map((v) => v * step), V: across.V.map((v) => v * step) };
    const over = this.over.size(n, m);
    sampleColours(volume, scaled, n, m, this.viewer.levels.hots(volume.scan), over.colours, 0, true);
    over.put();
    this.overSize = [(n * step) / plane.nu, (m * step) / plane.nv];
  }

  drawOverlay(g, at, w, h) {
    g.globalAlpha = this.viewer.options.overlayOpacity;
    g.drawImage(this.over.canvas, at.x, at.y, w * this.overSize[0], h * this.overSize[1]);
    g.globalAlpha = 1;
  }

  // Labels of this plane and their borders; computed once a slice and version.
  contours(labels) {
    if (!labels?.array) return null;
    const plane = this.plane,
      key = `${this.planeName} ${this.slice} ${labels.id} ${labels.revision} ${this.viewer.linkState}`;
    let found = this.cache.get(key);
    if (found === undefined) {
      const across = mapped(plane, this.slice, this.frame.toMm, labels.inverse),
        pixels = new Uint8Array(plane.nu * plane.nv);
      const box = sampleLabels(labels.array, labels.shape, across, plane.nu, plane.nv, pixels);
      found = box ? { pixels, box, paths: outlines(pixels, plane.nu, plane.nv, box) } : null;
      this.cache.set(key, found);
      if (this.cache.size > KEPT) this.cache.delete(this.cache.keys().next().value);
    }
    return found;
  }

  drawMasks(g, at, w, h) {
    const { options } = this.viewer;
    if (!options.mask) return;
    const now = this.contours(this.series.labels),
      before = options.changes ? this.contours(this.series.before) : null;
    if (options.changes && this.series.before?.array) this.drawChanges(g, at, w, h, now, before);
    if (!now) return;
    if (options.style === "fill")
      this.drawFilled(g, at, w, h, (p) => this.series.colour(now.pixels[p]), options.maskOpacity, now.box);
    g.save();
    g.setTransform(at.sx, 0, 0, at.sy, at.x, at.y);
    g.globalAlpha = options.style === "fill" ? 1 : Math.max(0.25, options.maskOpacity + 0.4);
    for (const [label, path] of now.paths) {
      g.strokeStyle = this.series.colour(label);
      // Stroked without the transform, so that the line is equally wide on anisotropic voxels.
      const shape = new Path2D();
      shape.addPath(path, { a: at.sx, d: at.sy, e: at.x, f: at.y });
      g.setTransform(1, 0, 0, 1, 0, 0);
      g.lineWidth = (label === this.viewer.lesion ? 2 : 1.4) * this.ratio;
      g.stroke(shape);
    }
    g.restore();
  }

  drawChanges(g, at, w, h, now, before) {
    const n = now?.pixels,
      b = before?.pixels,
      boxes = [now?.box, before?.box].filter(Boolean);
    if (!boxes.length) return;
    const box = [0, 1, 2, 3].map((i) => (i < 2 ? Math.min : Math.max)(...boxes.map((v) => v[i])));
    const colour = (p) => (n?.[p] && !b?.[p] ? ADDED : b?.[p] && !n?.[p] ? REMOVED : null);
    this.drawFilled(g, at, w, h, colour, 0.6, box);
  }

  drawFilled(g, at, w, h, colour, opacity, [x0, y0, x1, y1]) {
    const { nu, nv } = this.plane,
      fill = this.fill.size(nu, nv),
      numbers = new Map([
        [null, 0],
        [undefined, 0],
      ]);
    fill.colours.fill(0);
    for (let y = y0; y < y1; y++) {
      for (let p = y * nu + x0; p < y * nu + x1; p++) {
        const name = colour(p);
        if (!numbers.has(name)) {
          const rgb = parseInt(name.slice(1), 16);
          numbers.set(name, (0xff000000 | ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0);
        }
        fill.colours[p] = numbers.get(name);
      }
    }
    fill.put();
    g.globalAlpha = opacity;
    g.imageSmoothingEnabled = false;
    g.drawImage(fill.canvas, at.x, at.y, w, h);
    g.globalAlpha = 1;
  }

  // The cursor's place in the picture's pixels.
  cursorPixel() {
    const { master } = this.frame;
    if (this.planeName !== "mip") return this.plane.toPixel(this.viewer.cursorIndex(master));
    const index = apply(this.volume.inverse, this.viewer.cursorOf(this.series));
    return [this.projection.column(index), this.projection.row(index) + 0.5];
  }

  drawCross(g, at) {
    if (!this.viewer.options.cross) return;
    const [px, py] = this.cursorPixel(),
      x = Math.round(at.x + px * at.sx) + 0.5,
      y = Math.round(at.y + py * at.sy) + 0.5;
    const gap = 9 * this.ratio;
    g.strokeStyle = CROSS;
    g.globalAlpha = 0.55;
    g.lineWidth = this.ratio;
    g.beginPath();
    for (const [ax, ay, bx, by] of [
      [0, y, x - gap, y],
      [x + gap, y, this.canvas.width, y],
      [x, 0, x, y - gap],
      [x, y + gap, x, this.canvas.height],
    ]) {
      g.moveTo(ax, ay);
      g.lineTo(bx, by);
    }
    g.stroke();
    g.globalAlpha = 1;
  }
}
