// One canvas: a plane of the reference scan with the image, what is fused over it, masks, crosshair, letters and scale.
import { aligned, apply, mapped, rounded } from "../lib/geometry.js";
import { Mip } from "../lib/mip.js";
import { drawable, OffScreen } from "../lib/off_screen.js";
import { sampleColours } from "../lib/sample.js";
import { drawWords } from "../lib/words.js";
import { MovingScan } from "../register/moving_scan.js";
import { MaskLayer } from "./mask_layer.js";
import { OverlayLayer } from "./overlay_layer.js";

/** @import { LabelMap, Pair, Picture, PictureName, Place, Plane, PointerPlace, Triple } from "../lib/types.d.ts" */
/** @import { Series } from "../lib/series.js" */
/** @import { Volume } from "../lib/volume.js" */
/** @import { Viewer } from "./viewer.js" */

const EMPTY = 0xff000000,
  SETTLE_MS = 140,
  CROSS = "#f0e442";

export class Pane {
  canvas = document.createElement("canvas");
  context = drawable(this.canvas.getContext("2d", { alpha: false }));
  /** device pixels a CSS pixel */
  ratio = 1;
  base = new OffScreen(1, 1);
  fused = new OverlayLayer(this);
  /** the other timepoint, where a registration is looked at */
  over = new MovingScan(this);
  masks = new MaskLayer(this);
  /** the image is no more what is to be seen */
  stale = true;
  /** oblique pictures are interpolated */
  smooth = false;
  /** @type {number | undefined} */
  settling;
  /** @type {number | undefined} */
  frameRequest;
  /** @type {Mip | undefined} */
  mip;
  /** what the canvas is called for those who do not see it */
  named = "";
  /** what is written at the crosshair @type {{mm: Triple, text: string} | undefined} */
  readout;
  /** the scale bar @type {{mm: number, pixels: number} | undefined} */
  bar;

  /**
   * @param {Viewer} viewer
   * @param {Series} series
   * @param {PictureName} planeName
   */
  constructor(viewer, series, planeName) {
    this.viewer = viewer;
    this.series = series;
    this.planeName = planeName;
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
  }

  /** Where the labels lie that tools may change; `labelsChanged` after each change. */
  get labels() {
    return this.series.labels;
  }

  labelsChanged() {
    this.viewer.labelsChanged(this.series);
  }

  get frame() {
    return this.viewer.frameOf(this.series);
  }

  /** The plane that slices lie in. Throws on a projection, which has none. @returns {Plane} */
  get plane() {
    if (this.planeName === "mip")
      throw new Error("A projection has no plane. Look at `picture`, or ask for `planeName`.");
    return this.viewer.planeOf(this.frame.master, this.planeName);
  }

  /** What is drawn, whether a plane or a projection. @returns {Picture} */
  get picture() {
    if (this.planeName !== "mip") return this.plane;
    const { nu, nv, pixel, letters } = this.projection;
    return { name: "mip", nu, nv, pixel, letters, slices: 1 };
  }

  get slice() {
    return this.planeName === "mip" ? 0 : this.viewer.sliceOf(this.frame.master, this.plane);
  }

  get volume() {
    const { pet, shown } = this.series;
    return this.series.volume(this.planeName === "mip" && pet ? pet.sha256 : shown);
  }

  /** The scan that is laid over the shown one. */
  get overlay() {
    const { overlay, shown } = this.series;
    return overlay && overlay !== shown ? this.series.volume(overlay) : null;
  }

  get projection() {
    const { volume } = this;
    if (this.mip?.volume === volume) return this.mip;
    this.mip = new Mip(volume, () => this.redraw());
    this.mip.project(this.viewer.mipAngle);
    return this.mip;
  }

  /**
   * @param {Volume} volume
   * @param {number} [n] its slab; undefined where none will come
   */
  slabArrived(volume, n) {
    if (this.planeName === "mip") {
      if (volume === this.volume && volume.complete) this.projection.project(this.viewer.mipAngle);
      return;
    }
    const { o, U, V } = this.map(volume),
      k = o[2];
    const apart = !U[2] && !V[2] && Number.isInteger(k) && Math.floor(k / volume.scan.slab) !== n;
    if (apart)
      this.draw(); // how much is loaded
    else this.redraw();
  }

  /** @param {Volume} volume */
  map(volume) {
    return mapped(this.plane, this.slice, this.frame.toMm, volume.inverse);
  }

  redraw() {
    this.stale = true;
    this.draw();
  }

