// Where things are: the cursor of each timepoint, how two of them are linked, planes, and what part of a pane is seen.
import { apply, invert, multiply, planeOf } from "../lib/geometry.js";

/**
 * @import { Affine, Frame, Master, PlaneName, Plane, PictureName, Registration, Triple, View } from "../lib/types.d.ts"
 */
/** @import { Series } from "../lib/series.js" */
/** @import { Volume } from "../lib/volume.js" */

/** The middle of a timepoint's reference scan, in mm. @param {Series} one */
const middle = (one) => {
  const [I, J, K] = one.reference.shape;
  return apply(one.reference.affine, [(I - 1) / 2, (J - 1) / 2, (K - 1) / 2]);
};

export class Space {
  /** @type {Series[]} */
  series = [];
  /** place of each timepoint's cursor, in its own mm @type {Triple[]} */
  cursors = [];
  /** the registration of the two timepoints @type {(Registration & {inverse: Affine}) | null} */
  link = null;
  /** the second timepoint follows the first */
  linked = false;
  /** another number whenever the linking changed */
  linkState = 0;
  /** @type {Map<string, View>} */
  views = new Map();
  /** @type {Map<string, Plane>} */
  planes = new Map();

  /** @param {Series[]} series */
  setSeries(series) {
    this.series = series;
    this.cursors = series.map(middle);
  }

  /** @param {Registration | null} link */
  setLink(link) {
    this.link = link && { ...link, inverse: invert(link.matrix) };
    this.relink(Boolean(link?.converged));
  }

  /** @param {boolean} linked */
  relink(linked) {
    this.linked = linked;
    this.linkState++;
    if (this.link && this.linked) this.cursors[1] = apply(this.link.matrix, this.cursors[0]);
  }

  /**
   * The grid whose planes a timepoint is drawn in, and that grid's indices -> the timepoint's own millimetres.
   * @param {Series} one
   * @returns {Frame}
   */
  frameOf(one) {
    if (!this.link || !this.linked || one === this.series[0]) {
      return { master: { series: one, ...one.reference }, toMm: one.reference.affine };
    }
    const first = this.series[0];
    return {
      master: { series: first, ...first.reference },
      toMm: multiply(this.link.matrix, first.reference.affine),
    };
  }

  /**
   * @param {Master} master
   * @param {PlaneName} name
   */
  planeOf(master, name) {
    const key = `${master.sha256} ${name}`,
      plane = this.planes.get(key) ?? planeOf(master.affine, master.shape, name);
    this.planes.set(key, plane);
    return plane;
  }

  /** @param {Series} one */
  cursorOf(one) {
    return this.cursors[this.series.indexOf(one)];
  }

  /** @param {Master} master */
  cursorIndex(master) {
    return apply(invert(master.affine), this.cursorOf(master.series));
  }

  /**
   * @param {Master} master
   * @param {Plane} plane
   */
  sliceOf(master, plane) {
    return Math.max(0, Math.min(plane.slices - 1, Math.round(this.cursorIndex(master)[plane.axis])));
  }

  /**
   * Puts the cursor of a timepoint at a place (mm); linked ones follow. Slabs around it are loaded next.
   * @param {Series} one
   * @param {Triple} mm
   */
  moveCursor(one, mm) {
    this.cursors[this.series.indexOf(one)] = mm;
    if (this.link && this.linked) {
      if (one === this.series[0]) this.cursors[1] = apply(this.link.matrix, mm);
      else this.cursors[0] = apply(this.link.inverse, mm);
    }
    for (const series of this.series) for (const volume of series.volumes.values()) this.focusOn(series, volume);
  }

  /**
   * @param {Series} one
   * @param {Volume} volume
   */
  focusOn(one, volume) {
    if (this.cursors.length) volume.focus = apply(volume.inverse, this.cursorOf(one))[2];
  }

  /**
   * Linked timepoints are seen alike.
   * @param {{series: Series, planeName: PictureName}} pane
   */
  viewOf({ series, planeName }) {
    const key = this.linked ? planeName : `${this.series.indexOf(series)} ${planeName}`,
      view = this.views.get(key) ?? { zoom: 1, x: 0, y: 0 };
    this.views.set(key, view);
    return view;
  }
}
