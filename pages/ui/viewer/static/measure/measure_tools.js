// The tools that measure: two clicks or a drag for a length, three places for an angle, a drag for a region. The ends of
// what is not kept can be moved with any of them.
import { apply, perAxis } from "../lib/geometry.js";
import { minus, plus } from "./geometry.js";
import { endsOn, isOn } from "./measure_drawing.js";

/** @import { Drawing, MeasurementKind, Pair, PointerPlace, Tool, Triple } from "../lib/types.d.ts" */
/** @import { Pane } from "../view/pane.js" */
/** @import { Measuring } from "./measuring.js" */

const NEAR_PX = 8,
  CLICK_PX = 4;
const NEEDED = { length: 2, angle: 3, roi: 3 };

/** @param {Measuring} measuring */
export function measureTools(measuring) {
  const { viewer } = measuring,
    tools = [
      new MeasureTool(measuring, "length", "Length", "Length: two clicks, or a drag", "7"),
      new MeasureTool(measuring, "angle", "Angle", "Angle: three clicks, the vertex second", "8"),
      new MeasureTool(measuring, "roi", "ROI", "Values within an ellipse: drag; with shift a circle", "9"),
    ];
  for (const tool of tools) {
    viewer.addTool(tool);
    viewer.addKey(tool.key, tool.title.toLowerCase(), () => viewer.setTool(tool.name));
  }
}

/** @implements {Tool} */
class MeasureTool {
  cursor = "crosshair";
  /** where the pointer went down (device pixels) @type {Pair} */
  from = [0, 0];
  /** being drawn; its last place follows the pointer @type {Drawing | null} */
  drawing = null;
  /** a place that is moved @type {{drawing: Drawing, n: number} | null} */
  held = null;

