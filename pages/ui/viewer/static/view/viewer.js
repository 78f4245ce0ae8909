// Panes together: what they show, where the cursor is, how they are linked. `mount(component)` is what the page calls.
//
// For those who add to it
//   viewer.addTool({name, label, title, key, cursor, down(at, pane, event), move(…), up(…), draw(context, pane, place)})
//     `at` is {screen, pixel, index, voxel, mm} of pane.locate: `index` and `voxel` (rounded) are i, j, k of the reference
//     scan's grid of the pane's frame (pane.frame.master.reference), `pixel` is in the picture. `draw` runs after every
//     paint; `place` is {x, y, sx, sy, scale}: device pixels = place.x + pixel * place.sx. down() returning false lets the
//     pane's own handling go on (moving the crosshair).
//   pane.plane {axis, across, down, nu, nv, toPixel(index), toIndex(slice, x, y)}, pane.slice, pane.planeName
//   pane.labels {array: Uint8Array or null, shape, affine, revision, largest(label, axis), count()}: may be replaced or
//     changed in place; then call pane.labelsChanged(). Shared by all panes of a timepoint (`series`).
//   viewer.addKey("b", "what it does", action), viewer.addControl(element), viewer.say(text), viewer.emit(name, value)
//   viewer.on("data" | "lesion" | "labels" | "slice" | "close", f): told when the page gave new data, and so on
//   viewer.lesion: the label that is worked on; viewer.data: what the page gave last; viewer.auth: {api, token}
import { apply, invert, multiply, planeOf, PLANES } from "../lib/geometry.js";
import { Levels } from "../lib/levels.js";
import { Series } from "../lib/series.js";
import { Pane } from "./pane.js";
import { bindPointer } from "./input.js";
import { bindKeys, frameKeys } from "./keys.js";
import { Toolbar } from "./toolbar.js";
import { plainTools } from "./plain_tools.js";
import { Editing } from "../edit/editing.js";

const DRAWS_KEPT = 1000;
const LAYOUTS = ["one", "two", "planes"];

