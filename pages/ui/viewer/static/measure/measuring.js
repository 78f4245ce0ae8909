// Measurements of a viewer: those that are being drawn, which are this browser's alone, and those that were kept.
import { fetchFrom, messageOf, ServerError } from "../lib/requests.js";
import { MaskDiameters } from "./mask_diameters.js";
import { MeasureBar } from "./measure_bar.js";
import { drawMeasurements, drawOne, isOn } from "./measure_drawing.js";
import { measureTools } from "./measure_tools.js";

/** @import { Drawing, Flip, KeptMeasurement, MeasurementSets } from "../lib/types.d.ts" */
/** @import { Series } from "../lib/series.js" */
/** @import { Pane } from "../view/pane.js" */
/** @import { Viewer } from "../view/viewer.js" */

export class Measuring {
  /** drawn here and not kept @type {Drawing[]} */
  own = [];
  /** @type {Drawing[]} */
  kept = [];
  /** the one that the bar is about @type {Drawing | null} */
  chosen = null;
  /** the server is asked to keep it */
  asking = false;
  /** what flips if it is kept, in words, until that is answered */
  flips = "";
  /** @type {Flip[]} the same, as the server told them and wants them back */
  shownFlips = [];

  /** @param {Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.take();
    this.diameters = new MaskDiameters(viewer);
    measureTools(this);
    this.bar = new MeasureBar(this);
    viewer.painters.push((g, pane, place) => {
      this.diameters.draw(g, pane, place);
      drawMeasurements(this, g, pane, place);
    });
    if (!viewer.data.edit) viewer.addKey("Delete", "delete the chosen measurement", () => this.remove());
    viewer.events.on("data", () => this.take());
  }

  /** What the page says was kept. */
  take() {
    this.kept = this.viewer.data.panes.flatMap(({ timepoint, measurements }) =>
      measurements.map((one) => keptDrawing(one, timepoint)),
    );
    const id = this.chosen?.kept?.measurement_id;
    if (id) this.choose(this.kept.find(({ kept }) => kept?.measurement_id === id) ?? null);
  }

  get all() {
    return [...this.kept, ...this.own];
  }

  /** @param {Drawing} drawing */
  add(drawing) {
    this.own.push(drawing);
    this.choose(drawing);
  }

  /** @param {Drawing | null} drawing */
  choose(drawing) {
    if (this.chosen !== drawing) this.forget();
    this.chosen = drawing;
    this.bar?.show();
    this.viewer.draw();
  }

  /** Nothing is confirmed any more. */
  forget() {
    this.flips = "";
    this.shownFlips = [];
  }

  /** One end was moved: what flips is another thing now. */
  flipsChanged() {
    this.forget();
    this.bar.show();
  }

  /**
   * One that is being drawn.
   * @param {CanvasRenderingContext2D} g
   * @param {Pane} pane
   * @param {Drawing} drawing
   */
  sketch(g, pane, drawing) {
    if (pane.planeName !== "mip" && isOn(pane, drawing)) drawOne(g, pane, pane.place(), drawing);
  }

  /** Deletes the chosen one; false where none is, or it is kept. */
  remove() {
    const { chosen } = this;
    if (!chosen || chosen.kept) return false;
    this.own = this.own.filter((one) => one !== chosen);
    this.choose(null);
    return true;
  }

  /** @param {string} timepoint @returns {Series | undefined} */
  seriesOf(timepoint) {
    return this.viewer.series.find((one) => one.data.timepoint === timepoint);
  }

  /**
   * Asks the server to keep the chosen one.
   * @param {string | null} lesion
   * @param {MeasurementSets | null} sets
   */
  async keep(lesion, sets) {
    const { chosen, viewer } = this;
    if (!chosen || chosen.kept || this.asking) return;
    const { kind, plane, points, scan, timepoint } = chosen,
      confirmed = this.shownFlips;
    const body = { scan, kind, plane, points_mm: points, lesion_id: lesion, sets, confirmed };
    this.asking = true;
    this.bar.show();
    try {
      const answer = await fetchFrom(viewer.auth, "measurement", { method: "POST", body: JSON.stringify(body) });
      /** @type {KeptMeasurement} */
      const kept = await answer.json();
      this.own = this.own.filter((one) => one !== chosen);
      this.kept = [...this.kept, keptDrawing(kept, timepoint)];
      this.forget();
      if (this.chosen === chosen) this.choose(null);
      viewer.say(`Kept: ${kept.words}.`);
      viewer.emit("measured", { measurement_id: kept.measurement_id });
    } catch (error) {
      if (error instanceof ServerError && error.refusal.flips && this.chosen === chosen) {
        this.flips = error.refusal.flips.length ? error.message : "";
        this.shownFlips = error.refusal.flips;
      } else viewer.say(messageOf(error));
    } finally {
      this.asking = false;
      this.bar.show();
      viewer.draw();
    }
  }
}

/**
 * @param {KeptMeasurement} kept
 * @param {string} timepoint
 * @returns {Drawing}
 */
function keptDrawing(kept, timepoint) {
  return { kind: kept.kind, plane: kept.plane, points: kept.points_mm, scan: "", timepoint, kept };
}
