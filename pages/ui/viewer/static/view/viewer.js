// Panes together: what they show, where the cursor is, how they are linked.
//
// For those who add to it (shapes of data: lib/types.d.ts)
//   viewer.addTool(tool): its `draw` runs after every paint
//   pane.plane (none on a projection), pane.picture, pane.slice, pane.planeName
//   pane.labels: may be replaced or changed in place; then call pane.labelsChanged(). All panes of a
//     timepoint share them.
//   viewer.addKey("b", "what it does", action), viewer.say(text), viewer.emit(name, value)
//   viewer.events.on("data" | "lesion" | "labels" | "slice" | "close", f): told when the page gave new data, and so on
//   viewer.lesion: the label that is worked on, viewer.lesionKey: the lesion that it is
//   viewer.data: what the page gave last; viewer.auth: {api, token}
import { Editing } from "../edit/editing.js";
import { Events } from "../lib/events.js";
import { apply, PLANES } from "../lib/geometry.js";
import { Levels } from "../lib/levels.js";
import { labelOf } from "../lib/naming.js";
import { Series } from "../lib/series.js";
import { Measuring } from "../measure/measuring.js";
import { Registering } from "../register/registering.js";
import { bindPointer } from "./input.js";
import { bindKeys, frameKeys } from "./keys.js";
import { followLesion, jumpTo, jumpToLargest } from "./lesions.js";
import { Pane } from "./pane.js";
import { plainTools } from "./plain_tools.js";
import { Space } from "./space.js";
import { Toolbar } from "./toolbar.js";

/** @import { Access, Emit, Key, Layout, Painter, Tool, Triple, ViewerData } from "../lib/types.d.ts" */
/** @import { ViewOptions } from "../lib/types.d.ts" */
/** @import { Volume } from "../lib/volume.js" */

const DRAWS_KEPT = 1000;
/** @type {Layout[]} */
const LAYOUTS = ["one", "two", "planes"];

export class Viewer extends Space {
  closed = false;
  startedMs = performance.now();
  /** when all that is seen first was drawn @type {number | undefined} */
  firstMs;
  /** milliseconds of the last paints @type {number[]} */
  draws = [];
  /** @type {Map<string, Tool>} */
  tools = new Map();
  /** name of the chosen tool */
  tool = "cross";
  /** @type {Key[]} */
  keys = [];
  spaceHeld = false;
  /** @type {Painter[]} */
  painters = [];
  /** what lies over the panes @type {HTMLElement[]} */
  over = [];
  /** measurements, but while a registration is corrected @type {Measuring | undefined} */
  measuring;
  events = new Events();
  levels = new Levels(this);
  toolbar = new Toolbar(this);
  mipAngle = 0;
  /** label, on the first timepoint, of the lesion that is worked on; null where it has none @type {number | null} */
  lesion = null;
  /** which lesion that is on every pane (`lesionOf`) @type {string | null} */
  lesionKey = null;
  /** the cursor goes to the lesion's largest slice once the mask has come */
  waitsForMask = false;
  /** @type {Pane[]} */
  panes = [];
  /** @type {Editing | undefined} */
  editing;
  /** two timepoints are laid over each other @type {Registering | undefined} */
  registering;