  draw() {
    this.frameRequest ??= requestAnimationFrame(() => {
      this.frameRequest = undefined;
      if (this.canvas.isConnected) this.paint();
    });
  }

  /** Where the picture lies on the canvas. @returns {Place} */
  place() {
    const { width, height } = this.canvas,
      { nu, nv, pixel } = this.picture,
      view = this.viewer.viewOf(this);
    const mm = [nu * pixel[0], nv * pixel[1]];
    const scale = Math.min(width / mm[0], height / mm[1]) * 0.98 * view.zoom;
    return {
      scale,
      x: width / 2 - (mm[0] / 2 + view.x) * scale,
      y: height / 2 - (mm[1] / 2 + view.y) * scale,
      sx: pixel[0] * scale,
      sy: pixel[1] * scale,
    };
  }

  /**
   * A pointer's place.
   * @param {MouseEvent} event
   * @returns {PointerPlace}
   */
  locate(event) {
    const box = this.canvas.getBoundingClientRect(),
      ratio = this.canvas.width / box.width,
      at = this.place();
    /** @type {Pair} */
    const screen = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
    /** @type {Pair} */
    const pixel = [(screen[0] - at.x) / at.sx, (screen[1] - at.y) / at.sy];
    if (this.planeName === "mip") return { screen, pixel };
    const index = this.plane.toIndex(this.slice, ...pixel);
    return { screen, pixel, index, voxel: rounded(index), mm: apply(this.frame.master.affine, index) };
  }

  paint() {
    const began = performance.now(),
      { canvas, context: g } = this,
      ratio = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio),
      height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.fillStyle = "#000";
    g.fillRect(0, 0, width, height);
    this.ratio = ratio;
    const at = this.place();
    this.sample();
    g.imageSmoothingEnabled = true;
    const { nu, nv } = this.picture;
    g.drawImage(this.base.canvas, at.x, at.y, nu * at.sx, nv * at.sy);
    if (this.planeName !== "mip") {
      if (this.overlay) this.fused.draw(g, at);
      this.over.draw(g, at);
      this.masks.draw(g, at);
    }
    this.drawCross(g, at);
    for (const paint of this.viewer.painters) paint(g, this, at);
    for (const tool of this.viewer.tools.values()) tool.draw?.(g, this, at);
    drawWords(this, g, at);
    this.viewer.drawn(performance.now() - began);
  }

  sample() {
    if (!this.stale) return;
    this.stale = false;
    const { volume } = this,
      { nu, nv } = this.picture,
      table = this.viewer.levels.greys(volume.scan),
      base = this.base.sized(nu, nv);
    this.base = base;
    if (this.planeName === "mip") {
      this.projection.colours(table, base.colours);
      base.put();
      return;
    }
    const across = this.map(volume);
    sampleColours(volume, across, nu, nv, table, base.colours, EMPTY, this.smooth);
    base.put();
    this.fused.sample();
    this.over.sample();
    if (!this.smooth && (this.over.rough || !aligned(across))) this.settle();
  }

  /** Oblique pictures are drawn from the nearest voxels while they move, and interpolated when they come to rest. */
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

  /** @param {LabelMap | null | undefined} labels */
  contours(labels) {
    return this.masks.contours(labels);
  }

  /** The cursor's place in the picture's pixels. @returns {Pair} */
  cursorPixel() {
    const { master } = this.frame;
    if (this.planeName !== "mip") return this.plane.toPixel(this.viewer.cursorIndex(master));
    const index = apply(this.volume.inverse, this.viewer.cursorOf(this.series));
    return [this.projection.column(index), this.projection.row(index) + 0.5];
  }

  /**
   * @param {CanvasRenderingContext2D} g
   * @param {Place} at
   */
  drawCross(g, at) {
    if (!this.viewer.options.cross) return;
    const [px, py] = this.cursorPixel(),
      x = Math.round(at.x + px * at.sx) + 0.5,
      y = Math.round(at.y + py * at.sy) + 0.5,
      gap = 9 * this.ratio,
      { width, height } = this.canvas;
    g.strokeStyle = CROSS;
    g.globalAlpha = 0.55;
    g.lineWidth = this.ratio;
    g.beginPath();
    for (const [ax, ay, bx, by] of [
      [0, y, x - gap, y],
      [x + gap, y, width, y],
      [x, 0, x, y - gap],
      [x, y + gap, x, height],
    ]) {
      g.moveTo(ax, ay);
      g.lineTo(bx, by);
    }
    g.stroke();
    g.globalAlpha = 1;
  }
}
