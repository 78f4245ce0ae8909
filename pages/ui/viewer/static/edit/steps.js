// Changes to a label map, step by step, with undo. Pure: no DOM, no network.
//
// A change belongs to one lesion: it adds that lesion's label where no lesion is, and removes that label alone, so that
// no neighbour is ever overwritten. Whoever changes something calls begin(), set() …, commit(); the rest is built of
// these.

/** @import { Axis, TakenAnswer, TakenChange, Triple } from "../lib/types.d.ts" */

/**
 * A step that is being made. `before`: slice -> its labels as they were; `drawn`: "axis label" -> slices drawn on.
 * @typedef {object} Step
 * @property {string} what
 * @property {number} label
 * @property {boolean} byHand
 * @property {Map<number, Uint8Array>} before
 * @property {Map<string, Set<number>>} drawn
 * @property {TakenChange} [taken]
 */

/**
 * A step that was made: the labels of voxels as they were and as they are.
 * @typedef {object} Change
 * @property {string} what
 * @property {boolean} byHand
 * @property {TakenChange} [taken] the server's answers that the map has without and with it
 * @property {Uint32Array} at voxel numbers
 * @property {Uint8Array} was
 * @property {Uint8Array} is
 */

/**
 * What is told of a step, an undo or a redo. `taken`: the answers that the map has since then, where that changed.
 * @typedef {{what: string, slices: number[], taken?: TakenAnswer[]}} ChangeNote
 */

const STEPS_KEPT = 200,
  VOXELS_KEPT = 20e6;

export class Steps {
  /** steps that undo takes back, the last one first @type {Change[]} */
  done = [];
  /** steps that redo makes again, the last one first @type {Change[]} */
  undone = [];
  /** the step that is being made @type {Step | null} */
  step = null;
  /** a label in words, for what undo says */
  nameOf = (/** @type {number} */ label) => `lesion ${label}`;
  /** label -> voxels more (or fewer) than at the beginning @type {Map<number, number>} */
  voxels = new Map();
  /** "axis label" -> slices drawn on, between which `interpolate` draws @type {Map<string, Set<number>>} */
  edited = new Map();

