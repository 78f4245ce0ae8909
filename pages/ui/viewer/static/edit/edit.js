// Changes to a label map, step by step, with undo. Pure: no DOM, no network.
//
// A change belongs to one lesion: it adds that lesion's label where no lesion is, and removes that label alone, so that no
// neighbour is ever overwritten. Whoever changes something calls begin(), set() …, commit(); the rest is built of these.
import { between, component, holes, inPlane, sliceMask, visitPolygon, visitStroke } from "./shapes.js";

const STEPS_KEPT = 200,
  VOXELS_KEPT = 20e6;

export class LabelEditor {
  // array: Uint8Array of the whole grid, changed in place. onChange({what, slices: [k …], taken}) after each step, undo
  // and redo; taken: the server's answers that the map has since then, where that changed.
  constructor(shape, spacing, array, onChange) {
    Object.assign(this, { shape, spacing, array, onChange, done: [], undone: [], step: null });
    this.plane = shape[0] * shape[1];
    this.voxels = new Map(); // label -> voxels more (or fewer) than at the beginning
    this.edited = new Map(); // "axis label" -> slices drawn on, between which `interpolate` draws
  }

  get grid() {
    return { shape: this.shape, spacing: this.spacing };
  }
  get dirty() {
    return this.done.length > 0;
  }
  get undoes() {
    return this.done.at(-1)?.what ?? null;
  }
  get redoes() {
    return this.undone.at(-1)?.what ?? null;
  }

  // ---- one step ---------------------------------------------------------------------------------------------------
  begin(what, label, byHand = true) {
    if (this.step) this.commit();
    this.step = { what, label, byHand, before: new Map(), drawn: new Map() };
  }

  // Sets a voxel to the step's lesion, or takes it away from it.
  set(p, on) {
    const { array, step } = this,
      now = array[p];
    if (on ? now !== 0 : now !== step.label) return;
    const k = Math.floor(p / this.plane);
    if (!step.before.has(k)) step.before.set(k, array.slice(k * this.plane, (k + 1) * this.plane));
    array[p] = on ? step.label : 0;
  }

  // Ends the step; true if it changed anything.
  commit() {
    const { step } = this;
    this.step = null;
    if (!step) return false;
    const at = [],
      was = [],
      is = [];
    for (const [k, before] of step.before) {
      const base = k * this.plane;
      for (let p = 0; p < this.plane; p++) {
        if (before[p] === this.array[base + p]) continue;
        at.push(base + p);
        was.push(before[p]);
        is.push(this.array[base + p]);
      }
    }
    if (!at.length) return false;
    const change = {
      what: step.what,
      byHand: step.byHand,
      taken: step.taken,
      at: Uint32Array.from(at),
      was: Uint8Array.from(was),
      is: Uint8Array.from(is),
    };
    this.done.push(change);
    this.undone = [];
    this.forgetOldest();
    for (const [key, slices] of step.drawn) for (const slice of slices) this.slicesDrawn(key).add(slice);
    this.note(change, change.was, change.is, change.taken?.after);
    return true;
  }

  // Gives the step up: everything is as it was.
  cancel() {
    for (const [k, before] of this.step?.before ?? []) this.array.set(before, k * this.plane);
    this.step = null;
  }

  undo() {
    return this.turn(this.done, this.undone, "was", "undo");
  }
  redo() {
    return this.turn(this.undone, this.done, "is", "redo");
  }

  // Puts back what a step changed; returns what that was, or null where there is nothing.
  turn(from, to, which, word) {
    if (this.step) this.cancel();
    const change = from.pop();
    if (!change) return null;
    to.push(change);
    change.at.forEach((p, n) => {
      this.array[p] = change[which][n];
    });
    const back = which === "was";
    this.note(
      { ...change, what: `${word} ${change.what}` },
      back ? change.is : change.was,
      change[which],
      back ? change.taken?.before : change.taken?.after,
    );
    return change.what;
  }

  note(change, was, is, taken) {
    const slices = new Set();
    change.at.forEach((p, n) => {
      slices.add(Math.floor(p / this.plane));
      if (was[n]) this.voxels.set(was[n], (this.voxels.get(was[n]) ?? 0) - 1);
      if (is[n]) this.voxels.set(is[n], (this.voxels.get(is[n]) ?? 0) + 1);
    });
    this.onChange({ what: change.what, slices: [...slices].sort((a, b) => a - b), ...(taken ? { taken } : {}) });
  }

  forgetOldest() {
    let kept = this.done.reduce((sum, change) => sum + change.at.length, 0);
    while (this.done.length > 50 && (this.done.length > STEPS_KEPT || kept > VOXELS_KEPT))
      kept -= this.done.shift().at.length;
  }

  slicesDrawn(key) {
    if (!this.edited.has(key)) this.edited.set(key, new Set());
    return this.edited.get(key);
  }

  drew(axis, slice) {
    const key = `${axis} ${this.step.label}`;
    this.step.drawn.set(key, (this.step.drawn.get(key) ?? new Set()).add(slice));
  }

  // ---- what people do -----------------------------------------------------------------------------------------------
  // A piece of a stroke of the present step. axis: of the plane drawn on; ball: in all directions. allow(p) may refuse.
  stroke(from, to, radiusMm, axis, { ball = false, on = true, allow = null } = {}) {
    visitStroke(this.grid, from, to, radiusMm, ball ? null : axis, (p) => {
      if (!allow || allow(p)) this.set(p, on);
    });
    this.drew(axis, Math.round(to[axis]));
  }

