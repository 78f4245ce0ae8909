// The mask's own longest diameter and its perpendicular, of the lesion that is worked on, on their slice.
import { perAxis } from "../lib/geometry.js";
import { lesionOf } from "../lib/naming.js";
import { fetchFrom } from "../lib/requests.js";
import { endsOn, isOn, stroke, writeWords } from "./measure_drawing.js";

/** @import { LabelAxes, Place, PlaneName, Triple } from "../lib/types.d.ts" */
/** @import { Series } from "../lib/series.js" */
/** @import { Pane } from "../view/pane.js" */
/** @import { Viewer } from "../view/viewer.js" */

/** @type {PlaneName} */
const PLANE = "axial";

/** @param {Triple[]} ends */
const middle = ([a, b]) => perAxis((n) => (a[n] + b[n]) / 2);

export class MaskDiameters {
  shown = false;
  /** mask id -> its labels' diameters; undefined: on their way @type {Map<string, LabelAxes[] | undefined>} */
  known = new Map();

  /** @param {Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    viewer.addKey("/", "diameters of the mask, on or off", () => this.toggle());
  }

  async toggle() {
    this.shown = !this.shown;
    if (this.shown) await this.goThere();
    this.viewer.toolbar.refresh();
    this.viewer.draw();
  }

  /** To the slice of the lesion's longest diameter, on the active pane. */
  async goThere() {
    const { viewer } = this,
      { series, planeName } = viewer.active,
      id = series.data.mask?.mask_id;
    if (!id || planeName !== PLANE) return viewer.say("Diameters are of a mask, on axial slices.");
    if (!this.known.get(id)) await this.fetch(id);
    const [longest] = this.ofLesion(series).sort((a, b) => b.longest_mm - a.longest_mm);
    if (longest) viewer.setCursor(series, middle(longest.long_axis_mm));
  }

  /** @param {Series} series */
  ofLesion({ data }) {
    const all = (data.mask && this.known.get(data.mask.mask_id)) ?? [];
    return all.filter(({ label }) => lesionOf(data, label) === this.viewer.lesionKey);
  }

  /** @param {string} maskId */
  async fetch(maskId) {
    this.known.set(maskId, undefined);
    try {
      const answer = await fetchFrom(this.viewer.auth, `mask/${maskId}/diameters`);
      this.known.set(maskId, (await answer.json()).lesions);
      this.viewer.draw();
    } catch {
      this.viewer.say("The diameters of this mask could not be read. Reload the page.");
    }
  }

  /**
   * @param {CanvasRenderingContext2D} g
   * @param {Pane} pane
   * @param {Place} place
   */
  draw(g, pane, place) {
    const { mask, timepoint } = pane.series.data;
    if (!this.shown || !mask || pane.planeName !== PLANE) return;
    if (!this.known.has(mask.mask_id)) void this.fetch(mask.mask_id);
    for (const one of this.ofLesion(pane.series)) {
      const long = { timepoint, plane: PLANE, points: one.long_axis_mm };
      if (!isOn(pane, long)) continue;
      const colour = pane.series.colour(one.label) ?? "#fff",
        path = new Path2D();
      for (const points of [one.long_axis_mm, one.perpendicular_axis_mm]) {
        const [a, b] = endsOn(pane, { points }, place);
        path.moveTo(...a);
        path.lineTo(...b);
      }
      stroke(g, path, pane.ratio, colour);
      const [a, b] = endsOn(pane, long, place),
        [x, y] = a[0] > b[0] ? a : b,
        pieces = one.pieces > 1 ? `, largest of ${one.pieces} pieces` : "";
      const words = `mask: ${one.longest_mm.toFixed(1)} × ${one.perpendicular_mm.toFixed(1)} mm${pieces}`;
      writeWords(g, pane, [words], [x + 8 * pane.ratio, y - 10 * pane.ratio], colour);
    }
  }
}