export class Viewer {
  constructor(root, data, emit) {
    Object.assign(this, { root, data, emit, closed: false, tools: new Map(), keys: [], listeners: new Map() });
    this.startedMs = performance.now();
    this.auth = { api: data.api, token: data.token };
    this.options = {
      mask: true,
      style: "outline",
      maskOpacity: 0.5,
      overlayOpacity: 0.6,
      cross: true,
      changes: data.panes.some((pane) => pane.against),
    };
    Object.assign(this, { levels: new Levels(this), views: new Map(), planes: new Map() });
    Object.assign(this, { mipAngle: 0, lesion: null, tool: "cross", draws: [], linkRun: 0, cursors: [], panes: [] });
    this.series = data.panes.map((pane) => new Series(this, pane));
    this.cursors = this.series.map((one) => this.middle(one));
    this.setLink(data.link);
    this.jumpToLargest();
    this.room = root.querySelector(".panes");
    this.toolbar = new Toolbar(this);
    frameKeys(this);
    plainTools(this);
    if (data.edit) this.editing = new Editing(this);
    this.toolbar.build();
    this.unbind = bindKeys(this);
    this.setLayout(this.series.length > 1 ? "two" : "one");
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.room);
  }

  // ---- what others add --------------------------------------------------------------------------------------------
  addTool(tool) {
    this.tools.set(tool.name, tool);
  }
  addKey(key, what, action) {
    this.keys.push({ key, what, action });
  }
  addControl(element) {
    this.toolbar.extra.append(element);
  }
  on(event, f) {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), f]);
  }
  tell(event, value) {
    for (const f of this.listeners.get(event) ?? []) f(value);
  }
  say(text) {
    this.toolbar.say(text);
  }

  // ---- the page's data ----------------------------------------------------------------------------------------------
  take(data, emit) {
    const link = JSON.stringify(this.data.link) !== JSON.stringify(data.link);
    const compared = (from) => from.panes.map((pane) => pane.against?.mask_id).join();
    if (compared(data) !== compared(this.data)) this.options.changes = true; // a new version begins with what is new in it
    Object.assign(this, { data, emit });
    this.auth.token = data.token;
    for (const [n, one] of this.series.entries()) one.take(data.panes[n]);
    if (this.lesion === null) this.jumpToLargest(); // the first mask has come
    if (link) this.setLink(data.link);
    this.tell("data", data);
    this.toolbar.refresh();
    this.redraw();
  }

  // ---- space --------------------------------------------------------------------------------------------------------
  middle(one) {
    return apply(
      one.reference.affine,
      one.reference.shape.map((n) => (n - 1) / 2),
    );
  }

  setLink(link) {
    this.link = link ? { ...link, inverse: invert(link.matrix) } : null;
    this.linked = Boolean(link?.converged);
    this.relink();
  }

  setLinked(linked) {
    if (!this.link || linked === this.linked) return;
    if (!linked) this.cursors[1] = this.cursorOf(this.series[1]);
    else
      this.say(
        this.link.converged ? "" : "This registration failed: what stands side by side need not be the same place.",
      );
    this.linked = linked;
    this.relink();
    this.toolbar.refresh();
    this.redraw();
  }

  relink() {
    this.linkRun++;
    if (this.linked) this.cursors[1] = apply(this.link.matrix, this.cursors[0]);
  }

  get linkState() {
    return this.linkRun;
  }

  // The grid whose planes a timepoint is drawn in, and that grid's indices -> the timepoint's own millimetres.
  frameOf(one) {
    if (!this.linked || one === this.series[0])
      return { master: { series: one, ...one.reference }, toMm: one.reference.affine };
    const first = this.series[0];
    return { master: { series: first, ...first.reference }, toMm: multiply(this.link.matrix, first.reference.affine) };
  }

  planeOf(master, name) {
    const key = `${master.sha256} ${name}`;
    if (!this.planes.has(key)) this.planes.set(key, planeOf(master.affine, master.shape, name));
    return this.planes.get(key);
  }

  cursorOf(one) {
    return this.cursors[this.series.indexOf(one)];
  }
  cursorIndex(master) {
    return apply(invert(master.affine), this.cursorOf(master.series));
  }

  sliceOf(master, plane) {
    return Math.max(0, Math.min(plane.slices - 1, Math.round(this.cursorIndex(master)[plane.axis])));
  }

  // Puts the cursor of a timepoint at a place (mm); linked ones follow.
  setCursor(one, mm) {
    this.cursors[this.series.indexOf(one)] = mm;
    if (this.linked) {
      if (one === this.series[0]) this.cursors[1] = apply(this.link.matrix, mm);
      else this.cursors[0] = apply(this.link.inverse, mm);
    }
    for (const series of this.series) for (const volume of series.volumes.values()) this.focusOn(series, volume);
    for (const pane of this.panes) pane.moved();
    this.tell("slice");
  }

  scroll(pane, steps) {
    if (pane.planeName === "mip") return this.setMipAngle(this.mipAngle + 10 * steps);
    const { master } = pane.frame,
      plane = pane.plane,
      index = this.cursorIndex(master);
    this.goTo(pane, this.sliceOf(master, plane) + steps * plane.upward, index);
  }

  goTo(pane, slice, index = this.cursorIndex(pane.frame.master)) {
    const { master } = pane.frame,
      plane = pane.plane,
      to = [...index];
    to[plane.axis] = Math.max(0, Math.min(plane.slices - 1, slice));
    this.setCursor(master.series, apply(master.affine, to));
  }

  focusOn(one, volume) {
    if (this.cursors.length) volume.focus = apply(volume.inverse, this.cursorOf(one))[2];
  }

  viewOf(pane) {
    const key = this.linked ? pane.planeName : `${this.series.indexOf(pane.series)} ${pane.planeName}`;
    if (!this.views.has(key)) this.views.set(key, { zoom: 1, x: 0, y: 0 });
    return this.views.get(key);
  }

  zoom(pane, factor, at) {
    const view = this.viewOf(pane),
      before = pane.place().scale,
      { width, height } = pane.canvas;
    const [x, y] = at ?? [width / 2, height / 2];
    view.zoom = Math.max(0.5, Math.min(20, view.zoom * factor));
    const after = pane.place().scale;
    view.x += (x - width / 2) * (1 / before - 1 / after); // what is under the pointer stays there
    view.y += (y - height / 2) * (1 / before - 1 / after);
    this.draw();
  }

  pan(pane, dx, dy) {
    const view = this.viewOf(pane),
      { scale } = pane.place();
    view.x -= dx / scale;
    view.y -= dy / scale;
    this.draw();
  }

  fit() {
    this.views.clear();
    this.draw();
  }

  // ---- panes --------------------------------------------------------------------------------------------------------
  setLayout(layout) {
    if (layout === "two" && this.series.length < 2) layout = "one";
    this.layout = layout;
    const plane = this.active?.planeName ?? "axial",
      one = this.active?.series ?? this.series[0];
    const wanted = {
      one: [[one, plane]],
      two: this.series.map((s) => [s, plane]),
      planes: PLANES.map((name) => [one, name]),
    }[layout];
    this.panes = wanted.map(([series, name]) => new Pane(this, series, name));
    this.room.replaceChildren(...this.panes.map((pane) => pane.canvas));
    this.room.dataset.layout = layout;
    for (const pane of this.panes) bindPointer(this, pane);
    this.activate(this.panes[0]);
    this.redraw();
  }

  // The layout after the present one, among those that make sense here.
  nextLayout() {
    const possible = LAYOUTS.filter((layout) => layout !== "two" || this.series.length > 1);
    return possible[(possible.indexOf(this.layout) + 1) % possible.length];
  }

  activate(pane) {
    this.active = pane;
    for (const other of this.panes) other.canvas.classList.toggle("active", other === pane && this.panes.length > 1);
    this.toolbar.refresh();
  }

  setPlane(name) {
    if (name === "mip" && !this.active.series.pet)
      return this.say("A projection needs a PET scan; this timepoint has none.");
    for (const pane of this.layout === "planes" ? [this.active] : this.panes) {
      if (name === "mip" && !pane.series.pet) continue;
      pane.planeName = name;
    }
    this.toolbar.refresh();
    this.redraw();
  }

  setMipAngle(angle) {
    this.mipAngle = ((angle % 360) + 360) % 360;
    for (const pane of this.panes) if (pane.planeName === "mip") pane.projection.project(this.mipAngle);
    this.toolbar.refresh();
  }

  // Shows a kind of scan in every pane that has it; `overlay` lays it over the other one.
  showScan(channel, overlay = false) {
    for (const one of this.series) {
      const scan = one.scans.find((s) => s.channel === channel);
      if (overlay) one.overlay = scan?.sha256 ?? null;
      else if (scan) one.shown = scan.sha256;
    }
    this.toolbar.refresh();
    this.redraw();
  }

  setTool(name) {
    this.tools.get(this.tool)?.leave?.();
    this.tool = name;
    for (const pane of this.panes) pane.canvas.style.cursor = this.tools.get(name)?.cursor ?? "crosshair";
    this.tell("slice"); // slices that a tool needs are made ready
    this.toolbar.refresh();
    this.draw();
  }

  setOption(name, value) {
    this.options[name] = value;
    this.toolbar.refresh();
    this.draw();
  }

  // ---- lesions ------------------------------------------------------------------------------------------------------
  labelsChanged(one) {
    one.labels.changed();
    this.tell("labels", one);
    this.draw();
  }

  maskLoaded(one) {
    if (this.waitsForMask && one === this.series[0]) {
      this.waitsForMask = false;
      this.jumpTo(this.lesion, false);
    }
    this.toolbar?.refresh();
  }

  // At the start: near the largest lesion by what the page says, then on its largest slice once the mask is there.
  jumpToLargest() {
    const { lesions } = this.series[0].data;
    const largest = [...lesions].sort((a, b) => b.volume_mm3 - a.volume_mm3)[0];
    if (!largest) return;
    this.lesion = largest.label;
    this.waitsForMask = true;
    if (largest.centroid_mm) this.setCursor(this.series[0], largest.centroid_mm);
  }

  nextLesion(step) {
    const one = this.active.series,
      labels = one.data.lesions.map((lesion) => lesion.label);
    if (!labels.length) return this.say("There is no lesion in this mask.");
    this.jumpTo(labels[(labels.indexOf(this.lesion) + step + labels.length) % labels.length]);
  }

  jumpTo(label, told = true) {
    const pane = this.active ?? this.panes[0],
      one = pane?.series ?? this.series[0];
    const known = one.data.lesions.find((lesion) => lesion.label === label);
    this.lesion = label;
    if (known?.centroid_mm) {
      const { affine } = one.reference,
        index = apply(invert(affine), known.centroid_mm);
      for (const name of PLANES) {
        const { axis } = this.planeOf({ series: one, ...one.reference }, name);
        index[axis] = one.labels.largest(label, axis) ?? index[axis];
      }
      this.setCursor(one, apply(affine, index));
    }
    this.tell("lesion", label);
    if (told) this.say(known ? `${known.lesion_id}, ${(known.volume_mm3 / 1000).toFixed(1)} mL` : "");
    this.toolbar?.refresh();
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------
  slabArrived(series, volume, n) {
    for (const pane of this.panes) if (pane.series === series) pane.slabArrived(volume, n);
  }
  draw() {
    for (const pane of this.panes) pane.draw();
  }
  redraw() {
    for (const pane of this.panes) pane.redraw();
  }

  drawn(ms) {
    this.draws.push(ms);
    if (this.draws.length > DRAWS_KEPT) this.draws.shift();
    if (
      this.firstMs === undefined &&
      this.panes.every((p) => p.base.canvas && p.volume.there[Math.round(p.volume.focus)])
    ) {
      this.firstMs = performance.now();
    }
  }

  close() {
    this.closed = true;
    this.tell("close");
    this.unbind();
    this.watch.disconnect();
    for (const one of this.series) one.close();
    this.panes = [];
  }
}

// Called by the page's component at every rerun: the same scans keep their state (zoom, slice, tool, loaded slabs).
export function mount({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".twin-viewer");
  const scans = data.panes
    .map((pane) => [pane.timepoint, pane.reference, ...pane.scans.map((scan) => scan.sha256)].join())
    .join(";");
  if (root.viewer?.scans === scans && !root.viewer.closed) root.viewer.take(data, setTriggerValue);
  else {
    root.viewer?.close();
    root.viewer = new Viewer(root, data, setTriggerValue);
    root.viewer.scans = scans;
  }
  return root.viewer;
}