  /**
   * @param {Triple} shape
   * @param {Triple} spacing mm
   * @param {Uint8Array} array of the whole grid, changed in place
   * @param {(note: ChangeNote) => void} onChange told after each step, undo and redo
   */
  constructor(shape, spacing, array, onChange) {
    this.shape = shape;
    this.spacing = spacing;
    this.array = array;
    this.onChange = onChange;
    /** voxels of a slice */
    this.plane = shape[0] * shape[1];
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

  /**
   * @param {string} what
   * @param {number} label
   * @param {boolean} byHand
   */
  begin(what, label, byHand = true) {
    if (this.step) this.commit();
    this.step = { what, label, byHand, before: new Map(), drawn: new Map() };
  }

  /** The step that is being made. Throws where none is: `begin` one first. */
  get present() {
    if (!this.step) throw new Error("No step of editing was begun. Choose the tool again.");
    return this.step;
  }

  /**
   * Sets a voxel to the step's lesion, or takes it away from it.
   * @param {number} p
   * @param {boolean} on
   */
  set(p, on) {
    const { array, present: step } = this,
      now = array[p];
    if (on ? now !== 0 : now !== step.label) return;
    const k = Math.floor(p / this.plane);
    if (!step.before.has(k)) step.before.set(k, array.slice(k * this.plane, (k + 1) * this.plane));
    array[p] = on ? step.label : 0;
  }

  /** Ends the step; true if it changed anything. */
  commit() {
    const { step } = this;
    this.step = null;
    if (!step) return false;
    const at = [],
      was = [];
    for (const [k, before] of step.before) {
      const base = k * this.plane;
      for (let p = 0; p < this.plane; p++) {
        if (before[p] === this.array[base + p]) continue;
        at.push(base + p);
        was.push(before[p]);
      }
    }
    if (!at.length) return false;
    const change = this.made(step, at, was);
    this.forgetOldest();
    for (const [key, slices] of step.drawn) for (const slice of slices) this.slicesDrawn(key).add(slice);
    this.note(change.what, change, change.was, change.is, change.taken?.after);
    return true;
  }

  /**
   * Keeps a change that is in the map already, so that it can be undone.
   * @param {Pick<Change, "what" | "byHand" | "taken">} step
   * @param {number[]} at
   * @param {number[]} was
   */
  made({ what, byHand, taken }, at, was) {
    const is = Uint8Array.from(at, (p) => this.array[p]);
    /** @type {Change} */
    const change = { what, byHand, taken, at: Uint32Array.from(at), was: Uint8Array.from(was), is };
    this.done.push(change);
    this.undone = [];
    return change;
  }

  /** Gives the step up: everything is as it was. */
  cancel() {
    for (const [k, before] of this.step?.before ?? []) this.array.set(before, k * this.plane);
    this.step = null;
  }

  /** Puts back what the last step changed; returns what that was, or null where there is none. */
  undo() {
    if (this.step) this.cancel();
    const change = this.done.pop();
    if (!change) return null;
    this.undone.push(change);
    for (const [n, p] of change.at.entries()) this.array[p] = change.was[n];
    this.note(`undo ${change.what}`, change, change.is, change.was, change.taken?.before);
    return change.what;
  }

  /** Makes the step again that was undone last; returns what that was, or null where there is none. */
  redo() {
    if (this.step) this.cancel();
    const change = this.undone.pop();
    if (!change) return null;
    this.done.push(change);
    for (const [n, p] of change.at.entries()) this.array[p] = change.is[n];
    this.note(`redo ${change.what}`, change, change.was, change.is, change.taken?.after);
    return change.what;
  }

  /**
   * Counts voxels and tells of a change.
   * @param {string} what
   * @param {Change} change
   * @param {Uint8Array} was
   * @param {Uint8Array} is
   * @param {TakenAnswer[]} [taken]
   */
  note(what, { at }, was, is, taken) {
    /** @type {Set<number>} */
    const slices = new Set();
    for (const [n, p] of at.entries()) {
      slices.add(Math.floor(p / this.plane));
      this.count(was[n], -1);
      this.count(is[n], 1);
    }
    this.onChange({ what, slices: [...slices].sort((a, b) => a - b), ...(taken ? { taken } : {}) });
  }

  /**
   * @param {number} label
   * @param {number} more
   */
  count(label, more) {
    if (label) this.voxels.set(label, (this.voxels.get(label) ?? 0) + more);
  }

  forgetOldest() {
    let kept = this.done.reduce((sum, change) => sum + change.at.length, 0);
    while (this.done.length > 50 && (this.done.length > STEPS_KEPT || kept > VOXELS_KEPT)) {
      kept -= this.done.shift()?.at.length ?? 0;
    }
  }

  /** @param {string} key "axis label" */
  slicesDrawn(key) {
    const slices = this.edited.get(key) ?? new Set();
    this.edited.set(key, slices);
    return slices;
  }

  /**
   * The present step drew on a slice by hand.
   * @param {Axis} axis
   * @param {number} slice
   */
  drew(axis, slice) {
    const { drawn, label } = this.present,
      key = `${axis} ${label}`;
    drawn.set(key, (drawn.get(key) ?? new Set()).add(slice));
  }

  /**
   * The whole map as somebody else left it, as a step that can be undone; false where it is the same.
   * @param {string} what
   * @param {Uint8Array} array
   * @param {TakenChange} [taken]
   */
  replace(what, array, taken) {
    const at = [],
      was = [];
    for (let p = 0; p < array.length; p++) {
      if (array[p] === this.array[p]) continue;
      at.push(p);
      was.push(this.array[p]);
      this.array[p] = array[p];
    }
    if (!at.length) return false;
    const change = this.made({ what, byHand: false, taken }, at, was);
    this.note(what, change, change.was, change.is);
    return true;
  }

  /**
   * The map as it was left earlier: not a step, but counted.
   * @param {Uint8Array} array
   */
  load(array) {
    for (let p = 0; p < array.length; p++) {
      const was = this.array[p],
        is = array[p];
      if (was === is) continue;
      this.count(was, -1);
      this.count(is, 1);
      this.array[p] = is;
    }
  }
}