  /**
   * @param {Measuring} measuring
   * @param {MeasurementKind} kind
   * @param {string} label
   * @param {string} title
   * @param {string} key
   */
  constructor(measuring, kind, label, title, key) {
    this.measuring = measuring;
    this.viewer = measuring.viewer;
    this.shape = kind;
    this.name = kind;
    this.kind = /** @type {const} */ ("Measure");
    this.label = label;
    this.title = title;
    this.key = key;
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   */
  down(at, pane) {
    if (pane.planeName === "mip") return this.viewer.say("Measure on a slice: a projection has no depth.");
    this.from = at.screen;
    if (this.drawing && isOn(pane, this.drawing)) return this.follow(at, pane);
    this.drawing = null;
    const near = this.near(at, pane);
    if (near) {
      this.measuring.choose(near.drawing);
      this.held = near.drawing.kept ? null : near;
      return;
    }
    this.begin(this.mm(at, pane), pane);
  }

  /**
   * @param {Triple} mm
   * @param {Pane} pane
   */
  begin(mm, pane) {
    const { series, plane } = pane,
      scan = this.shape === "roi" ? series.shown : series.reference.sha256,
      points = this.shape === "roi" ? [mm, mm, mm] : [mm, mm];
    this.measuring.choose(null);
    this.drawing = { kind: this.shape, plane: plane.name, points, scan, timepoint: series.data.timepoint, kept: null };
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   * @param {PointerEvent} event
   */
  move(at, pane, event) {
    if (pane.planeName === "mip") return;
    if (this.held) this.moveEnd(this.held, this.mm(at, pane));
    else this.follow(at, pane, event.shiftKey);
  }

  /**
   * @param {PointerPlace | null} at
   * @param {Pane} pane
   */
  hover(at, pane) {
    if (at && this.drawing && isOn(pane, this.drawing)) this.follow(at, pane);
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   */
  up(at, pane) {
    this.held = null;
    const { drawing } = this;
    if (!drawing || pane.planeName === "mip") return this.measuring.bar.show();
    const ends = endsOn(pane, drawing),
      before = this.shape === "roi" ? this.from : ends[ends.length - 2],
      apart = Math.hypot(at.screen[0] - before[0], at.screen[1] - before[1]) >= CLICK_PX * pane.ratio;
    if (this.shape === "roi")
      return apart ? this.finish() : this.drop("Drag from one corner of the region to the other.");
    if (!apart) return;
    if (drawing.points.length === NEEDED[this.shape]) this.finish();
    else drawing.points.push(drawing.points[drawing.points.length - 1]);
  }

  finish() {
    const { drawing } = this;
    this.drawing = null;
    if (drawing) this.measuring.add(drawing);
  }

  /** @param {string} why */
  drop(why) {
    this.drawing = null;
    this.viewer.say(why);
    this.viewer.draw();
  }

  leave() {
    this.drawing = null;
  }

  back() {
    const had = this.drawing !== null;
    this.drawing = null;
    this.viewer.draw();
    return had || this.measuring.remove();
  }

  /**
   * The place under the pointer, on the pane's slice and within its picture.
   * @param {PointerPlace} at
   * @param {Pane} pane
   */
  mm({ pixel: [x, y] }, pane) {
    const { nu, nv } = pane.plane,
      inside = pane.plane.toIndex(pane.slice, Math.max(0, Math.min(nu, x)), Math.max(0, Math.min(nv, y)));
    return apply(pane.frame.toMm, inside);
  }

  /**
   * @param {PointerPlace} at
   * @param {Pane} pane
   * @param {boolean} [round] a circle
   */
  follow(at, pane, round = false) {
    const { drawing } = this;
    if (!drawing) return;
    if (drawing.kind === "roi") drawing.points = this.ellipse(at, pane, round);
    else drawing.points[drawing.points.length - 1] = this.mm(at, pane);
    this.viewer.draw();
  }

  /**
   * The ellipse in the box from where the pointer went down to where it is.
   * @param {PointerPlace} at
   * @param {Pane} pane
   * @param {boolean} round
   * @returns {Triple[]}
   */
  ellipse({ pixel }, pane, round) {
    const { x, y, sx, sy } = pane.place(),
      first = /** @type {Pair} */ ([(this.from[0] - x) / sx, (this.from[1] - y) / sy]),
      size = [pixel[0] - first[0], pixel[1] - first[1]];
    if (round) {
      const mm = Math.max(Math.abs(size[0] * sx), Math.abs(size[1] * sy));
      size[0] = (Math.sign(size[0]) || 1) * (mm / sx);
      size[1] = (Math.sign(size[1]) || 1) * (mm / sy);
    }
    const middle = [first[0] + size[0] / 2, first[1] + size[1] / 2];
    /** @type {(dx: number, dy: number) => Triple} */
    const place = (dx, dy) => apply(pane.frame.toMm, pane.plane.toIndex(pane.slice, middle[0] + dx, middle[1] + dy));
    return [place(0, 0), place(Math.abs(size[0]) / 2, 0), place(0, Math.abs(size[1]) / 2)];
  }

  /**
   * The end of a measurement that is under the pointer.
   * @param {PointerPlace} at
   * @param {Pane} pane
   */
  near({ screen }, pane) {
    let best = null,
      nearest = NEAR_PX * pane.ratio;
    for (const drawing of this.measuring.all) {
      for (const [n, [x, y]] of (isOn(pane, drawing) ? endsOn(pane, drawing) : []).entries()) {
        const away = Math.hypot(screen[0] - x, screen[1] - y);
        if (away <= nearest) [best, nearest] = [{ drawing, n }, away];
      }
    }
    return best;
  }

  /**
   * A region's centre takes its ends along.
   * @param {{drawing: Drawing, n: number}} held
   * @param {Triple} mm
   */
  moveEnd({ drawing, n }, mm) {
    const by = minus(mm, drawing.points[n]),
      whole = drawing.kind === "roi" && n === 0;
    drawing.points = drawing.points.map((point, m) => (whole || m === n ? plus(point, by) : perAxis((a) => point[a])));
    this.measuring.flipsChanged();
    this.viewer.draw();
  }

  /**
   * @param {CanvasRenderingContext2D} g
   * @param {Pane} pane
   */
  draw(g, pane) {
    if (this.drawing && this.viewer.tool === this.name) this.measuring.sketch(g, pane, this.drawing);
  }
}