  polygon(points, axis, label, on = true, allow = null) {
    this.begin(on ? `polygon L${label}` : `cut out of L${label}`, label);
    visitPolygon(this.grid, points, axis, (p) => {
      if (!allow || allow(p)) this.set(p, on);
    });
    this.drew(axis, Math.round(points[0]?.[axis] ?? 0));
    return this.commit();
  }

  // Holes of one slice, or of all slices across the axis.
  fillHoles(label, axis, slice = null) {
    this.begin(`fill holes of L${label}`, label);
    const slices = slice === null ? Array.from({ length: this.shape[axis] }, (_, n) => n) : [slice];
    for (const n of slices) {
      const picture = sliceMask(this.array, this.shape, label, axis, n);
      for (const q of holes(picture)) this.set(picture.number(q % picture.n, Math.floor(q / picture.n)), true);
    }
    return this.commit();
  }

  // The piece of a lesion that a voxel is in: alone kept, or removed.
  piece(p, keep) {
    const label = this.array[p];
    if (!label) return false;
    const seen = component(this.array, this.shape, p);
    this.begin(`${keep ? "keep one piece" : "remove a piece"} of L${label}`, label);
    for (let q = 0; q < this.array.length; q++)
      if (this.array[q] === label && Boolean(seen[q]) !== keep) this.set(q, false);
    return this.commit();
  }

  // Draws the slices between those that were drawn on by hand; returns how many, 0 where there are no two with a gap.
  interpolate(label, axis) {
    const drawn = [...this.slicesDrawn(`${axis} ${label}`)].sort((a, b) => a - b);
    const pictures = new Map(drawn.map((n) => [n, sliceMask(this.array, this.shape, label, axis, n)]));
    const keys = drawn.filter((n) => pictures.get(n).mask.includes(1)),
      pixel = inPlane(axis).map((a) => this.spacing[a]);
    let count = 0;
    this.begin(`interpolate L${label}`, label);
    keys.slice(1).forEach((high, n) => {
      const low = keys[n],
        shape = high - low > 1 ? between(pictures.get(low), pictures.get(high), pixel) : null;
      for (let slice = low + 1; slice < high; slice++, count++)
        this.putSlice(axis, slice, shape((slice - low) / (high - low)));
    });
    return this.commit() ? count : 0;
  }

  putSlice(axis, slice, mask) {
    const { n, m, number } = sliceMask(this.array, this.shape, this.step.label, axis, slice);
    for (let y = 0; y < m; y++) for (let x = 0; x < n; x++) this.set(number(x, y), mask[x + n * y] === 1);
  }

  // Voxels that a person set, and did not undo.
  handSet() {
    const found = new Set();
    for (const change of this.done) if (change.byHand) for (const p of change.at) found.add(p);
    return found;
  }

  // Takes a model's answer in place of what the lesion had there; what was set by hand stays, if wanted.
  // voxels: Map of voxel number -> true or false, for every voxel that was answered for.
  // taken: {before, after}, the server's answers that the map has without and with this step.
  keep(what, label, voxels, sparing = true, taken = undefined) {
    const spared = sparing ? this.handSet() : new Set();
    this.begin(what, label, false);
    this.step.taken = taken;
    for (const [p, on] of voxels) if (!spared.has(p)) this.set(p, on);
    return this.commit();
  }

  // The whole map as somebody else left it, as a step that can be undone.
  replace(what, array, taken = undefined) {
    const change = { what, byHand: false, taken, at: [], was: [], is: [] };
    for (let p = 0; p < array.length; p++) {
      if (array[p] === this.array[p]) continue;
      change.at.push(p);
      change.was.push(this.array[p]);
      change.is.push(array[p]);
      this.array[p] = array[p];
    }
    if (!change.at.length) return false;
    Object.assign(change, {
      at: Uint32Array.from(change.at),
      was: Uint8Array.from(change.was),
      is: Uint8Array.from(change.is),
    });
    this.done.push(change);
    this.undone = [];
    this.note(change, change.was, change.is);
    return true;
  }

  // The map as it was left earlier: not a step, but counted.
  load(array) {
    for (let p = 0; p < array.length; p++) {
      const was = this.array[p],
        is = array[p];
      if (was === is) continue;
      if (was) this.voxels.set(was, (this.voxels.get(was) ?? 0) - 1);
      if (is) this.voxels.set(is, (this.voxels.get(is) ?? 0) + 1);
      this.array[p] = is;
    }
  }

  // The lesion's box on a slice [x0, y0, x1, y1] in the plane's two coordinates, or null.
  boxOn(label, axis, slice) {
    const { n, mask } = sliceMask(this.array, this.shape, label, axis, slice),
      box = [Infinity, Infinity, -Infinity, -Infinity];
    mask.forEach((v, p) => {
      if (!v) return;
      const x = p % n,
        y = Math.floor(p / n);
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x);
      box[3] = Math.max(box[3], y);
    });
    return box[2] < 0 ? null : box;
  }

  labelAt(index) {
    const at = index.map(Math.round);
    return at.some((v, a) => v < 0 || v >= this.shape[a])
      ? 0
      : this.array[at[0] + this.shape[0] * (at[1] + this.shape[1] * at[2])];
  }
}