  /**
   * @param {HTMLElement} root
   * @param {ViewerData} data
   * @param {Emit} emit
   * @param {string} scansKey what reruns compare: the same scans keep their viewer
   */
  constructor(root, data, emit, scansKey = "") {
    super();
    this.root = root;
    this.data = data;
    this.emit = emit;
    this.scansKey = scansKey;
    /** @type {Access} */
    this.auth = { api: data.api, token: data.token };
    /** @type {ViewOptions} */
    this.options = {
      mask: true,
      style: "outline",
      maskOpacity: 0.5,
      overlayOpacity: 0.6,
      cross: true,
      changes: data.panes.some((pane) => pane.against),
    };
    const room = root.querySelector(".panes");
    if (!(room instanceof HTMLElement)) throw new Error("There is no room for the panes. Reload the page.");
    this.room = room;
    this.setSeries(data.panes.map((pane) => new Series(this, pane)));
    this.setLink(data.link);
    /** @type {Layout} */
    this.layout = this.series.length > 1 && !data.registration ? "two" : "one";
    this.panes = (this.layout === "two" ? this.series : this.series.slice(0, 1)).map(
      (one) => new Pane(this, one, "axial"),
    );
    this.active = this.panes[0];
    jumpToLargest(this);
    frameKeys(this);
    plainTools(this);
    if (!data.registration) this.measuring = new Measuring(this);
    if (data.edit) this.editing = new Editing(this);
    if (data.registration) this.registering = new Registering(this);
    this.toolbar.build();
    this.unbind = bindKeys(this);
    this.showPanes();
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.room);
  }

  /**
   * The lesion that is worked on from now on.
   * @param {string | null} key
   * @param {number | null} label of the piece of it, on the first timepoint
   */
  choose(key, label = labelOf(this.series[0].data, key)) {
    this.lesionKey = key;
    this.lesion = label;
  }

  // ---- what others add --------------------------------------------------------------------------------------------
  /** @param {Tool} tool */
  addTool(tool) {
    this.tools.set(tool.name, tool);
  }

  /**
   * @param {string} key
   * @param {string} what
   * @param {Key["action"]} action
   */
  addKey(key, what, action) {
    this.keys.push({ key, what, action });
  }

  /** @param {string} text */
  say(text) {
    this.toolbar.say(text);
  }

  // ---- the page's data ----------------------------------------------------------------------------------------------
  /**
   * @param {ViewerData} data
   * @param {Emit} emit
   */
  take(data, emit) {
    const link = JSON.stringify(this.data.link) !== JSON.stringify(data.link);
    /** @param {ViewerData} from */
    const compared = (from) => from.panes.map((pane) => pane.against?.mask_id).join();
    // A new version begins with what is new in it.
    if (compared(data) !== compared(this.data)) this.options.changes = true;
    this.data = data;
    this.emit = emit;
    this.auth.token = data.token;
    for (const [n, one] of this.series.entries()) one.take(data.panes[n]);
    if (this.lesionKey === null)
      jumpToLargest(this); // the first mask has come
    else followLesion(this);
    if (link) this.setLink(data.link);
    this.events.tell("data", data);
    this.toolbar.refresh();
    this.redraw();
  }

  // ---- space --------------------------------------------------------------------------------------------------------
  /** @param {boolean} linked */
  setLinked(linked) {
    if (!this.link || linked === this.linked) return;
    const failed = "This registration is not relied on: what stands side by side need not be the same place.";
    if (linked) this.say(this.link.converged ? "" : failed);
    this.relink(linked);
    this.toolbar.refresh();
    this.redraw();
  }

  /**
   * Puts the cursor of a timepoint at a place (mm); linked ones follow.
   * @param {Series} one
   * @param {Triple} mm
   */
  setCursor(one, mm) {
    this.moveCursor(one, mm);
    for (const pane of this.panes) pane.moved();
    this.events.tell("slice", undefined);
  }

  /**
   * @param {Pane} pane
   * @param {number} slice
   */
  goTo(pane, slice) {
    const { master } = pane.frame,
      { axis, slices } = pane.plane,
      to = this.cursorIndex(master);
    to[axis] = Math.max(0, Math.min(slices - 1, slice));
    this.setCursor(master.series, apply(master.affine, to));
  }

  fit() {
    this.views.clear();
    this.draw();
  }

  // ---- panes --------------------------------------------------------------------------------------------------------
  /** @param {Layout} layout */
  setLayout(layout) {
    const { series, planeName } = this.active,
      one = this.registering ? this.series[0] : series;
    this.layout = layout === "two" && this.series.length < 2 ? "one" : layout;
    if (this.layout === "planes") this.panes = PLANES.map((name) => new Pane(this, one, name));
    else {
      const seen = this.layout === "two" ? this.series : [one];
      this.panes = seen.map(
        (series) => new Pane(this, series, planeName === "mip" && !series.pet ? "axial" : planeName),
      );
    }
    this.showPanes();
  }

  showPanes() {
    this.room.replaceChildren(...this.panes.map((pane) => pane.canvas));
    this.room.dataset.layout = this.layout;
    for (const pane of this.panes) bindPointer(this, pane);
    this.activate(this.panes[0]);
    this.redraw();
  }

  /** The layout after the present one, among those that make sense here. */
  nextLayout() {
    const possible = LAYOUTS.filter((layout) => layout !== "two" || this.series.length > 1);
    return possible[(possible.indexOf(this.layout) + 1) % possible.length];
  }

  /** @param {Pane} pane */
  activate(pane) {
    this.active = pane;
    for (const other of this.panes) other.canvas.classList.toggle("active", other === pane && this.panes.length > 1);
    this.toolbar.refresh();
  }

  /** @param {string} name */
  setTool(name) {
    this.tools.get(this.tool)?.leave?.();
    this.tool = name;
    this.tools.get(name)?.chosen?.();
    for (const pane of this.panes) pane.canvas.style.cursor = this.tools.get(name)?.cursor ?? "crosshair";
    this.events.tell("slice", undefined); // slices that a tool needs are made ready
    this.toolbar.refresh();
    this.draw();
  }

  /**
   * @template {keyof ViewOptions} Name
   * @param {Name} name
   * @param {ViewOptions[Name]} value
   */
  setOption(name, value) {
    this.options[name] = value;
    this.toolbar.refresh();
    this.draw();
  }

  /** @param {Series} one */
  labelsChanged(one) {
    one.labels.changed();
    this.events.tell("labels", one);
    this.draw();
  }

  /** @param {Series} one */
  maskLoaded(one) {
    if (this.waitsForMask && this.lesionKey !== null && one === this.series[0]) {
      this.waitsForMask = false;
      jumpTo(this, this.lesionKey, false);
    }
    this.toolbar.refresh();
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------
  /**
   * @param {Series} series
   * @param {Volume} volume
   * @param {number} [n] its slab; undefined where none will come
   */
  slabArrived(series, volume, n) {
    for (const pane of this.panes) {
      if (pane.series === series) pane.slabArrived(volume, n);
      else if (pane.over.volume === volume) pane.redraw();
    }
  }

  draw() {
    for (const pane of this.panes) pane.draw();
  }

  redraw() {
    for (const pane of this.panes) pane.redraw();
  }

  /** @param {number} ms that a paint took */
  drawn(ms) {
    this.draws.push(ms);
    if (this.draws.length > DRAWS_KEPT) this.draws.shift();
    if (this.firstMs !== undefined) return;
    const seen = this.panes.every((p) => !p.stale && p.volume.there[Math.round(p.volume.focus)]);
    if (seen) this.firstMs = performance.now();
  }

  close() {
    this.closed = true;
    this.events.tell("close", undefined);
    this.unbind();
    this.watch.disconnect();
    for (const one of this.series) one.close();
    this.panes = [];
  }
}
